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

import bisect
from collections import deque
from typing import Generic, TypeVar

T = TypeVar('T')


class StampedBuffer(Generic[T]):
    """The newest ``size`` items in the order of their stamps (integer nanoseconds)."""

    def __init__(self, size: int) -> None:
        self._stamps: deque[int] = deque(maxlen=size)
        self._items: deque[T] = deque(maxlen=size)

    def add(self, stamp: int, item: T) -> None:
        """Add an item. A stamp at or before the newest one means that the clock was set back."""
        if self._stamps and stamp <= self._stamps[-1]:
            self._stamps.clear()
            self._items.clear()
        self._stamps.append(stamp)
        self._items.append(item)

    def nearest(self, stamp: int, tolerance: int) -> T | None:
        """Return the item nearest to ``stamp``, or None when none is within ``tolerance`` [ns]."""
        if not self._stamps:
            return None
        after = bisect.bisect_left(self._stamps, stamp)
        candidates = [i for i in (after - 1, after) if 0 <= i < len(self._stamps)]
        best = min(candidates, key=lambda i: abs(self._stamps[i] - stamp))
        return self._items[best] if abs(self._stamps[best] - stamp) <= tolerance else None
