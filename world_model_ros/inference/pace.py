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
"""How long imagining takes on this machine now, so that no batch is begun that ends too late."""

from __future__ import annotations

import math

_MOST = 8.0
# A machine may turn twice as slow at any time.
_LEAST_SURPRISE = 2.0


class Pace:
    """t(n) = load (fixed + each n), in seconds, for n sequences in one call.

    `fixed` and `each` are measured on an idle call of one sequence and of a batch. What the machine
    does besides is one factor for all sizes. A stall (of a virtual machine, of a disk) is no pace:
    beyond `_MOST` times as slow counts as that, or one stall would spoil the plans behind it, and
    plans with much time would depend on the machine.
    """

    def __init__(self, single: float, batch: int, seconds: float) -> None:
        """`single`: seconds for one sequence; `seconds`: for `batch` > 1 of them in one call."""
        single = max(single, 1e-9)
        self._each = max((seconds - single) / (batch - 1), single * 1e-3)
        self._fixed = max(single - self._each, 0.0)
        self._load = 1.0
        self._surprise = _LEAST_SURPRISE

    def record(self, size: int, seconds: float) -> None:
        """Take note of a call: slow-downs count at once, recoveries half."""
        surprise = min(seconds / self.seconds(size), _MOST)
        self._surprise = max(surprise, 0.9 * self._surprise, _LEAST_SURPRISE)
        load = min(max(seconds, 1e-9) / (self._fixed + self._each * size), _MOST)
        self._load = max(load, 0.5 * self._load + 0.5 * load)

    def seconds(self, size: int) -> float:
        """What a call of so many sequences will take."""
        return self._load * (self._fixed + self._each * size)

    def safe(self, seconds: float) -> int:
        """Most sequences of one call that ends in time though it is as late as any of the last."""
        return self.fitting(seconds / self._surprise)

    def fitting(self, seconds: float) -> int:
        """Most sequences of one call that `seconds` have room for, 0 if not even one."""
        if not seconds > 0:
            return 0
        fitting = (min(seconds / self._load, 1e9) - self._fixed) / self._each
        return max(math.floor(fitting + 1e-6), 0)
