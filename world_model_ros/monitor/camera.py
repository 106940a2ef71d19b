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
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_INTERVALS = 31  # of which the median is taken
_JUMP = 5.0  # rad/s or m/s from which on a joint that reports no speed has jumped
_LEAST = 0.1  # s: a hiccup of the machine is not an unplugged camera, however fast that is
_ROWS_APART = 64  # of those that are compared first


class Arrivals:
    """How regularly something comes, and whether it has stopped coming; times [s] of one clock."""

    def __init__(self) -> None:
        self._intervals: deque[float] = deque(maxlen=_INTERVALS)
        self._last = -math.inf

    def tick(self, now: float) -> None:
        """Note an arrival at ``now``; one before the last is of a clock that was set back."""
        if math.isfinite(self._last) and now >= self._last:
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


@dataclass(frozen=True)
class JointMotion:
    """Where a joint is [rad or m] and how fast [1/s]; None if its speed is not reported."""

    position: float
    velocity: float | None


class FrozenPicture:
    """
    A camera is frozen when its picture stays equal to the byte while the robot moves.

    Still scenes are legal: only motion that the picture does not show is evidence, and a joint
    state that jumps while it reports no speed is none: a driver that catches up, or two of them
    that contradict each other. Once found, the camera stays frozen until the picture changes, also
    when the robot has stopped because of it.
    """

    def __init__(self) -> None:
        self._pixels: npt.NDArray[np.uint8] | None = None
        self._reference: Mapping[str, JointMotion] = {}
        self._last: Mapping[str, JointMotion] = {}
        self._time = 0.0
        self._way: dict[str, float] = {}
        self._motion = 0.0

    def motion(
        self, time: float, pixels: npt.NDArray[np.uint8], joints: Mapping[str, JointMotion],
    ) -> float:
        """
        Return how far [rad or m] any joint went from where it was when this picture first came.

        :param time: of the picture [s]
        :param pixels: the picture as it came; it is kept, not copied
        :param joints: of the same moment, by name
        """
        if self._pixels is None or not _are_equal(pixels, self._pixels):
            self._pixels, self._reference = pixels, joints
            self._way, self._motion = {}, 0.0
        else:
            for name in joints.keys() & self._reference.keys():
                self._motion = max(self._motion, self._moved(name, time, joints[name]))
        self._last, self._time = joints, time
        return self._motion

    def _moved(self, name: str, time: float, joint: JointMotion) -> float:
        """How far a joint is from its reference, as far as it got there at a speed."""
        last = self._last.get(name)
        if last is None:
            return 0.0
        step, elapsed = joint.position - last.position, max(time - self._time, 0.0)
        if joint.velocity is not None and math.isfinite(joint.velocity):
            reach = 2 * abs(joint.velocity) * elapsed  # twice: the speed changes in between
            step = min(max(step, -reach), reach)
        elif abs(step) > _JUMP * elapsed:
            step = 0.0
        way = self._way.get(name, 0.0) + step
        if not math.isfinite(way):
            return 0.0  # whether joint states are sound is judged elsewhere
        self._way[name] = way
        away = abs(joint.position - self._reference[name].position)
        return min(abs(way), away)


def _are_equal(pixels: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8]) -> bool:
    """Whether pictures are equal to the byte; some rows tell most that are not."""
    few = slice(None, None, _ROWS_APART)
    return np.array_equal(pixels[few], others[few]) and np.array_equal(pixels, others)
