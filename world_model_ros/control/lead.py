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
"""How a drive that holds by itself is led to where a motion begins: a cubic spline, rest to rest.

Where the drive holds the robot is not known: where it was last sent to, or, if it was off in
between, where the robot is. The spline ends at one of them, and is slow enough to be inside the
limits from the other. Who is held at its end already does not move.

A robot that is seen to move along the spline was held where it was, so it is known where the spline
has led it, and from there it can be braked. One that is led to where it is can not be told from one
that stands; it moves by no more than its drive lets it sag.
"""

import numpy as np

from world_model_ros.control.limits import Limits, Vector
from world_model_ros.control.motion import Motion

# Further along the spline than this, what moves is the robot, and not the noise of its encoders.
SEEN = 0.01  # rad or m


class Lead:
    """The way from ``start`` to ``goal`` [J] in rad, which takes ``time`` s, of which is ``left``.

    ``followed``: whether the robot has been seen on its way.
    """

    def __init__(self, start: Vector, goal: Vector, time: float) -> None:
        self.left = time
        self.followed = False
        self._start, self._goal, self._time = start, goal, time

    def go_on(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.left = max(self.left - seconds, 0.0)

    def watch(self, position: Vector, velocity: Vector) -> None:
        """See whether the robot, as its ``position`` and ``velocity`` [J] are measured, follows.

        It does if it moves, and is nearer to where it is led by now than to either end.
        """
        here = self.motion.position
        done, rest = np.linalg.norm(here - self._start), np.linalg.norm(here - self._goal)
        if done > SEEN and np.linalg.norm(here - position) < min(done, rest) / 2.0:
            self.followed = self.followed or bool(np.any(velocity))

    @property
    def motion(self) -> Motion:
        """Where the spline has led by now, and how fast."""
        way, part = self._goal - self._start, 1.0 - self.left / self._time
        return Motion(
            self._start + way * part**2 * (3.0 - 2.0 * part),
            way * 6.0 * part * (1.0 - part) / self._time)


def leading_time(distance: Vector, limits: Limits) -> float:
    """Return how long such a spline takes over ``distance`` [J] in rad [s].

    At its fastest it is at 3 d / (2 T), and it accelerates by 6 d / T^2 at most.
    """
    slow = 1.5 * distance / limits.velocity
    gentle = np.sqrt(6.0 * distance / limits.acceleration)
    return float(np.max(np.maximum(slow, gentle)))
