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
"""``wmros train``: makes a shipped bundle again, or the benchmark's, from data to graphs."""

import argparse
import sys
import time
from pathlib import Path

from world_model_ros.bundle import Bundle
from world_model_ros.cli import argument_types, extras

_NEEDS = ('torch', 'onnxscript', 'matplotlib', 'tqdm', 'mujoco')
_FOLDERS = {'reach': Path('models/reach'), 'lewm': Path('out/lewm')}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``wmros train``."""
    parser.add_argument(
        'model',
        choices=sorted(_FOLDERS),
        help="reach: the demo's, as shipped; lewm: 18 million weights, trained briefly on the same "
        'arm for benchmarks/planning.py (docs/planning.md); a run that was cut off goes on',
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='folder for the bundle (default: '
        + ', '.join(f'{folder} for {model}' for model, folder in _FOLDERS.items())
        + ')',
    )
    parser.add_argument(
        '--seed',
        type=argument_types.seed,
        default=0,
        help='of data, weights and batches (default: %(default)s)',
    )


def run(args: argparse.Namespace) -> int:
    """Collect, train, measure and export; return 0, or 1 where packages are missing."""
    started = time.monotonic()
    folder = args.out or _FOLDERS[args.model]
    try:
        bundle, figures = (_lewm if args.model == 'lewm' else _reach)(folder, args.seed)
    except ModuleNotFoundError as error:
        if error.name not in _NEEDS:
            raise
        print(extras.missing('wmros train', error.name, 'sim,train'), file=sys.stderr)
        return 1
    print(figures)
    minutes = (time.monotonic() - started) / 60
    print(f'{bundle.path}: digest {bundle.digest[:12]}, made in {minutes:.1f} minutes')
    return 0


def _reach(folder: Path, seed: int) -> tuple[Bundle, str]:
    from world_model_ros.learning.reach import Recipe, describe, train_reach

    bundle, evaluation = train_reach(folder, Recipe(), seed)
    return bundle, describe(evaluation)


def _lewm(folder: Path, seed: int) -> tuple[Bundle, str]:
    from world_model_ros.learning.export import ExportError
    from world_model_ros.learning.lewm import Recipe
    from world_model_ros.learning.lewm_bundle import describe, train_lewm

    try:
        bundle, evaluation = train_lewm(folder, Recipe(), seed, print)
    except ExportError as error:
        raise SystemExit(f'wmros train: {error}') from error
    return bundle, describe(evaluation)
