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

Callbacks store, the thread pairs a picture with the joint state of its moment, looks whether both
can be trusted, and encodes. A model without a camera is given each joint state (or pose) instead.
What cannot be used is counted and explained, and changes nothing.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock
from sensor_msgs.msg import CompressedImage, Image, JointState

from world_model_ros.inference import Context, ContextBuffer, FrameStack, InferenceError
from world_model_ros.monitor import (
    ActionLog,
    Arrivals,
    Counters,
    FrozenPicture,
    Health,
    LatencyWindow,
    Level,
    Rate,
    Sight,
    WorkerWatch,
    overdue_after,
)
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.goals import Goals
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.newest import Newest
from world_model_ros.nodes.robot_state import OCCASIONS, RobotState, RobotStates
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.nodes.world_model_parameters import WorldModelParameters
from world_model_ros.observation import (
    ImageError,
    JointStateError,
    PoseError,
    decode_compressed,
    decode_image,
)

Float = npt.NDArray[np.float32]
Occasion: TypeAlias = Image | CompressedImage | JointState | PoseStamped


@dataclass(frozen=True)
class Observation:
    """
    A picture (RGB, uint8 [H, W, 3]) and the robot at the same moment; stamp in ns.

    No picture where the active model has no camera.
    """

    stamp: int
    frame_id: str
    pixels: npt.NDArray[np.uint8] | None
    robot: RobotState


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
        self._actions = actions
        self._frames = FrameStack(model.manifest) if model.manifest.image is not None else None
        self._contexts = ContextBuffer(model.manifest, model.graphs)

    def encode(self, observation: Observation) -> Encoded:
        """Encode an observation; raises JointStateError, PoseError or InferenceError."""
        model, stamp = self.model, observation.stamp
        state = model.proprioception(observation.robot.joints, observation.robot.pose)
        picture = observation.pixels
        if self._frames is None:
            picture = None
        elif picture is not None:
            picture = self._frames.add(stamp, model.fit(picture))
        latent = model.graphs.encode(picture, state)
        context = self._contexts.add(stamp, latent, state, self._actions.rows)
        return Encoded(stamp, observation.frame_id, context, model)

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
        self._parameters, self._clock, self._goals = parameters, clock, goals
        self._counts, self._troubles = counts, troubles
        self._observed, self._encoded = observed, encoded
        self._occasions, self._usable = Arrivals(), Arrivals()
        self._image_rate = Rate()
        self.robot = RobotStates(clock, counts, troubles)
        self._state = RobotState(None, None)  # that of the last observation
        self._encode_time = LatencyWindow()
        self._frozen = FrozenPicture()
        self._stamp, self._clock_read = 0, 0

    @property
    def model(self) -> LoadedModel:
        """The model that sees now."""
        return self._eye.model

    # From the executor

    def image_came(self) -> None:
        """Note that the camera is alive."""
        self._counts.add('frames_received')
        self._image_rate.tick(monotonic())

    def wants(self, message: Occasion) -> bool:
        """Note a message; whether it completes an observation of this model or of the next one."""
        coming = self._coming
        if _kind(message) is self.model.occasion:
            self._occasions.tick(monotonic())
            return True
        return coming is not None and _kind(message) is coming.occasion

    def see_with(self, model: LoadedModel) -> None:
        """Change to another model before the next observation."""
        self._coming = model
        self._next.put(model)

    def restart(self) -> None:
        """Begin anew after a pause, during which nothing was expected to come."""
        self._occasions.restart()
        self._usable.restart()
        self._stamp = 0
        self._eye.forget()
        self.watch.succeeded()
        self._troubles.over()

    def take_over(self) -> None:
        """Change to the model that waits, if one does; in the worker's thread, or without it."""
        if (model := self._next.poll()) is not None:
            self._goals.hand_over(model, self._state)
            if model.occasion is not self.model.occasion:
                self._occasions.restart()
                self._stamp = 0  # of another driver
            self._eye = Eye(model, self._actions)
            if self._coming is model:
                self._coming = None

    # In the worker's thread

    def observe(self, message: Occasion) -> None:
        """Encode one observation, or say why not."""
        with self.watch.inside('taking over the new model'):
            self.take_over()
        if _kind(message) is not self.model.occasion:
            return  # for the model before
        try:
            pixels = _pixels_of(message)
        except ImageError as error:
            self._troubles.note('images_refused', str(error))
            return
        observation = self._pair(message, pixels)
        if observation is not None:
            self._state = observation.robot
            with self.watch.inside('encoding a goal'):
                self._goals.consider(
                    None if pixels is None else pixels.shape[:2], self.model, observation.robot)
            self._observed(observation)
            self._encode(observation)

    def _pair(
        self, message: Occasion, pixels: npt.NDArray[np.uint8] | None,
    ) -> Observation | None:
        """Find the robot's state of a moment; None and a reason if it cannot be trusted."""
        stamp = to_nanoseconds(message.header.stamp)
        if not (self._is_recent(stamp) and self._is_newer(stamp)):
            return None
        robot = self.robot.at(stamp, self._parameters.real('max_skew'), self.model)
        if robot is None:
            return None
        if pixels is not None and self._is_frozen(stamp, pixels, robot):
            return None
        return Observation(stamp, message.header.frame_id, pixels, robot)

    def _is_frozen(self, stamp: int, pixels: npt.NDArray[np.uint8], robot: RobotState) -> bool:
        moved = self._frozen.motion(stamp / NANOSECONDS, pixels, robot.motion())
        if moved <= self._parameters.real('frozen_camera_motion'):
            return False
        self._troubles.note(
            'frozen', f'the camera is frozen: its picture has not changed in a single byte '
            f"while a joint moved by {moved:.3f}: restart the camera's driver (or raise "
            'frozen_camera_motion if this camera cannot see the robot)')
        return True

    def _is_newer(self, stamp: int) -> bool:
        now = self._clock.now().nanoseconds
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

    def _is_recent(self, stamp: int) -> bool:
        age = (self._clock.now().nanoseconds - stamp) / NANOSECONDS
        if abs(age) > self._parameters.real('max_age'):
            what, who = OCCASIONS[self.model.occasion]
            self._troubles.note(
                'stale', f'{what} is {age:.2f} s old: the {who} lags, or its clock differs from '
                'that of this node (use_sim_time set in only one of them?)')
            return False
        return True

    def _encode(self, observation: Observation) -> None:
        started = monotonic()
        try:
            with self.watch.inside('encoding an image'):
                encoded = self._eye.encode(observation)
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
            self._parameters.whole('missed_images'), self._occasions, self._usable)
        return Sight(self._usable.age(now), limit, self._missing(now, limit))

    def _missing(self, now: float, limit: float) -> str:
        if self.model.occasion is Image and (age := self._occasions.age(now)) > limit:
            return (f'no image {_since(age)}: is the camera running, and "image" remapped to its '
                    'topic?')
        return self.robot.silence(now, limit, self.model) or self._troubles.headline

    def health(self) -> Health:
        """What /diagnostics says of the observations."""
        now = monotonic()
        sight = self.sight()
        values = {
            **self._counts.values(),
            'image_rate_hz': f'{self._image_rate.hertz(now):.1f}',
            'joint_state_rate_hz': f'{self.robot.joint_rate.hertz(now):.1f}',
            'image_age_s': _seconds(self._image_rate.age(now)),
            'joint_state_age_s': _seconds(self.robot.joint_rate.age(now)),
            'usable_age_s': _seconds(sight.age),
            **self._encode_time.values('encode')}
        if sight.is_blind:
            message = sight.problem or f'no usable observation {_since(sight.age)}'
            return Health('observation', Level.ERROR, message, values)
        if sight.problem:
            return Health('observation', Level.WARN, sight.problem, values)
        return Health('observation', Level.OK, 'observing', values)


def _kind(message: Occasion) -> type[object]:
    """What an occasion is to a model: pictures are pictures, compressed or not."""
    return Image if isinstance(message, CompressedImage) else type(message)


def _pixels_of(message: Occasion) -> npt.NDArray[np.uint8] | None:
    """The RGB picture [H, W, 3] of an occasion that is one; raises ImageError."""
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data)
    if isinstance(message, Image):
        return decode_image(message.encoding, message.height, message.width, message.step,
                            message.data, bool(message.is_bigendian))
    return None


def _since(age: float) -> str:
    return 'so far' if math.isinf(age) else f'for {age:.1f} s'


def _seconds(age: float) -> str:
    return 'n/a' if math.isinf(age) else f'{age:.2f}'
