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

"""Goals that say where joints are to be, for models whose joints follow from the actions.

Where a bundle's proprioception has the rule `integrate_joints`, a rollout carries the joints' state
along without a learned part, and a plan can be held against positions as well as against a latent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Manifest, Proprioception
from world_model_ros.inference.costs import Scores, rooted
from world_model_ros.inference.errors import InferenceError

Float = NDArray[np.float32]


@dataclass(frozen=True)
class JointTarget:
    """Positions of joints by name, rad or m; joints that are not named may be anywhere."""

    names: tuple[str, ...]
    positions: tuple[float, ...]


def joint_scores(
    manifest: Manifest, target: JointTarget, states: NDArray[Any], residuals: bool,
) -> Scores:
    """Scores of sequences whose states behind each model step are [B, H, P], physical.

    J = the mean over the horizon of the distance to the target, plus its last value. The distance
    is the root of the summed squares over the target's joints, rad or m. There are no latents: the
    actions alone say where the joints go.
    """
    apart = _apart(manifest, target, states)
    steps = np.asarray(np.linalg.norm(apart, axis=-1), np.float32)
    costs = steps.mean(1) + steps[:, -1]
    if not residuals:
        return Scores(costs, steps, None)
    horizon = steps.shape[1]
    weights = np.full((horizon, 1), 1 / horizon)
    weights[-1] += 1
    weighted = np.sqrt(weights) * rooted(apart.astype(np.float32))
    flat = np.asarray(weighted.reshape(len(costs), -1), np.float32)
    return Scores(costs, steps, None, flat, ((0, flat.shape[1], apart.shape[-1]),))


def joint_distance(manifest: Manifest, target: JointTarget, states: NDArray[Any]) -> Float:
    """Distances [...] of states [..., P] to a target that `check_joint_target` has passed."""
    return np.asarray(np.linalg.norm(_apart(manifest, target, states), axis=-1), np.float32)


def _apart(manifest: Manifest, target: JointTarget, states: NDArray[Any]) -> NDArray[np.float64]:
    """Differences [..., J] of states [..., P] to the J positions of a target."""
    joints = _joints_of(manifest)
    offset = joints.fields.index('position') * len(joints.joints)
    columns = [offset + joints.joints.index(name) for name in target.names]
    apart: NDArray[np.float64] = states[..., columns] - np.array(target.positions)
    return apart


def check_joint_target(manifest: Manifest, target: JointTarget) -> None:
    """Raise InferenceError, with the reason, for a target that a bundle cannot plan toward."""
    joints, action = _joints_of(manifest), manifest.action
    driven = [action.names[index] for index in action.driven]
    if not target.names or len(target.names) != len(target.positions):
        raise InferenceError(f'joint target names {len(target.names)} joints and '
                             f'{len(target.positions)} positions: give one for each')
    if len(set(target.names)) != len(target.names):
        raise InferenceError('joint target names a joint twice')
    foreign = [name for name in target.names if name not in driven or name not in joints.joints]
    if foreign:
        raise InferenceError(f'joint target names {foreign[0]!r:.60}, which {manifest.model.name} '
                             f'does not drive: choose from {driven}')
    if not all(map(math.isfinite, target.positions)):
        raise InferenceError('joint target holds NaN or infinity')


def _joints_of(manifest: Manifest) -> Proprioception:
    state = manifest.proprioception
    if (not isinstance(state, Proprioception) or state.rule != 'integrate_joints'
            or 'position' not in state.fields):
        raise InferenceError(f'{manifest.model.name} takes no joint targets: that needs a model '
                             'whose proprioception has the rule integrate_joints and positions; '
                             'give a picture or a latent')
    return state
