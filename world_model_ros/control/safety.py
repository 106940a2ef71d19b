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
"""The safety controller: from proposals that may be late or wrong to setpoints that never are.

At every tick it stands on one rung of the degradation ladder, and can say why:

    TRACK       the newest proposal's observation is at most ``late_after`` old: follow it
    FINISH      the next proposal is late: follow the rest of the last one for ``finish_duration``
    DECELERATE  nothing fit to follow: brake at the acceleration limit
    HOLD        at rest, until a proposal arrives that is fit to follow

The rung depends on the age of the observation behind the plan, not on when messages arrived, so the
time from the last thing seen to standstill is bounded by

    late_after + finish_duration + max(velocity / acceleration) + one control period

whatever dies. A robot that begins to brake forgets its plan: leftovers never play after a pause.

No clock is read in here; ``now`` and stamps are nanoseconds of one clock, and a jump of that clock
is noticed as such.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from world_model_ros import payload
from world_model_ros.control.limits import Limits, Vector
from world_model_ros.control.motion import Motion, advance, follow, toward
from world_model_ros.control.proposal import (
    FUTURE_TOLERANCE,
    OTHER_CLOCK,
    Chunk,
    Contract,
    Proposal,
    Reason,
    Refusal,
    check,
    mismatch,
    seconds,
)
from world_model_ros.monitor import Counters, Level

# A tick this much later than the one before is no jitter: the clock jumped or the process slept.
LONGEST_GAP = 0.5  # s
# A period may be this many times the nominal one before setpoints lag behind the clock.
STRETCH = 2.0
# Settling time of position tracking in control periods.
SETTLING = 5.0
# A robot this far outside its limits is not driven; nearer is the noise of an encoder at a stop.
OUTSIDE_TOLERANCE = 0.05  # rad


class Rung(IntEnum):
    """Rungs of the ladder, best first, numbered as ``ControllerState`` numbers them."""

    TRACK = 0
    FINISH = 1
    DECELERATE = 2
    HOLD = 3


@dataclass(frozen=True)
class Settings:
    """Timing and tolerances; durations in s.

    ``late_after``: age of an observation from which on its plan counts as late.
    ``finish_duration``: how long the rest of a late plan is followed.
    ``joint_state_timeout``: age from which on a joint state says nothing about the robot.
    ``following_tolerance``: distance in rad between setpoint and robot that means it was pushed.
    ``closes_position_loop``: whether the robot is sent positions and holds them itself; otherwise
    it is sent velocities, and the setpoint's position follows the robot.
    """

    period: float = 0.01
    late_after: float = 0.25
    finish_duration: float = 0.05
    joint_state_timeout: float = 0.15
    following_tolerance: float = 0.25
    closes_position_loop: bool = False


@dataclass(frozen=True)
class Cause:
    """What put the controller on its rung: a ``code`` that stays, and a text for a person."""

    code: str
    level: Level
    text: str


@dataclass(frozen=True, eq=False)
class Setpoint:
    """What is sent at one tick.

    ``velocity`` [J] in rad/s; ``position`` [J] in rad, None until the robot's position is known.
    ``plan_id`` and ``observation_stamp`` [ns] are empty and 0 when no plan is followed.
    """

    position: Vector | None
    velocity: Vector
    rung: Rung
    cause: Cause
    plan_id: str = ''
    observation_stamp: int = 0


class SafetyController:
    """Checks proposals, walks the ladder and moves the setpoint. For one thread.

    ``accepted`` and ``refused`` count proposals since :meth:`enable`, ``joint_states_refused``
    counts joint states since construction, both by reason.
    """

    def __init__(self, limits: Limits, settings: Settings) -> None:
        self.limits = limits
        self.settings = settings
        self.accepted = 0
        self.refused = Counters()
        self.joint_states_refused = Counters(
            'too_many', 'missing', 'repeated', 'shape', 'not_finite', 'future', 'other_clock',
            'out_of_order')
        self._enabled = False
        self._contract: Contract | None = None
        self._mismatch = ''
        self._measured: Vector | None = None
        self._measured_stamp = 0
        self._motion: Motion | None = None
        self._ticked: int | None = None
        self._chunk: Chunk | None = None
        self._newest: tuple[int, str] | None = None  # stamp and id of the last accepted proposal
        self._clock_note = ''
        self._refusal = ''  # of the newest proposal; empty if it was accepted
        self._idle = _WAITING  # why there is no chunk

    @property
    def standing(self) -> bool:
        """Whether the setpoint is at rest."""
        return self._motion is None or not np.any(self._motion.velocity)

    @property
    def refused_last(self) -> str:
        """Why the newest proposal was refused; empty if it was not."""
        return self._refusal

    def enable(self) -> None:
        """Begin at the measured position, with nothing left of earlier plans."""
        self._enabled = True
        self.accepted = 0
        self.refused = Counters(*(reason.value for reason in Reason))
        self._refusal = ''
        if self.standing:  # otherwise it is still braking, and goes on from there
            self._motion = None
        self._forget(_WAITING)
        self._newest = None

    def disable(self) -> None:
        """Brake and hold; proposals are refused until :meth:`enable`."""
        self._enabled = False

    def announce(self, contract: Contract) -> str:
        """Take the action contract of the model that runs; return why it does not fit, or ''.

        Another model gives other meaning to numbers: the plan of the one before is forgotten.
        """
        if self._contract is None or contract.digest != self._contract.digest:
            self._forget(_WAITING)
        self._contract = contract
        self._mismatch = mismatch(contract, self.limits.joints)
        return self._mismatch

    def observe(
        self,
        stamp: int,
        names: Sequence[str],
        position: Sequence[float],
        velocity: Sequence[float],
        now: int,
    ) -> str:
        """Take a joint state; return why it is refused, or ''.

        ``names`` may be in any order and hold more joints than are controlled. ``position`` in rad
        has one number per name; ``velocity`` in rad/s as well, or none. When a state is refused the
        last good one stands, and grows old. ``stamp`` and ``now`` in ns.
        """
        reason, text = self._check_state(stamp, names, position, velocity, now)
        if reason:
            self.joint_states_refused.add(reason)
            return text
        self._measured = np.array([position[names.index(joint)] for joint in self.limits.joints])
        self._measured_stamp = stamp
        return ''

    def accept(self, proposal: Proposal, now: int) -> Refusal | None:
        """Take a proposal at ``now`` [ns], or return why it is refused."""
        judged = self._judge(proposal, now)
        if isinstance(judged, Refusal):
            self.refused.add(judged.reason.value)
            self._refusal = judged.text
            if self._chunk is None:
                self._idle = Cause(
                    f'refused_{judged.reason.value}',
                    Level.WARN,
                    f'the newest proposal was refused: {judged.text}',
                )
            return judged
        self.accepted += 1
        self._refusal = ''
        self._clock_note = ''
        self._idle = _WAITING
        self._chunk = judged
        self._newest = (judged.stamp, judged.plan_id)
        return None

    def step(self, now: int) -> Setpoint:
        """Return the setpoint for ``now`` [ns]; to be called once per control period."""
        dt = self._elapsed(now)
        rung, cause = self._climb(now)
        if rung >= Rung.DECELERATE:
            self._forget(cause if cause.code in _LATENESS else self._idle)
        self._move(now, dt)
        if self._motion is None:
            return Setpoint(None, np.zeros(len(self.limits.joints)), Rung.HOLD, cause)
        position, velocity = self._motion.position, self._motion.velocity
        if self._chunk is None:
            return Setpoint(position, velocity, Rung.HOLD if self.standing else rung, cause)
        return Setpoint(position, velocity, rung, cause, self._chunk.plan_id, self._chunk.stamp)

    def _climb(self, now: int) -> tuple[Rung, Cause]:
        """Return the best rung that is safe at ``now``, DECELERATE standing for HOLD as well."""
        obstacle = self._obstacle(now)
        if obstacle is not None:
            return Rung.DECELERATE, obstacle
        if self._chunk is None:
            return Rung.DECELERATE, self._idle
        late, finish = self.settings.late_after, self.settings.finish_duration
        age = seconds(now - self._chunk.stamp)
        why = f' (the newest one was refused: {self._refusal})' if self._refusal else ''
        if now >= self._chunk.end:
            text = f'the plan ended and no other came{why}: see the diagnostics of world_model'
            return Rung.DECELERATE, Cause('plan_ended', Level.WARN, text)
        if age > late + finish:
            text = (
                f'proposals stopped{why}: the last one shows the world {late + finish:.2f} s ago; '
                'see whether world_model runs, has a goal, and what its diagnostics say'
            )
            return Rung.DECELERATE, Cause('proposals_stopped', Level.WARN, text)
        if age > late:
            text = f'no new proposal{why} and the last observation is older than {late:.2f} s'
            return Rung.FINISH, Cause('late', Level.WARN, text)
        return Rung.TRACK, Cause('tracking', Level.OK, 'following the newest proposal')

    def _obstacle(self, now: int) -> Cause | None:
        """Return what forbids to move whatever is proposed, or None."""
        if not self._enabled:
            return Cause('deactivated', Level.OK, 'the controller is not active')
        blind = self._blindness(now)
        if blind is not None:
            return blind
        joint = self._pushed()
        if joint:
            return Cause(
                'pushed',
                Level.WARN,
                f'{joint} is over {self.settings.following_tolerance:g} rad from its setpoint: '
                'pushed, blocked, or its drive does not listen; once at rest it goes on from there',
            )
        if self._contract is None:
            return Cause('no_model', Level.WARN, 'no model is announced: activate world_model')
        if self._mismatch:
            return Cause('mismatch', Level.ERROR, self._mismatch)
        return None

    def _blindness(self, now: int) -> Cause | None:
        """Return why the robot's position is not known or not usable, or None."""
        if self._measured is None:
            if self._clock_note:
                return Cause('clock_jump', Level.WARN, self._clock_note)
            return Cause(
                'no_joint_state',
                Level.WARN,
                'no joint state yet: see whether the robot publishes joint_states for '
                + ' and '.join(self.limits.joints),
            )
        timeout = self.settings.joint_state_timeout
        if seconds(now - self._measured_stamp) > timeout:
            return Cause(
                'stale_joint_state',
                Level.ERROR,
                f'the last good joint state is older than {timeout:g} s: '
                "check the robot's driver, its clock, and the counts of refused joint states",
            )
        excess = np.maximum(
            self.limits.lower - self._measured, self._measured - self.limits.upper
        )
        if np.max(excess) > OUTSIDE_TOLERANCE:
            joint = self.limits.joints[int(np.argmax(excess))]
            return Cause(
                'outside_limits',
                Level.ERROR,
                f'{joint} is outside its position limits by more than {OUTSIDE_TOLERANCE:g} rad: '
                'move it back by hand or with another controller, or correct the limits',
            )
        return None

    def _pushed(self) -> str:
        """Return the joint that is furthest from its setpoint beyond the tolerance, or ''."""
        if self._motion is None or self._measured is None:
            return ''
        error = np.abs(self._measured - self._motion.position)
        if np.max(error) <= self.settings.following_tolerance:
            return ''
        return self.limits.joints[int(np.argmax(error))]

    def _judge(self, proposal: Proposal, now: int) -> Chunk | Refusal:
        obstacle = self._obstacle(now)
        if self._contract is None or obstacle is not None:
            code = obstacle.code if obstacle else ''
            reason = Reason.NO_MODEL if code in ('no_model', 'mismatch') else Reason.NOT_READY
            return Refusal(reason, obstacle.text if obstacle else '')
        latest = self.settings.late_after + self.settings.finish_duration
        judged = check(proposal, self._contract, self.limits, now, latest)
        if isinstance(judged, Refusal) or self._newest is None:
            return judged
        stamp, plan_id = self._newest
        if judged.stamp < stamp or (judged.stamp == stamp and judged.plan_id == plan_id):
            return Refusal(
                Reason.OUT_OF_ORDER,
                'its observation is not newer than that of the last accepted proposal: '
                'let one world_model propose at a time',
            )
        return judged

    def _check_state(
        self,
        stamp: int,
        names: Sequence[str],
        position: Sequence[float],
        velocity: Sequence[float],
        now: int,
    ) -> tuple[str, str]:
        joints = self.limits.joints
        if len(names) > payload.JOINTS:
            return 'too_many', f'{len(names)} joints: {payload.JOINTS} are the most'
        missing = [joint for joint in joints if joint not in names]
        if missing:
            return 'missing', f'joint {missing[0]} is missing'
        repeated = [joint for joint in joints if names.count(joint) > 1]
        if repeated:
            return 'repeated', f'joint {repeated[0]} is named twice'
        if len(position) != len(names) or len(velocity) not in (0, len(names)):
            text = f'{len(names)} names, {len(position)} positions, {len(velocity)} velocities'
            return 'shape', text
        chosen = [names.index(joint) for joint in joints]
        numbers = [position[index] for index in chosen]
        numbers += [velocity[index] for index in chosen] if len(velocity) else []
        if not np.all(np.isfinite(numbers)):
            return 'not_finite', 'a position or velocity is NaN or infinite: check the encoders'
        age = seconds(now - stamp)
        if abs(age) > OTHER_CLOCK:
            text = f'its stamp is {age:.1f} s old: give all nodes the same use_sim_time and clock'
            return 'other_clock', text
        if age < -FUTURE_TOLERANCE:
            return 'future', f'its stamp is {-age:.3f} s in the future: synchronise the clocks'
        if self._measured is not None and stamp < self._measured_stamp:
            return 'out_of_order', 'it is older than the one before'
        return '', ''

    def _elapsed(self, now: int) -> float:
        """Return the seconds since the last tick, as far as motion may use them."""
        last, self._ticked = self._ticked, now
        period = self.settings.period
        if last is None:
            return period
        gap = seconds(now - last)
        if 0.0 <= gap <= LONGEST_GAP:
            return min(gap, STRETCH * period)
        # Stamps from before can not be compared with those after: begin anew.
        direction = 'back' if gap < 0.0 else 'ahead, or this process stood still,'
        self._clock_note = (
            f'the clock jumped {direction} by {abs(gap):.3f} s: plans and joint states from before '
            'are dropped; waiting for new ones'
        )
        self._forget(Cause('clock_jump', Level.WARN, self._clock_note))
        self._newest = None
        self._measured = None
        return period

    def _forget(self, cause: Cause) -> None:
        self._chunk = None
        self._idle = cause

    def _move(self, now: int, dt: float) -> None:
        """Move the setpoint by one period toward what the chunk wants, or toward rest."""
        settings, limits = self.settings, self.limits
        seen = self._blindness(now) is None
        if seen and self._measured is not None and (
            self._motion is None or (self.standing and self._pushed())
        ):
            # The only place where the setpoint's position may jump: at rest, to where the robot is.
            inside = np.clip(self._measured, limits.lower, limits.upper)
            self._motion = Motion(inside, np.zeros(len(inside)))
        if self._motion is None:
            return
        longest = STRETCH * settings.period
        measured = self._measured if self._measured is not None else self._motion.position
        if seen and not settings.closes_position_loop:
            self._motion = follow(self._motion, measured, limits, dt, longest)
        self._motion = advance(self._motion, self._wanted(now), measured, limits, dt, longest)

    def _wanted(self, now: int) -> Vector:
        """Return the velocity [J] that the chunk asks for at ``now``; zero without a chunk."""
        if self._chunk is None or self._motion is None:
            return np.zeros(len(self.limits.joints))
        wanted = self._chunk.velocity(now)
        if self._chunk.is_velocity:
            return wanted
        settling = SETTLING * self.settings.period
        goal = self._chunk.position(now)
        return wanted + toward(self._motion.position, goal, self.limits, settling)


_WAITING = Cause('waiting', Level.OK, 'waiting for a proposal')
_LATENESS = ('plan_ended', 'proposals_stopped')
