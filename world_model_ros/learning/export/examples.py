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
"""Pictures, states and actions that any model can be asked about, to record and to compare."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Manifest
from world_model_ros.bundle.inputs import PoseProprioception

Float = NDArray[np.float32]

_SMALL_LATENT = 10_000  # numbers; larger ones get fewer golden sequences


def example_inputs(
    manifest: Manifest, sequences: int | None = None
) -> tuple[NDArray[np.uint8] | None, Float | None, Float | None, Float]:
    """Pictures, states, past actions and action sequences that a model can be asked about."""
    generator = np.random.default_rng(0)
    count = manifest.history + 1
    image = None
    if manifest.image is not None:
        shape = (count, *manifest.image.shape)
        height, width = shape[-3:-1]
        image = np.stack([example_picture(generator, height, width)
                          for _ in range(math.prod(shape[:-3]))]).reshape(shape)
    state = None
    if manifest.proprioception is not None:
        normal = manifest.proprioception.normalization
        state = (np.array(normal.mean) + np.array(normal.std) * generator.uniform(
            -0.5, 0.5, (count, len(normal.mean)))).astype(np.float32)
        if isinstance(manifest.proprioception, PoseProprioception):
            state[:, 6:] = np.abs(state[:, 6:])  # a gripper is between 0 and 1
    if sequences is None:
        sequences = 8 if manifest.latent.size <= _SMALL_LATENT else 3
    action = manifest.action
    rows = manifest.planner.horizon * action.rows_per_step
    actions = random_actions(generator, manifest, (sequences, rows))
    past_rows = (manifest.history - 1) * action.rows_per_step
    past = random_actions(generator, manifest, (past_rows,)) if past_rows else None
    return image, state, past, actions


def random_actions(
    generator: np.random.Generator, manifest: Manifest, shape: tuple[int, ...]
) -> Float:
    """Actions [*shape, A] in physical units as a planner proposes them: in bounds, some frozen."""
    action = manifest.action
    lower, upper = np.array(action.lower), np.array(action.upper)
    actions = generator.uniform(lower, upper, (*shape, action.size))
    actions[np.abs(actions) < np.array(action.dead_band)] = 0.0
    for name, value in action.frozen.items():
        actions[..., action.names.index(name)] = value
    return actions.astype(np.float32)


def example_picture(
    generator: np.random.Generator, height: int, width: int
) -> NDArray[np.uint8]:
    """Picture [height, width, 3]: soft patches of colour, each channel its own, and a little noise.

    Channels differ, so that red taken for blue does not pass.
    """
    coarse = generator.uniform(0.0, 255.0, (6, 6, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = picture + generator.normal(0.0, 4.0, picture.shape)
    pixels: NDArray[np.uint8] = np.clip(picture, 0.0, 255.0).astype(np.uint8)
    return pixels
