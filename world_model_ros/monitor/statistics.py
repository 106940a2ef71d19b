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
"""Counters, rates and percentiles in constant memory."""

import math
from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.ma  # np.percentile would import it when first called: 20 ms inside a control tick


class Counters:
    """Named counts that only grow.

    Names passed to the constructor are shown from the start with a zero, so that a reader can
    tell "never happened" from "not counted".
    """

    def __init__(self, *names: str) -> None:
        self._counts: dict[str, int] = dict.fromkeys(names, 0)

    def add(self, name: str, amount: int = 1) -> None:
        """Count ``amount`` (>= 0) more of ``name``."""
        if amount < 0:
            raise ValueError(f'counter {name} only grows: got {amount}')
        self._counts[name] = self._counts.get(name, 0) + amount

    def __getitem__(self, name: str) -> int:
        return self._counts.get(name, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def total(self) -> int:
        """Return the sum of all counts."""
        return sum(self._counts.values())

    def values(self, prefix: str = '') -> dict[str, str]:
        """Return the counts as the key-values of a :class:`Health`."""
        return {f'{prefix}{name}': str(count) for name, count in self._counts.items()}


class PercentileWindow:
    """Percentiles of the newest ``size`` values of one unit: durations, scores, counts.

    Non-finite values are left out: a diagnostics page must not be poisoned by one bad stamp.
    """

    def __init__(self, size: int = 1000) -> None:
        if size < 1:
            raise ValueError(f'a window holds at least one sample: got {size}')
        self._samples = np.zeros(size)
        self._added = 0

    def add(self, value: float) -> None:
        """Add one value, forgetting the oldest when the window is full."""
        if math.isfinite(value):
            self._samples[self._added % len(self._samples)] = value
            self._added += 1

    def __len__(self) -> int:
        return min(self._added, len(self._samples))

    def percentile(self, percent: float) -> float:
        """Return the ``percent`` percentile (0 to 100); NaN while the window is empty."""
        if not self._added:
            return math.nan
        return float(np.percentile(self._samples[: len(self)], percent))

    def values(self, name: str) -> dict[str, str]:
        """Return ``{name}_p50_ms`` and ``{name}_p99_ms`` of durations in s, for a `Health`."""
        if not self._added:
            return {f'{name}_p50_ms': 'n/a', f'{name}_p99_ms': 'n/a'}
        p50, p99 = 1e3 * np.percentile(self._samples[: len(self)], (50, 99))
        return {f'{name}_p50_ms': f'{p50:.1f}', f'{name}_p99_ms': f'{p99:.1f}'}


class Rate:
    """How often something happens, and how long ago it last did.

    ``now`` is in seconds on any clock; a clock that jumped backward starts the count afresh.
    """

    def __init__(self, window: float = 2.0) -> None:
        if not window > 0.0:
            raise ValueError(f'a rate needs a window above zero seconds: got {window}')
        self._window = window
        self._times: deque[float] = deque()
        self._last = -math.inf

    def tick(self, now: float) -> None:
        """Note that it happened at ``now`` [s]."""
        if now < self._last:
            self._times.clear()
        self._times.append(now)
        self._last = now
        self._forget(now)

    def hertz(self, now: float) -> float:
        """Return the mean rate over the window that ends at ``now`` [1/s]; 0 with no event."""
        self._forget(now)
        if len(self._times) < 2:
            return len(self._times) / self._window
        span = self._times[-1] - self._times[0]
        # n events span n - 1 periods.
        return (len(self._times) - 1) / span if span > 0.0 else len(self._times) / self._window

    def age(self, now: float) -> float:
        """Return the seconds since it last happened; infinity if it never did."""
        return now - self._last

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] < now - self._window:
            self._times.popleft()
