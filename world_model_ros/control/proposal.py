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
"""The border of the controller: what a proposal must be before a motor may hear of it.

:class:`Proposal` is what arrived, untrusted. :func:`check` turns it into a :class:`Chunk`, which is
finite, in the controller's joint order and from the announced model, or into a :class:`Refusal`.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from world_model_ros.control.limits import TWIST_AXES, Limits, Vector
from world_model_ros.control.pose import to_twists
from world_model_ros.payload import JOINTS, NAME_LENGTH, PLAN_ROWS, few, shorten

NANOSECONDS = 1_000_000_000

# Stamps this far from now are not late or early, they are of another clock.
OTHER_CLOCK = 10.0  # s
# Synchronised machines and a busy computer differ by less.
FUTURE_TOLERANCE = 0.05  # s
# A plan outside the bounds that its own model announced by more than this part of their range
# is no rounding: its units or its normalisation are wrong.
BOUNDS_TOLERANCE = 0.01
SHORTEST_STEP, LONGEST_STEP = 1e-3, 10.0  # s
LARGEST_BOUND = 1e6  # rad, m, rad/s or m/s; no robot needs more, and no arithmetic overflows

Numbers: TypeAlias = NDArray[np.float32]


class Kind(IntEnum):
    """What the numbers of a proposal are, numbered as ``ActionProposal`` numbers them."""

    JOINT_POSITION = 1
    JOINT_VELOCITY = 2
    JOINT_DELTA = 3
    TWIST = 4
    POSE_DELTA = 5


JOINT_KINDS = (Kind.JOINT_POSITION, Kind.JOINT_VELOCITY, Kind.JOINT_DELTA)
TWIST_KINDS = (Kind.TWIST, Kind.POSE_DELTA)


class Reason(Enum):
    """Why a proposal is refused; the value names its counter in the diagnostics."""

    NO_MODEL = 'no_model'
    NOT_READY = 'not_ready'
    TEXT = 'text'
    DIGEST = 'digest'
    KIND = 'kind'
    NAMES = 'names'
    SHAPE = 'shape'
    HORIZON = 'horizon'
    STEP_DURATION = 'step_duration'
    NOT_FINITE = 'not_finite'
    BOUNDS = 'bounds'
    OTHER_CLOCK = 'other_clock'
    FUTURE = 'future'
    LATE = 'late'
    OUT_OF_ORDER = 'out_of_order'
    LEFTOVER = 'leftover'
    OLD_GOAL = 'old_goal'


@dataclass(frozen=True)
class Refusal:
    """A reason to count, and a text that tells a person what was wrong and what to do."""

    reason: Reason
    text: str


@dataclass(frozen=True, eq=False)
class Contract:
    """What a model announces about its actions.

    ``lower`` and ``upper`` [A] are the bounds of the actions in physical units. ``frame`` is that
    of twists and pose deltas, empty for joints.
    """

    digest: str
    kind: int
    names: tuple[str, ...]
    lower: Vector
    upper: Vector
    frame: str = ''


@dataclass(frozen=True, eq=False)
class Proposal:
    """A plan as it arrived. ``stamp`` in ns, ``step_duration`` in s, ``data`` row-major [H * A].

    ``shape`` is what the message says about ``data``; nothing in here has been checked.
    """

    stamp: int
    plan_id: str
    model_digest: str
    kind: int
    names: tuple[str, ...]
    step_duration: float
    shape: tuple[int, ...]
    data: Numbers
    goal_id: str = ''


@dataclass(frozen=True, eq=False)
class Chunk:
    """A checked plan: ``values`` [H, J] in the controller's joint order.

    They are velocities [rad/s] if ``is_velocity`` (twists too), otherwise positions [rad]. Row k
    applies from ``stamp`` + k * ``step`` on, both in ns; a position is reached when its row ends,
    which is when the model imagined it.
    """

    stamp: int
    step: int
    plan_id: str
    is_velocity: bool
    values: Vector

    @property
    def end(self) -> int:
        """The time at which the last row ends [ns]."""
        return self.stamp + len(self.values) * self.step

    def velocity(self, now: int) -> Vector:
        """Return the velocity [J] wanted at ``now`` [ns].

        Velocities are held over their row, as the model imagined them: smoothing steps of velocity
        is the acceleration limit's work. Positions are joined by straight lines, each of which
        takes one row, and this is the slope of the line. None leads to the first position: where
        the robot comes from is not the plan's to know.
        """
        row = self._row(now)
        if self.is_velocity:
            velocity: Vector = self.values[row]
            return velocity
        before = self.values[max(row - 1, 0)]
        slope: Vector = (self.values[row] - before) * (NANOSECONDS / self.step)
        return slope

    def position(self, now: int) -> Vector:
        """Return the position [J] wanted at ``now`` [ns] by a chunk of positions."""
        row = self._row(now)
        left = max(seconds(self.stamp + (row + 1) * self.step - now), 0.0)
        position: Vector = self.values[row] - self.velocity(now) * left
        return position

    def _row(self, now: int) -> int:
        # A stamp may be a little ahead of now (FUTURE_TOLERANCE): its first row applies already.
        return min(max((now - self.stamp) // self.step, 0), len(self.values) - 1)


def mismatch(contract: Contract, limits: Limits, frame: str = '') -> str:
    """Return why a model can not drive this robot and what to do; empty if it can.

    ``frame`` is the one that twists must be in; empty leaves it to the model.
    """
    if not contract.digest or len(contract.digest) > NAME_LENGTH:
        return 'the announced model has no usable digest: export its bundle again'
    if len(contract.names) > JOINTS:
        return f'the announced model has {len(contract.names)} actions, {JOINTS} are the most'
    refusal = _check_kind(contract.kind, limits) or _check_names(contract.names, limits)
    if refusal:
        return f'{refusal.text}; load a model made for this robot, or correct the parameters'
    if limits.twist and not contract.frame:
        return 'the announced model names no frame for its twists: set action.frame in its bundle'
    if len(contract.frame) > NAME_LENGTH or (limits.twist and contract.frame != (
            frame or contract.frame)):
        return (
            f'the announced model moves in frame {shorten(contract.frame)!r}, twist_frame is '
            f'{frame!r}: load a model made for this robot, or correct twist_frame'
        )
    sizes = {len(contract.names), len(contract.lower), len(contract.upper)}
    if len(sizes) > 1:
        return 'the announced model lacks a lower or upper bound of an action: export it again'
    # Written so that NaN fails.
    bounds = np.concatenate([contract.lower, contract.upper])
    if not np.all(np.abs(bounds) <= LARGEST_BOUND):
        return 'the announced bounds are not finite: correct action.lower and action.upper'
    if not np.all(contract.lower < contract.upper):
        return 'the announced bounds are inverted: correct action.lower and action.upper'
    return ''


def check(
    proposal: Proposal, contract: Contract, limits: Limits, now: int, latest: float
) -> Chunk | Refusal:
    """Return the trusted form of a proposal, or why it is refused.

    ``contract`` has passed :func:`mismatch`. ``now`` in ns. ``latest`` is the age in s of an
    observation from which on nobody should act.
    """
    return (
        _check_text('plan_id', proposal.plan_id)
        or _check_text('goal_id', proposal.goal_id)
        or _check_digest(proposal.model_digest, contract.digest)
        or _check_kind(proposal.kind, limits, contract.kind)
        or _check_names(proposal.names, limits)
        or _check_shape(proposal)
        or _check_step(proposal.step_duration)
        or _check_stamp(proposal.stamp, now, latest)
        or _check_values(proposal, contract, limits)
    )


def seconds(nanoseconds: int) -> float:
    """Return nanoseconds as seconds."""
    return nanoseconds / NANOSECONDS


def _check_text(name: str, text: str) -> Refusal | None:
    if len(text) <= NAME_LENGTH:
        return None
    return Refusal(
        Reason.TEXT, f'its {name} has {len(text)} characters, {NAME_LENGTH} are the most'
    )


def _check_digest(digest: str, announced: str) -> Refusal | None:
    if digest == announced:
        return None
    return Refusal(
        Reason.DIGEST,
        f'it comes from model {digest[:12]!r}, announced is {announced[:12]!r}: '
        'let one world_model propose at a time',
    )


def _check_kind(kind: int, limits: Limits, announced: int | None = None) -> Refusal | None:
    names = {int(known): known.name for known in Kind}
    supported = TWIST_KINDS if limits.twist else JOINT_KINDS
    if kind not in supported:
        drives = 'twists' if limits.twist else 'joints'
        return Refusal(
            Reason.KIND,
            f'action kind {names.get(kind, kind)} is not supported: this controller drives '
            f'{drives} ({", ".join(known.name for known in supported)}); see command_interface',
        )
    if announced is not None and kind != announced:
        return Refusal(
            Reason.KIND,
            f'its kind is {names[kind]}, the model announced {names[announced]}',
        )
    return None


def _check_names(names: tuple[str, ...], limits: Limits) -> Refusal | None:
    driven = limits.names
    if len(names) == len(driven) and set(names) == set(driven):
        return None
    details = {
        'missing': [name for name in driven if name not in names],
        'unknown': [name for name in names if name not in driven],
        'repeated': [name for name in driven if names.count(name) > 1],
    }
    text = ', '.join(f'{what} {few(which, 4)}' for what, which in details.items() if which)
    what = 'axes' if limits.twist else 'joints'
    text = f'its {what} are not those of the controller: {text}'
    foreign = [name for name in details['unknown'] if name not in TWIST_AXES]
    if limits.twist and foreign:
        text += (
            f'. A twist can not move {few(foreign, 2)}: freeze it in the bundle (action.frozen), '
            'and drive it, like any gripper, with a controller of its own'
        )
    return Refusal(Reason.NAMES, text)


def _check_shape(proposal: Proposal) -> Refusal | None:
    shape, width = proposal.shape, len(proposal.names)
    if len(shape) != 2 or shape[1] != width or shape[0] * width != proposal.data.size:
        return Refusal(
            Reason.SHAPE,
            f'its values have shape {list(shape)[:4]} and {proposal.data.size} numbers, '
            f'expected [steps, {width}]',
        )
    if not 1 <= shape[0] <= PLAN_ROWS:
        return Refusal(
            Reason.HORIZON, f'it has {shape[0]} steps, expected 1 to {PLAN_ROWS}'
        )
    return None


def _check_step(step: float) -> Refusal | None:
    # Written so that NaN fails.
    if SHORTEST_STEP <= step <= LONGEST_STEP:
        return None
    return Refusal(
        Reason.STEP_DURATION,
        f'its step duration is {step:g} s, expected {SHORTEST_STEP:g} to {LONGEST_STEP:g}',
    )


def _check_stamp(stamp: int, now: int, latest: float) -> Refusal | None:
    age = seconds(now - stamp)
    if abs(age) > OTHER_CLOCK:
        return Refusal(
            Reason.OTHER_CLOCK,
            f'its stamp is {abs(age):.1f} s in the {"past" if age > 0.0 else "future"}, so it is '
            'of another clock: give all nodes the same use_sim_time, and synchronise the machines',
        )
    if age < -FUTURE_TOLERANCE:
        return Refusal(
            Reason.FUTURE,
            f'its stamp is {-age:.3f} s in the future: synchronise the clocks of camera and robot',
        )
    if age > latest:
        return Refusal(
            Reason.LATE,
            f'its observation is {age:.3f} s old on arrival, more than {latest:.3f} s: '
            'give the planner fewer samples or a faster computer, or raise late_after',
        )
    return None


def _check_values(proposal: Proposal, contract: Contract, limits: Limits) -> Chunk | Refusal:
    values = proposal.data.reshape(proposal.shape).astype(np.float64)
    if not np.all(np.isfinite(values)):
        return Refusal(
            Reason.NOT_FINITE,
            'its values hold NaN or infinity: run wmros check on the model',
        )
    values = values[:, [proposal.names.index(name) for name in limits.names]]
    order = [contract.names.index(name) for name in limits.names]
    lower, upper = contract.lower[order], contract.upper[order]
    tolerance = BOUNDS_TOLERANCE * (upper - lower)
    outside = (values < lower - tolerance) | (values > upper + tolerance)
    if np.any(outside):
        row, column = np.argwhere(outside)[0]
        return Refusal(
            Reason.BOUNDS,
            f'step {row} asks {values[row, column]:.3g} of {limits.names[column]}, outside the '
            f'bounds {lower[column]:g} to {upper[column]:g} that its model announced: '
            'check units and normalisation',
        )
    # A displacement during a step is a mean velocity.
    if proposal.kind == Kind.JOINT_DELTA:
        values = values / proposal.step_duration
    elif proposal.kind == Kind.POSE_DELTA:
        values = to_twists(values, limits.names, proposal.step_duration)
    return Chunk(
        stamp=proposal.stamp,
        step=round(proposal.step_duration * NANOSECONDS),
        plan_id=proposal.plan_id,
        is_velocity=proposal.kind != Kind.JOINT_POSITION,
        values=values,
    )

