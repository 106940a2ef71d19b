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
"""The other ends of the controller's wires, for tests of the real process on real DDS."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from dds import LATCHED, Graph, values
from geometry_msgs.msg import TwistStamped
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory

from world_model_interfaces.msg import (
    ActionProposal,
    ControllerState,
    Heartbeat,
    ModelInfo,
    Tensor,
)
from world_model_ros.control import STRETCH
from world_model_ros.control.drive import UNTOLD
from world_model_ros.nodes.qos import HEARTBEAT

VELOCITY, ACCELERATION, UPPER = 1.5, 8.0, 2.0
URDF = f"""<robot name="arm">
  <link name="base"/><link name="upper"/><link name="fore"/>
  <joint name="shoulder" type="revolute"><parent link="base"/><child link="upper"/>
    <limit lower="-{UPPER}" upper="{UPPER}" velocity="{VELOCITY}" effort="1"/></joint>
  <joint name="elbow" type="revolute"><parent link="upper"/><child link="fore"/>
    <limit lower="-{UPPER}" upper="{UPPER}" velocity="{VELOCITY}" effort="1"/></joint>
</robot>"""
JOINTS = ['shoulder', 'elbow']
DIGEST = 'a' * 64
NEWEST = QoSProfile(depth=1)
# Stamps on the wire are taken when a setpoint is computed, so limits hold between them; the rest
# is rounding.
ROUNDING = 1e-6


def stamp_of(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)


def seconds(stamp: Time) -> float:
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)


class Robot:
    """A robot that follows, and a model that plans; each can be told to misbehave."""

    def __init__(self, graph: Graph, interface: str = 'velocity') -> None:
        self.graph = graph
        self.interface = interface
        self.states: list[ControllerState] = graph.listen(ControllerState, 'controller/state')
        self.velocities: list[Float64MultiArray] = graph.listen(Float64MultiArray, 'commands')
        self.trajectories: list[JointTrajectory] = graph.listen(
            JointTrajectory, 'joint_trajectory'
        )
        self.twists: list[TwistStamped] = graph.listen(TwistStamped, 'cmd_vel')
        self.diagnostic = graph.diagnostics()
        self.joint_states = graph.publisher(JointState, 'joint_states')
        self.proposals = graph.publisher(ActionProposal, 'proposal', NEWEST)
        self.infos = graph.publisher(ModelInfo, 'model_info', LATCHED)
        self.heartbeats = graph.publisher(Heartbeat, 'heartbeat', HEARTBEAT)
        self.now: Callable[[], int] = graph.now
        self.kind, self.names, self.digest = ActionProposal.JOINT_VELOCITY, JOINTS, DIGEST
        self.goal = 'first'
        self.activity: int | None = None
        self.position = np.zeros(2)
        self.held_at: np.ndarray | None = None  # by somebody's hand
        self.sees_joints = True
        self.plans = 0
        self.wanted: np.ndarray | None = np.array([1.0, -0.5])
        self.announce()

    def announce(self, **changes: Any) -> None:
        contract = {
            'name': 'toy', 'version': '1', 'digest': self.digest, 'action_kind': self.kind,
            'action_names': self.names, 'action_lower': [-2.0] * 2, 'action_upper': [2.0] * 2,
            'step_duration': 0.1, 'horizon': 8,
        }  # fmt: skip
        self.infos.publish(ModelInfo(**{**contract, **changes}))

    def report_joints(self) -> None:
        """Publish where the robot is; it does what it is told, one period later."""
        if self.held_at is not None:
            self.position = self.held_at
        elif self.interface == 'velocity' and self.velocities:
            self.position = self.position + 0.01 * np.array(self.velocities[-1].data)
        elif self.interface == 'twist' and self.states:
            self.position = self.position + 0.01 * np.array(self.states[-1].velocity)  # wheels
        elif self.states and len(self.states[-1].position):
            self.position = np.array(self.states[-1].position)
        if not self.sees_joints:
            return
        self.joint_states.publish(
            JointState(
                header=Header(stamp=stamp_of(self.now())),
                name=['gripper', 'elbow', 'shoulder'],
                position=[0.0, self.position[1], self.position[0]],
            )
        )

    def beat(self) -> None:
        if self.activity is not None:
            self.heartbeats.publish(
                Heartbeat(model_digest=self.digest, activity=self.activity, text='says the test'))

    def proposal(self, wanted: Any, **changes: Any) -> ActionProposal:
        rows = np.tile(np.array(wanted, np.float32), (8, 1))
        self.plans += 1
        message = ActionProposal(
            header=Header(stamp=stamp_of(self.now() - 80_000_000)),
            plan_id=f'plan{self.plans}', model_digest=self.digest, goal_id=self.goal,
            kind=self.kind, names=self.names, step_duration=0.1,
            values=Tensor(shape=list(rows.shape), data=rows.ravel().tolist()),
        )  # fmt: skip
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def propose(self) -> None:
        if self.wanted is not None:
            self.proposals.publish(self.proposal(self.wanted))

    def wait_for_cause(self, cause: str, within: float = 5.0) -> None:
        """Wait for a state, from now on, with ``cause`` in its text."""
        since = len(self.states)
        self.graph.wait_for(
            lambda: any(cause in state.cause for state in self.states[since:]),
            within, f'the cause "{cause}"; {self.states[-1:]}',
        )  # fmt: skip

    def wait_for_rung(self, rung: int, cause: str = '', within: float = 5.0) -> ControllerState:
        """Return the next state on ``rung`` with ``cause`` in its text.

        The cause matters because a busy machine may put the controller there for another reason.
        """
        since = len(self.states)

        def found() -> list[ControllerState]:
            return [
                state for state in self.states[since:]
                if state.rung == rung and cause in state.cause
            ]  # fmt: skip

        self.graph.wait_for(lambda: bool(found()), within, f'rung {rung} because of "{cause}"')
        return found()[0]

    def wait_for_count(self, name: str) -> None:
        self.graph.wait_for(
            lambda: values(self.diagnostic('controller: proposals')).get(name, '0') != '0',
            5.0,
            f'{name} in {values(self.diagnostic("controller: proposals"))}',
        )


def start(
    stack: ExitStack, directory: Path, interface: str = 'velocity', *, idle: bool = False,
    active: bool = True, sabotage: str = '', **parameters: Any,
) -> tuple[Robot, Any]:
    """Start a controller with a robot and a model around it; wait until it is active, or not."""
    graph = stack.enter_context(Graph(directory))
    robot = Robot(graph, interface)
    if idle:
        robot.wanted = None
    process = graph.spawn(
        'controller', parameters=parameters_of(interface, **parameters), sabotage=sabotage)
    stack.enter_context(graph.every(0.01, robot.report_joints))
    stack.enter_context(graph.every(0.1, robot.propose))
    stack.enter_context(graph.every(0.05, robot.beat))
    if active:
        graph.wait_until_active('controller')
    return robot, process


def parameters_of(interface: str = 'velocity', **changes: Any) -> dict[str, Any]:
    given = {
        'autostart': True, 'joints': JOINTS, 'robot_description': URDF,
        'command_interface': interface,
        'joint_limits': {joint: {'max_acceleration': ACCELERATION} for joint in JOINTS},
        **changes,
    }  # fmt: skip
    return {name: value for name, value in given.items() if value is not None}


def waited_of(process: int) -> float:
    """Return how long the kernel has had a process, its main thread, wait for a processor [s]."""
    return int(Path(f'/proc/{process}/schedstat').read_text().split()[1]) * 1e-9


def assert_commands_are_continuous(robot: Robot) -> None:
    """Judge the command topic: no step that one tick may not take, however late it came.

    But for one after each pause of the controller on a busy machine: it begins with what it sees.
    """
    velocities = np.array([list(command.data) for command in robot.velocities])
    assert np.all(np.abs(velocities) <= VELOCITY + ROUNDING)
    steps = np.max(np.abs(np.diff(velocities, axis=0)), axis=1)
    times = [seconds(state.header.stamp) for state in robot.states]
    pauses = np.sum(np.diff(times) > UNTOLD)
    assert np.sum(steps > ACCELERATION * STRETCH * 0.01 + ROUNDING) <= pauses, np.max(steps)


def assert_limits_held(states: list[ControllerState]) -> None:
    """Judge what went over the wire, by the stamps on it."""
    known = [state for state in states if len(state.position)]
    first = known[0].header.stamp.sec  # doubles of whole epochs are too coarse
    times = np.array(
        [state.header.stamp.sec - first + 1e-9 * state.header.stamp.nanosec for state in known]
    )
    positions = np.array([state.position for state in known])
    velocities = np.array([state.velocity for state in known])
    assert np.all(np.isfinite(positions)) and np.all(np.isfinite(velocities))
    assert np.all(np.abs(positions) <= UPPER + ROUNDING)
    assert np.all(np.abs(velocities) <= VELOCITY + ROUNDING)
    elapsed = np.diff(times)[:, None]
    assert np.all(np.abs(np.diff(velocities, axis=0)) <= ACCELERATION * elapsed + ROUNDING)
    # Positions follow the velocities; the robot may pull them by a * dt^2 per period.
    moved = np.abs(np.diff(positions, axis=0))
    excess = np.max(moved - VELOCITY * elapsed - ACCELERATION * elapsed**2, axis=1)
    worst = int(np.argmax(excess))
    assert excess[worst] <= ROUNDING, (moved[worst], elapsed[worst], known[worst: worst + 2])


