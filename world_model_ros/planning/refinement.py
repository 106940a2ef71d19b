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
"""Damped Gauss-Newton steps: what noise finds slowly, a local model of the latents finds at once.

A distance to a goal is a sum of squares of residuals that follow the actions smoothly. One batch of
sequences, each with one action changed a little, tells how; the least squares which that predicts
are then imagined like any other sequences, and count only if they are cheaper. So the method needs
no gradients of the model, and a model that it misjudges costs time, never a worse plan. Lengths
that are no squares (`l2`, `l1`) are taken for squares with weights that are what they are at the
best sequence, as iteratively reweighted least squares does.

Levenberg, "A method for the solution of certain non-linear problems in least squares", 1944;
secants: Broyden, "A class of methods for solving nonlinear simultaneous equations", 1965; bounds:
Bertsekas, "Projected Newton methods for optimization problems with simple constraints", 1982;
reweighting: Holland and Welsch, "Robust regression using iteratively reweighted least-squares",
1977.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import REFINEMENT_STEPS, Manifest, PlannerSettings
from world_model_ros.planning.scoring import Scoring
from world_model_ros.planning.sequences import Sequences

Float = NDArray[np.float32]
Double = NDArray[np.float64]

# Share of the first standard deviation by which an action is changed to see what follows.
_STRIDE = 0.1
# Of the mean curvature, from a bold step to a careful one. Half as many need a third more rounds.
_DAMPINGS = np.geomspace(0.003, 1.0, 6)
# Steps with one local model, the second with secants through what the first has found.
_STEPS = REFINEMENT_STEPS // len(_DAMPINGS)
# Fewer actions than this are not worth a round.
_LEAST_ACTIONS = 4

_NO_LENGTH = 1e-12
_NEWTON_STEPS = 10
_LENGTHS = np.array([1.0, 0.5, 0.2, 0.05])


class Refinement:
    """Rounds of steps from the cheapest sequence so far."""

    def __init__(self, manifest: Manifest, settings: PlannerSettings) -> None:
        """Take the settings' `refinement`, which may be None: then there are no rounds."""
        self._settings = settings.refinement
        if settings.refinement is None:
            return
        self._sequences = Sequences(
            manifest, settings.model_copy(update={'knots': settings.refinement.knots}))
        action = manifest.action
        stride = np.maximum(_STRIDE * np.array(settings.sigma), 2 * np.array(action.dead_band)
                            / np.array(action.normalization.std))
        reach = (self._sequences.upper - self._sequences.lower) / 2
        self._stride: Float = np.minimum(stride, reach).astype(np.float32)
        self._driven = list(action.driven)

    def share(self, fitting: int) -> int:
        """Sequences to set aside, of so many that there is time for: half of them at most.

        0 where that is not enough for a round.
        """
        if self._settings is None:
            return 0
        share = min(self._settings.sequences(len(self._driven)), fitting // 2)
        return share if share > _LEAST_ACTIONS + REFINEMENT_STEPS else 0

    def refine(self, scoring: Scoring, fixed: int, generator: np.random.Generator,
               until: float) -> int:
        """Improve on `scoring.actions` behind `fixed` rows, in as many rounds as it returns."""
        if self._settings is None:
            return 0
        local = _LocalModel(self._sequences, self._stride, self._driven, scoring, fixed)
        for done in range(self._settings.rounds):
            if not local.measure(generator, until):
                return done
            for _ in range(_STEPS):
                if not local.step(until):
                    return done
        return self._settings.rounds


class _LocalModel:
    """How the residuals follow the actions [n] around the best sequence of one plan.

    slopes: [n, E], of the residuals [E] by each action
    """

    def __init__(self, sequences: Sequences, stride: Float, driven: list[int], scoring: Scoring,
                 fixed: int) -> None:
        """Actions are the `driven` numbers [A] at each knot that acts behind the `fixed` rows."""
        self._sequences, self._scoring, self._fixed = sequences, scoring, fixed
        acting = sequences.acting(fixed)
        self._knots, self._numbers = np.repeat(acting, len(driven)), np.tile(driven, len(acting))
        self._stride = stride[self._numbers]
        self._best = scoring.actions
        self._residuals: Float | None = None
        self._slopes: Float = np.empty((0, 0), np.float32)

    def measure(self, generator: np.random.Generator, until: float) -> bool:
        """Measure all slopes, or a random choice that there is time for, as if others were flat.

        False where there is not even time for a few, or the best is no number.
        """
        count = len(self._knots)
        first = self._residuals is None
        size = min(self._scoring.fitting(until) - REFINEMENT_STEPS - first, count)
        if size < max(1, min(count, _LEAST_ACTIONS)):
            return False
        chosen = np.sort(generator.choice(count, size, replace=False))
        lower, upper = self._room(self._best)
        # Away from the nearer bound, which would cut the change off.
        strides = (np.where(upper >= -lower, 1, -1) * self._stride)[chosen]
        changes = np.zeros((first + size, count), np.float32)
        changes[np.arange(size) + first, chosen] = strides
        _, found = self._imagined(changes, until)
        if len(found) < len(changes):
            return False
        if self._residuals is None:
            self._residuals = found[0]
        slopes = (found[first:] - self._residuals) / strides[:, None]
        slopes[~np.isfinite(slopes).all(1)] = 0
        self._slopes = np.zeros((count, len(self._residuals)), np.float32)
        self._slopes[chosen] = slopes
        return bool(np.isfinite(self._residuals).all())

    def step(self, until: float) -> bool:
        """Go where the local model puts the least cost, if it is there; False without the time."""
        assert self._residuals is not None
        steps = least_squares(
            *reweighted(self._slopes, self._residuals, self._scoring.roots),
            *self._room(self._best), _DAMPINGS)
        changes = steps.astype(np.float32)
        actions, found = self._imagined(changes, until)
        if len(found) < len(changes):
            return False
        costs = np.square(found).sum(1)
        order = np.argsort(-costs)
        order = order[np.isfinite(costs[order])]
        for index in order:  # the cheapest last, so that it holds exactly
            _through(self._slopes, changes[index], found[index] - self._residuals)
        if order.size and costs[order[-1]] < np.square(self._residuals).sum():
            self._best, self._residuals = actions[order[-1]], found[order[-1]]
        return True

    def _room(self, actions: Float) -> tuple[Float, Float]:
        """How far each action [n] of a sequence may go down and up."""
        at = self._sequences.knots_of(actions, self._fixed)[self._knots, self._numbers]
        lower, upper = self._sequences.lower, self._sequences.upper
        return lower[self._numbers] - at, upper[self._numbers] - at

    def _imagined(self, changes: Float, until: float) -> tuple[Float, Float]:
        """Sequences with changes [N, n] of the best, and residuals of those there is time for."""
        deviations = self._sequences.still(len(changes))
        deviations[:, self._knots, self._numbers] = changes
        actions = self._sequences.moved(self._best, deviations, self._fixed)
        return actions, self._scoring.residuals(actions, until)


def reweighted(
    slopes: Float, residuals: Float, roots: tuple[tuple[int, int, int], ...]
) -> tuple[Float, Float]:
    """Slopes [n, E] and residuals [E] with frozen weights in place of roots of lengths.

    For r = d / sqrt|d| of a difference d, dr = (1 - u u' / 2) dd / sqrt|d| with u = d / |d|, so
    that a full step along d goes twice as far as it should. A weight that stays what it is gives
    dd / sqrt|d| = (1 + u u') dr, and |d| <= (|d|^2 / |d_0| + |d_0|) / 2 the factor sqrt(1/2).
    """
    if not roots:  # slopes of many tokens are large
        return slopes, residuals
    slopes, residuals = slopes.copy(), residuals.copy()
    half = np.float32(np.sqrt(0.5))
    for begin, end, size in roots:
        vectors = residuals[begin:end].reshape(-1, size)
        units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _NO_LENGTH)
        bent = slopes[:, begin:end].reshape(len(slopes), -1, size)
        along = np.einsum('ngc,gc->ng', bent, units)[..., None]
        slopes[:, begin:end] = (half * (bent + along * units)).reshape(len(slopes), -1)
        residuals[begin:end] *= half
    return slopes, residuals


def least_squares(slopes: Float, residuals: Float, lower: Float, upper: Float,
                  dampings: Double) -> Double:
    """Steps x [D, n] between bounds [n] that minimise |r + J' x|^2 + damping mean(diag JJ') |x|^2.

    slopes: J [n, E], of the residuals r [E] by each action; 0 is within the bounds
    dampings: [D]
    """
    square = (slopes @ slopes.T).astype(np.float64)
    slope = (slopes @ residuals).astype(np.float64)
    count = len(square)
    curvature = max(float(np.trace(square)) / count, 1e-30)
    hessians = square + (dampings * curvature)[:, None, None] * np.eye(count)
    steps = np.zeros((len(dampings), count))
    low, high = np.minimum(lower, 0).astype(np.float64), np.maximum(upper, 0).astype(np.float64)
    # No eigenvalue is above a row's sum, so that a gradient step of its inverse leads down.
    steepest = 1 / np.abs(hessians).sum(2).max(1)[:, None]
    diagonal, each = np.arange(count), np.arange(len(dampings))
    for _ in range(_NEWTON_STEPS):
        gradients = slope + np.einsum('dij,dj->di', hessians, steps)
        held = ((steps <= low) & (gradients > 0)) | ((steps >= high) & (gradients < 0))
        free = np.where(held[:, :, None] | held[:, None, :], 0, hessians)
        free[:, diagonal, diagonal] += held
        newton = np.linalg.solve(free, np.where(held, 0, -gradients)[..., None])[..., 0]
        tried = np.clip(np.concatenate([
            steps[:, None] + _LENGTHS[:, None] * newton[:, None],
            (steps - steepest * gradients)[:, None], steps[:, None]], axis=1), low, high)
        values = tried @ slope + 0.5 * np.einsum('dti,dij,dtj->dt', tried, hessians, tried)
        chosen = values.argmin(1)
        moved = tried[each, chosen]
        settled = np.abs(moved - steps).max() < 1e-4
        steps = moved
        if settled:
            break
    return steps


def _through(slopes: Float, change: Float, difference: Float) -> None:
    """Broyden's update in place: the least change of slopes [n, E] that explains a difference."""
    length = float(change @ change)
    if length > 1e-8:
        slopes += np.outer(change / length, difference - change @ slopes)
