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
"""The manifest: everything that a robot must know to run a model and that the graphs cannot say.

It is strict on purpose. An unknown key, a missing number or a bound that is off by an order of
magnitude moves a real arm wrongly, so nothing is guessed and nothing has a silent default.

A bundle is a folder with this file as `bundle.yaml`, the graphs and the golden vectors beside it:

```yaml
schema_version: 1
model:
  name: reach
  version: 1.0.0
  license: Apache-2.0
  source: wmros train reach --seed 0
files:                                # sha256 of every file that the bundle uses
  encoder.onnx: 5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9
  goal_encoder.onnx: 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
  rollout.onnx: d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
  golden.npz: 4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce
action:                               # what one row of a plan means
  kind: joint_velocity
  names: [shoulder, elbow]
  unit: rad/s
  lower: [-1.5, -1.5]                 # physical units
  upper: [1.5, 1.5]
  normalization: {mean: [0.0, 0.0], std: [1.5, 1.5]}   # graphs see (physical - mean) / std
  step_duration: 0.1                  # seconds that one row is held
image:                                # what is done to a camera image before the graph sees it
  width: 64
  height: 64
  crop: center_square                 # center_square | none
  interpolation: area
  color: rgb
  normalization: in_graph             # graphs take raw uint8
proprioception:                       # order of the vector: all positions, then all velocities
  joints: [shoulder, elbow]
  fields: [position, velocity]
  normalization: {mean: [0.0, 0.0, 0.0, 0.0], std: [1.0, 1.0, 1.5, 1.5]}
  rule: predicted                     # the rollout graph predicts it with the rest of the latent
latent:
  shape: [20]
  goal: {start: 0, stop: 16}          # the part of the latent that a goal picture addresses
graphs:
  encoder: {file: encoder.onnx}
  goal_encoder: {file: goal_encoder.onnx}
  rollout: {file: rollout.onnx, kind: markov}
cost:                                 # sum of the terms is what a plan minimises
  terms:
    - {source: goal, metric: l2, steps: mean, weight: 1.0}
    - {source: goal, metric: l2, steps: last, weight: 1.0}
goal:
  metric: l2
  reached: 0.1                        # distance at which the goal counts as reached
planner:
  sampler: cem
  horizon: 32                         # model steps
  knots: [0, 4, 8, 12, 16, 20, 24, 28]   # model steps at which the action may change
  interpolation: hold                 # hold | linear
  samples: 192
  iterations: 4
  elites: 16
  sigma: [0.6, 0.6]                   # first standard deviation, in normalised units
  sigma_min: [0.03, 0.03]             # the refit never falls below it
  momentum: 0.1                       # share of the old mean and deviation kept in a refit
  constant_grid: 6                    # constant actions tried per dimension
golden: {file: golden.npz, tolerance: 0.0001}
```

Graphs take and give tensors of fixed names and types; `batch` is a dynamic dimension, `P` the
length of the proprioception vector, `D` that of the latent, `G` of its goal part, `A` of an action:

| graph | inputs | outputs |
|---|---|---|
| encoder | `image` uint8 [batch, height, width, 3]; `proprioception` float32 [batch, P] | `latent` float32 [batch, D] |
| goal_encoder | `image` as above | `goal` float32 [batch, G] |
| rollout | `latent` float32 [batch, D]; `actions` float32 [batch, horizon, A] | `latents` float32 [batch, horizon, D] |

Graphs see normalised proprioception and actions. `latents[:, k]` is the state after action `k`.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

SCHEMA_VERSION = 1

PositiveInt = Annotated[int, Field(gt=0)]
Size = Annotated[int, Field(gt=0, le=8192)]
PositiveFloat = Annotated[float, Field(gt=0)]
Sha256 = Annotated[str, Field(pattern='^[0-9a-f]{64}$')]
Text = Annotated[str, Field(min_length=1)]


def fault(field: str, problem: str, cure: str) -> PydanticCustomError:
    """A validation error that keeps field, problem and cure apart for `BundleError`."""
    context = {'field': field, 'problem': problem, 'cure': cure}
    return PydanticCustomError('fault', '{field}: {problem}', context)


def _inside_folder(name: str) -> str:
    path = PurePosixPath(name)
    strange = '\\' in name or '\0' in name or name != str(path)
    if strange or path.is_absolute() or '..' in path.parts:
        raise fault('', f'"{name}" is not a plain path inside the bundle', 'put the file into the '
                    'bundle and name it relative to it, without ".." and without a leading "/"')
    return name


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise fault('', f'names repeat in {list(names)}', 'name each joint once')
    return names


FileName = Annotated[Text, AfterValidator(_inside_folder)]
Names = Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(_unique)]
Numbers = Annotated[tuple[float, ...], Field(min_length=1)]


def _same_length(field: str, values: Sequence[object], expected: int, of: str) -> None:
    if len(values) != expected:
        raise fault(field, f'has {len(values)} entries where {of} has {expected}',
                    f'give one entry for each of the {expected}')


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra='forbid', frozen=True, allow_inf_nan=False)


class Identity(_Section):
    """Who made the model and on what terms it may be used."""

    name: Text
    version: Text
    license: Text
    source: Text


class Normalization(_Section):
    """Graphs see `(physical - mean) / std`."""

    mean: Numbers
    std: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]


class ActionContract(_Section):
    """What one row of a plan means: kind, order, bounds and duration."""

    kind: Literal['joint_velocity']
    names: Names
    unit: Literal['rad/s']
    lower: Numbers
    upper: Numbers
    normalization: Normalization
    step_duration: Annotated[float, Field(gt=0, le=10)]

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        size = len(self.names)
        _same_length('lower', self.lower, size, 'action.names')
        _same_length('upper', self.upper, size, 'action.names')
        _same_length('normalization.mean', self.normalization.mean, size, 'action.names')
        _same_length('normalization.std', self.normalization.std, size, 'action.names')
        for name, lower, upper in zip(self.names, self.lower, self.upper, strict=True):
            if not lower < upper:
                raise fault('lower', f'{lower:g} is not below upper {upper:g} for {name}',
                            'set lower < upper, both in physical units')
        return self

    @property
    def size(self) -> int:
        """Numbers in one action, A."""
        return len(self.names)


class ImageContract(_Section):
    """What is done to a camera image before a graph sees it, in this order: crop, then resize."""

    width: Size
    height: Size
    crop: Literal['center_square', 'none']
    interpolation: Literal['area']
    color: Literal['rgb']
    normalization: Literal['in_graph']

    @model_validator(mode='after')
    def _square(self) -> Self:
        if self.crop == 'center_square' and self.width != self.height:
            raise fault('crop', f'a square crop would be stretched to {self.width}x{self.height}',
                        'set width equal to height, or crop: none')
        return self


class Proprioception(_Section):
    """The robot's own state: a vector of all joints' first field, then all joints' second one."""

    joints: Names
    fields: Annotated[
        tuple[Literal['position', 'velocity'], ...], Field(min_length=1), AfterValidator(_unique)
    ]
    normalization: Normalization
    rule: Literal['predicted']

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        for part in ('mean', 'std'):
            _same_length(f'normalization.{part}', getattr(self.normalization, part), self.size,
                         'joints x fields')
        return self

    @property
    def size(self) -> int:
        """Numbers in the vector, P."""
        return len(self.joints) * len(self.fields)


class GoalPart(_Section):
    """Half-open range of the latent's entries that a goal picture addresses."""

    start: Annotated[int, Field(ge=0)]
    stop: PositiveInt


class Latent(_Section):
    """The state that the model plans in."""

    shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=1)]
    goal: GoalPart

    @model_validator(mode='after')
    def _goal_inside(self) -> Self:
        if not self.goal.start < self.goal.stop <= self.size:
            raise fault('goal', f'{self.goal.start}..{self.goal.stop} is no part of a latent of '
                        f'{self.size}', f'choose 0 <= start < stop <= {self.size}')
        return self

    @property
    def size(self) -> int:
        """Numbers in a latent, D."""
        return self.shape[0]

    @property
    def goal_size(self) -> int:
        """Numbers in a goal, G."""
        return self.goal.stop - self.goal.start

    @property
    def goal_slice(self) -> slice:
        """Where the goal part lies in a latent."""
        return slice(self.goal.start, self.goal.stop)


class Graph(_Section):
    """An ONNX file."""

    file: FileName


class RolloutGraph(Graph):
    """Markov: the next latent follows from the last one and the action alone."""

    kind: Literal['markov']


class Graphs(_Section):
    """The graphs of the table above."""

    encoder: Graph
    goal_encoder: Graph
    rollout: RolloutGraph


class CostTerm(_Section):
    """`weight` times a distance between imagined latents and the goal.

    `l2` is the Euclidean norm of the difference, over the latent's goal part. `steps` says whether
    the horizon's mean or its last step counts.
    """

    source: Literal['goal']
    metric: Literal['l2']
    steps: Literal['mean', 'last']
    weight: PositiveFloat


class Cost(_Section):
    """What a plan minimises: the sum of the terms."""

    terms: Annotated[tuple[CostTerm, ...], Field(min_length=1)]


class Goal(_Section):
    """When the goal counts as reached: distance of the observation's latent, calibrated on data."""

    metric: Literal['l2']
    reached: PositiveFloat


class PlannerSettings(_Section):
    """Planner defaults.

    A plan has one free action per knot: it is held until the next knot, or interpolated linearly
    between knots and held after the last. Deviations are in normalised action units.
    `constant_grid` spreads that many values between the bounds of each dimension; every
    combination, held over the whole horizon, is tried.
    """

    sampler: Literal['cem']
    horizon: Annotated[int, Field(gt=0, le=1024)]
    knots: Annotated[tuple[int, ...], Field(min_length=1)]
    interpolation: Literal['hold', 'linear']
    samples: Annotated[int, Field(gt=0, le=100_000)]
    iterations: Annotated[int, Field(gt=0, le=1000)]
    elites: PositiveInt
    sigma: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    sigma_min: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    constant_grid: Annotated[int, Field(ge=0)]

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        ascending = all(a < b for a, b in zip(self.knots, self.knots[1:], strict=False))
        if self.knots[0] != 0 or not ascending or self.knots[-1] >= self.horizon:
            raise fault('knots', f'{list(self.knots)} do not ascend from 0 to below the horizon '
                        f'{self.horizon}', 'start with 0, ascend, and stay below horizon')
        if self.elites > self.samples:
            raise fault('elites', f'{self.elites} of {self.samples} samples',
                        'choose elites <= samples; a tenth is usual')
        _same_length('sigma_min', self.sigma_min, len(self.sigma), 'planner.sigma')
        if any(low > first for low, first in zip(self.sigma_min, self.sigma, strict=True)):
            raise fault('sigma_min', f'{list(self.sigma_min)} is above sigma {list(self.sigma)}',
                        'choose sigma_min <= sigma in every dimension')
        if self.constant_grid ** len(self.sigma) > self.samples:
            raise fault('constant_grid', f'{self.constant_grid} values in {len(self.sigma)} '
                        f'dimensions make more than {self.samples} samples',
                        'use a coarser grid, or 0 for none')
        return self


class Golden(_Section):
    """Recorded inputs and outputs; `tolerance` is relative to the largest number of each output."""

    file: FileName
    tolerance: Annotated[float, Field(gt=0, le=0.1)]


class Manifest(_Section):
    """`bundle.yaml`; the module's docstring shows one."""

    schema_version: int
    model: Identity
    files: Annotated[dict[FileName, Sha256], Field(min_length=1)]
    action: ActionContract
    image: ImageContract
    proprioception: Proprioception
    latent: Latent
    graphs: Graphs
    cost: Cost
    goal: Goal
    planner: PlannerSettings
    golden: Golden

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        _same_length('planner.sigma', self.planner.sigma, self.action.size, 'action.names')
        for field, file in self.references().items():
            if file not in self.files:
                raise fault('files', f'lacks the digest of "{file}" that {field} names',
                            'write the manifest with world_model_ros.bundle.write_manifest')
        return self

    def references(self) -> dict[str, str]:
        """Files that the bundle uses, keyed by the field that names each."""
        return {
            'graphs.encoder.file': self.graphs.encoder.file,
            'graphs.goal_encoder.file': self.graphs.goal_encoder.file,
            'graphs.rollout.file': self.graphs.rollout.file,
            'golden.file': self.golden.file,
        }
