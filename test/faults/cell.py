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
"""A robot cell made of real processes, with one faulty wire, one saboteur and one witness.

    simulator ──► relay ──► world_model ──► controller ──► simulator
                  (faults)      │               │
                                └── recorder ───┘  (a process of its own; writes, judges nothing)

The arm swings between two far poses, so that a fault finds it at speed. Parameters and remappings
are those of the demo; the model is the shipped one with three faults built in (spoiled.py).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import yaml
from dds import LATCHED, RELIABLE, Graph, InVainError
from faults.recording import NANOSECONDS, Line, Recording, Status, to_state, vector
from sensor_msgs.msg import Image
from std_msgs.msg import String

from world_model_interfaces.msg import ControllerState
from world_model_ros.demo import graph as demo_graph
from world_model_ros.demo.judge import WireLimits, read_wire_limits
from world_model_ros.nodes.convert import to_stamp
from world_model_ros.simulation import ArmSimulation, description_path

HERE = Path(__file__).parent
POSES = (np.array([-2.0, 1.1]), np.array([2.0, -1.1]))  # rad, on both sides of the table
SPEED = 0.6  # rad/s from which on the arm counts as moving
AHEAD = 1.2  # rad that it has to go, at least, when a fault begins


def demo_parameters(node: str) -> dict[str, Any]:
    """Return what config/demo.yaml sets for a node."""
    document = yaml.safe_load(demo_graph.parameters_file().read_text(encoding='utf-8'))
    return dict(document[f'/**/{node}']['ros__parameters'])


@dataclass(frozen=True)
class Numbers:
    """The documented numbers of the shipped configuration that faults are noticed by [s]."""

    late_after: float
    finish_duration: float
    joint_state_timeout: float
    following_tolerance: float  # rad
    limits: WireLimits

    @property
    def stopping_time(self) -> float:
        return float(np.max(self.limits.velocity / self.limits.acceleration))


def shipped_numbers() -> Numbers:
    """Read them from config/demo.yaml and the URDF; what is not there has the README's default."""
    controller = demo_parameters('controller')
    acceleration = min(
        joint['max_acceleration'] for joint in controller['joint_limits'].values())
    return Numbers(
        controller['late_after'], controller.get('finish_duration', 0.05),
        controller.get('joint_state_timeout', 0.15), controller.get('following_tolerance', 0.25),
        read_wire_limits(description_path(), acceleration))


class Cell:
    """The processes, and what a test does to them."""

    def __init__(
        self, directory: Path, bundle: Path, large_bundle: Path, *, simulated_time: bool = False
    ) -> None:
        self.directory = directory
        self.bundle, self.large_bundle = bundle, large_bundle
        self.numbers = shipped_numbers()
        self.recording = Recording(directory / 'recording.jsonl')
        self.graph = Graph(directory)
        self.logs = directory / 'logs'
        self._time = {'use_sim_time': True} if simulated_time else {}
        self._clock = ['--clock'] if simulated_time else []
        self._goals: list[Image] = []
        self._target = POSES[0]
        self._order = 0
        self._rogues: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Cell:
        self.logs.mkdir(exist_ok=True)
        self.graph.__enter__()
        try:
            self._start()
        except BaseException:
            self.graph.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.graph.__exit__(kind, error, trace)

    def _start(self) -> None:
        graph = self.graph
        self.recorder = graph.start('recorder', [
            sys.executable, '-u', str(HERE / 'recorder.py'),
            str(self.directory / 'recording.jsonl')])
        self.relay = graph.start('relay', [
            sys.executable, '-u', str(HERE / 'relay.py'), *self._clock])
        self.simulator = graph.spawn(
            'simulator', parameters={**demo_parameters('simulator'), **self._time},
            remap={'joint_states': 'robot/joint_states', 'camera/image_raw': 'robot/image_raw'})
        self.start_controller()
        self.start_model()
        self._orders = graph.publisher(String, 'relay/order', RELIABLE)
        self._goal = graph.publisher(Image, 'goal_image', LATCHED)
        self._goals = _pictures()
        self.wait_for(self._stands_ready, 60.0, 'the model to be announced and joints to be seen')

    def _stands_ready(self) -> bool:
        for process in self.graph.processes:
            assert process.poll() is None, f'{process.args!s} ended at once'
        state, heard = self.recording.newest('state'), self.recording.newest('joints')
        return (state is not None and heard is not None and len(to_state(state).position) > 0
                and 'no model' not in to_state(state).cause
                and self.recording.newest('robot') is not None)

    # Processes

    def start_controller(self) -> None:
        self.controller = self.graph.spawn(
            'controller', parameters={**demo_parameters('controller'), **self._time},
            remap=demo_graph.CONTROLLER.remappings, environment=self.environment)

    def start_model(self) -> None:
        self.model = self.graph.spawn(
            'world_model', parameters={
                **demo_parameters('world_model'), **self._time, 'bundle': str(self.bundle)},
            remap=demo_graph.WORLD_MODEL.remappings, environment=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        return {'ROS_LOG_DIR': str(self.logs)}

    def signal(self, process: subprocess.Popen[bytes], number: int) -> int:
        """Send a signal to a process and return when [ns]."""
        sent = time.time_ns()
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait()
        return sent

    def start_rogue(self, mode: str) -> subprocess.Popen[bytes]:
        """Start a saboteur (rogue.py); `end_rogues` ends all of them."""
        rogue = self.graph.start('rogue', [
            sys.executable, '-u', str(HERE / 'rogue.py'), mode])
        self._rogues.append(rogue)
        return rogue

    def end_rogues(self) -> int:
        now = time.time_ns()
        for rogue in self._rogues:
            rogue.terminate()  # it leaves the graph, so that others see it go
            rogue.wait()
        self._rogues.clear()
        return now

    # The wire

    def order(self, **parts: Mapping[str, Any]) -> int:
        """Have the relay spoil streams; return when it began to [ns]."""
        self._order += 1
        number = self._order
        self._orders.publish(String(data=json.dumps({'number': number, 'parts': parts})))
        said: list[int] = []

        def confirmed() -> bool:
            for line in reversed(self.recording.lines('relay', time.time_ns() - 30 * NANOSECONDS)):
                if json.loads(line.fields[0])['number'] == number:
                    said.append(line.sent)
                    return True
            return False

        self.wait_for(confirmed, 5.0, f'the relay to confirm {parts}')
        return said[0]

    def repair(self) -> int:
        """Let camera and joints pass as they are."""
        return self.order(joints={}, camera={})

    # Motion

    def wait_for(self, condition: Callable[[], bool], within: float, what: str) -> None:
        """Wait as `Graph.wait_for`, reading the recording meanwhile."""
        def read() -> bool:
            self.recording.read()
            return condition()

        try:
            self.graph.wait_for(read, within, what)
        except InVainError as error:
            raise InVainError(f'{error}: {self.condition()}') from None

    def condition(self) -> str:
        """Return how things stand, for whoever reads that a wait was in vain."""
        now = time.time_ns()
        newest = {kind: self.recording.newest(kind)
                  for kind in ('state', 'robot', 'joints', 'proposal', 'heartbeat', 'command')}
        parts = [f'{kind} {(now - line.sent) / NANOSECONDS:.2f} s ago' if line else f'no {kind}'
                 for kind, line in newest.items()]
        state, robot = newest['state'], newest['robot']
        if state is not None:
            parts.append(f'rung {to_state(state).rung} because "{to_state(state).cause}"')
        if robot is not None:
            parts.append(f'arm at {vector(robot.fields[1])} for {self._target}')
        parts += [f'{process.args!s} ended with {process.returncode}'
                  for process in self.graph.processes if process.poll() is not None]
        parts += [f'{status.name}: {status.message}'
                  for status in self.read_aloud(now - 3 * NANOSECONDS)]
        return '; '.join(parts)

    def wait(self, seconds: float) -> None:
        """Let time pass, for what is about time itself."""
        until = time.monotonic() + seconds
        self.wait_for(lambda: time.monotonic() >= until, seconds + 5.0, 'time')

    def send_far(self) -> None:
        """Show the picture of the pose that is further from where the arm is."""
        robot = self.recording.newest('robot')
        assert robot is not None
        position = vector(robot.fields[1])
        far = int(np.argmax([np.abs(pose - position).max() for pose in POSES]))
        picture = self._goals[far]
        picture.header.stamp = to_stamp(time.time_ns())
        self._goal.publish(picture)
        self._target = POSES[far]

    def is_moving(self, since: int) -> bool:
        """Whether the arm follows a plan at speed and has a way to go."""
        state, robot = self.recording.newest('state'), self.recording.newest('robot')
        if state is None or robot is None or state.sent < since:
            return False
        ahead = np.abs(self._target - vector(robot.fields[1])).max()
        return (to_state(state).rung == ControllerState.TRACK and ahead > AHEAD
                and float(np.abs(vector(robot.fields[2])).max()) > SPEED)

    def move(self, within: float = 30.0) -> None:
        """Have the arm swing to the other side; return when it is at speed."""
        started = time.time_ns()
        self.send_far()
        self.wait_for(lambda: self.is_moving(started) or self.turn_round(), within,
                      'the arm to move to a far goal')

    def turn_round(self) -> bool:
        """Show the other pose if the arm is close to the one shown; False, for conditions."""
        robot = self.recording.newest('robot')
        assert robot is not None
        if np.abs(self._target - vector(robot.fields[1])).max() < AHEAD:
            self.send_far()
        return False

    def rests(self, since: int) -> bool:
        """Whether the newest setpoints, and the robot, are at rest."""
        commands = self.recording.lines('command', max(since, time.time_ns() - NANOSECONDS))
        robot = self.recording.newest('robot')
        return (len(commands) >= 5 and robot is not None
                and not any(np.any(vector(line.fields[0])) for line in commands[-5:])
                and float(np.abs(vector(robot.fields[2])).max()) < 0.02)

    def commands(self, since: int, until: int | None = None) -> Sequence[Line]:
        return self.recording.lines('command', since, until)

    def read_aloud(self, since: int) -> list[Status]:
        """Return what /diagnostics complained of since a time, each text once."""
        heard: dict[tuple[str, str], Status] = {}
        for status in self.recording.statuses(since):
            if status.level > 0:
                heard.setdefault((status.name, status.message), status)
        return list(heard.values())


def _pictures() -> list[Image]:
    simulation = ArmSimulation()
    pictures = []
    try:
        for pose in POSES:
            pixels = simulation.render_at(pose)
            height, width, channels = pixels.shape
            message = Image(height=height, width=width, encoding='rgb8', step=width * channels)
            message.data.frombytes(pixels.tobytes())
            pictures.append(message)
    finally:
        simulation.close()
    return pictures


def limit_address_space(process: subprocess.Popen[bytes], spare: int | None) -> None:
    """Let a running process map `spare` more bytes than it has; None lifts the limit."""
    import resource

    if spare is None:
        size = resource.RLIM_INFINITY
    else:
        status = Path(f'/proc/{process.pid}/status').read_text()
        size = spare + 1024 * next(
            int(line.split()[1]) for line in status.splitlines() if line.startswith('VmSize'))
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (size, hard))


def is_root() -> bool:
    return os.geteuid() == 0
