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
"""Rotations are SciPy's, one by one and many at once, and survive a pitch of 90 degrees."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from world_model_ros.rotations import (
    euler_from_rotation,
    rotation_from_euler,
    rotation_from_quaternion,
    rotation_from_vector,
    vector_from_euler,
)

Array = npt.NDArray[Any]

STRAIGHT = st.sampled_from((-np.pi / 2, np.pi / 2))
"""Pitches at which roll and yaw turn about the same axis."""
PITCH = st.one_of(STRAIGHT, st.builds(lambda straight, off: straight + off, STRAIGHT,
                                      st.floats(-1e-6, 1e-6)), st.floats(-7, 7))
ANGLES = st.tuples(st.floats(-7, 7), PITCH, st.floats(-7, 7)).map(np.array)
VECTORS = st.tuples(*[st.floats(-7, 7)] * 3).map(np.array)


@settings(deadline=None)
@given(ANGLES)
def test_roll_pitch_and_yaw_are_scipys_extrinsic_xyz(euler: Array) -> None:
    np.testing.assert_allclose(
        rotation_from_euler(euler), Rotation.from_euler('xyz', euler).as_matrix(), atol=1e-12)


@settings(deadline=None)
@given(VECTORS)
def test_a_turn_about_an_axis_is_scipys(vector: Array) -> None:
    np.testing.assert_allclose(
        rotation_from_vector(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)


@settings(deadline=None)
@given(ANGLES)
def test_the_rotation_of_a_quaternion_is_scipys(euler: Array) -> None:
    turn = Rotation.from_euler('xyz', euler)
    np.testing.assert_allclose(
        rotation_from_quaternion(turn.as_quat()), turn.as_matrix(), atol=1e-12)


@settings(deadline=None)
@given(ANGLES)
def test_angles_of_a_rotation_mean_that_rotation_straight_up_and_down_as_well(
    euler: Array,
) -> None:
    rotation = rotation_from_euler(euler)
    angles = euler_from_rotation(rotation)
    assert (np.abs(angles) <= [np.pi, np.pi / 2, np.pi]).all()
    np.testing.assert_allclose(rotation_from_euler(angles), rotation, atol=3e-7)


@settings(deadline=None)
@given(roll=st.floats(-3.14, 3.14), pitch=st.floats(-1.57, 1.57), yaw=st.floats(-3.14, 3.14))
def test_angles_come_back_as_they_went(roll: float, pitch: float, yaw: float) -> None:
    euler = np.array([roll, pitch, yaw])
    np.testing.assert_allclose(euler_from_rotation(rotation_from_euler(euler)), euler, atol=1e-5)


@settings(deadline=None)
@given(ANGLES)
def test_angles_become_the_vector_of_the_shorter_way_round(euler: Array) -> None:
    vector = vector_from_euler(euler)
    assert np.linalg.norm(vector) <= np.pi + 1e-9
    np.testing.assert_allclose(
        rotation_from_vector(vector), rotation_from_euler(euler), atol=1e-9)


def test_many_rotations_are_those_that_each_is_alone() -> None:
    many = np.random.default_rng(0).uniform(-3, 3, (4, 5, 3))
    for function in (rotation_from_euler, rotation_from_vector, vector_from_euler):
        alone = [[function(one) for one in row] for row in many]
        np.testing.assert_allclose(function(many), alone)
    rotations = rotation_from_euler(many)
    np.testing.assert_allclose(
        euler_from_rotation(rotations), [[euler_from_rotation(one) for one in row]
                                         for row in rotations])
