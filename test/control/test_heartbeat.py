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
"""What the model says of itself explains the ladder, and a failed model stops the robot at once."""

import pytest
from control_bench import PERIOD, SECOND, Bench

from world_model_ros.control import Rung, Settings
from world_model_ros.monitor import Activity, Level


def beat(bench: Bench, activity: Activity, text: str = '') -> None:
    assert bench.control.pulse.hear(int(activity), text, bench.steady) == ''


def test_a_goal_that_ended_is_told_from_a_model_that_died() -> None:
    for silent in (False, True):
        bench = Bench()
        beat(bench, Activity.PLANNING)
        bench.run(0.5)
        levels = set()
        for tick in range(100):
            if tick % 5 == 0 and not silent:
                beat(bench, Activity.IDLE)
            levels.add(bench.tick().cause.level)
        assert bench.last is not None and bench.last.rung is Rung.HOLD
        assert bench.last.cause.code == ('model_silent' if silent else 'model_idle')
        assert levels == ({Level.OK, Level.WARN} if silent else {Level.OK})


def test_a_failed_model_brakes_at_once_passes_its_text_on_and_is_refused() -> None:
    bench = Bench(Settings(late_after=5.0))
    bench.run(0.5)
    beat(bench, Activity.FAILED, 'hung for 1.3 s: restart world_model')
    setpoint = bench.tick()
    assert (setpoint.rung, setpoint.cause.code) == (Rung.DECELERATE, 'model_failed')
    assert 'hung for 1.3 s: restart world_model' in setpoint.cause.text
    refusal = bench.accept(bench.proposal([[1.0, 0.0]] * 8))
    assert refusal is not None and 'hung' in refusal.text
    for _ in range(30):
        beat(bench, Activity.FAILED, 'hung')
        bench.tick()
    beat(bench, Activity.PLANNING)
    assert bench.run(0.2).rung is Rung.TRACK, 'a model that recovers is followed again'


def test_a_goal_that_ends_ends_its_plan_at_once_and_one_that_begins_does_not() -> None:
    bench = Bench(Settings(late_after=5.0))

    def hear(activity: Activity, digest: str = 'digest') -> None:
        assert bench.control.hear(digest, activity, '', bench.now, bench.steady) == ''

    bench.propose()
    hear(Activity.IDLE)  # sent before the goal came
    assert bench.tick().rung is Rung.TRACK
    hear(Activity.PLANNING)
    hear(Activity.IDLE, 'another model')
    hear(Activity.BLIND)  # the age of the observation decides
    assert bench.tick(20).rung is Rung.TRACK
    hear(Activity.IDLE)
    setpoint = bench.tick()
    assert (setpoint.rung, setpoint.cause.code) == (Rung.DECELERATE, 'model_idle')
    refusal = bench.accept(bench.proposal([[1.0, 0.0]] * 8))  # it was under way
    assert refusal is not None and refusal.reason.value == 'leftover'
    bench.tick(15)
    bench.propose()
    assert bench.tick().rung is Rung.TRACK, 'the next goal'
    assert bench.control.pulse.refused['digest'] == 1


def test_with_two_models_no_motion_begins_and_with_two_controllers_none_goes_on() -> None:
    bench = Bench()
    bench.run(0.3)
    bench.control.note_rivals('/left and /right propose', '')
    assert bench.run(0.3).rung is Rung.TRACK, 'one of them may be dead already'
    bench.tick(100)
    refusal = bench.accept(bench.proposal([[1.0, 0.0]] * 8))
    assert refusal is not None and refusal.text == '/left and /right propose'
    assert bench.tick().cause.text == '/left and /right propose'
    bench.control.note_rivals('', '')
    assert bench.run(0.3).rung is Rung.TRACK
    bench.control.note_rivals('', '/joystick commands')
    setpoint = bench.tick()
    assert (setpoint.rung, setpoint.cause.level) == (Rung.DECELERATE, Level.ERROR)
    assert setpoint.cause.text == '/joystick commands'


def test_a_model_that_failed_and_went_away_is_silent_and_another_may_propose() -> None:
    bench = Bench()
    beat(bench, Activity.FAILED, 'out of memory')
    setpoint = bench.tick(60)
    assert setpoint.cause.code == 'model_silent'
    assert bench.run(0.2).rung is Rung.TRACK


@pytest.mark.parametrize('activity', [Activity.BLIND, Activity.IDLE])
def test_the_words_of_the_model_are_passed_on(activity: Activity) -> None:
    bench = Bench()
    beat(bench, activity, 'no image for 2.0 s\n\x1b[31m' + 'x' * 100_000)
    text = bench.tick().cause.text
    assert 'no image for 2.0 s' in text
    assert text.isprintable() and len(text) < 1000


def test_silence_alone_does_not_stop_a_robot_that_gets_fresh_plans() -> None:
    bench = Bench()
    beat(bench, Activity.PLANNING)
    assert bench.run(2.0).rung is Rung.TRACK
    assert bench.control.pulse.silent(bench.steady)


def test_an_unknown_activity_is_refused_and_counted() -> None:
    bench = Bench()
    assert 'activity 9 is unknown' in bench.control.pulse.hear(9, '', bench.steady)
    assert bench.control.pulse.refused['activity'] == 1
    assert bench.control.pulse.activity is None


def test_silence_is_measured_by_the_steady_clock() -> None:
    bench = Bench()
    beat(bench, Activity.IDLE)
    bench.tick(elapsed=0, steady=PERIOD)
    assert not bench.control.pulse.silent(bench.steady + SECOND // 4)
    assert bench.control.pulse.silent(bench.steady + SECOND)
