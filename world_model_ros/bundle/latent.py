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
"""The state that a model plans in, and how good it is: distances to a goal, or a learned return."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_model_ros.bundle.fields import PositiveFloat, PositiveInt, Section, Size, Text, fault


class Part(Section):
    """Half-open range of the latent's last axis."""

    start: Annotated[int, Field(ge=0)]
    """First entry."""
    stop: PositiveInt
    """One past the last entry."""

    @property
    def size(self) -> int:
        """Entries in the range."""
        return self.stop - self.start

    @property
    def indices(self) -> slice:
        """The range for indexing."""
        return slice(self.start, self.stop)


class Latent(Section):
    """The state that the model plans in: a vector, tokens x channels, rows x columns x channels."""

    shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=3)]
    """Without the batch axis."""
    parts: Annotated[dict[Text, Part], Field(min_length=1)]
    """Names for ranges of the last axis, for costs and goals to refer to."""

    @model_validator(mode='after')
    def _parts_inside(self) -> Self:
        for name, part in self.parts.items():
            if not part.start < part.stop <= self.shape[-1]:
                raise fault(f'parts.{name}', f'{part.start}..{part.stop} is no part of an axis of '
                            f'{self.shape[-1]}',
                            f'choose 0 <= start < stop <= {self.shape[-1]}')
        return self

    @property
    def size(self) -> int:
        """Numbers in a latent."""
        return prod(self.shape)


class Distance(Section):
    """How far a latent's part is from the goal's."""

    source: Text
    """Part of the latent, one of `latent.parts` that the goal holds, too."""
    metric: Literal['l1', 'l2', 'squared_l2', 'cosine']
    """l1: absolute difference of each entry. squared_l2: square of it. l2: Euclidean norm of the
    difference along the last axis. cosine: 1 - cosine of the angle along the last axis."""
    reduction: Literal['mean', 'sum']
    """Over entries (l1, squared_l2) or over the tokens of the other axes (l2, cosine; a latent
    that is a vector has one, where mean and sum are the same)."""


class CostTerm(Distance):
    """`weight` times a distance between imagined latents and the goal."""

    steps: Literal['last', 'mean', 'all']
    """The last model step's distance, the mean over the horizon, or the sum over the horizon."""
    weight: PositiveFloat
    """Factor, in whatever makes the terms comparable."""


class DistanceCost(Section):
    """A plan minimises the sum of the terms."""

    objective: Literal['goal']
    """Distances of imagined latents to the goal."""
    terms: Annotated[tuple[CostTerm, ...], Field(min_length=1)]
    """Added up."""


class ReturnCost(Section):
    """A plan minimises `-(sum_k discount^k reward_k + discount^H value_H)`; there is no goal."""

    objective: Literal['return']
    """The graphs `reward` and `value` say what is good (TD-MPC2: Hansen et al., ICLR 2024)."""
    discount: Annotated[float, Field(gt=0, le=1)]
    """Per model step."""


Cost = Annotated[DistanceCost | ReturnCost, Field(discriminator='objective')]


class Goal(Distance):
    """When the goal counts as reached: distance of the observation's latent, calibrated on data."""

    reached: PositiveFloat
    """Distance below which it does, in the units of this metric."""
    reachable: PositiveFloat | None = None
    """Where a goal can be reached, the best plan's last predicted distance is below this, in the
    units of this metric; absent: unknown, and no goal is given up for being out of reach."""

    @model_validator(mode='after')
    def _ordered(self) -> Self:
        if self.reachable is not None and self.reachable < self.reached:
            raise fault('reachable', f'{self.reachable:g} is below reached {self.reached:g}: '
                        'goals that the robot is predicted to reach would count as out of reach',
                        'calibrate it with "wmros calibrate", or remove it')
        return self


class Surprise(Section):
    """When what the model sees is not what it expected, calibrated on data."""

    threshold: Annotated[tuple[PositiveFloat, ...], Field(min_length=1, max_length=64)]
    """Entry k: largest usual mean of the errors of expectations of 1 to k + 1 model steps ago, in
    the units of `goal` (without one: root mean square of a latent's entries)."""
