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
"""Does a plan keep its deadline, and is it never worse than what it was given?

Plans follow each other as on a robot, from states that the model imagines toward the bundle's own
goals, with far more samples wanted than time allows: every deadline binds. Then the same with every
processor taken by other programs.

    python benchmarks/deadlines.py models/reach --json out/deadlines.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import PlannerSettings, load_bundle
from world_model_ros.inference import Context, RuntimeSettings, WorldModel, golden_start
from world_model_ros.planning import Planner, WarmStart

# Plans toward one goal before the next one is chosen.
LEG = 40
# Relative difference that float32 leaves between two batches' costs of one sequence.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Row:
    """One deadline on one kind of machine; milliseconds, and counts of plans."""

    deadline_ms: float
    machine: str
    plans: int
    overrun_p99_ms: float
    overrun_max_ms: float
    late: int
    plan_p50_ms: float
    samples_p50: float
    samples_p1: float
    iterations_p50: float
    worse_than_warm_start: int
    not_finite_or_outside: int


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many other programs that want a whole processor each."""
    others = [subprocess.Popen([sys.executable, '-c', 'while True: pass'])
              for _ in range(processes)]
    try:
        if others:
            time.sleep(1.0)  # until they compute
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def measure(model: WorldModel, planner: Planner, seconds: float, plans: int, machine: str,
            seed: int) -> Row:
    """Plan so often within a deadline of so many seconds."""
    manifest = model.manifest
    lower, upper = (np.array(it, np.float32) for it in (manifest.action.lower,
                                                       manifest.action.upper))
    generator = np.random.default_rng(seed)
    overruns, times, samples, iterations = [], [], [], []
    worse = wrong = 0
    begin, goal = golden_start(model.bundle)
    context, warm = begin, None
    for index in range(plans):
        if index % LEG == 0:
            context, warm = begin, None
            if model.bundle.golden.goal is not None:
                goal = generator.choice(model.bundle.golden.goal)
        deadline = time.monotonic() + seconds
        plan = planner.plan(context, goal, warm_start=warm, seed=seed + index, deadline=deadline)
        overruns.append(max(time.monotonic() - deadline, 0.0))
        times.append(plan.planning_time)
        samples.append(plan.samples)
        iterations.append(plan.iterations)
        worse += warm is not None and worse_than(model, context, goal, plan.cost, warm)
        wrong += not (np.isfinite(plan.actions).all() and (plan.actions >= lower).all()
                      and (plan.actions <= upper).all())
        context = model.advance(context, plan.actions[:manifest.action.rows_per_step])
        elapsed = manifest.action.step_duration * manifest.action.rows_per_step
        warm = plan.warm_start.after(elapsed, manifest.action.step_duration)
    late = np.array(overruns)
    return Row(
        1e3 * seconds, machine, plans, 1e3 * float(np.percentile(late, 99)), 1e3 * late.max(),
        int((late > 0).sum()), 1e3 * float(np.median(times)), float(np.median(samples)),
        float(np.percentile(samples, 1)), float(np.median(iterations)), worse, wrong)


def worse_than(model: WorldModel, context: Context, goal: NDArray[np.float32] | None, cost: float,
               warm: WarmStart) -> bool:
    """Whether a plan costs more than what it was given."""
    given = float(model.score(context, goal, warm.actions[None]).costs[0])
    return cost > given + ROUNDING * max(abs(given), 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('bundle', type=Path, nargs='?', default=Path('models/reach'))
    parser.add_argument('--deadlines', type=float, nargs='+', default=[0.02, 0.05, 0.1],
                        metavar='S', help='seconds')
    parser.add_argument('--plans', type=int, default=300, help='for each deadline and machine')
    parser.add_argument('--samples', type=int, default=4096, help='wanted in each iteration')
    parser.add_argument('--iterations', type=int, default=8, help='wanted')
    parser.add_argument('--threads', type=int, default=1, help='of the runtime')
    parser.add_argument('--busy', type=int, nargs='+', default=[0, os.cpu_count() or 1],
                        help='other programs that compute meanwhile, one measurement for each')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args(arguments)

    model = WorldModel(load_bundle(options.bundle), RuntimeSettings(threads=options.threads))
    settings = PlannerSettings.model_validate({
        **model.manifest.planner.model_dump(), 'samples': options.samples,
        'iterations': options.iterations})
    planner = Planner(model, settings)
    rows = []
    print(f'{options.bundle}, {settings.sampler}, {options.threads} thread(s), '
          f'{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before')
    print(f'{"deadline":>9} {"busy":>5} {"plans":>6} {"overrun p99":>12} {"max":>8} {"late":>5} '
          f'{"plan p50":>9} {"samples p50":>12} {"p1":>6} {"worse":>6} {"invalid":>8}')
    for others in options.busy:
        with busy(others):
            for seconds in options.deadlines:
                row = measure(model, planner, seconds, options.plans,
                              f'{others} other programs' if others else 'idle', options.seed)
                rows.append(row)
                print(f'{row.deadline_ms:6.0f} ms {others:5d} {row.plans:6d} '
                      f'{row.overrun_p99_ms:9.2f} ms {row.overrun_max_ms:5.1f} ms {row.late:5d} '
                      f'{row.plan_p50_ms:6.1f} ms {row.samples_p50:12.0f} {row.samples_p1:6.0f} '
                      f'{row.worse_than_warm_start:6d} {row.not_finite_or_outside:8d}', flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({
            'bundle': str(options.bundle), 'planner': settings.model_dump(),
            'processors': os.cpu_count(), 'rows': [asdict(row) for row in rows]}, indent=1))
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
