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
"""The search distributions: where to look first, and where to look next.

All three sample knots from a Gaussian and move it to what was cheap; they differ in the colour of
the noise, in what is kept, and in how much each sequence counts.

CEM: Rubinstein, "The cross-entropy method for combinatorial and continuous optimization", 1999; for
trajectories: Kobilarov, "Cross-entropy motion planning", IJRR 2012. iCEM: Pinneri et al.,
"Sample-efficient cross-entropy method for real-time planning", CoRL 2020. MPPI: Williams et al.,
"Information theoretic MPC for model-based reinforcement learning", ICRA 2017, over elites as in
TD-MPC2 (Hansen et al., ICLR 2024).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import PlannerSettings

Float = NDArray[np.float32]


class Sampler(Protocol):
    """One search over knots [M, A] in normalised units; a new object for each plan.

    mean: [M, A], the centre of what is sampled next
    elites: [E, M, A], cheapest first: what the next plan may start from
    """

    mean: Float
    elites: Float

    def nearby(self, count: int) -> Float:
        """Draw deviations [count, M, A] of all scales, to try on a sequence that is good."""

    def sample(self, count: int) -> Float:
        """Draw knots [count, M, A] around the mean, clamped to the bounds."""

    def refit(self, knots: Float, costs: Float) -> None:
        """Move to the cheap ones of `knots` [N, M, A] with `costs` [N], infinite for failures."""


def sampler(settings: PlannerSettings, mean: Float, lower: Float, upper: Float,
            generator: np.random.Generator) -> Sampler:
    """The search that settings name, from `mean` [M, A], within `lower` and `upper` [A]."""
    kinds = {'cem': CrossEntropy, 'icem': ImprovedCrossEntropy, 'mppi': PathIntegral}
    return kinds[settings.sampler](settings, mean, lower, upper, generator)


class CrossEntropy:
    """mu' = b mu + (1 - b) mean(elites), sigma' = b sigma + (1 - b) std(elites), with momentum b.

    Elites compete with those of all earlier iterations, so a refit never forgets the cheapest.
    """

    def __init__(self, settings: PlannerSettings, mean: Float, lower: Float, upper: Float,
                 generator: np.random.Generator) -> None:
        """See `sampler`."""
        self.mean = mean
        self.elites: Float = np.empty((0, *mean.shape), np.float32)
        self._settings = settings
        self._sigma: Float = np.broadcast_to(np.array(settings.sigma, np.float32), mean.shape)
        self._sigma_min = np.array(settings.sigma_min, np.float32)
        self._lower, self._upper = lower, upper
        self._generator = generator
        self._best: Float = self.elites
        self._costs: Float = np.empty(0, np.float32)

    def nearby(self, count: int) -> Float:
        """u^2 sigma_0 n with n ~ N(0, 1) per entry and u ~ U(0, 1) per sample: mixed scales.

        Near the goal all large steps lose against standing still. They are no basis for a refit:
        short steps win more often than good ones, and the Gaussian would collapse.
        """
        noise = self._noise(count)
        noise *= self._generator.random((count, 1, 1), np.float32) ** 2
        noise *= np.array(self._settings.sigma, np.float32)
        return noise

    def sample(self, count: int) -> Float:
        """See `Sampler`."""
        drawn: Float = np.clip(
            self.mean + self._sigma * self._noise(count), self._lower, self._upper)
        return drawn

    def refit(self, knots: Float, costs: Float) -> None:
        """See `Sampler`."""
        knots = np.concatenate([self._best, knots])
        costs = np.concatenate([self._costs, costs])
        # Of few sequences, as a deadline may leave them, half at most: all would be no choice.
        count = min(self._settings.elites, max(1, len(knots) // 2))
        best = np.argsort(costs, kind='stable')[:count]
        best = best[np.isfinite(costs[best])]
        if not best.size:
            return
        elites = knots[best]
        mean, sigma = self._fit(elites, costs[best])
        keep = np.float32(self._settings.momentum)
        self.mean = keep * self.mean + (1 - keep) * mean
        self._sigma = np.maximum(keep * self._sigma + (1 - keep) * sigma, self._sigma_min)
        self._best, self._costs = elites, costs[best]
        self._keep()

    def _noise(self, count: int) -> Float:
        return self._generator.standard_normal((count, *self.mean.shape), np.float32)

    def _fit(self, elites: Float, costs: Float) -> tuple[Float, Float]:
        return elites.mean(0), elites.std(0)

    def _keep(self) -> None:
        """Choose what of the elites competes in the next iteration and in the next plan."""


class ImprovedCrossEntropy(CrossEntropy):
    """iCEM: coloured noise, a decaying population, and elites kept for iterations and plans.

    Actions that push one way for a while reach further than white noise, which averages out; the
    samples that late iterations save are worth more in the next plan.
    """

    def _noise(self, count: int) -> Float:
        assert self._settings.noise_exponent is not None
        colour = coloured(self._settings.noise_exponent, self._settings.knots)
        noise: Float = colour @ super()._noise(count)
        return noise

    def _keep(self) -> None:
        kept = self._settings.kept_elites
        self._best, self._costs = self._best[:kept], self._costs[:kept]
        self.elites = self._best


class PathIntegral(CrossEntropy):
    """MPPI: w ~ exp(-(J - min J) / lambda) over the elites, mu and sigma their weighted moments."""

    def _fit(self, elites: Float, costs: Float) -> tuple[Float, Float]:
        weights = np.exp((costs[0] - costs) / np.float32(self._settings.temperature))
        weights = (weights / weights.sum())[:, None, None]
        mean = (weights * elites).sum(0)
        return mean, np.sqrt((weights * np.square(elites - mean)).sum(0))

    def _keep(self) -> None:
        self._best, self._costs = self._best[:0], self._costs[:0]


@lru_cache(maxsize=8)
def coloured(exponent: float, knots: tuple[int, ...]) -> Float:
    """Factor [M, M] that turns white noise at knots [M] into noise of power ~ 1 / f^exponent.

    Gaussian noise is its covariance: that of Timmer & Koenig, "On generating power law noise",
    A&A 300, 1995, drawn over the rows up to the last knot and read at the knots, so that knots
    close in time are alike however unevenly they are spread. The period is twice these rows, or the
    noise would end where it began; the mean has the power of the lowest frequency. Variance 1 at
    each knot.
    """
    period = 2 * (knots[-1] + 1)
    cycles = np.arange(period // 2 + 1)
    power = np.maximum(cycles, 1.0) ** -exponent
    power[1:-1] *= 2  # each of them stands for f and -f
    apart = np.subtract.outer(knots, knots)
    covariance = (power * np.cos(2 * np.pi * apart[..., None] * cycles / period)).sum(-1)
    covariance /= power.sum()
    values, vectors = np.linalg.eigh(covariance)
    # Symmetric, so that white noise stays what it is for exponent 0.
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    factor: Float = root.astype(np.float32)
    return factor
