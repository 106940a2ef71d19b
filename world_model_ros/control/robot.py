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
"""What is known of the robot: the last good joint state, and whether it can be believed.

Joint states come from a driver that can stop, repeat itself, or be two drivers at once. One that is
refused leaves the last good one standing, which grows old.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np

from world_model_ros.control.ladder import Cause, Settings
from world_model_ros.control.limits import Limits, Vector
from world_model_ros.control.proposal import FUTURE_TOLERANCE, OTHER_CLOCK, seconds
from world_model_ros.monitor import Counters, Level
from world_model_ros.payload import JOINTS, few

# A robot this far outside its limits is not driven; nearer is the noise of an encoder at a stop.
OUTSIDE_TOLERANCE = 0.05  # rad
# A joint jumps when it moves from one state to the next by more than JUMP_DISTANCE and JUMP_SPEED
# times its velocity limit: no motor does that. It is a push, a glitch, or another robot's state.
JUMP_DISTANCE = 0.05  # rad
JUMP_SPEED = 3.0
# After a jump, as after the very first state, the others must agree for this long. For as long back
# it is looked whether the robot moves.
AGREEMENT = 0.1  # s
# A joint that seems slower than this may as well stand, with a noisy encoder: 5 mrad in AGREEMENT.
STILL = 0.05  # rad/s
# One jump is a push. So many within MEMORY are publishers that contradict each other.
CONTRADICTION = 3
MEMORY = 1.0  # s


class RobotState:
    """The measured positions [J] of ``joints``, and what is wrong with them.

    ``joints`` are those of ``limits``, or for a twist any joints of the robot whose state shows
    that it is alive, and whose positions are not judged. ``refused`` counts by reason, ``others``
    the messages of other joints alone, such as those of a gripper's own driver.
    """

    def __init__(self, limits: Limits, joints: Sequence[str], settings: Settings) -> None:
        self.joints = tuple(joints)
        self.position: Vector | None = None
        self.changed = np.zeros(len(self.joints), dtype=bool)
        self.refused = Counters(
            'too_many', 'missing', 'repeated', 'shape', 'not_finite', 'future', 'other_clock',
            'out_of_order',
        )
        self.others = 0
        self._limits = limits
        # What stops within one period stops within the acceleration limit. A twist's are those of
        # its axes, and nobody knows which joint moves which.
        self._still = (
            np.full(len(self.joints), STILL) if limits.twist
            else np.maximum(limits.acceleration * settings.period, STILL))
        self._timeout = settings.joint_state_timeout
        self._stamp = 0
        self._history: deque[tuple[int, Vector]] = deque()  # stamps [ns] and positions [J]
        self._other_joints: Sequence[str] = ()
        self._settled = 0  # time [ns] from which on the states are believed
        self._jumps: deque[int] = deque(maxlen=CONTRADICTION)
        self._jumper = ''

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
        has one number per name; ``velocity`` in rad/s as well, or none. ``stamp`` and ``now`` in
        ns. ``changed`` [J] then says which joints moved since the state before, by however little.
        A state of none of the joints is not refused, but of no use: ``position`` stays the same
        object.
        """
        if 0 < len(names) <= JOINTS and not any(joint in names for joint in self.joints):
            self.others += 1
            self._other_joints = names
            return ''
        reason, text = self._check(stamp, names, position, velocity, now)
        if reason:
            self.refused.add(reason)
            return text
        measured = np.array([position[names.index(joint)] for joint in self.joints])
        if self.position is None:
            self.changed = np.ones(len(self.joints), dtype=bool)
            self._settled, self._jumper = stamp + round(AGREEMENT * 1e9), ''
        else:
            self.changed = measured != self.position
            self._note_jump(measured, self.position, stamp)
            if seconds(stamp - self._stamp) > self._timeout:
                self._history.clear()  # how it has come here, nobody saw
        self.position, self._stamp = measured, stamp
        self._remember()
        return ''

    def forget(self) -> None:
        """Drop what is known, since its stamps can not be compared with those to come."""
        self.position = None
        self._jumps.clear()
        self._history.clear()

    def forget_motion(self, until: int) -> None:
        """Drop how the robot moved until then [ns]: it no longer says how it moves."""
        while self._history and self._history[0][0] <= until:
            self._history.popleft()

    @property
    def followed(self) -> bool:
        """Whether states have come for long enough to tell how the robot moves."""
        return len(self._history) > 1

    @property
    def velocity(self) -> Vector:
        """How fast the joints move [J] in rad/s; zero for one that may as well stand.

        This is the slower one of their motion since the last state and over AGREEMENT: one noisy
        state is no motion, and a robot that has just stopped stands. What drivers report as
        velocity is not used: some report zeros, some in units of their own.
        """
        history = self._history
        if len(history) < 2:
            return np.zeros(len(self.joints))
        (first, start), (before, there), (last, here) = history[0], history[-2], history[-1]
        mean = (here - start) / seconds(last - first)
        latest = (here - there) / seconds(last - before)
        slower = np.where(np.abs(mean) < np.abs(latest), mean, latest)
        moves = (mean * latest > 0.0) & (np.abs(slower) > self._still)
        velocity: Vector = np.where(moves, slower, 0.0)
        return velocity

    def problem(self, now: int) -> Cause | None:
        """Return why the robot's position is not known or not usable at ``now`` [ns], or None."""
        if self.position is None:
            others = f', not only for {few(self._other_joints, 4)}' if self._other_joints else ''
            return Cause(
                'no_joint_state', Level.WARN,
                'no joint state yet: see whether the robot publishes joint_states for '
                + ' and '.join(self.joints) + others,
            )
        if seconds(now - self._stamp) > self._timeout:
            return Cause(
                'stale_joint_state', Level.ERROR,
                f'the last good joint state is older than {self._timeout:g} s: '
                "check the robot's driver, its clock, and the counts of refused joint states",
            )
        if len(self._jumps) == CONTRADICTION and seconds(now - self._jumps[0]) < MEMORY:
            return Cause(
                'contradiction', Level.ERROR,
                f'joint states contradict each other: {self._jumper} jumps to and fro faster than '
                'it can move; let one driver publish joint_states (ros2 topic info -v)',
            )
        if now < self._settled:
            if not self._jumper:
                return Cause('settling', Level.OK, 'joint states have only just begun to come')
            return Cause(
                'jumped', Level.WARN,
                f'{self._jumper} is suddenly elsewhere, faster than it can move: pushed, or '
                'somebody else publishes joint_states as well',
            )
        return self._outside()

    def _outside(self) -> Cause | None:
        if self._limits.twist or self.position is None:
            return None
        excess = np.maximum(self._limits.lower - self.position, self.position - self._limits.upper)
        if np.max(excess) <= OUTSIDE_TOLERANCE:
            return None
        joint = self.joints[int(np.argmax(excess))]
        return Cause(
            'outside_limits', Level.ERROR,
            f'{joint} is outside its position limits by more than {OUTSIDE_TOLERANCE:g} rad: '
            'move it back by hand or with another controller, or correct the limits',
        )

    def _remember(self) -> None:
        """Keep the newest state, and those before it for as long as :attr:`velocity` looks back."""
        history, stamp = self._history, self._stamp
        if self._jumps and self._jumps[-1] == stamp:  # a jump is no motion
            history.clear()
        if self.position is None:
            return
        if history and history[-1][0] == stamp:
            history.pop()
        history.append((stamp, self.position))
        while len(history) > 2 and seconds(stamp - history[1][0]) >= AGREEMENT:
            history.popleft()

    def _note_jump(self, measured: Vector, before: Vector, stamp: int) -> None:
        if self._limits.twist:  # a wheel has no limits here, and may count on past a turn
            return
        reach = JUMP_DISTANCE + JUMP_SPEED * self._limits.velocity * seconds(stamp - self._stamp)
        excess = np.abs(measured - before) - reach
        if np.max(excess) > 0.0:
            self._jumps.append(stamp)
            self._jumper = self.joints[int(np.argmax(excess))]
            self._settled = stamp + round(AGREEMENT * 1e9)

    def _check(
        self,
        stamp: int,
        names: Sequence[str],
        position: Sequence[float],
        velocity: Sequence[float],
        now: int,
    ) -> tuple[str, str]:
        joints = self.joints
        if len(names) > JOINTS:
            return 'too_many', f'{len(names)} joints: {JOINTS} are the most'
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
        if not np.all(np.isfinite([position[index] for index in chosen])):
            return 'not_finite', 'a position is NaN or infinite: check the encoders'
        # ros2_control reports NaN for what a joint does not measure, and velocities are not used.
        if len(velocity) and np.any(np.isinf([velocity[index] for index in chosen])):
            return 'not_finite', 'a velocity is infinite: check the encoders'
        age = seconds(now - stamp)
        if abs(age) > OTHER_CLOCK:
            text = f'its stamp is {age:.1f} s old: give all nodes the same use_sim_time and clock'
            return 'other_clock', text
        if age < -FUTURE_TOLERANCE:
            return 'future', f'its stamp is {-age:.3f} s in the future: synchronise the clocks'
        if self.position is not None and stamp < self._stamp:
            return 'out_of_order', 'it is older than the one before'
        return '', ''
