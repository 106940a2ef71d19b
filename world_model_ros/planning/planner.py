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

One loop: propose candidates, let the model score them, refit the sampler. The search runs over a
few knots instead of every row, in normalised units, inside the bounds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import PlannerSettings
from world_model_ros.inference import (
    Context,
    JointTarget,
    Pace,
    WorldModel,
    golden_sequences,
    golden_start,
)
from world_model_ros.planning.refinement import Refinement
from world_model_ros.planning.samplers import Sampler, sampler
from world_model_ros.planning.scoring import Scoring
from world_model_ros.planning.sequences import Sequences
from world_model_ros.planning.warm_start import WarmStart

Float = NDArray[np.float32]

# Share of an iteration's sequences that are small changes of the best one so far.
_NEARBY = 0.25
# Largest share of a plan's time that is set aside for what is not scoring.
_BESIDE = 0.15


@dataclass(frozen=True)
class Plan:
    """An action sequence and what the model expects of it.

    actions: float32 [H * rows_per_step, A], physical units; each row is held for `step_duration`
    latents: float32 [H, *S]; row k is the state after model step k
    step_costs: float32 [H], distance of each latent to the goal, or minus its discounted reward
    cost: what the planner minimised; infinite if the model gave no finite number for any candidate
    goal_distance: of the latent from which the plan starts; NaN without a goal
    samples: action sequences imagined
    iterations: refits of the search; where a deadline cut it short, the last from fewer samples
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


@dataclass(frozen=True)
class _Start:
    """Where a search begins.

    first: [R, A], what it must not lose against
    fixed: how many rows of it are committed
    still: [A], the row that stands still
    elites: [E, R, A], other sequences worth a try
    """

    first: Float
    fixed: int
    still: Float
    elites: Float


class Planner:
    """Plans with one model; remembers nothing but how long imagining takes on this machine.

    With equal arguments and a deadline far away, plans are equal to the byte.
    """

    def __init__(self, model: WorldModel, settings: PlannerSettings,
                 clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives the time that deadlines are on, in seconds."""
        manifest = model.bundle.manifest
        self._model, self._settings, self._clock = model, settings, clock
        self._sequences = Sequences(manifest, settings)
        self._grid = self._sequences.constant_grid(settings.constant_grid)
        self._refinement = Refinement(manifest, settings)
        self._rows_per_step = manifest.action.rows_per_step
        # Where the runtime loops, what is chosen is imagined once more, for its latents; toward a
        # joint target for the first time.
        self._loops = manifest.graphs.rollout is None
        self._pace = self._measured_pace()
        # Joint targets are judged without the model; how much faster, their plans find out.
        self._joint_pace = copy(self._pace)
        # Seconds: for a policy's sequence, for a batch to be made, for the refinement besides
        # scoring, for a plan to be put together.
        self._policy_time = self._batch_time = self._refine_time = self._end_time = 0.0
        if settings.policy_samples:
            context, _ = golden_start(model.bundle)
            for _ in range(2):  # the first call of a graph is slower
                self._policy(context, np.empty((0, len(self._sequences.lower)), np.float32))

    def plan(self, context: Context, goal: Float | JointTarget | None, *,
             setpoint: Float | None = None, committed: Float | None = None,
             warm_start: WarmStart | None = None, seed: int, deadline: float) -> Plan:
        """Plan from `context` toward `goal`, or for the largest return where it is None.

        goal: [*G], or where joints are to be
        setpoint: [A], what the robot was last told, where it is known: joints that the model does
            not read stand still there
        committed: [K, A] first rows that run whatever is planned now; they are repeated in the
            plan, inside the bounds
        warm_start: an earlier plan, moved on to now; the result never costs more than its actions
            behind the committed ones, kept to the bounds and out of the dead bands
        seed: of everything random here
        deadline: on the planner's clock. Batches shrink or drop out to keep it; one imagined
            sequence is the least, so the deadline is overrun only where not even that fits.
        Raises InferenceError, and ValueError for committed rows or a warm start of another shape or
        with numbers that are not finite.
        """
        started = self._clock()
        start = self._start(context, setpoint, committed, warm_start)
        fixed_rows = start.first[:start.fixed]
        generator = np.random.Generator(np.random.PCG64(seed))
        search = sampler(
            self._settings, self._sequences.knots_of(start.first, start.fixed),
            self._sequences.lower, self._sequences.upper, generator)
        to_joints = isinstance(goal, JointTarget)
        pace = self._joint_pace if to_joints else self._pace
        scoring = Scoring(self._model, context, goal, pace, self._pace, self._clock)
        until, refits, best = deadline, 0, start.first
        policy = self._following_policy(search, context, start, deadline)
        # What is not scoring takes a small share of the time, unless it was a stall.
        most = _BESIDE * max(deadline - started, 0.0)
        for iteration in range(self._settings.iterations):
            reserve = min(self._end_time, most)
            reserve += self._pace.seconds(1) if self._loops or to_joints else 0.0
            until, began = deadline - reserve, self._clock()
            left = until - began - min(self._batch_time, most)
            if iteration and not pace.fitting(left):
                break
            size = self._population(iteration, pace.fitting(left))
            near = int(_NEARBY * size)
            if iteration == 0:
                knots = self._opening(search, size - near, start, policy)
            else:
                knots = _seeded(search, size - near, [search.mean[None], policy])
            actions = np.concatenate([
                self._sequences.rows_of(knots, fixed_rows),
                self._sequences.moved(best, search.nearby(near), start.fixed)])
            if iteration == 0:
                actions[0] = best
            self._batch_time = _followed(self._batch_time, self._clock() - began)
            costs = scoring.score(actions, until)
            if len(costs):
                search.refit(knots[:len(costs)], costs[:len(knots)])
                refits += 1
            if len(costs) < size:
                break
            best = scoring.actions
        if self._settings.refinement is None:
            scoring.score(self._sequences.rows_of(search.mean[None], fixed_rows), until)
        self._refine(scoring, start.fixed, generator, until, most)
        latents, scored = scoring.latents(), self._clock()
        distance = math.nan if goal is None else self._model.goal_distance(context, goal)
        elites = self._sequences.rows_of(search.elites, fixed_rows)
        ended = self._clock()
        self._end_time = _followed(self._end_time, ended - scored)
        return Plan(scoring.actions, latents, scoring.steps, scoring.cost, distance,
                    scoring.samples, refits, self._clock() - started,
                    WarmStart(scoring.actions, elites))

    def _start(self, context: Context, setpoint: Float | None, committed: Float | None,
               warm_start: WarmStart | None) -> _Start:
        """The warm start, or standing still, behind the committed rows, and inside the bounds."""
        still = self._sequences.planned(self._model.idle(context, setpoint))
        first = np.tile(still, (self._sequences.rows, 1))
        elites = np.empty((0, *first.shape), np.float32)
        if warm_start is not None:
            _check('the warm start', warm_start.actions, first.shape)
            _check('elites of the warm start', warm_start.elites, (None, *first.shape))
            first[:] = self._sequences.planned(warm_start.actions)
            elites = self._sequences.planned(warm_start.elites)
        if committed is None:
            return _Start(first, 0, still, elites)
        _check('committed rows', committed, (None, first.shape[1]))
        fixed = min(len(committed), len(first))
        first[:fixed] = self._sequences.inside(committed[:fixed])
        return _Start(first, fixed, still, elites)

    def _population(self, iteration: int, fitting: int) -> int:
        """Sequences to draw: what fits now, spread over the iterations that are still to come.

        Two rounds of half the size find more than one round, down to twice the elites, of which a
        refit can still choose. The refinement gets up to half of it, if that is worth a round.
        """
        wanted = self._settings.population(iteration)
        iterations = self._settings.iterations - iteration
        fitting -= self._refinement.share(fitting)
        return min(wanted, max(fitting // iterations, 2 * self._settings.elites))

    def _refine(self, scoring: Scoring, fixed: int, generator: np.random.Generator, until: float,
                most: float) -> None:
        """Refine as far as there is time, of which `most` is set aside for what is not scoring."""
        began, spent = self._clock(), scoring.seconds
        if self._refinement.refine(scoring, fixed, generator, until - min(self._refine_time, most)):
            beside = self._clock() - began - (scoring.seconds - spent)
            self._refine_time = _followed(self._refine_time, beside)

    def _opening(self, search: Sampler, size: int, start: _Start, policy: Float) -> Float:
        """Knots [size, M, A] of the first batch.

        It begins with what the search must not lose against and with what earlier searches and the
        policy found; constant actions reach basins that noise around one guess does not.
        """
        return _seeded(search, size, [
            search.mean[None], self._sequences.knots_of(start.elites, start.fixed),
            self._sequences.constant(start.still[None]), policy, self._grid])

    def _following_policy(
        self, search: Sampler, context: Context, start: _Start, deadline: float,
    ) -> Float:
        """Knots [P, M, A] of what the bundle's policy drives, and of others around it.

        No knots, P = 0, without a policy, or where it would take half of the time.
        """
        if not self._settings.policy_samples or (
                self._policy_time >= (deadline - self._clock()) / 2):
            return self._sequences.still(0)
        rows = self._policy(context, start.first[:start.fixed])
        found = self._sequences.knots_of(rows, start.fixed)
        around = np.clip(found + search.nearby(self._settings.policy_samples - 1),
                         self._sequences.lower, self._sequences.upper)
        return np.concatenate([found[None], around])

    def _policy(self, context: Context, committed: Float) -> Float:
        """Rows [R, A] that the bundle's policy drives behind committed rows [K, A]."""
        before = self._clock()
        rows = np.empty((self._sequences.rows, committed.shape[1]), np.float32)
        for begin in range(0, len(rows), self._rows_per_step):
            step = slice(begin, begin + self._rows_per_step)
            rows[step] = self._sequences.planned(self._model.policy(context.latent))
            rows[step][:len(committed[step])] = committed[step]
            if step.stop < len(rows):
                context = self._model.advance(context, rows[step])
        self._policy_time = self._clock() - before
        return rows

    def _measured_pace(self) -> Pace:
        context, goal = golden_start(self._model.bundle)
        # Sequences beyond one chunk take as long as those within.
        batch = max(2, min(self._settings.samples, self._model.chunk_size()))
        times: dict[int, float] = {}
        for size in (1, batch, 1, batch):
            actions = self._sequences.inside(
                golden_sequences(self._model.bundle, size)[:, :self._sequences.rows])
            started = self._clock()
            self._model.score(context, goal, actions)
            times[size] = min(self._clock() - started, times.get(size, math.inf))
        return Pace(times[1], batch, times[batch])


def _seeded(search: Sampler, size: int, seeds: list[Float]) -> Float:
    """Knots [size, M, A]: the first of some, and what the search draws, which is at least half."""
    first = np.concatenate(seeds)[:max(2, size // 2)][:size]
    return np.concatenate([first, search.sample(size - len(first))])


def _followed(before: float, now: float) -> float:
    """A time as expected next: slow-downs count at once, recoveries half."""
    return max(now, 0.5 * before + 0.5 * now)


def _check(name: str, values: Float, shape: tuple[int | None, ...]) -> None:
    """Refuse another shape (None is any length) and numbers that are not finite."""
    fits = values.ndim == len(shape) and all(
        wanted in (None, length) for wanted, length in zip(shape, values.shape, strict=True))
    if not fits:
        wanted = ', '.join('any' if length is None else str(length) for length in shape)
        raise ValueError(f'{name}: shape {list(values.shape)}, the plan needs [{wanted}]')
    if not np.isfinite(values).all():
        raise ValueError(f'{name}: NaN or infinity')
