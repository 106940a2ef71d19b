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

"""What will have been executed when a plan arrives, as told by reports of the controller."""

import numpy as np
import pytest

from world_model_ros.bundle.action import Meaning
from world_model_ros.monitor import ActionLog, Course, Execution, Schedule, SetpointReport

S = 10**9
MS = 10**6
STEP = 0.1
IDLE = np.zeros(1, np.float32)
VELOCITY = Meaning('joint_velocity', ('a',), ('rad/s',), None, (), None)
POSITION = Meaning('joint_position', ('a',), ('rad',), None, (), None)


def course(name: str, stamp: int, *values: float) -> Course:
    return Course(name, stamp, STEP, np.array(values, np.float32)[:, None])


class Controller:
    """Reports at 100 Hz what a test says."""

    def __init__(self) -> None:
        self.meaning = VELOCITY
        self.log = ActionLog(60.0)
        self.execution = Execution(self.log)
        self.accepted = self.refused = 0

    def send(self, stamp: int, until: int, action: float, plan: Course | None = None,
             stopped: bool = False) -> None:
        for now in range(stamp, until, 10 * MS):
            self.execution.report(SetpointReport(
                now, plan.id if plan else '', plan.stamp if plan else 0,
                np.array([action], np.float32), stopped, self.accepted, self.refused, VELOCITY))

    def propose(self, plan: Course) -> None:
        self.execution.propose(plan, self.schedule(plan.stamp), 0.1)

    def schedule(self, stamp: int, latency: float = 0.1) -> Schedule:
        return self.execution.schedule(stamp, latency, 0.3, self.meaning)

    def committed(self, stamp: int, rows: int, latency: float = 0.1) -> list[float]:
        actions = self.schedule(stamp, latency).actions(rows, STEP, IDLE)
        return [round(float(value), 4) for value in actions[:, 0]]


@pytest.fixture
def controller() -> Controller:
    return Controller()


def test_what_was_sent_is_remembered_and_not_what_was_proposed(controller: Controller) -> None:
    controller.send(10 * S, 11 * S, 0.0)
    plan = course('a', 11 * S, 9, 9, 9, 9)
    controller.propose(plan)
    controller.send(11 * S, 12 * S, 0.5, plan)
    rows = controller.log.rows(10 * S + S // 2, 11 * S + S // 2, 2, VELOCITY)
    np.testing.assert_allclose(rows, [[0.0], [0.5]], atol=1e-6)


def test_the_plan_that_is_followed_goes_on_until_the_next_one_arrives(
    controller: Controller,
) -> None:
    followed, coming = course('a', 10 * S, 1, 2, 3, 4, 5), course('b', 10 * S + 100 * MS, 7, 8, 9)
    controller.propose(followed)
    controller.send(10 * S, 10 * S + 60 * MS, 0.0)
    controller.send(10 * S + 60 * MS, 10 * S + 200 * MS, 1.0, followed)
    controller.propose(coming)
    # Half a row each where the change comes between: a has 2 until 10.2, b 8 from 10.2 on.
    assert controller.committed(10 * S + 150 * MS, 1) == [5]
    # At 10.2 plan b is due: it left at 10.1 and takes 0.1 s; its rows count from 10.1.
    assert controller.committed(10 * S + 200 * MS, 2) == [8, 9]
    # With 0.2 s on the way, a is followed until 10.3.
    assert controller.committed(10 * S + 200 * MS, 2, latency=0.2) == [3, 9]


def test_what_comes_after_the_end_of_a_plan_is_rest(controller: Controller) -> None:
    plan = course('a', 10 * S, 1, 1)
    controller.propose(plan)
    controller.send(10 * S, 10 * S + 110 * MS, 1.0, plan)
    assert controller.committed(10 * S + 100 * MS, 3) == [1, 0, 0]


def test_a_stopped_controller_executes_nothing_whatever_is_on_the_way(
    controller: Controller,
) -> None:
    controller.propose(course('a', 10 * S, 1, 1, 1))
    controller.send(10 * S, 10 * S + 50 * MS, 0.0, stopped=True)
    schedule = controller.schedule(10 * S + 50 * MS)
    assert schedule.reported and not schedule.moving and schedule.course is None
    assert controller.committed(10 * S + 50 * MS, 2) == [0, 0]


def test_plans_that_the_controller_refuses_are_not_on_their_way(controller: Controller) -> None:
    controller.send(10 * S, 10 * S + 50 * MS, 0.0)
    controller.propose(course('a', 10 * S, 1, 1, 1))
    assert controller.schedule(10 * S + 50 * MS).moving
    controller.refused = 1
    controller.send(10 * S + 50 * MS, 10 * S + 100 * MS, 0.0)
    assert not controller.schedule(10 * S + 100 * MS).moving
    controller.propose(course('b', 10 * S + 100 * MS, 1, 1, 1))
    assert not controller.schedule(10 * S + 110 * MS).moving
    controller.accepted = 1
    plan = course('c', 10 * S + 200 * MS, 2, 2, 2)
    controller.propose(plan)
    controller.send(10 * S + 200 * MS, 10 * S + 300 * MS, 0.0, plan)
    assert controller.schedule(10 * S + 300 * MS).course is plan


def test_a_plan_that_never_arrives_is_given_up(controller: Controller) -> None:
    controller.propose(course('lost', 10 * S, 1, 1, 1, 1, 1, 1, 1, 1))
    controller.send(10 * S, 10 * S + 500 * MS, 0.0)
    assert controller.schedule(10 * S + 250 * MS).moving
    assert not controller.schedule(10 * S + 400 * MS).moving


def test_a_plan_that_was_dropped_is_not_taken_for_one_on_its_way(controller: Controller) -> None:
    plan = course('a', 10 * S, 1, 1, 1, 1)
    controller.propose(plan)
    controller.send(10 * S, 10 * S + 50 * MS, 1.0, plan)
    controller.send(10 * S + 50 * MS, 10 * S + 100 * MS, 0.0)  # braked: pushed, say
    assert not controller.schedule(10 * S + 90 * MS).moving


def test_a_plan_of_someone_else_goes_on_as_it_is(controller: Controller) -> None:
    controller.send(10 * S, 10 * S + 50 * MS, 0.7, course('theirs', 9 * S, 0))
    assert controller.committed(10 * S + 50 * MS, 2) == [0.7, 0.7]
    assert controller.schedule(10 * S + 50 * MS).course is None
    assert controller.execution.latency(11 * S) is None


def test_a_plan_of_the_model_before_is_nothing_to_one_whose_actions_mean_something_else(
    controller: Controller,
) -> None:
    before = course('a', 10 * S, 0.8, 0.8, 0.8)
    controller.propose(before)
    controller.send(10 * S, 10 * S + 50 * MS, 0.8, before)
    controller.execution.forget()
    controller.send(10 * S + 50 * MS, 10 * S + 70 * MS, 0.8, before)  # a report on its way
    controller.meaning = POSITION
    schedule = controller.schedule(10 * S + 60 * MS)
    assert schedule.reported and schedule.course is None
    idle = np.array([0.1, 0.2], np.float32)  # nor does it have as many numbers
    np.testing.assert_array_equal(schedule.actions(2, STEP, idle), [idle, idle])
    # Its own plan is on its way all the same.
    controller.propose(course('b', 10 * S + 60 * MS, 0.3, 0.4, 0.5))
    assert controller.committed(10 * S + 65 * MS, 2) == [0.305, 0.405]
    assert controller.log.rows(10 * S + 50 * MS, 10 * S + 70 * MS, 1, POSITION) is None


def test_positions_of_a_plan_that_is_followed_are_those_at_the_end_of_each_row(
    controller: Controller,
) -> None:
    controller.meaning = POSITION
    controller.propose(course('a', 10 * S, 1, 2, 4, 4))
    assert controller.committed(10 * S + 100 * MS, 2) == [2, 4]
    assert controller.committed(10 * S + 150 * MS, 2) == [3, 4]


def test_the_latency_is_the_ninetieth_percentile_of_what_was_reported_up_to_then(
    controller: Controller,
) -> None:
    for index in range(10):
        plan = course(str(index), (10 + index) * S, 1)
        controller.propose(plan)
        first = plan.stamp + (50 if index < 5 else 150) * MS
        controller.send(first, first + 50 * MS, 1.0, plan)
    assert controller.execution.latency(13 * S) is None  # four plans say too little
    assert controller.execution.latency(14 * S + S // 2) == pytest.approx(0.05)
    assert controller.execution.latency(30 * S) == pytest.approx(0.15)


def test_a_report_that_is_here_before_its_plan_as_when_a_recording_is_played_counts_as_well(
    controller: Controller,
) -> None:
    for index in range(5):
        plan = course(str(index), (10 + index) * S, 1)
        controller.send(plan.stamp + 50 * MS, plan.stamp + 60 * MS, 1.0, plan)
        controller.propose(plan)
    assert controller.execution.latency(15 * S) == pytest.approx(0.05)


def test_reports_from_after_an_observation_change_nothing_about_it(
    controller: Controller,
) -> None:
    plan = course('a', 10 * S, 1, 2, 3, 4)
    controller.propose(plan)
    controller.send(10 * S, 10 * S + 100 * MS, 1.0, plan)
    before = controller.committed(10 * S + 95 * MS, 3)
    controller.send(10 * S + 100 * MS, 10 * S + 300 * MS, 0.0, stopped=True)
    assert controller.committed(10 * S + 95 * MS, 3) == before


def test_where_nobody_reports_proposals_count_as_followed_until_they_are_overdue(
    controller: Controller,
) -> None:
    plan = course('a', 10 * S, 1, 2, 3, 4, 5, 6)
    controller.propose(plan)
    schedule = controller.schedule(10 * S + 100 * MS)
    assert not schedule.reported and schedule.course is plan
    assert controller.committed(10 * S + 150 * MS, 2) == [2.5, 3.5]
    np.testing.assert_allclose(
        controller.log.rows(10 * S + 200 * MS, 10 * S + 400 * MS, 2, VELOCITY), [[3], [4]])
    assert not controller.schedule(10 * S + 310 * MS).moving
    assert controller.log.rows(10 * S + 200 * MS, 10 * S + 400 * MS, 2, VELOCITY) is None


def test_a_controller_that_falls_silent_follows_nothing_any_more(controller: Controller) -> None:
    controller.send(10 * S, 11 * S, 0.0)  # at rest, and then deactivated
    for number in range(20):
        controller.propose(course(str(number), 12 * S + number * 100 * MS, 9, 9, 9, 9, 9, 9))
    now = 14 * S
    schedule = controller.schedule(now)
    # Or else a goal counts as out of reach because a robot that is not driven does not get there.
    assert schedule.reported and not schedule.moving and schedule.course is None
    assert controller.committed(now, 3) == [0, 0, 0]
    assert controller.log.rows(now - 200 * MS, now, 2, VELOCITY) is None
    assert not controller.schedule(20 * S).moving  # nor later


def test_a_plan_in_force_outlives_lost_reports_and_ends_with_a_controller_that_stands_still(
    controller: Controller,
) -> None:
    plan = course('a', 10 * S, *[1] * 20)
    controller.propose(plan)
    controller.send(10 * S, 10 * S + 100 * MS, 1.0, plan)
    assert controller.committed(10 * S + 150 * MS, 2) == [1, 1]  # a few reports were lost
    assert controller.committed(10 * S + 350 * MS, 2) == [1, 1]
    assert controller.committed(10 * S + 450 * MS, 2) == [0, 0]  # no drive goes on for so long
    controller.send(10 * S + 600 * MS, 10 * S + 700 * MS, 1.0, plan)
    assert controller.committed(10 * S + 700 * MS, 2) == [1, 1]


def test_a_clock_that_is_set_back_starts_afresh(controller: Controller) -> None:
    plan = course('a', 100 * S, 1, 1, 1)
    controller.propose(plan)
    controller.send(100 * S, 101 * S, 1.0, plan)
    controller.send(10 * S, 10 * S + 100 * MS, 0.0)
    schedule = controller.schedule(10 * S + 90 * MS)
    assert schedule.reported and not schedule.moving


@pytest.mark.parametrize('time_begins_anew', [90, 99])
def test_reports_of_another_time_are_not_believed_when_their_time_comes_again(
    controller: Controller, time_begins_anew: int,
) -> None:
    plan = course('a', 100 * S, *[1] * 200)
    controller.propose(plan)
    controller.send(100 * S, 110 * S, 1.0, plan)
    assert controller.committed(110 * S, 2) == [1, 1]
    controller.schedule(time_begins_anew * S)  # a simulation is reset, the controller is silent
    for now in (104 * S, 109 * S + 100 * MS):
        schedule = controller.schedule(now)
        assert schedule.reported and not schedule.moving and schedule.course is None
        assert controller.committed(now, 2) == [0, 0]
        assert controller.log.rows(now - 100 * MS, now, 1, VELOCITY) is None
    assert controller.execution.latency(110 * S) is None


def test_the_latency_of_an_observation_is_the_same_however_much_was_reported_since(
    controller: Controller,
) -> None:
    def follow(index: int, latency: int) -> None:
        plan = course(str(index), 10 * S + index * 100 * MS, 1)
        controller.propose(plan)
        controller.send(plan.stamp + latency, plan.stamp + latency + 10 * MS, 1.0, plan)

    for index in range(50):
        follow(index, (190 if index < 6 else 100) * MS)
    asked = 15 * S + 100 * MS
    before = controller.execution.latency(asked)
    assert before == pytest.approx(0.19)
    for index in range(52, 72):
        follow(index, 100 * MS)
    assert controller.execution.latency(asked) == before
    assert controller.execution.latency(20 * S) == pytest.approx(0.1)


def test_what_was_reported_before_a_pause_is_not_believed_after_it(controller: Controller) -> None:
    plan = course('a', 100 * S, *[1] * 200)
    controller.propose(plan)
    controller.send(100 * S, 110 * S, 1.0, plan)
    controller.execution.restart()  # the simulation was reset meanwhile
    for now in (90 * S, 105 * S):
        schedule = controller.schedule(now)
        assert schedule.reported and not schedule.moving
