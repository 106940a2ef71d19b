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
"""The independent recorder: writes down what is on the wires, and judges nothing.

    python recorder.py FILE

One line of JSON per message, flushed at once: ``[kind, sent, received, sequence, publisher, …]``.
``sent`` is the time at which the publisher's middleware wrote the message (DDS source timestamp)
and ``received`` when this process took it, both in nanoseconds of the machine's clock. ``sequence``
counts the publisher's messages, so that a lost one shows; ``publisher`` tells publishers apart.

Beside the wires it asks the kernel how long each node was kept waiting for a processor (``wait``
lines, from /proc/PID/task/*/schedstat), so that a machine that did not schedule a node can be told
from a node that was slow.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from world_model_interfaces.msg import ActionProposal, ControllerState, Heartbeat

EVERY = QoSProfile(depth=2000, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=2000, reliability=ReliabilityPolicy.BEST_EFFORT)
SAMPLING = 0.02  # s between two looks at how long the nodes waited for a processor
PRIORITY = -10  # nice value, where it is allowed
NODES = ('controller', 'world_model', 'simulator', 'relay', 'rogue')


def nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def numbers(values: Any) -> list[float | str]:
    """Return numbers as JSON can hold them: what is not finite as text."""
    return [value if math.isfinite(value) else str(value) for value in values]


def command(message: Float64MultiArray) -> list[Any]:
    return [numbers(message.data)]


def state(message: ControllerState) -> list[Any]:
    return [nanoseconds(message.header.stamp), message.rung, message.cause, message.plan_id,
            nanoseconds(message.observation_stamp), numbers(message.position),
            numbers(message.velocity), message.stopped, message.stop_reason, message.accepted,
            message.refused]


def joints(message: JointState) -> list[Any]:
    return [nanoseconds(message.header.stamp), numbers(message.position), numbers(message.velocity)]


def proposal(message: ActionProposal) -> list[Any]:
    return [nanoseconds(message.header.stamp), message.plan_id, message.model_digest]


def heartbeat(message: Heartbeat) -> list[Any]:
    return [message.activity, message.text]


def diagnostics(message: DiagnosticArray) -> list[Any]:
    return [[[status.name, ord(status.level), status.message,
              {pair.key: pair.value for pair in status.values}] for status in message.status]]


def text(message: String) -> list[Any]:
    return [message.data]


WIRES: tuple[tuple[str, type, str, QoSProfile, Callable[[Any], list[Any]]], ...] = (
    ('command', Float64MultiArray, 'velocity_controller/commands', EVERY, command),
    ('state', ControllerState, 'controller/state', EVERY, state),
    ('heartbeat', Heartbeat, 'world_model/heartbeat', EVERY, heartbeat),
    ('diagnostics', DiagnosticArray, '/diagnostics', EVERY, diagnostics),
    ('proposal', ActionProposal, 'world_model/proposal', EVERY, proposal),
    # Of the robot itself, and what the nodes hear of it.
    ('robot', JointState, 'robot/joint_states', BEST_EFFORT, joints),
    ('joints', JointState, 'joint_states', BEST_EFFORT, joints),
    ('relay', String, 'relay/said', EVERY, text),
)


class Recorder(Node):
    """Listens to everything that a verdict needs."""

    def __init__(self, path: Path) -> None:
        super().__init__('recorder', start_parameter_services=False)
        self._file = path.open('w', encoding='utf-8', buffering=1)
        for kind, message, topic, qos, extract in WIRES:
            self._listen(kind, message, topic, qos, extract)
        self._processes: dict[str, list[Path]] = {}
        self.create_timer(0.5, self._find_nodes)
        self.create_timer(SAMPLING, self._sample_waits)

    def _listen(
        self, kind: str, message: type, topic: str, qos: QoSProfile,
        extract: Callable[[Any], list[Any]],
    ) -> None:
        def write(message: Any, info: Any) -> None:
            publisher = info.get('publisher_gid')
            self._line([kind, info['source_timestamp'], time.time_ns(),
                        info.get('publication_sequence_number'),
                        bytes(publisher['data']).hex() if publisher else '', *extract(message)])

        def write_all(first: Any, info: Any) -> None:
            """Empty the queue: an executor that takes them one by one falls behind under load."""
            write(first, info)
            while (taken := subscription.handle.take_message(message, False)) is not None:
                write(*taken)

        subscription = self.create_subscription(message, topic, write_all, qos)

    def _line(self, fields: list[Any]) -> None:
        self._file.write(json.dumps(fields) + '\n')

    def _find_nodes(self) -> None:
        """Find the threads of the nodes of this domain, newest processes included."""
        domain = f'ROS_DOMAIN_ID={os.environ["ROS_DOMAIN_ID"]}'.encode()
        found: dict[str, list[Path]] = {}
        for process in Path('/proc').glob('[0-9]*'):
            try:
                words = (process / 'cmdline').read_bytes()
                node = next((node for node in NODES if f'nodes.{node}'.encode() in words
                             or f'{node}.py'.encode() in words), None)
                if node and domain in (process / 'environ').read_bytes().split(b'\0'):
                    found.setdefault(node, []).extend((process / 'task').iterdir())
            except OSError:  # it has just ended, or is not ours
                continue
        self._processes = found

    def _sample_waits(self) -> None:
        """Write how long every thread of every node has waited so far [ns]."""
        waits: dict[str, dict[str, int]] = {}
        for node, tasks in self._processes.items():
            for task in tasks:
                with contextlib.suppress(OSError, IndexError):
                    waits.setdefault(node, {})[task.name] = int(
                        (task / 'schedstat').read_text().split()[1])
        now = time.time_ns()
        self._line(['wait', now, now, None, '', waits])


def main() -> None:
    # A recorder that waits for a processor reports late what was sent in time.
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped.append(number))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    recorder = Recorder(Path(sys.argv[1]))
    # The event-driven one cannot pass on who sent a message, and when (rclpy 9.1).
    executor = SingleThreadedExecutor()
    executor.add_node(recorder)
    while not stopped:
        executor.spin_once(timeout_sec=0.1)
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
