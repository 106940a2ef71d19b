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
"""The cross-entropy method: sample, keep the best, fit a Gaussian to them, repeat.

Rubinstein, "The cross-entropy method for combinatorial and continuous optimization", 1999; for
trajectories: Kobilarov, "Cross-entropy motion planning", IJRR 2012. Elites compete with those of
earlier iterations as in iCEM: Pinneri et al., "Sample-efficient cross-entropy method for real-time
planning", CoRL 2020.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import PlannerSettings

Float = NDArray[np.float32]


class CrossEntropy:
    """One search over knots [M, A] in normalised units; a new object for each plan."""

    def __init__(self, settings: PlannerSettings, mean: Float, lower: Float, upper: Float,
                 generator: np.random.Generator) -> None:
        """Start at `mean` [M, A]; samples stay within `lower` and `upper` [A]."""
        self.mean = mean
        self._sigma = np.broadcast_to(np.array(settings.sigma, np.float32), mean.shape)
        self._sigma_min = np.array(settings.sigma_min, np.float32)
        self._momentum = np.float32(settings.momentum)
        self._size = settings.elites
        self._lower, self._upper = lower, upper
        self._generator = generator
        self.elites: Float = np.empty((0, *mean.shape), np.float32)
        self._costs: Float = np.empty(0, np.float32)

    def sample(self, count: int) -> Float:
        """Draw knots [count, M, A], clamped to the bounds.

        x = mu + u^2 sigma n with n ~ N(0, 1) per entry and u ~ U(0, 1) per sample: a Gaussian of
        mixed scales. In closed loop with a perfect model it ends at 0.05 mm where one scale ends at
        5 mm, because near the goal all large steps lose against standing still.
        """
        noise = self._generator.standard_normal((count, *self.mean.shape), np.float32)
        scale = self._generator.random((count, 1, 1), np.float32) ** 2
        return np.clip(self.mean + self._sigma * scale * noise, self._lower, self._upper)

    def refit(self, knots: Float, costs: Float) -> None:
        """Move the Gaussian to the elites of `knots` [N, M, A] with `costs` [N].

        mu' = b mu + (1 - b) mean(elites), sigma' = max(b sigma + (1 - b) std(elites), sigma_min),
        with momentum b. Candidates of infinite cost are never elites.
        """
        knots = np.concatenate([self.elites, knots])
        costs = np.concatenate([self._costs, costs])
        best = np.argsort(costs, kind='stable')[:self._size]
        best = best[np.isfinite(costs[best])]
        if not best.size:
            return
        self.elites, self._costs = knots[best], costs[best]
        keep, move = self._momentum, 1 - self._momentum
        self.mean = keep * self.mean + move * self.elites.mean(0)
        sigma = keep * self._sigma + move * self.elites.std(0)
        self._sigma = np.maximum(sigma, self._sigma_min)
