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

Each plan replaces the rest of the one before. A model that is told the actions between two pictures
can be held against the second picture.
"""

import threading
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
        self._held: list[_Held] = []

    def add(self, start: int, row_duration: float, actions: Float, effective: int) -> None:
        """
        Add a plan.

        :param start: stamp of row 0
        :param row_duration: how long one row is held [s]
        :param actions: [H, A]
        :param effective: stamp from which on the plan replaces what was planned before; what an
            older plan had for later is forgotten, so that a clock set back starts afresh
        """
        row = round(row_duration * 1e9)
        with self._lock:
            kept = [it for it in self._held if effective - self._duration < it.start < effective]
            if kept:
                kept[-1].end = min(kept[-1].end, effective)
            for index, action in enumerate(actions):
                begin, end = start + index * row, start + (index + 1) * row
                if end > effective:
                    kept.append(_Held(max(begin, effective), end, action))
            self._held = kept

    def rows(self, start: int, end: int, count: int) -> Float | None:
        """
        Return the mean action in each of ``count`` equal parts of the time, [count, A].

        None where some of the time from ``start`` to ``end`` had no plan.
        """
        bounds = np.linspace(start, end, count + 1).round().astype(np.int64)
        with self._lock:
            means = [self._mean(int(low), int(high))
                     for low, high in pairwise(bounds)]
        found = [mean for mean in means if mean is not None]
        return np.array(found, np.float32) if len(found) == count else None

    def stop(self, stamp: int) -> None:
        """Forget what was planned for ``stamp`` and later: the plan was given up."""
        with self._lock:
            self._held = [it for it in self._held if it.start < stamp]
            if self._held:
                self._held[-1].end = min(self._held[-1].end, stamp)

    def clear(self) -> None:
        """Forget everything: another robot, another model's actions."""
        with self._lock:
            self._held = []

    def _mean(self, start: int, end: int) -> npt.NDArray[np.float64] | None:
        total: npt.NDArray[np.float64] | None = None
        covered = start
        for held in self._held:
            if held.end <= covered or covered >= end:
                continue
            if held.start > covered:
                return None
            until = min(held.end, end)
            share = held.action * float(until - covered) / (end - start)
            total = share if total is None else total + share
            covered = until
        return total if covered >= end else None
