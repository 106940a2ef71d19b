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
"""Counters, windows and rates that diagnostics are made of."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.monitor import Counters, PercentileWindow, Rate


def test_counters_show_what_never_happened_as_zero() -> None:
    counters = Counters('stale', 'names')
    counters.add('names')
    counters.add('names', 2)
    assert counters.values('refused_') == {'refused_stale': '0', 'refused_names': '3'}
    assert counters['names'] == 3
    assert counters['unheard'] == 0
    assert counters.total() == 3


def test_counters_never_shrink() -> None:
    with pytest.raises(ValueError, match='only grows'):
        Counters().add('x', -1)


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=50), st.integers(1, 20))
def test_a_percentile_window_holds_the_newest_samples_only(samples: list[float], size: int) -> None:
    window = PercentileWindow(size)
    for sample in samples:
        window.add(sample)
    newest = samples[-size:]
    assert len(window) == len(newest)
    for percent in (0.0, 50.0, 99.0, 100.0):
        assert window.percentile(percent) == pytest.approx(np.percentile(newest, percent))


def test_a_percentile_window_leaves_out_what_is_not_a_number() -> None:
    window = PercentileWindow(4)
    assert math.isnan(window.percentile(50))
    assert window.values('plan') == {'plan_p50_ms': 'n/a', 'plan_p99_ms': 'n/a'}
    for bad in (math.nan, math.inf, -math.inf):
        window.add(bad)
    window.add(0.25)
    assert window.percentile(99) == 0.25
    assert window.values('plan') == {'plan_p50_ms': '250.0', 'plan_p99_ms': '250.0'}


def test_a_rate_is_that_of_a_steady_stream_and_falls_to_zero_when_it_stops() -> None:
    rate = Rate(window=2.0)
    assert rate.hertz(0.0) == 0.0
    assert rate.age(0.0) == math.inf
    for k in range(500):
        rate.tick(k * 0.01)
    assert rate.hertz(4.99) == pytest.approx(100.0)
    assert rate.age(5.49) == pytest.approx(0.5)
    assert rate.hertz(8.0) == 0.0
    assert rate.age(8.0) == pytest.approx(3.01)


def test_a_rate_survives_a_clock_that_jumps_back() -> None:
    rate = Rate(window=1.0)
    rate.tick(100.0)
    rate.tick(1.0)
    rate.tick(1.1)
    assert rate.hertz(1.1) == pytest.approx(10.0)
    assert rate.age(1.2) == pytest.approx(0.1)
