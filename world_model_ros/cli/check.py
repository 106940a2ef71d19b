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
"""`wmros check`: is this bundle sound, what does it ask of the robot, and how fast is it here?"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from world_model_ros.bundle import Bundle, BundleError, load_bundle
from world_model_ros.inference import InferenceError, WorldModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line."""
    parser.add_argument('bundle', type=Path, help='folder of the bundle, which holds bundle.yaml')
    parser.add_argument('--threads', type=int, default=1, help='threads of the runtime (default 1)')


def run(args: argparse.Namespace) -> int:
    """Print one report; 0 for a sound bundle, 1 for one that is refused."""
    started = time.perf_counter()
    try:
        bundle = load_bundle(args.bundle)
        print('\n'.join(_contract(bundle)))
        model = WorldModel(bundle, args.threads)
        loaded = time.perf_counter() - started
        print('\n'.join(_proof(model, loaded)))
    except (BundleError, InferenceError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _contract(bundle: Bundle) -> list[str]:
    manifest = bundle.manifest
    action, image, state = manifest.action, manifest.image, manifest.proprioception
    planner, latent = manifest.planner, manifest.latent
    bounds = ', '.join(f'{name} {low:g} to {high:g}' for name, low, high in
                       zip(action.names, action.lower, action.upper, strict=True))
    terms = ' + '.join(f'{term.weight:g} {term.metric} ({term.steps})'
                       for term in getattr(manifest.cost, 'terms', ()))
    rows = [
        ('bundle', f'{bundle.path}  {bundle.size / 2**20:.2f} MiB of graphs'),
        ('model', f'{manifest.model.name} {manifest.model.version}'),
        ('licence', manifest.model.license),
        ('source', manifest.model.source),
        ('digest', bundle.digest),
        ('action', f'{action.kind} [{" ".join(action.units)}]: {bounds}; '
                   f'one row lasts {action.step_duration:g} s'),
        ('image', f'{image.width}x{image.height} {image.color}, crop {image.crop}, '
                  f'resize {image.interpolation}'),
        ('joint state', f'{" and ".join(state.fields)} of {", ".join(state.joints)}'),
        ('latent', f'{latent.size} numbers, a goal holds {" ".join(manifest.goal_parts)}'),
        ('cost', f'{terms}; reached below {manifest.goal.reached:g}'),
        ('planner', f'{planner.sampler}: {planner.samples} samples x {planner.iterations} '
                    'iterations, '
                    f'{len(planner.knots)} knots over {planner.horizon} steps '
                    f'({planner.horizon * action.step_duration:g} s)'),
    ]
    return [f'{name:13s}{text}' for name, text in rows]


def _proof(model: WorldModel, loaded: float) -> list[str]:
    """Graphs, golden vectors and speed."""
    bundle, golden = model.bundle, model.bundle.golden
    settings = bundle.manifest.planner
    rows = [f'{"graph":13s}{line}' for line in model.describe()]
    tolerance = bundle.manifest.golden.tolerance
    rows += [f'{"golden":13s}{graph}: error {error:.1e}, {tolerance:.0e} allowed'
             for graph, error in model.golden_errors.items()]
    actions = np.resize(golden.actions, (settings.samples, *golden.actions.shape[1:]))
    encode = _median_ms(lambda: model.encode(golden.image[0], golden.proprioception[0]))
    rollout = _median_ms(lambda: model.rollout(golden.latent[0], actions))
    plan = encode + settings.iterations * rollout
    return [*rows, f'{"speed here":13s}encode {encode:.1f} ms, imagine {settings.samples} x '
            f'{settings.horizon} steps {rollout:.1f} ms, a plan about {plan:.0f} ms; '
            f'loaded and checked in {loaded:.2f} s', f'{"verdict":13s}sound']


def _median_ms(call: Callable[[], object], repeats: int = 15) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3
