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
"""The emergency stop: it stops whatever happens, and only a person with a reason ends it."""

from dataclasses import replace

import numpy as np
import pytest
from control_bench import CONTRACT, LIMITS, SETTINGS, TWIST, Bench

from world_model_ros.control import (
    EmergencyStop,
    Kind,
    Proposal,
    Rung,
    SafetyController,
    Settings,
)
from world_model_ros.control.goals import HeldGoals
from world_model_ros.monitor import Activity, Level


def test_a_stop_brakes_inside_the_limits_and_stays_whatever_is_proposed() -> None:
    bench = Bench()
    bench.run(0.5)
    bench.control.emergency.stop('smoke')
    setpoint = bench.tick()
    assert (setpoint.rung, setpoint.cause.code) == (Rung.DECELERATE, 'stopped')
    assert setpoint.cause.level is Level.ERROR
    assert 'smoke' in setpoint.cause.text and '~/reset' in setpoint.cause.text
    bench.tick(20)
    for _ in range(100):
        refusal = bench.accept(bench.proposal([[1.0, 1.0]] * 8, age=0.0))
        assert refusal is not None and 'smoke' in refusal.text
        assert bench.tick().rung is Rung.HOLD
    bench.control.disable()
    bench.tick()
    bench.control.enable(bench.now)
    bench.tick(20)
    assert bench.accept(bench.proposal([[1.0, 1.0]] * 8, age=0.0)) is not None


def stopped_and_reset(bench: Bench, *heard: str) -> None:
    """Stop a robot on its way to the goal "old", propose for others meanwhile, and reset."""
    bench.run(0.3)
    assert bench.accept(goal(bench, 'old')) is None
    bench.control.emergency.stop('test')
    bench.tick(30)
    for name in heard:
        assert bench.accept(goal(bench, name)) is not None
    assert bench.control.reset('the area is clear, A. Person', bench.now) == ''
    bench.tick(15)


def goal(bench: Bench, name: str) -> Proposal:
    return replace(bench.proposal([[1.0, 0.0]] * 8, age=0.05), goal_id=name)


def test_after_a_reset_only_an_observation_after_it_moves_anything() -> None:
    bench = Bench()
    bench.run(0.5)
    bench.control.emergency.stop('test')
    bench.tick(30)
    before = replace(bench.proposal([[1.0, 0.0]] * 8, age=0.01), goal_id='new')
    assert bench.control.reset('the area is clear, A. Person', bench.now) == ''
    refusal = bench.accept(before)
    assert refusal is not None and refusal.reason.value == 'leftover'
    setpoint = bench.tick(30)
    assert setpoint.rung is Rung.HOLD and not np.any(setpoint.velocity)
    assert bench.accept(goal(bench, 'new')) is None
    assert bench.tick().rung is Rung.TRACK


def test_a_reset_lets_no_goal_of_before_be_pursued_whatever_the_model_does() -> None:
    bench = Bench()
    stopped_and_reset(bench, 'meanwhile')
    for name in ('old', 'meanwhile', 'old'):
        refusal = bench.accept(goal(bench, name))
        assert refusal is not None and refusal.reason.value == 'old_goal'
        assert 'set the goal again; if world_model was restarted' in refusal.text
        assert bench.tick().rung is Rung.HOLD
    # It ends its goal, pursues another one, is started again and finds the old one still asked for.
    bench.control.hear('digest', Activity.PLANNING, '', bench.now, bench.steady)
    bench.control.hear('digest', Activity.IDLE, '', bench.now, bench.steady)
    bench.tick(15)
    assert bench.accept(goal(bench, 'new')) is None
    assert bench.tick(10).rung is Rung.TRACK
    refusal = bench.accept(goal(bench, 'old'))
    assert refusal is not None and refusal.reason.value == 'old_goal'


def assert_held(bench: Bench, *names: str) -> None:
    for name in names:
        refusal = bench.accept(goal(bench, name))
        assert refusal is not None and refusal.reason.value == 'old_goal', name
        assert bench.tick().rung is Rung.HOLD


def test_a_goal_of_before_is_known_by_what_it_shows_and_asked_for_again_it_is_followed() -> None:
    bench = Bench()
    bench.run(0.3)
    assert bench.accept(goal(bench, 'picture.18c0')) is None
    bench.control.emergency.stop('test')
    bench.tick(30)
    assert bench.control.reset('the area is clear, A. Person', bench.now) == ''
    bench.tick(15)
    # A model that is started again has heard of no stop, another one perhaps of an earlier one.
    assert_held(bench, 'picture', 'picture.9', 'picture.18c0')
    assert bench.accept(goal(bench, 'picture.18c1')) is None
    assert bench.tick(15).rung is Rung.TRACK
    assert bench.accept(goal(bench, 'picture')) is None, 'it dies on the way, and is started again'


def test_a_goal_that_gave_way_to_another_one_before_the_stop_is_held_as_well() -> None:
    bench = Bench()
    bench.run(0.3)
    assert bench.accept(goal(bench, 'picture')) is None
    bench.tick()
    assert bench.accept(goal(bench, 'request')) is None
    bench.control.emergency.stop('test')
    bench.tick(30)
    assert bench.control.reset('the area is clear, A. Person', bench.now) == ''
    bench.tick(15)
    assert_held(bench, 'request', 'picture')  # which is latched, and found by a new world_model
    goals = HeldGoals()
    for number in range(1000):
        goals.pursue(f'goal {number}')
    assert len(goals.pursued) == 64 and goals.pursued[-1] == 'goal 999'


@pytest.mark.parametrize('activate', [True, False])
def test_a_goal_of_before_stays_held_where_the_process_or_the_activation_is_a_new_one(
    activate: bool,
) -> None:
    bench = Bench()
    emergency = bench.control.emergency
    emergency.goals.pursue('picture.18c0')  # as the record of the stop has it
    emergency.stop('test')
    if activate:
        bench.control.enable(bench.now)
    bench.tick(30)
    assert bench.control.reset('the area is clear, A. Person', bench.now) == ''
    bench.tick(15)
    assert_held(bench, 'picture', 'picture.18c0')


def test_a_flood_of_goals_while_stopped_takes_no_memory_and_hides_none_of_before() -> None:
    bench = Bench()
    stopped_and_reset(bench, *(f'goal {number}' for number in range(1000)))
    assert_held(bench, 'old', 'goal 999')
    goals = HeldGoals()
    for length in (256, 257):
        goals.hold('x' * length)
    assert goals.holds('x' * 256) and not goals.holds('x' * 257), 'no proposal may have that name'


@pytest.mark.parametrize(
    'name', ['', '.', 'a.', '.a', 'a.b.c', 'a.-1', 'a.0x', 'a.\u0663', 'a.' + 'f' * 254])
def test_a_goal_may_have_any_name(name: str) -> None:
    bench = Bench()
    stopped_and_reset(bench, name)
    assert_held(bench, name)


def test_activation_lets_a_model_without_goals_go_on_after_a_reset() -> None:
    bench = Bench()
    stopped_and_reset(bench)
    bench.control.disable()
    bench.tick()
    bench.control.enable(bench.now)
    bench.tick(15)
    assert bench.accept(goal(bench, 'old')) is None


@pytest.mark.parametrize('reason', ['', ' \n'])
def test_a_reset_without_a_reason_is_refused(reason: str) -> None:
    bench = Bench()
    bench.control.emergency.stop('test')
    bench.tick(20)
    assert 'give a reason' in bench.control.reset(reason, bench.now)
    assert bench.control.emergency.latched


def test_a_reset_is_refused_while_the_robot_moves_or_is_not_seen() -> None:
    bench = Bench()
    bench.run(0.5)
    bench.control.emergency.stop('test')
    assert 'still braking' in bench.control.reset('why not', bench.now)
    bench.tick(30, see=False)
    assert 'older than 0.15 s' in bench.control.reset('why not', bench.now)
    bench.tick(5)
    assert bench.control.reset('why not', bench.now) == ''


def test_a_reset_is_refused_while_somebody_else_moves_the_robot() -> None:
    bench = Bench(Settings(closes_position_loop=True))
    bench.control.emergency.stop('test')
    for step in range(30):
        bench.place(np.array([0.01 * step, 0.0]))
        assert bench.tick().rung is Rung.HOLD
    assert 'the robot moves' in bench.control.reset('why not', bench.now)
    bench.tick(15)
    assert bench.control.reset('it stands', bench.now) == ''


def test_a_reset_without_a_stop_lets_the_robot_go_on_to_its_goal() -> None:
    bench = Bench()
    assert bench.accept(goal(bench, 'picture')) is None
    held = bench.robot
    for _ in range(100):
        bench.robot = held
        bench.tick()
        bench.accept(goal(bench, 'picture'))
    assert bench.last is not None and bench.last.cause.code == 'frozen_joint_states'
    assert '~/reset' in bench.last.cause.text
    bench.robot = held
    assert bench.control.reset('the driver was started again', bench.now) == ''
    bench.tick(15)
    assert bench.accept(goal(bench, 'picture')) is None
    assert bench.tick().rung is Rung.TRACK


def test_a_reset_is_refused_while_the_wheels_of_a_base_turn() -> None:
    bench = Bench(
        contract=replace(CONTRACT, kind=Kind.TWIST, names=TWIST.names, frame='base'), limits=TWIST)
    bench.control.emergency.stop('test')
    for step in range(30):
        bench.robot = np.array([0.0, 0.05 * step])  # 5 rad/s
        assert bench.tick().rung is Rung.HOLD
    assert 'the robot moves' in bench.control.reset('why not', bench.now)
    bench.tick(15)
    assert bench.control.reset('it stands', bench.now) == ''


def test_the_latch_outlives_the_controller_and_its_first_reason_stands() -> None:
    emergency = EmergencyStop()
    assert emergency.stop('') == 'stopped until reset'
    assert emergency.reason == 'no reason given'
    assert emergency.stop('again') == 'it was stopped already: no reason given'
    control = SafetyController(LIMITS, SETTINGS, emergency)
    control.enable(0)
    assert control.step(0, 0).cause.code == 'stopped'
    assert 'no joint state' in control.reset('reconfigured', 0)


def test_the_reason_of_a_stop_may_be_anything_and_stops_all_the_same() -> None:
    for reason in ('x' * 10_000_000, '\x00\x1b[31m\n', '\ud800'):
        emergency = EmergencyStop()
        emergency.stop(reason)
        assert emergency.latched and len(emergency.reason) <= 4096
        assert emergency.reason.isprintable()


def test_a_reset_lets_a_robot_go_on_whose_joint_states_never_changed() -> None:
    bench = Bench()
    for tick in range(100):
        bench.robot = np.zeros(2)
        if tick % 10 == 5:
            bench.accept(bench.proposal([[1.0, 0.0]] * 16))
        bench.tick()
    assert bench.last is not None and bench.last.cause.code == 'frozen_joint_states'
    bench.robot = np.zeros(2)
    bench.see()
    assert bench.control.reset('the drive was off', bench.now) == ''
    bench.robot = np.zeros(2)
    assert bench.tick().cause.code != 'frozen_joint_states'
