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

"""Tells a camera that delivers from one that is unplugged, stuck, or shows an old picture."""

import math
import statistics
from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_INTERVALS = 31  # of which the median is taken
_LEAST = 0.1  # s: a hiccup of the machine is not an unplugged camera, however fast that is


class Arrivals:
    """How regularly something comes, and whether it has stopped coming. Times in seconds."""

    def __init__(self) -> None:
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._last = -math.inf

    def tick(self, now: float) -> None:
        """Note an arrival at ``now`` on a steady clock."""
        if math.isfinite(self._last):
            self._intervals.append(now - self._last)
        self._last = now

    def period(self) -> float:
        """Return the median interval between arrivals; NaN before the second one."""
        return statistics.median(tuple(self._intervals)) if self._intervals else math.nan

    def age(self, now: float) -> float:
        """Return the time since the last arrival; infinity before the first one."""
        return now - self._last

    def restart(self) -> None:
        """Forget the last arrival, so that a pause does not count as an interval."""
        self._last = -math.inf


def overdue_after(missed: int, *arrivals: Arrivals) -> float:
    """
    Return the age [s] from which on ``missed`` arrivals in a row did not come.

    The slowest of ``arrivals`` counts: an encoder that takes a second makes a 30 Hz camera useful
    once a second. At least 0.1 s; half a second while no period is known.
    """
    periods = [period for it in arrivals if math.isfinite(period := it.period())]
    return max(missed * max(periods), _LEAST) if periods else 0.5


class FrozenPicture:
    """
    A camera is frozen when its picture stays equal to the byte while the robot moves.

    Still scenes are legal: only motion that the picture does not show is evidence. Once found, the
    camera stays frozen until the picture changes, also when the robot has stopped because of it.
    """

    def __init__(self) -> None:
        self._pixels: npt.NDArray[np.uint8] | None = None
        self._reference: Mapping[str, float] = {}
        self._motion = 0.0

    def motion(self, pixels: npt.NDArray[np.uint8], positions: Mapping[str, float]) -> float:
        """
        Return how far [rad or m] any joint went from where it was when this picture first came.

        :param pixels: the picture as it came; it is kept, not copied
        :param positions: joint positions of the same moment by name
        """
        if self._pixels is None or not np.array_equal(pixels, self._pixels):
            self._pixels, self._reference, self._motion = pixels, positions, 0.0
            return 0.0
        moved = [abs(positions[name] - start) for name, start in self._reference.items()
                 if name in positions]
        # NaN is no motion: whether joint states are sound is judged elsewhere.
        self._motion = max([self._motion, *(it for it in moved if math.isfinite(it))])
        return self._motion
