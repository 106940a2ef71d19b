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

"""When a goal is given up for being out of reach, and when not."""

from world_model_ros.monitor import Reachability

S = 10**9


def verdicts(ends: list[float], moving: bool = True, period: float = 0.1) -> list[bool]:
    judge = Reachability()
    return [judge.is_out_of_reach(
        'goal', 100 * S + round(index * period * S), end, 1.0, moving, 3 * period)
        for index, end in enumerate(ends)]


def test_plans_that_end_far_from_the_goal_for_two_seconds_are_a_verdict() -> None:
    assert verdicts([3.0] * 30).index(True) == 20


def test_a_goal_in_reach_is_never_given_up() -> None:
    assert not any(verdicts([0.9] + [5.0] * 100))


def test_a_goal_beyond_the_horizon_is_pursued_as_long_as_it_comes_nearer() -> None:
    assert not any(verdicts([10.0 * 0.97**index for index in range(60)]))
    assert any(verdicts([10.0] * 5 + [9.0] * 30))


def test_a_robot_that_may_not_move_says_nothing_about_the_goal() -> None:
    assert not any(verdicts([3.0] * 100, moving=False))


def test_seldom_plans_are_waited_for() -> None:
    assert verdicts([3.0] * 6, period=1.5) == [False] * 4 + [True] * 2


def test_time_without_plans_says_nothing_about_the_goal() -> None:
    judge = Reachability()
    stamps = [0, 1, 2, 3, 4, 5, *range(30, 50)]  # tenths of a second
    assert not any(judge.is_out_of_reach('goal', stamp * S // 10, 3.0, 1.0, True, 0.3)
                   for stamp in stamps)
    assert judge.is_out_of_reach('goal', 50 * S // 10, 3.0, 1.0, True, 0.3)


def test_another_goal_and_a_clock_set_back_start_afresh() -> None:
    judge = Reachability()
    for index in range(19):
        assert not judge.is_out_of_reach('a', index * S // 10, 3.0, 1.0, True, 0.3)
    assert not judge.is_out_of_reach('b', 2 * S, 3.0, 1.0, True, 0.3)
    for index in range(5):
        assert not judge.is_out_of_reach('b', index * S // 10, 3.0, 1.0, True, 0.3)
