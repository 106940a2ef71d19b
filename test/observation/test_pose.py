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

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from world_model_ros.bundle import PoseProprioception
from world_model_ros.observation import (
    JointStateError,
    PoseError,
    gripper_fraction,
    pose_proprioception,
)

CONTRACT = PoseProprioception.model_validate({
    'rule': 'integrate_pose', 'frame': 'base', 'link': 'hand',
    'gripper': {'joint': 'finger', 'open': 0.04, 'closed': 0.0},
    'normalization': {'mean': (0.0,) * 7, 'std': (1.0,) * 7}})
ANGLE = st.floats(-1.5, 1.5)


@given(st.tuples(ANGLE, ANGLE, ANGLE))
def test_angles_are_extrinsic_rotations_about_x_y_and_z_as_scipy_has_them(
    angles: tuple[float, float, float],
) -> None:
    turn = Rotation.from_euler('xyz', angles).as_quat()
    state = pose_proprioception('base', (0.1, 0.2, 0.3), turn, CONTRACT)
    np.testing.assert_allclose(state, [0.1, 0.2, 0.3, *angles], atol=1e-5)
    negated = pose_proprioception('base', (0.1, 0.2, 0.3), -turn, CONTRACT)
    np.testing.assert_allclose(negated, state, atol=1e-5)


@given(roll=st.floats(-3, 3), down=st.booleans(), yaw=st.floats(-3, 3))
def test_a_hand_that_points_straight_up_or_down_keeps_its_orientation(
    roll: float, down: bool, yaw: float,
) -> None:
    turn = Rotation.from_euler('xyz', (roll, np.pi / 2 if down else -np.pi / 2, yaw))
    state = pose_proprioception('base', (0.1, 0.2, 0.3), turn.as_quat(), CONTRACT)
    np.testing.assert_allclose(
        Rotation.from_euler('xyz', state[3:]).as_matrix(), turn.as_matrix(), atol=1e-5)


@pytest.mark.parametrize('frame, position, orientation, reason', [
    ('map', (0, 0, 0), (0, 0, 0, 1), 'hand in "base"'),
    ('base', (0, 0, math.nan), (0, 0, 0, 1), 'no position'),
    ('base', (0, 0, 0), (0, 0, 0, 0), 'unit quaternion'),
    ('base', (0, 0, 0), (math.inf, 0, 0, 1), 'unit quaternion'),
    ('base', (0, 0, 0), (1, 0, 0, 1), 'unit quaternion'),
])
def test_what_is_no_pose_is_refused_with_the_reason(
    frame: str, position: tuple[float, ...], orientation: tuple[float, ...], reason: str,
) -> None:
    with pytest.raises(PoseError, match=reason):
        pose_proprioception(frame, position, orientation, CONTRACT)


def test_a_gripper_is_a_fraction_of_its_joints_way() -> None:
    assert gripper_fraction(['a', 'finger'], [9.0, 0.04], CONTRACT) == 0.0
    assert gripper_fraction(['finger', 'a'], [0.01, 9.0], CONTRACT) == pytest.approx(0.75)
    assert gripper_fraction(['finger'], [-0.01], CONTRACT) == 1.0
    for names, position in ((['a'], [0.0]), (['finger'], []), (['finger'], [math.nan])):
        with pytest.raises(JointStateError, match='finger'):
            gripper_fraction(names, position, CONTRACT)
