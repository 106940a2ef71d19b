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
"""Planner defaults that a bundle brings: what to search over, how long, within how much memory."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_model_ros.bundle.fields import (
    PositiveInt,
    PositiveNumbers,
    Section,
    fault,
    same_length,
)


class PlannerSettings(Section):
    """Planner defaults.

    A plan has one free action per knot: it is held until the next knot, or interpolated linearly
    between knots and held after the last. Deviations are in normalised action units.
    """

    sampler: Literal['cem']
    """The cross-entropy method."""
    horizon: Annotated[int, Field(gt=0, le=1024)]
    """Length of a plan [model steps]; a rollout graph imagines exactly this many."""
    knots: Annotated[tuple[int, ...], Field(min_length=1)]
    """Rows of the plan at which the action may change: ascending, from 0 to below
    horizon x action.rows_per_step."""
    interpolation: Literal['hold', 'linear']
    """Between knots."""
    samples: Annotated[int, Field(gt=0, le=100_000)]
    """Action sequences imagined in one iteration."""
    iterations: Annotated[int, Field(gt=0, le=1000)]
    """Refits of the search, at most: a deadline may end it earlier."""
    elites: PositiveInt
    """Best sequences of an iteration that the search moves to."""
    sigma: PositiveNumbers
    """First standard deviation of each number of an action [normalised]."""
    sigma_min: PositiveNumbers
    """Standard deviation below which no refit falls [normalised]."""
    momentum: Annotated[float, Field(ge=0, lt=1)]
    """Share of the old mean and deviation kept in a refit."""
    constant_grid: Annotated[int, Field(ge=0)]
    """Values spread between the bounds of each number that is not frozen; every combination, held
    over the whole horizon, is tried. 0 for none."""
    memory: Annotated[PositiveInt, Field(le=1_048_576)]
    """What one batch of imagined sequences may take [MiB]; batches are split to keep to it. Weights
    come on top."""
    workspace: Annotated[float, Field(ge=0, le=1_048_576)] | None = None
    """What the runtime's own buffers (activations, attention) take for each imagined sequence of a
    batch [MiB], as measured at export. Absent: it is measured whenever the model is loaded, on a
    CPU by the growth of the process; give it for a GPU, whose memory that does not show."""

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        ascending = all(a < b for a, b in zip(self.knots, self.knots[1:], strict=False))
        if self.knots[0] != 0 or not ascending:
            raise fault('knots', f'{list(self.knots)} do not ascend from 0',
                        'start with 0 and ascend')
        if self.elites > self.samples:
            raise fault('elites', f'{self.elites} of {self.samples} samples',
                        'choose elites <= samples; a tenth is usual')
        same_length('sigma_min', self.sigma_min, len(self.sigma), 'planner.sigma')
        if any(low > first for low, first in zip(self.sigma_min, self.sigma, strict=True)):
            raise fault('sigma_min', f'{list(self.sigma_min)} is above sigma {list(self.sigma)}',
                        'choose sigma_min <= sigma in every dimension')
        return self
