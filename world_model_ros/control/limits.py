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
"""How far, how fast and how abruptly each joint or axis may move.

A URDF gives position and velocity limits, the robot's YAML gives acceleration limits (a URDF has
none) and may tighten the others. Where both speak, the tighter one wins. What comes out of
:func:`tighter` is complete and finite, so that the rest of this package never asks again.

A robot that is driven by twists (a base, or an arm under MoveIt Servo) is limited per axis of the
twist, in velocity and acceleration: where it may be is its navigation's or Servo's business.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]


# The axes of a twist, named as the fields of geometry_msgs/Twist: m/s along and rad/s about them.
TWIST_AXES = ('linear.x', 'linear.y', 'linear.z', 'angular.x', 'angular.y', 'angular.z')


class LimitsError(ValueError):
    """Limits that no robot can be driven with; the text names the joint and the cure."""


@dataclass(frozen=True)
class JointLimits:
    """What one source says about one joint or axis; infinity where it says nothing.

    ``lower`` and ``upper`` in rad (m for prismatic joints), ``velocity`` in rad/s, ``acceleration``
    in rad/s^2.
    """

    lower: float = -math.inf
    upper: float = math.inf
    velocity: float = math.inf
    acceleration: float = math.inf


@dataclass(frozen=True, eq=False)
class Limits:
    """Complete limits of ``J`` joints: every number finite, every range of positive width.

    ``lower``, ``upper`` [J] in rad, ``velocity`` [J] in rad/s, ``acceleration`` [J] in rad/s^2.
    With ``twist`` the ``names`` are axes of a twist, and their positions are unlimited (infinite).
    """

    names: tuple[str, ...]
    lower: Vector
    upper: Vector
    velocity: Vector
    acceleration: Vector
    twist: bool = False

    def stopping_time(self) -> float:
        """Return how long the slowest joint takes from full speed to rest [s]: max(v / a)."""
        return float(np.max(self.velocity / self.acceleration))


def limits_from_urdf(xml: str, joints: Sequence[str]) -> dict[str, JointLimits]:
    """Read the position and velocity limits of ``joints`` from a robot description.

    Raises :class:`LimitsError` if the text is no URDF, or a joint is missing, fixed, driven by
    another joint, or has a limit that is not a number.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise LimitsError(
            f'the robot description is not XML ({error}): give the expanded URDF, not its xacro'
        ) from error
    found = {element.get('name'): element for element in root.findall('joint')}
    return {joint: _joint_from_urdf(joint, found) for joint in joints}


def tighter(joints: Sequence[str], *sources: dict[str, JointLimits]) -> Limits:
    """Combine ``sources`` into complete limits of ``joints``, the tighter number winning.

    Raises :class:`LimitsError` if a joint is named twice, or if what remains is unlimited, not a
    number, empty or inverted.
    """
    if not joints:
        raise LimitsError('no joints are named: set the parameter joints')
    _refuse_repeated(joints, 'joint', 'joints')
    combined = []
    for joint in joints:
        which = f'joint {joint}'
        given = [source[joint] for source in sources if joint in source]
        limits = _tightest(which, given)
        for name, value in (('min_position', limits.lower), ('max_position', limits.upper)):
            if not math.isfinite(value):
                raise LimitsError(f'{which} has no finite {name}: set joint_limits.{joint}.{name}')
        _check_speeds(which, f'joint_limits.{joint}', limits)
        if limits.lower >= limits.upper:
            raise LimitsError(
                f'{which}: position limits are empty or inverted, '
                f'from {limits.lower:g} to {limits.upper:g}'
            )
        combined.append(limits)
    return _stack(joints, combined, twist=False)


def twist_limits(axes: Sequence[str], given: dict[str, JointLimits]) -> Limits:
    """Return complete limits of the ``axes`` of a twist from what the robot's YAML says of them.

    Raises :class:`LimitsError` if an axis is unknown or named twice, or has no velocity or
    acceleration limit.
    """
    if not axes:
        raise LimitsError('no axes are named: set the parameter twist_axes')
    _refuse_repeated(axes, 'axis', 'twist_axes')
    for axis in axes:
        if axis not in TWIST_AXES:
            raise LimitsError(f'{axis} is no axis of a twist: use {", ".join(TWIST_AXES)}')
        limits = _tightest(f'axis {axis}', [given[axis]])
        _check_speeds(f'axis {axis}', f'twist_limits.{axis}', limits)
    return _stack(axes, [given[axis] for axis in axes], twist=True)


def _stack(names: Sequence[str], limits: Sequence[JointLimits], *, twist: bool) -> Limits:
    return Limits(
        names=tuple(names),
        lower=np.array([each.lower for each in limits]),
        upper=np.array([each.upper for each in limits]),
        velocity=np.array([each.velocity for each in limits]),
        acceleration=np.array([each.acceleration for each in limits]),
        twist=twist,
    )


def _refuse_repeated(names: Sequence[str], what: str, parameter: str) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise LimitsError(f'{what} {repeated[0]} is named twice in {parameter}')


def _joint_from_urdf(joint: str, found: dict[str | None, ElementTree.Element]) -> JointLimits:
    if joint not in found:
        names = ', '.join(sorted(name for name in found if name)) or 'none'
        raise LimitsError(f'joint {joint} is not in the robot description, which has: {names}')
    element = found[joint]
    kind = element.get('type')
    if kind not in ('revolute', 'prismatic', 'continuous'):
        raise LimitsError(f'joint {joint} is {kind}: only revolute, prismatic and continuous move')
    if element.find('mimic') is not None:
        raise LimitsError(f'joint {joint} mimics another joint: command that one instead')
    limit = element.find('limit')
    if limit is None:
        # Legal for a continuous joint only; tighter() asks for the numbers if nobody has them.
        if kind == 'continuous':
            return JointLimits()
        raise LimitsError(f'joint {joint} has no <limit> in the robot description')
    velocity = _number(joint, limit, 'velocity', None)
    if kind == 'continuous':  # a continuous joint turns without end: lower and upper mean nothing
        return JointLimits(velocity=velocity)
    # Zero is what the URDF specification gives a missing lower or upper.
    lower, upper = _number(joint, limit, 'lower', 0.0), _number(joint, limit, 'upper', 0.0)
    return JointLimits(lower, upper, velocity)


def _number(joint: str, limit: ElementTree.Element, name: str, default: float | None) -> float:
    text = limit.get(name)
    if text is None:
        if default is None:
            raise LimitsError(f'joint {joint} has no {name} limit in the robot description')
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LimitsError(f'joint {joint}: {name} limit "{text}" is not a finite number')
    return value


def _tightest(which: str, sources: Sequence[JointLimits]) -> JointLimits:
    numbers = [
        (source.lower, source.upper, source.velocity, source.acceleration) for source in sources
    ]
    # max() and min() are silent about NaN, so it has to be looked for first.
    if any(math.isnan(number) for source in numbers for number in source):
        raise LimitsError(f'{which} has a limit that is not a number (nan)')
    return JointLimits(
        lower=max((source.lower for source in sources), default=-math.inf),
        upper=min((source.upper for source in sources), default=math.inf),
        velocity=min((source.velocity for source in sources), default=math.inf),
        acceleration=min((source.acceleration for source in sources), default=math.inf),
    )


def _check_speeds(which: str, parameter: str, limits: JointLimits) -> None:
    for name, value in (
        ('max_velocity', limits.velocity),
        ('max_acceleration', limits.acceleration),
    ):
        if not math.isfinite(value):
            raise LimitsError(f'{which} has no finite {name}: set {parameter}.{name}')
        if value <= 0.0:
            raise LimitsError(f'{which}: {name} {value:g} must be above zero')
