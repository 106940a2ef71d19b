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
that is told the actions between two pictures can be held against the second picture. What was noted
for a model whose actions mean something else is nothing to it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # a controller, which counts with this package, starts without pydantic
    from world_model_ros.bundle import Meaning

Float = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Row:
    """An action [A] for the time from ``begin`` to ``end`` [ns], and the one of the row before."""

    begin: int
    end: int
    before: Float
    action: Float
    meaning: Meaning | None

    def position(self, stamp: int) -> Float:
        """Where the robot is at ``stamp``, on the way from one position to the next."""
        part = (stamp - self.begin) / (self.end - self.begin)
        return self.before + (self.action - self.before) * np.float32(part)


@dataclass
class _Held:
    """A row in force from ``start`` to ``end`` [ns]."""

    start: int
    end: int
    row: _Row


class ActionLog:
    """Actions over the last seconds; stamps in nanoseconds, any thread."""

    def __init__(self, duration: float) -> None:
        """Remember ``duration`` seconds."""
        self._duration = round(duration * 1e9)
        self._lock = threading.Lock()
        self._held: list[_Held] = []  # in the order of time, without overlaps

    def add(
        self, start: int, row_duration: float, actions: Float, effective: int,
        meaning: Meaning | None = None,
    ) -> None:
        """
        Add a plan, or an action that was sent.

        :param start: stamp of row 0
        :param row_duration: how long one row is held [s]
        :param actions: [H, A]
        :param effective: stamp from which on the plan replaces what was planned before; what an
            older plan had for later is forgotten, so that a clock set back starts afresh
        :param meaning: of the actions; None in a log of one meaning, whose actions are no positions
        """
        duration = round(row_duration * 1e9)
        with self._lock:
            self._cut(effective)
            del self._held[:bisect_right(
                self._held, effective - self._duration, key=lambda it: it.start)]
            for index, action in enumerate(actions):
                begin = start + index * duration
                row = _Row(begin, begin + duration, actions[max(index - 1, 0)], action, meaning)
                if row.end > effective:
                    self._held.append(_Held(max(begin, effective), row.end, row))

    def rows(
        self, start: int, end: int, count: int, meaning: Meaning | None = None,
    ) -> Float | None:
        """
        Return the mean action in each of ``count`` equal parts of the time, [count, A].

        Of positions, those at the end of each part. None where some of the time from ``start`` to
        ``end`` had no plan, or one of another meaning.
        """
        # From the start on, because nanoseconds since the epoch are more than a float64 resolves.
        bounds = [start + round((end - start) * part / count) for part in range(count + 1)]
        with self._lock:
            rows = [self._row(low, high, meaning) for low, high in pairwise(bounds)]
        found = [row for row in rows if row is not None]
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

    def _row(self, start: int, end: int, meaning: Meaning | None) -> npt.NDArray[Any] | None:
        total: npt.NDArray[Any] | None = None
        covered = start
        first = bisect_right(self._held, start, key=lambda it: it.start) - 1
        for index in range(max(first, 0), len(self._held)):
            held = self._held[index]
            if covered >= end:
                break
            if held.end <= covered:
                continue
            if held.start > covered or held.row.meaning != meaning:
                return None
            until = min(held.end, end)
            if meaning is not None and meaning.is_position:
                total = held.row.position(until)
            else:
                share = held.row.action.astype(np.float64) * ((until - covered) / (end - start))
                total = share if total is None else total + share
            covered = until
        return total if covered >= end else None
