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
"""Control ticks: how punctual the controller's setpoints are, beside diagnostics and floods.

The real controller process is driven at 10 Hz with joint states at 100 Hz, and the time stamps of
its states are taken off the wire. Ticks that follow a diagnostics message are compared with the
others; with ``--flood`` another process publishes that many refused proposals per second as well.

    python benchmarks/control_ticks.py --seconds 30 --json control_ticks.json
    python benchmarks/control_ticks.py --seconds 30 --flood 1000

Only a machine that has nothing else to do says something about the software.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / 'test'),
                str(Path(__file__).parents[1] / 'test' / 'nodes')]

from builtin_interfaces.msg import Time  # noqa: E402
from controller_robot import Robot, start  # noqa: E402
from dds import values  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402

PERIOD_MS = 10.0
EDGES_MS = (-np.inf, 9.0, 9.5, 9.9, 10.1, 10.5, 11.0, 12.0, 15.0, 20.0, np.inf)
FLOOD = """
import sys, time
import rclpy
from rclpy.qos import QoSProfile
from world_model_interfaces.msg import ActionProposal, Tensor
rclpy.init()
node = rclpy.create_node('flood')
publisher = node.create_publisher(ActionProposal, 'proposal', QoSProfile(depth=1000))
message = ActionProposal(
    model_digest='f' * 64, plan_id='flood', kind=2, names=['shoulder', 'elbow'], step_duration=0.1,
    values=Tensor(shape=[8, 2], data=[0.0] * 16))
due = time.monotonic()
while True:
    publisher.publish(message)
    due += 1.0 / float(sys.argv[1])
    time.sleep(max(0.0, due - time.monotonic()))
"""


def record(seconds: float, flood: float) -> tuple[Robot, list[DiagnosticArray], dict[str, str]]:
    """Return what was on the wire, and the controller's own account of its timing."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        robot, process = start(stack, Path(directory))
        graph = robot.graph
        diagnostics = graph.listen(DiagnosticArray, '/diagnostics')
        if flood:
            flooder = subprocess.Popen(
                [sys.executable, '-c', FLOOD, str(flood)],
                env={**os.environ, 'ROS_DOMAIN_ID': str(graph.domain)})
            stack.callback(flooder.wait)
            stack.callback(flooder.kill)
        graph.listen_for(2.0)
        robot.states.clear()
        busy = processor_time(process.pid)
        # To and fro, so that it never comes to a limit.
        with graph.every(1.0, lambda: setattr(robot, 'wanted', -np.asarray(robot.wanted))):
            graph.listen_for(seconds)
        busy = (processor_time(process.pid) - busy) / seconds
        accounts = {'processor_share': f'{busy:.3f}',
                    **values(robot.diagnostic('controller: timing')),
                    **values(robot.diagnostic('controller: proposals'))}
        graph.end(process)
    return robot, diagnostics, accounts


def processor_time(process: int) -> float:
    """Return the seconds of processor time that a process has used."""
    fields = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def analyse(robot: Robot, diagnostics: list[DiagnosticArray], accounts: dict[str, str]
            ) -> dict[str, Any]:
    """Return the figures of a recording."""
    first = robot.states[0].header.stamp.sec
    times = np.array([seconds_of(state.header.stamp, first) for state in robot.states])
    periods = 1e3 * np.diff(times)
    reported = np.array([seconds_of(message.header.stamp, first) for message in diagnostics
                         if any(status.name == 'controller: ladder' for status in message.status)])
    # A diagnostics message goes out between a tick and the next: the next is what it may delay.
    after = np.unique(np.searchsorted(times, reported[(reported > times[0])
                                                      & (reported < times[-1])]))
    beside = np.zeros(len(times), dtype=bool)
    beside[after] = True
    beside = beside[1:]
    tracking = np.mean([state.rung == 0 for state in robot.states])
    return {
        'ticks': len(times), 'tracking_share': round(float(tracking), 4),
        'period_ms': percentiles(periods[~beside]),
        'period_after_diagnostics_ms': percentiles(periods[beside]),
        'histogram_ms': dict(zip(
            [f'{low:g} to {high:g}' for low, high in pairwise(EDGES_MS)],
            np.histogram(periods, EDGES_MS)[0].tolist(), strict=True)),
        'periods_over_15_ms': int(np.sum(periods > PERIOD_MS + 5.0)),
        **{name: accounts.get(name, '') for name in (
            'processor_share', 'ticks_over_5_ms_late', 'worst_lateness_ms', 'received', 'dropped',
            'accepted', 'refused_digest')},
    }


def percentiles(periods: np.ndarray) -> dict[str, float]:
    """Return count, median, 99th percentile and largest of periods in ms."""
    return {'count': len(periods), 'p50': round(float(np.median(periods)), 3),
            'p99': round(float(np.percentile(periods, 99)), 3),
            'max': round(float(periods.max()), 3)}


def seconds_of(stamp: Time, first: int) -> float:
    """Return a stamp in seconds since the whole second ``first``."""
    return float(stamp.sec - first) + 1e-9 * float(stamp.nanosec)


def main() -> int:
    """Record and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--seconds', type=float, default=30.0)
    parser.add_argument('--flood', type=float, default=0.0, help='refused proposals per second')
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    figures = {'flood': options.flood, **analyse(*record(options.seconds, options.flood))}
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f'{name:{width}}  {value}')
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
