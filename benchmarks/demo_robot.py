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
"""The demo's processes for benchmarks: started, shown goals, watched, waited for, and ended.

Simulator, world_model and controller run as the demo runs them. The benchmark itself is one more
process of their graph: a `Witness` that listens and shows one goal after the other.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from world_model_ros.cli.probes import free_domain
from world_model_ros.cli.processes import Child, Children
from world_model_ros.demo import graph
from world_model_ros.simulation import ArmSimulation

GOALS = 12
MARGIN = 0.1  # rad that goals keep from the ends of the joints' ranges
MEGABYTE = 1 << 20

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


class RobotError(Exception):
    """The run could not be completed; the message says why."""


class Witness(Node):
    """Shows goals; what it listens to is the benchmark's matter."""

    def __init__(self, name: str, context: rclpy.Context) -> None:
        super().__init__(name, context=context, start_parameter_services=False)
        self._goal = self.create_publisher(Image, 'goal_image', LATCHED)
        self._pictures = cycle(_pictures())

    def show_goals(self, period: float) -> None:
        """Show a picture to reach now, and another one each `period` seconds from now on."""
        self._show()
        self.create_timer(period, self._show, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _show(self) -> None:
        pixels = next(self._pictures)
        height, width, channels = pixels.shape
        message = Image(header=Header(stamp=self.get_clock().now().to_msg()), height=height,
                        width=width, encoding='rgb8', step=width * channels)
        message.data.frombytes(pixels.tobytes())
        self._goal.publish(message)


class DemoRobot:
    """The processes, and the executor of the witness."""

    def __init__(self, children: Children, folder: Path, bundle: Path) -> None:
        """Start the processes; their logs go to `folder`."""
        self.folder = folder
        self._environment = {
            **os.environ, **graph.environment(), 'ROS_DOMAIN_ID': str(free_domain()),
            'ROS_LOG_DIR': str(folder), 'PYTHONUNBUFFERED': '1'}
        os.environ.update(self._environment)  # the witness is a process of the same graph
        self._started = children
        self._nodes = {node.name: self._node(node, bundle) for node in graph.ROBOT}
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._witnesses: list[Node] = []

    def add(self, witness: Node) -> None:
        """Let a node listen while this object waits."""
        self._witnesses.append(witness)
        self._executor.add_node(witness)

    def start(self, name: str, command: list[str]) -> Child:
        """Start one more process; its output goes to `folder`."""
        return self._started.start(
            name, command, self._environment, self.folder / f'{name.replace(" ", "_")}.log')

    def process(self, node: str) -> int:
        """Process id of a node."""
        return self._nodes[node].process.pid

    def resident(self, node: str) -> float:
        """Resident set of a node's process [MB]."""
        pages = Path(f'/proc/{self.process(node)}/statm').read_text(encoding='ascii').split()[1]
        return int(pages) * os.sysconf('SC_PAGE_SIZE') / MEGABYTE

    def turn(self, timeout: float = 0.05) -> None:
        """Serve one callback, or wait; raises RobotError if a node has ended."""
        for name, child in self._nodes.items():
            if child.process.poll() is not None:
                raise RobotError(f'{name} ended with exit code {child.process.returncode}:\n'
                                 f'{child.tail()}')
        self._executor.spin_once(timeout_sec=timeout)

    def spin(self, seconds: float) -> None:
        """Listen for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.turn(min(left, 0.05))

    def wait(self, condition: Callable[[], bool], within: float, what: str) -> None:
        """Listen until `condition` holds; raises RobotError after `within` seconds."""
        deadline = time.monotonic() + within
        while not condition():
            if time.monotonic() > deadline:
                raise RobotError(f'waited {within:g} s in vain for {what}')
            self.turn()

    def close(self) -> None:
        """Stop to listen; whoever holds the `Children` ends the processes."""
        self._executor.shutdown()
        for witness in self._witnesses:
            witness.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def _node(self, node: graph.GraphNode, bundle: Path) -> Child:
        command = [sys.executable, '-m', node.module, '--ros-args', '--disable-external-lib-logs',
                   '--params-file', str(graph.parameters_file())]
        for name, target in node.remappings.items():
            command += ['-r', f'{name}:={target}']
        if node is graph.WORLD_MODEL:
            command += ['-p', f'bundle:={bundle}']
        return self.start(node.name, command)


def _pictures() -> list[NDArray[np.uint8]]:
    simulation = ArmSimulation()
    chance = np.random.default_rng(0)
    limits = simulation.limits
    try:
        return [simulation.render_at(chance.uniform(limits.lower + MARGIN, limits.upper - MARGIN))
                for _ in range(GOALS)]
    finally:
        simulation.close()
