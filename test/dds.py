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
"""Real node processes on real DDS for tests: spawn, drive, listen, and always end them.

    with Graph(tmp_path) as graph:
        states = graph.listen(ControllerState, 'controller/state')
        process = graph.spawn('controller', parameters={'autostart': True})
        graph.wait_until_active('controller')
        graph.wait_for(lambda: len(states) > 10, 5.0, 'ten states')
        assert graph.end(process) == 0

Nothing sleeps and hopes: every wait has a condition, a deadline, and says what it waited for.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS
from world_model_ros.cli.probes import free_domain
from world_model_ros.demo import graph as demo_graph

RELIABLE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
ENVIRONMENT = {
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    TRANSPORTS: FAST_DDS_TRANSPORTS,
    'OMP_NUM_THREADS': '1',
}


class InVainError(AssertionError):
    """What was waited for has not come in time."""


def spin_until(executor: SingleThreadedExecutor, condition: Callable[[], bool], within: float,
               what: Callable[[], str]) -> None:
    """Spin until ``condition`` holds; after ``within`` seconds raise InVainError with ``what``."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise InVainError(f'waited {within:g} s in vain for {what()}')
        executor.spin_once(timeout_sec=0.02)


class Graph:
    """One ROS graph of a test: a node of the test's own, and the processes that it spawned.

    Its ROS_DOMAIN_ID is one that nobody on the machine uses, so that two test runs do not hear each
    other. ``directory`` takes parameter files and the processes' output.
    """

    def __init__(self, directory: Path) -> None:
        self.domain = free_domain()
        self.directory = directory
        self.processes: list[subprocess.Popen[bytes]] = []
        self._saved: dict[str, str | None] = {}

    def __enter__(self) -> 'Graph':
        # With the demo's discovery profile: the default's 5 announcements can all be missed by a
        # process that is just starting, and the next one comes 3 s later.
        # With a home of its own for what nodes leave behind, such as a stop that was not reset.
        home = {'ROS_HOME': str(self.directory / 'ros_home')}
        for name, value in {**demo_graph.environment(), **ENVIRONMENT, **home}.items():
            self._saved[name] = os.environ.get(name)
            os.environ[name] = value
        self.context = Context()
        rclpy.init(context=self.context, domain_id=self.domain)
        self.node = Node('probe', context=self.context, start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait()
        if error is not None:
            for output in sorted(self.directory.glob('*.output')):
                print(f'--- {output.name}\n{output.read_text(errors="replace")[-8000:]}')
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
        for name, value in self._saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    def spawn(
        self,
        executable: str,
        *,
        parameters: Mapping[str, Any] | None = None,
        remap: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        sabotage: str = '',
    ) -> subprocess.Popen[bytes]:
        """Start a node of this package as its own process, as ``ros2 run`` would.

        Its output goes to ``output(process)`` and is printed if the test fails. ``sabotage`` is
        code that the process runs first, for what can not be done to it from outside.
        """
        arguments = ['--ros-args']
        if parameters:
            number = len(self.processes)
            file = self.directory / f'{executable}{number}.yaml'
            # JSON is YAML; a file rather than -p, so that texts of any content come through.
            file.write_text(json.dumps({'/**': {'ros__parameters': dict(parameters)}}))
            arguments += ['--params-file', str(file)]
        for source, target in (remap or {}).items():
            arguments += ['-r', f'{source}:={target}']
        code = '\n'.join([sabotage, f'from world_model_ros.nodes.{executable} import main',
                          'raise SystemExit(main())'])
        return self.start(
            executable, [sys.executable, '-u', '-c', code, *arguments], environment=environment)

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start any program in this graph's domain; its output goes to ``output(process)``."""
        number = len(self.processes)
        with open(self.directory / f'{name}{number}.output', 'wb') as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, 'ROS_DOMAIN_ID': str(self.domain), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        process.args = f'{name}{number}'
        self.processes.append(process)
        return process

    def output(self, process: subprocess.Popen[bytes]) -> str:
        """Return what a process has printed so far."""
        return (self.directory / f'{process.args!s}.output').read_text(errors='replace')

    def end(
        self,
        process: subprocess.Popen[bytes],
        with_signal: int = signal.SIGTERM,
        within: float = 10.0,
    ) -> int:
        """Send a signal and return the exit code, listening meanwhile."""
        process.send_signal(with_signal)
        self.wait_for(lambda: process.poll() is not None, within, f'{process.args!s} to end')
        return int(process.returncode)

    def listen(self, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> list[Any]:
        """Return a list that grows by every message received on ``topic``."""
        received: list[Any] = []
        self.node.create_subscription(kind, topic, received.append, qos)
        return received

    def publisher(self, kind: type, topic: str, qos: QoSProfile = RELIABLE) -> Any:
        """Return a publisher of the test's own node."""
        return self.node.create_publisher(kind, topic, qos)

    @contextmanager
    def every(self, period: float, action: Callable[[], None]) -> Iterator[None]:
        """Call ``action`` every ``period`` seconds while the test waits for something."""
        timer = self.node.create_timer(period, action)
        try:
            yield
        finally:
            self.node.destroy_timer(timer)

    def now(self) -> int:
        """Return the time that stamps are made of [ns]."""
        return int(self.node.get_clock().now().nanoseconds)

    def wait_for(self, condition: Callable[[], bool], within: float, what: str) -> None:
        """Spin until ``condition`` holds; fail after ``within`` seconds, saying ``what``."""
        spin_until(self._executor, condition, within, lambda: what)

    def listen_for(self, seconds: float) -> None:
        """Spin for a fixed time: for what is about the time itself, such as a silence."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=0.01)

    def wait_until_active(self, node: str, within: float = 20.0) -> None:
        """Wait until a lifecycle node is active."""
        self.wait_until(node, 'active', within)

    def wait_until(self, node: str, label: str, within: float = 20.0) -> None:
        """Wait until a lifecycle node says that it is in the state ``label``."""
        client = self.node.create_client(GetState, f'{node}/get_state')
        answers: list[str] = []
        pending: list[Any] = []
        asked = 0.0

        def reached() -> bool:
            nonlocal asked
            if pending and pending[0].done():
                answers.append(pending.pop().result().current_state.label)
            if pending and time.monotonic() - asked > 1.0:
                # A server that has not discovered our reader yet cannot answer: ask again.
                client.remove_pending_request(pending.pop())
            if not pending and client.service_is_ready():
                pending.append(client.call_async(GetState.Request()))
                asked = time.monotonic()
            return bool(answers) and answers[-1] == label

        try:
            self.wait_for(reached, within, f'{node} to be {label}; it is {answers[-1:]}')
        finally:
            self.node.destroy_client(client)

    def transition(self, node: str, transition: int, within: float = 10.0) -> bool:
        """Ask a lifecycle node for a transition of lifecycle_msgs/Transition; return success."""
        client = self.node.create_client(ChangeState, f'{node}/change_state')
        self.wait_for(client.service_is_ready, within, f'{node}/change_state')
        request = ChangeState.Request()
        request.transition.id = transition
        future = client.call_async(request)
        self.wait_for(future.done, within, f'transition {transition} of {node}')
        self.node.destroy_client(client)
        return bool(future.result().success)

    def set_parameter(self, node: str, name: str, value: Any) -> SetParametersResult:
        """Ask a node to change a parameter; return its answer."""
        client = self.node.create_client(SetParameters, f'{node}/set_parameters')
        self.wait_for(client.service_is_ready, 10, f"{node}'s parameter service")
        future = client.call_async(SetParameters.Request(
            parameters=[Parameter(name, value=value).to_parameter_msg()]))
        self.wait_for(future.done, 10, f"{node}'s answer")
        self.node.destroy_client(client)
        return future.result().results[0]

    def diagnostics(self) -> Callable[[str], Any]:
        """Return a function that gives the newest DiagnosticStatus of a name, or None."""
        received = self.listen(DiagnosticArray, '/diagnostics')

        def newest(name: str) -> Any:
            for message in reversed(received):
                for status in message.status:
                    if status.name == name:
                        return status
            return None

        return newest


def values(status: Any) -> dict[str, str]:
    """Return the key-values of a DiagnosticStatus; none of None."""
    return {item.key: item.value for item in status.values} if status else {}
