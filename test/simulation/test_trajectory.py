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
"""Joint trajectories are followed as ros2_control's joint_trajectory_controller follows them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.simulation import ArmSimulation, CommandError, Trajectory

numbers = st.floats(-1.0, 1.0)


def quintic(coefficients: np.ndarray, t: float) -> tuple[float, float, float]:
    """Value, first and second derivative of a polynomial."""
    polynomial = np.polynomial.Polynomial(coefficients)
    return polynomial(t), polynomial.deriv(1)(t), polynomial.deriv(2)(t)


@given(st.lists(numbers, min_size=6, max_size=6), st.floats(0.2, 3.0), st.floats(0.01, 0.99))
def test_positions_velocities_and_accelerations_determine_a_quintic(
    coefficients: list[float], duration: float, share: float
) -> None:
    c = np.array(coefficients)
    ends = np.array([quintic(c, 0.0), quintic(c, duration)])
    trajectory = Trajectory(np.array([0.0, duration]), *(column[:, None] for column in ends.T))
    position, velocity = trajectory.sample(share * duration)
    expected = quintic(c, share * duration)
    np.testing.assert_allclose([position[0], velocity[0]], expected[:2], atol=1e-6 * 3.0**5)


@given(st.lists(numbers, min_size=4, max_size=4), st.floats(0.2, 3.0), st.floats(0.01, 0.99))
def test_positions_and_velocities_determine_a_cubic(
    coefficients: list[float], duration: float, share: float
) -> None:
    c = np.array(coefficients)
    ends = np.array([quintic(c, 0.0), quintic(c, duration)])
    trajectory = Trajectory(
        np.array([0.0, duration]), ends[:, :1].copy(), ends[:, 1:2].copy()
    )
    position, velocity = trajectory.sample(share * duration)
    np.testing.assert_allclose(
        [position[0], velocity[0]], quintic(c, share * duration)[:2], atol=1e-6
    )


def test_positions_alone_are_joined_by_lines() -> None:
    trajectory = Trajectory(np.array([0.0, 1.0, 3.0]), np.array([[0.0], [1.0], [0.0]]))
    np.testing.assert_allclose(trajectory.sample(0.25), [[0.25], [1.0]])
    np.testing.assert_allclose(trajectory.sample(2.0), [[0.5], [-0.5]])
    np.testing.assert_allclose(trajectory.sample(9.0), [[0.0], [0.0]])


def test_the_arm_ends_where_the_trajectory_does_and_stays() -> None:
    arm = ArmSimulation()
    arm.command_trajectory(Trajectory(np.array([2.0]), np.array([[1.0, -1.2]])))
    arm.step(1.0)
    np.testing.assert_allclose(arm.positions, [0.5, -0.6], atol=0.05)
    arm.step(3.0)
    np.testing.assert_allclose(arm.positions, [1.0, -1.2], atol=0.005)
    np.testing.assert_allclose(arm.velocities, 0.0, atol=1e-3)


def test_a_velocity_command_takes_over_from_a_trajectory() -> None:
    arm = ArmSimulation()
    arm.command_trajectory(Trajectory(np.array([4.0]), np.array([[2.0, 2.0]])))
    arm.step(1.0)
    arm.command_velocity([0.0, 0.0])
    arm.step(0.5)
    at = arm.positions
    arm.step(0.5)
    np.testing.assert_allclose(arm.positions, at, atol=1e-3)


@pytest.mark.parametrize(
    'times, positions, reason',
    [
        ([], np.zeros((0, 2)), 'no points'),
        ([1.0, 1.0], np.zeros((2, 2)), 'grow'),
        ([-1.0], np.zeros((1, 2)), 'negative'),
        ([1.0], np.zeros((2, 2)), 'one row per point'),
        ([1.0], np.full((1, 2), np.inf), 'not finite'),
        ([1.0], np.zeros((1, 3)), '2 joints'),
    ],
)
def test_a_malformed_trajectory_is_refused(
    times: list[float], positions: np.ndarray, reason: str
) -> None:
    arm = ArmSimulation()
    with pytest.raises(CommandError, match=reason):
        arm.command_trajectory(Trajectory(np.array(times), positions))
    arm.step(0.3)
    np.testing.assert_allclose(arm.positions, 0.0, atol=1e-6)


def test_a_trajectory_that_is_over_is_refused() -> None:
    arm = ArmSimulation()
    arm.step(5.0)
    with pytest.raises(CommandError, match='ended'):
        arm.command_trajectory(Trajectory(np.array([1.0]), np.array([[1.0, 1.0]])), start=2.0)
