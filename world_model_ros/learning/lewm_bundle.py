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
"""The benchmark's LeWM from nothing: drive the arm, train, measure, export as anybody's checkpoint.

Beside the bundle lies its training folder, `NAME.training`, with what stable-worldmodel would have
written: `weights.pt` and `config.json`. From those the bundle is made, on the way of `wmros export
lewm`, and from those the other planner plans.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_model_ros.bundle import Bundle, ImageContract
from world_model_ros.learning.curves import draw_curves
from world_model_ros.learning.dataset import STEP_DURATION, Episodes, collect
from world_model_ros.learning.export import Request, assemble, build, read_robot
from world_model_ros.learning.lewm import ROWS, SIDE, WINDOW, Experience, Recipe, Training, rollout
from world_model_ros.learning.reach import image_contract
from world_model_ros.observation.image import fit_image
from world_model_ros.simulation import ArmSimulation

_REACHED = 0.03  # metres from the goal at which the tip counts as there
_PAIRS = 48
_LEAST_STD = 1e-3

PLANNER: dict[str, Any] = {
    # The search moves an action every 0.3 s at first and every 0.5 s later, the refinement all 25
    # rows that the published one has.
    'horizon': 5, 'knots': [0, 3, 6, 10, 15, 20], 'interpolation': 'hold', 'sampler': 'icem',
    'samples': 32, 'iterations': 2, 'elites': 8, 'kept_elites': 4, 'noise_exponent': 2.0,
    'decay': 1.0, 'sigma': 0.8, 'sigma_min': 0.05, 'momentum': 0.1, 'constant_grid': 3,
    'refinement': {'rounds': 4, 'knots': list(range(25))},
}

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """Figures of the model on held-out episodes.

    angle_r2: share of the joint angles' variance that is linear in a picture's latent, as read
        with coefficients of the episodes that were learned from
    angle_error: root mean square error of that reading [rad]
    rollout_ratio: squared error of the imagined latent over that of assuming no motion, after the
        horizon
    imagined_angle_error: of the angles read from it [rad]
    minutes: that training took, data and export aside
    """

    angle_r2: float
    angle_error: float
    rollout_ratio: float
    imagined_angle_error: float
    minutes: float


def training_folder(folder: Path) -> Path:
    """Where the checkpoint of the bundle `folder` lies."""
    return folder.with_name(f'{folder.name}.training')


def train_lewm(
    folder: Path, recipe: Recipe, seed: int, report: Callable[[str], None]
) -> tuple[Bundle, Evaluation]:
    """Make the bundle `folder`; a run that was cut off goes on. Raises ExportError."""
    torch.set_num_threads(1)
    arm = ArmSimulation()
    work = training_folder(folder)
    run = Training(work, recipe, seed, len(arm.joints))
    episodes = _episodes(work, image_contract(SIDE), recipe, seed)
    seen, held_out = (episodes.part(0, recipe.episodes),
                      episodes.part(recipe.episodes, recipe.episodes + recipe.held_out))
    actions = seen.actions.reshape(-1, seen.actions.shape[-1])
    mean, std = actions.mean(0), np.maximum(actions.std(0), _LEAST_STD)
    centre, spread = _spread(arm)
    known = _experience(seen, mean, std, centre, spread)
    run.run(known)
    run.write_checkpoint()
    draw_curves(run.progress.curves, work / 'training.png')
    evaluation = evaluate(
        run, known, _experience(held_out, mean, std, centre, spread), spread)
    robot = robot_file(arm, mean, std, reached_distance(run, arm, seed), seed)
    (work / 'robot.yaml').write_text(json.dumps(robot, indent=1))  # JSON is YAML
    (work / 'evaluation.json').write_text(json.dumps(asdict(evaluation), indent=1))
    told = read_robot(work / 'robot.yaml', None)
    source = build('lewm', Request(checkpoint=work / 'weights.pt'), told)
    return assemble(source, told, folder, report), evaluation


@torch.no_grad()
def evaluate(
    run: Training, known: Experience, held_out: Experience, spread: Floats
) -> Evaluation:
    """Figures of a model that was trained on `known`; poses were divided by `spread` [J] [rad]."""
    latents = run.embed(held_out.pictures)
    horizon = int(PLANNER['horizon'])
    poses = held_out.poses.numpy() * spread
    truth = poses.reshape(-1, len(spread))
    fit = _reading(run.embeddings(known), known.poses.numpy() * spread)
    residual = _read(latents, fit).reshape(truth.shape) - truth
    imagined = rollout(run.model, latents[:, :WINDOW],
                       held_out.actions[:, :WINDOW - 1 + horizon])[:, -1, -1]
    last = WINDOW - 1 + horizon
    error = (imagined - latents[:, last]).square().mean()
    still = (latents[:, WINDOW - 1] - latents[:, last]).square().mean()
    return Evaluation(
        angle_r2=float(1 - np.square(residual).mean() / truth.var(axis=0).mean()),
        angle_error=float(np.sqrt(np.square(residual).mean())),
        rollout_ratio=float(error / still),
        imagined_angle_error=float(
            np.sqrt(np.square(_read(imagined, fit) - poses[:, last]).mean())),
        minutes=run.progress.seconds / 60)


def _reading(latents: Tensor, poses: NDArray[Any]) -> NDArray[Any]:
    """Coefficients [D + 1, J] that read poses [E, F, J] from latents [E, F, D].

    With a ridge: some directions hardly occur, and what is imagined strays into them.
    """
    flat = latents.flatten(0, -2).numpy()
    design = np.column_stack([flat, np.ones(len(flat))])
    fit: NDArray[Any] = np.linalg.solve(
        design.T @ design + 1e-1 * np.eye(design.shape[1]),
        design.T @ poses.reshape(len(flat), -1))
    return fit


def _read(latents: Tensor, fit: NDArray[Any]) -> NDArray[Any]:
    """Poses [..., J] that are read from latents [..., D]."""
    poses: NDArray[Any] = latents.numpy() @ fit[:-1] + fit[-1]
    return poses


def reached_distance(run: Training, arm: ArmSimulation, seed: int) -> float:
    """Median squared distance of the latents of pictures whose tips are 3 cm apart."""
    generator = np.random.default_rng([seed, 1])
    contract = image_contract(SIDE)
    lower, upper = arm.limits.lower + 0.3, arm.limits.upper - 0.3
    pictures = []
    for _ in range(_PAIRS):
        pose = generator.uniform(lower, upper)
        way = generator.normal(size=len(pose))
        way *= 1e-3 / np.linalg.norm(way)
        slope = float(np.linalg.norm(arm.tip_at(pose + way) - arm.tip_at(pose)))
        near = pose + way * min(_REACHED / max(slope, 1e-6), 200.0)
        pictures += [fit_image(arm.render_at(pose), contract),
                     fit_image(arm.render_at(near), contract)]
    latents = run.embed(torch.from_numpy(np.stack(pictures))).view(_PAIRS, 2, -1)
    return float((latents[:, 0] - latents[:, 1]).square().sum(-1).median())


def robot_file(
    arm: ArmSimulation, mean: Floats, std: Floats, reached: float, seed: int
) -> dict[str, Any]:
    """What `wmros export lewm --robot` is told."""
    return {
        'model': {'name': 'reach-lewm', 'version': '1.0.0', 'license': 'Apache-2.0',
                  'source': f'wmros train lewm --seed {seed}'},
        'action': {
            'kind': 'joint_velocity', 'names': list(arm.joints),
            'units': ['rad/s'] * len(arm.joints),
            'lower': (-arm.limits.velocity).tolist(), 'upper': arm.limits.velocity.tolist(),
            'normalization': {'mean': mean.astype(float).tolist(),
                              'std': std.astype(float).tolist()},
            'step_duration': STEP_DURATION},
        'image': {'crop': 'center_square', 'interpolation': 'area'},
        'goal': {'reached': round(reached, 4)},
        'planner': PLANNER,
    }


def describe(evaluation: Evaluation) -> str:
    """Return the figures, one a line."""
    return '\n'.join(f'{name:>20}  {value:.5g}' for name, value in asdict(evaluation).items())


def _spread(arm: ArmSimulation) -> tuple[Floats, Floats]:
    """Middle and standard deviation [J] of angles that are spread evenly over the limits [rad]."""
    limits = arm.limits
    return (((limits.upper + limits.lower) / 2).astype(np.float32),
            ((limits.upper - limits.lower) / np.sqrt(12.0)).astype(np.float32))


def _experience(
    episodes: Episodes, mean: Floats, std: Floats, centre: Floats, spread: Floats
) -> Experience:
    count, _, joints = episodes.actions.shape
    actions = ((episodes.actions - mean) / std).reshape(count, -1, ROWS * joints)
    poses = (episodes.positions - centre) / spread
    return Experience(torch.from_numpy(episodes.images),
                      torch.from_numpy(poses.astype(np.float32)),
                      torch.from_numpy(actions.astype(np.float32)))


def _episodes(work: Path, contract: ImageContract, recipe: Recipe, seed: int) -> Episodes:
    """Collect what is learned from, or read what an earlier start of the same run has kept."""
    names = ('images', 'positions', 'velocities', 'actions')
    files = [work / f'{name}.npy' for name in names]
    count = recipe.episodes + recipe.held_out
    if all(file.is_file() for file in files):
        arrays = [np.load(file) for file in files]
        if all(len(array) == count for array in arrays):
            return Episodes(*arrays)
    episodes = collect(count, contract, seed, processes=1, every=ROWS)
    for name, file in zip(names, files, strict=True):
        np.save(file, getattr(episodes, name))
    return episodes
