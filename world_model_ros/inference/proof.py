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
"""The proof that a bundle does here what it did where it was exported: its golden vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Bundle, BundleError, Fault, GoldenVectors, Manifest
from world_model_ros.inference.context import Context, first_context
from world_model_ros.inference.errors import InferenceError

if TYPE_CHECKING:
    from world_model_ros.inference.model import WorldModel

Float = NDArray[np.float32]

_CURE = ('check colour order, normalisation and that graph and golden vectors come from one '
         'export; else export again')


def golden_start(bundle: Bundle) -> tuple[Context, Float | None]:
    """Context of the golden rollout and the goal [*G] that it is scored for: real observations."""
    goal = bundle.golden.goal
    return golden_context(bundle.manifest, bundle.golden), None if goal is None else goal[-1]


def golden_context(manifest: Manifest, golden: GoldenVectors) -> Context:
    """Where the golden rollout starts: the first observations, as many as the model's history."""
    history = manifest.history
    state = None if golden.proprioception is None else golden.proprioception[:history]
    first = first_context(manifest, golden.latent[0])
    past = first.past_actions if golden.past_actions is None else golden.past_actions
    return Context(golden.latent[:history], past, state, first.states)


def golden_sequences(bundle: Bundle, count: int) -> Float:
    """Actions [count, H * rows_per_step, A] like the golden ones, for what is measured.

    No two begin alike, for what sequences have in common is imagined once.
    """
    actions = bundle.golden.actions
    factors = np.linspace(1.0, 0.5, count, dtype=np.float32)
    sequences: Float = np.resize(actions, (count, *actions.shape[1:])) * factors[:, None, None]
    return sequences


def prove(model: WorldModel) -> dict[str, float]:
    """Largest deviation of each golden vector, as a fraction of its largest number.

    Raises BundleError where it is more than the manifest's tolerance, or a graph fails. It also
    warms the sessions up.
    """
    golden, manifest = model.bundle.golden, model.manifest
    context, goal = golden_start(model.bundle)
    observations = list(zip(
        [None] * len(golden.latent) if golden.image is None else golden.image,
        [None] * len(golden.latent) if golden.proprioception is None else golden.proprioception,
        strict=True))

    def goals() -> Float:
        return np.stack([model.encode_goal(*observation) for observation in observations])

    checks: list[tuple[str, Callable[[], Float], Float]] = [
        ('encoder', lambda: np.stack([model.encode(*it) for it in observations]), golden.latent)]
    if golden.goal is not None:
        checks.append(('goal_encoder' if manifest.graphs.goal_encoder else 'encoder', goals,
                       golden.goal))
    checks.append(('rollout' if manifest.graphs.rollout else 'predictor',
                   lambda: model.imagine(context, golden.actions), golden.latents))
    if golden.policy is not None:
        checks.append(('policy', lambda: np.stack([model.policy(it) for it in golden.latent]),
                       golden.policy))
    checks.append(('cost', lambda: model.score(context, goal, golden.actions).costs, golden.costs))

    deviations: dict[str, float] = {}
    for name, compute, expected in checks:
        try:
            deviation = _deviation(compute(), expected)
        except InferenceError as error:
            field = name if name == 'cost' else f'graphs.{name}.file'
            raise BundleError(model.bundle.path, [Fault(
                field, f'fails on the golden vectors: {error}', 'export the bundle again',
            )]) from error
        deviations[name] = float(np.maximum(deviation, deviations.get(name, 0.0)))
    tolerance = manifest.golden.tolerance
    faults = [
        Fault('cost' if name == 'cost' else f'graphs.{name}',
              f'differs from the golden vectors by {deviation:.1e} of their largest number, '
              f'{tolerance:.1e} is allowed', _CURE)
        for name, deviation in deviations.items() if not deviation <= tolerance]
    if faults:
        raise BundleError(model.bundle.path, faults)
    return deviations


def _deviation(actual: Float, expected: Float) -> float:
    return float(np.abs(actual - expected).max() / np.abs(expected).max().clip(1e-6))
