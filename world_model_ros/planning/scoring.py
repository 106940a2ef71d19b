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
"""Scoring against the clock: as many sequences as a deadline allows, and the best of all so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from world_model_ros.inference import Context, JointTarget, Pace, Scores, WorldModel

Float = NDArray[np.float32]

# Share of the time left that one sequence may be expected to take, where no call is safe.
_LAST_BET = 0.8


class Scoring:
    """What one plan has imagined so far.

    actions: [R, A], the cheapest sequence; the first one if none has a finite cost
    cost, steps: of it, as in `Scores`
    samples: sequences imagined
    seconds: that they took
    roots: of the last residuals, as in `Scores`
    """

    def __init__(self, model: WorldModel, context: Context, goal: Float | JointTarget | None,
                 pace: Pace, imagining: Pace, clock: Callable[[], float]) -> None:
        """Score from `context` toward `goal`.

        `pace` knows how fast that goes, `imagining` how fast the model is; both learn of it.
        """
        self._model, self._context, self._goal = model, context, goal
        self._pace, self._imagining, self._clock = pace, imagining, clock
        self.actions = self.steps = np.empty(0, np.float32)
        self.cost = np.inf
        self.samples = 0
        self.seconds = 0.0
        self.roots: tuple[tuple[int, int, int], ...] = ()
        self._latents: Float | None = None

    def score(self, actions: Float, until: float) -> Float:
        """Costs [n] of the first n of sequences [N, R, A] that there is time for.

        All in one call if that is clearly in time, else in calls of which each leaves room for a
        machine that turns slower. The very first sequence is scored in any case. Raises
        InferenceError.
        """
        parts = [scores.costs for scores in self._calls(actions, until, residuals=False)]
        return np.concatenate(parts) if parts else np.empty(0, np.float32)

    def residuals(self, actions: Float, until: float) -> Float:
        """As `score`, for residuals [n, E] whose squares add up to the costs; see `Scores`."""
        parts = [scores.residuals for scores in self._calls(actions, until, residuals=True)
                 if scores.residuals is not None]
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def fitting(self, until: float) -> int:
        """Sequences that there is time for."""
        return self._pace.fitting(until - self._clock())

    def _calls(self, actions: Float, until: float, residuals: bool) -> Iterator[Scores]:
        done = 0
        while done < len(actions):
            left = until - self._clock()
            fitting = self._pace.safe(left) or min(self._pace.fitting(_LAST_BET * left), 1)
            size = min(len(actions) - done, max(fitting, 0 if self.samples else 1))
            if not size:
                break
            yield self._call(actions[done:done + size], residuals)
            done += size

    def _call(self, actions: Float, residuals: bool) -> Scores:
        before = self._clock()
        scores = self._model.score(self._context, self._goal, actions, residuals)
        seconds = self._clock() - before
        self._pace.record(len(actions), seconds)
        self.samples += len(actions)
        self.seconds += seconds
        self.roots = scores.roots
        costs = np.where(np.isfinite(scores.costs), scores.costs, np.float32(np.inf))
        index = int(np.argmin(costs))
        if costs[index] < self.cost or not self.actions.size:
            self.cost = float(costs[index])
            self.actions, self.steps = actions[index].copy(), scores.steps[index].copy()
            self._latents = scores.latents
        return scores._replace(costs=costs)

    def latents(self) -> Float:
        """Latents [H, *S] of the cheapest sequence; imagined once more if none were kept."""
        if self._latents is None:
            before = self._clock()
            self._latents = self._model.imagine(self._context, self.actions[None])[0]
            self._imagining.record(1, self._clock() - before)
        return self._latents
