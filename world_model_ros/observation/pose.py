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
"""A link's pose, as a message carries it, to the proprioception vector of the bundle's encoder."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from world_model_ros.bundle import PoseProprioception
from world_model_ros.observation.joints import JointStateError
from world_model_ros.payload import shorten
from world_model_ros.rotations import euler_from_rotation, rotation_from_quaternion

LARGEST = 1e6  # m


class PoseError(ValueError):
    """A pose that contradicts itself or the bundle; says the cure."""


def pose_proprioception(
    frame: str,
    position: Sequence[float],
    orientation: Sequence[float],
    contract: PoseProprioception,
) -> npt.NDArray[np.float32]:
    """
    Return x, y, z [m], roll, pitch, yaw [rad] of a pose in ``frame``, float32 [6].

    Roll, pitch and yaw are as `rotations` has them.

    :param position: x, y, z
    :param orientation: unit quaternion x, y, z, w

    Raises ``PoseError`` for another frame than the bundle's, or numbers that are no pose.
    """
    if frame != contract.frame:
        raise PoseError(f'the pose is given in "{shorten(frame)}", the model wants that of '
                        f'{contract.link} in "{contract.frame}": transform it before it is sent')
    numbers = (*position, *orientation)
    length = math.hypot(*orientation)
    # Beyond LARGEST, a float32 is infinite or nearly so; no robot is that far away.
    if not all(abs(number) < LARGEST for number in numbers) or not 0.99 < length < 1.01:
        raise PoseError(f'the pose {[round(number, 3) for number in numbers]} is no position and '
                        'unit quaternion: fix the publisher')
    angles = euler_from_rotation(rotation_from_quaternion(np.array(orientation) / length))
    return np.array([*position, *angles], np.float32)


def gripper_fraction(
    names: Sequence[str], position: Sequence[float], contract: PoseProprioception,
) -> float:
    """
    Return how far the gripper is closed, 0 to 1, from a joint state.

    Raises ``JointStateError`` when its joint is missing or has no finite position.
    """
    gripper = contract.gripper
    if gripper is None:
        raise ValueError('the model knows no gripper')
    if gripper.joint not in names or len(position) != len(names):
        raise JointStateError(f'joint state lacks the position of "{gripper.joint}", which closes '
                              'the gripper: remap "joint_states" to the robot that the model was '
                              'trained for')
    value = position[list(names).index(gripper.joint)]
    if not math.isfinite(value):
        raise JointStateError(f'joint state has {value} for "{gripper.joint}": fix the driver')
    return min(max((value - gripper.open) / (gripper.closed - gripper.open), 0.0), 1.0)
