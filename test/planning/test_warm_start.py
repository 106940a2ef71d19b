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
"""A warm start moves on in time with the robot: what is left to do stays to be done."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from world_model_ros.planning import WarmStart

Array = np.ndarray[Any, Any]
HORIZON, STEP, LIMIT = 16, 0.1, 1.5


def warm_start(seed: int) -> WarmStart:
    generator = np.random.default_rng(seed)
    sequences = generator.uniform(-LIMIT, LIMIT, (4, HORIZON, 2)).astype(np.float32)
    return WarmStart(sequences[0], sequences[1:])


@settings(max_examples=100, deadline=None)
@given(elapsed=st.floats(0, 3 * HORIZON * STEP), seed=st.integers(0, 100))
def test_a_shifted_warm_start_keeps_what_remains_to_be_done(elapsed: float, seed: int) -> None:
    before = warm_start(seed)
    after = before.after(elapsed, STEP)
    for actions, shifted in ((before.actions, after.actions),
                             *zip(before.elites, after.elites, strict=True)):
        assert shifted.shape == actions.shape
        assert shifted.dtype == np.float32
        assert (np.abs(shifted) <= LIMIT * (1 + 1e-6)).all()
        # Integral from `elapsed` to the plan's end, and the last row held behind it.
        ends = STEP * np.arange(HORIZON + 1)
        done = [np.interp(elapsed, ends, np.concatenate([[0], STEP * np.cumsum(column)]))
                for column in actions.T.astype(float)]
        held = min(elapsed, HORIZON * STEP) * actions[-1]
        np.testing.assert_allclose(
            STEP * shifted.sum(0), STEP * actions.sum(0) - done + held, atol=1e-4)


def test_a_warm_start_shifted_by_whole_steps_moves_rows_and_holds_the_last() -> None:
    before = warm_start(0)
    after = before.after(3 * STEP, STEP)
    np.testing.assert_allclose(after.actions[:-3], before.actions[3:], atol=1e-6)
    np.testing.assert_array_equal(after.actions[-3:], np.repeat(before.actions[-1:], 3, axis=0))
    np.testing.assert_allclose(after.elites[:, :-3], before.elites[:, 3:], atol=1e-6)


def test_a_clock_that_went_back_or_far_ahead_leaves_a_warm_start_that_can_be_used() -> None:
    before = warm_start(1)
    np.testing.assert_array_equal(before.after(-1.0, STEP).actions, before.actions)
    ended = before.after(1e300, STEP)
    np.testing.assert_array_equal(ended.actions, np.repeat(before.actions[-1:], HORIZON, axis=0))


def test_a_warm_start_may_have_no_elites() -> None:
    before = warm_start(2)
    alone = WarmStart(before.actions, before.elites[:0])
    assert alone.after(0.25, STEP).elites.shape == (0, HORIZON, 2)
