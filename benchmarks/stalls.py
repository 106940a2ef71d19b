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

"""When the machine itself stood still: what no program on it can be blamed for.

A virtual machine's processors are lent to others now and then; programs then stand still for
milliseconds, whatever their priority. One process per processor wakes every millisecond before
everybody else (SCHED_FIFO, the highest priority) and writes down when it woke late. What it finds
is a lower bound: of a stall it misses what passed before it was due.

    python benchmarks/stalls.py CPU FILE    # until SIGTERM; lines of begin and end [ns, Unix time]
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PERIOD = 0.001  # s
STALL = 0.0005  # s: what counts; waking takes 0.1 ms
PRIORITY = 99


def watch(processor: int, path: Path) -> None:
    """Write the stalls of one processor to a file until the process is ended.

    Raises PermissionError where real-time priority is not allowed: without it, other programs
    could be taken for the machine.
    """
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    gc.disable()
    with path.open('w', encoding='ascii', buffering=1) as file:
        due = time.monotonic()
        while True:
            due += PERIOD
            time.sleep(max(due - time.monotonic(), 0.0))
            late = time.monotonic() - due
            if late > STALL:
                now = time.time_ns()
                file.write(f'{now - round(1e9 * late)} {now}\n')
                due += late


def read(path: Path) -> NDArray[np.int64]:
    """Return the stalls [N, 2] of a file: begin and end [ns]."""
    return np.array([line.split() for line in path.read_text(encoding='ascii').splitlines()],
                    np.int64).reshape(-1, 2)


def stalled(
    processors: Sequence[NDArray[np.int64]], begin: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return for how long of each span [N; ns] the machine stood still [N; s].

    Of several processors, the one that stood still for longest: which of them a program ran on is
    not known.
    """
    longest = np.zeros(len(begin))
    for stalls in processors:
        time_stalled = np.zeros(len(begin))
        for first, last in stalls:
            time_stalled += np.maximum(np.minimum(end, last) - np.maximum(begin, first), 0)
        longest = np.maximum(longest, time_stalled / 1e9)
    return longest


if __name__ == '__main__':
    watch(int(sys.argv[1]), Path(sys.argv[2]))
