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
"""Training losses of the world model. Each returns a scalar; weights stand in `train`."""

import math

import torch
from torch import Tensor

_DIRECTIONS = 64
_KNOTS = 17
_RANGE = 3.0


def sigreg(embeddings: Tensor) -> Tensor:
    """Distance of `embeddings [N, D]` from an isotropic Gaussian, 0 for a perfect match.

    SIGReg (LeJEPA, Balestriero and LeCun 2025, arXiv:2511.08544): along random directions, the
    Epps-Pulley statistic compares the empirical characteristic function with that of N(0, 1). It
    keeps the embedding from collapsing without negative pairs, a teacher or a stopped gradient.
    """
    axes = torch.randn(embeddings.shape[1], _DIRECTIONS, device=embeddings.device)
    axes = axes / axes.norm(dim=0, keepdim=True)
    t = torch.linspace(-_RANGE, _RANGE, _KNOTS, device=embeddings.device)
    phases = (embeddings @ axes).unsqueeze(-1) * t  # [N, directions, knots]
    gaussian = torch.exp(-0.5 * t.square())
    error = (phases.cos().mean(dim=0) - gaussian).square() + phases.sin().mean(dim=0).square()
    # The weight exp(-t²/2) trusts the characteristic function where a batch can estimate it.
    statistic = torch.trapezoid(error * gaussian, t, dim=-1) / math.sqrt(2 * math.pi)
    return statistic.mean() * embeddings.shape[0]


def rollout_loss(imagined: Tensor, encoded: Tensor) -> Tensor:
    """Mean squared error between imagined and encoded latents of equal shape `[..., D]`."""
    return (imagined - encoded).square().mean()
