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
"""Closes the loop without ROS: the simulated arm, a bundle and the planner, receding horizon.

For studies of models and planner settings: episodes run as fast as the machine plans, the plan's
latency is simulated, and success is judged by the simulator's own tip, never by the model.

    python benchmarks/closed_loop.py models/reach --episodes 50 --seed 7 --set iterations=3
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import yaml
from numpy.typing import NDArray

from world_model_ros.bundle import Manifest, PlannerSettings, load_bundle
from world_model_ros.inference import Context, ContextBuffer, RuntimeSettings, WorldModel
from world_model_ros.observation.image import fit_image
from world_model_ros.planning import Plan, Planner, WarmStart
from world_model_ros.simulation import ArmSimulation

Float = NDArray[np.float32]

SUCCESS_RADIUS = 0.03
CONTROL_PERIOD = 0.01
# Starts and goals keep this far from the joints' ends, in radians.
MARGIN = 0.1


class Plans(Protocol):
    """What drives an episode: `Planner`, or another under comparison."""

    def plan(self, context: Context, goal: Float | None, *, committed: Float | None = None,
             warm_start: WarmStart | None = None, seed: int, deadline: float) -> Plan:
        """See `Planner.plan`."""


@dataclass(frozen=True)
class Timing:
    """Seconds: between observations, from observation to command, and for planning at most."""

    period: float
    latency: float
    budget: float


@dataclass(frozen=True)
class Episode:
    """One start and goal; distances of the tip in metres, times in milliseconds."""

    start: list[float]
    goal: list[float]
    final_error: float
    # Largest distance of the tip in the last second, and its way in it: a settled arm has no way.
    last_second_error: float
    last_second_way: float
    plan_ms: list[float]
    samples: float
    final_goal_distance: float


def random_pairs(arm: ArmSimulation, episodes: int, seed: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Start and goal joint positions, uniform within the limits."""
    generator = np.random.default_rng(seed)
    lower, upper = arm.limits.lower + MARGIN, arm.limits.upper - MARGIN
    for _ in range(episodes):
        yield generator.uniform(lower, upper), generator.uniform(lower, upper)


class Executed:
    """What the arm was told, tick by tick, as a model's context asks for it."""

    def __init__(self, size: int) -> None:
        self._commands: list[Float] = []
        self._size = size

    def add(self, command: Float) -> None:
        """The command [A] of the next tick."""
        self._commands.append(command)

    def rows(self, start: int, end: int, count: int) -> Float:
        """Mean commands [count, A] of equal parts of the time between two stamps [ns]."""
        ticks = [round(stamp * 1e-9 / CONTROL_PERIOD) for stamp in (start, end)]
        told = np.array(self._commands[ticks[0]:ticks[1]], np.float32)
        return told.reshape(count, -1, self._size).mean(1)


def observe(arm: ArmSimulation, model: WorldModel) -> tuple[Float, Float | None]:
    """Latent [*S] and proprioception [P] of what the arm's camera and joints show."""
    contract = model.bundle.manifest
    state = None
    if contract.proprioception is not None:
        state = np.concatenate([arm.positions, arm.velocities]).astype(np.float32)
    return model.encode(fit_image(arm.render(), contract.image), state), state


def idle_rows(contract: Manifest) -> Float:
    """Rows [H * rows_per_step, A] that ask for no motion."""
    rows = contract.planner.horizon * contract.action.rows_per_step
    return np.zeros((rows, contract.action.size), np.float32)


def run_episode(arm: ArmSimulation, model: WorldModel, planner: Plans, start: np.ndarray,
                goal: np.ndarray, duration: float, timing: Timing, seed: int) -> Episode:
    """Drive from `start` toward the picture of `goal` for `duration` seconds."""
    contract = model.bundle.manifest
    dt = contract.action.step_duration
    goal_latent = model.encode_goal(fit_image(arm.render_at(goal), contract.image))
    goal_tip = arm.tip_at(goal)
    arm.reset(start)
    active: tuple[float, Plan] | None = None
    pending: tuple[float, float, Plan] | None = None
    committed_steps = math.ceil(timing.latency / dt - 1e-9)
    idle = idle_rows(contract)
    past, executed = ContextBuffer(contract, model), Executed(contract.action.size)
    tips, plan_ms, samples = [], [], []
    next_observation = 0.0
    for tick in range(round(duration / CONTROL_PERIOD)):
        now = tick * CONTROL_PERIOD
        if pending and now >= pending[0] - 1e-9:
            active, pending = pending[1:], None
        if now >= next_observation - 1e-9:
            next_observation += max(timing.period, timing.latency)
            context = past.add(round((now + 1) * 1e9), *observe(arm, model),
                               lambda a, b, n: executed.rows(a - 10**9, b - 10**9, n))
            warm = None
            if active:
                warm = active[1].warm_start.after(now - active[0], dt)
            committed = (idle if warm is None else warm.actions)[:committed_steps]
            plan = planner.plan(context, goal_latent, committed=committed, warm_start=warm,
                                seed=seed * 1_000_003 + tick,
                                deadline=time.monotonic() + timing.budget)
            pending = (now + timing.latency, now, plan)
            if timing.latency == 0.0:
                active, pending = pending[1:], None
            plan_ms.append(plan.planning_time * 1e3)
            samples.append(plan.samples)
        command = idle[0]
        if active:
            row = int((now - active[0]) / dt + 1e-6)
            # Planners that keep no bounds are cut off where a controller would.
            command = np.clip(active[1].actions[min(row, len(active[1].actions) - 1)],
                              contract.action.lower, contract.action.upper)
            arm.command_velocity(command)
        executed.add(np.asarray(command, np.float32))
        arm.step(CONTROL_PERIOD)
        tips.append(arm.tip())
    last = np.array(tips[-round(1 / CONTROL_PERIOD):])
    errors = np.linalg.norm(last - goal_tip, axis=1)
    return Episode(
        start.tolist(), goal.tolist(), float(errors[-1]), float(errors.max()),
        float(np.linalg.norm(np.diff(last, axis=0), axis=1).sum()),
        plan_ms, float(np.mean(samples)), plan.goal_distance)


def summary(episodes: Sequence[Episode]) -> dict[str, object]:
    """The figures that count, in the demo's names."""
    errors = np.array([episode.final_error for episode in episodes])
    plan_ms = np.concatenate([episode.plan_ms for episode in episodes])
    reached = errors < SUCCESS_RADIUS
    return {
        'episodes': len(episodes),
        'success_rate': float(reached.mean()),
        'final_error_m': {'p50': _percentile(errors, 50), 'p90': _percentile(errors, 90),
                          'max': float(errors.max())},
        'last_second_way_m': {
            'p50': _percentile([e.last_second_way for e in episodes], 50),
            'p90': _percentile([e.last_second_way for e in episodes], 90)},
        'plan_ms': {'p50': _percentile(plan_ms, 50), 'p99': _percentile(plan_ms, 99)},
        'samples_per_plan': float(np.mean([episode.samples for episode in episodes])),
        'goal_distance_when_reached': {
            f'p{p}': _percentile([e.final_goal_distance for e, ok in
                                  zip(episodes, reached, strict=True) if ok] or [math.nan], p)
            for p in (50, 90, 99)},
    }


def _percentile(values: Sequence[float] | np.ndarray, p: float) -> float:
    return float(np.percentile(values, p))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the episodes, print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('bundle', type=Path, nargs='?', default=Path('models/reach'))
    parser.add_argument('--episodes', type=int, default=50)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--duration', type=float, default=8.0, help='seconds per episode')
    parser.add_argument('--period', type=float, default=0.1, help='seconds between observations')
    parser.add_argument('--latency', type=float, default=0.1,
                        help='seconds from observation to the first command of its plan')
    parser.add_argument('--budget', type=float, default=math.inf, help='planning deadline in s')
    parser.add_argument('--threads', type=int, default=1, help='of the runtime')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE',
                        help='override a planner setting, for example --set samples=128')
    parser.add_argument('--json', type=Path, help='write figures and episodes here')
    parser.add_argument('--quiet', action='store_true', help='print the summary only')
    options = parser.parse_args(arguments)

    model = WorldModel(load_bundle(options.bundle), RuntimeSettings(threads=options.threads))
    overrides = {key: yaml.safe_load(value) for key, _, value in
                 (entry.partition('=') for entry in options.set)}
    defaults = model.bundle.manifest.planner
    settings = PlannerSettings.model_validate_json(
        json.dumps({**defaults.model_dump(), **overrides}))
    planner = Planner(model, settings)
    timing = Timing(options.period, options.latency, options.budget)
    arm = ArmSimulation()
    episodes: list[Episode] = []
    for index, (start, goal) in enumerate(random_pairs(arm, options.episodes, options.seed)):
        episode = run_episode(arm, model, planner, start, goal, options.duration, timing,
                              options.seed * 1000 + index)
        episodes.append(episode)
        if not options.quiet:
            verdict = 'ok  ' if episode.final_error < SUCCESS_RADIUS else 'MISS'
            print(f'{index:3d} {verdict} error {100 * episode.final_error:6.2f} cm  '
                  f'way in last second {100 * episode.last_second_way:5.2f} cm  '
                  f'latent distance {episode.final_goal_distance:.3f}  '
                  f'plan {np.median(episode.plan_ms):5.1f} ms  '
                  f'start {np.round(start, 2)} goal {np.round(goal, 2)}', flush=True)
    arm.close()
    figures = summary(episodes)
    for key, value in figures.items():
        text = value if not isinstance(value, dict) else '  '.join(
            f'{k} {v:.4g}' for k, v in value.items())
        print(f'{key:28s} {text}')
    if options.json:
        options.json.write_text(json.dumps({
            **figures, 'seed': options.seed, 'timing': asdict(timing),
            'planner': settings.model_dump(), 'detail': [asdict(e) for e in episodes]}, indent=1))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
