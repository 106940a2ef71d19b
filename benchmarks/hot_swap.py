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

"""Models swapped under load: memory, gaps between proposals, and whether any proposal mixes two.

Simulator (30 Hz images, 100 Hz joint states), world_model (10 Hz plans) and controller run as the
demo runs them, toward one goal after the other. Two bundles, which differ in their version and so
in their digest, replace each other by ~/load_model. A witness listens and checks at the end:

- memory: the resident set of world_model after each swap, the first fifth left out, stays within
  5 % of its median;
- gaps: the longest time between two proposals while models are swapped is at most one plan period
  longer than the longest while none is, both by the publisher's own time stamps;
- mixed: no proposal has another digest than the newest ~/model_info before it, or than the latent
  of its stamp, and the digest changes as often as a swap was answered with success.

What the controller refused, by reason, is told as well. A controller that gets no processor time
may find the new model's first proposal before its announcement; it refuses that and takes the next.

    python benchmarks/hot_swap.py --swaps 100 --json hot_swap.json

The exit code is 0 if all three hold. The longest gap says something about the software only where
the machine has little else to do.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from demo_robot import DemoRobot, RobotError, Witness
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.qos import (
    DurabilityPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from std_msgs.msg import Header

from world_model_interfaces.msg import ActionProposal, Latent, ModelInfo
from world_model_interfaces.srv import LoadModel
from world_model_ros.bundle import Bundle, load_bundle, write_manifest
from world_model_ros.cli.processes import Children
from world_model_ros.demo import graph

GOAL_PERIOD = 4.0  # s
FLAT = 0.05  # of the median, to either side
WARM_UP = 0.2  # of the swaps
PLAN_PERIOD = 0.1  # s

EVERY = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass
class Heard:
    """Messages by the time at which they were published [ns]: (time, stamp [ns], digest)."""

    proposals: list[tuple[int, int, str]] = field(default_factory=list)
    infos: list[tuple[int, str]] = field(default_factory=list)
    latents: dict[int, str] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


class SwapWitness(Witness):
    """Asks for models, and listens."""

    def __init__(self, context: rclpy.Context) -> None:
        super().__init__('hot_swap', context)
        self.heard = Heard()
        self.loader = self.create_client(LoadModel, 'world_model/load_model')
        self.create_subscription(
            ActionProposal, 'world_model/proposal', self._on_proposal, EVERY)
        self.create_subscription(ModelInfo, 'world_model/model_info', self._on_info, LATCHED)
        self.create_subscription(
            Latent, 'world_model/latent', self._on_latent, qos_profile_sensor_data)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, EVERY)

    def _on_proposal(self, message: ActionProposal, info: Any) -> None:
        self.heard.proposals.append(
            (info['source_timestamp'], _stamp(message.header), message.model_digest))

    def _on_info(self, message: ModelInfo, info: Any) -> None:
        self.heard.infos.append((info['source_timestamp'], message.digest))

    def _on_latent(self, message: Latent) -> None:
        self.heard.latents[_stamp(message.header)] = message.model_digest

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == 'controller: proposals':
                self.heard.refused = {
                    pair.key: int(pair.value) for pair in status.values
                    if pair.value.isdigit() and pair.key not in ('received', 'accepted')}


class HotSwap:
    """One run, from top to bottom."""

    def __init__(self, children: Children, folder: Path, source: Path) -> None:
        self.bundles = [_variant(source, folder / name, name) for name in ('one', 'two')]
        self._robot = DemoRobot(children, folder, self.bundles[0].path)
        self.witness = SwapWitness(self._robot.context)
        self._robot.add(self.witness)

    def run(self, swaps: int, dwell: float, calm: float) -> dict[str, Any]:
        """Return the report of a run: ``calm`` seconds without swaps, then the swaps."""
        heard, robot = self.witness.heard, self._robot
        self.witness.show_goals(GOAL_PERIOD)
        robot.wait(self.witness.loader.service_is_ready, 30.0, 'load_model')
        robot.wait(lambda: len(heard.proposals) > 20, 30.0, 'proposals')
        refused_before = dict(heard.refused)
        calm_from = time.time_ns()
        robot.spin(calm)
        swaps_from = time.time_ns()
        memory, took = [], []
        for swap in range(swaps):
            started = time.monotonic()
            answer = self._load(self.bundles[(swap + 1) % 2])
            took.append(time.monotonic() - started)
            if not answer.success:
                raise RobotError(f'swap {swap + 1} was refused: {answer.message}')
            count = len(heard.proposals)
            robot.wait(lambda count=count: len(heard.proposals) > count, 10.0, 'a proposal')
            robot.spin(dwell)
            memory.append(robot.resident('world_model'))
        robot.spin(1.5)  # for the diagnostics
        robot.close()
        return report(heard, np.array(memory), np.array(took), calm_from, swaps_from,
                      refused_before)

    def _load(self, bundle: Bundle) -> LoadModel.Response:
        future = self.witness.loader.call_async(LoadModel.Request(bundle=str(bundle.path)))
        self._robot.wait(future.done, 30.0, 'the answer of load_model')
        return future.result()


def report(
    heard: Heard, memory: NDArray[np.float64], took: NDArray[np.float64], calm_from: int,
    swaps_from: int, refused_before: dict[str, int],
) -> dict[str, Any]:
    """Return the run's figures and verdicts."""
    proposals = sorted(heard.proposals)
    times = np.array([published for published, _, _ in proposals])
    gaps = np.diff(times) / 1e9
    calm = gaps[(times[1:] >= calm_from) & (times[1:] < swaps_from)]
    busy = gaps[times[1:] >= swaps_from]
    digests = [digest for published, _, digest in proposals if published >= swaps_from]
    changes = sum(a != b for a, b in pairwise(digests))
    first = next(digest for published, _, digest in reversed(proposals) if published < swaps_from)
    changes += digests[0] != first
    refused = {reason: count - refused_before.get(reason, 0)
               for reason, count in heard.refused.items()
               if count > refused_before.get(reason, 0)}
    mixed = {
        'against_model_info': _against_infos(heard, proposals),
        'against_latent': sum(heard.latents.get(stamp, digest) != digest
                              for _, stamp, digest in proposals)}
    steady = memory[int(WARM_UP * len(memory)):]
    median = float(np.median(steady))
    deviation = float(np.max(np.abs(steady - median))) / median
    verdicts = {
        'memory': deviation <= FLAT,
        'gaps': float(busy.max()) <= float(calm.max()) + PLAN_PERIOD,
        'mixed': not any(mixed.values()) and changes == len(memory)}
    return {
        'swaps': len(memory), 'passed': all(verdicts.values()), 'verdicts': verdicts,
        'memory_mb': {'median': round(median, 1), 'at_first': round(float(steady[0]), 1),
                      'at_last': round(float(steady[-1]), 1), 'deviation': round(deviation, 4)},
        'gap_ms': {'calm': _milliseconds(calm), 'swapping': _milliseconds(busy)},
        'swap_ms': _milliseconds(took), 'proposals': len(proposals), 'changes': changes,
        'with_their_latent': sum(stamp in heard.latents for _, stamp, _ in proposals),
        'mixed': mixed, 'refused_by_controller': refused,
        'load_average': [round(load, 2) for load in os.getloadavg()],
        'series': {'memory_mb': [round(float(each), 2) for each in memory]}}


def _against_infos(heard: Heard, proposals: list[tuple[int, int, str]]) -> int:
    """Count proposals whose digest is not that of the newest model info before them."""
    infos = sorted(heard.infos)
    published = [time for time, _ in infos]
    count = 0
    for time_, _, digest in proposals:
        index = bisect.bisect_right(published, time_) - 1
        # The first one was latched before the witness came and has no time of its own.
        count += infos[max(index, 0)][1] != digest
    return count


def _milliseconds(seconds: NDArray[np.float64]) -> dict[str, float]:
    return {name: round(1e3 * float(value), 1) for name, value in (
        ('p50', np.median(seconds)), ('p99', np.percentile(seconds, 99)),
        ('longest', seconds.max()))}


def _stamp(header: Header) -> int:
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def _variant(source: Path, target: Path, version: str) -> Bundle:
    """Copy a bundle under another version, and so under another digest."""
    bundle = load_bundle(source)
    shutil.copytree(source, target)
    manifest = yaml.safe_load((source / 'bundle.yaml').read_text(encoding='utf-8'))
    for filled_in in ('schema_version', 'files'):
        del manifest[filled_in]
    manifest['model']['version'] = f'{bundle.manifest.model.version}-{version}'
    return write_manifest(target, manifest)


def main() -> int:
    """Run and tell; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--swaps', type=int, default=100, help='default: %(default)s')
    parser.add_argument('--dwell', type=float, default=0.5, metavar='SECONDS',
                        help='between two swaps (default: %(default)s)')
    parser.add_argument('--calm', type=float, default=20.0, metavar='SECONDS',
                        help='without swaps, to compare with (default: %(default)s)')
    parser.add_argument('--bundle', type=Path, default=graph.default_bundle(),
                        help='default: %(default)s')
    parser.add_argument('--json', type=Path, metavar='FILE', help='where the report goes')
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix='hot_swap_'))
    try:
        with Children() as children:
            result = HotSwap(children, folder, args.bundle).run(args.swaps, args.dwell, args.calm)
    except RobotError as error:
        print(f'hot_swap: {error} (logs are in {folder})', file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    if args.json:
        args.json.write_text(json.dumps(result) + '\n', encoding='utf-8')
    del result['series']
    print(json.dumps(result, indent=2))
    return 0 if result['passed'] else 1


if __name__ == '__main__':
    raise SystemExit(main())
