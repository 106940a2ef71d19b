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
"""The action contract: what one row of a plan means on a robot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_model_ros.bundle.fields import (
    Names,
    Normalization,
    Numbers,
    PositiveInt,
    Section,
    Text,
    fault,
    same_length,
)

# What each number of a Cartesian action is called, in the order of a pose (and, but for the
# gripper, as in geometry_msgs/Twist), with its unit in a pose_delta and in a twist.
CARTESIAN_UNITS = {
    'linear.x': ('m', 'm/s'), 'linear.y': ('m', 'm/s'), 'linear.z': ('m', 'm/s'),
    'angular.x': ('rad', 'rad/s'), 'angular.y': ('rad', 'rad/s'), 'angular.z': ('rad', 'rad/s'),
    'gripper': ('1', '1/s'),
}
Kind = Literal['joint_position', 'joint_velocity', 'joint_delta', 'twist', 'pose_delta']
Unit = Literal['rad', 'm', 'rad/s', 'm/s', '1', '1/s']
_JOINT_UNITS = {
    'joint_position': ('rad', 'm', '1'),
    'joint_velocity': ('rad/s', 'm/s', '1/s'),
    'joint_delta': ('rad', 'm', '1'),
}


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a row say to a robot. Rows of equal meaning can be exchanged.

    row_duration: [s] where the numbers are changes in one row, or else None
    """

    kind: Kind
    names: tuple[str, ...]
    units: tuple[Unit, ...]
    frame: str | None
    frozen: tuple[tuple[str, float], ...]
    row_duration: float | None

    @property
    def is_position(self) -> bool:
        """Whether a row says where to be when it ends, and not how to move while it lasts."""
        return self.kind == 'joint_position'


class ActionContract(Section):
    """What one row of a plan means: kind, order, bounds and duration.

    Rows are held for `step_duration`; the model steps once in `rows_per_step` of them, whose
    normalised numbers it takes concatenated, oldest row first.
    """

    kind: Kind
    """What the numbers set: joint positions, joint velocities, changes of joint positions in one
    row, velocities of a link, or changes of a link's pose in one row. A position is where the joint
    is when the row ends: it goes there from the row before, on a straight line."""
    names: Names
    """What each number drives: joint names, or for twist and pose_delta any of linear.x, linear.y,
    linear.z, angular.x, angular.y, angular.z (of a pose_delta: roll, pitch and yaw about the fixed
    axes of `frame`) and gripper."""
    units: tuple[Unit, ...]
    """Unit of each number; `1` is a fraction (of a gripper: 0 open, 1 closed)."""
    frame: Text | None = None
    """Coordinate frame of a twist or pose_delta; absent for joints."""
    lower: Numbers
    """Least value of each number, in `units`."""
    upper: Numbers
    """Largest value of each number, in `units`."""
    normalization: Normalization
    """Graphs see `(physical - mean) / std`; one entry for each name, in `units`."""
    step_duration: Annotated[float, Field(gt=0, le=10)]
    """Time that one row is held [s]."""
    rows_per_step: Annotated[PositiveInt, Field(le=64)]
    """Rows that one step of the model takes (its frame skip); their numbers are concatenated."""
    frozen: dict[Text, float]
    """Numbers that plans never vary, with the value that the model is given instead, in `units`;
    they are not proposed to the robot."""
    dead_band: tuple[Annotated[float, Field(ge=0)], ...]
    """Planned numbers closer to 0 than this become 0; one entry for each name, in `units`."""

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        size = len(self.names)
        for field in ('units', 'lower', 'upper', 'dead_band'):
            same_length(field, getattr(self, field), size, 'action.names')
        for field in ('mean', 'std'):
            same_length(f'normalization.{field}', getattr(self.normalization, field), size,
                        'action.names')
        self._check_units()
        for name, lower, upper, dead in zip(
            self.names, self.lower, self.upper, self.dead_band, strict=True,
        ):
            if not lower < upper:
                raise fault('lower', f'{lower:g} is not below upper {upper:g} for {name}',
                            'set lower < upper, both in physical units; a number that must not '
                            'vary goes into "frozen"')
            if dead and (lower > 0 or upper < 0 or dead >= max(-lower, upper)):
                raise fault('dead_band', f'{dead:g} leaves {name} nothing between {lower:g} and '
                            f'{upper:g}', 'choose less, or 0 for none')
        self._check_frozen()
        return self

    def _check_units(self) -> None:
        cartesian = self.kind in ('twist', 'pose_delta')
        if cartesian != (self.frame is not None):
            raise fault('frame', f'is {self.frame!r} for {self.kind}',
                        'name the frame of a twist or pose_delta, and none for joints')
        for name, unit in zip(self.names, self.units, strict=True):
            if cartesian and name not in CARTESIAN_UNITS:
                raise fault('names', f'"{name}" is no part of a {self.kind}',
                            f'use names of {list(CARTESIAN_UNITS)}')
            fitting = ((CARTESIAN_UNITS[name][self.kind == 'twist'],) if cartesian
                       else _JOINT_UNITS[self.kind])
            if unit not in fitting:
                raise fault('units', f'{unit} for {name} does not fit {self.kind}',
                            f'convert to {" or ".join(fitting)}, in bounds and normalization too')

    def _check_frozen(self) -> None:
        for name, value in self.frozen.items():
            if name not in self.names:
                raise fault('frozen', f'"{name}" is not in action.names', 'correct the name')
            index = self.names.index(name)
            if not self.lower[index] <= value <= self.upper[index]:
                raise fault('frozen', f'{value:g} of {name} is outside its bounds',
                            'choose a value between lower and upper')
        if len(self.frozen) == len(self.names):
            raise fault('frozen', 'leaves nothing to plan', 'leave one name out')

    @property
    def size(self) -> int:
        """Numbers in one row, A."""
        return len(self.names)

    @property
    def driven(self) -> tuple[int, ...]:
        """Indices of the numbers that are not frozen: what is proposed to the robot."""
        return tuple(i for i, name in enumerate(self.names) if name not in self.frozen)

    @property
    def step_size(self) -> int:
        """Numbers in one model step, K = A * rows_per_step."""
        return self.size * self.rows_per_step

    @property
    def meaning(self) -> Meaning:
        """What rows say, whatever their bounds and normalisation."""
        are_changes = self.kind in ('joint_delta', 'pose_delta')
        return Meaning(self.kind, self.names, self.units, self.frame,
                       tuple(sorted(self.frozen.items())),
                       self.step_duration if are_changes else None)

    @property
    def model_step(self) -> float:
        """Duration of one model step [s]."""
        return self.step_duration * self.rows_per_step
