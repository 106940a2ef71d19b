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

"""How the controller's process is scheduled is what its diagnostics say."""

import subprocess
import sys

import pytest

# In a process of its own: the threads of this one are to stay as they are.
SCHEDULE = """
import os
from world_model_ros.nodes.realtime import run_first

for priority in 5, 0:
    print(run_first(priority), '|', os.sched_getscheduler(0) == os.SCHED_FIFO)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux has these priorities')
def test_a_priority_that_is_taken_back_is_gone() -> None:
    told = subprocess.run([sys.executable, '-c', SCHEDULE], check=True, capture_output=True,
                          text=True).stdout.splitlines()
    if told[0].startswith('normal: real-time priority 5 is not allowed'):
        pytest.skip('this machine allows no real-time priorities')
    assert told == ['real-time, priority 5 | True', 'normal | False']
