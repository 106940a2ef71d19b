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

import signal

import pytest

from world_model_ros.bringup.endings import MISCONFIGURED, STUCK, why_down


@pytest.mark.parametrize('exit_code', [0, STUCK, MISCONFIGURED])
def test_a_process_that_was_told_to_end_or_cannot_run_stays_down(exit_code: int) -> None:
    assert why_down(exit_code)


@pytest.mark.parametrize('exit_code', [1, 2, 139, -signal.SIGKILL, -signal.SIGSEGV])
def test_a_process_that_died_is_started_again(exit_code: int) -> None:
    assert not why_down(exit_code)
