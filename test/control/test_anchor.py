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
"""Where setpoints begin, what is sent at rest, and what a robot did while this process stood still.

``control_bench.Spline`` is a robot that goes on along its last trajectory. ``Bench.command`` holds
every message against the velocity and acceleration limits from where that has led it.
"""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from control_bench import (
    CONTRACT,
    JOINTS,
    LIMITS,
    PERIOD,
    SECOND,
    SETTINGS,
    START,
    TWIST,
    Bench,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from world_model_ros.control import (
    Kind,
    Motion,
    Refusal,
    Rung,
    SafetyController,
    Setpoint,
    Settings,
)
from world_model_ros.control.drive import UNTOLD
from world_model_ros.control.limits import Vector
from world_model_ros.control.motion import advance, brake, stopping_points
from world_model_ros.control.robot import RobotState

TRAJECTORY = Settings(closes_position_loop=True, late_after=1.0)
LOOP = Settings(closes_position_loop=True)


# A process that stood still


@settings(max_examples=60, deadline=None)
@given(
    velocity=st.tuples(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0)),
    ticks=st.integers(1, 30),
    stalls=st.lists(
        st.tuples(st.floats(0.01, 1.2), st.booleans(), st.integers(0, 8)), min_size=1, max_size=6),
)
def test_after_a_stall_a_trajectory_goes_on_from_where_the_last_one_has_led_the_robot(
    velocity: tuple[float, float], ticks: int, stalls: list[tuple[float, bool, int]]
) -> None:
    bench = Bench(TRAJECTORY)
    bench.accept(bench.proposal([velocity] * 32, age=0.0))
    bench.tick(ticks)
    for length, see, after in stalls:  # judged in Bench.command
        bench.tick(elapsed=round(length * SECOND), see=see)
        bench.accept(bench.proposal([velocity] * 32, age=0.0))
        bench.tick(after)


@pytest.mark.parametrize('length', [0.05, 0.3, 2.0])
def test_a_stalled_process_does_not_pull_the_arm_back(length: float) -> None:
    bench = Bench(TRAJECTORY)
    bench.accept(bench.proposal([(1.5, 0.0)] * 32, age=0.0))
    bench.tick(90)  # of which the first half takes the robot over
    assert bench.last is not None and bench.last.position is not None
    asked = bench.last.position[0]
    setpoint = bench.tick(elapsed=round(length * SECOND))
    assert setpoint.position is not None
    braking = min(length - 0.01, 1.5 / 8.0)
    assert setpoint.position[0] >= asked + 1.5 * braking - 4.0 * braking**2 - 1e-6
    if length < 0.1:
        assert setpoint.rung is Rung.TRACK, 'it slowed down, no more'
    else:
        assert not setpoint.plan_id, 'it came to rest: what is left of the plan is not followed'
        assert setpoint.rung is Rung.HOLD


def slow_to_brake() -> Bench:
    """A robot at 0.9 rad/s, which takes it 1.1 s and 0.5 rad to brake."""
    bench = Bench(LOOP, limits=replace(LIMITS, acceleration=np.full(2, 0.8)))
    assert bench.run(2.6, (0.9, 0.0)).velocity[0] == pytest.approx(0.9)
    return bench


@pytest.mark.parametrize('length', [0.12, 0.2, 0.4])
def test_after_a_pause_the_controller_blames_itself_and_nobody_else_until_the_robot_stands(
    length: float,
) -> None:
    bench = slow_to_brake()
    setpoint = bench.tick(elapsed=round(length * SECOND))
    while setpoint.rung is Rung.DECELERATE or np.any(bench.control.robot.velocity):
        assert setpoint.cause.code == 'stalled'
        assert f'this process stood still for {length - 0.01:.3f} s' in setpoint.cause.text
        refusal = bench.accept(bench.proposal([(0.9, 0.0)] * 16))
        assert refusal is not None and 'this process stood still' in refusal.text
        setpoint = bench.tick()
    assert bench.run(0.3, (-0.5, 0.0)).rung is Rung.TRACK


@pytest.mark.parametrize('ticks', [16, 60, 200])
def test_after_a_pause_of_the_clock_an_arm_that_brakes_is_not_taken_for_one_that_others_move(
    ticks: int,
) -> None:
    bench = slow_to_brake()
    bench.tick(ticks, elapsed=0, steady=PERIOD)
    codes = {bench.tick().cause.code for _ in range(130)}
    assert codes <= {'clock_resumed', 'waiting'}
    assert bench.run(0.3, (-0.5, 0.0)).rung is Rung.TRACK


def test_a_robot_that_has_come_to_rest_after_a_pause_and_moves_again_is_moved_by_others() -> None:
    bench = slow_to_brake()
    bench.tick(elapsed=SECOND // 5)
    bench.tick(130)
    rest = bench.robot
    codes = []
    for step in range(30):
        bench.place(rest + np.array([0.01 * step, 0.0]))
        codes.append(bench.tick().cause.code)
    assert codes[-1] == 'moved_by_others'


class Driven:
    """A robot that is sent velocities, and stands once it has heard nothing for ``watchdog`` s."""

    def __init__(self, watchdog: float) -> None:
        self.watchdog = watchdog
        self.control = SafetyController(LIMITS, SETTINGS)
        self.now = START
        self.control.announce(CONTRACT)
        self.control.enable(self.now)
        self.position, self.velocity = np.zeros(2), np.zeros(2)
        self.plans = Bench()

    def tick(self, length: float = 0.01) -> Setpoint:
        told = min(length, self.watchdog)
        self.position = self.position + self.velocity * told
        if length > self.watchdog:
            self.velocity = np.zeros(2)
        self.now += round(length * SECOND)
        # Its driver goes on to report while the controller stands still.
        for age in np.arange(min(length, 0.3), 0.0, -0.01):
            past = self.position - self.velocity * max(age - 0.01, 0.0)
            stamp = self.now - round((age - 0.01) * SECOND)
            self.control.observe(stamp, JOINTS, past.tolist(), [], self.now)
        setpoint = self.control.step(self.now, self.now - START + SECOND)
        if setpoint.due:
            self.velocity = setpoint.velocity
        return setpoint

    def drive(self) -> None:
        for tick in range(80):
            if tick % 10 == 5:
                self.plans.now = self.now
                self.control.accept(self.plans.proposal([(1.5, 0.0)] * 16, age=0.05), self.now)
            self.tick()
        assert self.velocity[0] == 1.5


@pytest.mark.parametrize('length', [0.3, 2.0, 30.0])
def test_a_robot_that_has_stopped_by_itself_while_the_controller_stood_still_does_not_lurch(
    length: float,
) -> None:
    robot = Driven(watchdog=0.2)
    robot.drive()
    robot.control.emergency.stop('pressed meanwhile')
    robot.tick(length)
    where = robot.position
    for _ in range(60):
        robot.tick()
    np.testing.assert_array_equal(robot.position, where)


def test_a_robot_that_still_moves_when_the_controller_goes_on_is_braked_inside_its_limits() -> None:
    robot = Driven(watchdog=9.0)
    robot.drive()
    robot.control.emergency.stop('pressed meanwhile')
    speeds = [robot.tick(0.3).velocity[0], *(robot.tick().velocity[0] for _ in range(60))]
    assert 1.5 - 0.16 - 1e-6 <= speeds[0] < 1.5, 'two periods are the most that a tick may use'
    assert speeds[-1] == 0.0
    assert np.all(np.abs(np.diff(speeds)) <= 0.08 + 1e-6)


def test_a_base_begins_at_rest_once_its_own_watchdog_has_stopped_it() -> None:
    twist = replace(CONTRACT, kind=Kind.TWIST, names=TWIST.names, frame='base')
    bench = Bench(contract=twist, limits=TWIST)
    assert np.any(bench.run(1.0).velocity)
    assert np.any(bench.tick(elapsed=SECOND // 3).velocity), 'a third of a second is not enough'
    bench.run(1.0)
    assert not np.any(bench.tick(elapsed=SECOND * 2 // 3).velocity)


# What is sent at rest


def sent(bench: Bench, count: int) -> int:
    before = bench.sent
    bench.tick(count)
    return bench.sent - before


def test_a_robot_that_holds_by_itself_is_sent_nothing_before_a_plan_and_after_rest() -> None:
    bench = Bench(LOOP)
    assert bench.sent == 0, 'it has been active and seen for 0.2 s'
    bench.run(0.8)
    assert sent(bench, 1) == 1
    while bench.last is None or bench.last.rung is not Rung.HOLD:
        bench.tick()
    assert bench.last.due, 'the last word is rest'
    bench.tick(3)
    assert sent(bench, 100) == 0
    bench.propose()
    assert sent(bench, 1) == 1


def test_robots_that_take_velocities_are_sent_zeros_at_rest() -> None:
    bench = Bench(SETTINGS)
    bench.run(0.5)
    bench.tick(60)
    assert sent(bench, 100) == 100


def test_a_drive_that_was_off_is_not_sent_back_to_where_it_was() -> None:
    bench = Bench(LOOP)
    bench.run(0.5)
    bench.tick(60)
    moved = bench.robot + np.array([0.1, -0.1])  # inside following_tolerance: no push
    for part in np.linspace(0.0, 1.0, 100):
        bench.place(bench.robot + part * (moved - bench.robot))
        assert not bench.tick().due
    bench.tick(20)
    bench.propose((0.0, 0.5), age=0.0)
    setpoint = bench.tick()
    assert setpoint.due and setpoint.position is not None
    np.testing.assert_allclose(setpoint.position, moved, atol=1e-3)


class Sagging(Bench):
    """An arm whose drive leaves it ``sag`` rad below where it is sent."""

    sag = np.array([0.0, 0.04])

    def see(self) -> str:
        self.seen = self.robot
        return self.control.observe(
            self.now, JOINTS, (self.robot - self.sag).tolist(), [], self.now)


def test_an_arm_that_sags_does_not_sag_further_with_every_motion() -> None:
    bench = Sagging(LOOP)
    bench.run(1.0, (0.2, 0.0))  # judged: no step, though it is not where it is sent
    elbow = bench.robot[1]
    assert -0.05 < elbow < 0.0, 'at first nobody knows where it was sent before'
    for direction in (1.0, -1.0, 1.0, -1.0):
        bench.tick(80)
        assert bench.run(1.0, (0.2 * direction, 0.0)).rung is Rung.TRACK
        assert bench.robot[1] == pytest.approx(elbow, abs=1e-6)
        assert abs(bench.robot[0]) > 0.01


@pytest.mark.parametrize('seen', range(1, 14))
def test_an_arm_that_was_pushed_while_the_controller_stood_still_goes_on_from_where_it_is(
    seen: int,
) -> None:
    bench = Bench(LOOP)
    bench.run(1.0, (0.5, 0.0))
    held = bench.robot - np.array([0.8, 0.0])
    for tick in range(200):
        bench.robot = held
        if tick == seen:
            bench.see()
            bench.now += 1
            bench.tick(see=False, elapsed=SECOND // 2)
        setpoint = bench.tick()
        if tick % 10 == 0:
            bench.accept(bench.proposal([(0.5, 0.0)] * 16, age=0.0))
    assert setpoint.position is not None
    assert abs(setpoint.position[0] - held[0]) < LOOP.following_tolerance


@pytest.mark.parametrize('length', [0.12, 0.2, 0.45, 0.6, 2.0])
@pytest.mark.parametrize('seen', [True, False])
@pytest.mark.parametrize('held', [True, False])
def test_an_arm_that_others_moved_while_the_controller_stood_still_is_not_sent_back(
    length: float, seen: bool, held: bool
) -> None:
    bench = Bench(LOOP)
    bench.run(1.0, (0.5, 0.0))
    if held:
        bench.run(0.5, (0.0, 0.0))
    elsewhere = bench.robot - np.array([0.8 if length > 0.15 else 0.2, 0.0])
    bench.place(elsewhere)
    codes = [bench.tick(elapsed=round(length * SECOND), see=seen).cause.code]
    for _ in range(100):  # judged: from where it is held now
        codes.append(bench.tick().cause.code)
        np.testing.assert_allclose(bench.robot, elsewhere, atol=1e-9)
    for tick in range(150):
        if tick % 10 == 0:
            bench.accept(bench.proposal([(0.5, 0.0)] * 16, age=0.0))
        codes.append(bench.tick().cause.code)
    assert codes[-1] == 'tracking' and 'frozen_joint_states' not in codes


class Disturbed(Bench):
    """An arm behind a drive, in a random order of what may happen to it; all of it is judged."""

    def __init__(self, random: Random) -> None:
        super().__init__(LOOP)
        self.random = random
        self.stops = 0
        self.run(0.5)  # from then on it is known where it was sent

    def plan(self) -> Refusal | None:
        wanted = self.random.uniform(-1.0, 1.0), self.random.uniform(-0.5, 0.5)
        proposal = self.proposal([wanted] * 16, age=self.random.uniform(0.0, 0.1))
        return self.accept(replace(proposal, goal_id=f'goal {self.stops}'))

    def drive(self) -> None:
        for tick in range(self.random.randint(1, 60)):
            if tick % 10 == 0:
                self.plan()
            self.tick()

    def rest(self) -> None:
        self.tick(self.random.randint(1, 60))

    def push(self) -> None:
        """A hand holds the arm somewhere while its drive pulls, and lets go."""
        held = self.elsewhere()
        for _ in range(self.random.randint(1, 60)):
            self.robot = held
            self.plan()
            self.tick()

    def blind(self) -> None:
        for _ in range(self.random.randint(1, 40)):
            self.plan()
            self.tick(see=False)

    def stall(self) -> None:
        length = self.random.choice([0.02, 0.05, 0.12, 0.2, 0.4, 0.6, 2.0])
        moved = length > UNTOLD + 0.01 and self.random.random() < 0.5
        if moved:  # by others
            self.place(self.elsewhere())
        self.tick(elapsed=round(length * SECOND), see=self.random.random() < 0.5)
        if moved:
            # A hand that then holds it elsewhere would leave nobody who knows where the drive is.
            assert not self.recover()

    def stop(self) -> None:
        self.control.emergency.stop('by chance')
        self.moving = False
        self.tick(self.random.randint(1, 80))
        self.reset()

    def reset(self) -> str:
        problem = self.control.reset('by chance', self.now)
        if not problem:
            self.stops += 1
            self.moving, self.since = True, self.now
        return problem

    def elsewhere(self) -> Vector:
        far = self.random.choice([0.05, 0.2, 1.0])
        moved = self.robot + [self.random.uniform(-far, far) for _ in range(2)]
        return np.clip(moved, LIMITS.lower, LIMITS.upper)

    def recover(self) -> str:
        """Let all be well again; return why it is not followed, if it is not."""
        self.tick(120)
        if self.control.emergency.latched:
            assert not self.reset()
        for tick in range(300):
            if tick % 10 == 0:
                self.plan()
            setpoint = self.tick()
            if setpoint.rung is Rung.TRACK and np.any(setpoint.velocity):
                return ''
        return setpoint.cause.code


EVENTS = (Disturbed.drive, Disturbed.drive, Disturbed.rest, Disturbed.push, Disturbed.blind,
          Disturbed.stall, Disturbed.stall, Disturbed.stop)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_whatever_disturbs_an_arm_it_is_driven_inside_its_limits_and_goes_on_when_all_is_well(
    seed: int,
) -> None:
    bench = Disturbed(Random(seed))
    for _ in range(bench.random.randint(2, 8)):
        bench.random.choice(EVENTS)(bench)
    cause = bench.recover()
    if cause == 'frozen_joint_states':  # as its text says
        assert not bench.reset()
        cause = bench.recover()
    assert not cause


def test_an_arm_is_led_slowly_to_where_joint_states_suddenly_say_that_it_is() -> None:
    bench = Bench(LOOP)
    bench.run(1.0, (1.0, 0.0))
    elsewhere = bench.robot + np.array([-1.5, 0.3])
    codes = set()
    for tick in range(300):  # judged: another arm's states, and never those of this one again
        bench.robot = elsewhere
        codes.add(bench.tick().cause.code)
        if tick % 10 == 0:
            bench.accept(bench.proposal([(0.1, 0.0)] * 16, age=0.0))
    assert {'jumped', 'pushed', 'tracking'} <= codes


def test_a_stop_while_a_drive_is_taken_over_ends_at_rest_and_can_be_reset() -> None:
    bench = Bench(LOOP)
    bench.propose((1.0, 0.0), age=0.0)
    assert bench.tick(10).within > 0.3
    bench.control.emergency.stop('test')
    assert 'still braking' in bench.control.reset('why not', bench.now)
    assert bench.tick(60).rung is Rung.HOLD
    assert bench.control.reset('it stands', bench.now) == ''


class SaggingFar(Sagging):
    """It was driven once, and stands."""

    sag = np.array([0.22, 0.0])

    def __init__(self) -> None:
        super().__init__(LOOP)
        self.run(1.0, (0.3, 0.0))
        self.tick(100)


def led_up() -> Bench:
    """An arm that sagged, and whose drive was off since: it is led up to where it was sent."""
    bench = SaggingFar()
    bench.place(bench.robot - bench.sag)
    bench.sag = np.zeros(2)
    bench.tick(30)
    bench.propose((0.0, 0.0), age=0.0)
    assert bench.tick().within > 0.3
    return bench


@pytest.mark.parametrize(('why', 'ticks'), [
    ('stop', 1), ('stop', 12), ('stop', 20), ('failure', 1), ('failure', 20),
    ('blind', 5), ('blind', 12),  # once it was seen on its way
])
def test_a_stop_brakes_a_robot_that_is_led_to_where_its_motion_begins(
    why: str, ticks: int
) -> None:
    bench = led_up()
    bench.tick(ticks)
    bench.propose((0.0, 0.0), age=0.0)
    if why == 'stop':
        bench.control.emergency.stop('test')
    elif why == 'blind':
        bench.tick(15, see=False)
    else:
        setpoint = bench.control.brake('a fault')
        assert bench.spline is not None
        bench.spline.time += 0.01
        bench.command(bench.spline, setpoint, True, PERIOD)  # judged
        bench.last = setpoint
        bench.control.emergency.stop('and so on')
    assert bench.spline is not None
    speed, where = abs(bench.spline.state().velocity[0]), bench.robot[0]
    bench.tick(60, see=why != 'blind')  # judged: inside the limits
    assert abs(bench.robot[0] - where) < speed**2 / 16.0 + speed * 0.02 + 0.04
    assert bench.last is not None and bench.last.rung is Rung.HOLD


def test_a_stop_while_a_motion_begins_moves_no_arm_that_stands_where_it_was_sent() -> None:
    bench = SaggingFar()
    where = bench.robot
    bench.propose((0.3, 0.0), age=0.0)
    assert bench.tick(5).within > 0.2
    bench.control.emergency.stop('test')
    for _ in range(60):
        bench.tick()
        np.testing.assert_allclose(bench.robot, where, atol=1e-6)


@pytest.mark.parametrize('part', [0.4, 0.7, 1.0])
def test_an_arm_that_is_pushed_while_its_motion_begins_is_not_taken_for_one_that_is_led(
    part: float,
) -> None:
    bench = SaggingFar()
    where, pushed = bench.robot, bench.robot + part * bench.sag
    bench.propose((0.3, 0.0), age=0.0)
    bench.tick(3)
    assert bench.spline is not None
    for _ in range(60):  # judged: no step of its drive
        bench.robot = pushed
        bench.tick()
        np.testing.assert_allclose(bench.spline.state().position, where, atol=1e-6)


def test_a_reset_begins_where_the_robot_is() -> None:
    for settings_ in (SETTINGS, LOOP):
        bench = Bench(settings_)
        bench.run(0.5)
        bench.control.emergency.stop('protective stop')
        bench.tick(60)
        moved = bench.robot + np.array([0.02, 0.0])
        for _ in range(15):
            bench.place(moved)
            bench.tick()
        assert bench.control.reset('the arm is free again', bench.now) == ''
        bench.place(moved)
        setpoint = bench.tick()
        assert setpoint.position is not None and not np.any(setpoint.velocity)
        np.testing.assert_allclose(setpoint.position, moved, atol=1e-9)


def test_zeros_from_another_source_before_the_drive_comes_up_are_not_commanded() -> None:
    bench = Bench(LOOP)
    bench.place(np.array([0.8, 0.3]))  # the bench began at zeros, and was believed
    bench.tick(60)
    assert bench.sent == 0
    bench.propose((0.5, 0.0), age=0.0)
    bench.tick()  # judged: from where the robot is
    assert bench.last is not None and bench.last.position is not None
    np.testing.assert_allclose(bench.last.position, [0.8, 0.3], atol=1e-3)


def test_a_robot_that_others_move_is_left_to_them_until_it_stands() -> None:
    bench = Bench(LOOP)
    codes = set()
    for step in range(60):
        bench.place(np.array([0.005 * step, 0.0]))
        bench.tick()
        codes.add(bench.last.cause.code if bench.last else '')
        if step >= 5:
            refusal = bench.accept(bench.proposal([(1.0, 0.0)] * 8, age=0.0))
            assert refusal is not None and 'once it stands' in refusal.text
    assert bench.sent == 0 and 'moved_by_others' in codes
    bench.tick(12)
    assert bench.run(0.3).rung is Rung.TRACK


def test_while_the_ros_clock_stands_trajectories_with_its_stamps_are_not_sent() -> None:
    bench = Bench(LOOP)
    bench.run(0.5)
    bench.tick(16, elapsed=0, steady=PERIOD)
    before = bench.sent
    setpoint = bench.tick(60, elapsed=0, steady=PERIOD)
    assert setpoint.rung is Rung.HOLD and bench.sent == before
    bench.tick(40)  # the paused simulation goes on: its arm brakes by itself
    assert bench.sent == before
    assert bench.run(0.3).rung is Rung.TRACK


# Where it begins


class Found:
    """A controller that is activated with a robot that moves already, ``noise`` rad about it."""

    def __init__(self, settings_: Settings, velocity: float, noise: float = 0.0) -> None:
        self.control = SafetyController(LIMITS, settings_)
        self.control.announce(CONTRACT)
        self.control.enable(START)
        random = np.random.default_rng(3)
        self.setpoints = []
        for tick in range(60):
            now = START + tick * PERIOD
            position = random.uniform(-noise, noise, 2)
            position[0] += velocity * tick * 0.01
            self.control.observe(now, JOINTS, position.tolist(), [], now)
            self.setpoints.append(self.control.step(now, tick * PERIOD))
        self.velocities = np.array([each.velocity for each in self.setpoints if each.due])


def test_a_moving_robot_is_braked_inside_its_limits_at_activation() -> None:
    for velocity in (1.2, -0.7, 9.0):
        found = Found(SETTINGS, velocity)
        speeds = found.velocities[:, 0]
        first = np.clip(velocity, -1.5, 1.5)
        assert speeds[0] == pytest.approx(first - np.sign(first) * 0.08, abs=1e-6), (
            'nothing is sent before it is known how fast it moves')
        assert np.all(np.abs(np.diff(speeds)) <= 0.08 + 1e-9)
        assert np.all(np.abs(speeds[20:]) == 0.0)


def test_a_robot_that_nobody_sees_is_sent_zeros_a_quarter_of_a_second_after_activation() -> None:
    control = SafetyController(LIMITS, SETTINGS)
    control.enable(START)
    due = [control.step(START + t * PERIOD, t * PERIOD).due for t in range(40)]
    assert due == sorted(due) and due.index(True) in (24, 25)


@pytest.mark.parametrize('noise', [0.0, 1e-4, 1.5e-3])
def test_a_noisy_robot_at_rest_is_at_rest(noise: float) -> None:
    for settings_ in (SETTINGS, LOOP):
        found = Found(settings_, 0.0, noise)
        assert not np.any(found.velocities)
        assert all(each.rung is Rung.HOLD for each in found.setpoints)
        assert found.setpoints[-1].cause.code == 'waiting'


def test_how_fast_a_robot_moves_is_known_from_where_it_was() -> None:
    state = RobotState(LIMITS, JOINTS, SETTINGS)

    def see(milliseconds: int, position: float) -> float:
        stamp = START + milliseconds * 1_000_000
        assert state.observe(stamp, JOINTS, [position, 0.0], [], stamp) == ''
        return float(state.velocity[0])

    assert see(0, 0.0) == 0.0
    assert see(10, 0.01) == pytest.approx(1.0)
    assert see(10, 0.01) == pytest.approx(1.0), 'the same stamp again is no division by zero'
    for step in range(2, 12):
        speed = see(10 * step, 0.01 * step)
    assert speed == pytest.approx(1.0)
    assert see(120, 0.11) == 0.0, 'it has just stopped'
    assert see(130, 0.8) == 0.0, 'a jump is no motion'
    state.forget()
    assert see(140, 0.8) == 0.0


def test_how_a_robot_moved_before_it_was_lost_from_sight_does_not_say_how_it_moves() -> None:
    state = RobotState(LIMITS, JOINTS, SETTINGS)

    def see(milliseconds: int, position: float) -> tuple[float, bool]:
        stamp = START + milliseconds * 1_000_000
        assert state.observe(stamp, JOINTS, [position, 0.0], [], stamp) == ''
        return float(state.velocity[0]), state.followed

    for step in range(20):
        seen = see(10 * step, 0.01 * step)
    assert seen == (pytest.approx(1.0), True)
    assert see(700, 0.4) == (0.0, False), 'it may have stopped long ago'
    assert see(710, 0.4) == (0.0, True)
    assert see(1400, 0.6) == (0.0, False)
    assert see(1410, 0.61) == (pytest.approx(1.0), True), 'it moves on'


def test_nothing_is_followed_or_reset_before_it_is_known_whether_others_move_the_robot() -> None:
    bench = Bench(LOOP)
    bench.tick(40, see=False)
    stopped = bench.control.emergency.stop
    for tick in range(20):  # 0.5 rad/s, by somebody else
        stamp = bench.now + tick * PERIOD
        where = [-0.5 + 0.005 * tick, 0.0]
        assert bench.control.observe(stamp, JOINTS, where, [], stamp) == ''
        bench.control.step(stamp, stamp - START + SECOND)
    late = stamp + 4 * SECOND // 10
    assert bench.control.observe(late, JOINTS, [-0.2, 0.0], [], late) == ''
    bench.now = late
    refusal = bench.control.accept(bench.proposal([(0.5, 0.0)] * 16, age=0.05), late)
    assert refusal is not None and 'one joint state alone' in refusal.text
    stopped('whatever')
    assert 'one joint state alone' in bench.control.reset('why not', late)


@pytest.mark.parametrize('pause', [0.12, 0.14, 0.3])
def test_after_a_pause_in_which_nothing_was_heard_a_robot_is_not_sent_the_speed_of_before(
    pause: float,
) -> None:
    robot = Driven(watchdog=0.1)
    robot.drive()
    robot.position = robot.position + robot.velocity * 0.1
    robot.velocity = np.zeros(2)
    robot.control.emergency.stop('pressed meanwhile')
    robot.now += round(pause * SECOND)
    setpoint = robot.control.step(robot.now, robot.now - START + SECOND)
    assert not setpoint.due or not np.any(setpoint.velocity), 'what it heard is from before'
    for _ in range(40):
        assert not np.any(robot.tick().velocity)


def test_after_a_setpoint_that_was_not_sent_a_motion_begins_as_if_nothing_ever_was() -> None:
    bench = Bench(LOOP)
    bench.tick(30)
    bench.accept(bench.proposal([(0.5, 0.0)] * 16, age=0.0))
    control, now = bench.control, bench.now + PERIOD
    first = control.step(now, now - START + SECOND)
    assert first.due and first.within > 0.1, 'it leads: nobody knows where the drive holds the arm'
    now += 3 * SECOND // 10
    assert not control.step(now, now - START + SECOND).due, 'the process was stopped meanwhile'
    control.note_unsent()
    for _ in range(60):
        now += PERIOD
        assert control.observe(now, JOINTS, bench.robot.tolist(), [], now) == ''
        control.step(now, now - START + SECOND)
    bench.now = now
    assert control.accept(bench.proposal([(0.5, 0.0)] * 16, age=0.0), now) is None
    now += PERIOD
    assert control.step(now, now - START + SECOND).within > 0.1


def test_after_a_pause_a_robot_of_which_little_is_heard_is_sent_nothing_until_its_speed_is_known(
) -> None:
    robot = Driven(watchdog=0.2)
    robot.drive()
    before = robot.position
    robot.control.emergency.stop('pressed meanwhile')
    robot.now += 8 * SECOND // 10
    robot.velocity, robot.position = np.zeros(2), before + 0.2 * robot.velocity
    steady = robot.now - START + SECOND
    assert not robot.control.step(robot.now, steady).due, 'it stood still, and has seen nothing'
    for past, where in ((0.79, before), (0.06, robot.position)):
        stamp = robot.now - round(past * SECOND)
        assert robot.control.observe(stamp, JOINTS, where.tolist(), [], robot.now) == ''
    robot.now += SECOND // 100
    assert not robot.control.step(robot.now, steady + SECOND // 100).due
    for _ in range(20):
        assert not np.any(robot.tick().velocity)


# Outside the limits


@settings(max_examples=60, deadline=None)
@given(
    excess=st.tuples(st.floats(0.0, 0.05), st.floats(0.0, 0.05)),
    upper=st.booleans(),
    wishes=st.lists(
        st.tuples(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0), st.integers(1, 30)), max_size=8),
)
def test_from_outside_its_limits_a_joint_moves_inward_only_and_never_at_one_stroke(
    excess: tuple[float, float], upper: bool, wishes: list[tuple[float, float, int]]
) -> None:
    over = np.array(excess)
    motion = Motion(LIMITS.upper + over if upper else LIMITS.lower - over, np.zeros(2))
    lowest, highest = motion.position, motion.position
    for *wanted, count in wishes:
        for _ in range(count):
            before = motion
            motion = advance(before, np.array(wanted), before.position, LIMITS, 0.01, 0.02)
            moved = motion.position - before.position
            np.testing.assert_allclose(
                moved, (motion.velocity + before.velocity) / 2.0 * 0.01, atol=1e-9)
            lowest = np.maximum(np.minimum(lowest, LIMITS.lower), np.minimum(
                motion.position, LIMITS.lower))
            highest = np.minimum(np.maximum(highest, LIMITS.upper), np.maximum(
                motion.position, LIMITS.upper))
            for _, point in stopping_points(motion, LIMITS, 0.01):
                assert np.all(point.position >= lowest - 1e-9)
                assert np.all(point.position <= highest + 1e-9)


@pytest.mark.parametrize('settings_', [SETTINGS, LOOP])
def test_a_robot_just_outside_its_limits_is_led_back_inside_slowly(settings_: Settings) -> None:
    bench = Bench(settings_)
    where = np.array([2.64, -0.54])
    for _ in range(30):
        bench.place(where)
        bench.tick()
    bench.propose((1.0, -1.0), age=0.0)
    setpoint = bench.tick()
    assert setpoint.position is not None
    np.testing.assert_allclose(setpoint.position, where, atol=1e-3)
    bench.tick(10)
    bench.run(0.3, (1.0, -1.0))
    assert bench.last is not None and bench.last.position is not None
    np.testing.assert_allclose(bench.last.position, where, atol=1e-3)
    bench.run(0.5, (-0.5, 0.5))
    assert np.all((bench.robot > LIMITS.lower) & (bench.robot < LIMITS.upper))


def test_braking_follows_the_trajectory_that_was_sent() -> None:
    motion = Motion(np.array([0.1, -0.2]), np.array([1.234, -0.567]))
    for time, point in stopping_points(motion, LIMITS, 0.01):
        again = brake(motion, LIMITS, time - 0.01)
        np.testing.assert_allclose(again.position, point.position, atol=1e-12)
        np.testing.assert_allclose(again.velocity, point.velocity, atol=1e-12)
    halfway = brake(brake(motion, LIMITS, 0.05), LIMITS, 10.0)
    np.testing.assert_allclose(halfway.position, point.position, atol=1e-3)
