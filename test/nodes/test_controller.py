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
"""The controller as a real process on real DDS: what it lets through, and how it stops."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from dds import LATCHED, Graph, values
from lifecycle_msgs.msg import Transition
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory

from world_model_interfaces.msg import ActionProposal, ControllerState, ModelInfo, Tensor

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
    """The other ends of the controller's wires: a robot that follows, and a model that plans."""

    def __init__(self, graph: Graph, interface: str = 'velocity') -> None:
        self.graph = graph
        self.interface = interface
        self.states: list[ControllerState] = graph.listen(ControllerState, 'controller/state')
        self.velocities: list[Float64MultiArray] = graph.listen(Float64MultiArray, 'commands')
        self.trajectories: list[JointTrajectory] = graph.listen(
            JointTrajectory, 'joint_trajectory'
        )
        self.diagnostic = graph.diagnostics()
        self.joint_states = graph.publisher(JointState, 'joint_states')
        self.proposals = graph.publisher(ActionProposal, 'proposal', NEWEST)
        self.infos = graph.publisher(ModelInfo, 'model_info', LATCHED)
        self.position = np.zeros(2)
        self.sees_joints = True
        self.plans = 0
        self.wanted: np.ndarray | None = np.array([1.0, -0.5])
        self.announce()

    def announce(self, **changes: Any) -> None:
        contract = {
            'name': 'toy', 'version': '1', 'digest': DIGEST, 'action_kind': 2,
            'action_names': JOINTS, 'action_lower': [-2.0] * 2, 'action_upper': [2.0] * 2,
            'step_duration': 0.1, 'horizon': 8,
        }  # fmt: skip
        self.infos.publish(ModelInfo(**{**contract, **changes}))

    def report_joints(self) -> None:
        """Publish where the robot is; it does what it is told, one period later."""
        if self.interface == 'velocity' and self.velocities:
            self.position = self.position + 0.01 * np.array(self.velocities[-1].data)
        elif self.states and len(self.states[-1].position):
            self.position = np.array(self.states[-1].position)
        if not self.sees_joints:
            return
        self.joint_states.publish(
            JointState(
                header=Header(stamp=stamp_of(self.graph.now())),
                name=['gripper', 'elbow', 'shoulder'],
                position=[0.0, self.position[1], self.position[0]],
            )
        )

    def proposal(self, wanted: Any, **changes: Any) -> ActionProposal:
        rows = np.tile(np.array(wanted, np.float32), (8, 1))
        self.plans += 1
        message = ActionProposal(
            header=Header(stamp=stamp_of(self.graph.now() - 80_000_000)),
            plan_id=f'plan{self.plans}', model_digest=DIGEST, kind=ActionProposal.JOINT_VELOCITY,
            names=JOINTS, step_duration=0.1,
            values=Tensor(shape=list(rows.shape), data=rows.ravel().tolist()),
        )  # fmt: skip
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def propose(self) -> None:
        if self.wanted is not None:
            self.proposals.publish(self.proposal(self.wanted))

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


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


Begin = Callable[..., tuple[Robot, Any]]


@pytest.fixture
def begin(stack: ExitStack, tmp_path: Path) -> Begin:
    """Return a function that starts an active controller with a robot and a model around it."""

    def start(
        interface: str = 'velocity', *, idle: bool = False, **parameters: Any
    ) -> tuple[Robot, Any]:
        graph = stack.enter_context(Graph(tmp_path))
        robot = Robot(graph, interface)
        if idle:
            robot.wanted = None
        process = graph.spawn('controller', parameters=parameters_of(interface, **parameters))
        stack.enter_context(graph.every(0.01, robot.report_joints))
        stack.enter_context(graph.every(0.1, robot.propose))
        graph.wait_until_active('controller')
        return robot, process

    return start


def parameters_of(interface: str = 'velocity', **changes: Any) -> dict[str, Any]:
    return {
        'autostart': True, 'joints': JOINTS, 'robot_description': URDF,
        'command_interface': interface,
        'joint_limits': {joint: {'max_acceleration': ACCELERATION} for joint in JOINTS},
        **changes,
    }  # fmt: skip


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
    assert np.all(moved <= VELOCITY * elapsed + ACCELERATION * elapsed**2 + ROUNDING)


def test_the_arm_follows_plans_inside_limits_and_stops_smoothly_when_they_stop(
    begin: Begin,
) -> None:
    robot, process = begin()
    robot.wanted = np.array([1.5, -1.5])
    robot.graph.wait_for(
        lambda: bool(robot.states) and robot.states[-1].rung == ControllerState.TRACK
        and max(map(abs, robot.states[-1].velocity), default=0) > 1.49,
        10.0, 'full speed',
    )  # fmt: skip
    tracking = robot.states[-1]
    assert tracking.plan_id.startswith('plan')
    assert list(tracking.names) == JOINTS

    robot.wanted = None  # as if world_model were killed right after a proposal
    killed = robot.graph.now() * 1e-9
    held = robot.wait_for_rung(ControllerState.HOLD, 'proposals stopped')
    since = [state for state in robot.states if seconds(state.header.stamp) >= killed]
    # Ticks that the machine was too busy for, beyond one that is a period late, are not counted:
    # a process that gets no time can not brake.
    gaps = np.diff([killed, *(seconds(state.header.stamp) for state in since)])
    stalled = float(np.sum(np.maximum(gaps - 0.02, 0.0)))
    assert seconds(held.header.stamp) - killed - stalled < 0.5
    ladder = [state.rung for state in since]
    assert ladder == sorted(ladder), 'it only goes down the ladder'
    assert {ControllerState.DECELERATE, ControllerState.HOLD} <= set(ladder)
    assert 'see whether world_model runs' in held.cause
    assert held.plan_id == ''
    assert np.all(np.array(held.velocity) == 0.0)
    robot.graph.wait_for(
        lambda: values(robot.diagnostic('controller: ladder')).get('rung') == 'HOLD',
        1.0, 'diagnostics at once',
    )  # fmt: skip
    assert robot.diagnostic('controller: ladder').level == b'\1'

    robot.wanted = np.array([-1.0, 1.0])  # a restarted world_model
    robot.wait_for_rung(ControllerState.TRACK)
    robot.graph.wait_for(lambda: robot.states[-1].velocity[0] < -0.99, 2.0, 'motion again')

    assert robot.graph.end(process) == 0
    assert_limits_held(robot.states)
    assert list(robot.velocities[-1].data) == [0.0, 0.0]
    assert list(robot.states[-1].velocity) == [0.0, 0.0], 'it braked before it went'


def test_position_limits_hold_when_every_plan_leads_through_them(begin: Begin) -> None:
    robot, process = begin(joint_limits={
        'shoulder': {'max_acceleration': ACCELERATION, 'max_position': 0.3},
        'elbow': {'max_acceleration': ACCELERATION, 'min_position': -0.2, 'max_velocity': 0.5},
    })  # fmt: skip
    robot.wanted = np.array([2.0, -2.0])
    robot.graph.wait_for(
        lambda: bool(robot.states) and len(robot.states[-1].position) == 2
        and robot.states[-1].position[0] > 0.29 and robot.states[-1].position[1] < -0.19,
        10.0, 'the limits',
    )  # fmt: skip
    robot.graph.listen_for(0.5)
    known = [state for state in robot.states if len(state.position)]
    assert max(state.position[0] for state in known) <= 0.3
    assert min(state.position[1] for state in known) >= -0.2
    assert max(abs(state.velocity[1]) for state in known) <= 0.5
    assert_limits_held(robot.states)
    assert np.all(np.abs(robot.position) <= [0.31, 0.21]), 'the robot itself, too'
    assert robot.graph.end(process) == 0


def test_what_is_not_fit_for_a_motor_is_refused_counted_and_moves_nothing(begin: Begin) -> None:
    robot, process = begin(idle=True)
    robot.wait_for_rung(ControllerState.HOLD, 'waiting for a proposal')
    poison = [1.0, np.nan]
    hostile: dict[str, Callable[[], ActionProposal]] = {
        'not_finite': lambda: robot.proposal(poison),
        'names': lambda: robot.proposal([1.0, 1.0], names=['shoulder', 'wrist']),
        'digest': lambda: robot.proposal([1.0, 1.0], model_digest='b' * 64),
        'kind': lambda: robot.proposal([1.0, 1.0], kind=ActionProposal.TWIST),
        'bounds': lambda: robot.proposal([55.0, 1.0]),
        'shape': lambda: robot.proposal([1.0, 1.0], values=Tensor(shape=[8, 2], data=[1.0])),
        'horizon': lambda: robot.proposal([1.0, 1.0], values=Tensor(shape=[0, 2], data=[])),
        'step_duration': lambda: robot.proposal([1.0, 1.0], step_duration=0.0),
        'future': lambda: robot.proposal(
            [1.0, 1.0], header=Header(stamp=stamp_of(robot.graph.now() + 5 * 10**8))),
        'late': lambda: robot.proposal(
            [1.0, 1.0], header=Header(stamp=stamp_of(robot.graph.now() - 10**9))),
        'other_clock': lambda: robot.proposal([1.0, 1.0], header=Header(stamp=stamp_of(12))),
    }  # fmt: skip
    for reason, make in hostile.items():
        with robot.graph.every(0.05, lambda make=make: robot.proposals.publish(make())):  # type: ignore[misc]
            robot.wait_for_count(f'refused_{reason}')
    status = robot.diagnostic('controller: proposals')
    assert values(status)['accepted'] == '0'
    assert status.level == b'\1' and 'use_sim_time' in status.message
    assert not any(any(command.data) for command in robot.velocities), 'nothing moved'

    # The sentinel: after all that a good proposal still does.
    robot.wanted = np.array([0.5, 0.5])
    robot.wait_for_rung(ControllerState.TRACK)
    assert robot.states[-1].refused >= len(hostile)
    assert robot.graph.end(process) == 0


def test_a_model_made_for_another_robot_is_refused_with_the_cure(begin: Begin) -> None:
    robot, process = begin()
    robot.wait_for_rung(ControllerState.TRACK)
    robot.announce(digest='c' * 64, action_names=['left', 'right'])
    unknown = 'missing "shoulder", "elbow", unknown "left", "right"'
    held = robot.wait_for_rung(ControllerState.HOLD, unknown)
    assert 'load a model made for this robot' in held.cause
    robot.wait_for_count('refused_no_model')
    robot.announce()
    robot.wait_for_rung(ControllerState.TRACK)
    assert robot.graph.end(process) == 0


def test_a_robot_that_is_no_longer_seen_stops_and_goes_on_when_it_is_seen_again(
    begin: Begin,
) -> None:
    robot, process = begin()
    robot.wait_for_rung(ControllerState.TRACK)
    robot.sees_joints = False
    robot.wait_for_rung(ControllerState.HOLD, 'last good joint state is older than 0.15 s')
    robot.sees_joints = True
    robot.wait_for_rung(ControllerState.TRACK)
    assert robot.graph.end(process) == 0
    assert_limits_held(robot.states)


def test_a_pushed_robot_is_not_pulled_back_but_goes_on_from_where_it_is(begin: Begin) -> None:
    robot, process = begin()
    robot.wanted = np.array([0.5, 0.5])
    robot.graph.wait_for(
        lambda: bool(robot.states) and max(map(abs, robot.states[-1].velocity), default=0) > 0.4,
        10.0, 'motion',
    )  # fmt: skip
    robot.position = robot.position - 0.8
    robot.wait_for_rung(ControllerState.DECELERATE, 'shoulder is suddenly elsewhere')
    robot.wait_for_rung(ControllerState.TRACK)
    assert np.max(np.abs(robot.states[-1].position - robot.position)) < 0.1
    assert robot.graph.end(process) == 0


def test_deactivation_brakes_ends_with_zero_and_leaves_nothing_to_replay(begin: Begin) -> None:
    robot, process = begin()
    robot.graph.wait_for(
        lambda: bool(robot.states) and max(map(abs, robot.states[-1].velocity), default=0) > 0.9,
        10.0, 'motion',
    )  # fmt: skip
    assert robot.graph.transition('controller', Transition.TRANSITION_DEACTIVATE)
    robot.graph.wait_for(
        lambda: list(robot.velocities[-1].data) == [0.0, 0.0], 1.0, 'the last command'
    )
    assert robot.states[-1].cause == 'the controller is not active'
    assert_limits_held(robot.states)
    commands = len(robot.velocities)
    robot.graph.listen_for(0.3)
    assert len(robot.velocities) == commands, 'an inactive controller is silent'

    robot.wanted = None
    robot.graph.listen_for(0.15)  # for the last proposal to be over
    assert robot.graph.transition('controller', Transition.TRANSITION_ACTIVATE)
    held = robot.wait_for_rung(ControllerState.HOLD)
    robot.graph.listen_for(0.3)
    assert robot.states[-1].rung == ControllerState.HOLD
    assert held.cause in ('waiting for a proposal', robot.states[-1].cause)
    assert robot.graph.end(process) == 0


def test_trajectories_have_two_points_in_strict_order_and_end_at_rest(begin: Begin) -> None:
    robot, process = begin('trajectory')
    robot.graph.wait_for(
        lambda: bool(robot.states) and max(map(abs, robot.states[-1].velocity), default=0) > 0.99,
        10.0, 'full speed',
    )  # fmt: skip
    robot.wanted = None
    robot.wait_for_rung(ControllerState.HOLD)
    assert robot.graph.end(process) == 0
    assert len(robot.trajectories) > 20
    for message in robot.trajectories:
        times = [point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
                 for point in message.points]  # fmt: skip
        assert list(message.joint_names) == JOINTS
        assert len(times) >= 2 and times[0] > 0.0 and np.all(np.diff(times) > 0.0)
        assert list(message.points[-1].velocities) == [0.0, 0.0]
    moving = [message for message in robot.trajectories if any(message.points[0].velocities)]
    stamps = {seconds(state.observation_stamp) for state in robot.states if state.plan_id}
    assert {seconds(message.header.stamp) for message in moving} & stamps, (
        'a trajectory carries the stamp of the observation that it comes from')
    assert_limits_held(robot.states)


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'joints': ['shoulder', 'wrist']}, 'joint wrist is not in the robot description'),
        ({'joint_limits.shoulder.max_acceleration': 0.0}, 'max_acceleration 0 must be above zero'),
        ({'command_interface': 'telepathy'}, 'set it to velocity, trajectory or twist'),
        ({'robot_description': ''}, 'set robot_description or robot_description_file'),
    ],
)
def test_a_wrong_parameter_is_named_and_the_process_lives_to_tell(
    stack: ExitStack, tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    graph = stack.enter_context(Graph(tmp_path))
    diagnostic = graph.diagnostics()
    parameters = parameters_of()
    for name, value in changes.items():
        where, *path = [parameters, *name.split('.')]
        for key in path[:-1]:
            where = where[key]
        where[path[-1]] = value
    process = graph.spawn('controller', parameters=parameters)
    graph.wait_for(
        lambda: complaint in getattr(diagnostic('controller: lifecycle'), 'message', ''),
        10.0, f'"{complaint}" in {diagnostic("controller: lifecycle")}',
    )  # fmt: skip
    assert graph.end(process) == 0
