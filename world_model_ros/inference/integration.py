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
"""The robot's own state in a rollout, as far as it follows from the actions without a model.

Models that are given their proprioception (V-JEPA 2-AC, joint-integrated ones) need it before every
imagined step, for hundreds of action sequences at once; so everything here is vectorised over them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import ActionContract, Manifest, PoseProprioception, Proprioception
from world_model_ros.rotations import (
    Double,
    euler_from_rotation,
    rotation_from_euler,
    rotation_from_vector,
)

# state [P] and rows [N, steps * rows_per_step, A], both physical, to states [N, steps + 1, P]: the
# observed one first, then the one behind each model step.
Integrate = Callable[[NDArray[Any], NDArray[Any]], Double]


def integration(manifest: Manifest) -> Integrate | None:
    """How a bundle's proprioception goes on; None where rollouts take none."""
    state, action = manifest.proprioception, manifest.action
    if state is None or not state.is_input:
        return None
    if isinstance(state, PoseProprioception):
        return partial(integrate_pose, action=action)
    if state.rule == 'integrate_joints':
        return partial(integrate_joints, action=action, joints=state)
    return partial(_hold, rows_per_step=action.rows_per_step)


def _hold(
    state: NDArray[Any], rows: NDArray[Any], *, rows_per_step: int,
) -> Double:
    steps = rows.shape[1] // rows_per_step
    held: Double = np.broadcast_to(
        state.astype(np.float64), (len(rows), steps + 1, len(state))).copy()
    return held


def integrate_joints(
    state: NDArray[Any], rows: NDArray[Any], *, action: ActionContract,
    joints: Proprioception,
) -> Double:
    """Joint states [N, steps + 1, P] behind each model step, in rad and rad/s (m and m/s).

    state: [P], rows: [N, steps * rows_per_step, A]. Joints reach what they are told within the row
    that tells it; those that no action drives stay where they are.
    """
    rows = rows.astype(np.float64)
    count, duration = len(joints.joints), action.step_duration
    observed = dict(zip(joints.fields, np.split(state.astype(np.float64), len(joints.fields)),
                        strict=True))
    driven = [joints.joints.index(name) for name in action.names]
    start = observed['position'][driven]
    if action.kind == 'joint_velocity':
        moved, velocity = start + duration * rows.cumsum(1), rows
    elif action.kind == 'joint_delta':
        moved, velocity = start + rows.cumsum(1), rows / duration
    else:
        before = np.concatenate([np.broadcast_to(start, rows[:, :1].shape), rows[:, :-1]], axis=1)
        moved, velocity = rows, (rows - before) / duration
    ends = slice(action.rows_per_step - 1, None, action.rows_per_step)
    steps = rows.shape[1] // action.rows_per_step
    fields = []
    for name in joints.fields:
        later = np.empty((len(rows), steps, count))
        later[:] = observed['position'] if name == 'position' else 0.0
        later[:, :, driven] = (moved if name == 'position' else velocity)[:, ends]
        first = np.broadcast_to(observed[name], (len(rows), 1, count))
        fields.append(np.concatenate([first, later], axis=1))
    return np.concatenate(fields, axis=2)


def integrate_pose(
    state: NDArray[Any], rows: NDArray[Any], *, action: ActionContract,
) -> Double:
    """Poses [N, steps + 1, P] behind each model step; x, y, z, roll, pitch, yaw and the gripper.

    state: [P] and rows [N, steps * rows_per_step, A] in m, rad and closed fraction (twists: per
    second). Positions add up, the row's rotation multiplies from the left, both in one fixed frame,
    and the gripper stays within 0..1: the convention of V-JEPA 2-AC (Assran et al., 2025,
    facebookresearch/vjepa2). A twist turns about its angular velocity's axis.
    """
    state, rows = state.astype(np.float64), rows.astype(np.float64)
    if action.kind == 'twist':
        rows = rows * action.step_duration
        turns = rotation_from_vector(rows[..., 3:6])
    else:
        turns = rotation_from_euler(rows[..., 3:6])
    count, total = rows.shape[:2]
    poses = np.empty((count, total + 1, len(state)))
    poses[:, 0] = state
    poses[:, 1:, :3] = state[:3] + rows[..., :3].cumsum(1)
    rotation = np.broadcast_to(rotation_from_euler(state[3:6]), (count, 3, 3))
    for row in range(total):
        rotation = turns[:, row] @ rotation
        poses[:, row + 1, 3:6] = euler_from_rotation(rotation)
        if len(state) == 7:
            poses[:, row + 1, 6] = np.clip(poses[:, row, 6] + rows[:, row, 6], 0.0, 1.0)
    return poses[:, ::action.rows_per_step]
