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
"""What a bundle calls good: the distance of imagined latents to a goal, weighed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import DistanceCost, Manifest

Float = NDArray[np.float32]


class GoalCost:
    """Cost of latent sequences for a goal that addresses a part of the latent."""

    def __init__(self, manifest: Manifest) -> None:
        """Take the terms of a bundle's cost."""
        cost = manifest.cost
        assert isinstance(cost, DistanceCost)
        assert manifest.goal is not None
        self._mean = sum(term.weight for term in cost.terms if term.steps == 'mean')
        self._last = sum(term.weight for term in cost.terms if term.steps == 'last')
        self._part = manifest.latent.parts[manifest.goal.source].indices

    def distance(self, latents: Float, goal: Float) -> Float:
        """Euclidean distance [...] of latents [..., D] to the goal [G]; NaN becomes infinite."""
        difference = latents[..., self._part] - goal
        distance = np.sqrt(np.einsum('...i,...i->...', difference, difference))
        return np.where(np.isfinite(distance), distance, np.float32(np.inf))

    def total(self, distances: Float) -> Float:
        """Cost [...] of sequences from their distances [..., H].

        J = w_mean / H * sum_k d_k + w_last * d_H: the mean makes haste, the last step arrives.
        """
        with np.errstate(over='ignore'):
            total: Float = self._mean * distances.mean(-1) + self._last * distances[..., -1]
        return total
