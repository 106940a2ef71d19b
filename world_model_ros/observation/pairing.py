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
Pairs each image with the joint state of the same moment.

Joint states come several times as often as images and by another way, so that the newest of both
are up to a frame apart; a model trained on pairs of one moment takes that for motion.
"""

from bisect import bisect_left
from typing import Generic, TypeVar

T = TypeVar('T')


class StampedBuffer(Generic[T]):
    """The items of the last ``span`` ns, ``most`` of them at most, in the order of their stamps."""

    def __init__(self, span: int, most: int) -> None:
        self._span, self._most = span, most
        self._stamps: list[int] = []
        self._items: list[T] = []

    def add(self, stamp: int, item: T) -> None:
        """
        Add an item, stamped in integer nanoseconds.

        One that comes late is put where it belongs, and left out if that is before all that is
        kept; one with a stamp that is there already takes its place.
        """
        at = bisect_left(self._stamps, stamp)
        if at < len(self._stamps) and self._stamps[at] == stamp:
            self._items[at] = item
            return
        self._stamps.insert(at, stamp)
        self._items.insert(at, item)
        old = max(bisect_left(self._stamps, self._stamps[-1] - self._span),
                  len(self._stamps) - self._most)
        del self._stamps[:old], self._items[:old]

    def clear(self) -> None:
        """Forget all items."""
        self._stamps.clear()
        self._items.clear()

    def nearest(self, stamp: int, tolerance: int) -> T | None:
        """Return the item nearest to ``stamp``, or None when none is within ``tolerance`` [ns]."""
        if not self._stamps:
            return None
        after = bisect_left(self._stamps, stamp)
        candidates = [i for i in (after - 1, after) if 0 <= i < len(self._stamps)]
        best = min(candidates, key=lambda i: abs(self._stamps[i] - stamp))
        return self._items[best] if abs(self._stamps[best] - stamp) <= tolerance else None
