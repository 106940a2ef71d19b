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

"""``wmros``: the one command of this package.

Each subcommand lives in a module of its own with ``add_arguments(parser)`` and
``run(args) -> int``, imported only when it is asked for: help appears at once, and torch is loaded
by ``train`` and ``export`` alone.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast


class Subcommand(Protocol):
    """What a subcommand's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code."""


@dataclass(frozen=True)
class Entry:
    """A subcommand as the overview shows it."""

    name: str
    module: str
    help: str


SUBCOMMANDS = (
    Entry('demo', 'world_model_ros.cli.demo',
          'drive the simulated arm to what pictures show, and measure how well'),
    Entry('check', 'world_model_ros.cli.check',
          'say whether a model bundle is complete, unaltered and right on this machine'),
    Entry('doctor', 'world_model_ros.cli.doctor',
          'say why a robot does not do what it should: DDS, clocks, topics, limits, model'),
    Entry('train', 'world_model_ros.cli.train',
          'train a world model and export it as a bundle (needs the train extra)'),
    Entry('export', 'world_model_ros.cli.export',
          'bring LeWM, PLDM, DINO-WM, TD-MPC2, V-JEPA 2(-AC) or your own model as a bundle'),
    Entry('calibrate', 'world_model_ros.cli.calibrate',
          'measure which surprises are usual and which goals are out of reach'),
)

EXAMPLES = """\
examples:
  wmros demo                                  five goals, live progress, a film at the end
  wmros demo --episodes 50 --seed 7 --json report.json --headless
  wmros check models/reach                    before a model goes on a robot
  wmros check models/reach --prebuild         measure what runs it fastest here
  wmros check models/reach --against-topics   what this robot lacks for it
  wmros doctor                                what is wrong with the robot that runs here
  wmros doctor --robot my_robot.yaml --bundle my_bundle       before it runs
  wmros calibrate models/mine --data my.npz   when to be surprised, when to give a goal up
  wmros train reach                           make models/reach again, from data to bundle

"wmros COMMAND --help" tells each command's options.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand that `arguments` (default: the command line) name; return its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    asked = next((word for word in words if not word.startswith('-')), None)
    parser = argparse.ArgumentParser(
        prog='wmros', description='World models on robots: try, check and train them.',
        epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    chosen: Subcommand | None = None
    for entry in SUBCOMMANDS:
        child = commands.add_parser(
            entry.name, help=entry.help, formatter_class=argparse.RawDescriptionHelpFormatter)
        if entry.name == asked:
            chosen = cast(Subcommand, importlib.import_module(entry.module))
            child.description = entry.help[0].upper() + entry.help[1:] + '.'
            chosen.add_arguments(child)
    if not words:
        parser.print_help()
        return 2
    args = parser.parse_args(words)
    assert chosen is not None  # argparse has refused every other name
    return chosen.run(args)


if __name__ == '__main__':
    sys.exit(main())
