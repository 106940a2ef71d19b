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
"""What the operating system and Python are told about a process that must not be late.

Beside a model that keeps all cores busy, a process of normal priority waits its turn: on two loaded
cores that cost setpoints 5 to 20 ms. Real-time scheduling ends the wait, as it does for
ros2_control's controller_manager. Python's garbage collector looks at every object now and then;
those that stay for ever need not be looked at again.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path


def run_first(priority: int) -> str:
    """
    Schedule all threads of this process as SCHED_FIFO; return how they are scheduled.

    :param priority: 1 to 99; 0 for none, also if they had one
    """
    policy = os.SCHED_FIFO if priority else os.SCHED_OTHER
    try:
        for thread in Path('/proc/self/task').iterdir():
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))
    except OSError as error:
        return (f'normal: real-time priority {priority} is not allowed ({error.strerror}); allow '
                'it with a line "@realtime - rtprio 99" in /etc/security/limits.conf')
    return f'real-time, priority {priority}' if priority else 'normal'


def settle_memory() -> None:
    """Exempt what exists now from garbage collection: collections become short."""
    gc.unfreeze()  # what an earlier call exempted may be garbage by now
    gc.collect()
    gc.freeze()
