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

"""What a controller sent to the robot, in the units in which a model knows its actions."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from world_model_ros import payload
from world_model_ros.bundle import ActionContract
from world_model_ros.rotations import euler_from_rotation, rotation_from_vector


class SetpointError(ValueError):
    """The setpoint says nothing about the model's actions; the message says why."""


def executed_action(
    names: Sequence[str], position: Sequence[float], velocity: Sequence[float],
    action: ActionContract,
) -> npt.NDArray[np.float32]:
    """
    Return the row [A] that a setpoint held for ``action.step_duration`` amounts to.

    Positions of joints are those of the setpoint, velocities and twists are its velocities, and
    changes in one row are what its velocities come to. Frozen numbers are what the manifest says.

    :param names: joints or axes [J], in any order, others included
    :param position: [J] in rad or m; may be empty where the model takes no positions
    :param velocity: [J] in rad/s or m/s
    Raises SetpointError.
    """
    if len(names) > payload.JOINTS:
        raise SetpointError(f'the controller drives {len(names)} joints, {payload.JOINTS} are '
                            'the most')
    values, what = ((position, 'positions') if action.kind == 'joint_position'
                    else (velocity, 'velocities'))
    driven = [action.names[index] for index in action.driven]
    missing = [name for name in driven if name not in names]
    if missing:
        raise SetpointError(f'the controller does not drive {payload.few(missing)}, which the '
                            'model does: is "controller_state" remapped to the controller of this '
                            'robot?')
    if len(values) != len(names):
        raise SetpointError(f'the controller reports {len(values)} {what} of {len(names)} joints')
    row = np.zeros(action.size)
    for index, name in zip(action.driven, driven, strict=True):
        row[index] = values[list(names).index(name)]
    if not np.isfinite(row).all():
        raise SetpointError('the controller reports NaN or infinity')
    if action.kind in ('joint_delta', 'pose_delta'):
        row *= action.step_duration
    if action.kind == 'pose_delta':
        _to_euler(row, action.names)
    for name, value in action.frozen.items():
        row[action.names.index(name)] = value
    return row.astype(np.float32)


def _to_euler(row: npt.NDArray[np.float64], names: Sequence[str]) -> None:
    """Turn a rotation vector [rad] in a row into roll, pitch and yaw about fixed axes, in place."""
    axes = [f'angular.{axis}' for axis in 'xyz']
    vector = np.array([row[names.index(axis)] if axis in names else 0.0 for axis in axes])
    euler = euler_from_rotation(rotation_from_vector(vector))
    for axis, value in zip(axes, euler, strict=True):
        if axis in names:
            row[names.index(axis)] = value
