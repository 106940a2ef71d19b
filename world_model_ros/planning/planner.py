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
"""The anytime planner: the best action sequence toward a goal that a deadline allows.

One loop: propose candidates, let the model score them all, refit. The search runs over a few knots
instead of every row, in normalised units, inside the bounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import PlannerSettings
from world_model_ros.inference import Context, Scores, WorldModel, golden_start
from world_model_ros.planning.cem import CrossEntropy
from world_model_ros.planning.warm_start import WarmStart

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """An action sequence and what the model expects of it.

    actions: float32 [H * rows_per_step, A], physical units; each row is held for `step_duration`
    latents: float32 [H, *S]; row k is the state after model step k
    step_costs: float32 [H], distance of each latent to the goal, or minus its discounted reward
    cost: what the planner minimised; infinite if the model gave no finite number for any candidate
    goal_distance: of the latent from which the plan starts; NaN without a goal
    samples: action sequences imagined
    iterations: batches that they came in
    planning_time: seconds
    warm_start: what the next plan starts from, on this plan's rows
    """

    actions: Float
    latents: Float
    step_costs: Float
    cost: float
    goal_distance: float
    samples: int
    iterations: int
    planning_time: float
    warm_start: WarmStart


class Planner:
    """Plans with one model; remembers nothing but how long imagining takes on this machine.

    With equal arguments and a deadline far away, plans are equal to the byte.
    """

    def __init__(self, model: WorldModel, settings: PlannerSettings,
                 clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives the time that deadlines are on, in seconds."""
        manifest = model.bundle.manifest
        self._model, self._settings, self._clock = model, settings, clock
        self._rows = settings.horizon * manifest.action.rows_per_step
        action = manifest.action
        self._action_mean = np.array(action.normalization.mean, np.float32)
        self._action_std = np.array(action.normalization.std, np.float32)
        self._lower = _inward(action.lower, np.inf)
        self._upper = _inward(action.upper, -np.inf)
        self._driven = list(action.driven)
        self._frozen = [action.names.index(name) for name in action.frozen]
        self._frozen_values = np.array(list(action.frozen.values()), np.float32)
        self._dead_band = np.array(action.dead_band, np.float32)
        self._has_dead_band = bool(self._dead_band.any())
        self._lower_knot = self._normalize(self._lower)
        self._upper_knot = self._normalize(self._upper)
        self._weights = _interpolation(settings, self._rows)
        self._grid = self._constant_grid()
        # As long as a plan: NumPy's inner loop would be as short as a row.
        self._mean_rows, self._std_rows, self._lower_rows, self._upper_rows = (
            np.tile(row, (self._rows, 1))
            for row in (self._action_mean, self._action_std, self._lower, self._upper))
        # Where the runtime loops, what is chosen is imagined once more, for its latents.
        self._loops = manifest.graphs.rollout is None
        self._pace = _Pace()
        self._measure_pace()

    def plan(self, context: Context, goal: Float | None, *, committed: Float | None = None,
             warm_start: WarmStart | None = None, seed: int, deadline: float) -> Plan:
        """Plan from `context` toward `goal` [*G], or for the largest return where it is None.

        committed: [K, A] first rows that run whatever is planned now; they are repeated in the plan
        warm_start: an earlier plan, moved on to now; the result never costs more than its actions
            behind the committed ones
        seed: of everything random here
        deadline: on the planner's clock. Batches shrink or drop out to keep it; one imagined
            sequence is the least, so the deadline is overrun only where not even that fits.
        Raises InferenceError.
        """
        started = self._clock()
        fixed = 0 if committed is None else min(len(committed), self._rows)
        weights = self._weights[:self._rows - fixed]
        still = self._inside(self._model.idle(context))
        earlier = None if warm_start is None else warm_start.actions
        first = self._first_guess(earlier, committed, fixed, still)
        guess = self._knots_of(first[fixed:], weights)
        constants = np.concatenate([self._constant(still[None]), self._grid])
        search = CrossEntropy(self._settings, guess, self._lower_knot, self._upper_knot,
                              np.random.Generator(np.random.PCG64(seed)))
        best = _Best()
        samples = batches = 0
        for iteration in range(self._settings.iterations + 1):
            polish = iteration == self._settings.iterations
            size = 1 if polish else self._settings.samples
            reserve = self._pace.single if self._loops else 0.0
            size = min(size, self._pace.fitting(deadline - self._clock() - reserve))
            if iteration == 0:
                size = max(size, 1)
            worthwhile = 1 if polish or iteration == 0 else self._settings.elites
            if size < worthwhile:
                continue
            knots = self._candidates(search, size, iteration, guess, constants)
            actions = self._actions(knots, weights, first[:fixed])
            if iteration == 0:
                actions[0] = first
            before = self._clock()
            scores = self._model.score(context, goal, actions)
            self._pace.record(size, self._clock() - before)
            samples += size
            batches += 1
            best.offer(actions, scores)
            search.refit(knots, scores.costs)
        latents = best.latents
        if latents is None:
            before = self._clock()
            latents = self._model.imagine(context, best.actions[None])[0]
            self._pace.record(1, self._clock() - before)
        distance = math.nan if goal is None else float(self._model.distance(context.latent, goal))
        elites = self._actions(search.elites, weights, first[:fixed])
        return Plan(best.actions, latents, best.steps, best.cost, distance, samples, batches,
                    self._clock() - started, WarmStart(best.actions, elites))

    def _first_guess(self, earlier: Float | None, committed: Float | None, fixed: int,
                     still: Float) -> Float:
        """The earlier plan, or standing still, behind the committed rows: inside the bounds."""
        first = np.tile(still, (self._rows, 1))
        if earlier is not None:
            first[:] = self._inside(earlier)
        if committed is not None:
            first[:fixed] = committed[:fixed]
        return first

    def _inside(self, actions: Float) -> Float:
        """Within the bounds, and frozen where they are."""
        inside: Float = np.clip(actions, self._lower, self._upper)
        inside[..., self._frozen] = self._frozen_values
        return inside

    def _candidates(self, search: CrossEntropy, size: int, iteration: int, guess: Float,
                    constants: Float) -> Float:
        """Knots [size, M, A] to imagine.

        The first batch starts with what the search must not lose against (the first guess, standing
        still) and with constant actions: they reach basins that noise around one guess does not.
        Later ones start with the mean, which is smoother than any sample.
        """
        if iteration > 0:
            return np.concatenate([search.mean[None], search.sample(size - 1)])
        fixed = np.concatenate([guess[None], constants])[:max(2, size // 2)][:size]
        return np.concatenate([fixed, search.sample(size - len(fixed))])

    def _actions(self, knots: Float, weights: Float, committed: Float) -> Float:
        """Action sequences [N, H * rows_per_step, A] in physical units of knots [N, M, A]."""
        fixed = len(committed)
        actions = np.empty((len(knots), self._rows, knots.shape[2]), np.float32)
        actions[:, :fixed] = committed
        rows = slice(fixed, None)
        free = weights @ knots
        free *= self._std_rows[rows]
        free += self._mean_rows[rows]
        if self._has_dead_band:
            free[np.abs(free) < self._dead_band] = 0
        np.clip(free, self._lower_rows[rows], self._upper_rows[rows], out=actions[:, fixed:])
        if self._frozen:
            actions[:, fixed:, self._frozen] = self._frozen_values
        return actions

    def _knots_of(self, actions: Float, weights: Float) -> Float:
        """Knots [M, A] closest to free rows [H - K, A]; those past the end repeat the last."""
        knots = np.linalg.pinv(weights) @ self._normalize(actions)
        reached = int((weights > 0).any(0).sum())
        if 0 < reached < len(knots):
            knots[reached:] = knots[reached - 1]
        return np.clip(knots, self._lower_knot, self._upper_knot).astype(np.float32)

    def _constant_grid(self) -> Float:
        """Knots [grid^free, M, A] of constant actions, a grid over what is not frozen."""
        grid = self._settings.constant_grid
        if not grid:
            return np.empty((0, self._weights.shape[1], len(self._lower)), np.float32)
        axes = [np.linspace(low, high, grid) for low, high in
                zip(self._lower[self._driven], self._upper[self._driven], strict=True)]
        actions = np.zeros((grid ** len(axes), len(self._lower)), np.float32)
        actions[:, self._driven] = list(product(*axes))
        return self._constant(self._inside(actions))

    def _constant(self, actions: Float) -> Float:
        """Knots [N, M, A] of actions [N, A] held over the whole plan."""
        return np.repeat(self._normalize(actions)[:, None], self._weights.shape[1], axis=1)

    def _normalize(self, actions: Float) -> Float:
        return (actions - self._action_mean) / self._action_std

    def _measure_pace(self) -> None:
        context, goal = golden_start(self._model.bundle)
        # Sequences beyond one chunk take as long as those within.
        batch = min(self._settings.samples, self._model.chunk_size())
        for size in (1, batch, batch):
            actions = np.tile(self._inside(self._action_mean), (size, self._rows, 1))
            started = self._clock()
            self._model.score(context, goal, actions)
            self._pace.record(size, self._clock() - started)


class _Best:
    """The cheapest sequence so far; the first one if none has a finite cost."""

    def __init__(self) -> None:
        self.cost = np.inf
        self.actions = self.steps = np.empty(0, np.float32)
        self.latents: Float | None = None

    def offer(self, actions: Float, scores: Scores) -> None:
        index = int(np.argmin(scores.costs))
        if scores.costs[index] < self.cost or not self.actions.size:
            self.cost = float(scores.costs[index])
            self.actions, self.steps = actions[index].copy(), scores.steps[index].copy()
            self.latents = scores.latents


class _Pace:
    """How long a batch takes on this machine now, so that another is started only if it fits."""

    def __init__(self) -> None:
        self._per_sample = 0.0
        self.single = 0.0  # seconds for one sequence

    def record(self, size: int, seconds: float) -> None:
        """Follow slow-downs at once and recoveries gradually."""
        if size == 1:
            self.single = max(seconds, 0.8 * self.single + 0.2 * seconds)
        else:
            now = seconds / size
            self._per_sample = max(now, 0.8 * self._per_sample + 0.2 * now)

    def fitting(self, seconds: float) -> int:
        """Largest batch that `seconds` have room for, 0 if not even one sequence."""
        if seconds <= self.single:
            return 0
        return int(np.clip(seconds / max(self._per_sample, 1e-9), 1, 1e6))


def _inward(bounds: tuple[float, ...], toward: float) -> Float:
    """Bounds as float32 that are never wider than the exact ones."""
    exact = np.array(bounds, np.float64)
    rounded = exact.astype(np.float32)
    outside = rounded < exact if toward > 0 else rounded > exact
    return np.where(outside, np.nextafter(rounded, np.float32(toward)), rounded)


def _interpolation(settings: PlannerSettings, rows: int) -> Float:
    """Weights [rows, M] that turn knots into actions, one for each row of the plan."""
    steps, knots = np.arange(rows), np.array(settings.knots)
    if settings.interpolation == 'linear':
        columns = [np.interp(steps, knots, unit) for unit in np.eye(len(knots))]
        return np.array(columns, np.float32).T
    return np.eye(len(knots), dtype=np.float32)[np.searchsorted(knots, steps, side='right') - 1]
