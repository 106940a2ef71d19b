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
"""A bench for the controller without ROS: a robot, two clocks, and a judge of every setpoint."""

from itertools import pairwise

import numpy as np

from world_model_ros.control import (
    STRETCH,
    Contract,
    Kind,
    Limits,
    Motion,
    Proposal,
    Refusal,
    Rung,
    SafetyController,
    Setpoint,
    Settings,
    stopping_points,
)
from world_model_ros.control.limits import Vector

SECOND = 1_000_000_000
PERIOD = 10_000_000  # ns
START = 1_700_000_000 * SECOND
JOINTS = ('shoulder', 'elbow')
LIMITS = Limits(
    names=JOINTS,
    lower=np.array([-2.6, -0.5]),
    upper=np.array([2.6, 0.5]),
    velocity=np.array([1.5, 1.0]),
    acceleration=np.array([8.0, 6.0]),
)
TWIST = Limits(
    names=('linear.x', 'angular.z'),
    lower=np.full(2, -np.inf),
    upper=np.full(2, np.inf),
    velocity=np.array([1.5, 1.0]),
    acceleration=np.array([8.0, 6.0]),
    twist=True,
)
CONTRACT = Contract('digest', Kind.JOINT_VELOCITY, JOINTS, np.full(2, -2.0), np.full(2, 2.0))
SETTINGS = Settings()
ROUNDING = 1e-9


class Spline:
    """A robot behind joint_trajectory_controller with ``interpolate_from_desired_state``.

    It is where the cubic spline through the points of the last message has led by its own clock,
    also while it hears nothing; a new message is led to from there.
    """

    def __init__(self, position: Vector) -> None:
        self.time = 0.0  # s
        self.hold(position)

    def hold(self, position: Vector) -> None:
        """Stand at ``position`` [J], as after activation."""
        self._points = [(self.time, Motion(position, np.zeros_like(position)))]

    def state(self) -> Motion:
        """Return where it is now, and how fast it moves."""
        for (begin, a), (end, b) in pairwise(self._points):
            if begin <= self.time < end:
                length, part = end - begin, (self.time - begin) / (end - begin)
                start, finish = a.velocity * length, b.velocity * length
                way = b.position - a.position
                square, cube = 3.0 * way - 2.0 * start - finish, start + finish - 2.0 * way
                return Motion(
                    a.position + part * (start + part * (square + part * cube)),
                    (start + part * (2.0 * square + 3.0 * part * cube)) / length)
        return self._points[-1][1]

    def follow(self, points: list[tuple[float, Motion]]) -> tuple[Vector, Vector]:
        """Take a message; return speed [J] and acceleration [J], at most, toward its first point.

        It is the first that says whether a command fits: the robot's drive has to bring it about.
        """
        now = self.state()
        self._points = [
            (self.time, now), *((self.time + after, motion) for after, motion in points)]
        time, goal = points[0]
        way = 6.0 * (goal.position - now.position) / time**2
        accelerations = np.array([
            way - (4.0 * now.velocity + 2.0 * goal.velocity) / time,
            -way + (2.0 * now.velocity + 4.0 * goal.velocity) / time])
        # Where the acceleration is zero on the way, the speed has its other extreme.
        first, last = accelerations
        bends = first * last < 0.0
        part = np.divide(first, first - last, out=np.zeros_like(first), where=bends)
        extreme = now.velocity + first * part * time / 2.0
        speeds = np.abs([now.velocity, goal.velocity, extreme])
        return np.max(speeds, axis=0), np.max(np.abs(accelerations), axis=0)


class Bench:
    """A controller with a robot that follows its setpoints exactly, and two clocks to turn.

    It begins active, with a robot that has been seen for 0.2 s and a model that is announced. Plans
    are remembered when they are accepted, to see that none is followed after a pause. A robot that
    closes the loop on position is a :class:`Spline`; where a test assigns ``robot``, that is where
    it is held for one tick, or from then on by :meth:`place`.
    """

    def __init__(
        self,
        settings: Settings = SETTINGS,
        contract: Contract = CONTRACT,
        limits: Limits = LIMITS,
    ) -> None:
        self.now = START
        self.steady = SECOND
        self.limits = limits
        self.settings = settings
        self.kind = contract.kind
        self.control = SafetyController(limits, settings, joints=JOINTS)
        self.robot = self.placed = np.zeros(2)
        self.spline = Spline(self.robot) if settings.closes_position_loop else None
        self.sent = 0
        self.last: Setpoint | None = None
        self.plans = 0
        self.moving = True  # whether the controller is active and not stopped
        self.fit: set[str] = set()  # plans accepted since it last braked
        self.since = START  # observations from before are leftovers
        self.credit = 0.01
        self.control.enable(self.now)
        self.control.announce(contract)
        self.tick(20)

    def place(self, position: Vector) -> None:
        """Put the robot somewhere while whoever holds it is off; it stays there."""
        self.robot = self.placed = position
        if self.spline is not None:
            self.spline.hold(position)

    def see(self) -> str:
        self.seen = self.robot
        return self.control.observe(self.now, JOINTS, self.robot.tolist(), [], self.now)

    def tick(
        self, count: int = 1, see: bool = True, elapsed: int = PERIOD, steady: int | None = None
    ) -> Setpoint:
        """Let time pass and check everything that must hold between two setpoints.

        ``elapsed`` ns on the ROS clock, and as much or ``steady`` on the steady one.
        """
        for _ in range(count):
            real = max(elapsed, 0) if steady is None else steady
            self.now += elapsed
            self.steady += real
            if elapsed < 0 or elapsed - real > SECOND // 4:
                self.since = self.now  # stamps of another time mean nothing any more
            if self.spline is not None:
                # The robot's clock stands where a simulation is paused, and jumps with nobody.
                self.spline.time += (elapsed if 0 <= elapsed < real else real) / SECOND
                if self.robot is self.placed:
                    self.robot = self.spline.state().position
            if see:
                self.see()
            late = (real if elapsed < 0 else min(elapsed, real)) - PERIOD
            if self.spline is None and late > (0.5 if self.limits.twist else 0.1) * SECOND:
                self.last = None  # it may stand by now: it begins anew, with what is seen
            setpoint = self.control.step(self.now, self.steady)
            self.judge(setpoint, real)
            self.last = setpoint
            self.sent += setpoint.due
            if self.spline is not None:
                if setpoint.due and setpoint.position is not None:
                    self.command(self.spline, setpoint, elapsed == real, real)
                self.robot = self.placed = self.spline.state().position
            elif setpoint.position is not None:
                self.robot = setpoint.position
            elif self.limits.twist:
                self.robot = self.robot + setpoint.velocity * real / SECOND  # wheels
        assert self.last is not None
        return self.last

    def command(self, spline: Spline, setpoint: Setpoint, true: bool, real: int) -> None:
        """Send a trajectory, and judge what it asks of the robot if both clocks were ``true``."""
        assert setpoint.position is not None
        motion = Motion(setpoint.position, setpoint.velocity)
        before = spline.state()
        speed, acceleration = spline.follow(
            stopping_points(motion, self.limits, setpoint.within))
        if not true:
            return
        # A message that comes early is led to from the middle of the way to the one before.
        leeway = 1.0 if real >= PERIOD else 2.0
        assert np.all(speed <= self.limits.velocity * leeway + 1e-6), (speed, before)
        assert np.all(acceleration <= self.limits.acceleration * leeway + 1e-6), (
            acceleration, before)

    def judge(self, setpoint: Setpoint, real: int) -> None:
        limits, before = self.limits, self.last
        if setpoint.rung >= Rung.DECELERATE:
            assert not setpoint.plan_id
            self.fit.clear()
        else:
            assert setpoint.plan_id in self.fit, 'a leftover of a plan is followed'
            assert setpoint.observation_stamp >= self.since
            assert self.moving
        assert np.all(np.isfinite(setpoint.velocity))
        assert np.all(np.abs(setpoint.velocity) <= limits.velocity)
        assert setpoint.rung is not Rung.HOLD or not np.any(setpoint.velocity)
        was = np.zeros(2)
        if self.spline is not None and before is not None and before.within > 0.01:
            # It was being led to rest at the setpoint, and either goes on so, which it does as well
            # if it hears nothing, or is braked.
            was = self.spline.state().velocity * (setpoint.due and setpoint.within == 0.01)
        elif before is not None and (before.position is not None or limits.twist):
            was = before.velocity
        elif setpoint.position is not None:
            found = self.found()  # or less, if it was anchored at rest
            was = np.clip(setpoint.velocity, np.minimum(found, 0.0), np.maximum(found, 0.0))
        if setpoint.rung >= Rung.DECELERATE:
            assert np.all(np.abs(setpoint.velocity) <= np.abs(was) + ROUNDING), 'it only brakes'
        # A token bucket: velocity may change as long as the steady clock has granted, which it may
        # save up for what one tick may use at most, and not for longer.
        self.credit = min(self.credit + real / SECOND, STRETCH * 0.01)
        if self.spline is not None:  # its own way to rest goes on as long as it hears nothing
            self.credit = max(self.credit, real / SECOND)
        used = float(np.max(np.abs(setpoint.velocity - was) / limits.acceleration))
        assert used <= self.credit + ROUNDING
        dt, self.credit = self.credit, max(self.credit - used, 0.0)
        if setpoint.position is None:
            assert limits.twist or not np.any(setpoint.velocity)
            return
        # From outside its limits it may come back, no more.
        was_at = self.robot if before is None or before.position is None else before.position
        if not np.any(setpoint.velocity):
            was_at = setpoint.position  # anchored where the robot is
        assert np.all(setpoint.position >= np.minimum(limits.lower, was_at))
        assert np.all(setpoint.position <= np.maximum(limits.upper, was_at))
        if not setpoint.due:
            return
        if before is not None and before.position is not None and np.any(before.velocity):
            # At rest it may be anchored anew.
            moved = np.abs(setpoint.position - before.position)
            assert np.all(moved <= limits.velocity * dt + limits.acceleration * dt * dt + ROUNDING)

    def found(self) -> Vector:
        """Return the velocity in which the controller finds the robot at activation."""
        if self.limits.twist or self.spline is not None:
            return np.zeros(2)
        return np.clip(self.control.robot.velocity, -self.limits.velocity, self.limits.velocity)

    def proposal(self, rows: object, age: float = 0.1) -> Proposal:
        values = np.array(rows, np.float32)
        self.plans += 1
        return Proposal(
            stamp=self.now - round(age * SECOND),
            plan_id=f'plan{self.plans}',
            model_digest='digest',
            kind=self.kind,
            names=self.limits.names,
            step_duration=0.1,
            shape=values.shape,
            data=values.ravel(),
        )

    def accept(self, proposal: Proposal) -> Refusal | None:
        refusal = self.control.accept(proposal, self.now)
        if refusal is None:
            self.fit.add(proposal.plan_id)
        return refusal

    def propose(self, velocity: tuple[float, float] = (1.0, -0.5), age: float = 0.1) -> None:
        assert self.accept(self.proposal([velocity] * 16, age)) is None

    def run(self, seconds: float, velocity: tuple[float, float] = (1.0, -0.5)) -> Setpoint:
        """Track plans at 10 Hz for a while."""
        for _ in range(round(seconds * 10)):
            self.tick()
            self.propose(velocity)
            self.tick(9)
        assert self.last is not None
        return self.last
