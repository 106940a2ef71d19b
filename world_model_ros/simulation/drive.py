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
"""What sits between a command and a motor: checks, interpolation, ramps and a watchdog.

A real drive never obeys a step in velocity, stops before a joint's end and stops when its master
falls silent. The simulated one does the same, so that a model trained here has seen motions a
robot can make.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from world_model_ros.simulation.scene import JointLimits

Array = NDArray[np.float64]

WATCHDOG = 0.2
"""Seconds without a velocity command after which the drive ramps to rest."""

ACCELERATION = 8.0
"""Acceleration [rad/s²] that the drive never exceeds when it ramps."""

_POSITION_GAIN = 20.0  # 1/s: how hard a trajectory's position error is turned into velocity
_REACTION = 0.01  # seconds by which the motor lags the ramp, kept free before a joint's end
_MARGIN = 0.002  # radians before a joint's end at which the drive stops: it never leans on the end


class CommandError(ValueError):
    """A command that the drive refuses; the message says what was wrong."""


@dataclass(frozen=True)
class Trajectory:
    """Positions over time, as `trajectory_msgs/JointTrajectory` carries them.

    `times [P]` are seconds from the start; `positions`, `velocities`, `accelerations` are `[P, J]`
    in rad, rad/s and rad/s² in the robot's joint order. The order of interpolation follows from
    what is given, as in joint_trajectory_controller: linear, cubic with velocities, quintic with
    both.
    """

    times: Array
    positions: Array
    velocities: Array | None = None
    accelerations: Array | None = None

    def __post_init__(self) -> None:
        if self.times.ndim != 1 or self.times.size == 0:
            raise CommandError('the trajectory has no points')
        if not np.all(np.isfinite(self.times)) or self.times[0] < 0:
            raise CommandError('time_from_start must be finite and not negative')
        if np.any(np.diff(self.times) <= 0):
            raise CommandError('time_from_start must grow from point to point')
        for name in ('positions', 'velocities', 'accelerations'):
            values = getattr(self, name)
            if values is None:
                continue
            if values.shape != (self.times.size, self.positions.shape[-1]):
                raise CommandError(f'{name} has shape {values.shape}: one row per point is needed')
            if not np.all(np.isfinite(values)):
                raise CommandError(f'{name} holds a number that is not finite')

    def sample(self, time: float) -> tuple[Array, Array]:
        """Return position and velocity `[J]` at `time`; beyond the last point, rest at it."""
        if time >= self.times[-1]:
            return self.positions[-1], np.zeros_like(self.positions[-1])
        if time <= self.times[0]:
            return self.positions[0], np.zeros_like(self.positions[0])
        right = int(np.searchsorted(self.times, time, side='right'))
        left = right - 1
        duration = float(self.times[right] - self.times[left])
        s = float(time - self.times[left]) / duration
        p0, p1 = self.positions[left], self.positions[right]
        if self.velocities is None:
            return p0 + (p1 - p0) * s, (p1 - p0) / duration
        v0, v1 = self.velocities[left] * duration, self.velocities[right] * duration
        if self.accelerations is None:  # the cubic Hermite polynomial
            c2, c3 = 3 * (p1 - p0) - 2 * v0 - v1, 2 * (p0 - p1) + v0 + v1
            position = p0 + s * (v0 + s * (c2 + s * c3))
            return position, (v0 + s * (2 * c2 + s * 3 * c3)) / duration
        a0 = self.accelerations[left] * duration**2
        a1 = self.accelerations[right] * duration**2
        gap = p1 - p0
        c3 = 10 * gap - 6 * v0 - 4 * v1 - 1.5 * a0 + 0.5 * a1
        c4 = -15 * gap + 8 * v0 + 7 * v1 + 1.5 * a0 - a1
        c5 = 6 * gap - 3 * (v0 + v1) + 0.5 * (a1 - a0)
        position = p0 + s * (v0 + s * (0.5 * a0 + s * (c3 + s * (c4 + s * c5))))
        velocity = v0 + s * (a0 + s * (3 * c3 + s * (4 * c4 + s * 5 * c5)))
        return position, velocity / duration


class Drive:
    """The velocity loop's setpoint of every joint, from whichever command came last.

    Times are seconds of the caller's clock; all arrays are `[J]` in rad, rad/s, rad/s².
    """

    def __init__(self, limits: JointLimits) -> None:
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget every command; the setpoint is rest."""
        self._setpoint = np.zeros_like(self._limits.lower)
        self._velocity = np.zeros_like(self._limits.lower)
        self._velocity_time = -np.inf
        self._trajectory: Trajectory | None = None
        self._start = 0.0

    def command_velocity(self, velocity: Sequence[float] | Array, now: float) -> None:
        """Follow `velocity [J]` until the next command or the watchdog. Raises CommandError."""
        values = np.asarray(velocity, dtype=np.float64)
        if values.shape != self._setpoint.shape:
            raise CommandError(
                f'{values.size} velocities for {self._setpoint.size} joints: send one per joint'
            )
        if not np.all(np.isfinite(values)):
            raise CommandError(f'velocity {values.tolist()} is not finite')
        self._velocity, self._velocity_time = values, now
        self._trajectory = None

    def command_trajectory(
        self, trajectory: Trajectory, start: float, position: Array, now: float
    ) -> None:
        """Follow `trajectory` from `start` on, leaving `position` now. Raises CommandError."""
        if trajectory.positions.shape[1:] != self._setpoint.shape:
            raise CommandError(
                f'{trajectory.positions.shape[1]} positions for {self._setpoint.size} joints'
            )
        if start + trajectory.times[-1] < now:
            late = now - start - float(trajectory.times[-1])
            raise CommandError(f'the trajectory ended {late:.3f} s ago: check its stamp')
        if start + trajectory.times[0] > now:
            # joint_trajectory_controller too moves from where the robot is to the first point.
            trajectory = Trajectory(
                np.concatenate([[0.0], trajectory.times + start - now]),
                np.vstack([position, trajectory.positions]),
                _prepend(self._setpoint, trajectory.velocities),
                _prepend(np.zeros_like(self._setpoint), trajectory.accelerations),
            )
            start = now
        self._trajectory, self._start = trajectory, start

    def step(self, position: Array, now: float, duration: float) -> Array:
        """Return the setpoint for the next `duration` seconds, with the joints at `position`."""
        limits = self._limits
        if self._trajectory is not None:
            target, feedforward = self._trajectory.sample(now + duration - self._start)
            target = np.clip(target, limits.lower, limits.upper)
            wanted = feedforward + _POSITION_GAIN * (target - position)
        elif now - self._velocity_time <= WATCHDOG:
            wanted = self._velocity
        else:
            wanted = np.zeros_like(self._setpoint)
        wanted = np.clip(wanted, -limits.velocity, limits.velocity)
        change = ACCELERATION * duration
        setpoint = np.clip(wanted, self._setpoint - change, self._setpoint + change)
        # v = sqrt(2 a d): the fastest approach from which the ramp still stops before the joint's
        # end.
        ahead = np.abs(self._setpoint) * (duration + _REACTION)
        above = np.maximum(limits.upper - _MARGIN - position - ahead, 0.0)
        below = np.maximum(position - limits.lower - _MARGIN - ahead, 0.0)
        ceiling = np.sqrt(2.0 * ACCELERATION * above)
        floor = -np.sqrt(2.0 * ACCELERATION * below)
        self._setpoint = np.clip(setpoint, floor, ceiling)
        return self._setpoint


def _prepend(first: Array, rest: Array | None) -> Array | None:
    return None if rest is None else np.vstack([first, rest])
