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
"""The ladder and the checks before it: whatever arrives, and whenever, setpoints stay safe."""

import math
from dataclasses import replace

import numpy as np
import pytest
from control_bench import CONTRACT, JOINTS, LIMITS, PERIOD, SECOND, SETTINGS, START, Bench

from world_model_ros.control import Kind, Reason, Rung, SafetyController, Settings
from world_model_ros.monitor import Level


def test_it_holds_until_robot_and_model_are_known_and_a_proposal_has_come() -> None:
    control = SafetyController(LIMITS, SETTINGS)
    assert control.step(START, 0).cause.code == 'deactivated'
    control.enable(START)
    assert control.step(START, 0).cause.code == 'no_joint_state'
    assert control.step(START, 0).position is None
    for age in range(0, SECOND // 10, PERIOD):
        now = START + age
        assert control.observe(now, JOINTS, [0.1, 0.2], [], now) == ''
        setpoint = control.step(now, age)
        assert (setpoint.cause.code, setpoint.position) == ('settling', None)
    now = START + SECOND // 10
    assert control.step(now, SECOND // 10).cause.code == 'no_model'
    assert control.announce(CONTRACT) == ''
    setpoint = control.step(now, SECOND // 10)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'waiting')
    assert setpoint.cause.level is Level.OK
    assert setpoint.position is not None
    np.testing.assert_array_equal(setpoint.position, [0.1, 0.2])


def test_it_tracks_the_newest_plan_and_says_which() -> None:
    bench = Bench()
    setpoint = bench.run(1.0)
    assert setpoint.rung is Rung.TRACK
    assert setpoint.plan_id == f'plan{bench.plans}'
    np.testing.assert_allclose(setpoint.velocity, [1.0, -0.5])


def test_rows_are_followed_when_they_are_due() -> None:
    bench = Bench(Settings(late_after=2.0))
    bench.tick()
    rows = [[0.0, 0.0], [0.4, -0.4], [0.4, -0.4], [-0.2, 0.2], [-0.2, 0.2]]
    bench.accept(bench.proposal(rows, age=0.05))
    at = {milliseconds: bench.tick().velocity[0] for milliseconds in range(10, 450, 10)}
    assert at[40] == 0.0  # row 0 applies until 50 ms from here
    assert at[60] > 0.0
    assert at[240] == pytest.approx(0.4)
    assert at[440] == pytest.approx(-0.2)


def test_it_goes_down_the_ladder_one_rung_at_a_time_and_is_at_rest_in_time() -> None:
    bench = Bench()
    bench.run(1.0, (1.5, 0.0))
    bench.propose((1.5, 0.0), age=0.06)
    killed = bench.now
    rungs = []
    while not rungs or rungs[-1] is not Rung.HOLD:
        setpoint = bench.tick()
        rungs.append(setpoint.rung)
        assert len(rungs) < 60
    assert rungs == sorted(rungs)
    assert set(rungs) == set(Rung)
    assert (bench.now - killed) / SECOND < 0.5
    assert setpoint.cause.code == 'proposals_stopped'
    assert setpoint.plan_id == ''


@pytest.mark.parametrize('age', [0.0, 0.05, 0.1, 0.15])
def test_it_stands_in_the_time_that_it_promises_however_old_the_last_plan_was(age: float) -> None:
    bench = Bench()
    late, finish, stopping = SETTINGS.late_after, SETTINGS.finish_duration, 1.5 / 8.0
    assert bench.control.bound == pytest.approx(late + finish + stopping + SETTINGS.period)
    bench.run(1.0, (1.5, 0.0))
    bench.propose((1.5, 0.0), age=age)
    seen = bench.now - round(age * SECOND)
    finishing = []
    while bench.tick().rung is not Rung.HOLD:
        assert bench.last is not None
        if bench.last.rung is Rung.FINISH:
            finishing.append((bench.now - seen) / SECOND)
    assert finishing[0] == pytest.approx(late + SETTINGS.period)
    assert finishing[-1] == pytest.approx(late + finish)
    assert bench.control.bound - 0.02 < (bench.now - seen) / SECOND <= bench.control.bound


def test_one_missed_plan_does_not_brake_the_robot() -> None:
    bench = Bench()
    bench.run(1.0, (0.4, 0.0))
    for _ in range(20):  # every second plan is lost: 200 ms apart, each 90 ms old on arrival
        bench.propose((0.4, 0.0), age=0.09)
        for _ in range(20):
            setpoint = bench.tick()
            assert setpoint.rung <= Rung.FINISH
            np.testing.assert_allclose(setpoint.velocity, [0.4, 0.0], atol=1e-6)


def test_the_end_of_a_plan_is_the_end_of_its_motion() -> None:
    bench = Bench()
    bench.run(0.5)
    bench.accept(bench.proposal([[1.0, 0.0]] * 2, age=0.0))
    setpoint = bench.tick(22)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.DECELERATE, 'plan_ended')


def test_leftovers_of_a_plan_never_play_after_a_pause() -> None:
    bench = Bench(Settings(late_after=1.0))
    bench.run(0.5)
    bench.propose()
    bench.tick(20, see=False)  # the robot is not seen for a moment
    assert bench.last is not None and bench.last.cause.code == 'stale_joint_state'
    setpoint = bench.tick(30)
    assert setpoint.rung is Rung.HOLD, 'the plan would have had a second to go'
    bench.control.disable()
    bench.tick()
    bench.control.enable(bench.now)
    assert bench.tick(5).rung is Rung.HOLD
    refusal = bench.accept(bench.proposal(GOOD, age=0.1))
    assert refusal is not None and refusal.reason is Reason.LEFTOVER
    bench.propose(age=0.02)
    assert bench.tick().rung is Rung.TRACK


@pytest.mark.parametrize('jump', [-10.0, -0.2, 0.22, 0.8, 10.0, 3600.0])
def test_after_a_jump_of_the_clock_it_brakes_says_so_and_begins_anew(jump: float) -> None:
    bench = Bench()
    bench.run(0.5)
    setpoint = bench.tick(elapsed=round(jump * SECOND), steady=PERIOD, see=False)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.DECELERATE, 'clock_jump')
    far = abs(jump) - (0.01 if jump > 0.0 else 0.0)
    assert f'by {far:.3f} s' in setpoint.cause.text
    setpoint = bench.tick(30)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'clock_jump')
    assert bench.run(0.3).rung is Rung.TRACK, 'stamps of the new time are accepted'


def test_a_clock_that_is_only_corrected_is_no_jump() -> None:
    bench = Bench()
    bench.run(0.5)
    setpoint = bench.tick(elapsed=round(0.2 * SECOND), steady=PERIOD)
    assert setpoint.cause.code != 'clock_jump'


def test_a_process_that_was_stopped_begins_anew_and_says_so() -> None:
    bench = Bench(Settings(late_after=5.0))
    bench.run(0.5)
    setpoint = bench.tick(elapsed=SECOND, see=False)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'stalled')
    assert bench.control.breaks == 0, 'the clock is not to blame'
    assert 'this process stood still for 1.000 s' in setpoint.cause.text
    assert bench.tick(50).rung is Rung.HOLD, 'the plan would have had four seconds to go'


def test_while_the_clock_stands_it_comes_to_rest_by_the_steady_clock_and_recovers() -> None:
    bench = Bench()
    bench.run(0.5)
    bench.propose()
    rungs = [bench.tick(elapsed=0, steady=PERIOD).rung for _ in range(50)]
    assert rungs == sorted(rungs) and rungs[-1] is Rung.HOLD
    assert bench.last is not None and bench.last.cause.code == 'clock_stands'
    assert rungs.index(Rung.DECELERATE) <= 16, 'it notices within 0.15 s'
    refusal = bench.accept(bench.proposal(GOOD))
    assert refusal is not None
    assert 'nobody publishes /clock, or not every 0.15 s of real time' in refusal.text
    # In simulated time the plan is as fresh as it was; it is a leftover all the same.
    setpoint = bench.tick(30)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'clock_resumed')
    assert bench.run(0.3).rung is Rung.TRACK


@pytest.mark.parametrize(('slow', 'step'), [(2, 1), (5, 1), (4, 4), (1, 2)])
def test_a_simulation_slower_than_real_time_or_with_a_coarse_clock_is_no_fault(
    slow: int, step: int
) -> None:
    bench = Bench()
    bench.propose((0.4, 0.05))
    for tick in range(300):
        moves = tick % slow == 0
        # step > 1: the clock ticks more coarsely than the controller, yet not slower than time.
        bench.tick(elapsed=PERIOD * step if moves else 0, steady=PERIOD * max(step // slow, 1))
        if tick % (5 * slow) == 0:
            bench.propose((0.4, 0.05), age=0.05)
        assert bench.last is not None and bench.last.rung is Rung.TRACK
    np.testing.assert_allclose(bench.last.velocity, [0.4, 0.05], atol=1e-6)


def test_a_pushed_robot_makes_it_brake_and_go_on_from_where_the_robot_is() -> None:
    for closes_position_loop in (False, True):
        bench = Bench(Settings(closes_position_loop=closes_position_loop))
        bench.run(0.5)
        pushed = bench.robot + np.array([0.9, 0.0])
        codes = []
        for _ in range(120):  # 0.9 rad away, a drive is led slowly to where the robot is
            bench.robot = pushed
            codes.append(bench.tick().cause.code)
        assert codes[0] == 'jumped' and 'pushed' in codes
        assert bench.last is not None and bench.last.rung is Rung.HOLD
        assert bench.last.position is not None
        np.testing.assert_allclose(bench.last.position, pushed, atol=1e-9)


@pytest.mark.parametrize(('way', 'jumped'), [(0.09, False), (0.1, True)])
def test_a_joint_jumps_that_goes_faster_than_any_motor(way: float, jumped: bool) -> None:
    bench = Bench()
    bench.run(0.5, (0.1, 0.0))
    bench.robot = bench.robot + np.array([way, 0.0])  # three times 1.5 rad/s: 0.095
    assert (bench.tick().cause.code == 'jumped') == jumped


@pytest.mark.parametrize('loop', [False, True])
def test_joint_states_that_contradict_each_other_stop_it_until_they_agree(loop: bool) -> None:
    bench = Bench(Settings(closes_position_loop=loop))
    bench.run(0.5)
    true = bench.robot
    for tick in range(100):
        bench.robot = true + np.array([0.0, 0.4 * (tick % 2)])
        before = bench.last
        setpoint = bench.tick()
        assert setpoint.position is not None and before is not None
        # Nobody knows where the robot is: the setpoint stays where it came to rest.
        moved = np.abs(setpoint.position - np.asarray(before.position))
        assert np.all(moved <= LIMITS.velocity * 0.01)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'contradiction')
    assert 'elbow jumps to and fro' in setpoint.cause.text
    assert setpoint.cause.level is Level.ERROR
    bench.robot = true
    bench.tick(120)
    assert bench.run(0.3).rung is Rung.TRACK


@pytest.mark.parametrize('loop', [False, True])
def test_a_robot_that_reports_no_change_at_all_is_not_driven_any_further(loop: bool) -> None:
    bench = Bench(Settings(closes_position_loop=loop))
    bench.run(0.5)
    frozen, travelled, rungs = bench.robot, 0.0, []
    for tick in range(300):
        bench.robot = frozen
        if tick % 10 == 0:
            bench.accept(bench.proposal([[1.0, 0.0]] * 16))
        setpoint = bench.tick()
        travelled += setpoint.velocity[0] * 0.01
        rungs.append(setpoint.rung)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'frozen_joint_states')
    assert rungs == sorted(rungs), 'no second attempt'
    assert travelled < 0.125 + 1.0 / 16 + 0.02, 'half the tolerance and the way to rest'
    bench.robot = frozen + 1e-4
    bench.tick(20)
    assert bench.run(0.3).rung is Rung.TRACK


def test_without_anybody_who_listens_to_the_commands_no_plan_is_followed() -> None:
    bench = Bench()
    bench.control.note_listeners(0)
    refusal = bench.accept(bench.proposal([[1.0, 0.0]] * 8))
    assert refusal is not None and 'ros2_control' in refusal.text
    setpoint = bench.tick(10)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'no_listener')
    bench.control.note_listeners(1)
    assert bench.run(0.3).rung is Rung.TRACK


def test_a_drive_that_begins_to_listen_late_is_not_taken_for_frozen() -> None:
    bench = Bench()
    bench.control.note_listeners(1)  # a recorder: the drive has not been matched yet
    frozen = bench.robot
    for tick in range(100):
        bench.robot = frozen
        if tick % 10 == 0:
            bench.accept(bench.proposal([[1.0, 0.0]] * 8))
        setpoint = bench.tick()
    assert setpoint.cause.code == 'frozen_joint_states'
    bench.control.note_listeners(2)
    bench.tick(20)
    assert bench.run(0.3).rung is Rung.TRACK


def test_a_robot_outside_its_limits_is_not_driven() -> None:
    bench = Bench()
    bench.robot = np.array([0.0, 0.9])
    for _ in range(20):
        bench.robot = np.array([0.0, 0.9])
        setpoint = bench.tick()
    assert setpoint.cause.code == 'outside_limits' and 'elbow' in setpoint.cause.text
    refusal = bench.accept(bench.proposal(GOOD))
    assert refusal is not None and 'move it back by hand' in refusal.text


@pytest.mark.parametrize('kind', [Kind.JOINT_POSITION, Kind.JOINT_DELTA])
def test_positions_and_deltas_arrive_where_they_say(kind: Kind) -> None:
    bench = Bench(Settings(late_after=5.0), replace(CONTRACT, kind=kind))
    bench.tick()
    if kind == Kind.JOINT_POSITION:
        rows = [[0.1, 0.0], [0.2, -0.1], [0.3, -0.2]] + [[0.3, -0.2]] * 17
    else:
        rows = [[0.1, -0.05]] * 3 + [[0.0, 0.0]] * 17
    goal = np.array([0.3, -0.2] if kind == Kind.JOINT_POSITION else [0.3, -0.15])
    proposal = replace(bench.proposal(rows, age=0.0), kind=int(kind))
    assert bench.accept(proposal) is None
    setpoint = bench.tick(190)
    assert setpoint.rung is Rung.TRACK
    assert setpoint.position is not None
    np.testing.assert_allclose(setpoint.position, goal, atol=0.01)


def test_positions_are_reached_when_their_rows_end() -> None:
    rows = [[0.0, 0.0], [0.03, 0.0], [0.08, -0.02], [0.12, -0.05], [0.14, -0.08], [0.14, -0.1]]
    bench = Bench(Settings(late_after=5.0), replace(CONTRACT, kind=Kind.JOINT_POSITION))
    bench.tick()
    bench.robot = np.zeros(2)
    bench.tick()
    assert bench.accept(bench.proposal(rows, age=0.0)) is None
    reached = [bench.tick(10).position for _ in rows]
    np.testing.assert_allclose(np.array(reached, float), rows, atol=0.01)


GOOD = [[0.5, 0.5]] * 8
NAN = [[0.5, math.nan]] * 8
REFUSED: dict[str, tuple[Reason, dict[str, object], str]] = {
    'another model': (Reason.DIGEST, {'model_digest': 'other'}, 'one world_model'),
    'no kind': (Reason.KIND, {'kind': 77}, '77 is not supported'),
    'a twist': (Reason.KIND, {'kind': 4}, 'TWIST is not supported.*command_interface'),
    'an endless name': (Reason.TEXT, {'plan_id': 'x' * 1000}, '1000 characters'),
    'another kind': (Reason.KIND, {'kind': 1}, 'announced JOINT_VELOCITY'),
    'a missing joint': (Reason.NAMES, {'names': ('elbow',)}, 'missing "shoulder"'),
    'an extra joint': (Reason.NAMES, {'names': (*JOINTS, 'wrist')}, 'unknown "wrist"'),
    'a joint twice': (Reason.NAMES, {'names': ('elbow', 'elbow')}, 'repeated "elbow"'),
    'no shape': (Reason.SHAPE, {'shape': ()}, 'expected \\[steps, 2\\]'),
    'a wrong shape': (Reason.SHAPE, {'shape': (7, 2)}, '16 numbers'),
    'a negative shape': (Reason.SHAPE, {'shape': (-8, 2)}, '16 numbers'),
    'no rows': (Reason.HORIZON, {'shape': (0, 2), 'data': np.zeros(0, np.float32)}, '0 steps'),
    'too many rows': (
        Reason.HORIZON,
        {'shape': (2000, 2), 'data': np.zeros(4000, np.float32)},
        '2000 steps',
    ),
    'no duration': (Reason.STEP_DURATION, {'step_duration': 0.0}, 'is 0 s'),
    'a NaN duration': (Reason.STEP_DURATION, {'step_duration': math.nan}, 'is nan s'),
    'a NaN': (Reason.NOT_FINITE, {'data': np.array(NAN, np.float32).ravel()}, 'NaN'),
    'a large number': (Reason.BOUNDS, {'data': np.full(16, 27.5, np.float32)}, 'units'),
    'a huge number': (Reason.BOUNDS, {'data': np.full(16, 3e38, np.float32)}, 'units'),
    'a zero stamp': (Reason.OTHER_CLOCK, {'stamp': 0}, 'use_sim_time'),
    'a future stamp': (Reason.FUTURE, {'stamp': START + 2 * SECOND}, 'in the future'),
    'a late stamp': (Reason.LATE, {'stamp': START - SECOND // 2}, 'raise late_after'),
}


@pytest.mark.parametrize('what', REFUSED)
def test_a_proposal_is_refused_with_a_reason_a_count_and_no_motion_if_it_has(what: str) -> None:
    reason, changes, text = REFUSED[what]
    bench = Bench()
    bench.tick()
    proposal = replace(bench.proposal(GOOD), **changes)  # type: ignore[arg-type]
    refusal = bench.accept(proposal)
    assert refusal is not None and refusal.reason is reason
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(refusal.text)
    assert bench.control.refused[reason.value] == bench.control.refused.total() == 1
    assert bench.control.accepted == 0
    setpoint = bench.tick(10)
    assert setpoint.rung is Rung.HOLD
    assert setpoint.cause.code == f'refused_{reason.value}'
    assert np.all(bench.robot == 0.0)


@pytest.mark.parametrize(('age', 'refused'), [(0.29, False), (0.31, True)])
def test_a_plan_is_late_once_nobody_would_follow_it_any_more(age: float, refused: bool) -> None:
    assert SETTINGS.late_after + SETTINGS.finish_duration == pytest.approx(0.3)
    bench = Bench()
    bench.tick(40)
    refusal = bench.accept(bench.proposal(GOOD, age=age))
    assert (refusal is not None and refusal.reason is Reason.LATE) == refused


def test_each_joint_has_its_own_bounds_in_whichever_order_the_model_names_them() -> None:
    lower, upper = np.array([-0.2, -1.5]), np.array([0.6, 0.4])  # of elbow and shoulder
    for names, order in ((('elbow', 'shoulder'), [0, 1]), (('shoulder', 'elbow'), [1, 0])):
        bench = Bench(contract=replace(
            CONTRACT, names=names, lower=lower[order], upper=upper[order]))
        bench.tick(30)
        for elbow, shoulder, is_good in (
            (0.5, -1.0, True), (0.5, 0.5, False), (-0.5, 0.3, False), (0.5, 0.3, True),
        ):  # fmt: skip
            for columns in (names, names[::-1]):
                bench.tick()
                value = {'elbow': elbow, 'shoulder': shoulder}
                proposal = bench.proposal([[value[name] for name in columns]] * 8, age=0.0)
                refusal = bench.accept(replace(proposal, names=columns))
                assert (refusal is None) == is_good, (names, columns, elbow, shoulder)
                assert refusal is None or refusal.reason is Reason.BOUNDS


def test_older_and_repeated_proposals_are_refused_and_reordered_joints_are_not() -> None:
    bench = Bench()
    bench.tick()
    first = bench.proposal(GOOD, age=0.1)
    reordered = replace(first, names=('elbow', 'shoulder'), data=np.array([0.1, 0.9] * 8, 'f4'))
    assert bench.accept(reordered) is None
    for again in (reordered, replace(first, stamp=first.stamp - 1, plan_id='older')):
        refusal = bench.accept(again)
        assert refusal is not None and refusal.reason is Reason.OUT_OF_ORDER
    np.testing.assert_allclose(bench.tick(14).velocity, [0.9, 0.1], rtol=1e-6)


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'digest': ''}, 'no usable digest'),
        ({'kind': Kind.TWIST}, 'TWIST is not supported'),
        ({'names': ('a', 'b')}, 'made for this robot'),
        ({'lower': np.zeros(3)}, 'lacks a lower or upper bound'),
        ({'lower': np.array([math.nan, 0.0])}, 'not finite'),
        ({'upper': np.array([math.inf, 1.0])}, 'not finite'),
        ({'lower': np.full(2, 3.0)}, 'inverted'),
    ],
)
def test_a_model_that_does_not_fit_the_robot_stops_it(
    changes: dict[str, object], text: str
) -> None:
    bench = Bench()
    bench.run(0.5)
    assert text in bench.control.announce(replace(CONTRACT, **changes))  # type: ignore[arg-type]
    setpoint = bench.tick(40)
    assert (setpoint.rung, setpoint.cause.code) == (Rung.HOLD, 'mismatch')
    assert setpoint.cause.level is Level.ERROR
    refusal = bench.accept(bench.proposal(GOOD))
    assert refusal is not None and refusal.reason is Reason.NO_MODEL


def test_the_plan_of_another_model_is_forgotten() -> None:
    bench = Bench()
    bench.run(0.5)
    assert bench.control.announce(replace(CONTRACT, digest='new')) == ''
    assert bench.tick().rung is Rung.DECELERATE


@pytest.mark.parametrize(
    ('reason', 'names', 'position', 'velocity', 'age'),
    [
        ('too_many', ['x'] * 257, [0.0] * 257, [], 0.0),
        ('missing', ['shoulder'], [0.0], [], 0.0),
        ('missing', [], [], [], 0.0),
        ('repeated', ['shoulder', 'elbow', 'elbow'], [0.0] * 3, [], 0.0),
        ('shape', JOINTS, [0.0], [], 0.0),
        ('shape', JOINTS, [0.0, 0.0], [0.0], 0.0),
        ('not_finite', JOINTS, [0.0, math.nan], [], 0.0),
        ('not_finite', JOINTS, [0.0, 0.0], [math.inf, 0.0], 0.0),
        ('future', JOINTS, [0.0, 0.0], [], -1.0),
        ('other_clock', JOINTS, [0.0, 0.0], [], 1e9),
        ('out_of_order', JOINTS, [0.0, 0.0], [], 0.1),
    ],
)
def test_a_joint_state_is_refused_with_a_count_and_the_last_good_one_stands(
    reason: str, names: list[str], position: list[float], velocity: list[float], age: float
) -> None:
    bench = Bench()
    bench.run(0.3)
    stamp = bench.now - round(age * SECOND)
    assert bench.control.observe(stamp, names, position, velocity, bench.now) != ''
    assert bench.control.robot.refused[reason] == 1
    assert bench.control.robot.refused.total() == 1
    assert bench.tick(see=False).rung is Rung.TRACK
    assert bench.tick(20, see=False).cause.code == 'stale_joint_state'


def test_joint_states_of_a_gripper_alone_are_neither_refused_nor_taken_for_the_arm_s() -> None:
    bench = Bench()
    bench.run(0.3)
    for _ in range(10):
        assert bench.control.observe(bench.now, ['finger'], [0.01], [], bench.now) == ''
    assert bench.control.robot.refused.total() == 0 and bench.control.robot.others == 10
    codes = []
    for _ in range(20):
        bench.control.observe(bench.now, ['finger'], [0.01], [], bench.now)
        codes.append(bench.tick(see=False).cause.code)
    assert codes[-1] == 'stale_joint_state', 'the gripper does not show that the arm is alive'
    control = SafetyController(LIMITS, SETTINGS)
    control.enable(START)
    control.observe(START, ['joint_1', 'joint_2'], [0.0, 0.0], [], START)
    cause = control.step(START, 0).cause
    assert cause.code == 'no_joint_state'
    assert 'shoulder and elbow, not only for "joint_1", "joint_2"' in cause.text


def test_ten_thousand_hostile_proposals_move_nothing_and_are_all_counted() -> None:
    random = np.random.default_rng(7)
    bench = Bench()
    bench.tick()
    nasty = np.array([math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-45, 9.0], np.float32)
    count = 10_000
    for k in range(count):
        good = bench.proposal(np.tile(random.uniform(-1, 1, 2), (8, 1)))
        poisoned = good.data.copy()
        poisoned[random.integers(16)] = random.choice(nasty[[0, 1, 2, 3, 4, 6]])
        hostile = [
            replace(good, data=poisoned),
            replace(good, data=random.choice(nasty, 16)[: random.integers(0, 16)]),
            replace(good, shape=tuple(random.integers(-9, 8, random.integers(0, 5)).tolist())),
            replace(good, kind=int(random.choice([0, 1, 3, 4, 5, 6, 255]))),
            replace(good, names=tuple(random.choice(['', 'x' * 1000, 'elbow'], 2).tolist())),
            replace(good, model_digest=''),
            replace(good, step_duration=float(random.choice([0, -1, 1e-300, 1e300, *nasty[:3]]))),
            replace(good, stamp=int(random.choice([0, -(2**62), 2**62, bench.now + 10**8]))),
        ][k % 8]
        refusal = bench.accept(hostile)
        assert refusal is not None and refusal.text and len(refusal.text) < 600
        if k % 10 == 0:
            setpoint = bench.tick()
            assert setpoint.rung is Rung.HOLD and np.all(setpoint.velocity == 0.0)
    assert bench.control.accepted == 0
    assert bench.control.refused.total() == count
    assert np.all(bench.robot == 0.0)


def test_a_tick_that_fails_brakes_inside_the_limits_and_forgets_the_plan() -> None:
    bench = Bench()
    bench.run(1.0)
    before = bench.last
    assert before is not None
    rungs = []
    for _ in range(20):
        setpoint = bench.control.brake('ValueError: a defect')
        rungs.append(setpoint.rung)
        change = np.abs(setpoint.velocity - before.velocity)
        assert np.all(change <= LIMITS.acceleration * 0.01 + 1e-9) and not setpoint.plan_id
        before = setpoint
    assert rungs == sorted(rungs) and rungs[-1] is Rung.HOLD
    assert 'ValueError: a defect; please report it' in setpoint.cause.text
    bench.last, bench.robot = setpoint, np.asarray(setpoint.position)
    bench.fit.clear()
    assert bench.tick().rung is Rung.HOLD, 'the plan is forgotten'
