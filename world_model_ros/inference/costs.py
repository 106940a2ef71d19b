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
"""What a bundle calls good: weighed distances of imagined latents to a goal, or a learned return.

Costs are added up block by block as latents are imagined, so that no latent is kept for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Distance, DistanceCost, Manifest, ReturnCost
from world_model_ros.inference.errors import InferenceError
from world_model_ros.inference.open_graphs import OpenGraphs

Float = NDArray[np.float32]
# Latents [..., *S] and a goal [*G] to distances [...].
Measure = Callable[[Float, Float], Float]


_OVER_STEPS: dict[str, Callable[[Float], Float]] = {
    'last': lambda distances: distances[:, -1],
    'mean': lambda distances: distances.mean(1),
    'all': lambda distances: distances.sum(1),
}


class Scores(NamedTuple):
    """What imagined sequences are worth; infinite where the model gave no finite number.

    costs: float32 [N], what a plan minimises
    steps: float32 [N, H], the goal's distance after each model step, or minus its discounted reward
    latents: float32 [H, *S] of the cheapest sequence where one graph call imagines the horizon;
        None where the runtime loops and has not kept them
    residuals: float32 [N, E] whose squares add up to the costs, if asked for; not checked for NaN
    roots: which of them are roots of lengths: (begin, end, C) for vectors of C numbers each whose
        squares add up to the length of a difference of the same direction
    """

    costs: Float
    steps: Float
    latents: Float | None
    residuals: Float | None = None
    roots: tuple[tuple[int, int, int], ...] = ()


class Tally(Protocol):
    """Adds up the costs of B sequences."""

    def add(self, actions: Float, latents: Float) -> None:
        """Add the next steps: normalised actions [B, h, K], latents [B, h, *S] behind them."""

    def scores(self) -> tuple[Float, Float]:
        """Costs [B] and what each step is worth [B, H], after the last; see `Scores`."""

    def with_residuals(self, scores: Scores) -> Scores:
        """The scores with residuals after the last step; without where costs are no squares."""


def measure(manifest: Manifest, distance: Distance) -> Measure:
    """A distance of the manifest as a function."""
    part = manifest.latent.parts[distance.source].indices
    of_goal = manifest.goal_indices(distance.source)
    # Of [..., *tokens, C] and, once C is summed over, of [..., *tokens]; a vector has no tokens.
    axes = tuple(range(-len(manifest.latent.shape), 0))
    tokens = axes[1:]

    def reduce(values: Float, over: tuple[int, ...]) -> Float:
        if not over:
            return values
        reduced: Float = values.mean(over) if distance.reduction == 'mean' else values.sum(over)
        return reduced

    def l1(latents: Float, goal: Float) -> Float:
        return reduce(np.abs(latents - goal), axes)

    def squared(latents: Float, goal: Float) -> Float:
        return reduce(np.square(latents - goal), axes)

    def l2(latents: Float, goal: Float) -> Float:
        difference = latents - goal
        return reduce(np.sqrt(np.einsum('...i,...i->...', difference, difference)), tokens)

    def cosine(latents: Float, goal: Float) -> Float:
        product = np.einsum('...i,...i->...', latents, goal)
        norms = np.linalg.norm(latents, axis=-1) * np.linalg.norm(goal, axis=-1)
        with np.errstate(divide='ignore', invalid='ignore'):
            return reduce(1 - product / norms, tokens)

    metric = {'l1': l1, 'squared_l2': squared, 'l2': l2, 'cosine': cosine}[distance.metric]

    def measured(latents: Float, goal: Float) -> Float:
        with np.errstate(over='ignore', invalid='ignore'):
            values = np.asarray(metric(latents[..., part], goal[..., of_goal]), np.float32)
        return _finite(values)

    return measured


def residuals_of(manifest: Manifest, distance: Distance) -> tuple[Measure, int]:
    """Residuals [..., E] whose squares add up to a distance of the manifest, as a function.

    With it: of how many numbers C each vector is that is the root of a length, 0 if none is.
    """
    part = manifest.latent.parts[distance.source].indices
    size = manifest.latent.parts[distance.source].size
    of_goal = manifest.goal_indices(distance.source)

    def l1(latents: Float, goal: Float) -> Float:
        return rooted((latents - goal)[..., None])[..., 0]

    def squared(latents: Float, goal: Float) -> Float:
        return latents - goal

    def l2(latents: Float, goal: Float) -> Float:
        return rooted(latents - goal)

    def cosine(latents: Float, goal: Float) -> Float:
        # |a - b|^2 = 2 - 2 cos of unit vectors.
        return (_unit(latents) - _unit(goal)) * np.float32(math.sqrt(0.5))

    metric, root = {'l1': (l1, 1), 'squared_l2': (squared, 0), 'l2': (l2, size),
                    'cosine': (cosine, 0)}[distance.metric]
    over_tokens = distance.metric in ('l2', 'cosine')
    entries = manifest.latent.shape[:-1] if over_tokens else (*manifest.latent.shape[:-1], size)
    factor = np.float32(1.0 if distance.reduction == 'sum' else 1 / math.sqrt(math.prod(entries)))

    def residuals(latents: Float, goal: Float) -> Float:
        with np.errstate(over='ignore', invalid='ignore', divide='ignore'):
            values = metric(latents[..., part], goal[..., of_goal]) * factor
        flat: Float = values.reshape(*values.shape[:values.ndim - goal.ndim], -1)
        return flat

    return residuals, root


def rooted(differences: Float) -> Float:
    """Vectors [..., C] of the same direction as differences, their squares add up to the length."""
    length = np.linalg.norm(differences, axis=-1, keepdims=True)
    vectors: Float = differences / np.sqrt(np.maximum(length, np.float32(1e-12)))
    return vectors


def _unit(vectors: Float) -> Float:
    unit: Float = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


class DistanceTally:
    """J = sum of the terms' weight times the last, mean or summed distance of the steps."""

    def __init__(self, manifest: Manifest, cost: DistanceCost, goal: Float,
                 residuals: bool) -> None:
        """Costs toward a goal [*G]; `residuals` says whether they will be asked for."""
        assert manifest.goal is not None
        self._goal = goal
        self._terms = [(_key(term), term.steps, np.float32(term.weight)) for term in cost.terms]
        self._reported = _key(manifest.goal)
        distances = {_key(it): it for it in (manifest.goal, *cost.terms)}
        self._measures = {key: measure(manifest, it) for key, it in distances.items()}
        self._steps: dict[object, list[Float]] = {key: [] for key in self._measures}
        self._squared = [
            (term, *residuals_of(manifest, term)) for term in cost.terms if residuals]
        self._residuals: list[list[Float]] = [[] for _ in self._squared]

    def add(self, actions: Float, latents: Float) -> None:
        """See `Tally`."""
        for key, measured in self._measures.items():
            self._steps[key].append(measured(latents, self._goal))
        for (term, measured, _), blocks in zip(self._squared, self._residuals, strict=True):
            if term.steps == 'last':
                blocks[:] = [measured(latents[:, -1:], self._goal)]
            else:
                blocks.append(measured(latents, self._goal))

    def scores(self) -> tuple[Float, Float]:
        """See `Tally`."""
        steps = {key: blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
                 for key, blocks in self._steps.items()}
        costs = np.zeros(len(steps[self._reported]), np.float32)
        with np.errstate(over='ignore'):
            for key, which, weight in self._terms:
                costs = costs + weight * _OVER_STEPS[which](steps[key])
        return costs, steps[self._reported]

    def with_residuals(self, scores: Scores) -> Scores:
        """See `Tally`."""
        terms, roots, begin = [], [], 0
        for (term, _, root), blocks in zip(self._squared, self._residuals, strict=True):
            values = np.concatenate(blocks, axis=1)
            share = values.shape[1] if term.steps == 'mean' else 1
            terms.append(values.reshape(len(values), -1)
                         * np.float32(math.sqrt(term.weight / share)))
            end = begin + terms[-1].shape[1]
            if root:
                roots.append((begin, end, root))
            begin = end
        return scores._replace(residuals=np.concatenate(terms, axis=1), roots=tuple(roots))


class ReturnTally:
    """J = -(sum_k gamma^k r(z_k, a_k) + gamma^H V(z_H)), as TD-MPC2 (Hansen et al., ICLR 2024)."""

    def __init__(self, cost: ReturnCost, graphs: OpenGraphs, latent: Float) -> None:
        """Returns from a latent [*S] on."""
        self._graphs, self._discount = graphs, cost.discount
        self._before: Float | None = None
        self._first = latent
        self._rewards: list[Float] = []

    def add(self, actions: Float, latents: Float) -> None:
        """See `Tally`."""
        for step in range(actions.shape[1]):
            before = self._before
            if before is None:
                before = np.broadcast_to(self._first, latents[:, 0].shape)
            reward = self._graphs.run('reward', {'latent': before, 'action': actions[:, step]})
            self._rewards.append(reward['reward'])
            self._before = latents[:, step]

    def scores(self) -> tuple[Float, Float]:
        """See `Tally`."""
        assert self._before is not None
        horizon = len(self._rewards)
        discounts = np.power(self._discount, np.arange(horizon)).astype(np.float32)
        steps = -np.stack(self._rewards, axis=1) * discounts
        value = self._graphs.run('value', {'latent': self._before})['value']
        with np.errstate(over='ignore', invalid='ignore'):
            costs = steps.sum(1) - np.float32(self._discount ** horizon) * value
        return _finite(costs), _finite(steps)

    def with_residuals(self, scores: Scores) -> Scores:
        """See `Tally`: a return is no sum of squares."""
        return scores


def check_goal(manifest: Manifest, goal: Float | None) -> None:
    """Refuse a goal that the bundle's cost cannot take; raises InferenceError."""
    if not manifest.has_goal:
        if goal is not None:
            raise InferenceError(f'{manifest.model.name} has no goals: its cost is a return')
        return
    shape = manifest.goal_shape
    if goal is None or goal.shape != shape or not np.isfinite(goal).all():
        raise InferenceError(f'the goal must be {list(shape)} finite numbers')


def _finite(values: Float) -> Float:
    """Infinity in place of what is no number: a failed sequence loses against all others."""
    return np.where(np.isfinite(values), values, np.float32(np.inf))


def _key(distance: Distance) -> tuple[str, str, str]:
    return distance.source, distance.metric, distance.reduction
