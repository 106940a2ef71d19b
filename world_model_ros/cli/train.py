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
"""``wmros train``: makes a shipped bundle again, from data to graphs."""

import argparse
import sys
import time
from pathlib import Path

_NEEDS = ('torch', 'onnxscript', 'matplotlib', 'tqdm', 'mujoco')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``wmros train``."""
    parser.add_argument('model', choices=['reach'], help='which of the shipped models to make')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('models/reach'),
        help='folder for the bundle (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of data, weights and batches (default: %(default)s)'
    )


def run(args: argparse.Namespace) -> int:
    """Collect, train, measure and export; return 0."""
    started = time.monotonic()
    try:
        from world_model_ros.learning.reach import Recipe, describe, train_reach
    except ModuleNotFoundError as error:
        if error.name not in _NEEDS:
            raise
        print(
            f"wmros train needs {error.name}: pip install 'world_model_ros[sim,train]'",
            file=sys.stderr,
        )
        return 1
    bundle, evaluation = train_reach(args.out, Recipe(), args.seed)
    print(describe(evaluation))
    minutes = (time.monotonic() - started) / 60
    print(f'{bundle.path}: digest {bundle.digest[:12]}, made in {minutes:.1f} minutes')
    return 0
