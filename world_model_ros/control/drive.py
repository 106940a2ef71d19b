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
"""The setpoint and the robot that it moves: where it begins, how it goes on, what is sent of it.

Whom setpoints go to decides what is sent at rest. Velocities and twists go out at every tick, since
those who take them do not know by themselves that they should stand: a forward command controller
repeats its last command for ever, and a base only stops when commands end. A robot that closes the
loop on position holds by itself, and what it hears while no plan is followed could only be wrong:
a position from before it was switched off, or one that interrupts somebody else's motion. It is
sent setpoints from the first plan on until it has come to rest, and nothing then. After a pause of
this process or of the ROS clock it is sent none either, and is left to come to rest by its last
trajectory: it may have been moved by others meanwhile.

Where such a drive holds the robot is not known when a motion begins: where it was last sent to, or,
if it was off in between, where the robot is. With an arm that sags these are not the same, and a
command that takes the wrong one for granted is a step. So a motion begins with a lead from one of
them to the other (:mod:`~world_model_ros.control.lead`).
"""

import numpy as np

from world_model_ros.control.clock import LONGEST_GAP, Tick
from world_model_ros.control.ladder import Cause, Settings
from world_model_ros.control.lead import Lead, leading_time
from world_model_ros.control.limits import Limits, Vector
from world_model_ros.control.motion import Motion, advance, brake, follow, toward
from world_model_ros.control.proposal import NANOSECONDS, Chunk
from world_model_ros.control.robot import RobotState
from world_model_ros.monitor import Level

# Time in which the setpoint settles at a position that a plan asks for, in control periods.
SETTLING_PERIODS = 5.0
# A setpoint may travel this part of following_tolerance while the robot reports the very same
# position: reports that do not change at all are no measurements.
FROZEN_PART = 0.5
# A robot that is sent velocities is sent none for so long after activation while it is not seen: it
# may still move, and to brake it inside its limits takes to know how fast. Then it is zero.
UNSEEN = 0.25  # s
# Once a robot has heard nothing for so long, one that is sent velocities may stand by itself, and
# one that holds by itself may have been moved by others.
UNTOLD = 0.1  # s
# A robot this close to where it was when it was last sent anything has not been moved: it is the
# noise of its encoders, and how far it creeps after it seems to stand.
UNMOVED = 0.01  # rad or m


class Drive:
    """Moves the setpoint of ``robot``, and knows whether the robot answers. For one thread."""

    def __init__(self, limits: Limits, settings: Settings, robot: RobotState) -> None:
        self.limits = limits
        self.settings = settings
        self.robot = robot
        self._motion: Motion | None = None
        self._commanding = False  # whether a robot that holds by itself is on its way by our plans
        self._left: Cause | None = None  # why it comes to rest by its last trajectory, if it does
        self._sent: Vector | None = None  # position [J] that a robot was last sent
        self._found: Vector | None = None  # and where it was then
        self._lead: Lead | None = None  # to where a motion begins, until it is there
        self._unseen = 0.0  # s since activation without a robot that is seen
        self._travelled = np.zeros(len(limits.names))  # by the setpoint since the robot moved
        self._unanswered = np.zeros(len(limits.names))  # of that, until the last joint state

    @property
    def standing(self) -> bool:
        """Whether the setpoint is at rest."""
        return self._lead is None and (self._motion is None or not np.any(self._motion.velocity))

    @property
    def within(self) -> float:
        """In how many seconds from now the robot is to be at the setpoint."""
        period = self.settings.period
        return period if self._lead is None else max(self._lead.left, period)

    @property
    def setpoint(self) -> tuple[Vector | None, Vector]:
        """Position [J], None until it is known and for twists, and velocity [J]."""
        if self._motion is None:
            return None, np.zeros(len(self.limits.names))
        return None if self.limits.twist else self._motion.position, self._motion.velocity

    def begin(self) -> None:
        """Begin at activation: where the robot will be seen, or as it brakes still."""
        if self.standing:
            self._motion, self._commanding, self._left = None, False, None
        self._unseen = 0.0
        self.excuse()

    def begin_here(self) -> None:
        """Begin at rest where the robot is."""
        self._motion, self._commanding, self._left = self._anchor(), False, None
        self.excuse()

    def excuse(self) -> None:
        """Do not hold against the robot that it has not moved so far."""
        self._travelled[:] = self._unanswered[:] = 0.0

    def note_answer(self) -> None:
        """Take note of a new joint state."""
        changed = self.robot.changed
        # Which axis of a twist a joint moves is not known here: any of them will do.
        moved = np.any(changed) if self.limits.twist else changed
        self._travelled = np.where(moved, 0.0, self._travelled)
        self._unanswered = self._travelled.copy()

    def unanswered(self) -> Cause | None:
        """Return a cause if the robot does not do what it is told, or None."""
        return self._frozen() or (self._pushed() if self._left is None else None)

    def moving_untold(self) -> Cause | None:
        """Return why a robot that holds by itself moves though it is sent nothing, or None."""
        if self._commanding or not self.settings.closes_position_loop:
            return None
        return self._left or (_MOVED if np.any(self.robot.velocity) else None)

    def note_unsent(self) -> None:
        """Take note that a setpoint was not sent: where a drive holds the robot is not known."""
        self._sent = None

    def catch_up(self, now: int, late: float) -> Cause | None:
        """Put the setpoint where the robot is by now; return why it comes to rest, if it does.

        A robot that closes the loop on position has gone on along the last trajectory while this
        process was ``late`` [s], and that brakes. After a pause it is left to come to rest so. Any
        other one is looked at, or will stand.
        """
        before = self._motion
        if not self.settings.closes_position_loop:
            if late > (LONGEST_GAP if self.limits.twist else UNTOLD):
                self._motion, self._unseen = None, 0.0
                self.robot.forget_motion(now - round(late * NANOSECONDS))
            return None
        if before is None:
            return None
        self._lead_on(late)
        self._motion = brake(before, self.limits, late)
        self._travelled += self._motion.position - before.position
        if not self._commanding:
            return None
        if late > UNTOLD:
            self._leave(_stalled(late))
            self._sent = brake(before, self.limits, self.limits.stopping_time()).position
            return self._left
        if late > 0.0:
            self._sent = self._motion.position  # that is where the last one has led
        return _stalled(late) if np.any(before.velocity) and self.standing else None

    def move(self, now: int, tick: Tick, chunk: Chunk | None, *, seen: bool) -> None:
        """Move the setpoint by one period toward what ``chunk`` wants, or toward rest.

        ``seen``: whether it is known where the robot is.
        """
        settings, limits, dt = self.settings, self.limits, tick.dt
        if settings.closes_position_loop and (tick.late > 0.0 or tick.break_ is not None):
            # The rest has passed, see catch_up, or only the ROS clock says that it has.
            dt = min(dt, settings.period)
        if self._led(dt, on=chunk is not None):
            return
        if self._left is not None and self._motion is not None:
            self._motion = brake(self._motion, limits, dt)  # along what it was sent last
            if not seen or not self.standing or np.any(self.robot.velocity):
                return
            self._left = None
        if seen:
            self._take_up(following=chunk is not None)
        if self._motion is None or self._lead is not None:
            return
        measured = self._motion.position
        if not limits.twist and self.robot.position is not None:
            measured = self.robot.position
            if seen and not settings.closes_position_loop:
                self._motion = follow(self._motion, measured, limits, dt, settings.longest_period)
        self._motion = advance(
            self._motion, self._wanted(now, chunk), measured, limits, dt, settings.longest_period
        )
        self._travelled += self._motion.velocity * dt

    def dispatch(self, now: int, *, following: bool, clock: bool) -> bool:
        """Return whether the robot is sent this tick's setpoint, and take note of that.

        ``following``: whether it is that of a plan. ``clock``: whether the ROS clock goes.
        """
        if not self.settings.closes_position_loop:
            if self._motion is not None or self.limits.twist:
                return True
            self._unseen += self.settings.period
            return self._unseen > UNSEEN
        if not self._commanding:
            return False
        if not clock:
            # Nobody knows whether the robot's own clock stands as well. By its own clock it brakes.
            self._leave(_CLOCK_STOOD)
            self._sent = None
            return False
        if self._motion is not None:
            self._sent, self._found = self._motion.position, self.robot.position
        if self._lead is not None and self._lead.left < self.settings.period:
            return False  # it is about to arrive, and in less time than a message gives it
        if self.standing and not following and self._arrived(now):
            self._commanding = False  # this is the last one
        return True

    def brake(self) -> bool:
        """Brake for one period, knowing nothing; return whether the setpoint is due."""
        if not self._led(self.settings.period, on=False) and self._motion is not None:
            self._motion = advance(
                self._motion, np.zeros(len(self.limits.names)), self._motion.position, self.limits,
                self.settings.period, self.settings.longest_period,
            )
        return self._commanding or not self.settings.closes_position_loop

    def _frozen(self) -> Cause | None:
        """Return a cause if the setpoint has travelled and the robot reports no change at all."""
        tolerance = FROZEN_PART * self.settings.following_tolerance
        travelled = np.abs(self._unanswered)
        if np.max(travelled) <= tolerance:
            return None
        which = self.limits.names[int(np.argmax(travelled))]
        return Cause(
            'frozen_joint_states', Level.ERROR,
            f'{which} was driven by over {tolerance:g} rad or m, and the measured position has not '
            'changed at all: its driver repeats itself, or the drive is off or blocked; it goes on '
            'when the position changes, or after ~/reset or activation',
        )

    def _pushed(self) -> Cause | None:
        """Return a cause if a joint is further from its setpoint than the tolerance."""
        away = self._furthest()
        if not away:
            return None
        return Cause(
            'pushed', Level.WARN,
            f'{away} is over {self.settings.following_tolerance:g} rad from its setpoint: '
            'pushed, blocked, or its drive does not listen; once at rest it goes on from there',
        )

    def _furthest(self) -> str:
        """Return the joint that is furthest from its setpoint beyond the tolerance, or ''."""
        if self._motion is None or self.robot.position is None or self.limits.twist:
            return ''
        error = np.abs(self.robot.position - self._motion.position)
        if np.max(error) <= self.settings.following_tolerance:
            return ''
        return self.limits.names[int(np.argmax(error))]

    def _arrived(self, now: int) -> bool:
        """Return whether the robot stands at its setpoint, or nobody can tell."""
        problem = self.robot.problem(now)
        if problem is not None and problem.code in ('no_joint_state', 'stale_joint_state'):
            return True
        return not self._furthest() and not np.any(self.robot.velocity)

    def _take_up(self, *, following: bool) -> None:
        """Let the setpoint begin anew where the robot is seen, if it is not on its way.

        ``following``: whether a plan is to be followed from there.
        """
        if not self.settings.closes_position_loop:
            if self._motion is None:
                if self.limits.twist or self.robot.followed:
                    self._motion = self._anchor(moving=True)
            elif self.standing and self._furthest():
                self._motion = self._anchor()
        elif not self._commanding:
            self._motion = self._held()
            if following:
                self._commanding, self._lead = True, self._lead_to(self._motion.position)
        elif self.standing and self._furthest():
            self._motion = self._anchor()
            self._lead = self._lead_to(self._motion.position)

    def _anchor(self, *, moving: bool = False) -> Motion:
        """Return rest where the robot is: only here, and only at rest, may the position jump.

        With ``moving`` it is as fast as the robot, which somebody else has left in motion: a
        controller that died, say. It is braked from there.
        """
        limits = self.limits
        rest = np.zeros(len(limits.names))
        if limits.twist or self.robot.position is None:
            return Motion(rest, rest)
        speed = np.clip(self.robot.velocity, -limits.velocity, limits.velocity)
        return Motion(self.robot.position, speed if moving else rest)

    def _held(self) -> Motion:
        """Return rest where a robot that is sent nothing is held, as far as one can tell.

        If it has not moved since, that is where it was sent: to begin where it is would let an arm
        that sags, sag further with every motion. An arm that was pushed meanwhile does not sag.
        """
        anchor = self._anchor()
        if self._sent is None or self._found is None:
            return anchor
        moved = np.any(np.abs(anchor.position - self._found) > UNMOVED)
        pushed = np.any(
            np.abs(anchor.position - self._sent) > self.settings.following_tolerance)
        return anchor if moved or pushed else Motion(self._sent, anchor.velocity)

    def _lead_to(self, goal: Vector) -> Lead | None:
        """Return the way to ``goal`` [J] of a robot that is held where it is, or where it was sent.

        If it was sent nothing yet, that is somewhere within following_tolerance. None if it is
        there already.
        """
        start = self._anchor().position
        away = (
            np.full(len(self.limits.names), self.settings.following_tolerance)
            if self._sent is None else np.abs(start - self._sent))
        time = leading_time(away, self.limits)
        return Lead(start, goal, time) if time > self.settings.period else None

    def _led(self, dt: float, *, on: bool) -> bool:
        """Let the lead go on by ``dt`` [s]; return whether it, and nothing else, led the robot.

        Unless the robot is to be led ``on``, the setpoint goes on from where the lead has led a
        robot that was seen to follow it.
        """
        if self._lead is None:
            return False
        self._lead_on(dt)
        if on or self._lead is None or not self._lead.followed or not self._commanding:
            return True
        self._motion, self._lead = self._lead.motion, None
        return False

    def _lead_on(self, seconds: float) -> None:
        """Let the lead go on, if there is one; it may be at its end then."""
        if self._lead is None:
            return
        self._lead.go_on(seconds)
        if self.robot.position is not None:
            self._lead.watch(self.robot.position, self.robot.velocity)
        if not self._lead.left:
            self._lead = None

    def _leave(self, why: Cause) -> None:
        """Leave a robot that holds by itself to come to rest by its last trajectory."""
        self._commanding, self._left = False, why

    def _wanted(self, now: int, chunk: Chunk | None) -> Vector:
        """Return the velocity [J] that ``chunk`` asks for at ``now``; zero without one."""
        if chunk is None or self._motion is None:
            return np.zeros(len(self.limits.names))
        wanted = chunk.velocity(now)
        if chunk.is_velocity:
            return wanted
        settling = SETTLING_PERIODS * self.settings.period
        goal = chunk.position(now)
        return wanted + toward(self._motion.position, goal, self.limits, settling)


def _stalled(late: float) -> Cause:
    return Cause(
        'stalled', Level.WARN,
        f'this process stood still for {late:.3f} s: the robot comes to rest by its last '
        'trajectory; plans are followed once it stands',
    )


_MOVED = Cause(
    'moved_by_others', Level.WARN,
    'the robot moves, and not by this controller: another one, or a hand, moves it; plans are '
    'followed once it stands',
)
_CLOCK_STOOD = Cause(
    'clock_resumed', Level.WARN,
    'the clock goes on after a pause: the robot comes to rest by its last trajectory; plans are '
    'followed once it stands',
)
