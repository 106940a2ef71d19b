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

"""At which observations plans are made."""

import pytest

from world_model_ros.monitor import PlanTurns

S = 10**9


@pytest.mark.parametrize('observations', [30, 100, 240, 1000])
@pytest.mark.parametrize('plans', [10, 30, 100])
def test_plans_come_at_their_rate_at_most_and_no_observation_looks_like_a_jump_back(
    observations: int, plans: int,
) -> None:
    turns, made = PlanTurns(), 0
    for number in range(10 * observations):
        stamp = 100 * S + number * S // observations
        made += turns.take(stamp, S // plans)
    assert made == pytest.approx(10 * min(plans, observations), rel=0.02)


def test_a_plan_is_due_at_once_when_the_clock_was_set_back() -> None:
    turns = PlanTurns()
    assert turns.take(100 * S, S // 10) and not turns.take(100 * S, S // 10)
    assert turns.take(50 * S, S // 10) and not turns.take(50 * S + S // 30, S // 10)
    assert turns.take(50 * S + S // 10, S // 10)
