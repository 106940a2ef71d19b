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

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_model_ros.bundle.fields import (
    PositiveFloat,
    PositiveInt,
    PositiveNumbers,
    Section,
    fault,
    same_length,
)

_OF_SAMPLER = {'noise_exponent': 'icem', 'decay': 'icem', 'kept_elites': 'icem',
               'temperature': 'mppi'}
_USUAL = {'noise_exponent': '2', 'decay': '1.25', 'kept_elites': 'a third of the elites',
          'temperature': "a tenth of the costs' spread"}


REFINEMENT_STEPS = 12
"""Sequences of a round that the local model asks for."""


class Refinement(Section):
    """Damped Gauss-Newton steps from the best sequence that the search has found.

    A round imagines one sequence for each action of its knots, to see how the latents follow, and a
    few more where a local model of them puts the least cost.
    """

    rounds: Annotated[int, Field(gt=0, le=100)]
    """At most: a deadline may end it earlier. Two or three are usual."""
    knots: Annotated[tuple[int, ...], Field(min_length=1)]
    """Rows of the plan at which the changes may change, as `planner.knots`; more of them cost more
    sequences, and find what only a change of a single row brings."""

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        _check_knots(self.knots)
        return self

    def sequences(self, numbers: int) -> int:
        """Imagined in all rounds, where an action has so many numbers that are not frozen."""
        return 1 + self.rounds * (numbers * len(self.knots) + REFINEMENT_STEPS)


class PlannerSettings(Section):
    """Planner defaults.

    A plan has one free action per knot: it is held until the next knot, or interpolated linearly
    between knots and held after the last. Deviations are in normalised action units. A model that
    takes one action for several rows (a frame skip that repeats it) is planned with held knots at
    the first row of model steps: what a search adds then changes there alone. Elsewhere a plan
    changes in rows that are decided before it arrives, and where it keeps the rest of the plan
    before, whose steps began at other times. With knots in between, each row of a step has its own.
    """

    sampler: Literal['cem', 'icem', 'mppi']
    """Cross-entropy method; iCEM (coloured noise, fewer samples in each iteration, elites that the
    next plan starts from); or MPPI over the elites."""
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
    over the whole horizon, is tried (of small populations, an even part of them). 0 for none."""
    memory: Annotated[PositiveInt, Field(le=1_048_576)]
    """What one batch of imagined sequences may take [MiB]; batches are split to keep to it. Weights
    come on top."""
    noise_exponent: Annotated[float, Field(ge=0, le=4)] | None = None
    """Of icem: the noise's power falls with frequency to this power; 0 is white, 2 wanders, more
    is smoother."""
    decay: Annotated[float, Field(ge=1, le=10)] | None = None
    """Of icem: samples are divided by this from one iteration to the next, down to twice the
    elites."""
    kept_elites: PositiveInt | None = None
    """Of icem: elites that compete again in the next iteration and in the next plan."""
    temperature: PositiveFloat | None = None
    """Of mppi: cost by which an elite must be dearer to count e times less."""
    policy_samples: Annotated[int, Field(gt=0, le=100_000)] | None = None
    """Sequences of the first iteration that follow the bundle's policy: what it drives, and others
    around it. Absent: none."""
    refinement: Refinement | None = None
    """What follows the search, for a cost that is a distance to a goal; absent: nothing."""
    workspace: Annotated[float, Field(ge=0, le=1_048_576)] | None = None
    """What the runtime's own buffers (activations, attention) take for each imagined sequence of a
    batch [MiB], as measured at export. Absent: it is measured whenever the model is loaded, on a
    CPU by the growth of the process; give it for a GPU, whose memory that does not show."""

    def population(self, iteration: int) -> int:
        """Sequences of an iteration where time allows: of icem max(N / gamma^i, 2 K), its eq. 4."""
        if self.decay is None:
            return self.samples
        shrunk = round(self.samples * self.decay ** -iteration)
        return min(self.samples, max(shrunk, 2 * self.elites))

    def sequences(self, numbers: int) -> int:
        """Of a whole plan, where an action has so many numbers that are not frozen."""
        search = sum(self.population(iteration) for iteration in range(self.iterations))
        # Without a refinement, the search's mean comes last.
        return search + (1 if self.refinement is None else self.refinement.sequences(numbers))

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        _check_knots(self.knots)
        if self.elites > self.samples:
            raise fault('elites', f'{self.elites} of {self.samples} samples',
                        'choose elites <= samples; a tenth is usual')
        same_length('sigma_min', self.sigma_min, len(self.sigma), 'planner.sigma')
        if any(low > first for low, first in zip(self.sigma_min, self.sigma, strict=True)):
            raise fault('sigma_min', f'{list(self.sigma_min)} is above sigma {list(self.sigma)}',
                        'choose sigma_min <= sigma in every dimension')
        self._check_sampler()
        return self

    def _check_sampler(self) -> None:
        for name, owner in _OF_SAMPLER.items():
            given = getattr(self, name) is not None
            if given and owner != self.sampler:
                raise fault(name, f'is a setting of {owner}, not of {self.sampler}',
                            f'remove it, or set sampler: {owner}')
            if not given and owner == self.sampler:
                raise fault(name, f'is missing for sampler {owner}',
                            f'give it; {_USUAL[name]} is usual')
        if self.kept_elites is not None and self.kept_elites > self.elites:
            raise fault('kept_elites', f'{self.kept_elites} of {self.elites} elites',
                        'choose kept_elites <= elites; a third is usual')


def _check_knots(knots: tuple[int, ...]) -> None:
    ascending = all(a < b for a, b in pairwise(knots))
    if knots[0] != 0 or not ascending:
        raise fault('knots', f'{list(knots)} do not ascend from 0', 'start with 0 and ascend')
