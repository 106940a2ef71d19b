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
"""A process that keeps dying is started less and less often."""

from world_model_ros.bringup.back_off import BackOff


def test_delays_double_up_to_the_longest_while_a_process_dies_early() -> None:
    back_off = BackOff(first=0.5, longest=5.0, calm=30.0)
    assert [back_off.after(0.2) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_process_that_lived_long_is_back_at_once() -> None:
    back_off = BackOff(first=0.5, longest=5.0, calm=30.0)
    for _ in range(4):
        back_off.after(0.2)
    assert back_off.after(31.0) == 0.5
    assert back_off.after(0.2) == 1.0
