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

"""What the robot says of itself, kept until the picture of the same moment comes."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock
from sensor_msgs.msg import Image, JointState

from world_model_ros import payload
from world_model_ros.monitor import Counters, JointMotion, Rate
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.observation import JointStateError, PoseError, StampedBuffer

Message = TypeVar('Message')

OCCASIONS = {Image: ('image', 'camera'), JointState: ('joint state', 'robot'),
             PoseStamped: ('pose', 'tracker')}
"""What completes a model's observations, and who sends it, in words."""

_KEPT = 2 * NANOSECONDS  # longer than any image is on its way
_MOST = 4096  # in that time: 2 kHz
_OLD = 10.0  # s; beyond that it is another clock
_AHEAD = 0.5  # s; a stamp further ahead would drive the good ones out of the buffer


@dataclass(frozen=True)
class RobotMoment:
    """The robot at one moment; None for what it does not send and the model does not read."""

    joints: JointState | None
    pose: PoseStamped | None

    def motion(self) -> dict[str, JointMotion]:
        """Where the joints are and how fast, by name."""
        joints = self.joints
        if joints is None:
            return {}
        speeds = (joints.velocity if len(joints.velocity) == len(joints.name)
                  else [math.nan] * len(joints.name))
        return {name: JointMotion(position, speed if math.isfinite(speed) else None)
                for name, position, speed in zip(
                    joints.name, joints.position, speeds, strict=False)}


class RobotStates:
    """
    Joint states, and poses where the model reads one, by their stamps.

    They are judged when they come, so that a bad one never replaces a good one.
    """

    def __init__(self, clock: Clock, counts: Counters, troubles: Troubles) -> None:
        self._clock, self._counts, self._troubles = clock, counts, troubles
        self._lock = threading.Lock()
        self._joints: StampedBuffer[JointState] = StampedBuffer(_KEPT, _MOST)
        self._poses: StampedBuffer[PoseStamped] = StampedBuffer(_KEPT, _MOST)
        self._clock_read = 0
        self._joints_problem = self._pose_problem = ''
        self._others: Sequence[str] = ()  # joints that came instead of the model's
        self.joint_rate, self.pose_rate = Rate(), Rate()

    def store_joints(self, joints: JointState, models: Sequence[LoadedModel]) -> bool:
        """
        Keep a joint state if one of ``models`` can use it, and return whether one can.

        One without any joint of theirs is somebody else's, as of a gripper that shares the topic:
        no fault, as long as the robot's come as well.
        """
        self._counts.add('joint_states_received')
        readers = [model for model in models if model.shares_joints(joints)]
        if 0 < len(joints.name) <= payload.JOINTS and not readers:
            self._counts.add('joint_states_of_others')
            self._others = joints.name
            return False
        self.joint_rate.tick(monotonic())
        stamp = to_nanoseconds(joints.header.stamp)
        try:
            self._check_time('joint state', '"joint_states"', stamp)
            _check_any(joints, [model.check_joints for model in readers or models])
        except JointStateError as error:
            self._joints_problem = str(error)
            self._troubles.note('joint_states_refused', self._joints_problem)
            return False
        self._joints_problem, self._others = '', ()
        with self._lock:
            self._joints.add(stamp, joints)
        return True

    def store_pose(self, pose: PoseStamped, models: Sequence[LoadedModel]) -> bool:
        """Keep a pose if one of ``models`` can use it, and return whether one can."""
        self.pose_rate.tick(monotonic())
        stamp = to_nanoseconds(pose.header.stamp)
        try:
            self._check_time('pose', '"pose"', stamp)
            _check_any(pose, [model.check_pose for model in models])
        except (JointStateError, PoseError) as error:
            self._pose_problem = str(error)
            self._troubles.note('poses_refused', self._pose_problem)
            return False
        self._pose_problem = ''
        with self._lock:
            self._poses.add(stamp, pose)
        return True

    def at(self, stamp: int, max_skew: float, model: LoadedModel) -> RobotMoment | None:
        """The state at ``stamp`` [ns]; None, and a reason is noted, if ``model`` lacks a part."""
        tolerance = int(max_skew * NANOSECONDS)
        with self._lock:
            joints = self._joints.nearest(stamp, tolerance)
            pose = self._poses.nearest(stamp, tolerance) if model.reads_pose else None
        for missing, problem, what, topic in (
            (model.reads_joints and joints is None,
             self._joints_problem or self._only_others(model), 'joint state', 'joint_states'),
            (model.reads_pose and pose is None, self._pose_problem, 'pose', 'pose'),
        ):
            if missing:
                occasion, _ = OCCASIONS[model.occasion]
                self._troubles.note('unpaired', problem or (
                    f'no {what} within max_skew of the {occasion}: is "{topic}" published, and '
                    'stamped with the same clock?'))
                return None
        return RobotMoment(joints, pose)

    def silence(self, now: float, limit: float, model: LoadedModel) -> str:
        """Which of what ``model`` reads has not come for longer than ``limit`` [s], if any."""
        for reads, rate, others, what, topic in (
            (model.reads_joints, self.joint_rate, self._only_others(model), 'joint state',
             'joint_states'),
            (model.reads_pose, self.pose_rate, '', 'pose', 'pose'),
        ):
            if reads and (age := rate.age(now)) > limit:
                if others:
                    return others
                since = 'so far' if math.isinf(age) else f'for {age:.1f} s'
                return (f"no {what} {since}: is the robot's driver running, and \"{topic}\" "
                        'remapped to its topic?')
        return ''

    def _only_others(self, model: LoadedModel) -> str:
        """What is wrong if joint states come, but none of them is of the model's robot."""
        others = self._others
        if not others:
            return ''
        return (f'joint states come of {payload.few(others)} alone, the model reads '
                f'{payload.few(model.joints)}: remap "joint_states" to the robot that the model '
                'was trained for')

    def _check_time(self, what: str, topic: str, stamp: int) -> None:
        now = self._clock.now().nanoseconds
        if now < self._clock_read:  # it was set back, and with it the stamps
            with self._lock:
                self._joints.clear()
                self._poses.clear()
        self._clock_read = now
        age = (now - stamp) / NANOSECONDS
        if not -_AHEAD <= age <= _OLD:
            off = f'{age:.1f} s old' if age > 0 else f'{-age:.1f} s ahead of this node'
            raise JointStateError(f'{what} is {off}: the clock of the publisher of {topic} '
                                  'differs from that of this node (use_sim_time set in only one of '
                                  'them?)')


def _check_any(message: Message, checks: Sequence[Callable[[Message], None]]) -> None:
    """Raise what the first check raises if none of them lets a message pass."""
    error: JointStateError | PoseError | None = None
    for check in checks:
        try:
            check(message)
        except (JointStateError, PoseError) as refusal:
            error = error or refusal
        else:
            return
    if error is not None:
        raise error
