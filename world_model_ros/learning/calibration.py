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
"""What is usual for a model: the thresholds of surprise and of goals that are out of reach.

They are measured on experience that the model was not trained on, with the code that judges on the
robot: `monitor.Foresight` for surprise, the planner for goals. Half of the episodes give the
numbers, the other half tells how often the numbers are wrong where nothing is unusual. No torch: a
bundle can be calibrated anew on the robot, with what its own camera recorded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Bundle, Manifest, Proprioception, write_manifest
from world_model_ros.inference import Context, ContextBuffer, FrameStack, WorldModel
from world_model_ros.inference.sessions import Progress
from world_model_ros.monitor import ActionLog, Foresight
from world_model_ros.observation import Picture, fit_pictures
from world_model_ros.planning import Planner

Float = NDArray[np.float32]

USUAL = 0.999
"""Share of what happens where nothing is unusual that is to lie below a threshold of surprise."""

STEPS = 8
"""Model steps ahead for which there is a threshold, or the planner's horizon if that is less."""

PLANS = 300
"""Plans toward goals that were reached, each from a moment at most a horizon earlier."""

_START = 1_000_000_000  # ns; stamp of an episode's first observation
_TOLD_EVERY = 50  # plans


class CalibrationError(Exception):
    """The data are of no use for this bundle; the message says why and what to do."""


@dataclass(frozen=True)
class Experience:
    """E episodes that a robot lived through, looked at once per model step: T steps, T + 1 looks.

    images: by the camera's name, '' for that of a bundle that names none: uint8 RGB
        [E, T + 1, h, w, 3], as the camera gave them or as the model takes them; others are ignored.
        For a bundle with fields of view as the model takes them: nothing here says what part of
        the scene a camera shows
    proprioception: float32 [E, T + 1, P], ordered as the bundle says, in physical units; None for a
        model that knows none
    actions: float32 [E, T * rows_per_step, A], physical units: what was executed
    """

    images: Mapping[str, NDArray[np.uint8]]
    proprioception: Float | None
    actions: Float

    def check(self, manifest: Manifest) -> None:
        """Raise CalibrationError if the arrays do not fit a bundle, or are too few."""
        action, state = manifest.action, manifest.proprioception
        episodes, rows = self.actions.shape[:2] if self.actions.ndim == 3 else (0, 0)
        looks = rows // action.rows_per_step + 1
        arrays: list[tuple[str, NDArray[Any] | None, tuple[int, ...] | None]] = [
            ('actions', self.actions, (episodes, rows, action.size)),
            ('proprioception', self.proprioception,
             (episodes, looks, state.size) if state else None)]
        for camera in _cameras(manifest):
            seen = self.images.get(camera)
            picture = () if seen is None else seen.shape[2:]
            arrays.append((_array_of(camera), seen, (episodes, looks, *picture)))
        for name, array, shape in arrays:
            if array is None and shape is not None:
                raise CalibrationError(f'{name}: the data have none, and {manifest.model.name} '
                                       'takes them: record them, too')
            if array is not None and shape is not None and array.shape != shape:
                raise CalibrationError(f'{name} are {list(array.shape)}, not {list(shape)}: '
                                       'episodes, one look per model step and one more, numbers')
            if array is not None and not np.isfinite(array).all():
                raise CalibrationError(f'{name} hold NaN or infinity: leave such episodes out')
        for camera in _cameras(manifest):
            seen = self.images[camera]
            if seen.dtype != np.uint8 or seen.ndim != 5 or seen.shape[4] != 3:
                raise CalibrationError(
                    f'{_array_of(camera)} must be uint8 RGB [E, T + 1, height, width, 3]')
            image = manifest.image
            assert image is not None
            height, width = seen.shape[2:4]
            if image.fields_of_view is not None and (width, height) != (image.width, image.height):
                raise CalibrationError(
                    f'{_array_of(camera)} are {width}x{height}, and {manifest.model.name} knows '
                    'its field of view (image.fields_of_view), which the node cuts out by '
                    f'camera_info: give the pictures cut like that, {image.width}x{image.height} '
                    '(world_model_ros.observation.fit_pictures, with the optics of the camera)')
        if episodes < 4 or looks - 1 <= STEPS:
            raise CalibrationError(f'{episodes} episodes of {looks} looks are too few: give at '
                                   f'least 4, each longer than {STEPS} model steps')


@dataclass(frozen=True)
class Calibration:
    """Thresholds, and how often they are exceeded in the episodes that did not give them.

    threshold: of `surprise`, one for each number of model steps ahead
    surprised: share of the other episodes' scores above their threshold
    scores: how many those are
    reachable: of `goal`; None for a model without goals
    refused: share of the other episodes' goals that would count as out of reach
    goals: how many those are
    """

    threshold: tuple[float, ...]
    surprised: float
    scores: int
    reachable: float | None
    refused: float
    goals: int

    def __str__(self) -> str:
        """What to tell whoever asked for it."""
        lines = [f'surprise.threshold: {list(self.threshold)}; {self.surprised:.2%} of '
                 f'{self.scores} scores of other episodes are above']
        if self.reachable is not None:
            lines.append(f'goal.reachable: {self.reachable:g}; {self.refused:.2%} of {self.goals} '
                         'goals of other episodes, which were reached, would be out of reach')
        return '\n'.join(lines)


def read_experience(path: Path, manifest: Manifest) -> Experience:
    """Read an `.npz` with the arrays of `Experience`; raises CalibrationError.

    Pictures are in `images`, or, where the bundle names its cameras, in `images_NAME` each.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # the border: what zipfile and NumPy raise is open-ended
        raise CalibrationError(f'{path} is no .npz of plain arrays ({error})') from error
    if 'actions' not in arrays:
        raise CalibrationError(f'{path} lacks the array "actions"; it holds {sorted(arrays)}')
    state = arrays.get('proprioception') if manifest.proprioception is not None else None
    return Experience(
        {camera: arrays[_array_of(camera)] for camera in _cameras(manifest)
         if _array_of(camera) in arrays},
        None if state is None else state.astype(np.float32),
        arrays['actions'].astype(np.float32))


def simulated_experience(bundle: Bundle, episodes: int, seed: int) -> Experience:
    """Drive the demo's arm at random for a bundle that could drive it; raises CalibrationError."""
    # The simulator is an extra that a robot does not have.
    from world_model_ros.learning.dataset import EPISODE_STEPS, STEP_DURATION, collect
    from world_model_ros.simulation import ArmSimulation

    manifest, arm = bundle.manifest, ArmSimulation()
    action, state = manifest.action, manifest.proprioception
    joints = tuple(arm.joints)
    arm.close()
    if (manifest.image is None or manifest.image.cameras is not None
            or action.kind != 'joint_velocity' or action.names != joints
            or action.step_duration != STEP_DURATION or EPISODE_STEPS % action.rows_per_step
            or (state is not None and (state.joints != joints or not isinstance(
                state, Proprioception) or state.fields != ('position', 'velocity')))):
        raise CalibrationError(f"{manifest.model.name} is not made for the demo's arm: give --data")
    seen = collect(episodes, manifest.image, seed, every=action.rows_per_step)
    return Experience({'': seen.images}, None if state is None else seen.proprioception,
                      seen.actions)


def calibrate(
    bundle: Bundle, experience: Experience, plans: int = PLANS, deadline: float = math.inf,
    progress: Progress = lambda _: None,
) -> Calibration:
    """Measure what is usual; raises CalibrationError, InferenceError or BundleError.

    `deadline`: seconds that a plan may take, as on the robot; `progress` is told what takes long.
    """
    experience.check(bundle.manifest)
    model = WorldModel(bundle, progress=progress)
    try:
        lives = [_Life(model, experience, episode) for episode in range(len(experience.actions))]
        steps = min(STEPS, bundle.manifest.planner.horizon)
        measured, others = lives[::2], lives[1::2]
        usual = [_scores(model, half, steps) for half in (measured, others)]
        threshold = tuple(_rounded_up(float(np.quantile(scores, USUAL))) for scores in usual[0])
        above = [scores > limit for scores, limit in zip(usual[1], threshold, strict=True)]
        reachable, refused, ends = None, 0.0, np.empty(0)
        if bundle.manifest.goal is not None:
            planner = Planner(model, bundle.manifest.planner)
            first, ends = (_ends(model, planner, half, plans // 2, seed, deadline, progress)
                           for seed, half in enumerate((measured, others)))
            reachable = _rounded_up(max(float(first.max()), bundle.manifest.goal.reached))
            refused = float(np.mean(ends > reachable))
        return Calibration(threshold, float(np.concatenate(above).mean()),
                           sum(map(len, above)), reachable, refused, len(ends))
    finally:
        model.close()


def write(bundle: Bundle, calibration: Calibration) -> Bundle:
    """Write the thresholds into a bundle's manifest, whose digest changes; raises BundleError."""
    sections: Mapping[str, Any] = bundle.manifest.model_dump(
        mode='json', exclude_none=True, exclude={'schema_version', 'files'})
    changed = {**sections, 'surprise': {'threshold': list(calibration.threshold)}}
    if calibration.reachable is not None:
        changed['goal'] = {**sections['goal'], 'reachable': calibration.reachable}
    return write_manifest(bundle.path, changed)


def _cameras(manifest: Manifest) -> tuple[str, ...]:
    """The cameras that a bundle sees with, by name; '' is that of a bundle that names none."""
    return () if manifest.image is None else manifest.image.camera_names


def _array_of(camera: str) -> str:
    """The array in which a file holds a camera's pictures."""
    return f'images_{camera}' if camera else 'images'


class _Life:
    """One episode as the model sees it."""

    def __init__(self, model: WorldModel, experience: Experience, episode: int) -> None:
        manifest = model.manifest
        self._images = {camera: images[episode] for camera, images in experience.images.items()}
        self.states = (None if experience.proprioception is None
                       else experience.proprioception[episode])
        actions = self._actions = experience.actions[episode]
        self._rows = manifest.action.rows_per_step
        duration = manifest.action.step_duration
        self.log = ActionLog((len(actions) + 1) * duration)
        # One row more: in whole nanoseconds, the rows may end before the last look.
        self.log.add(_START, duration, np.concatenate([actions, actions[-1:]]), _START)
        step = round(manifest.action.model_step * 1e9)
        looks = len(actions) // self._rows + 1
        self.stamps = [_START + index * step for index in range(looks)]
        self.contexts = self._contexts(model)

    def picture(self, index: int, manifest: Manifest) -> NDArray[np.uint8] | None:
        """What the cameras saw at one look, as the model takes it."""
        if manifest.image is None:
            return None
        return fit_pictures(
            {camera: Picture(images[index]) for camera, images in self._images.items()},
            manifest.image)

    def state(self, index: int) -> Float | None:
        """The proprioception [P] at one look."""
        return None if self.states is None else self.states[index]

    def setpoint(self, index: int) -> Float | None:
        """What the robot was last told [A] before one look, if anything."""
        row: Float | None = self._actions[index * self._rows - 1] if index else None
        return row

    def goal(self, index: int, now: int, model: WorldModel) -> Float:
        """The goal to have the world as it was at one look, and at rest, as encoded at another.

        As on the robot, the state that is encoded with a picture is the one of now.
        """
        picture = self.picture(index, model.manifest)
        if picture is None:
            return model.encode_goal(None, self.state(index))
        return model.encode_goal(FrameStack(model.manifest).still(picture), self.state(now))

    def _contexts(self, model: WorldModel) -> list[Context]:
        manifest = model.manifest
        frames = FrameStack(manifest) if manifest.image is not None else None
        buffer = ContextBuffer(manifest, model)
        contexts = []
        for index, stamp in enumerate(self.stamps):
            picture = self.picture(index, manifest)
            if frames is not None and picture is not None:
                picture = frames.add(stamp, picture)
            state = self.state(index)
            contexts.append(buffer.add(stamp, model.encode(picture, state), state, self.log.rows))
        return contexts


def _scores(model: WorldModel, lives: Sequence[_Life], steps: int) -> list[NDArray[np.float64]]:
    """Scores by the number of model steps that expectations go back, as `~/surprise` has them."""
    action = model.manifest.action
    scores: list[list[float]] = [[] for _ in range(steps)]
    for life in lives:
        foresight: Foresight[Context] = Foresight(
            lambda context, rows: model.imagine(context, rows[None])[0, -1], model.deviation,
            step_duration=action.model_step, rows_per_step=action.rows_per_step, steps=steps)
        for stamp, context in zip(life.stamps, life.contexts, strict=True):
            errors = foresight.see(stamp, context, context.latent, life.log)
            for count in range(1, steps + 1):
                if errors is not None and np.isfinite(errors[:count]).all():
                    scores[count - 1].append(float(errors[:count].mean()))
    return [np.array(each) for each in scores]


def _ends(model: WorldModel, planner: Planner, lives: Sequence[_Life], count: int, seed: int,
          deadline: float, progress: Progress) -> NDArray[np.float64]:
    """Last predicted goal distances of plans toward what was reached later in the same episode.

    No later than a plan is long: a goal beyond its horizon is come near to, not reached.
    """
    chance = np.random.default_rng(seed)
    horizon = model.manifest.planner.horizon
    ends = []
    for plan in range(count):
        if plan % _TOLD_EVERY == 0:
            progress(f'planning toward goals of half {seed + 1} of 2: {plan} of {count} plans')
        life = lives[plan % len(lives)]
        last = len(life.stamps) - 1
        start = int(chance.integers(last))
        end = int(chance.integers(start, min(start + horizon, last))) + 1
        best = planner.plan(
            life.contexts[start], life.goal(end, start, model), setpoint=life.setpoint(start),
            seed=plan, deadline=time.monotonic() + deadline)
        ends.append(float(best.step_costs[-1]))
    return np.array(ends)


def _rounded_up(value: float) -> float:
    """At least `value`, in three digits."""
    if value <= 0.0:
        return 1e-6  # a model that is never wrong: anything is more
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f'{math.ceil(value / unit - 1e-9) * unit:.4g}')
