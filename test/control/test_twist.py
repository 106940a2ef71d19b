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
"""Twists and pose deltas: limits per axis, frames, and what a twist can not move."""

from dataclasses import replace

import numpy as np
import pytest
from control_bench import TWIST, Bench
from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.control import (
    Contract,
    JointLimits,
    Kind,
    LimitsError,
    Reason,
    Rung,
    Settings,
    twist_limits,
)
from world_model_ros.control.pose import to_twists

BASE = Contract(
    'digest', Kind.TWIST, ('linear.x', 'angular.z'), np.full(2, -2.0), np.full(2, 2.0), 'base_link'
)
ALL = ('linear.x', 'linear.y', 'linear.z', 'angular.x', 'angular.y', 'angular.z')


def test_a_base_follows_twists_inside_its_limits_and_comes_to_rest_in_time() -> None:
    bench = Bench(contract=BASE, limits=TWIST)
    setpoint = bench.run(1.0, (1.9, -1.9))
    assert setpoint.rung is Rung.TRACK and setpoint.position is None
    np.testing.assert_allclose(setpoint.velocity, [1.5, -1.0])
    rungs = [bench.tick().rung for _ in range(60)]
    assert rungs == sorted(rungs) and set(rungs) == set(Rung)


def test_pose_deltas_are_carried_out_in_their_step() -> None:
    bench = Bench(contract=replace(BASE, kind=Kind.POSE_DELTA), limits=TWIST)
    setpoint = bench.run(1.0, (0.05, 0.02))
    np.testing.assert_allclose(setpoint.velocity, [0.5, 0.2], rtol=1e-5)


def test_a_base_whose_wheels_are_no_longer_reported_stops() -> None:
    bench = Bench(contract=BASE, limits=TWIST)
    bench.run(0.5)
    codes = []
    for _ in range(40):
        bench.propose((1.0, 0.0))
        codes.append(bench.tick(see=False).cause.code)
        if codes[-1] != 'tracking':
            break
    assert codes[-1] == 'stale_joint_state' and len(codes) <= 16


def test_a_base_whose_wheels_never_turn_stops() -> None:
    bench = Bench(contract=BASE, limits=TWIST)
    for tick in range(100):
        bench.robot = np.zeros(2)
        if tick % 10 == 5:
            bench.accept(bench.proposal([[1.0, 0.0]] * 16))
        setpoint = bench.tick()
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'frozen_joint_states')


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'frame': ''}, 'set action.frame'),
        ({'frame': 'x' * 1000}, 'moves in frame'),
        ({'kind': Kind.JOINT_DELTA}, 'drives twists'),
        ({'names': ('linear.x', 'gripper')}, 'freeze it in the bundle .action.frozen'),
        ({'names': ('linear.x', 'linear.y')}, 'missing "angular.z", unknown "linear.y"'),
    ],
)
def test_a_model_for_another_robot_is_refused_with_the_cure(
    changes: dict[str, object], text: str
) -> None:
    bench = Bench(contract=BASE, limits=TWIST)
    bench.run(0.3)
    problem = bench.control.announce(replace(BASE, digest='other', **changes))  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(problem)
    setpoint = bench.tick(40)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'mismatch')


def test_a_gripper_in_a_proposal_is_refused_with_the_cure() -> None:
    bench = Bench(contract=BASE, limits=TWIST)
    proposal = replace(bench.proposal([[0.1, 0.1]] * 8, age=0.0), names=('linear.x', 'gripper'))
    refusal = bench.accept(proposal)
    assert refusal is not None and refusal.reason is Reason.NAMES
    assert 'freeze it' in refusal.text


def test_a_model_of_another_frame_is_followed_once_the_robot_stands() -> None:
    bench = Bench(contract=BASE, limits=TWIST)
    bench.run(0.5)
    assert bench.control.announce(replace(BASE, digest='odom', frame='odom')) == ''
    proposal = replace(bench.proposal([(0.5, 0.5)] * 16, age=0.0), model_digest='odom')
    refusal = bench.accept(proposal)
    assert refusal is not None and 'once the robot stands' in refusal.text
    setpoint = bench.tick()
    assert (setpoint.rung, setpoint.cause.code) == (Rung.DECELERATE, 'other_frame')
    bench.tick(20)
    again = replace(bench.proposal([(0.5, 0.5)] * 16, age=0.0), model_digest='odom')
    assert bench.accept(again) is None
    # The same frame under another name of the model is no reason to stop.
    bench.tick(20)
    assert bench.control.announce(replace(BASE, digest='new', frame='odom')) == ''
    newer = replace(bench.proposal([(0.5, 0.5)] * 16, age=0.0), model_digest='new')
    assert bench.accept(newer) is None


def test_a_frame_that_the_robot_asks_for_must_be_the_model_s() -> None:
    from world_model_ros.control import SafetyController

    control = SafetyController(TWIST, Settings(), joints=('wheel',), frame='odom')
    assert "'base_link', twist_frame is 'odom'" in control.announce(BASE)
    assert control.announce(replace(BASE, frame='odom')) == ''


@pytest.mark.parametrize(
    ('axes', 'given_', 'text'),
    [
        ([], {}, 'set the parameter twist_axes'),
        (['linear.x', 'linear.x'], {}, 'axis linear.x is named twice in twist_axes'),
        (['x'], {'x': JointLimits()}, 'x is no axis of a twist: use linear.x'),
        (['linear.x'], {'linear.x': JointLimits(velocity=1.0)}, 'twist_limits.linear.x.max_acc'),
        (
            ['linear.x'],
            {'linear.x': JointLimits(velocity=-1.0, acceleration=1.0)},
            'max_velocity -1 must be above zero',
        ),
    ],
)
def test_axes_without_complete_limits_are_refused(
    axes: list[str], given_: dict[str, JointLimits], text: str
) -> None:
    with pytest.raises(LimitsError, match=text):
        twist_limits(axes, given_)


angle = st.floats(-1.5, 1.5)


@given(st.tuples(angle, angle, angle), st.floats(0.01, 2.0))
def test_the_twist_of_a_rotation_turns_by_that_rotation(
    angles: tuple[float, float, float], step: float
) -> None:
    (twist,) = to_twists(np.array([[1.0, -2.0, 3.0, *angles]]), ALL, step)
    np.testing.assert_allclose(twist[:3] * step, [1.0, -2.0, 3.0])
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    wanted = (
        np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    )
    # The exponential of the twist, by Rodrigues' formula.
    x, y, z = vector = twist[3:] * step
    turn = float(np.linalg.norm(vector))
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    done = np.eye(3) + np.sinc(turn / np.pi) * cross
    done = done + 0.5 * np.sinc(turn / 2 / np.pi) ** 2 * cross @ cross
    np.testing.assert_allclose(done, wanted, atol=1e-9)


def test_a_turn_about_one_axis_is_divided_by_its_time() -> None:
    for axis in range(3):
        deltas = np.zeros((1, 6))
        deltas[0, 3 + axis] = 0.3
        np.testing.assert_allclose(to_twists(deltas, ALL, 0.25), deltas * 4.0, atol=1e-12)
    np.testing.assert_allclose(
        to_twists(np.array([[0.1, 0.2]]), ('angular.z', 'linear.x'), 0.5), [[0.2, 0.4]]
    )
