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
"""stable-worldmodel's own CEMSolver, asked as our planner is: the other side of the comparison.

The solver is the package's, untouched. It is given what it would have to compute first (embeddings
of pictures and goal), the same context, the same committed rows, and a cost to minimise. It knows
no bounds, so the cost is that of the actions cut off at the robot's bounds: with a cost of actions
that no robot executes it would lose to anybody. The cost is

* of a LeWM, the package's own `LeWM.get_cost` in torch, on the same checkpoint;
* of a bundle whose torch weights are not at hand (`models/reach`), the bundle's rollout in our
  runtime. That is the faster of the two ways, so the comparison is of the searches alone.

Needs what requirements/export.in names (docs/planning.md).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import math
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_model_ros.bundle import Manifest
from world_model_ros.inference import Context, InferenceError, WorldModel
from world_model_ros.learning.export.checkpoint import load_stable_worldmodel
from world_model_ros.planning import Plan, WarmStart

Float = NDArray[np.float32]
_PACKAGE = 'stable_worldmodel'
SAMPLES, ITERATIONS, ELITES = 300, 30, 30
"""As LeWM publishes."""


class Cost(Protocol):
    """Costs [N] of physical rows [N, H * rows_per_step, A] from a context toward a goal."""

    def __call__(self, context: Context, goal: Float, actions: Float) -> Float:
        """Costs of actions inside the bounds."""


class BundleCost:
    """The bundle's cost in our runtime."""

    def __init__(self, model: WorldModel) -> None:
        self._model = model

    def __call__(self, context: Context, goal: Float, actions: Float) -> Float:
        """See `Cost`."""
        return self._model.score(context, goal, actions).costs


class LeWMCost:
    """The package's own cost of a LeWM checkpoint, in torch."""

    def __init__(self, checkpoint: Path, manifest: Manifest) -> None:
        self.module: Any = load_stable_worldmodel(checkpoint, 'lewm', trust=False).eval()
        self._manifest = manifest

    @torch.inference_mode()
    def __call__(self, context: Context, goal: Float, actions: Float) -> Float:
        """See `Cost`."""
        past, count = context.past_actions, len(actions)
        rows = np.concatenate([np.broadcast_to(past, (count, *past.shape)), actions], axis=1)
        # Counted, never looked at.
        pictures = torch.zeros(1, count, len(context.latents), 1, 1, 1)
        info = {
            'pixels': pictures, 'goal': pictures,
            'emb': torch.from_numpy(context.latents).expand(1, count, -1, -1),
            'goal_emb': torch.from_numpy(goal).expand(1, count, 1, -1),
        }
        steps = steps_of(self._manifest, rows)
        costs: Float = self.module.get_cost(info, steps[None])[0].numpy()
        return costs


def steps_of(manifest: Manifest, rows: Float) -> Tensor:
    """Normalised model steps [N, H, K] of physical rows [N, H * rows_per_step, A]."""
    normal = manifest.action.normalization
    steps = (rows - np.array(normal.mean, np.float32)) / np.array(normal.std, np.float32)
    return torch.from_numpy(steps.reshape(len(rows), -1, manifest.action.step_size))


def bounded_rows_of(manifest: Manifest, steps: Tensor) -> Float:
    """Physical rows [N, H * rows_per_step, A], as executed, of normalised steps [N, H, K]."""
    action = manifest.action
    normal = action.normalization
    rows = steps.numpy().reshape(len(steps), -1, action.size)
    physical = rows * np.array(normal.std, np.float32) + np.array(normal.mean, np.float32)
    executed: Float = np.clip(
        physical, np.array(action.lower, np.float32), np.array(action.upper, np.float32))
    return executed


@dataclass(frozen=True)
class Means:
    """What a solve went through: seconds since its start and the mean [H, K] of each iteration."""

    seconds: list[float]
    means: list[Tensor]


class StockPlanner:
    """`CEMSolver` behind the interface of `Planner`."""

    def __init__(self, model: WorldModel, cost: Cost, iterations: int = ITERATIONS) -> None:
        """`model` says how far goals are; `cost` is what the solver minimises."""
        self._model, self._cost, self._iterations = model, cost, iterations
        self._manifest = model.bundle.manifest
        self.last = Means([], [])

    def plan(self, context: Context, goal: Float | None, *, committed: Float | None = None,
             warm_start: WarmStart | None = None, seed: int, deadline: float) -> Plan:
        """Solve; the deadline is not looked at, for the solver knows none.

        `warm_start` becomes the first mean, as `WorldModelPolicy` does with the rest of a plan.
        Actions are the solver's last mean, cut off at the bounds.
        """
        assert goal is not None
        manifest, history = self._manifest, _History()
        solver = _solver()(
            _Costable(self._cost, manifest, context, goal, committed), num_samples=SAMPLES,
            n_steps=self._iterations, topk=ELITES, seed=seed % 2**31, callbacks=[history])
        box = importlib.import_module('gymnasium').spaces.Box(
            np.array([manifest.action.lower], np.float32),
            np.array([manifest.action.upper], np.float32))
        solver.configure(action_space=box, n_envs=1, config=types.SimpleNamespace(
            horizon=manifest.planner.horizon, action_block=manifest.action.rows_per_step))
        first = None if warm_start is None else steps_of(manifest, warm_start.actions[None])
        started = time.perf_counter()
        history.started = started
        with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it took
            found = solver.solve({'latent': torch.zeros(1, 1)}, init_action=first)
        seconds = time.perf_counter() - started
        self.last = Means(history.seconds, history.means)
        rows = self.rows(found['actions'][0], committed)
        scores = self._model.score(context, goal, rows[None])
        latents = scores.latents
        if latents is None:
            latents = self._model.imagine(context, rows[None])[0]
        return Plan(
            actions=rows, latents=latents, step_costs=scores.steps[0], cost=float(scores.costs[0]),
            goal_distance=float(self._model.distance(context.latent, goal)),
            samples=SAMPLES * self._iterations, iterations=self._iterations, planning_time=seconds,
            warm_start=WarmStart(rows, np.empty((0, *rows.shape), np.float32)))

    def rows(self, mean: Tensor, committed: Float | None = None) -> Float:
        """Physical rows of a mean [H, K], behind what is committed."""
        rows = bounded_rows_of(self._manifest, mean[None])[0]
        if committed is not None:
            rows[:len(committed)] = committed[:len(rows)]
        return rows


class _Costable:
    """What the solver asks for costs; `Costable` in the package."""

    def __init__(self, cost: Cost, manifest: Manifest, context: Context, goal: Float,
                 committed: Float | None) -> None:
        self._cost, self._manifest = cost, manifest
        self._context, self._goal, self._committed = context, goal, committed

    def get_cost(self, info: dict[str, Any], candidates: Tensor) -> Tensor:
        """Costs [1, S] of candidates [1, S, H, K]."""
        rows = bounded_rows_of(self._manifest, candidates[0])
        if self._committed is not None:
            rows[:, :len(self._committed)] = self._committed[:rows.shape[1]]
        return torch.from_numpy(self._cost(self._context, self._goal, rows))[None]


class _History:
    """A callback of the solver: when each iteration was done and what it came to."""

    output_key = 'means'

    def __init__(self) -> None:
        self.started = math.nan
        self.seconds: list[float] = []
        self.means: list[Tensor] = []
        self.history: list[Any] = []

    def reset(self) -> None:
        """Called before a solve."""

    def start_batch(self) -> None:
        """Called before an environment."""

    def end_solve(self) -> None:
        """Called after a solve."""

    def __call__(self, *, mean: Tensor, **rest: Any) -> None:
        self.seconds.append(time.perf_counter() - self.started)
        self.means.append(mean[0].clone())


def _solver() -> Any:
    """The class `CEMSolver`, without the package's `__init__` and its simulators."""
    name = f'{_PACKAGE}.solver.cem'
    if name not in sys.modules:
        spec = importlib.util.find_spec(_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise InferenceError('needs stable-worldmodel: python3 tools/prepare.py test-export')
        shell = types.ModuleType(_PACKAGE)
        shell.__path__ = list(spec.submodule_search_locations)
        sys.modules[_PACKAGE] = shell
        try:
            importlib.import_module(name)
        finally:
            del sys.modules[_PACKAGE]
    return sys.modules[name].CEMSolver
