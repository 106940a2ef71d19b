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

import numpy as np

from world_model_ros.control import (
    STRETCH,
    Contract,
    Kind,
    Limits,
    Proposal,
    Refusal,
    Rung,
    SafetyController,
    Setpoint,
    Settings,
)

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


class Bench:
    """A controller with a robot that follows its setpoints exactly, and two clocks to turn.

    It begins active, with a robot that has been seen for 0.2 s and a model that is announced. Plans
    are remembered when they are accepted, to see that none is followed after a pause.
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
        self.kind = contract.kind
        self.control = SafetyController(limits, settings, joints=JOINTS)
        self.robot = np.zeros(2)
        self.last: Setpoint | None = None
        self.plans = 0
        self.moving = True  # whether the controller is active and not stopped
        self.fit: set[str] = set()  # plans accepted since it last braked
        self.since = START  # observations from before are leftovers
        self.credit = 0.01
        self.control.enable(self.now)
        self.control.announce(contract)
        self.tick(20)

    def see(self) -> str:
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
            if see:
                self.see()
            setpoint = self.control.step(self.now, self.steady)
            self.judge(setpoint, real)
            self.last = setpoint
            if setpoint.position is not None:
                self.robot = setpoint.position
            elif self.limits.twist:
                self.robot = self.robot + setpoint.velocity * real / SECOND  # wheels
        assert self.last is not None
        return self.last

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
        was = before.velocity if before is not None else np.zeros(2)
        if setpoint.rung >= Rung.DECELERATE:
            assert np.all(np.abs(setpoint.velocity) <= np.abs(was) + ROUNDING), 'it only brakes'
        # A token bucket: velocity may change as long as the steady clock has granted, which it may
        # save up for what one tick may use at most, and not for longer.
        self.credit = min(self.credit + real / SECOND, STRETCH * 0.01)
        used = float(np.max(np.abs(setpoint.velocity - was) / limits.acceleration))
        assert used <= self.credit + ROUNDING
        dt, self.credit = self.credit, max(self.credit - used, 0.0)
        if setpoint.position is None:
            assert limits.twist or not np.any(setpoint.velocity)
            return
        assert np.all((limits.lower <= setpoint.position) & (setpoint.position <= limits.upper))
        if before is not None and before.position is not None and np.any(before.velocity):
            # At rest it may be anchored anew.
            moved = np.abs(setpoint.position - before.position)
            assert np.all(moved <= limits.velocity * dt + limits.acceleration * dt * dt + ROUNDING)

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
