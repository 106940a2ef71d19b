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
"""The arithmetic that keeps setpoints inside limits, whatever is wanted."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from world_model_ros.control import Limits, Motion, stopping_points
from world_model_ros.control.motion import advance, follow, toward

PERIOD = 0.01
LONGEST = 2.0 * PERIOD
LIMITS = Limits(
    names=('shoulder', 'elbow'),
    lower=np.array([-2.6, -0.3]),
    upper=np.array([2.6, 0.4]),
    velocity=np.array([1.5, 3.0]),
    acceleration=np.array([8.0, 5.0]),
)
ROUNDING = 1e-9
wishes = st.tuples(*[st.one_of(st.floats(-1e30, 1e30), st.floats(-4.0, 4.0))] * 2)
periods = st.floats(0.0, LONGEST)


@settings(max_examples=60, deadline=None)
@given(
    start=st.tuples(st.floats(-2.6, 2.6), st.floats(-0.3, 0.4)),
    script=st.lists(st.tuples(wishes, periods, st.integers(1, 40)), min_size=1, max_size=20),
    noise=st.floats(-0.2, 0.2),
)
def test_no_wish_leads_outside_position_velocity_or_acceleration_limits(
    start: tuple[float, float],
    script: list[tuple[tuple[float, float], float, int]],
    noise: float,
) -> None:
    motion = Motion(np.array(start), np.zeros(2))
    for wanted, dt, repeats in script:
        for _ in range(repeats):
            before = follow(motion, motion.position + noise, LIMITS, dt, LONGEST)
            pulled = np.abs(before.position - motion.position)
            assert np.all(pulled <= LIMITS.acceleration * dt * dt / 2.0 + ROUNDING)
            motion = advance(before, np.array(wanted), before.position, LIMITS, dt, LONGEST)
            change = np.abs(motion.velocity - before.velocity)
            assert np.all(change <= LIMITS.acceleration * dt + ROUNDING)
            assert np.all(np.abs(motion.velocity) <= LIMITS.velocity)
            assert np.all((LIMITS.lower <= motion.position) & (motion.position <= LIMITS.upper))
            # (2): the position is the integral of the velocity, not a clipped something.
            expected = before.position + (before.velocity + motion.velocity) / 2.0 * dt
            np.testing.assert_allclose(motion.position, expected, rtol=0.0, atol=ROUNDING)


def test_a_joint_sent_at_its_limit_comes_to_rest_at_it_and_not_before() -> None:
    motion = Motion(np.zeros(2), np.zeros(2))
    for _ in range(1000):
        motion = advance(motion, np.full(2, 9.0), motion.position, LIMITS, PERIOD, LONGEST)
    np.testing.assert_allclose(motion.position, LIMITS.upper, atol=1e-3)
    np.testing.assert_allclose(motion.velocity, 0.0, atol=1e-2)


def test_a_robot_pushed_toward_a_limit_brakes_for_the_limit() -> None:
    motion = Motion(np.zeros(2), np.array([1.0, 1.0]))
    pushed = np.array([2.6, 0.39])
    slower = advance(motion, np.ones(2), pushed, LIMITS, PERIOD, LONGEST)
    np.testing.assert_allclose(slower.velocity, 1.0 - LIMITS.acceleration * PERIOD)
    # The way back stays open.
    back = Motion(np.zeros(2), np.zeros(2))
    back = advance(back, -np.ones(2), pushed + 0.1, LIMITS, PERIOD, LONGEST)
    np.testing.assert_allclose(back.velocity, -LIMITS.acceleration * PERIOD)


def test_a_position_is_reached_without_overshoot() -> None:
    for goal in (np.array([2.0, 0.3]), np.array([-1e-3, 1e-4]), np.array([2.6, -0.3])):
        motion = Motion(np.zeros(2), np.zeros(2))
        for _ in range(500):
            wanted = toward(motion.position, goal, LIMITS, 5 * PERIOD)
            motion = advance(motion, wanted, motion.position, LIMITS, PERIOD, LONGEST)
            assert np.all(np.abs(motion.position) <= np.abs(goal) + 1e-4)
        np.testing.assert_allclose(motion.position, goal, atol=2e-3)


@given(
    st.tuples(st.floats(-2.0, 2.0), st.floats(-0.1, 0.1)),
    st.tuples(st.floats(-1.5, 1.5), st.floats(-0.5, 0.5)),
)
def test_a_trajectory_ends_at_rest_with_at_least_two_points_in_strict_order(
    position: tuple[float, float], velocity: tuple[float, float]
) -> None:
    points = stopping_points(Motion(np.array(position), np.array(velocity)), LIMITS, PERIOD)
    times = [time for time, _ in points]
    assert len(points) >= 2
    assert times[0] == PERIOD
    assert np.all(np.diff(times) >= 1e-3 - ROUNDING)
    np.testing.assert_array_equal(points[-1][1].velocity, 0.0)
    for (start, a), (end, b) in pairwise(points):
        slowing = np.abs(a.velocity) - np.abs(b.velocity)
        assert np.all(slowing <= LIMITS.acceleration * (end - start) + ROUNDING)
        assert np.all((b.position >= LIMITS.lower) & (b.position <= LIMITS.upper))
    # Constant braking covers v^2 / (2 a), and half a millisecond's way more to end on a whole one.
    way = np.square(velocity) / (2.0 * LIMITS.acceleration)
    done = (points[-1][1].position - np.array(position)) * np.sign(velocity)
    assert np.all((way - ROUNDING <= done) & (done <= way + 5e-4 * np.abs(velocity) + ROUNDING))


def test_a_standing_robot_gets_a_trajectory_that_holds_it() -> None:
    points = stopping_points(Motion(np.ones(2) * 0.2, np.zeros(2)), LIMITS, PERIOD)
    assert [time for time, _ in points] == pytest.approx([PERIOD, 2 * PERIOD])
    for _, motion in points:
        np.testing.assert_array_equal(motion.position, 0.2)
