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
"""Motion inside limits: the only arithmetic between a wish and a motor.

Per joint the setpoint is a position q [rad] and a velocity v [rad/s]. In every control period the
velocity moves toward the wanted one by at most a * dt, and the position follows it exactly:

    v' = v + clip(wanted - v, -a dt, a dt)                                                  (1)
    q' = q + (v + v') / 2 * dt                                                              (2)

(2) is the integral of the straight ramp from v to v'. So positions and velocities are continuous
whatever is wanted, chunk boundaries included, and |v'| stays inside the velocity limit when v and
the wanted velocity do.

A joint must be able to stop before its position limit. From v > 0 it needs

    D(v) = v^2 / (2 a) + v h / 2                                                            (3)

where the first term is the distance of constant braking and the second pays for braking in steps
of at most h. If q + D(v) <= upper holds, it holds again after a period of full braking: with
v' = v - a dt and dt <= h,

    q' + D(v') = q + D(v) - a dt h / 2 <= upper                                             (4)

and if v < a dt the joint stops within v dt / 2 <= D(v). Full braking is thus always a way out, and
any v' is safe that leaves it open: (v + v') / 2 dt + D(v') <= upper - q. Solved for v',

    v' <= -b + sqrt(b^2 + 2 a (upper - q - v dt / 2)),   b = a (dt + h) / 2                 (5)

which is the familiar v <= sqrt(2 a d), corrected for periods of finite length. The lower limit is
the same seen from the other side.

A joint that is outside its position limits already, as a gentle push or the noise of an encoder may
put it, is not moved inside at one stroke: it may only move inward, as fast as all the rest.
"""

from dataclasses import dataclass

import numpy as np

from world_model_ros.control.limits import Limits, Vector


@dataclass(frozen=True, eq=False)
class Motion:
    """Position [J] in rad and velocity [J] in rad/s of a setpoint."""

    position: Vector
    velocity: Vector


def advance(
    motion: Motion, wanted: Vector, measured: Vector, limits: Limits, dt: float, longest: float
) -> Motion:
    """Return the setpoint one period of ``dt`` seconds later, equations (1) to (5).

    ``wanted`` [J] rad/s may be any finite velocity. ``measured`` [J] rad is where the robot is:
    room to a limit counts from it, too, so that a robot pushed toward a limit brakes for the limit
    and not for its setpoint. ``longest`` is h, the longest period that may follow:
    0 <= dt <= longest.
    """
    q, v, a = motion.position, motion.velocity, limits.acceleration
    b = a * (dt + longest) / 2.0
    ahead = np.maximum(q, measured)
    behind = np.minimum(q, measured)
    # (5) toward each limit; without room left only the way back is open, hence the inner maximum.
    room_up = np.maximum(limits.upper - ahead - v * dt / 2.0, 0.0)
    room_down = np.maximum(behind - limits.lower + v * dt / 2.0, 0.0)
    fastest_up = -b + np.sqrt(b * b + 2.0 * a * room_up)
    fastest_down = -b + np.sqrt(b * b + 2.0 * a * room_down)
    target = np.clip(
        wanted,
        -np.minimum(fastest_down, limits.velocity),
        np.minimum(fastest_up, limits.velocity),
    )
    velocity = v + np.clip(target - v, -a * dt, a * dt)  # (1)
    position = q + (v + velocity) / 2.0 * dt  # (2)
    # Only rounding is left to clip: (4) keeps the rest inside.
    return Motion(
        _inward(position, q, limits), np.clip(velocity, -limits.velocity, limits.velocity))


def follow(
    motion: Motion, measured: Vector, limits: Limits, dt: float, longest: float
) -> Motion:
    """Pull the setpoint's position toward the measured one, by at most a dt^2 / 2.

    For robots that are commanded by velocity: nobody else closes the loop on position, so without
    this the setpoint would drift away from the robot. Together with (2) a position departs from
    uniform motion by at most a dt^2 in one period, which is what the acceleration limit allows; a
    larger step would be a jump. The pull never uses up the braking distance (3).
    """
    q, v, a = motion.position, motion.velocity, limits.acceleration
    pull = np.clip(measured - q, -a * dt * dt / 2.0, a * dt * dt / 2.0)
    distance = v * v / (2.0 * a) + np.abs(v) * longest / 2.0  # (3)
    highest = limits.upper - np.where(v > 0.0, distance, 0.0)
    lowest = limits.lower + np.where(v < 0.0, distance, 0.0)
    # max and min with q: where the braking distance is already used up, q must not jump out of it.
    position = np.clip(q + pull, np.minimum(lowest, q), np.maximum(highest, q))
    return Motion(position, v)


def toward(position: Vector, goal: Vector, limits: Limits, settling: float) -> Vector:
    """Return the velocity [J] rad/s that brings ``position`` to ``goal`` [J] rad without overshoot.

    v = -a T + sqrt(a^2 T^2 + 2 a |e|): the braking parabola far away, e / T close by, with the
    settling time T in seconds taking the place of an infinite gain at e = 0.
    """
    error = goal - position
    at = limits.acceleration * settling
    speed: Vector = np.sign(error) * (
        -at + np.sqrt(at * at + 2.0 * limits.acceleration * np.abs(error))
    )
    return speed


def brake(motion: Motion, limits: Limits, duration: float) -> Motion:
    """Return the setpoint after ``duration`` seconds of the way to rest of :func:`stopping_points`.

    Every joint brakes at its acceleration limit, or so much less that it stops on a whole
    millisecond.
    """
    q, v = motion.position, motion.velocity
    rests = _rests(motion, limits)
    time = np.minimum(duration, rests)
    braking = np.divide(v, rests, out=np.zeros_like(v), where=rests > 0.0)
    velocity = np.where(time >= rests, 0.0, v - braking * time)
    return Motion(_inward(q + (v - braking * time / 2.0) * time, q, limits), velocity)


def stopping_points(motion: Motion, limits: Limits, period: float) -> list[tuple[float, Motion]]:
    """Return the setpoint and the way to rest after it, as (seconds from now, setpoint) pairs.

    At least two points with strictly increasing times, as joint_trajectory_controller wants them.
    The setpoint itself is due one ``period`` from now. After it every joint brakes (:func:`brake`),
    and there is one point where each of them comes to rest. A cubic spline through these points is
    exactly that motion, so a robot that hears no more stops smoothly.
    """
    times = sorted({*_rests(motion, limits).tolist()} - {0.0}) or [period]
    return [(period, motion),
            *((period + time, brake(motion, limits, time)) for time in times)]


def _rests(motion: Motion, limits: Limits) -> Vector:
    """Return how long each joint [J] takes to brake to rest [s].

    Whole milliseconds: closer points would be one point to a controller of 1 kHz.
    """
    rests: Vector = np.ceil(1e3 * np.abs(motion.velocity) / limits.acceleration) / 1e3
    return rests


def _inward(position: Vector, before: Vector, limits: Limits) -> Vector:
    """Return ``position`` clipped to its limits, or to ``before`` where that is outside them."""
    return np.clip(
        position, np.minimum(limits.lower, before), np.maximum(limits.upper, before))
