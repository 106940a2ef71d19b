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
"""How much time a tick may use, by two clocks that can each lie.

Stamps are of the ROS clock, which may be a simulation's: it can be set back, leap, run slower than
real time, and stand still. The steady clock only ever runs forward, but it runs on while a process
is stopped. Motion uses the ROS clock's time, since that is the robot's, yet never more of it than
the steady clock has granted: velocity and acceleration hold on both. (A simulation must not be
faster than real time: a joint would go further while it brakes than it was given room for.) While
the ROS clock stands, the steady clock alone counts, so that a robot whose clock has died still
comes to rest.
"""

from dataclasses import dataclass

from world_model_ros.control.ladder import Cause, Settings
from world_model_ros.control.proposal import seconds
from world_model_ros.monitor import Level

# The ROS clock may run ahead of the steady clock by this much from one tick to the next.
JUMP = 0.2  # s
# A ROS clock that has not moved for this long stands.
STANDING = 0.15  # s
# A tick that comes this late by the steady clock means that the process was stopped.
LONGEST_GAP = 0.5  # s


@dataclass(frozen=True)
class Break:
    """Why plans from before a tick are void.

    ``forget``: whether joint states from before are as well. ``of_clock``: whether the ROS clock is
    the cause, and not this process.
    """

    cause: Cause
    forget: bool = True
    of_clock: bool = True


@dataclass(frozen=True)
class Tick:
    """``dt``: seconds by which motion may go on. ``break_``: why what was known is void, if it is.

    ``standing``: why nothing may be followed as long as the ROS clock stands, if it does. ``late``:
    seconds since the setpoint before was to be reached, in which the robot was on its own.
    """

    dt: float
    break_: Break | None = None
    standing: Cause | None = None
    late: float = 0.0


class ControlClock:
    """Compares the ROS clock with the steady clock, once per tick."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._now: int | None = None
        self._steady = 0
        self._moved = 0  # steady time at which the ROS clock was last seen to move
        self._credit = 0.0  # s that the steady clock has granted and motion has not used
        self._stood = False

    def tick(self, now: int, steady: int) -> Tick:
        """Return what this tick may do; ``now`` on the ROS clock, ``steady`` both in ns."""
        longest = self._settings.longest_period
        before, self._now = self._now, now
        if before is None:
            self._steady = self._moved = steady
            return Tick(self._settings.period)
        gap, real = seconds(now - before), seconds(steady - self._steady)
        self._steady = steady
        self._credit = min(self._credit + real, longest)
        if gap != 0.0:
            self._moved = steady
        standing = seconds(steady - self._moved) > STANDING
        resumed, self._stood = self._stood and not standing, standing
        broken = _broken(gap, real)
        if resumed and broken is None:
            broken = _RESUMED
        dt = self._credit if standing or gap < 0.0 else min(gap, self._credit)
        self._credit -= dt
        elapsed = real if gap < 0.0 else min(gap, real)
        late = max(elapsed - self._settings.period, 0.0)
        return Tick(dt, broken, _STANDING if standing else None, late)


_STANDING = Cause(
    'clock_stands', Level.WARN,
    'the ROS clock stands: the simulation is paused, or use_sim_time is set and nobody publishes '
    f'/clock, or not every {STANDING:g} s of real time',
)
_RESUMED = Break(
    Cause(
        'clock_resumed', Level.WARN,
        'the clock goes on after a pause: plans from before are dropped; waiting for new ones',
    ),
    forget=False,
)


def _broken(gap: float, real: float) -> Break | None:
    """Return why what is from before a tick says nothing of what comes after it, or None."""
    code, of_clock = 'clock_jump', True
    if gap < 0.0:
        what = f'the clock jumped back by {-gap:.3f} s'
    elif gap - real > JUMP:
        what = f'the clock jumped ahead by {gap - real:.3f} s'
    elif real > LONGEST_GAP:
        code, of_clock = 'stalled', False
        what = f'this process stood still for {real:.3f} s'
    else:
        return None
    text = f'{what}: plans and joint states from before are dropped; waiting for new ones'
    return Break(Cause(code, Level.WARN, text), of_clock=of_clock)
