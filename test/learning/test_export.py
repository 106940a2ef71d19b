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
"""Exported bundles choose what torch chooses; what cannot be exported or known is said plainly."""

import json
import re
import shlex
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip('torch', reason='needs the train extra')
pytest.importorskip('onnxscript', reason='needs the train extra')

import export_modules  # noqa: E402
from export_modules import PROPRIOCEPTION, ROBOT  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from world_model_ros.bundle import BundleError  # noqa: E402
from world_model_ros.bundle.load import parse_manifest  # noqa: E402
from world_model_ros.cli import check, main  # noqa: E402
from world_model_ros.inference.integration import integration  # noqa: E402
from world_model_ros.learning.export import (  # noqa: E402
    ExportError,
    Request,
    assemble,
    build,
    graphs,
    read_robot,
    tdmpc2,
    verify,
)
from world_model_ros.learning.export.assemble import draft_manifest  # noqa: E402
from world_model_ros.learning.export.checkpoint import instantiate, read_tensors  # noqa: E402
from world_model_ros.learning.export.examples import random_actions  # noqa: E402
from world_model_ros.learning.export.graphs import GraphSource, write_graph  # noqa: E402
from world_model_ros.learning.export.module import make  # noqa: E402
from world_model_ros.learning.export.reference import Reference  # noqa: E402
from world_model_ros.learning.export.robot import manifest_sections  # noqa: E402
from world_model_ros.learning.export.source import ModelSource  # noqa: E402


def robot_file(
    folder: Path, without: str = '', change: dict[str, dict[str, Any]] | None = None
) -> Path:
    """Write ROBOT less the field `section.key`, with sections replaced or added."""
    sections = {**{name: dict(section) for name, section in ROBOT.items()}, **(change or {})}
    section, _, key = without.partition('.')
    if key:
        del sections[section][key]
    path = folder / 'robot.yaml'
    path.write_text(json.dumps(sections))
    return path


def module_source(
    robot: Path, predictor: str, statistics: Path | None = None, encoder: str = 'Encoder',
    goal_encoder: str = '',
) -> ModelSource:
    request = Request(
        encoder=f'export_modules:{encoder}', predictor=f'export_modules:{predictor}',
        goal_encoder=f'export_modules:{goal_encoder}' if goal_encoder else None)
    return build('module', request, read_robot(robot, statistics))


FIELD = {'horizontal': 1.0, 'vertical': 0.7}
TWO_CAMERAS = {**ROBOT['image'], 'cameras': ['shelf', 'wrist'], 'fields_of_view': [FIELD, FIELD]}


@pytest.mark.parametrize(('encoder', 'predictor', 'change'), [
    ('Encoder', 'MarkovRollout', {}),
    ('Encoder', 'WindowStatesPredictor',
     {'proprioception': {**PROPRIOCEPTION, 'rule': 'integrate_joints'}}),
    ('TwoCameras', 'RecurrentPredictor', {'image': TWO_CAMERAS}),
    ('TwoPictures', 'MarkovPredictor', {'image': {**ROBOT['image'], 'frames': 2}}),
    ('Encoder', 'PaddingPredictor', {}),
    ('TupleEncoder', 'TupleWindowPredictor', {}),
    ('TupleEncoder', 'TupleRollout', {}),
])
def test_a_module_of_your_own_becomes_a_bundle_that_chooses_what_torch_chooses(
    tmp_path: Path, encoder: str, predictor: str, change: dict[str, Any],
) -> None:
    path = robot_file(tmp_path, change=change)
    source = module_source(path, predictor, encoder=encoder)
    lines: list[str] = []
    bundle = assemble(source, read_robot(path, None), tmp_path / 'bundle', lines.append)
    assert bundle.manifest.action.rows_per_step == 2
    assert bundle.golden.image is not None and bundle.golden.image.shape[1:] == (
        (2, 16, 24, 3) if 'image' in change else (16, 24, 3))
    assert len(lines) == 4
    # The robot file of this test has a horizon.
    assert lines[0].startswith('planner: sampler cem, samples 300, iterations 30, sigma 1.0, 3 '
                               'rounds of refinement, since the robot file does not say; plan_dead')
    assert lines[-1].startswith("ranking: 30 of the best 30 of 300 candidates are torch's")
    assert not list(tmp_path.glob('.*partial'))


def test_an_encoder_may_take_the_state_before_the_picture(tmp_path: Path) -> None:
    path = robot_file(tmp_path, change={'proprioception': {**PROPRIOCEPTION, 'rule': 'none'}})
    latents = []
    for encoder in ('StateEncoder', 'StateFirstEncoder'):
        source = module_source(path, 'MarkovPredictor', encoder=encoder)
        bundle = assemble(source, read_robot(path, None), tmp_path / encoder, print)
        latents.append(bundle.golden.latent)
    np.testing.assert_array_equal(*latents)


@pytest.mark.parametrize('predictor', ['MemoryBeforeActionPredictor', 'RecurrentRollout'])
def test_states_that_do_not_follow_one_latent_and_action_are_refused(
    tmp_path: Path, predictor: str
) -> None:
    with pytest.raises(ExportError, match=r'forward takes .*in this order'):
        module_source(robot_file(tmp_path), predictor)


def test_a_context_of_one_latent_is_told_to_be_markov(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r'single latent is forward\(self, latent, action\)'):
        module_source(robot_file(tmp_path), 'OneFramePredictor')


@pytest.mark.parametrize(('predictor', 'said'), [
    ('AllFramesPredictor', r'predictor: gives \(2, 3, 6\), it must give next_latent \(2, 6\): '
                           'return the last frame alone'),
    ('FullWindowPredictor', 'predictor: fails on .* 1 to 3 latents, fewer at first: pad inside'),
    ('MiscountedPredictor', r'predictor: fails on .* cannot be multiplied \(6x9 and 10x6\)$'),
    ('OneStepPredictor', r'gives \(2, 1, 6\), it must give next_latent \(2, 6\): return the last'),
    ('NarrowPredictor', r'gives \(2, 4\), it must give next_latent \(2, 6\)$'),
    ('NamingPredictor', r'gives dict, it must give next_latent \(2, 6\)$'),
    ('SilentPredictor', r'gives nothing, it must give next_latent \(2, 6\)$'),
    ('OneStepRollout', r'rollout: gives \(2, 1, 6\), it must give latents \(2, 3, 6\)$'),
    ('ForgetfulPredictor', r'must give next_latent \(2, 6\), next_memory \(2, 5\)$'),
    ('UnshapedMemoryPredictor', r'self\.states is .* write self\.states = {"memory": \(size,\)}'),
    ('UnnamedMemoryPredictor', r'self\.states is .* write self\.states = {"memory": \(size,\)}'),
    ('ListedPartsPredictor', r'self\.parts is .* ranges of 0 to 6'),
    ('WidePartsPredictor', r'self\.parts is .* ranges of 0 to 6'),
])
def test_what_a_predictor_gives_and_says_of_itself_is_held_against_the_latent(
    tmp_path: Path, predictor: str, said: str
) -> None:
    with pytest.raises(ExportError, match=said):
        module_source(robot_file(tmp_path), predictor)


def test_an_encoder_that_gives_more_than_a_latent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r'encoder: gives \(2, 6\), \(2, 6\) for 2 observations'):
        module_source(robot_file(tmp_path), 'MarkovPredictor', encoder='TwiceEncoder')


def test_a_goal_that_is_not_the_first_part_of_the_latent_is_refused(tmp_path: Path) -> None:
    said = r'gives \(2, 6\), it must give goal \(2, 4\): return the part visual of the latent'
    with pytest.raises(ExportError, match=said):
        module_source(robot_file(tmp_path), 'PartsPredictor', goal_encoder='Encoder')


def test_a_picture_for_an_encoder_that_takes_none_is_refused(tmp_path: Path) -> None:
    path = robot_file(tmp_path, change={'proprioception': {**PROPRIOCEPTION, 'rule': 'none'}})
    with pytest.raises(ExportError, match='forward takes no image: leave the section'):
        module_source(path, 'MarkovPredictor', encoder='BlindEncoder')


def test_cameras_of_a_model_that_sees_with_one_are_refused(tmp_path: Path) -> None:
    source = module_source(robot_file(tmp_path), 'MarkovPredictor')
    path = robot_file(tmp_path, change={'image': {**ROBOT['image'], 'cameras': ['a', 'b']}})
    with pytest.raises(ExportError, match=r'image\.cameras: this model sees with one camera'):
        manifest_sections(source, read_robot(path, None))


def test_clips_of_a_model_that_sees_one_picture_are_refused(tmp_path: Path) -> None:
    source = replace(module_source(robot_file(tmp_path), 'MarkovPredictor'),
                     image={'width': 24, 'height': 16})  # as that of the other families
    path = robot_file(tmp_path, change={'image': {**ROBOT['image'], 'frames': 2}})
    with pytest.raises(ExportError, match=r'image\.frames is 2 .* with this model it is 1'):
        manifest_sections(source, read_robot(path, None))


@pytest.mark.parametrize('frames', [0, '2', 2.0, None])
def test_a_number_of_frames_that_is_none_is_refused(tmp_path: Path, frames: object) -> None:
    path = robot_file(tmp_path, change={'image': {**ROBOT['image'], 'frames': frames}})
    with pytest.raises(ExportError, match=r'image\.frames is .*: give the number of pictures'):
        module_source(path, 'MarkovPredictor')


@pytest.mark.parametrize(('family', 'said'), [
    ('module', 'your encoder takes uint8 and normalises itself: leave it out'),
    ('vjepa2', 'the published weights fix it: leave it out')])
def test_pixels_are_normalised_by_the_robot_file_only_where_the_model_leaves_it_open(
    tmp_path: Path, family: str, said: str
) -> None:
    path = robot_file(tmp_path, change={'image': {**ROBOT['image'], 'normalization': 'in_graph'}})
    with pytest.raises(ExportError, match=said):
        build(family, Request(), read_robot(path, None))


@pytest.mark.parametrize('normalization', [
    'in_graph', {'mean': [0.5] * 3}, {'mean': [0.5] * 3, 'std': [0.5] * 2},
    {'mean': [123.7, 116.3, 103.5], 'std': [58.4, 57.1, 57.4]},  # of bytes
    {'mean': [0.5] * 3, 'std': [0.5, 0.0, 0.5]},
    {'mean': [0.5] * 3, 'std': [0.5] * 3, 'layout': 'nchw'}])
def test_a_normalisation_of_pixels_that_is_no_fraction_of_brightness_is_refused(
    tmp_path: Path, normalization: object
) -> None:
    path = robot_file(
        tmp_path, change={'image': {**ROBOT['image'], 'normalization': normalization}})
    with pytest.raises(ExportError, match='give three fractions of full brightness each'):
        _ = read_robot(path, None).pixels


@pytest.mark.parametrize('without', ['', 'goal.reached'])
def test_a_return_of_modules_that_have_no_reward_is_refused_at_once(
    tmp_path: Path, without: str
) -> None:
    path = robot_file(
        tmp_path, without, {'cost': {'objective': 'return', 'discount': 0.99}})
    source = module_source(path, 'MarkovPredictor')
    with pytest.raises(ExportError, match='only tdmpc2 has: leave cost out, or give the terms'):
        manifest_sections(source, read_robot(path, None))


def test_weights_too_large_for_one_file_lie_beside_the_graph_with_a_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs, '_ONE_FILE', 0)  # bytes; really 1.9 GB
    path = robot_file(tmp_path)
    source = module_source(path, 'WindowPredictor')
    bundle = assemble(source, read_robot(path, None), tmp_path / 'bundle', print)
    assert 'encoder.onnx.data' in bundle.manifest.files  # (tiny tensors stay in their graph)


def test_the_example_of_the_documentation_exports_compares_and_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / 'docs' / 'export.md').read_text()
    for name in ('my_jepa.py', 'robot.yaml'):
        block = re.search(rf'^`{name}`:\n\n```\w+\n(.*?)```', text, re.DOTALL | re.MULTILINE)
        assert block
        (tmp_path / name).write_text(block[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    commands = text[text.index('Save the trained weights'):]
    save = re.search(r'python -c "(.*?)"', commands, re.DOTALL)
    export = re.search(r'wmros (export module .*?)\n```', commands, re.DOTALL)
    assert save
    assert export
    exec(save[1], {})
    assert main.main(shlex.split(export[1].replace('\\\n', ' '))) == 0
    said = capsys.readouterr().out
    assert "30 of the best 30 of 300 candidates are torch's" in said
    assert 'Golden vectors' in said  # the report of wmros check
    assert (tmp_path / 'models' / 'my-jepa' / 'bundle.yaml').is_file()


def test_an_export_that_its_check_finds_unfit_does_not_end_with_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError('killed by signal 9')

    monkeypatch.setattr(check, 'time_to_first_latent', killed)
    code = main.main(['export', 'module', '--encoder', 'export_modules:Encoder', '--predictor',
                      'export_modules:MarkovPredictor', '--robot', str(robot_file(tmp_path)),
                      '--out', str(tmp_path / 'bundle')])
    said = capsys.readouterr().out
    assert 'killed by signal 9' in said
    assert 'Verdict: unfit' in said
    assert code == 1


def test_a_sampler_of_the_robot_file_comes_without_the_settings_of_the_published_one(
    tmp_path: Path
) -> None:
    source = replace(module_source(robot_file(tmp_path), 'MarkovPredictor'),
                     planner=tdmpc2.PLANNER)
    settings = manifest_sections(source, read_robot(robot_file(tmp_path), None))['planner']
    assert (settings['sampler'], settings['temperature']) == ('mppi', 2.0)
    path = robot_file(tmp_path, change={'planner': {'sampler': 'cem'}})
    settings = manifest_sections(source, read_robot(path, None))['planner']
    assert (settings['sampler'], settings.get('temperature')) == ('cem', None)


def test_whatever_is_missing_is_asked_for_by_name_with_the_text_to_write(tmp_path: Path) -> None:
    path = robot_file(tmp_path, without='action.normalization')
    source = module_source(path, 'MarkovPredictor')
    with pytest.raises(ExportError) as refusal:
        manifest_sections(source, read_robot(path, None))
    assert 'lacks what no checkpoint knows: action.normalization.' in str(refusal.value)
    assert '--action-stats' in str(refusal.value)
    with pytest.raises(ExportError) as refusal:
        manifest_sections(source, read_robot(None, None))
    template = yaml.safe_load(str(refusal.value).split('\n\n')[1])
    # The template, filled in with its own examples, is a robot file that nothing is missing from.
    path.write_text(json.dumps(template))
    template['action']['names'] = ['shoulder', 'elbow']
    assert manifest_sections(source, read_robot(path, None))['action']['rows_per_step'] == 2


@pytest.mark.parametrize('field', ['action.names', 'action.lower', 'action.step_duration',
                                   'model.license', 'image.crop', 'goal.reached'])
def test_no_field_of_the_robot_is_guessed(tmp_path: Path, field: str) -> None:
    source = module_source(robot_file(tmp_path), 'MarkovPredictor')
    path = robot_file(tmp_path, without=field)
    with pytest.raises(ExportError, match=field):
        manifest_sections(source, read_robot(path, None))


@pytest.mark.parametrize(('change', 'said'), [
    ({'camera': {}}, '"camera" is no section'),
    ({'/**/controller': {'ros__parameters': {}}}, 'is the parameters file for robot.launch.py'),
    ({'goal': {'reachd': 1.0}}, r'goal\.reachd is not known'),
    ({'action': {**ROBOT['action'], 'rows_per_step': 3},
      'proprioception': {'rule': 'hold', **PROPRIOCEPTION}}, r'action\.rows_per_step is 3'),
    ({'proprioception': {'rule': 'hold', **PROPRIOCEPTION, 'joints': ['one']}},
     'are 2 numbers, the model takes 4'),
])
def test_a_robot_file_that_does_not_fit_is_refused_by_field(
    tmp_path: Path, change: dict[str, dict[str, Any]], said: str
) -> None:
    good = robot_file(tmp_path, change={'proprioception': {'rule': 'hold', **PROPRIOCEPTION}})
    source = module_source(good, 'WindowStatesPredictor')
    path = robot_file(tmp_path, change=change)
    with pytest.raises(ExportError, match=said):
        manifest_sections(source, read_robot(path, None))


def test_wrong_values_are_refused_before_anything_is_exported(tmp_path: Path) -> None:
    path = robot_file(tmp_path, change={'action': {**ROBOT['action'], 'lower': [2.0, 2.0]}})
    source = module_source(path, 'MarkovPredictor')
    with pytest.raises(BundleError, match=r'action\.lower: 2 is not below upper'):
        assemble(source, read_robot(path, None), tmp_path / 'bundle', print)
    assert not (tmp_path / 'bundle').exists()


def test_a_robot_file_is_read_as_the_manifest_is(tmp_path: Path) -> None:
    path = robot_file(tmp_path)
    source = module_source(path, 'MarkovPredictor')
    for written, meant in (('2024-05-01', '2024-05-01'), ('2024-13-45', '2024-13-45'),
                           ('1e-3', 0.001), ('1:30', '1:30'), ('010', '010')):
        path.write_text(f'model: {{version: {written}}}')
        assert read_robot(path, None).sections['model']['version'] == meant
    sections = {**ROBOT, 'model': {**ROBOT['model'], 'version': 'DATE'}}
    path.write_text(json.dumps(sections).replace('"DATE"', '2024-05-01'))
    drafted = draft_manifest(tmp_path, {
        **manifest_sections(source, read_robot(path, None)),
        'graphs': {'encoder': {'file': 'encoder.onnx'},
                   'predictor': {'file': 'predictor.onnx', 'kind': 'markov'}}})
    assert drafted.model.version == '2024-05-01'


@pytest.mark.parametrize('text', ['model: {name: a, name: b}', 'model: &a {}\ngoal: *a', '\xff',
                                  'model: !!python/object/apply:os.abort []', '- a', 'a: ]'])
def test_a_robot_file_that_is_no_plain_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / 'robot.yaml'
    path.write_bytes(text.encode('latin-1'))
    with pytest.raises(ExportError, match=r'robot\.yaml: '):
        read_robot(path, None)


@pytest.mark.parametrize('horizon', ['3', 3.0, 0, None])
def test_a_horizon_that_is_no_number_of_steps_is_refused(tmp_path: Path, horizon: object) -> None:
    path = robot_file(tmp_path, change={'planner': {'horizon': horizon}})
    with pytest.raises(ExportError, match=r'planner\.horizon is .* number of model steps'):
        read_robot(path, None)


@pytest.mark.parametrize('sigma', [1, 1.0, [1.0, 1.0]])
def test_one_deviation_stands_for_all_numbers_of_an_action(tmp_path: Path, sigma: object) -> None:
    path = robot_file(tmp_path, change={'planner': {'sigma': sigma}})
    source = module_source(path, 'MarkovPredictor')
    assert manifest_sections(source, read_robot(path, None))['planner']['sigma'] == [1.0, 1.0]


def test_bounds_of_another_length_are_left_to_the_manifests_check(tmp_path: Path) -> None:
    source = replace(module_source(robot_file(tmp_path), 'MarkovPredictor'), largest_action=1.0)
    for lower in ([-1.0], [-1.0] * 3, -1.0):
        path = robot_file(tmp_path, change={'action': {
            **ROBOT['action'], 'lower': lower, 'upper': lower,
            'normalization': {'mean': 0.0, 'std': 2.0}}})
        assert manifest_sections(source, read_robot(path, None))['action']['lower'] == lower


@pytest.mark.parametrize(('encoder', 'predictor', 'rule', 'said'), [
    ('StateEncoder', 'MarkovPredictor', 'integrate_joints',
     r"is given the robot's state, but its forward takes latent, action: set the rule to none "
     r'.*one more argument, proprioception$'),
    ('StateEncoder', 'WindowPredictor', 'hold', r'takes context, actions: .*argument, states$'),
    ('StateEncoder', 'WindowStatesPredictor', 'none',
     r"is not given the robot's state, but its forward takes context, actions, states: set the "
     r'rule to hold or integrate_joints$'),
    ('Encoder', 'MarkovPredictor', 'none', 'neither the encoder nor the predictor takes it'),
])
def test_a_rule_for_the_state_that_does_not_fit_what_forward_takes_is_refused_before_the_export(
    tmp_path: Path, encoder: str, predictor: str, rule: str, said: str,
) -> None:
    path = robot_file(tmp_path, change={'proprioception': {**PROPRIOCEPTION, 'rule': rule}})
    source = module_source(path, predictor, encoder=encoder)
    lines: list[str] = []
    with pytest.raises(ExportError, match=said):
        assemble(source, read_robot(path, None), tmp_path / 'bundle', lines.append)
    assert not lines


@pytest.mark.parametrize(('encoder', 'warnings'), [('StateEncoder', 1), ('Encoder', 0)])
def test_who_compares_the_robots_state_of_now_with_a_goals_is_warned(
    tmp_path: Path, encoder: str, warnings: int,
) -> None:
    path = robot_file(tmp_path, change={'proprioception': {**PROPRIOCEPTION, 'rule': 'hold'}})
    source = module_source(path, 'WindowStatesPredictor', encoder=encoder)
    lines: list[str] = []
    assemble(source, read_robot(path, None), tmp_path / 'bundle', lines.append)
    assert sum('pull the robot to where it is' in line for line in lines) == warnings


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path: Path) -> None:
    path = robot_file(tmp_path)
    with pytest.raises(ExportError, match='holds other things'):
        assemble(module_source(path, 'MarkovPredictor'), read_robot(path, None), tmp_path, print)


def test_a_bundle_has_no_place_where_a_file_or_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = robot_file(tmp_path)
    source, robot = module_source(path, 'MarkovPredictor'), read_robot(path, None)
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    for out, said in (('.', 'is where you are'), ('..', 'is where you are'),
                      (path, 'is a file'), (path / 'bundle', 'cannot write .*robot.yaml')):
        with pytest.raises(ExportError, match=said):
            assemble(source, robot, Path(out), lambda _: pytest.fail('exported already'))


def test_a_bundle_is_replaced_where_a_link_leads(tmp_path: Path) -> None:
    path = robot_file(tmp_path)
    source, robot = module_source(path, 'MarkovPredictor'), read_robot(path, None)
    assemble(source, robot, tmp_path / 'bundle', print)
    marker = tmp_path / 'bundle' / 'old'
    marker.touch()
    link = tmp_path / 'link'
    link.symlink_to('bundle')
    assert assemble(source, robot, link, print).path == link
    assert link.is_symlink()
    assert not marker.exists()


def test_an_export_that_fails_at_last_leaves_the_bundle_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = robot_file(tmp_path)
    source, robot = module_source(path, 'MarkovPredictor'), read_robot(path, None)
    assemble(source, robot, tmp_path / 'bundle', print)
    marker = tmp_path / 'bundle' / 'old'
    marker.touch()
    monkeypatch.setattr(verify, 'TOLERANCE', -1.0)
    with pytest.raises(ExportError, match='does not choose what torch chooses'):
        assemble(source, robot, tmp_path / 'bundle', print)
    assert marker.exists()
    assert not list(tmp_path.glob('.*partial'))


@pytest.mark.parametrize('suffix', ['.json', '.yaml', '.npz', '.npy', '.csv'])
def test_statistics_come_from_numbers_or_from_the_data(tmp_path: Path, suffix: str) -> None:
    rows = np.random.default_rng(0).normal([0.2, -0.1], [0.5, 2.0], (400, 2))
    mean, std = rows.mean(0), rows.std(0)
    path = tmp_path / f'stats{suffix}'
    if suffix == '.json':  # as meta/stats.json of LeRobot
        path.write_text(json.dumps({'action': {'mean': mean.tolist(), 'std': std.tolist()}}))
    elif suffix == '.yaml':
        path.write_text(f'action: {{mean: {mean.tolist()}, std: {std.tolist()}}}')
    elif suffix == '.npz':
        with_gap = np.insert(rows, 7, np.nan, axis=0)  # an episode's end
        np.savez(path, action=with_gap)
    elif suffix == '.npy':
        np.save(path, rows.reshape(20, 20, 2))
    else:
        np.savetxt(path, rows, delimiter=',', header='x,y')
    robot = robot_file(tmp_path, without='action.normalization')
    source = module_source(robot, 'MarkovPredictor', path)
    normalization = manifest_sections(source, read_robot(robot, path))['action']['normalization']
    np.testing.assert_allclose(normalization['mean'], mean, rtol=1e-6)
    np.testing.assert_allclose(normalization['std'], std, rtol=1e-6)


@pytest.mark.parametrize('header', ['', 'x,y', '# x,y'])
def test_of_a_table_no_row_is_lost(tmp_path: Path, header: str) -> None:
    rows = np.random.default_rng(0).normal(size=(3, 2))
    np.savetxt(tmp_path / 'two.csv', rows, delimiter=',', header=header, comments='')
    found = read_robot(None, tmp_path / 'two.csv').statistics['action']
    np.testing.assert_allclose(found['mean'], rows.mean(0))
    np.testing.assert_allclose(found['std'], rows.std(0))


@pytest.mark.parametrize('name', ['one.npy', 'one.npz', 'one.csv'])
def test_actions_of_one_number_may_be_a_plain_list(tmp_path: Path, name: str) -> None:
    numbers = np.random.default_rng(0).normal(size=40)
    with (tmp_path / name).open('wb') as file:
        if name == 'one.npy':
            np.save(file, numbers)
        elif name == 'one.npz':
            np.savez(file, action=numbers)
        else:
            np.savetxt(file, numbers, header='x', comments='')
    found = read_robot(None, tmp_path / name).statistics['action']
    assert found == {'mean': [pytest.approx(numbers.mean())], 'std': [pytest.approx(numbers.std())]}


def test_statistics_given_twice_or_of_numbers_that_never_change_are_refused(
    tmp_path: Path
) -> None:
    path = tmp_path / 'stats.npz'
    np.savez(path, action=np.random.default_rng(0).normal(size=(9, 2)))
    robot = robot_file(tmp_path)
    with pytest.raises(ExportError, match='give it once'):
        manifest_sections(module_source(robot, 'MarkovPredictor'), read_robot(robot, path))
    np.savez(path, action=np.ones((9, 2)))
    with pytest.raises(ExportError, match=r'npz, action: columns \[0, 1\] never change: freeze'):
        read_robot(robot, path)


def test_statistics_are_made_of_what_the_robot_file_describes(tmp_path: Path) -> None:
    path = tmp_path / 'stats.npz'
    np.savez(path, action=np.random.default_rng(0).normal(size=(9, 2)), proprio=np.ones((9, 4)))
    assert list(read_robot(robot_file(tmp_path), path).statistics) == ['action']
    robot = robot_file(tmp_path, change={'proprioception': PROPRIOCEPTION})
    with pytest.raises(ExportError, match=r'proprioception: columns .* by hand, with std: 1'):
        read_robot(robot, path)


@pytest.mark.parametrize('length', [0, 300])
def test_statistics_from_a_file_that_was_cut_off_are_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / 'stats.npz'
    np.savez(path, action=np.zeros((99, 2)))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ExportError, match=r'stats\.npz: '):
        read_robot(None, path)


@pytest.mark.parametrize('kind', ['pose_delta', 'twist', 'joint_position', 'joint_velocity'])
def test_torchs_side_and_the_runtime_move_the_robot_alike(kind: str) -> None:
    families = Path(__file__).parents[1] / 'bundle' / 'families'
    cartesian = kind in ('pose_delta', 'twist')
    text = yaml.safe_load(
        (families / ('vjepa2_ac.yaml' if cartesian else 'joints.yaml')).read_text())
    text['action']['kind'] = kind
    units = {'twist': ['m/s'] * 3 + ['rad/s'] * 3 + ['1/s'], 'joint_position': ['rad'] * 7,
             'joint_velocity': ['rad/s'] * 7}.get(kind, text['action']['units'])
    text['action']['units'] = units[:len(text['action']['names'])]
    manifest = parse_manifest(families, json.dumps(text).encode())
    move = integration(manifest)
    assert move is not None
    generator = np.random.default_rng(0)
    assert manifest.proprioception is not None
    state = generator.uniform(-0.9, 0.9, (1, manifest.proprioception.size)).astype(np.float32)
    rows = random_actions(generator, manifest, (
        5, manifest.planner.horizon * manifest.action.rows_per_step))
    rows += 0.1 * generator.standard_normal(rows.shape).astype(np.float32)
    ours = Reference({}, manifest).states(state, rows)
    assert ours is not None
    normal = manifest.proprioception.normalization
    theirs = (move(state[0], rows) - np.array(normal.mean)) / np.array(normal.std)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-5)


class _Sly:
    """What a pickle can do: write a file while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return eval, (f'open({str(self.path)!r}, "w").close()',)


def test_a_pickled_checkpoint_runs_nothing_unless_it_is_trusted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({'encoder': _Sly(tmp_path / 'ran')}, tmp_path / 'bad.pt')
    with pytest.raises(ExportError, match='--trust-checkpoint'):
        read_tensors(tmp_path / 'bad.pt', trust=False)
    assert not (tmp_path / 'ran').exists()
    with pytest.raises(ExportError, match='not a file that torch saved'):
        (tmp_path / 'text.pt').write_text('hello')
        read_tensors(tmp_path / 'text.pt', trust=False)


@pytest.mark.parametrize('target', ['os.system', 'builtins.eval', 'torch.hub.load',
                                    'torch.nn.init.zeros_', 'subprocess.run'])
def test_a_configuration_calls_nothing_but_model_parts(target: str) -> None:
    with pytest.raises(ExportError, match='refuses to call'):
        instantiate({'_target_': target, 'command': 'true'})


def test_a_checkpoint_of_another_model_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({'encoder': export_modules.Encoder().state_dict(),
                'predictor': export_modules.Encoder().state_dict()}, tmp_path / 'weights.pt')
    robot = read_robot(robot_file(tmp_path), None)
    request = Request(encoder='export_modules:Encoder', predictor='export_modules:MarkovPredictor',
                      checkpoint=tmp_path / 'weights.pt')
    with pytest.raises(ExportError, match=r'predictor.*mix\.weight.*another configuration'):
        build('module', request, robot)


@pytest.mark.parametrize(('weights', 'said'), [
    (export_modules.Encoder(), ''), ([1.0], 'encoder: holds a list, not a state_dict'),
])
def test_a_trusted_checkpoint_may_hold_modules_and_nothing_stranger(
    tmp_path: Path, weights: object, said: str
) -> None:
    torch.save({'encoder': weights, 'predictor': export_modules.MarkovPredictor()},
               tmp_path / 'whole.pt')
    request = Request(encoder='export_modules:Encoder', predictor='export_modules:MarkovPredictor',
                      checkpoint=tmp_path / 'whole.pt', trust=True)
    robot = read_robot(robot_file(tmp_path), None)
    with pytest.raises(ExportError, match=said) if said else nullcontext():
        build('module', request, robot)


class _NeverEvaluates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> nn.Module:
        return self

    def forward(self, latent: Tensor) -> Tensor:
        return self.inner(latent)


class _AlwaysRandom(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return nn.functional.dropout(latent, 0.5, training=True)


class _FreezesTheBatch(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return latent + int(latent.shape[0])


class _ComputesOtherThingsInTheGraph(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return 1.001 * latent if torch.compiler.is_exporting() else latent


class _DividesByZero(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return latent / 0.0


@pytest.mark.parametrize(('module', 'said'), [
    (_NeverEvaluates(), 'stays in training mode'),
    (_AlwaysRandom(), 'different outputs for equal inputs'),
    (_DividesByZero(), 'NaN or infinity in torch'),
    (_FreezesTheBatch(), 'fails in ONNX Runtime on inputs'),
    (_ComputesOtherThingsInTheGraph(), 'differs from torch by 1.0e-03'),
])
def test_a_graph_that_would_compute_something_else_is_refused(
    tmp_path: Path, module: nn.Module, said: str
) -> None:
    example = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ExportError, match=said):
        write_graph('encoder', GraphSource(module, {'latent': example}, ['out']), tmp_path)


def test_a_module_left_in_training_mode_is_exported_in_evaluation_mode(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)).train()
    example = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    parity = write_graph('encoder', GraphSource(module, {'input': example}, ['out']), tmp_path)
    assert parity.error < 1e-6


def test_a_predictor_with_other_argument_names_is_told_the_names_to_use(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r'forward\(self, latent, action\)'):
        module_source(robot_file(tmp_path), 'Misnamed')
    with pytest.raises(ExportError, match='write package'):
        make('export_modules.Encoder')
    assert 'export_modules' in sys.modules
