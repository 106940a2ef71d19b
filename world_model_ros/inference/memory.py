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
"""How many sequences can be imagined at once within the memory that a manifest allows.

What goes into graphs and comes out of them is known beforehand. What a runtime needs in between
(activations, attention) is often twenty times as much and known to nobody but the runtime, so it is
measured when a model is loaded, unless the manifest says it.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

from world_model_ros.bundle import PlannerSettings

MIB = 2**20
# Growth [bytes] that nothing else in the process is mistaken for.
_CLEAR = 64 * MIB


def sequences_within(
    planner: PlannerSettings, tensors: int, imagine: Callable[[int], object],
    resident: Callable[[], int],
) -> int:
    """Most sequences of one batch, at least 1.

    tensors: bytes of one sequence's tensors
    imagine: runs a batch of so many sequences
    resident: bytes of memory that the process holds. ONNX Runtime's arena gives nothing back, so
        what a batch needed is still there behind it

    Batches are doubled until their growth is clear or they are as large as a plan needs them. The
    result of a measurement is a power of two, so that a bundle is split alike, and plans alike to
    the last bit, every time it is loaded.
    """
    budget = planner.memory * MIB
    if planner.workspace is not None:
        return max(1, budget // (tensors + round(planner.workspace * MIB)))
    most = max(1, budget // tensors)
    imagine(1)
    before = resident()
    size = 2
    while size <= min(most, planner.samples):
        imagine(size)
        growth = resident() - before
        if growth >= min(_CLEAR, budget // 2):
            fitting = budget // (tensors + growth // (size - 1))
            return min(most, 1 << max(0, fitting.bit_length() - 1))
        size *= 2
    return most


def resident_bytes() -> int:
    """Memory that this process holds now (Linux)."""
    pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
    return pages * resource.getpagesize()
