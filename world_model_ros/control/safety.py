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
"""The controller without ROS: from what is known to the setpoint of this tick.

At every tick it stands on one rung of the degradation ladder, and can say why:

    TRACK       the newest proposal's observation is at most ``late_after`` old: follow it
    FINISH      the next proposal is late: follow the rest of the last one for ``finish_duration``
    DECELERATE  nothing fit to follow: brake at the acceleration limit
    HOLD        at rest, until a proposal arrives that is fit to follow

The rung depends on the age of the observation behind the plan, not on when messages arrived, so the
time from the last thing seen to standstill is bounded by

    late_after + finish_duration + max(velocity / acceleration) + one control period

whatever dies but this process. A robot that begins to brake forgets its plan: leftovers never play
after a pause.

No clock is read in here. ``now`` and stamps are nanoseconds of the ROS clock, ``steady`` those of a
clock that only runs forward; see :mod:`~world_model_ros.control.clock`.
"""

from collections.abc import Sequence

import numpy as np

from world_model_ros.control.clock import ControlClock
from world_model_ros.control.drive import Drive
from world_model_ros.control.heartbeat import ModelPulse
from world_model_ros.control.ladder import Cause, Rung, Setpoint, Settings
from world_model_ros.control.limits import Limits
from world_model_ros.control.proposal import (
    Chunk,
    Contract,
    Proposal,
    Reason,
    Refusal,
    check,
    mismatch,
    seconds,
)
from world_model_ros.control.robot import RobotState
from world_model_ros.control.stop import EmergencyStop
from world_model_ros.monitor import Activity, Counters, Level


class SafetyController:
    """Checks proposals and walks the ladder. For one thread.

    ``accepted`` and ``refused`` count proposals since :meth:`enable`. ``robot`` and ``pulse`` are
    what is known of the robot and of the model; ``emergency`` outlives this object. ``breaks``
    counts jumps and pauses of the clock, and ``last_break`` says what the last one was.

    For twists, ``joints`` are those of the robot whose state shows that it is alive, and ``frame``
    the frame that the twists must be in.
    """

    def __init__(
        self,
        limits: Limits,
        settings: Settings,
        emergency: EmergencyStop | None = None,
        joints: Sequence[str] = (),
        frame: str = '',
    ) -> None:
        self.limits = limits
        self.settings = settings
        self.emergency = emergency or EmergencyStop()
        self.robot = RobotState(limits, joints if limits.twist else limits.names, settings)
        self.pulse = ModelPulse()
        self.accepted = 0
        self.refused = Counters()
        self.contract: Contract | None = None
        self.breaks = 0
        self.last_break = ''
        self._clock = ControlClock(settings)
        self._frame = frame
        self._steady = 0
        self._clock_stands: Cause | None = None  # why that forbids to move, if it does
        self._enabled = False
        self._mismatch = ''
        self._drive = Drive(limits, settings, self.robot)
        self._turning = False  # whether it brakes in a frame that the announced model does not use
        self._listeners: int | None = None  # to the commands; None: not told
        self._rivals: Cause | None = None  # others that propose
        self._intruders: Cause | None = None  # others that command
        self._goals = self.emergency.goals
        self._chunk: Chunk | None = None
        self._newest: tuple[int, str] | None = None  # stamp and id of the last accepted proposal
        self._since = 0  # observations from before are leftovers
        self._break: Cause | None = None  # what voided all that was known, until a plan comes
        self._refusal = ''  # of the newest proposal; empty if it was accepted
        self._idle = _WAITING  # why there is no chunk

    @property
    def _digest(self) -> str:
        return self.contract.digest if self.contract is not None else ''

    @property
    def standing(self) -> bool:
        """Whether the setpoint is at rest."""
        return self._drive.standing

    @property
    def bound(self) -> float:
        """The longest time from the last observation to standstill when proposals stop [s]."""
        settings = self.settings
        return (
            settings.late_after + settings.finish_duration + self.limits.stopping_time()
            + settings.period
        )

    def enable(self, now: int) -> None:
        """Begin at the measured position, with nothing left of earlier plans.

        Goals of before a stop may be pursued again, unless it still lasts: a reset moves nothing.
        """
        self._enabled = True
        self.accepted = 0
        self.refused = Counters(*(reason.value for reason in Reason))
        self._refusal = ''
        self._drive.begin()
        if not self.emergency.latched:
            self._goals.free()
        self._begin_anew(now, None)

    def disable(self) -> None:
        """Brake and hold; proposals are refused until :meth:`enable`."""
        self._enabled = False

    def reset(self, reason: str, now: int) -> str:
        """Open the emergency stop; return why not and what to do, or ''.

        Nothing moves by it: only a plan from an observation after ``now`` [ns] is followed, and
        none for a goal of before a stop, until :meth:`enable`.
        """
        if not reason.strip():
            return 'give a reason: who resets it, and why it is safe'
        problem = self.robot.problem(now) or self._unfollowed()
        if problem is not None:
            return f'the robot is not seen: {problem.text}'
        if not self.standing:
            return 'the robot is still braking: call again when it stands'
        if np.any(self.robot.velocity):
            return 'the robot moves, though its setpoint is at rest: call again when it stands'
        self.emergency.reset()
        self._drive.begin_here()
        self._begin_anew(now, None)
        return ''

    def note_listeners(self, count: int) -> None:
        """Take how many listen to the commands: without any, nothing is followed.

        A drive that begins to listen could not have answered before: DDS may match it to a
        restarted controller later than the model.
        """
        if count > (self._listeners or 0):
            self._drive.excuse()
        self._listeners = count

    def note_rivals(self, proposing: str, commanding: str) -> None:
        """Take who else proposes, and who else commands the robot, as texts that may be empty.

        With two who propose, no motion begins. With two who command, none goes on.
        """
        self._rivals = Cause('rival_proposals', Level.WARN, proposing) if proposing else None
        self._intruders = Cause('rival_commands', Level.ERROR, commanding) if commanding else None

    def hear(self, digest: str, activity: int, text: str, now: int, steady: int) -> str:
        """Take a heartbeat at ``now`` and ``steady`` [ns]; return why it is refused, or ''.

        Another model's than the announced one's says nothing. A model whose goal has ended ends its
        plan: who cancels a goal expects the robot to stop at once.
        """
        if self.contract is not None and digest != self.contract.digest:
            self.pulse.refused.add('digest')
            return ''
        before = self.pulse.activity
        problem = self.pulse.hear(activity, text, steady)
        if not problem and activity == Activity.IDLE and before not in (None, Activity.IDLE):
            self._begin_anew(now, None)  # what is on its way for that goal comes too late
        return problem

    def announce(self, contract: Contract) -> str:
        """Take the action contract of the model that runs; return why it does not fit, or ''.

        Another model gives other meaning to numbers: the plan of the one before is forgotten.
        """
        if self.contract is None or contract.digest != self.contract.digest:
            self._forget(_WAITING)
        if self.contract is not None and contract.frame != self.contract.frame:
            # Numbers of one frame must not run on into those of another. Joints have no frame, and
            # all kinds of actions are velocities of the same joints or axes by now.
            self._turning = not self.standing
        self.contract = contract
        self._mismatch = mismatch(contract, self.limits, self._frame)
        return self._mismatch

    def observe(
        self,
        stamp: int,
        names: Sequence[str],
        position: Sequence[float],
        velocity: Sequence[float],
        now: int,
    ) -> str:
        """Take a joint state (see :meth:`RobotState.observe`); return why it is refused, or ''."""
        before = self.robot.position
        problem = self.robot.observe(stamp, names, position, velocity, now)
        if not problem and self.robot.position is not before:  # not of other joints alone
            self._drive.note_answer()
        return problem

    def accept(self, proposal: Proposal, now: int) -> Refusal | None:
        """Take a proposal at ``now`` [ns], or return why it is refused."""
        if self.emergency.latched and proposal.model_digest == self._digest:
            self._goals.hold(proposal.goal_id)
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
        self._break = None
        self._idle = _WAITING
        self._chunk = judged
        self._newest = (judged.stamp, judged.plan_id)
        self._goals.pursue(proposal.goal_id)
        return None

    def step(self, now: int, steady: int) -> Setpoint:
        """Return the setpoint for ``now`` [ns]; to be called once per control period."""
        tick = self._clock.tick(now, steady)
        self._steady, self._clock_stands = steady, tick.standing
        if tick.break_ is not None:
            if tick.break_.of_clock:
                self.breaks += 1
                self.last_break = tick.break_.cause.text
            if tick.break_.forget:
                self.robot.forget()
            self._begin_anew(now, tick.break_.cause)
        stalled = self._drive.catch_up(now, tick.late)
        if stalled is not None:
            self._forget(stalled)
        rung, cause = self._climb(now)
        if rung >= Rung.DECELERATE:
            self._forget(cause if cause.code in _LATENESS else self._idle)
        self._drive.move(now, tick, self._chunk, seen=self._blindness(now) is None)
        self._turning = self._turning and not self.standing
        due = self._drive.dispatch(
            now, following=self._chunk is not None, clock=tick.standing is None)
        position, velocity = self._drive.setpoint
        if self._chunk is None:
            rung = Rung.HOLD if self.standing else rung
            return Setpoint(position, velocity, rung, cause, due=due, within=self._drive.within)
        return Setpoint(
            position, velocity, rung, cause, self._chunk.plan_id, self._chunk.stamp, due,
            self._drive.within)

    def note_unsent(self) -> None:
        """Take note that a setpoint was computed, and not sent."""
        self._drive.note_unsent()

    def brake(self, why: str) -> Setpoint:
        """Return the setpoint of a tick whose :meth:`step` failed: on the way to rest, no more."""
        cause = Cause('failed', Level.ERROR, f'the controller failed: {why}; please report it')
        self._forget(_WAITING)
        due = self._drive.brake()
        position, velocity = self._drive.setpoint
        rung = Rung.HOLD if self.standing else Rung.DECELERATE
        return Setpoint(position, velocity, rung, cause, due=due, within=self._drive.within)

    def _climb(self, now: int) -> tuple[Rung, Cause]:
        """Return the best rung that is safe at ``now``, DECELERATE standing for HOLD as well."""
        obstacle = self._obstacle(now)
        if obstacle is not None:
            return Rung.DECELERATE, obstacle
        if self._chunk is None:
            if self._idle.code.startswith('refused_') and self.pulse.silent(self._steady):
                return Rung.DECELERATE, self._idle  # proposals do come, if not from this model
            return Rung.DECELERATE, self._explained(self._idle)
        late, finish = self.settings.late_after, self.settings.finish_duration
        age = seconds(now - self._chunk.stamp)
        why = f' (the newest one was refused: {self._refusal})' if self._refusal else ''
        if now >= self._chunk.end:
            text = f'the plan ended and no other came{why}: see the diagnostics of world_model'
            return Rung.DECELERATE, self._explained(Cause('plan_ended', Level.WARN, text))
        if age > late + finish:
            text = (
                f'proposals stopped{why}: the last one shows the world {late + finish:.2f} s ago; '
                'see whether world_model runs, has a goal, and what its diagnostics say'
            )
            return Rung.DECELERATE, self._explained(Cause('proposals_stopped', Level.WARN, text))
        if age > late:
            text = f'no new proposal{why} and the last observation is older than {late:.2f} s'
            return Rung.FINISH, self._explained(Cause('late', Level.WARN, text))
        return Rung.TRACK, Cause('tracking', Level.OK, 'following the newest proposal')

    def _explained(self, cause: Cause) -> Cause:
        return self.pulse.explain(cause, self._steady)

    def _obstacle(self, now: int) -> Cause | None:
        """Return what forbids to move whatever is proposed, or None."""
        return (
            self.emergency.cause
            or (None if self._enabled else _DEACTIVATED)
            or self._clock_stands
            or self._blindness(now)
            or (_UNHEARD if self._listeners == 0 else None)
            or self._intruders
            or self._drive.unanswered()
            or self._misfit()
            or self.pulse.failure(self._steady)
            or self._drive.moving_untold()
            or self._unfollowed()
            or (self._rivals if self._chunk is None and self.standing else None)
        )

    def _blindness(self, now: int) -> Cause | None:
        """Return why the robot's position is not known or not usable, or None."""
        if self.robot.position is None and self._break is not None:
            return self._break
        return self.robot.problem(now)

    def _unfollowed(self) -> Cause | None:
        """Return why it is not known how the robot moves, or None; nobody asks that of a base."""
        return None if self.limits.twist or self.robot.followed else _UNFOLLOWED

    def _misfit(self) -> Cause | None:
        if self.contract is None:
            return Cause('no_model', Level.WARN, 'no model is announced: activate world_model')
        if self._mismatch:
            return Cause('mismatch', Level.ERROR, self._mismatch)
        return _TURNING if self._turning else None

    def _judge(self, proposal: Proposal, now: int) -> Chunk | Refusal:
        obstacle = self._obstacle(now)
        if self.contract is None or obstacle is not None:
            code = obstacle.code if obstacle else ''
            reason = Reason.NO_MODEL if code in ('no_model', 'mismatch') else Reason.NOT_READY
            return Refusal(reason, obstacle.text if obstacle else '')
        latest = self.settings.late_after + self.settings.finish_duration
        judged = check(proposal, self.contract, self.limits, now, latest)
        if isinstance(judged, Refusal):
            return judged
        if judged.stamp < self._since:
            return Refusal(
                Reason.LEFTOVER,
                'its observation is from before the controller was enabled or reset, the last goal '
                'ended, or its clock jumped: the next one will do',
            )
        if self._goals.holds(proposal.goal_id):
            return Refusal(Reason.OLD_GOAL, _OLD_GOAL)
        stamp, plan_id = self._newest or (judged.stamp - 1, '')
        if judged.stamp < stamp or (judged.stamp == stamp and judged.plan_id == plan_id):
            return Refusal(
                Reason.OUT_OF_ORDER,
                'its observation is not newer than that of the last accepted proposal: '
                'let one world_model propose at a time',
            )
        return judged

    def _begin_anew(self, now: int, why: Cause | None) -> None:
        """Let nothing from before ``now`` be followed."""
        self._break = why
        self._forget(why or _WAITING)
        self._newest = None
        self._since = now

    def _forget(self, cause: Cause) -> None:
        self._chunk = None
        self._idle = cause


_OLD_GOAL = (
    'the robot was stopped on the way to this goal: set the goal again; if world_model was '
    'restarted since the stop and the goal is the same, deactivate and activate the controller '
    'instead'
)
_WAITING = Cause('waiting', Level.OK, 'waiting for a proposal')
_UNHEARD = Cause(
    'no_listener', Level.WARN,
    "nobody listens to the commands: start the robot's controller (ros2_control), or remap the "
    'command topic to it',
)
_UNFOLLOWED = Cause(
    'settling', Level.OK, 'one joint state alone does not tell how the robot moves')
_TURNING = Cause(
    'other_frame', Level.OK,
    'the model that is announced now moves in another frame: it is followed once the robot stands',
)
_DEACTIVATED = Cause('deactivated', Level.OK, 'the controller is not active')
_LATENESS = ('plan_ended', 'proposals_stopped')
