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

"""
What the robot was asked to do, and when: the actions behind what a camera sees.

They are what the controller reports to have sent or, where none reports, what was proposed. A model
that is told the actions between two pictures can be held against the second picture.
"""

import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]


@dataclass
class _Held:
    """An action [A] held from ``start`` to ``end`` [ns]."""

    start: int
    end: int
    action: Float


class ActionLog:
    """Piecewise constant actions over the last seconds; stamps in nanoseconds, any thread."""

    def __init__(self, duration: float) -> None:
        """Remember ``duration`` seconds."""
        self._duration = round(duration * 1e9)
        self._lock = threading.Lock()
        self._held: list[_Held] = []  # in the order of time, without overlaps

    def add(self, start: int, row_duration: float, actions: Float, effective: int) -> None:
        """
        Add a plan, or an action that was sent.

        :param start: stamp of row 0
        :param row_duration: how long one row is held [s]
        :param actions: [H, A]
        :param effective: stamp from which on the plan replaces what was planned before; what an
            older plan had for later is forgotten, so that a clock set back starts afresh
        """
        row = round(row_duration * 1e9)
        with self._lock:
            self._cut(effective)
            del self._held[:bisect_right(
                self._held, effective - self._duration, key=lambda it: it.start)]
            for index, action in enumerate(actions):
                begin, end = start + index * row, start + (index + 1) * row
                if end > effective:
                    self._held.append(_Held(max(begin, effective), end, action))

    def rows(self, start: int, end: int, count: int) -> Float | None:
        """
        Return the mean action in each of ``count`` equal parts of the time, [count, A].

        None where some of the time from ``start`` to ``end`` had no plan.
        """
        # From the start on, because nanoseconds since the epoch are more than a float64 resolves.
        bounds = [start + round((end - start) * part / count) for part in range(count + 1)]
        with self._lock:
            means = [self._mean(low, high) for low, high in pairwise(bounds)]
        found = [mean for mean in means if mean is not None]
        return np.array(found, np.float32) if len(found) == count else None

    def stop(self, stamp: int) -> None:
        """Forget what was planned for ``stamp`` and later: the plan was given up."""
        with self._lock:
            self._cut(stamp)

    def clear(self) -> None:
        """Forget everything: another robot, another model's actions."""
        with self._lock:
            self._held = []

    def _cut(self, stamp: int) -> None:
        del self._held[bisect_left(self._held, stamp, key=lambda it: it.start):]
        if self._held:
            self._held[-1].end = min(self._held[-1].end, stamp)

    def _mean(self, start: int, end: int) -> npt.NDArray[np.float64] | None:
        total: npt.NDArray[np.float64] | None = None
        covered = start
        first = bisect_right(self._held, start, key=lambda it: it.start) - 1
        for index in range(max(first, 0), len(self._held)):
            held = self._held[index]
            if covered >= end:
                break
            if held.end <= covered:
                continue
            if held.start > covered:
                return None
            until = min(held.end, end)
            share = held.action.astype(np.float64) * ((until - covered) / (end - start))
            total = share if total is None else total + share
            covered = until
        return total if covered >= end else None
