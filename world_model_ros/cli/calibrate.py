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
"""``wmros calibrate``: which prediction errors are usual, and which goals are out of reach."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from world_model_ros.bringup.defaults import PLAN_DEADLINE
from world_model_ros.bundle import BundleError, load_bundle
from world_model_ros.cli import argument_types, extras
from world_model_ros.inference import InferenceError
from world_model_ros.learning.calibration import (
    CalibrationError,
    calibrate,
    read_experience,
    simulated_experience,
    write,
)

_NEEDS = ('mujoco', 'tqdm')

EXAMPLES = """\
The numbers hold for the camera, the light and the robot that the data come from: calibrate where
the model is to work. docs/export.md, "Calibrate", says what FILE.npz holds.

examples:
  wmros calibrate models/mine --data recorded.npz
  wmros calibrate models/reach --simulate 120      drives the arm of the demo
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line."""
    parser.epilog = EXAMPLES
    parser.add_argument('bundle', type=Path, help='folder of the bundle; its manifest is rewritten')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--data', type=Path, metavar='FILE.npz',
                        help='episodes that the model was not trained on')
    source.add_argument('--simulate', type=argument_types.count, metavar='EPISODES',
                        help="drive the demo's arm for so many episodes of 4 s")
    parser.add_argument('--seed', type=argument_types.seed, default=1,
                        help='of simulated episodes; the shipped models/reach was trained on those '
                             'of 0 (default: %(default)s)')
    parser.add_argument('--deadline', type=argument_types.seconds, default=PLAN_DEADLINE,
                        metavar='S', help='time that one plan may take, as plan_deadline on the '
                                          'robot (default: %(default)s)')
    parser.add_argument('--dry-run', action='store_true', help='measure and tell, write nothing')


def run(args: argparse.Namespace) -> int:
    """Measure, tell, and write goal.reachable and surprise.threshold; 1 where that cannot be."""
    try:
        bundle = load_bundle(args.bundle)
        experience = (read_experience(args.data, bundle.manifest) if args.data is not None
                      else simulated_experience(bundle, args.simulate, args.seed))
        calibration = calibrate(
            bundle, experience, deadline=args.deadline,
            progress=lambda line: print(line, file=sys.stderr, flush=True))
        print(calibration, flush=True)
        if not args.dry_run:
            bundle = write(bundle, calibration)
            print(f'{bundle.path}: digest {bundle.digest[:12]}')
    except (BundleError, CalibrationError, InferenceError) as error:
        print(f'wmros calibrate: {error}', file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        if error.name not in _NEEDS:
            raise
        print(extras.missing('wmros calibrate --simulate', error.name, 'sim,train'),
              file=sys.stderr)
        return 1
    return 0
