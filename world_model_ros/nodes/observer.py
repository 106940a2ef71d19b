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
can be trusted, and encodes. What cannot be used is counted and explained, and changes nothing.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from time import monotonic

import numpy as np
import numpy.typing as npt
from rclpy.clock import Clock
from sensor_msgs.msg import Image, JointState

from world_model_ros.inference import Context, ContextBuffer, FrameStack, InferenceError
from world_model_ros.monitor import (
    ActionLog,
    Arrivals,
    Counters,
    FrozenPicture,
    Health,
    JointMotion,
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
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.nodes.world_model_parameters import WorldModelParameters
from world_model_ros.observation import (
    ImageError,
    JointStateError,
    StampedBuffer,
    decode_image,
)

Float = npt.NDArray[np.float32]

_FAR_OFF = 10.0  # s; a stamp so far off would drive the good ones out of the buffer
_JOINT_STATES_KEPT = 200  # 2 s at 100 Hz: longer than any image is on its way


@dataclass(frozen=True)
class Observation:
    """
    A picture (RGB, uint8 [H, W, 3]) and the joint state of the same moment; stamp in ns.

    joints: None only where the model reads none and the robot has sent none
    """

    stamp: int
    frame_id: str
    pixels: npt.NDArray[np.uint8]
    joints: JointState | None


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
        self._frames = FrameStack(model.manifest)
        self._contexts = ContextBuffer(model.manifest, model.graphs)

    def encode(self, observation: Observation) -> Encoded:
        """Encode an observation; raises JointStateError or InferenceError."""
        model, stamp = self.model, observation.stamp
        state = None
        if model.reads_joints:
            if observation.joints is None:
                raise JointStateError('no joint state at the time of the image')
            state = model.proprioception(observation.joints)
        picture = self._frames.add(stamp, model.fit(observation.pixels))
        latent = model.graphs.encode(picture, state)
        context = self._contexts.add(stamp, latent, state, self._actions.rows)
        return Encoded(stamp, observation.frame_id, context, model)

    def forget(self) -> None:
        """Begin anew: there was a pause."""
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
        self._next: LoadedModel | None = None
        self._parameters, self._clock, self._goals = parameters, clock, goals
        self._counts, self._troubles = counts, troubles
        self._observed, self._encoded = observed, encoded
        self._joints: StampedBuffer[JointState] = StampedBuffer(_JOINT_STATES_KEPT)
        self._joints_lock = threading.Lock()
        self._joints_problem = ''
        self._images, self._usable = Arrivals(), Arrivals()
        self._image_rate, self._joint_rate = Rate(), Rate()
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
        self._images.tick(monotonic())
        self._image_rate.tick(monotonic())

    def store(self, joints: JointState) -> None:
        """Keep a joint state, if the model can use it: the last good one stands."""
        self._counts.add('joint_states_received')
        self._joint_rate.tick(monotonic())
        try:
            self._check_time(to_nanoseconds(joints.header.stamp))
            self.model.proprioception(joints)
        except JointStateError as error:
            self._joints_problem = str(error)
            self._troubles.note('joint_states_refused', str(error))
            return
        self._joints_problem = ''
        with self._joints_lock:
            self._joints.add(to_nanoseconds(joints.header.stamp), joints)

    def _check_time(self, stamp: int) -> None:
        off = (self._clock.now().nanoseconds - stamp) / NANOSECONDS
        if abs(off) > _FAR_OFF:
            raise JointStateError(f'joint state is {off:.1f} s old: the clock of who publishes '
                                  '"joint_states" differs from that of this node (use_sim_time set '
                                  'in only one of them?)')

    def see_with(self, model: LoadedModel) -> None:
        """Change to another model before the next picture."""
        self._next = model

    def restart(self) -> None:
        """Begin anew after a pause, during which nothing was expected to come."""
        self._images.restart()
        self._usable.restart()
        self._stamp = 0
        self._eye.forget()
        self.watch.succeeded()
        self._troubles.over()

    def take_over(self) -> None:
        """Change to the model that waits, if one does; in the worker's thread, or without it."""
        model, self._next = self._next, None
        if model is not None:
            self._goals.hand_over(model)
            self._eye = Eye(model, self._actions)

    # In the worker's thread

    def observe(self, message: Image) -> None:
        """Encode one picture, or say why not."""
        with self.watch.inside('taking over the new model'):
            self.take_over()
        try:
            pixels = decode_image(message.encoding, message.height, message.width,
                                  message.step, message.data)
        except ImageError as error:
            self._troubles.note('images_refused', str(error))
            return
        with self.watch.inside('encoding a goal'):
            self._goals.consider(pixels.shape[:2], self.model)
        observation = self._pair(message, pixels)
        if observation is not None:
            self._observed(observation)
            self._encode(observation)

    def _pair(self, message: Image, pixels: npt.NDArray[np.uint8]) -> Observation | None:
        """Find the joint state of a picture; None and a reason if they cannot be trusted."""
        stamp = to_nanoseconds(message.header.stamp)
        if not (self._is_recent(stamp) and self._is_newer(stamp)):
            return None
        tolerance = int(self._parameters.real('max_skew') * NANOSECONDS)
        with self._joints_lock:
            joints = self._joints.nearest(stamp, tolerance)
        if joints is None and self.model.reads_joints:
            self._troubles.note(
                'unpaired', self._joints_problem or 'no joint state within max_skew of the image: '
                'is "joint_states" published, and stamped with the same clock?')
            return None
        moved = self._frozen.motion(
            stamp / NANOSECONDS, pixels, {} if joints is None else _motion_of(joints))
        if moved > self._parameters.real('frozen_camera_motion'):
            self._troubles.note(
                'frozen', f'the camera is frozen: its picture has not changed in a single byte '
                f"while a joint moved by {moved:.3f}: restart the camera's driver (or raise "
                'frozen_camera_motion if this camera cannot see the robot)')
            return None
        return Observation(stamp, message.header.frame_id, pixels, joints)

    def _is_newer(self, stamp: int) -> bool:
        now = self._clock.now().nanoseconds
        if now < self._clock_read:
            self._stamp = 0  # the clock was set back, and with it the stamps
        self._clock_read = now
        if stamp <= self._stamp:
            self._troubles.note(
                'repeated_stamps', "the images' stamps stand still or go back: the camera's "
                'driver is stuck, or two cameras publish on one topic')
            return False
        self._stamp = stamp
        return True

    def _is_recent(self, stamp: int) -> bool:
        age = (self._clock.now().nanoseconds - stamp) / NANOSECONDS
        if abs(age) > self._parameters.real('max_age'):
            self._troubles.note(
                'stale', f'image is {age:.2f} s old: the camera lags, or its clock differs from '
                'that of this node (use_sim_time set in only one of them?)')
            return False
        return True

    def _encode(self, observation: Observation) -> None:
        started = monotonic()
        try:
            with self.watch.inside('encoding an image'):
                encoded = self._eye.encode(observation)
        except JointStateError as error:  # stored before the model changed
            self._troubles.note('joint_states_refused', str(error))
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
            self._parameters.whole('missed_images'), self._images, self._usable)
        return Sight(self._usable.age(now), limit, self._missing(now, limit))

    def _missing(self, now: float, limit: float) -> str:
        if (age := self._images.age(now)) > limit:
            return (f'no image {_since(age)}: is the camera running, and "image" remapped to its '
                    'topic?')
        if (age := self._joint_rate.age(now)) > limit and self.model.reads_joints:
            return (f"no joint state {_since(age)}: is the robot's driver running, and "
                    '"joint_states" remapped to its topic?')
        return self._troubles.headline

    def health(self) -> Health:
        """What /diagnostics says of the observations."""
        now = monotonic()
        sight = self.sight()
        values = {
            **self._counts.values(),
            'image_rate_hz': f'{self._image_rate.hertz(now):.1f}',
            'joint_state_rate_hz': f'{self._joint_rate.hertz(now):.1f}',
            'image_age_s': _seconds(self._images.age(now)),
            'joint_state_age_s': _seconds(self._joint_rate.age(now)),
            'usable_age_s': _seconds(sight.age),
            **self._encode_time.values('encode')}
        if sight.is_blind:
            message = sight.problem or f'no usable observation {_since(sight.age)}'
            return Health('observation', Level.ERROR, message, values)
        if sight.problem:
            return Health('observation', Level.WARN, sight.problem, values)
        return Health('observation', Level.OK, 'observing', values)


def _motion_of(joints: JointState) -> dict[str, JointMotion]:
    speeds = joints.velocity if len(joints.velocity) == len(joints.name) else repeat(None)
    return {name: JointMotion(position, speed) for name, position, speed in zip(
        joints.name, joints.position, speeds, strict=False)}


def _since(age: float) -> str:
    return 'so far' if math.isinf(age) else f'for {age:.1f} s'


def _seconds(age: float) -> str:
    return 'n/a' if math.isinf(age) else f'{age:.2f}'
