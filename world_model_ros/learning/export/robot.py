# Copyright 2026 The world_model_ros Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""What no checkpoint knows: the robot file, and the statistics that actions were normalised with.

A robot file holds the same sections as `bundle.yaml`, less what follows from the model. Whatever is
missing is asked for by name, with the text to write. Nothing is guessed: a mean that is off drives
the arm elsewhere, and one checkpoint in public has gone out with actions 55 times too small.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle.strict_yaml import read_yaml
from world_model_ros.learning.export.graphs import ExportError
from world_model_ros.learning.export.source import ModelSource

_SECTIONS: dict[str, tuple[str, ...]] = {
    'model': ('name', 'version', 'license', 'source'),
    'action': ('kind', 'names', 'units', 'frame', 'lower', 'upper', 'normalization',
               'step_duration', 'rows_per_step', 'frozen', 'dead_band'),
    'image': ('width', 'height', 'crop', 'interpolation', 'cameras', 'frames', 'normalization',
              'fields_of_view'),
    'proprioception': ('rule', 'joints', 'fields', 'normalization', 'frame', 'link', 'gripper'),
    'cost': ('objective', 'terms', 'discount'),
    'goal': ('source', 'metric', 'reduction', 'reached'),
    'planner': ('sampler', 'horizon', 'knots', 'interpolation', 'samples', 'iterations', 'elites',
                'sigma', 'sigma_min', 'momentum', 'constant_grid', 'memory', 'workspace',
                'noise_exponent', 'decay', 'kept_elites', 'temperature', 'policy_samples',
                'refinement'),
}
_HINTS = {
    'model.name': 'my-robot-model',
    'model.version': '1.0.0',
    'model.license': 'MIT          # of the weights; ask who trained them',
    'action.kind': 'joint_velocity   # joint_position | joint_velocity | joint_delta | twist | '
                   'pose_delta',
    'action.names': '[joint_1, joint_2]   # in the order of the training data',
    'action.units': '[rad/s, rad/s]',
    'action.frame': 'base_link       # in which twists and pose deltas are given',
    'action.lower': '[-1.0, -1.0]    # least and largest the robot may be asked for, in units',
    'action.upper': '[1.0, 1.0]',
    'action.step_duration': '0.1     # seconds between two actions of the training data',
    'image.crop': 'center_square     # or none, as the training data were made',
    'image.interpolation': 'area     # trained with torchvision or PIL (antialias): area; with '
                           'F.interpolate or OpenCV: bilinear; or bicubic',
    'proprioception.rule': 'hold     # none | predicted | hold | integrate_joints',
    'proprioception.joints': '[joint_1, joint_2]   # in the order of the training data',
    'proprioception.fields': "[position, velocity]   # all joints' first, then all their second",
    'proprioception.frame': "base_link   # in which the link's pose is given",
    'proprioception.link': 'tool0',
    'proprioception.gripper': '{joint: finger_joint, open: 0.04, closed: 0.0}',
    'goal.reached': '0.5             # distance at which a goal counts as reached (docs/export.md)',
}
HORIZON = 5  # model steps, where neither the robot file nor whoever published a model says
_STATISTICS_HINT = '{mean: [0.0, 0.0], std: [1.0, 1.0]}   # or --action-stats FILE'
_NAMES = {'action': ('action', 'actions'),
          'proprioception': ('proprioception', 'proprio', 'observation.state')}


@dataclass(frozen=True)
class Robot:
    """The robot file's sections as plain mappings, and statistics by section."""

    path: Path | None
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    statistics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def horizon(self) -> int | None:
        """Model steps of a plan, if the file says so."""
        horizon: int | None = self.sections.get('planner', {}).get('horizon')
        return horizon

    @property
    def picture(self) -> dict[str, Any] | None:
        """Width, height, cameras and frames that the file gives (for models that leave them open).

        None where it gives no size; raises ExportError.
        """
        image = self.sections.get('image', {})
        if 'width' not in image and 'height' not in image:
            return None
        size = {key: image.get(key) for key in ('width', 'height')}
        if not all(isinstance(value, int) and value > 0 for value in size.values()):
            raise ExportError(f'{self.path}: image needs width and height in pixels, it has {size}')
        cameras = {'cameras': image['cameras']} if 'cameras' in image else {}
        if cameras and not isinstance(image['cameras'], list):
            raise ExportError(f'{self.path}: image.cameras is {image["cameras"]!r}: give a list of '
                              'names, [shelf, wrist] say')
        frames = image.get('frames', 1)
        if not isinstance(frames, int) or frames < 1:
            raise ExportError(f'{self.path}: image.frames is {frames!r}: give the number of '
                              'pictures in one observation, 1 or more')
        return {**size, **cameras, 'frames': frames}

    @property
    def pixels(self) -> dict[str, Any] | None:
        """Mean and std of each channel, as `Pixels` takes them, if the file gives them.

        Raises ExportError.
        """
        given = self.sections.get('image', {}).get('normalization')
        if given is None:
            return None
        try:
            found = {key: tuple(float(number) for number in given[key]) for key in ('mean', 'std')}
        except (TypeError, KeyError, ValueError):
            found = {}
        if (not found or len(given) != 2 or any(len(values) != 3 for values in found.values())
                or not all(0 <= value <= 1 for value in found['mean'])
                or not all(0 < value <= 1 for value in found['std'])):
            raise ExportError(
                f'{self.path}: image.normalization is {given!r}: give three fractions of full '
                'brightness each, {mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5]} say, for red, '
                'green and blue')
        return found

    @property
    def step_size(self) -> int:
        """Numbers in one model step, for models that leave it open; raises ExportError."""
        action = self.sections.get('action', {})
        names, rows = action.get('names'), action.get('rows_per_step', 1)
        if not isinstance(names, list) or not names or not isinstance(rows, int) or rows < 1:
            raise ExportError(f'{self.path or "--robot FILE"}: action.names must list what one '
                              'action drives (and action.rows_per_step how many actions one step '
                              'of the model takes, 1 if it is absent): the predictor is called '
                              'with as many numbers. docs/export.md has a whole robot file')
        return len(names) * rows

    @property
    def state_size(self) -> int:
        """Numbers in the proprioception that the file describes, 0 for none."""
        state = self.sections.get('proprioception')
        if not state:
            return 0
        if state.get('rule') == 'integrate_pose':
            return 7 if state.get('gripper') else 6
        return _joint_numbers(state)


def read_robot(path: Path | None, statistics: Path | None) -> Robot:
    """Read a robot file and statistics; raises ExportError for what is no part of them."""
    sections: dict[str, dict[str, Any]] = {}
    if path is not None:
        data = _read_mapping(path)
        for name, section in data.items():
            if isinstance(section, dict) and 'ros__parameters' in section:
                raise ExportError(f'{path} is the parameters file for robot.launch.py (and wmros '
                                  'doctor); wmros export asks for the contract of the model, a '
                                  f'file with {", ".join(_SECTIONS)}: docs/export.md has one')
            if name not in _SECTIONS:
                raise ExportError(f'{path}: "{name}" is no section of a robot file: it has '
                                  f'{", ".join(_SECTIONS)}')
            if not isinstance(section, dict):
                raise ExportError(f'{path}: {name} holds no mapping')
            for key in section:
                if key not in _SECTIONS[name]:
                    raise ExportError(f'{path}: {name}.{key} is not known there: remove it, or '
                                      f'correct its spelling ({", ".join(_SECTIONS[name])}); what '
                                      'follows from the model is not asked for')
            sections[name] = section
    horizon = sections.get('planner', {}).get('horizon', 1)
    if not isinstance(horizon, int) or horizon < 1:
        raise ExportError(f'{path}: planner.horizon is {horizon!r}: give a number of model steps, '
                          '1 or more')
    wanted = {'action', *sections}
    return Robot(path, sections, _read_statistics(statistics, wanted) if statistics else {})


def manifest_sections(source: ModelSource, robot: Robot) -> dict[str, Any]:
    """The manifest but for graphs and golden vectors; raises ExportError that says what to write.

    Values are checked where every manifest's are, when the bundle is written.
    """
    given = {name: dict(robot.sections.get(name, {})) for name in _SECTIONS}
    given['action'] = {**source.action, **given['action']}
    for name in ('action', 'proprioception'):
        if name in robot.statistics:
            if 'normalization' in given[name] and 'normalization' not in source.action:
                raise ExportError(f'{name}.normalization is in the robot file and in '
                                  '--action-stats: give it once')
            given[name].setdefault('normalization', robot.statistics[name])
    given['image'].pop('normalization', None)  # in the graph, if this model takes one
    _check_objective(source, given['cost'])
    pose = source.rule == 'integrate_pose' or given['proprioception'].get('rule') == \
        'integrate_pose'
    _ask_for_missing(source, given, robot.path, pose)
    action = _action(source, given['action'])
    manifest: dict[str, Any] = {
        'model': {'name': '', 'version': '', 'license': '', **source.identity, **given['model']},
        'action': action,
    }
    if source.image is not None:
        fixed = {'frames': 1, **source.image}
        _check_fixed('image', fixed, given['image'])
        if 'cameras' in given['image'] and 'cameras' not in source.image:
            raise ExportError('image.cameras: this model sees with one camera, which needs no '
                              'name: leave it out')
        manifest['image'] = {'color': 'rgb', 'normalization': 'in_graph', **fixed, **given['image']}
    if source.proprioception:
        manifest['proprioception'] = _proprioception(source, given['proprioception'], pose)
    manifest['latent'] = dict(source.latent)
    manifest['cost'] = given['cost'] or dict(source.cost)
    if source.goal is not None:
        manifest['goal'] = {**source.goal, **given['goal']}
    manifest['planner'] = _planner(source, given['planner'], action)
    return manifest


def assumed_planner(robot: Robot, planner: Mapping[str, Any]) -> str:
    """What a manifest's planner does that the robot file does not say, in one line; '' if none."""
    given = robot.sections.get('planner', {})
    said = [f'{name} {_plain(planner[name])}' for name in (
        'sampler', 'horizon', 'samples', 'iterations', 'sigma') if name not in given]
    if 'refinement' in planner and 'refinement' not in given:
        said.append(f'{planner["refinement"]["rounds"]} rounds of refinement')
    if not said:
        return ''
    return (f'planner: {", ".join(said)}, since the robot file does not say; plan_deadline decides '
            'how much of it runs (wmros check tells)')


def _plain(value: Any) -> str:
    """A number or name, or a list of them in which all may be the same."""
    several = value if isinstance(value, list) else [value]
    return str(several[0]) if len(set(several)) == 1 else str(value)


def _required(source: ModelSource, given: Mapping[str, Mapping[str, Any]], pose: bool) -> list[str]:
    fields = ['model.name', 'model.version', 'model.license', 'action.kind', 'action.names',
              'action.units', 'action.lower', 'action.upper', 'action.normalization',
              'action.step_duration']
    if given['action'].get('kind') in ('twist', 'pose_delta'):
        fields.append('action.frame')
    if source.image is not None:
        fields += ['image.crop', 'image.interpolation']
    if source.proprioception:
        if source.rule == 'ask':
            fields.append('proprioception.rule')
        fields += ['proprioception.frame', 'proprioception.link'] if pose else [
            'proprioception.joints', 'proprioception.fields', 'proprioception.normalization']
        if pose and source.proprioception == 7:
            fields.append('proprioception.gripper')
    if source.goal is not None:
        fields.append('goal.reached')
    return fields


def _ask_for_missing(
    source: ModelSource, given: Mapping[str, Mapping[str, Any]], path: Path | None, pose: bool
) -> None:
    required = [name.split('.') for name in _required(source, given, pose)]
    missing = [(section, key) for section, key in required if key not in given[section]]
    if not missing:
        return
    lines: list[str] = []
    for section in dict.fromkeys(section for section, _ in missing):
        lines.append(f'{section}:')
        if section == 'action':
            lines.append(f'  # the model takes {source.step_size} numbers a step: '
                         'names x rows that one step takes')
        if section == 'proprioception':
            lines.append(f'  # the model takes {source.proprioception} numbers')
        lines += [f'  {key}: ' + (_STATISTICS_HINT if key == 'normalization'
                                  else _HINTS[f'{section}.{key}'])
                  for of, key in missing if of == section]
    names = ', '.join(f'{section}.{key}' for section, key in missing)
    where = f'{path} lacks' if path else 'no --robot FILE says'
    raise ExportError(
        f'{where} what no checkpoint knows: {names}.\n'
        f'Write {"into it" if path else "a file, robot.yaml say,"} with your own values:\n\n'
        + '\n'.join(lines) + '\n')


def _action(source: ModelSource, given: Mapping[str, Any]) -> dict[str, Any]:
    names = given['names']
    count = len(names) if isinstance(names, list) else 0
    if count == 0 or source.step_size % count:
        raise ExportError(f'action.names has {count} names, and the model takes '
                          f'{source.step_size} numbers a step: that is no whole number of actions')
    rows = {'rows_per_step': source.step_size // count}
    _check_fixed('action', rows, given)
    action = {'frozen': {}, 'dead_band': [0.0] * count, **given, **rows}
    if source.largest_action is not None:
        _check_reach(source.largest_action, action)
    return action


def _check_objective(source: ModelSource, given: Mapping[str, Any]) -> None:
    objective = source.cost['objective']
    if given.get('objective', objective) != objective:
        why = ('return takes graphs of reward and value, which only tdmpc2 has: leave cost out, or '
               'give the terms of a goal' if objective == 'goal' else
               'the model plans for its return: leave it out')
        raise ExportError(f'cost.objective is {given["objective"]!r} in the robot file; {why}')


def _check_fixed(section: str, fixed: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for key, value in fixed.items():
        if given.get(key, value) != value:
            raise ExportError(f'{section}.{key} is {given[key]!r} in the robot file; with this '
                              f'model it is {value!r}: correct it or leave it out')


def _check_reach(largest: float, action: Mapping[str, Any]) -> None:
    try:
        mean, std = (np.asarray(action['normalization'][key], float) for key in ('mean', 'std'))
        bounds = [(np.asarray(action[key], float) - mean) / std for key in ('lower', 'upper')]
        reach = list(zip(action['names'], *bounds, strict=True))
    except (TypeError, KeyError, ValueError):
        return  # the manifest's own check says it better
    for name, low, high in reach:
        if low < -largest - 1e-6 or high > largest + 1e-6:
            raise ExportError(
                f'action: bounds of {name} are {low:.3g} to {high:.3g} for the model, which knows '
                f"-{largest:g} to {largest:g} only: normalization must map the model's range to "
                'what the training actions meant (std: the physical value of 1)')


def _proprioception(source: ModelSource, given: Mapping[str, Any], pose: bool) -> dict[str, Any]:
    rule = given.get('rule', source.rule)
    if source.rule != 'ask' and rule != source.rule:
        raise ExportError(f"proprioception.rule is {rule}: this model's is {source.rule}")
    state = {'rule': rule, **given}
    if pose:
        size = source.proprioception
        state.setdefault('normalization', {'mean': [0.0] * size, 'std': [1.0] * size})
        return state
    size = _joint_numbers(given)
    if size != source.proprioception:
        raise ExportError(f'proprioception: joints {given["joints"]!r} x fields '
                          f'{given["fields"]!r} are {size} numbers, the model takes '
                          f'{source.proprioception}')
    return state


def _joint_numbers(state: Mapping[str, Any]) -> int:
    """How many numbers the fields of all joints are; 0 for what is no list."""
    joints, fields = state.get('joints'), state.get('fields')
    return len(joints) * len(fields) if isinstance(joints, list) and isinstance(fields, list) else 0


def _planner(
    source: ModelSource, given: Mapping[str, Any], action: Mapping[str, Any]
) -> dict[str, Any]:
    count = len(action['names'])
    published = dict(source.planner)
    if given.get('sampler', 'mppi') != 'mppi':
        published.pop('temperature', None)  # it belongs to the sampler that is replaced
    settings: dict[str, Any] = {
        'sampler': 'cem', 'horizon': HORIZON, 'interpolation': 'hold', 'samples': 300,
        'iterations': 30, 'elites': 30, 'sigma': 1.0, 'sigma_min': 0.05, 'momentum': 0.0,
        'constant_grid': 0, 'memory': 512, **published, **given}
    # Every row is free, as published; a robot with less time thins the knots out.
    settings.setdefault('knots', list(range(settings['horizon'] * action['rows_per_step'])))
    if source.cost['objective'] == 'goal':
        # Not published: it finds as much as the search with a fraction of its sequences.
        settings.setdefault('refinement', {'rounds': 3, 'knots': settings['knots']})
    for key in ('sigma', 'sigma_min'):
        if isinstance(settings[key], int | float):
            settings[key] = [settings[key]] * count
    return settings


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        data = read_yaml(path.read_bytes())  # JSON is YAML
    except (OSError, ValueError) as error:
        raise ExportError(f'{path}: {error}') from error
    if not isinstance(data, dict):
        raise ExportError(f'{path}: holds no mapping')
    return data


def _read_statistics(path: Path, wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """Mean and standard deviation of wanted sections, from a file that has them or from data.

    YAML or JSON: `action: {mean: […], std: […]}` (`stats.json` of LeRobot has that form). NumPy's
    `.npz` or `.npy`, HDF5 or CSV: recorded actions, one a row, of which they are computed as
    `column_normalizer` of stable-worldmodel does (rows with NaN left out), with which its scripts
    train all families but TD-MPC2.
    """
    if not path.is_file():
        raise ExportError(f'{path}: no such file')
    if path.suffix in ('.yaml', '.yml', '.json'):
        data = _read_json(path) if path.suffix == '.json' else _read_mapping(path)
        found = {section: _numbers(path, data[name]) for section, names in _NAMES.items()
                 for name in names if name in data and section in wanted}
    else:
        found = {section: _fit(path, section, rows) for section, rows in _read_rows(path).items()
                 if section in wanted}
    if 'action' not in found:
        raise ExportError(f'{path}: has no statistics of actions: give action: {{mean: [...], '
                          'std: [...]}}, or a data set with an array "action"')
    return found


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ExportError(f'{path}: {error}') from error
    if not isinstance(data, dict):
        raise ExportError(f'{path}: holds no mapping')
    return data


def _numbers(path: Path, entry: Any) -> dict[str, Any]:
    try:
        mean, std = (np.asarray(entry[key], float).ravel() for key in ('mean', 'std'))
    except (TypeError, KeyError, ValueError) as error:
        raise ExportError(f'{path}: an entry is no {{mean: [...], std: [...]}} ({error})'
                          ) from error
    return {'mean': mean.tolist(), 'std': std.tolist()}


def _read_rows(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        if path.suffix == '.npy':
            return {'action': np.load(path, allow_pickle=False)}
        if path.suffix == '.csv':
            # A header is read as NaN, and such rows are left out.
            return {'action': np.genfromtxt(path, delimiter=',', ndmin=2)}
        if path.suffix == '.npz':
            with np.load(path, allow_pickle=False) as archive:
                return {section: archive[name] for section, names in _NAMES.items()
                        for name in names if name in archive.files}
        if path.suffix in ('.h5', '.hdf5'):
            import h5py  # type: ignore[import-not-found, import-untyped, unused-ignore]
            with h5py.File(path, 'r') as archive:
                return {section: np.asarray(archive[name]) for section, names in _NAMES.items()
                        for name in names if name in archive}
    except ModuleNotFoundError as error:
        raise ExportError(f'{path}: needs {error.name}: pip install {error.name}') from error
    except Exception as error:  # the border: what zipfile, NumPy and h5py raise is open-ended
        raise ExportError(f'{path}: {error}') from error
    raise ExportError(f'{path}: statistics come from .yaml, .json, .npz, .npy, .h5 or .csv')


def _fit(path: Path, section: str, rows: NDArray[np.float64]) -> dict[str, Any]:
    rows = np.asarray(rows, np.float64)
    rows = rows.reshape(-1, rows.shape[-1] if rows.ndim > 1 else 1)
    rows = rows[~np.isnan(rows).any(axis=1)]
    if len(rows) < 2:
        raise ExportError(f'{path}, {section}: {len(rows)} rows without NaN give no standard '
                          'deviation')
    mean, std = rows.mean(0), rows.std(0)
    if (std < 1e-8).any():
        constant = np.flatnonzero(std < 1e-8).tolist()
        cure = ('freeze those numbers (action.frozen) and give action.normalization by hand'
                if section == 'action' else
                'give proprioception.normalization by hand, with std: 1 for them')
        raise ExportError(f'{path}, {section}: columns {constant} never change: {cure}')
    return {'mean': mean.tolist(), 'std': std.tolist()}
