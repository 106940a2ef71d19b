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
"""The demo's model from nothing: drive the arm at random, train, measure, export `models/reach`."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from world_model_ros.bundle import Bundle, ImageContract, Normalization
from world_model_ros.learning.calibration import calibrate, simulated_experience, write
from world_model_ros.learning.curves import draw_curves
from world_model_ros.learning.dataset import STEP_DURATION, Episodes, collect
from world_model_ros.learning.evaluate import Evaluation, evaluate
from world_model_ros.learning.export import export_reach
from world_model_ros.learning.model import WorldModel
from world_model_ros.learning.train import Contract, TrainingSettings, embed, train
from world_model_ros.simulation import ArmSimulation

CURVES = 'training.png'
_CALIBRATION_EPISODES = 120
_REACHED = 0.01  # metres from the goal at which the tip counts as there

PLANNER: dict[str, Any] = {
    'sampler': 'icem',
    'horizon': 32,
    'knots': [0, 3, 7, 12, 19],
    'interpolation': 'hold',
    'samples': 64,
    'iterations': 4,
    'elites': 8,
    'sigma': [0.5, 0.5],
    'sigma_min': [0.02, 0.02],
    'momentum': 0.1,
    'constant_grid': 4,
    'memory': 256,
    'noise_exponent': 2.0,
    'decay': 1.0,
    'kept_elites': 4,
}


@dataclass(frozen=True)
class Recipe:
    """How much experience, and how it is turned into a model."""

    episodes: int = 1000
    held_out: int = 60
    training: TrainingSettings = field(default_factory=TrainingSettings)


def image_contract(side: int) -> ImageContract:
    """Return how a camera's picture becomes the model's: the central square, `side` pixels wide."""
    return ImageContract(
        width=side,
        height=side,
        crop='center_square',
        interpolation='area',
        color='rgb',
        frames=1,
        normalization='in_graph',
    )


def joint_contract(arm: ArmSimulation) -> Contract:
    """Return normalisation that gives values spread evenly over the arm's limits unit variance."""
    limits = arm.limits
    position = (limits.upper - limits.lower) / np.sqrt(12.0)
    velocity = limits.velocity / np.sqrt(3.0)
    centre = (limits.upper + limits.lower) / 2.0
    return Contract(
        Normalization(
            mean=(*centre.tolist(), *(0.0 for _ in velocity)),
            std=(*position.round(3).tolist(), *velocity.round(3).tolist()),
        ),
        Normalization(mean=tuple(0.0 for _ in velocity), std=tuple(limits.velocity.tolist())),
    )


def train_reach(folder: Path, recipe: Recipe, seed: int) -> tuple[Bundle, Evaluation]:
    """Make the bundle of the demo in `folder`, with a picture of the training curves beside it."""
    # One thread is the faster choice while anything else runs: small layers wait for the slowest
    # core. It also makes the result independent of the number of cores.
    torch.set_num_threads(1)
    arm = ArmSimulation()
    images = image_contract(recipe.training.sizes.image)
    contract = joint_contract(arm)
    episodes = collect(recipe.episodes + recipe.held_out, images, seed)
    held_out = episodes.part(recipe.episodes, recipe.episodes + recipe.held_out)
    model, curves = train(episodes.part(0, recipe.episodes), contract, recipe.training, seed)
    evaluation = evaluate(model, held_out, contract, PLANNER['horizon'])
    folder.mkdir(parents=True, exist_ok=True)
    draw_curves(curves, folder / CURVES)
    reached = reached_distance(model, arm, held_out)
    manifest = manifest_of(model, arm, images, contract, reached, seed)
    bundle = export_reach(model, held_out, contract, manifest, folder)
    # As "wmros calibrate --simulate 120" would, with the next seed.
    usual = calibrate(bundle, simulated_experience(bundle, _CALIBRATION_EPISODES, seed + 1))
    return write(bundle, usual), evaluation


@torch.no_grad()
def reached_distance(model: WorldModel, arm: ArmSimulation, episodes: Episodes) -> float:
    """Return the latent distance that pictures typically have whose tips are 1 cm apart."""
    poses = episodes.positions.reshape(-1, episodes.positions.shape[-1])
    embedding = embed(model, episodes.images).reshape(len(poses), -1).numpy()
    tips = np.array([arm.tip_at(np.clip(q, arm.limits.lower, arm.limits.upper)) for q in poses])
    ratios = []
    for index in range(0, len(poses), max(1, len(poses) // 200)):
        apart = np.linalg.norm(tips - tips[index], axis=1)
        bent_alike = np.linalg.norm(poses - poses[index], axis=1) < 0.3
        near = bent_alike & (apart > 0.5 * _REACHED) & (apart < 4 * _REACHED)
        distance = np.linalg.norm(embedding[near] - embedding[index], axis=1)
        ratios.extend(distance / apart[near])
    return float(np.median(ratios) * _REACHED)


def manifest_of(
    model: WorldModel,
    arm: ArmSimulation,
    images: ImageContract,
    contract: Contract,
    reached: float,
    seed: int,
) -> dict[str, Any]:
    """Return the manifest's sections, without those that the exporter fills in."""
    joints = list(arm.joints)
    distance = {'source': 'goal', 'metric': 'l2', 'reduction': 'sum'}
    return {
        'model': {
            'name': 'reach',
            'version': '1.0.0',
            'license': 'Apache-2.0',
            'source': f'wmros train reach --seed {seed}',
        },
        'action': {
            'kind': 'joint_velocity',
            'names': joints,
            'units': ['rad/s'] * len(joints),
            'lower': (-arm.limits.velocity).tolist(),
            'upper': arm.limits.velocity.tolist(),
            'normalization': contract.action.model_dump(),
            'step_duration': STEP_DURATION,
            'rows_per_step': 1,
            'frozen': {},
            'dead_band': [0.0] * len(joints),
        },
        'image': images.model_dump(),
        'proprioception': {
            'rule': 'predicted',
            'joints': joints,
            'fields': ['position', 'velocity'],
            'normalization': contract.proprioception.model_dump(),
        },
        'latent': {
            'shape': [model.sizes.latent],
            'parts': {
                'goal': {'start': 0, 'stop': model.sizes.goal},
                'joints': {'start': model.sizes.goal, 'stop': model.sizes.latent},
            },
        },
        'cost': {
            'objective': 'goal',
            'terms': [
                {**distance, 'steps': 'mean', 'weight': 1.0},
                {**distance, 'steps': 'last', 'weight': 1.0},
            ],
        },
        'goal': {**distance, 'reached': round(reached, 4)},
        'planner': PLANNER,
    }


def describe(evaluation: Evaluation) -> str:
    """Return the figures, one a line."""
    return '\n'.join(f'{name:>16}  {value:.5g}' for name, value in asdict(evaluation).items())
