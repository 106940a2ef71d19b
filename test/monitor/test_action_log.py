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

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.bundle.action import Meaning
from world_model_ros.monitor import ActionLog

S = 10**9
MS = 10**6
VELOCITY = Meaning('joint_velocity', ('a',), ('rad/s',), None, (), None)
POSITION = Meaning('joint_position', ('a',), ('rad',), None, (), None)


def rows(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_it_gives_the_mean_action_of_each_part_of_the_time() -> None:
    log = ActionLog(60.0)
    log.add(10 * S, 1.0, rows(1, 2, 3, 4), effective=10 * S)
    np.testing.assert_allclose(log.rows(10 * S, 12 * S, 2), rows(1, 2))
    np.testing.assert_allclose(log.rows(10 * S + S // 2, 12 * S + S // 2, 2), rows(1.5, 2.5))
    np.testing.assert_allclose(log.rows(10 * S, 14 * S, 1), rows(2.5))


def test_a_newer_plan_replaces_the_rest_of_the_older_one_from_when_it_takes_effect() -> None:
    log = ActionLog(60.0)
    log.add(10 * S, 1.0, rows(1, 1, 1, 1), effective=10 * S)
    log.add(11 * S, 1.0, rows(5, 7, 7), effective=11 * S + S // 2)
    np.testing.assert_allclose(log.rows(10 * S, 12 * S, 2), rows(1, 3))
    np.testing.assert_allclose(log.rows(12 * S, 14 * S, 1), rows(7))


def test_of_positions_it_gives_those_at_the_end_of_each_part() -> None:
    log = ActionLog(60.0)
    log.add(10 * S, 1.0, rows(1, 2, 4, 4), 10 * S, POSITION)
    np.testing.assert_allclose(log.rows(10 * S, 13 * S, 3, POSITION), rows(1, 2, 4))
    # On the way from each to the next, and at rest until the first one.
    np.testing.assert_allclose(
        log.rows(10 * S, 12 * S + S // 2, 5, POSITION), rows(1, 1, 1.5, 2, 3))
    # The next plan replaces it on the way.
    log.add(11 * S, 1.0, rows(7, 8), 12 * S + S // 2, POSITION)
    np.testing.assert_allclose(log.rows(11 * S, 13 * S, 4, POSITION), rows(1.5, 2, 3, 8))


def test_of_positions_that_were_sent_it_gives_the_last_one_of_each_part() -> None:
    log = ActionLog(60.0)
    for tick in range(100):
        log.add(10 * S + tick * 10 * MS, 0.1, rows(tick), 10 * S + tick * 10 * MS, POSITION)
    np.testing.assert_allclose(log.rows(10 * S, 11 * S, 4, POSITION), rows(24, 49, 74, 99))


def test_what_was_noted_for_a_model_whose_actions_mean_something_else_is_not_known() -> None:
    log = ActionLog(60.0)
    log.add(10 * S, 1.0, rows(1, 1, 1), 10 * S, VELOCITY)
    log.add(11 * S, 1.0, rows(2, 2), 11 * S, POSITION)
    assert log.rows(10 * S, 11 * S, 1, POSITION) is None
    assert log.rows(10 * S, 12 * S, 2, VELOCITY) is None
    assert log.rows(10 * S, 12 * S, 2, POSITION) is None
    np.testing.assert_allclose(log.rows(10 * S, 11 * S, 1, VELOCITY), rows(1))
    np.testing.assert_allclose(log.rows(11 * S, 12 * S, 1, POSITION), rows(2))


def test_time_without_a_plan_is_not_known() -> None:
    log = ActionLog(60.0)
    assert log.rows(0, S, 1) is None
    log.add(10 * S, 1.0, rows(1), effective=10 * S)
    log.add(12 * S, 1.0, rows(1), effective=12 * S)
    assert log.rows(9 * S, 11 * S, 1) is None
    assert log.rows(10 * S, 13 * S, 3) is None
    assert log.rows(12 * S, 14 * S, 1) is None
    assert log.rows(12 * S, 13 * S, 1) is not None
    log.stop(12 * S + S // 2)
    assert log.rows(12 * S, 13 * S, 1) is None
    assert log.rows(12 * S, 12 * S + S // 2, 1) is not None
    log.clear()
    assert log.rows(12 * S, 13 * S, 1) is None


def test_a_clock_that_was_set_back_starts_afresh() -> None:
    log = ActionLog(60.0)
    log.add(100 * S, 1.0, rows(9, 9), effective=100 * S)
    log.add(10 * S, 1.0, rows(1, 1), effective=10 * S)
    assert log.rows(100 * S, 101 * S, 1) is None
    np.testing.assert_allclose(log.rows(10 * S, 12 * S, 1), rows(1))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 20)), min_size=1, max_size=50))
def test_it_remembers_no_longer_than_asked(plans: list[tuple[int, int]]) -> None:
    log = ActionLog(5.0)
    for stamp, length in plans:
        log.add(stamp * S, 0.1, np.ones((length, 1), np.float32), effective=stamp * S)
    newest = plans[-1][0] * S
    assert log.rows(newest - 7 * S, newest - 6 * S, 1) is None
    mean = log.rows(newest, newest + S // 10, 1)
    assert mean is not None and mean[0, 0] == 1.0
