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

"""
From messages to latents: the ``observe`` thread of the world model.

Callbacks store and put the pictures of several cameras together, the thread pairs them with the
joint state of their moment, looks whether all can be trusted, and encodes. A model without a camera
is given each joint state (or pose) instead. What cannot be used is counted and explained, and
changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from world_model_ros.inference import Context, ContextBuffer, FrameStack, InferenceError
from world_model_ros.monitor import (
    ActionLog,
    Arrivals,
    Counters,
    FrozenPicture,
    Health,
    Level,
    PercentileWindow,
    Rate,
    Sight,
    WorkerWatch,
    overdue_after,
)
from world_model_ros.nodes.cameras import Shot
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.goals import Goals
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.newest import Newest
from world_model_ros.nodes.robot_state import OCCASIONS, RobotMoment, RobotStates
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.nodes.world_model_parameters import WorldModelParameters
from world_model_ros.observation import (
    ImageError,
    JointStateError,
    Picture,
    PictureSet,
    PictureSets,
    PoseError,
    called,
    image_topic,
)

Float = npt.NDArray[np.float32]
Occasion: TypeAlias = PictureSet[Shot] | JointState | PoseStamped


@dataclass(frozen=True)
class Observation:
    """
    What cameras show, by their names, and the robot at the same moment; stamp in ns.

    Stamp and frame are those of the first camera's picture. There is none where the active model
    has no camera. ``withheld`` says why a model that reads optics cannot use it, if so.
    """

    stamp: int
    frame_id: str
    pictures: Mapping[str, Picture]
    robot: RobotMoment
    withheld: str = ''


@dataclass(frozen=True)
class Encoded:
    """One observation as one model sees it, with what it needs of those before it."""

    stamp: int
    frame_id: str
    context: Context
    model: LoadedModel


class Eye:
    """Encodes what one model sees, with its memory of pictures, latents and actions."""

    def __init__(self, model: LoadedModel, actions: ActionLog) -> None:
        """``actions`` says what the robot was asked to do between two pictures."""
        self.model = model
        self._executed = partial(actions.rows, meaning=model.manifest.action.meaning)
        self._frames = FrameStack(model.manifest) if model.manifest.image is not None else None
        self._contexts = ContextBuffer(model.manifest, model.graphs)

    def encode(self, observation: Observation) -> Encoded:
        """Encode it; raises ImageError, JointStateError, PoseError or InferenceError."""
        model, stamp = self.model, observation.stamp
        state = model.proprioception(observation.robot.joints, observation.robot.pose)
        picture = None
        if self._frames is not None:
            picture = self._frames.add(stamp, model.fit(observation.pictures))
        latent = model.graphs.encode(picture, state)
        context = self._contexts.add(stamp, latent, state, self._executed)
        return Encoded(stamp, observation.frame_id, context, model)

    @property
    def context(self) -> str:
        """How much of what the model looks back on it knows now."""
        known = f'{self._contexts.length} of {self.model.manifest.history}'
        memory = self._contexts.memory
        return known if memory is None else f'{known}, memory of {memory:.1f} s'

    def forget(self) -> None:
        """Begin anew: there was a pause."""
        if self._frames is not None:
            self._frames.clear()
        self._contexts.clear()


class Observer:
    """Sees with one model at a time; ``observed`` and ``encoded`` take what it sees."""

    def __init__(
        self, model: LoadedModel, parameters: WorldModelParameters, clock: Clock, goals: Goals,
        counts: Counters, troubles: Troubles, actions: ActionLog, *,
        observed: Callable[[Observation], None],
        encoded: Callable[[Encoded], None],
    ) -> None:
        self.watch = WorkerWatch('observe')
        self._eye, self._actions = Eye(model, actions), actions
        self._next: Newest[LoadedModel] = Newest()
        self._coming: LoadedModel | None = None  # what is in it
        self._entering: LoadedModel | None = None  # what is being taken over
        self._parameters, self._clock, self._goals = parameters, clock, goals
        self._counts, self._troubles = counts, troubles
        self._observed, self._encoded = observed, encoded
        self._usable = Arrivals()
        self._image_rates: dict[str, Rate] = {}
        self._optics_known: dict[str, bool] = {}
        self._expect(model)
        self.robot = RobotStates(clock, counts, troubles)
        self._state = RobotMoment(None, None)  # that of the last observation
        self._encode_time = PercentileWindow()
        self._frozen: dict[str, FrozenPicture] = {}
        self._stamp, self._clock_read, self._clock_seen = 0, 0, 0

    @property
    def model(self) -> LoadedModel:
        """The model that sees now."""
        return self._eye.model

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """That one, and the one that waits, if one does."""
        coming = self._coming
        return (self.model,) if coming is None else (self.model, coming)

    # From the executor

    def picture_came(self, camera: str, shot: Shot) -> PictureSet[Shot] | None:
        """
        Note a picture; the set that it completes, if it does.

        That is a set for the model that waits, if one does and sees with this camera.
        """
        self._counts.add('frames_received')
        self._image_rates.setdefault(camera, Rate()).tick(monotonic())
        self._optics_known[camera] = shot.optics is not None
        self._tick(camera)
        self._forget_other_times()
        complete = None
        for cameras in dict.fromkeys(model.cameras for model in self.models):
            if camera in cameras:
                complete = self._put_together(camera, shot, self._sets_of(cameras)) or complete
        return complete

    def wants(self, message: JointState | PoseStamped) -> bool:
        """Note a message; whether it completes an observation of this model or of the next one."""
        if type(message) is self.model.occasion:
            self._tick('')
        return any(type(message) is model.occasion for model in self.models)

    def see_with(self, model: LoadedModel) -> None:
        """Change to another model before the next observation."""
        self._coming = model
        if (replaced := self._next.put(model)) is not None:
            replaced.close()  # it never saw anything

    def interrupt(self) -> None:
        """Make what runs inside the model that sees, or takes over, raise InferenceError."""
        (self._entering or self.model).interrupt()

    def restart(self) -> None:
        """Begin anew after a pause, during which nothing was expected to come."""
        for arrivals in self._arrivals.values():
            arrivals.restart()
        for sets in self._sets.values():
            sets.clear()
        self._usable.restart()
        self._stamp = 0
        self._eye.forget()
        self.watch.succeeded()
        self._troubles.over()

    def take_over(self) -> None:
        """Change to the model that waits, if one does; in the worker's thread, or without it."""
        if (model := self._next.poll()) is not None:
            self._entering = model
            try:
                self._goals.hand_over(model, self._state)
            finally:
                self._entering = None
            if (model.occasion, model.cameras) != (self.model.occasion, self.model.cameras):
                self._expect(model)
                self._stamp = 0  # of another driver
            self._eye = Eye(model, self._actions)
            if self._coming is model:
                self._coming = None

    def _expect(self, model: LoadedModel) -> None:
        """Begin to wait for what completes an observation of a model."""
        self._arrivals = {camera: Arrivals() for camera in model.cameras or ('',)}
        self._sets: dict[tuple[str, ...], PictureSets[Shot]] = {}

    def _tick(self, camera: str) -> None:
        if (arrivals := self._arrivals.get(camera)) is not None:
            arrivals.tick(monotonic())

    def _sets_of(self, cameras: tuple[str, ...]) -> PictureSets[Shot]:
        return self._sets.setdefault(cameras, PictureSets(cameras))

    def _forget_other_times(self) -> None:
        if all(len(sets.cameras) == 1 for sets in tuple(self._sets.values())):
            return  # no picture waits for another one
        now = self._clock.now().nanoseconds
        if now < self._clock_seen:  # the clock was set back, and with it the stamps
            for sets in tuple(self._sets.values()):
                sets.clear()
        self._clock_seen = now

    def _put_together(
        self, camera: str, shot: Shot, sets: PictureSets[Shot],
    ) -> PictureSet[Shot] | None:
        """Add a picture to those of other cameras; what it completes, or the reason is noted."""
        stamp = to_nanoseconds(shot.message.header.stamp)
        if len(sets.cameras) > 1:
            if not self._is_recent(stamp, self._clock.now().nanoseconds, called(camera)):
                return None
            if sets.is_late(camera, stamp):
                self._troubles.note(
                    'repeated_stamps', f'the stamps of {called(camera)} stand still or go back: '
                    'its driver is stuck, its pictures are late, or two cameras publish there')
                return None
        limit = self._parameters.real('max_camera_skew') * NANOSECONDS
        max_age = self._parameters.real('max_age') * NANOSECONDS
        complete = sets.add(camera, stamp, shot, int(limit), int(max_age))
        if complete is None and (gap := sets.gap()) is not None and abs(gap.newer) > limit:
            self._troubles.note(
                'unpaired', f'the pictures of {called(gap.camera)} are {abs(gap.newer) / 1e6:.0f} '
                f'ms {"newer" if gap.newer > 0 else "older"} than those of '
                f'{called(sets.cameras[0])} that are nearest, max_camera_skew is '
                f'{limit / 1e6:g} ms: trigger the cameras together, or let them run faster; raise '
                'max_camera_skew if the robot is slow')
        return complete

    # In the worker's thread

    def observe(self, message: Occasion) -> None:
        """Encode one observation, or say why not."""
        shots: Mapping[str, Shot] = message.pictures if isinstance(message, PictureSet) else {}
        withheld = next((shot.withheld for shot in shots.values() if shot.withheld), '')
        if withheld and self.models[-1].reads_optics:
            self._troubles.note('camera_infos_missing', withheld)
        else:
            with self.watch.inside('taking over the new model'):
                self.take_over()
        if isinstance(message, PictureSet):
            is_for_it = tuple(shots) == self.model.cameras
            header: Header = next(iter(shots.values())).message.header
        else:
            is_for_it, header = type(message) is self.model.occasion, message.header
        if not is_for_it or (withheld and self.model.reads_optics):
            return  # for the model before, or the one that waits
        try:
            pictures = {camera: shot.develop(camera) for camera, shot in shots.items()}
        except ImageError as error:
            self._troubles.note('images_refused', str(error))
            return
        robot = self._robot_at(to_nanoseconds(header.stamp), pictures)
        if robot is not None:
            observation = Observation(
                to_nanoseconds(header.stamp), header.frame_id, pictures, robot, withheld)
            self._state = robot
            with self.watch.inside('encoding a goal'):
                self._goals.consider(pictures, self.model, robot)
            self._observed(observation)
            self._encode(observation)

    def _robot_at(self, stamp: int, pictures: Mapping[str, Picture]) -> RobotMoment | None:
        """Find the robot's state of a moment; None and a reason if it cannot be trusted."""
        what, who = OCCASIONS[self.model.occasion]
        now = self._clock.now().nanoseconds
        if not (self._is_recent(stamp, now, f'the {who}', what) and self._is_newer(stamp, now)):
            return None
        robot = self.robot.at(stamp, self._parameters.real('max_skew'), self.model)
        if robot is None:
            return None
        frozen = [camera for camera, picture in pictures.items()
                  if self._is_frozen(camera, stamp, picture.pixels, robot)]
        return None if frozen else robot

    def _is_frozen(
        self, camera: str, stamp: int, pixels: npt.NDArray[np.uint8], robot: RobotMoment,
    ) -> bool:
        frozen = self._frozen.setdefault(camera, FrozenPicture())
        moved = frozen.motion(stamp / NANOSECONDS, pixels, robot.motion())
        if moved <= self._parameters.real('frozen_camera_motion'):
            return False
        self._troubles.note(
            'frozen', f'{called(camera)} is frozen: its picture has not changed in a single byte '
            f"while a joint moved by {moved:.3f}: restart the camera's driver (or raise "
            'frozen_camera_motion if this camera cannot see the robot)')
        return True

    def _is_newer(self, stamp: int, now: int) -> bool:
        if now < self._clock_read:
            self._stamp = 0  # the clock was set back, and with it the stamps
        self._clock_read = now
        if stamp <= self._stamp:
            what, who = OCCASIONS[self.model.occasion]
            self._troubles.note(
                'repeated_stamps', f"the {what}s' stamps stand still or go back: the {who}'s "
                f'driver is stuck, or two {who}s publish on one topic')
            return False
        self._stamp = stamp
        return True

    def _is_recent(self, stamp: int, now: int, who: str, what: str = 'image') -> bool:
        age = (now - stamp) / NANOSECONDS
        if abs(age) > self._parameters.real('max_age'):
            self._troubles.note(
                'stale', f'{what} is {age:.2f} s old: {who} lags, or its clock differs from '
                'that of this node (use_sim_time set in only one of them?)')
            return False
        return True

    def _encode(self, observation: Observation) -> None:
        started = monotonic()
        try:
            with self.watch.inside('encoding an image'):
                encoded = self._eye.encode(observation)
        except ImageError as error:  # it shows less than the model was trained on
            self._troubles.note('images_refused', str(error))
            return
        except (JointStateError, PoseError) as error:  # stored before the model changed
            self._troubles.note('unpaired', str(error))
            return
        except InferenceError as error:
            self._troubles.note('encodings_failed', str(error))
            self.watch.failed(str(error))
            return
        self._encode_time.add(monotonic() - started)
        self._counts.add('frames_encoded')
        self._usable.tick(monotonic())
        self.watch.succeeded()
        self._troubles.over()
        self._encoded(encoded)

    # Health, from any thread

    def sight(self) -> Sight:
        """Whether usable observations come."""
        now = monotonic()
        limit = overdue_after(
            self._parameters.whole('missed_images'), *self._arrivals.values(), self._usable)
        return Sight(self._usable.age(now), limit, self._missing(now, limit))

    def _missing(self, now: float, limit: float) -> str:
        if self.model.occasion is Image:
            ages = {camera: arrivals.age(now) for camera, arrivals in self._arrivals.items()}
            if silent := [camera for camera, age in ages.items() if age > limit]:
                camera = max(silent, key=lambda it: ages[it])
                of = f' of {called(camera)}' if camera else ''
                return (f'no image{of} {_since(ages[camera])}: is the camera running, and '
                        f'"{image_topic(camera)}" remapped to its topic?')
        return self.robot.silence(now, limit, self.model) or self._troubles.headline

    def health(self) -> Health:
        """What /diagnostics says of the observations."""
        now = monotonic()
        sight = self.sight()
        values = {
            **self._counts.values(),
            **self._camera_values(now),
            'joint_state_rate_hz': f'{self.robot.joint_rate.hertz(now):.1f}',
            'joint_state_age_s': _seconds(self.robot.joint_rate.age(now)),
            'usable_age_s': _seconds(sight.age),
            'context': self._eye.context,
            **self._encode_time.values('encode')}
        if sight.is_blind:
            message = sight.problem or f'no usable observation {_since(sight.age)}'
            return Health('observation', Level.ERROR, message, values)
        if sight.problem:
            return Health('observation', Level.WARN, sight.problem, values)
        return Health('observation', Level.OK, 'observing', values)

    def _camera_values(self, now: float) -> dict[str, str]:
        """What there is to say of each camera; keys begin with the name of one that has one."""
        values: dict[str, str] = {}
        cameras = self.model.cameras
        sets = self._sets.get(cameras) if len(cameras) > 1 else None
        behind = sets.behind() if sets is not None else {}
        for camera in cameras or ('',):
            name = f'{camera}_' if camera else ''
            rate = self._image_rates.get(camera, Rate())
            values[f'{name}image_rate_hz'] = f'{rate.hertz(now):.1f}'
            values[f'{name}image_age_s'] = _seconds(rate.age(now))
            if sets is not None:
                values[f'{name}unpaired'] = str(sets.unpaired[camera])
                values[f'{name}behind_ms'] = (
                    f'{behind[camera] / 1e6:.1f}' if camera in behind else 'n/a')
            if self.model.reads_optics:
                values[f'{name}field_of_view'] = (
                    'as the model was trained' if self._optics_known.get(camera) else
                    'unknown: no camera_info')
        return values


def _since(age: float) -> str:
    return 'so far' if math.isinf(age) else f'for {age:.1f} s'


def _seconds(age: float) -> str:
    return 'n/a' if math.isinf(age) else f'{age:.2f}'
