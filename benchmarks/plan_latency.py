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

"""The demo with plans that arrive late, with and without making up for it.

The nodes run as ``wmros demo`` runs them, but for a relay between world_model and controller that
holds every proposal back, as a slow network or a distant computer would. ``late_after`` of the
controller grows by the same time, so that it goes on to follow what comes. Success is judged by the
demo's director, from the simulator's ground truth: within 3 cm of the goal 8 s after it was given,
and from when on (settled). Three modes:

- full: what the node does. A plan begins where the robot will be when it arrives.
- aligned: ``max_latency: 0``. A plan begins with the observation, as if it took no time; its rows
  are still executed at the times for which they were planned, what is over by then is left out.
- off: as aligned, and the relay gives a proposal the stamp of its arrival, so that it is executed
  from its first row on: what a robot does that knows nothing of latency.

    python benchmarks/plan_latency.py --episodes 20 --json plan_latency.json

20 episodes take three minutes for each delay and mode. What the JSON file holds already is not run
again, so that a run that was broken off goes on. Without compensation this arm gets there as well,
but later: what drops is the share that has settled within 3 s.

The exit code is 0 if in mode full the rate of success is at least 0.95 at every delay.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

from world_model_interfaces.msg import ActionProposal
from world_model_ros.cli.probes import free_domain
from world_model_ros.cli.processes import Children
from world_model_ros.demo import graph

DELAYS = (0, 50, 100, 150, 300)  # ms
MODES = ('full', 'aligned', 'off')
LATE_AFTER = 0.22  # s, as config/demo.yaml has it for no delay
ENOUGH = 0.95  # rate of success
START_UP = 90.0  # s
EPISODE = 12.0  # s, at most
RELAYED = 'relay/proposal'


class Relay(Node):
    """Publishes each proposal `delay` seconds after it came."""

    def __init__(self, delay: float, restamps: bool) -> None:
        """`restamps`: a proposal gets the time at which it is published as its stamp."""
        super().__init__('relay', start_parameter_services=False)
        self._delay, self._restamps = delay, restamps
        self._waiting: deque[tuple[float, ActionProposal]] = deque()
        qos = QoSProfile(depth=100)
        self._publisher = self.create_publisher(ActionProposal, RELAYED, qos)
        self.create_subscription(ActionProposal, 'world_model/proposal', self._take, qos)

    def _take(self, proposal: ActionProposal) -> None:
        self._waiting.append((time.monotonic() + self._delay, proposal))

    def serve(self) -> float:
        """Publish what is due; return the time until the next one is [s]."""
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            proposal = self._waiting.popleft()[1]
            if self._restamps:
                proposal.header.stamp = self.get_clock().now().to_msg()
            self._publisher.publish(proposal)
        return min(self._waiting[0][0] - time.monotonic(), 0.05) if self._waiting else 0.05


def relay(delay: float, restamps: bool) -> int:
    """Be the relay until a signal comes."""
    rclpy.init()
    node = Relay(delay, restamps)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok():
            executor.spin_once(timeout_sec=max(node.serve(), 0.0))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    rclpy.try_shutdown()
    return 0


def run(delay: int, mode: str, episodes: int, seed: int) -> dict[str, Any]:
    """Run episodes with plans `delay` ms late; return what the director says of them."""
    folder = Path(tempfile.mkdtemp(prefix=f'plan_latency_{delay}_'))
    report = folder / 'report.json'
    environment = {
        **os.environ, **graph.environment(), 'ROS_DOMAIN_ID': str(free_domain()),
        'ROS_LOG_DIR': str(folder), 'PYTHONUNBUFFERED': '1'}
    settings: dict[str, dict[str, object]] = {
        'controller': {'late_after': LATE_AFTER + delay / 1e3},
        'world_model': {'bundle': str(graph.default_bundle())},
        'demo_director': {'episodes': episodes, 'seed': seed, 'json': str(report)}}
    relayed = delay > 0 or mode == 'off'
    if mode != 'full':
        settings['world_model']['max_latency'] = 0.0
    with Children() as children:
        if relayed:
            children.start('relay', [
                sys.executable, __file__, '--relay', str(delay / 1e3), '--modes', mode],
                environment, folder / 'relay.log')
        for node in (*graph.ROBOT, graph.DIRECTOR):
            command = [sys.executable, '-m', node.module, '--ros-args', '--params-file',
                       str(graph.parameters_file())]
            remappings = dict(node.remappings)
            if relayed and node is graph.CONTROLLER:
                remappings['proposal'] = RELAYED
            for name, target in remappings.items():
                command += ['-r', f'{name}:={target}']
            for name, value in settings.get(node.name, {}).items():
                command += ['-p', f'{name}:={json.dumps(value)}']
            child = children.start(node.name, command, environment, folder / f'{node.name}.log')
        deadline = time.monotonic() + START_UP + EPISODE * episodes
        while child.process.poll() is None:  # the director's
            if (ended := children.ended()) and child.process.poll() is None:
                sys.exit(f'{ended[0].name} ended: {ended[0].tail()}\n(logs are in {folder})')
            if time.monotonic() > deadline:
                sys.exit(f'the director does not end (logs are in {folder})')
            time.sleep(0.2)
        if child.process.returncode:
            sys.exit(f'the director failed: {child.tail()}\n(logs are in {folder})')
    said: dict[str, Any] = json.loads(report.read_text(encoding='utf-8'))
    shutil.rmtree(folder)
    after = [it['reached_after_s'] for it in said['per_episode']]
    settled = np.array([math.inf if seconds is None else seconds for seconds in after])
    return {
        'delay_ms': delay, 'mode': mode, 'episodes': said['episodes'], 'seed': seed,
        **{name: said[name] for name in (
            'success_rate', 'final_error_m', 'plan_ms', 'observation_to_command_ms', 'proposals',
            'limit_violations')},
        'settled_after_s': {f'p{p}': round(float(np.percentile(settled, p, method='lower')), 2)
                            for p in (50, 90)},
        'settled_within_3_s': float(np.mean(settled <= 3.0)),
        'final_errors_m': [episode['final_error_m'] for episode in said['per_episode']],
        'load_average': [round(load, 2) for load in os.getloadavg()]}


def table(runs: list[dict[str, Any]]) -> str:
    """The runs as a Markdown table."""
    lines = ['| delay [ms] | compensation | success | settled after p50 / p90 [s] | settled within '
             '3 s | final error p50 / p90 [cm] | limit violations |',
             '|---|---|---|---|---|---|---|']
    for it in sorted(runs, key=lambda it: (MODES.index(it['mode']), it['delay_ms'])):
        error, settled = it['final_error_m'], it['settled_after_s']
        lines.append(
            f'| {it["delay_ms"]} | {it["mode"]} | '
            f'{it["success_rate"]:.2f} of {it["episodes"]} | {settled["p50"]:.1f} / '
            f'{settled["p90"]:.1f} | {it["settled_within_3_s"]:.2f} | {100 * error["p50"]:.1f} / '
            f'{100 * error["p90"]:.1f} | {it["limit_violations"]} |')
    return '\n'.join(lines)


def main() -> int:
    """Run and tell; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--delays', type=int, nargs='+', default=DELAYS, metavar='MS')
    parser.add_argument('--modes', choices=MODES, nargs='+', default=MODES)
    parser.add_argument('--episodes', type=int, default=20, help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument('--json', type=Path, metavar='FILE', help='where the report goes')
    parser.add_argument('--relay', type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.relay is not None:
        return relay(args.relay, args.modes == ['off'])
    runs: list[dict[str, Any]] = []
    if args.json and args.json.exists():
        runs = json.loads(args.json.read_text(encoding='utf-8'))['runs']
    for mode in args.modes:
        for delay in args.delays:
            key = (delay, mode, args.episodes, args.seed)
            if key in [(it['delay_ms'], it['mode'], it['episodes'], it['seed']) for it in runs]:
                continue
            runs.append(run(delay, mode, args.episodes, args.seed))
            if args.json:
                args.json.write_text(json.dumps({'runs': runs}, indent=1) + '\n', encoding='utf-8')
            print(table(runs[-1:]).splitlines()[-1], flush=True)
    print(table(runs))
    return 0 if all(it['success_rate'] >= ENOUGH for it in runs if it['mode'] == 'full') else 1


if __name__ == '__main__':
    raise SystemExit(main())
