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
"""Our planner against stable-worldmodel's CEMSolver: same weights, goals, cores, in one run.

    python benchmarks/planning.py --json out/planning.json --pictures docs/images

Three parts, written to the JSON as they go, so that what is cut off is not lost:

* `lewm`: receding-horizon episodes with a LeWM of 18 million weights (`wmros train lewm`).
  Wherever a plan is due, the solver plans as published (300 x 30) and ours does with rising
  budgets, cold and warm-started, from the same context toward the same goal. All plans are judged
  by one evaluator, the package's own cost, and so is standing still.
* `reach`: whole episodes on models/reach, both planners from the same starts toward the same goals.
* `latency`: success on models/reach with 5 to 500 ms from observation to command, all of which may
  be spent on planning.

What it needs and how to read it: docs/planning.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ['OPENBLAS_NUM_THREADS'] = '1'  # as in nodes/, and as torch here; before NumPy comes

import numpy as np
from closed_loop import Float, Timing, random_pairs, run_episode
from closed_loop import summary as episode_summary

from world_model_ros.bundle import PlannerSettings, load_bundle
from world_model_ros.inference import Context, RuntimeSettings, WorldModel
from world_model_ros.planning import Plan, Planner, WarmStart
from world_model_ros.simulation import ArmSimulation

Budget = tuple[int, int, int]
"""Sequences of an iteration, iterations, rounds of refinement."""

# Cheapest first.
WARM = ((64, 3, 0), (8, 1, 1), (8, 1, 2), (8, 1, 3), (8, 1, 4))
COLD = ((128, 8, 0), (24, 1, 1), (24, 1, 2), (24, 1, 3), (32, 1, 4), (32, 2, 6))
DRIVER = (8, 1, 3)
"""The budget whose warm-started plans are executed."""

LATENCIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
MOST = (64, 10, 0)
"""The budget of ours on models/reach where time is left: it finds no better plans beyond."""


@dataclass(frozen=True)
class Result:
    """One plan: how long it took [s], on the clock and on the core, and what it is worth."""

    seconds: float
    core_seconds: float
    samples: int
    cost: float


@dataclass
class Instant:
    """One moment at which a plan was due.

    `idle` is the cost of standing still; `curve` the solver's seconds and cost by iteration.
    """

    first: bool
    idle: float
    stock: Result
    curve: list[tuple[float, float]]
    cold: dict[str, Result] = field(default_factory=dict)
    warm: dict[str, Result] = field(default_factory=dict)


def label(budget: Budget) -> str:
    """Name of a budget."""
    samples, iterations, rounds = budget
    return f'{samples} x {iterations}' + f' + {rounds} rounds' * bool(rounds)


def settings_for(base: PlannerSettings, budget: Budget) -> PlannerSettings:
    """The bundle's settings at another budget; an eighth of the samples are elites at most."""
    samples, iterations, rounds = budget
    elites = min(base.elites, max(2, samples // 8))
    kept = None if base.kept_elites is None else min(base.kept_elites, elites)
    refinement = None
    if rounds and base.refinement is not None:
        refinement = {**base.refinement.model_dump(), 'rounds': rounds}
    return PlannerSettings.model_validate(
        {**base.model_dump(), 'samples': samples, 'iterations': iterations, 'elites': elites,
         'kept_elites': kept, 'refinement': refinement})


class Comparison:
    """Drives with our planner and, wherever it plans, has all others plan too."""

    def __init__(self, model: WorldModel, stock: Any, judge: Callable[..., Float]) -> None:
        """`stock` is a `StockPlanner`; `judge` gives the costs that count."""
        base = model.bundle.manifest.planner
        self._planners = {budget: Planner(model, settings_for(base, budget))
                          for budget in {*WARM, *COLD, DRIVER}}
        self._stock, self._judge = stock, judge
        self._rows = model.bundle.manifest.action.rows_per_step
        self._stock_warm: WarmStart | None = None
        self.instants: list[Instant] = []

    def start_episode(self) -> None:
        """Forget the solver's last plan."""
        self._stock_warm = None

    def plan(self, context: Context, goal: Float | None, *, committed: Float | None = None,
             warm_start: WarmStart | None = None, seed: int, deadline: float) -> Plan:
        """Plan with everyone; the driver's plan is returned."""
        assert goal is not None
        arguments = {'seed': seed, 'deadline': math.inf}

        def worth(actions: Float) -> float:
            return float(self._judge(context, goal, actions[None])[0])

        def plan(planner: Any, warm: WarmStart | None) -> tuple[Result, Plan]:
            clock, core = time.perf_counter(), time.thread_time()
            made = planner.plan(context, goal, warm_start=warm, **arguments)
            clock, core = time.perf_counter() - clock, time.thread_time() - core
            return Result(clock, core, made.samples, worth(made.actions)), made

        stock, made = plan(self._stock, self._stock_warm)
        # What its own policy keeps: the rest of the mean, and zeros behind it.
        rest = np.zeros_like(made.actions)
        rest[:-self._rows] = made.actions[self._rows:]
        self._stock_warm = WarmStart(rest, made.warm_start.elites)
        curve = [(seconds, worth(self._stock.rows(mean)))
                 for seconds, mean in zip(self._stock.last.seconds, self._stock.last.means,
                                          strict=True)]
        idle = worth(np.zeros_like(made.actions))
        instant = Instant(warm_start is None, idle, stock, curve)
        for budget in COLD:
            instant.cold[label(budget)] = plan(self._planners[budget], None)[0]
        if warm_start is not None:
            for budget in WARM:
                instant.warm[label(budget)] = plan(self._planners[budget], warm_start)[0]
        self.instants.append(instant)
        cold = instant.cold[label(COLD[-1])]
        print(f'  plan {len(self.instants):3d}  still {idle:8.3f}'
              f'   stock {stock.seconds:5.1f} s cost {stock.cost:8.3f}'
              f'   ours cold {cold.seconds:5.2f} s cost {cold.cost:8.3f}'
              + ''.join(f'   warm {label(budget)} {instant.warm[label(budget)].seconds:5.2f} s '
                        f'{instant.warm[label(budget)].cost:8.3f}'
                        for budget in (WARM[0], DRIVER) if instant.warm), flush=True)
        return plan(self._planners[DRIVER], warm_start)[1]


def ladder(instants: Sequence[Instant], kind: str) -> dict[str, Any]:
    """Our budgets of a kind (`cold`, `warm`) against the solver at the same instants.

    A budget reaches the solver's final cost if the mean of its costs is no higher and it is no
    higher at half the instants or more. The first such budget is the one that counts.
    """
    instants = [instant for instant in instants if getattr(instant, kind)]
    if not instants:
        return {'instants': 0, 'idle': None, 'stock': None, 'budgets': [], 'reached_with': None,
                'speedup': None, 'speedup_core': None}
    stock = [instant.stock for instant in instants]
    target = np.array([result.cost for result in stock])
    rows = []
    for name in getattr(instants[0], kind):
        results = [getattr(instant, kind)[name] for instant in instants]
        costs = np.array([result.cost for result in results])
        share = float((costs <= target).mean())
        rows.append({
            'budget': name,
            'samples': float(np.mean([result.samples for result in results])),
            'seconds': float(np.mean([result.seconds for result in results])),
            'cost': float(costs.mean()),
            'cost_median_ratio': float(np.median(costs / target)),
            'no_worse': share,
            'speedup': _ratio(stock, results, 'seconds'),
            'speedup_core': _ratio(stock, results, 'core_seconds'),
            'reached': bool(costs.mean() <= target.mean() and share >= 0.5),
        })
    reached = next((row for row in rows if row['reached']), None)
    return {
        'instants': len(instants),
        'idle': float(np.mean([instant.idle for instant in instants])),
        'stock': {'samples': stock[0].samples, 'cost': float(target.mean()),
                  'seconds': float(np.mean([result.seconds for result in stock]))},
        'budgets': rows,
        'reached_with': reached['budget'] if reached else None,
        'speedup': reached['speedup'] if reached else None,
        'speedup_core': reached['speedup_core'] if reached else None,
    }


def _ratio(stock: Sequence[Result], ours: Sequence[Result], clock: str) -> float:
    """How many times the solver's time ours is, of the means."""
    return float(np.mean([getattr(result, clock) for result in stock])
                 / np.mean([getattr(result, clock) for result in ours]))


def compare_lewm(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Part `lewm`, after each episode."""
    from stock_planner import LeWMCost, StockPlanner

    from world_model_ros.learning.lewm_bundle import training_folder

    model = WorldModel(load_bundle(options.lewm), RuntimeSettings(threads=options.threads))
    work = training_folder(options.lewm)
    cost = LeWMCost(work / 'weights.pt', model.bundle.manifest)
    comparison = Comparison(model, StockPlanner(model, cost), cost)
    step = model.bundle.manifest.action.model_step
    timing = Timing(period=step, latency=0.0, budget=math.inf)
    arm = ArmSimulation()
    for index, (start, goal) in enumerate(random_pairs(arm, options.lewm_episodes, options.seed)):
        comparison.start_episode()
        print(f'lewm episode {index}', flush=True)
        run_episode(arm, model, comparison, start, goal, options.lewm_plans * step, timing,
                    options.seed * 1000 + index)
        instants = comparison.instants
        yield {
            'weights': int(sum(weight.numel() for weight in cost.module.parameters())),
            'bundle': model.bundle.digest, 'episodes': index + 1,
            'model': json.loads((work / 'evaluation.json').read_text()),
            'cold': ladder(instants, 'cold'), 'warm': ladder(instants, 'warm'),
            'curve': np.mean([instant.curve for instant in instants], axis=0).tolist(),
            'instants': [asdict(instant) for instant in instants],
        }
    arm.close()


def compare_reach(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Part `reach`, after each episode."""
    from stock_planner import BundleCost, StockPlanner

    model = WorldModel(load_bundle(options.bundle), RuntimeSettings(threads=options.threads))
    planners = {'ours': Planner(model, model.bundle.manifest.planner),
                'stock': StockPlanner(model, BundleCost(model))}
    timing = Timing(period=0.3, latency=0.1, budget=math.inf)
    arm = ArmSimulation()
    episodes: dict[str, list[Any]] = {name: [] for name in planners}
    for index, (start, goal) in enumerate(random_pairs(arm, options.episodes, options.seed)):
        for name, planner in planners.items():
            episodes[name].append(run_episode(arm, model, planner, start, goal, options.duration,
                                              timing, options.seed * 1000 + index))
        print(f'reach episode {index:3d}  ' + '   '.join(
            f'{name}: {100 * found[-1].final_error:5.2f} cm, {np.median(found[-1].plan_ms):6.1f} ms'
            for name, found in episodes.items()), flush=True)
        sides = {name: episode_summary(found) for name, found in episodes.items()}
        means = {name: float(np.mean(np.concatenate([episode.plan_ms for episode in found])))
                 for name, found in episodes.items()}
        yield {'episodes': index + 1, 'period': timing.period, 'latency': timing.latency,
               'duration': options.duration, **sides, 'plan_ms_mean': means,
               'speedup': means['stock'] / means['ours']}
    arm.close()


def success_by_latency(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Part `latency`, after each latency; ours alone, for the solver knows no deadline."""
    model = WorldModel(load_bundle(options.bundle), RuntimeSettings(threads=options.threads))
    base = model.bundle.manifest.planner
    planner = Planner(model, settings_for(base, MOST))
    arm = ArmSimulation()
    pairs = list(random_pairs(arm, options.latency_episodes, options.seed + 1))
    rows = []
    for latency in LATENCIES:
        timing = Timing(period=0.1, latency=latency, budget=latency)
        figures = episode_summary([
            run_episode(arm, model, planner, start, goal, options.duration, timing,
                        options.seed * 1000 + index)
            for index, (start, goal) in enumerate(pairs)])
        rows.append({'latency': latency, **figures})
        print(f'latency {1e3 * latency:5.0f} ms   {latency_line(figures)}', flush=True)
        yield {'episodes': options.latency_episodes, 'duration': options.duration,
               'rows': list(rows)}
    arm.close()


def latency_line(figures: Mapping[str, Any]) -> str:
    """What a latency came to, for people."""
    return (f'success {figures["success_rate"]:.0%}, median error '
            f'{100 * figures["final_error_m"]["p50"]:.2f} cm, '
            f'{figures["samples_per_plan"]:.0f} samples in {figures["plan_ms"]["p50"]:.0f} ms')


PARTS = {'lewm': compare_lewm, 'reach': compare_reach, 'latency': success_by_latency}


def table(report: Mapping[str, Any]) -> str:
    """All that was measured, for people."""
    lines: list[str] = []
    if 'lewm' in report:
        lewm = report['lewm']
        lines.append(f'LeWM, {lewm["weights"] / 1e6:.1f} M weights '
                     f'({lewm["model"]["minutes"]:.0f} minutes of training)')
        for kind in ('cold', 'warm'):
            side = lewm[kind]
            if not side['instants']:
                continue
            stock = side['stock']
            lines += [f'  {kind}, {side["instants"]} plans'.ljust(34)
                      + 'samples   s/plan     cost   no worse   speed-up (core)',
                      '    standing still'.ljust(34) + f'{side["idle"]:25.3f}',
                      '    stock CEM 300 x 30'.ljust(34)
                      + f'{stock["samples"]:7d} {stock["seconds"]:8.2f} {stock["cost"]:8.3f}']
            lines += [f'    ours {row["budget"]}'.ljust(34)
                      + f'{row["samples"]:7.0f} {row["seconds"]:8.3f} {row["cost"]:8.3f} '
                      f'{row["no_worse"]:10.0%} {row["speedup"]:10.1f} ({row["speedup_core"]:.1f})'
                      + ('   <- reaches it' if row['budget'] == side['reached_with'] else '')
                      for row in side['budgets']]
    if 'reach' in report:
        reach = report['reach']
        lines.append(f'models/reach, {reach["episodes"]} episodes: '
                     f'{reach["speedup"]:.1f} times faster per plan')
        lines += [f'    {name}'.ljust(34) + f'success {reach[name]["success_rate"]:.1%}, '
                  f'{reach["plan_ms_mean"][name]:.1f} ms/plan, median error '
                  f'{100 * reach[name]["final_error_m"]["p50"]:.2f} cm'
                  for name in ('ours', 'stock')]
    if 'latency' in report:
        lines.append(f'models/reach by latency, {report["latency"]["episodes"]} episodes each')
        lines += [f'    {1e3 * row["latency"]:4.0f} ms'.ljust(34) + latency_line(row)
                  for row in report['latency']['rows']]
    return '\n'.join(lines)


def draw(report: Mapping[str, Any], folder: Path) -> None:
    """Draw cost against time, and success against latency, as far as they were measured."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5.0))
    for axis, part in zip(axes, ('lewm', 'latency'), strict=True):
        axis.set_visible(part in report)
    if 'lewm' in report:
        lewm = report['lewm']
        curve = np.array(lewm['curve'])
        axes[0].plot(curve[:, 0], curve[:, 1], color='0.45', marker='.', label='stock CEM, '
                     '300 samples, iterations 1 to 30')
        for kind, color in (('cold', 'tab:blue'), ('warm', 'tab:orange')):
            rows = lewm[kind]['budgets']
            if rows:
                for refined, marker, name in ((True, 'o', f'ours, {kind}'),
                                              (False, 'x', f'ours, {kind}, search alone')):
                    shown = [row for row in rows if ('+' in row['budget']) is refined]
                    axes[0].plot([row['seconds'] for row in shown], [row['cost'] for row in shown],
                                 color=color, marker=marker, label=name)
                axes[0].axhline(lewm[kind]['stock']['cost'], color=color, linewidth=0.8,
                                linestyle=':', label=f'stock at the end, same plans as {kind}')
        axes[0].set(xscale='log', xlabel='seconds per plan, one core',
                    ylabel='cost of the plan as executed',
                    title=f'LeWM, {lewm["weights"] / 1e6:.0f} M weights')
        axes[0].legend(fontsize=8, ncols=2, loc='upper center', bbox_to_anchor=(0.5, -0.17))
    if 'latency' in report:
        rows = report['latency']['rows']
        axes[1].plot([1e3 * row['latency'] for row in rows],
                     [row['success_rate'] for row in rows], marker='o')
        axes[1].set(xscale='log', ylim=(-0.03, 1.03), xlabel='observation to command [ms]',
                    ylabel='success', title='models/reach')
    figure.tight_layout()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / 'planning.png', dpi=110)


def main() -> int:
    """Measure, print the table, write JSON and picture."""
    parser = argparse.ArgumentParser(description='Our planner against stable-worldmodel.')
    parser.add_argument('--bundle', type=Path, default=Path('models/reach'))
    parser.add_argument('--lewm', type=Path, default=Path('out/lewm'),
                        help='bundle that `wmros train lewm` made (default: %(default)s)')
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--episodes', type=int, default=100, help='of part reach')
    parser.add_argument('--duration', type=float, default=5.0, help='seconds of those episodes')
    parser.add_argument('--lewm-episodes', type=int, default=6)
    parser.add_argument('--lewm-plans', type=int, default=3, help='plans in each of them')
    parser.add_argument('--latency-episodes', type=int, default=20)
    parser.add_argument('--threads', type=int, default=1, help='of torch and of the runtime')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, help='write figures here; parts that are not measured '
                        'now stay as they are there')
    parser.add_argument('--pictures', type=Path, help='folder for planning.png')
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    report: dict[str, Any] = {}
    if options.json and options.json.is_file():
        report = json.loads(options.json.read_text())
    report['machine'] = {
        'processor': platform.processor() or platform.machine(), 'cores': os.cpu_count(),
        'threads': options.threads,
        **{name: importlib.metadata.version(name)
           for name in ('onnxruntime', 'torch', 'stable-worldmodel')}}
    for name in options.parts:
        for figures in PARTS[name](options):
            report[name] = figures
            if name == 'lewm':
                for kind in ('warm', 'cold'):
                    report[f'speedup_{kind}'] = report['lewm'][kind]['speedup']
            if options.json:
                options.json.write_text(json.dumps(report, indent=1))
    print(table(report))
    if options.pictures:
        draw(report, options.pictures)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
