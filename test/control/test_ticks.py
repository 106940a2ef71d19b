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
"""Ticks are late by the moment at which they were due, not by the one before."""

from world_model_ros.control import TickMonitor


def test_a_tick_is_late_when_it_comes_after_it_was_due() -> None:
    ticks = TickMonitor(0.01)
    for k in range(100):
        ticks.tick(5.0 + 0.01 * k + (0.006 if k == 50 else 0.0))
    assert (ticks.count, ticks.late) == (100, 1)
    assert abs(ticks.worst - 0.006) < 1e-9


def test_after_a_stall_ticks_are_due_anew_and_only_the_stall_is_counted() -> None:
    ticks = TickMonitor(0.01)
    now = 0.0
    for k in range(100):
        now += 0.5 if k == 50 else 0.01
        ticks.tick(now)
    assert ticks.late == 1
    assert ticks.values() == {
        'ticks': '100', 'ticks_over_5_ms_late': '1', 'worst_lateness_ms': '490.0'}
