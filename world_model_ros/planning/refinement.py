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
no gradients of the model, and a model that it misjudges costs time, never a worse plan.

Levenberg, "A method for the solution of certain non-linear problems in least squares", 1944;
secants: Broyden, "A class of methods for solving nonlinear simultaneous equations", 1965; bounds:
Bertsekas, "Projected Newton methods for optimization problems with simple constraints", 1982.
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
# Of the mean curvature: one bold step, one usual, one careful.
_DAMPINGS = np.array([0.01, 0.1, 1.0])
# Steps with one local model, the second with secants through what the first has found.
_STEPS = REFINEMENT_STEPS // len(_DAMPINGS)
# Fewer actions than this are not worth a round.
_LEAST_ACTIONS = 4

_NEWTON_STEPS = 10
_LENGTHS = np.array([1.0, 0.5, 0.2, 0.05])


class Refinement:
    """Rounds of steps from the cheapest sequence so far."""

    def __init__(self, manifest: Manifest, settings: PlannerSettings) -> None:
        """Take the settings' `refinement`, which may be None: then there are no rounds."""
        refinement = settings.refinement
        self.rounds = 0 if refinement is None else refinement.rounds
        if refinement is None:
            return
        self._sequences = Sequences(
            manifest, settings.model_copy(update={'knots': refinement.knots}))
        action = manifest.action
        stride = np.maximum(_STRIDE * np.array(settings.sigma), 2 * np.array(action.dead_band)
                            / np.array(action.normalization.std))
        reach = (self._sequences.upper - self._sequences.lower) / 2
        self._stride: Float = np.minimum(stride, reach).astype(np.float32)
        self._driven = list(action.driven)

    def sequences(self, fixed: int) -> int:
        """Sequences that one round imagines behind so many committed rows."""
        return 1 + len(self._actions(fixed)[0]) + REFINEMENT_STEPS

    @property
    def least(self) -> int:
        """Sequences below which a round is not worth its time."""
        return 1 + _LEAST_ACTIONS + REFINEMENT_STEPS

    def round(self, scoring: Scoring, fixed: int, generator: np.random.Generator,
              until: float) -> bool:
        """Try to improve on `scoring.actions` behind `fixed` rows; whether there was time for it.

        Where time is short, a random choice of the actions is moved.
        """
        best = scoring.actions
        knots, numbers = self._actions(fixed)
        if not len(knots):
            return False
        count = min(scoring.fitting(until) - 1 - REFINEMENT_STEPS, len(knots))
        if count < min(_LEAST_ACTIONS, len(knots)):
            return False
        if count < len(knots):
            chosen = np.sort(generator.choice(len(knots), count, replace=False))
            knots, numbers = knots[chosen], numbers[chosen]
        at = self._sequences.knots_of(best, fixed)
        lower, upper = (bound[numbers] - at[knots, numbers]
                        for bound in (self._sequences.lower, self._sequences.upper))
        # Away from the nearer bound, which would cut the change off.
        strides = np.where(upper >= -lower, 1, -1) * self._stride[numbers]

        def imagined(changes: Float) -> Float:
            """Residuals [n, E] of the best sequence changed by [n, count]."""
            deviations = np.zeros((len(changes), *at.shape), np.float32)
            deviations[:, knots, numbers] = changes
            return scoring.residuals(self._sequences.moved(best, deviations, fixed), until)

        first = imagined(np.concatenate([np.zeros((1, count), np.float32), np.diag(strides)]))
        if len(first) <= count or not np.isfinite(first[0]).all():
            return False
        slopes = (first[1:] - first[0]) / strides[:, None]
        slopes[~np.isfinite(slopes).all(1)] = 0
        change, residuals = np.zeros(count, np.float32), first[0]
        for _ in range(_STEPS):
            steps = least_squares(slopes, residuals, lower - change, upper - change, _DAMPINGS)
            changes = change + steps.astype(np.float32)
            found = imagined(changes)
            if len(found) < len(changes):
                return False
            costs = np.square(found).sum(1)
            order = np.argsort(-costs)
            order = order[np.isfinite(costs[order])]
            for index in order:  # the cheapest last, so that it holds exactly
                _through(slopes, changes[index] - change, found[index] - residuals)
            if order.size and costs[order[-1]] < np.square(residuals).sum():
                change, residuals = changes[order[-1]], found[order[-1]]
        return True

    def _actions(self, fixed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Knots and numbers [n] of the actions that act behind so many committed rows."""
        acting = self._sequences.acting(fixed)
        return np.repeat(acting, len(self._driven)), np.tile(self._driven, len(acting))


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
