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
Puts the pictures of several cameras together that show the same moment.

Cameras are rarely triggered together, and their messages overtake each other on the way. The first
camera leads: the others' pictures are those nearest to its own, if they are near enough. So a set
has the stamp and the frame of a picture that exists, and sets are as far apart as its pictures are.

What is near can be known only when nothing nearer can come, so a set may wait: until each camera
has sent a picture that is newer than the leading one, or one so near that the next cannot be
nearer, but never longer than until the first camera's next picture. Every picture is in one set at
most, and sets never go back in time.
"""

import bisect
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

T = TypeVar('T')

_KEPT = 32  # pictures of a camera that wait for the others'
_GAP = 2  # of them, however old they are, show how far cameras are apart
_RECENT = 8  # stamps that tell a camera's period


@dataclass(frozen=True)
class PictureSet(Generic[T]):
    """One picture of each camera, in the cameras' order; the stamp [ns] is the first one's."""

    stamp: int
    pictures: Mapping[str, T]


class Gap(NamedTuple):
    """A camera, and by how much its nearest picture is newer than the first camera's [ns]."""

    camera: str
    newer: int


class PictureSets(Generic[T]):
    """
    The newest complete set of pictures. Stamps are integer nanoseconds.

    ``unpaired`` counts each camera's pictures that were left out: others were nearer or newer, or
    none of another camera was near.
    """

    def __init__(self, cameras: Sequence[str]) -> None:
        """Put together pictures of these cameras, the first of which leads; one needs no others."""
        self.cameras = tuple(cameras)
        self.unpaired = dict.fromkeys(cameras, 0)
        self.clear()

    def clear(self) -> None:
        """Forget all pictures, as when the clock was set back."""
        self._streams: dict[str, _Stream[T]] = {camera: _Stream() for camera in self.cameras}

    def is_late(self, camera: str, stamp: int) -> bool:
        """Whether a picture is no newer than one of this camera that is already in a set."""
        return stamp <= self._streams[camera].used

    def add(
        self, camera: str, stamp: int, picture: T, max_skew: int, max_age: int,
    ) -> PictureSet[T] | None:
        """
        Add a picture, in any order, and return the set that it completes, if it does.

        :param max_skew: largest distance of a picture from the first camera's [ns]
        :param max_age: of a picture that is of use, behind the same camera's newest [ns]
        """
        if len(self.cameras) == 1:
            return PictureSet(stamp, {camera: picture})
        self.unpaired[camera] += self._streams[camera].add(stamp, picture, max_age)
        found = self._newest(max_skew)
        return None if found is None else self._take(found)

    def behind(self) -> dict[str, int]:
        """By how much each camera's newest picture is older than the newest of all [ns]."""
        newest = {camera: stream.newest for camera, stream in self._streams.items()
                  if stream.newest is not None}
        latest = max(newest.values(), default=0)
        return {camera: latest - stamp for camera, stamp in newest.items()}

    def gap(self) -> Gap | None:
        """The gap that keeps the nearest set from being one, if two pictures of each wait."""
        if min(len(stream.pending) for stream in self._streams.values()) < _GAP:
            return None
        gaps = []
        for lead, _ in self._streams[self.cameras[0]].pending:
            near = {camera: self._streams[camera].nearest(lead) for camera in self.cameras[1:]}
            gaps.append(max((Gap(camera, stamp - lead) for camera, stamp in near.items()
                             if stamp is not None), key=lambda gap: abs(gap.newer)))
        return min(gaps, key=lambda gap: abs(gap.newer))

    def _newest(self, max_skew: int) -> dict[str, int] | None:
        """Stamps of the newest set that need not wait."""
        leads = [stamp for stamp, _ in self._streams[self.cameras[0]].pending]
        for lead in reversed(leads):
            stamps = {self.cameras[0]: lead}
            settled = True
            for camera in self.cameras[1:]:
                stream = self._streams[camera]
                nearest = stream.nearest(lead)
                if nearest is None or abs(nearest - lead) > max_skew:
                    break
                stamps[camera] = nearest
                settled = settled and stream.is_settled(lead, nearest)
            else:
                if settled or lead != leads[-1]:
                    return stamps
        return None

    def _take(self, stamps: Mapping[str, int]) -> PictureSet[T]:
        pictures = {}
        for camera, stamp in stamps.items():
            pictures[camera], left = self._streams[camera].take(stamp)
            self.unpaired[camera] += left
        return PictureSet(stamps[self.cameras[0]], pictures)


class _Stream(Generic[T]):
    """Pictures of one camera that wait, by their stamps."""

    def __init__(self) -> None:
        self.pending: list[tuple[int, T]] = []
        self.used: float = -math.inf  # stamp of the last one that went into a set
        self.newest: int | None = None
        self._recent: deque[int] = deque(maxlen=_RECENT)

    def add(self, stamp: int, picture: T, max_age: int) -> int:
        """Keep a picture; return how many were left out for it, itself included."""
        at = bisect.bisect_left(self.pending, stamp, key=_stamp_of)
        known = at < len(self.pending) and self.pending[at][0] == stamp
        if stamp <= self.used or known:
            return 1
        self._recent.append(stamp)
        self.newest = stamp if self.newest is None else max(self.newest, stamp)
        self.pending.insert(at, (stamp, picture))
        old = bisect.bisect_left(self.pending, self.newest - max_age, key=_stamp_of)
        left = max(min(old, len(self.pending) - _GAP), len(self.pending) - _KEPT, 0)
        del self.pending[:left]
        return left

    def nearest(self, stamp: int) -> int | None:
        """Stamp of the nearest one that waits."""
        at = bisect.bisect_left(self.pending, stamp, key=_stamp_of)
        near = self.pending[max(at - 1, 0):at + 1]
        return min((it for it, _ in near), key=lambda it: abs(it - stamp), default=None)

    def is_settled(self, stamp: int, nearest: int) -> bool:
        """Whether no picture that is still to come can be nearer, as far as its period tells."""
        if self.newest is not None and self.newest >= stamp:
            return True
        steps = [later - earlier for earlier, later in pairwise(sorted(self._recent))]
        return not steps or 2 * (stamp - nearest) <= min(steps)

    def take(self, stamp: int) -> tuple[T, int]:
        """The picture of this stamp, and how many older ones are left out."""
        at = bisect.bisect_left(self.pending, stamp, key=_stamp_of)
        picture = self.pending[at][1]
        del self.pending[:at + 1]
        self.used = stamp
        return picture, at


def _stamp_of(entry: tuple[int, T]) -> int:
    return entry[0]
