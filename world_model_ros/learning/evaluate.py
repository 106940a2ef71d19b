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
"""Measures a trained model on experience it has not seen."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_model_ros.learning.dataset import Episodes
from world_model_ros.learning.model import WorldModel
from world_model_ros.learning.train import Contract, embed


@dataclass(frozen=True)
class Evaluation:
    """Figures of a model on held-out experience.

    angle_r2: share of the joint angles' variance that is linear in a picture's embedding
    angle_error: root mean square error of that reading [rad]
    rollout_ratio: squared error of the imagined embedding over that of assuming no motion, after
        20 steps
    joint_error: root mean square error of imagined joint angles after the whole horizon [rad]
    distance_rank: rank correlation of latent distance with joint distance between random pictures
    """

    angle_r2: float
    angle_error: float
    rollout_ratio: float
    joint_error: float
    distance_rank: float


@torch.no_grad()
def evaluate(model: WorldModel, episodes: Episodes, contract: Contract, horizon: int) -> Evaluation:
    """Return the figures of `model`, from each episode's first `horizon` steps."""
    goal, joints = model.sizes.goal, model.sizes.joints
    embedding = embed(model, episodes.images)
    proprioception = contract.normalize_proprioception(episodes.proprioception)
    actions = contract.normalize_action(episodes.actions)[:, :horizon]
    state = torch.cat([embedding[:, 0], proprioception[:, 0]], dim=-1)
    imagined = model.rollout(state, actions)

    scale = np.asarray(contract.proprioception.std[:joints])
    poses = episodes.positions.reshape(-1, joints)
    design = np.column_stack([_numpy(embedding).reshape(-1, goal), np.ones(len(poses))])
    fit = np.linalg.lstsq(design[::2], poses[::2], rcond=None)[0]
    residual = (design @ fit - poses)[1::2]

    probe = min(20, horizon)
    truth = _numpy(embedding[:, probe])
    error = np.square(_numpy(imagined[:, probe - 1, :goal]) - truth).mean()
    still = np.square(_numpy(embedding[:, 0]) - truth).mean()
    joint = _numpy(imagined[:, -1, goal : goal + joints] - proprioception[:, horizon, :joints])
    return Evaluation(
        angle_r2=float(1 - np.square(residual).mean() / poses.var(axis=0).mean()),
        angle_error=float(np.sqrt(np.square(residual).mean())),
        rollout_ratio=float(error / still),
        joint_error=float(np.sqrt(np.square(joint * scale).mean())),
        distance_rank=_distance_rank(design[:, :goal], poses),
    )


def _distance_rank(embedding: NDArray[np.float32], poses: NDArray[np.float32]) -> float:
    order = np.random.default_rng(0).permutation(len(poses))
    latent = np.linalg.norm(embedding - embedding[order], axis=1)
    joint = np.linalg.norm(poses - poses[order], axis=1)
    ranks = [np.argsort(np.argsort(values)) for values in (latent, joint)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.numpy(), np.float32)
