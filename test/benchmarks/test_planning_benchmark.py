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
"""The arithmetic of benchmarks/planning.py: what it calls reached, and how many times faster."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from closed_loop import Executed
from planning import Instant, Result, ladder


def result(cost: float, seconds: float, samples: int = 100) -> Result:
    return Result(seconds, seconds / 2, samples, cost)


def instants(*pairs: tuple[float, dict[str, float]]) -> list[Instant]:
    """Moments at which the solver took 10 s for a cost, and ours 0.1 s and 0.2 s for others."""
    seconds = {'small': 0.1, 'large': 0.2}
    return [Instant(False, 9.0, result(cost, 10.0, 9000), [],
                    cold={name: result(ours, seconds[name]) for name, ours in found.items()})
            for cost, found in pairs]


def test_the_first_budget_that_reaches_the_final_cost_counts() -> None:
    found = ladder(instants((4.0, {'small': 4.5, 'large': 3.9}),
                            (2.0, {'small': 1.5, 'large': 2.0})), 'cold')
    assert [row['reached'] for row in found['budgets']] == [True, True]  # a mean of 3.0 is as low
    assert (found['reached_with'], found['speedup']) == ('small', pytest.approx(100.0))
    assert found['stock']['cost'] == 3.0

    found = ladder(instants((4.0, {'small': 4.6, 'large': 3.9}),
                            (2.0, {'small': 1.5, 'large': 2.0})), 'cold')
    assert (found['reached_with'], found['speedup']) == ('large', pytest.approx(50.0))


def test_a_mean_that_one_moment_makes_low_is_not_reached() -> None:
    found = ladder(instants((9.0, {'small': 1.0, 'large': 1.0}),
                            (2.0, {'small': 2.1, 'large': 2.0}),
                            (2.0, {'small': 2.1, 'large': 2.1})), 'cold')
    assert [row['no_worse'] for row in found['budgets']] == pytest.approx([1 / 3, 2 / 3])
    assert found['reached_with'] == 'large'


def test_what_is_not_reached_has_no_speedup() -> None:
    found = ladder(instants((1.0, {'small': 1.2, 'large': 1.1})), 'cold')
    assert (found['reached_with'], found['speedup']) == (None, None)
    assert ladder(instants((1.0, {'small': 1.0})), 'warm')['speedup'] is None  # nothing was warm


def test_the_past_actions_of_a_context_are_the_means_of_what_was_told_in_each_row() -> None:
    executed = Executed(1)
    for tick in range(100):
        executed.add(np.array([tick // 10], np.float32))
    np.testing.assert_allclose(executed.rows(0, 500_000_000, 5)[:, 0], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(executed.rows(500_000_000, 10**9, 5)[:, 0], [5, 6, 7, 8, 9])
