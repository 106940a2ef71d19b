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
"""Experience: what the arm's camera and joints show while it is driven by random velocity commands.

The commands pass through the simulated drive, so the data hold its ramps and its stops at the
joints' ends. Everything follows from the seed, whatever the number of processes.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from world_model_ros.bundle import ImageContract
from world_model_ros.observation.image import fit_image
from world_model_ros.simulation import ArmSimulation

STEP_DURATION = 0.1
"""Seconds that one action is held: the model's step."""

EPISODE_STEPS = 40
"""Actions per episode; a window for training is cut from it at random."""

_LONGEST_HOLD = 8  # steps for which a random command stays the same, at most


@dataclass(frozen=True)
class Episodes:
    """Experience of E episodes of T actions, and an observation before every `k` of them.

    `images` uint8 `[E, T/k + 1, h, w, 3]` RGB; `positions`, `velocities` `[E, T/k + 1, J]` in rad
    and rad/s; `actions` `[E, T, J]` in rad/s: rows from t k to (t + 1) k were commanded between
    observations t and t + 1.
    """

    images: NDArray[np.uint8]
    positions: NDArray[np.float32]
    velocities: NDArray[np.float32]
    actions: NDArray[np.float32]

    @property
    def proprioception(self) -> NDArray[np.float32]:
        """All joints' positions, then all their velocities: `[E, T/k + 1, 2 J]`."""
        return np.concatenate([self.positions, self.velocities], axis=-1)

    def part(self, start: int, stop: int) -> 'Episodes':
        """Return the episodes `start` to `stop` (views, no copies)."""
        return Episodes(
            self.images[start:stop],
            self.positions[start:stop],
            self.velocities[start:stop],
            self.actions[start:stop],
        )


def random_actions(
    generator: np.random.Generator, steps: int, limit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return piecewise-constant velocities `[steps, J]` in rad/s, each joint on its own.

    A third are uniform; the rest are rest, slow motion and full speed, which a planner asks for far
    more often than chance would.
    """
    actions = np.empty((steps, limit.size))
    for joint, top in enumerate(limit):
        step = 0
        while step < steps:
            hold = int(generator.integers(1, _LONGEST_HOLD + 1))
            kind = generator.choice(4, p=[0.15, 0.3, 0.2, 0.35])
            sign = generator.choice([-1.0, 1.0])
            speed = [0.0, generator.uniform(0.0, 0.3), 1.0, generator.uniform(0.0, 1.0)][kind]
            actions[step : step + hold, joint] = sign * speed * top
            step += hold
    return actions


def collect(
    episodes: int,
    contract: ImageContract,
    seed: int,
    processes: int | None = None,
    every: int = 1,
) -> Episodes:
    """Drive the simulated arm for `episodes` episodes and return what was seen.

    It is looked at before every `every` actions, k in `Episodes`: a divisor of `EPISODE_STEPS`.
    """
    jobs = [(seed, index, contract, every) for index in range(episodes)]
    workers = min(processes or len(os.sched_getaffinity(0)), episodes)
    shape = (episodes, EPISODE_STEPS // every + 1)
    images = np.empty((*shape, contract.height, contract.width, 3), np.uint8)
    rows = []
    # Fresh interpreters: an OpenGL context does not survive a fork.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        results: Iterator[Episodes] = pool.map(_episode, jobs, chunksize=8)
        for index, one in enumerate(tqdm(results, 'collecting', episodes, unit='episode')):
            images[index] = one.images[0]
            rows.append((one.positions[0], one.velocities[0], one.actions[0]))
    positions, velocities, actions = (np.stack(column) for column in zip(*rows, strict=True))
    return Episodes(images, positions, velocities, actions)


@cache
def _arm() -> ArmSimulation:
    """Return this process's arm: an OpenGL context takes half a second to make."""
    return ArmSimulation()


def _episode(job: tuple[int, int, ImageContract, int]) -> Episodes:
    seed, index, contract, every = job
    arm = _arm()
    generator = np.random.default_rng([seed, index])
    limits = arm.limits
    arm.reset(generator.uniform(limits.lower, limits.upper))
    actions = random_actions(generator, EPISODE_STEPS, limits.velocity)
    seen = [_observe(arm, contract)]
    for step, action in enumerate(actions, start=1):
        arm.command_velocity(action)
        arm.step(STEP_DURATION)
        if step % every == 0:
            seen.append(_observe(arm, contract))
    images, positions, velocities = (np.stack(column)[None] for column in zip(*seen, strict=True))
    return Episodes(images, positions, velocities, actions[None].astype(np.float32))


def _observe(
    arm: ArmSimulation, contract: ImageContract
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    return (
        fit_image(arm.render(), contract),
        arm.positions.astype(np.float32),
        arm.velocities.astype(np.float32),
    )
