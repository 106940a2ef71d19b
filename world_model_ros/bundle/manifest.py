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
magnitude moves a real arm wrongly, so nothing is guessed and nothing has a silent default: what may
be absent is a thing that the model does not have.

A bundle is a folder with this file as `bundle.yaml`, the graphs and the golden vectors beside it.
`models/reach/bundle.yaml` is one; `test/bundle/families/` has one for each published family. The
sections' modules say what each field means, with its unit: `action`, `inputs` (image and
proprioception), `latent` (parts, cost, goal), `graphs`, `planner_settings`:

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
  kind: joint_velocity                # joint_position | joint_velocity | joint_delta | twist | pose_delta
  names: [shoulder, elbow]            # joints; or linear.x … angular.z, gripper
  units: [rad/s, rad/s]
  # frame: base_link                  # of a twist or pose_delta
  lower: [-1.5, -1.5]                 # physical units
  upper: [1.5, 1.5]
  normalization: {mean: [0.0, 0.0], std: [1.5, 1.5]}   # graphs see (physical - mean) / std
  step_duration: 0.1                  # seconds that one row is held
  rows_per_step: 1                    # rows that one model step takes, concatenated ("frame skip")
  frozen: {}                          # name: value that plans never vary
  dead_band: [0.0, 0.0]               # smaller numbers are planned as 0
image:                                # what is done to a camera image before the graph sees it
  width: 64
  height: 64
  crop: center_square                 # center_square | none
  interpolation: area                 # area | bilinear | bicubic
  color: rgb
  frames: 1                           # images in one observation, one model step apart
  normalization: in_graph             # graphs take raw uint8; or {mean: […], std: […], layout: nchw}
  # cameras: [overhead, wrist]        # if there are several: the topics NAME/image_raw
  # fields_of_view: [{horizontal: 1.0, vertical: 1.0}, {horizontal: 1.2, vertical: 1.2}]   # rad
proprioception:                       # all joints' positions, then all velocities
  rule: predicted                     # none | predicted | hold | integrate_joints | integrate_pose
  joints: [shoulder, elbow]           # (integrate_pose has frame, link and gripper instead)
  fields: [position, velocity]
  normalization: {mean: [0.0, 0.0, 0.0, 0.0], std: [1.0, 1.0, 1.5, 1.5]}
latent:
  shape: [20]                         # up to three axes
  parts: {goal: {start: 0, stop: 16}, joints: {start: 16, stop: 20}}
graphs:
  encoder: {file: encoder.onnx}
  goal_encoder: {file: goal_encoder.onnx, parts: [goal], proprioception: false}
  rollout: {file: rollout.onnx, kind: markov}   # or predictor: markov | window | growing | recurrent
cost:
  objective: goal                     # the sum of the terms; or return, with reward and value graphs
  terms:
    - {source: goal, metric: l2, reduction: sum, steps: mean, weight: 1.0}
    - {source: goal, metric: l2, reduction: sum, steps: last, weight: 1.0}
goal: {source: goal, metric: l2, reduction: sum, reached: 0.1, reachable: 0.3}
surprise: {threshold: [0.1, 0.12, 0.15, 0.18]}   # or absent: no verdicts; one per model step ahead
planner:
  sampler: cem
  horizon: 32                         # model steps
  knots: [0, 4, 8, 12, 16, 20, 24, 28]   # rows at which the action may change
  interpolation: hold                 # hold | linear
  samples: 192
  iterations: 4
  elites: 16
  sigma: [0.6, 0.6]                   # first standard deviation, in normalised units
  sigma_min: [0.03, 0.03]             # the refit never falls below it
  momentum: 0.1                       # share of the old mean and deviation kept in a refit
  constant_grid: 6                    # constant actions tried per dimension
  memory: 256                         # MiB for one batch of imagined sequences
  workspace: 0.05                     # MiB of them for the runtime's own buffers, per sequence
golden: {file: golden.npz, tolerance: 0.0001}
```

Graphs take and give float32 tensors of fixed names. `B` (batch) and `T` (latents in a context) are
dynamic. H is the horizon, S the latent's shape, K = A * rows_per_step the numbers of one model
step, P those of the proprioception, G the goal's shape: S with the last axis cut to the goal
encoder's parts.

| graph | inputs | outputs |
|---|---|---|
| encoder | `image` [B, height, width, 3] uint8 (with several frames [B, frames, …], with several cameras [B, cameras, …], with both [B, cameras, frames, …]; float32 where the manifest normalises), if there is one; `proprioception` [B, P], if there is one | `latent` [B, *S] |
| goal_encoder | `image`; `proprioception` if the manifest says so | `goal` [B, *G] |
| rollout, markov | `latent` [B, *S]; `actions` [B, H, K] | `latents` [B, H, *S] |
| rollout, window n | `context` [B, n, *S]; `past_actions` [B, n-1, K]; `actions` [B, H, K] | `latents` [B, H, *S] |
| predictor, markov | `latent` [B, *S]; `action` [B, K] | `next_latent` [B, *S] |
| predictor, window or growing | `context` [B, T, *S]; `actions` [B, T, K], action k executed from frame k on | `next_latent` [B, *S] |
| predictor, recurrent | as markov, and `state.NAME` for each state | `next_latent` [B, *S]; `next.NAME` |
| reward | `latent` [B, *S]; `action` [B, K] | `reward` [B] |
| value | `latent` [B, *S] | `value` [B] |
| policy | `latent` [B, *S] | `action` [B, K] |

Where the proprioception's rule is hold or integrate_…, the graph takes it before each action, too:
`proprioception` [B, P] for markov and recurrent predictors, `states` [B, T, P] for window and
growing ones, `states` [B, H, P] for a markov rollout and [B, n-1+H, P] for a window rollout.

Graphs see normalised proprioception and actions. `latents[:, k]` is the state after model step k.
"""  # noqa: E501

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from world_model_ros.bundle.action import CARTESIAN_UNITS, ActionContract
from world_model_ros.bundle.fields import FileName, Section, Sha256, Text, fault, same_length
from world_model_ros.bundle.graphs import Graphs
from world_model_ros.bundle.inputs import AnyProprioception, ImageContract, PoseProprioception
from world_model_ros.bundle.latent import Cost, DistanceCost, Goal, Latent, Surprise
from world_model_ros.bundle.planner_settings import PlannerSettings
from world_model_ros.payload import PLAN_ROWS

SCHEMA_VERSION = 1


class Identity(Section):
    """Who made the model and on what terms it may be used."""

    name: Text
    """Short name, as in logs and messages."""
    version: Text
    """Of the weights."""
    license: Text
    """SPDX identifier, or the licence's name."""
    source: Text
    """Where it comes from: an address, a paper, or the command that makes it."""


class Golden(Section):
    """Recorded inputs and outputs that the graphs must reproduce when they are loaded."""

    file: FileName
    """A `.npz` without pickle; `golden.GoldenVectors` says what it holds."""
    tolerance: Annotated[float, Field(gt=0, le=0.1)]
    """Largest deviation, as a fraction of the largest number of each output."""


class Manifest(Section):
    """`bundle.yaml`: what a robot must know to run a model and that the graphs cannot say."""

    schema_version: Annotated[int, Field(ge=SCHEMA_VERSION, le=SCHEMA_VERSION)]
    """Of this format."""
    model: Identity
    """Who made the model and on what terms it may be used."""
    files: Annotated[dict[FileName, Sha256], Field(min_length=1)]
    """sha256 of every file that the bundle uses, external data of graphs included."""
    action: ActionContract
    """What one row of a plan means."""
    image: ImageContract | None = None
    """What is done to a camera image; absent: the model sees none."""
    proprioception: AnyProprioception | None = None
    """The robot's own state; absent: the model does not know it."""
    latent: Latent
    """The state that the model plans in."""
    graphs: Graphs
    """The ONNX files."""
    cost: Cost
    """What a plan minimises."""
    goal: Goal | None = None
    """When a goal counts as reached; absent for the objective `return`."""
    surprise: Surprise | None = None
    """When what the model sees counts as a surprise; absent: unknown."""
    planner: PlannerSettings
    """Planner defaults."""
    golden: Golden
    """Recorded inputs and outputs."""

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.image is None and self.proprioception is None:
            raise fault('image', 'and proprioception are both absent: the model sees nothing',
                        'describe at least one of them')
        self._check_planner()
        self._check_proprioception()
        if isinstance(self.cost, DistanceCost):
            self._check_goal(self.cost)
        else:
            self._check_return()
        for field, file in self.references().items():
            if file not in self.files:
                raise fault('files', f'lacks the digest of "{file}" that {field} names',
                            'write the manifest with world_model_ros.bundle.write_manifest')
        return self

    def _check_planner(self) -> None:
        planner, action = self.planner, self.action
        same_length('planner.sigma', planner.sigma, action.size, 'action.names')
        rows = planner.horizon * action.rows_per_step
        if rows > PLAN_ROWS:
            raise fault('planner.horizon', f'{planner.horizon} model steps make {rows} rows, and '
                        f'the controller takes {PLAN_ROWS}',
                        f'choose horizon <= {PLAN_ROWS // action.rows_per_step}')
        knots = {'planner.knots': planner.knots}
        if planner.refinement is not None:
            knots['planner.refinement.knots'] = planner.refinement.knots
        for field, at in knots.items():
            if at[-1] >= rows:
                raise fault(field, f'{list(at)} reach beyond the {rows} rows of the horizon',
                            f'stay below {rows}, which is horizon x rows_per_step')
        free = action.size - len(action.frozen)
        if planner.constant_grid ** free > planner.samples:
            raise fault('planner.constant_grid', f'{planner.constant_grid} values in {free} '
                        f'dimensions make more than {planner.samples} samples',
                        'use a coarser grid, or 0 for none')
        if planner.policy_samples is not None and self.graphs.policy is None:
            raise fault('planner.policy_samples', 'is given where the bundle has no policy',
                        'remove it, or export graphs.policy')

    def _check_proprioception(self) -> None:
        state, action = self.proprioception, self.action
        if state is None:
            return
        if isinstance(state, PoseProprioception):
            wanted = list(CARTESIAN_UNITS)[:state.size]
            if action.kind not in ('pose_delta', 'twist') or list(action.names) != wanted:
                raise fault('proprioception.rule', f'integrate_pose cannot integrate {action.kind} '
                            f'of {list(action.names)}',
                            f'use pose_delta or twist with names {wanted}')
            if action.frame != state.frame:
                raise fault('proprioception.frame', f'{state.frame} is not action.frame '
                            f'{action.frame}', 'give pose and actions in one frame')
        elif state.rule == 'integrate_joints':
            missing = [name for name in action.names if name not in state.joints]
            if not action.kind.startswith('joint_') or missing:
                raise fault('proprioception.rule', f'integrate_joints cannot integrate '
                            f'{action.kind} of {list(action.names)} into {list(state.joints)}',
                            'use joint actions of joints that are listed, or another rule')

    def _check_goal(self, cost: DistanceCost) -> None:
        if self.goal is None:
            raise fault('goal', 'is missing for the cost objective goal',
                        'say at which distance a goal counts as reached')
        for name in ('reward', 'value'):
            if getattr(self.graphs, name) is not None:
                raise fault(f'graphs.{name}', 'is for the cost objective return',
                            'remove it, or set cost.objective: return')
        for part in self.goal_parts:
            if part not in self.latent.parts:
                raise fault('graphs.goal_encoder.parts', f'"{part}" is not in latent.parts',
                            f'choose from {list(self.latent.parts)}')
        encoder = self.graphs.goal_encoder
        if encoder and encoder.proprioception and self.proprioception is None:
            raise fault('graphs.goal_encoder.proprioception', 'is true where the bundle has none',
                        'set it to false, or describe the proprioception')
        sources = {f'cost.terms.{i}.source': term.source for i, term in enumerate(cost.terms)}
        sources['goal.source'] = self.goal.source
        for field, source in sources.items():
            if source not in self.goal_parts:
                raise fault(field, f'"{source}" is no part that the goal holds',
                            f'choose from {list(self.goal_parts)}')

    def _check_return(self) -> None:
        for name in ('reward', 'value'):
            if getattr(self.graphs, name) is None:
                raise fault(f'graphs.{name}', 'is missing for the cost objective return',
                            'export it, or set cost.objective: goal')
        if self.goal is not None:
            raise fault('goal', 'is not used by the cost objective return', 'remove it')
        if self.planner.refinement is not None:
            raise fault('planner.refinement', 'is not for the cost objective return: it follows a '
                        'distance', 'remove it')
        if self.graphs.goal_encoder is not None:
            raise fault('graphs.goal_encoder', 'is not used by the cost objective return',
                        'remove it')

    @property
    def goal_parts(self) -> tuple[str, ...]:
        """Parts of the latent that a goal holds; all of them where the encoder gives goals."""
        encoder = self.graphs.goal_encoder
        return encoder.parts if encoder else tuple(self.latent.parts)

    @property
    def goal_shape(self) -> tuple[int, ...]:
        """Shape of a goal, G."""
        encoder = self.graphs.goal_encoder
        if encoder is None:
            return self.latent.shape
        parts = self.latent.parts
        return (*self.latent.shape[:-1], sum(parts[name].size for name in encoder.parts))

    def goal_indices(self, part: str) -> slice:
        """Where a part lies on a goal's last axis."""
        encoder, parts = self.graphs.goal_encoder, self.latent.parts
        if encoder is None:
            return parts[part].indices
        start = sum(parts[name].size for name in encoder.parts[:encoder.parts.index(part)])
        return slice(start, start + parts[part].size)

    @property
    def has_goal(self) -> bool:
        """Whether plans lead to a goal (or else to the largest return)."""
        return self.goal is not None

    @property
    def history(self) -> int:
        """Observed latents that a rollout starts from [model steps]."""
        return self.graphs.dynamics.history

    def references(self) -> dict[str, str]:
        """Files that the bundle names, keyed by the field that names each."""
        return {**{f'graphs.{name}.file': graph.file for name, graph in self.graphs.present()},
                'golden.file': self.golden.file}
