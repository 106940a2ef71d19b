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

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from controller_robot import (
    ACCELERATION,
    JOINTS,
    Robot,
    assert_commands_are_continuous,
    assert_limits_held,
    parameters_of,
    seconds,
    stamp_of,
    waited_of,
)
from dds import Graph, values
from lifecycle_msgs.msg import Transition
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from world_model_interfaces.msg import ActionProposal, ControllerState, Tensor
from world_model_ros.control import STRETCH
from world_model_ros.control.drive import UNTOLD
from world_model_ros.nodes.convert import to_nanoseconds

Begin = Callable[..., tuple[Robot, Any]]


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
    killed, waited = robot.graph.now() * 1e-9, waited_of(process.pid)
    held = robot.wait_for_rung(ControllerState.HOLD)
    waited = waited_of(process.pid) - waited
    since = [state for state in robot.states if seconds(state.header.stamp) >= killed]
    # A machine that starves the processes gives it other causes to brake, and to go on saying so.
    starved = [state.cause for state in since if 'joint state is older' in state.cause
               or 'stood still' in state.cause]  # fmt: skip
    assert seconds(held.header.stamp) - killed < 0.5 + waited
    ladder = [state.rung for state in since]
    assert ladder == sorted(ladder), 'it only goes down the ladder'
    assert {ControllerState.DECELERATE, ControllerState.HOLD} <= set(ladder)
    assert 'see whether world_model runs' in held.cause or starved
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
    robot.graph.wait_for(
        lambda: list(robot.velocities[-1].data) == list(robot.states[-1].velocity) == [0.0, 0.0],
        5.0, 'the last words of one that braked before it went')
    assert_limits_held(robot.states)
    assert_commands_are_continuous(robot)


# Stops the process once as a function is called, and writes down for when that was, or when it was.
STOPPED_WITHIN_A_TICK = """
import os, pathlib, signal, time
from world_model_ros.control import SafetyController
function = {function}
def stopped(*given):
    order = pathlib.Path({order!r})
    if order.exists() and not order.read_text():
        order.write_text(str(given[1] if given else time.time_ns()))
        os.kill(os.getpid(), signal.SIGSTOP)
    return function(*given)
{function} = stopped
"""


@pytest.mark.parametrize('interface', ['velocity', 'trajectory'])
@pytest.mark.parametrize(('function', 'pause'), [
    ('SafetyController.step', 5.0), ('time.monotonic_ns', 5.0), ('time.monotonic_ns', 1.2)])
def test_a_tick_in_which_the_process_was_stopped_is_computed_anew_when_it_goes_on(
    begin: Begin, tmp_path: Path, interface: str, function: str, pause: float
) -> None:
    order = tmp_path / 'stop'
    robot, process = begin(interface, sabotage=STOPPED_WITHIN_A_TICK.format(
        function=function, order=str(order)))
    robot.graph.wait_for(
        lambda: bool(robot.states) and max(map(abs, robot.states[-1].velocity), default=0) > 0.99,
        10.0, 'full speed')
    order.touch()
    status = Path(f'/proc/{process.pid}/stat')
    robot.graph.wait_for(lambda: ') T ' in status.read_text(), 5.0, 'the process to stop')
    robot.held_at = robot.position  # by its drives, which hear no more
    robot.graph.listen_for(pause * UNTOLD)
    process.send_signal(signal.SIGCONT)
    stopped = int(order.read_text())

    def stamps() -> list[int]:
        return [to_nanoseconds(state.header.stamp) for state in robot.states]

    robot.graph.wait_for(lambda: stamps()[-1] > stopped + 1e9 * UNTOLD, 5.0, 'it to go on')
    if function == 'SafetyController.step':
        assert stopped not in stamps()
    first = next(state for state, stamp in zip(robot.states, stamps(), strict=True)
                 if stamp > stopped)
    assert np.all(np.abs(first.velocity) <= ACCELERATION * STRETCH * 0.01), first


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


@pytest.mark.parametrize('interface', ['velocity', 'trajectory'])
def test_a_pushed_robot_is_not_pulled_back_but_goes_on_from_where_it_is(
    begin: Begin, interface: str
) -> None:
    robot, process = begin(interface)
    robot.wanted = np.array([0.5, 0.5])
    robot.graph.wait_for(
        lambda: bool(robot.states) and max(map(abs, robot.states[-1].velocity), default=0) > 0.4,
        10.0, 'motion',
    )  # fmt: skip
    pushed = robot.held_at = robot.position - 0.8
    wanted, robot.wanted = robot.wanted, None  # what it has got leads elsewhere for 0.8 s
    robot.wait_for_rung(ControllerState.DECELERATE, 'shoulder is suddenly elsewhere')
    robot.graph.wait_for(
        lambda: np.allclose(robot.states[-1].position, pushed, atol=1e-6), 5.0,
        'a setpoint where the robot is held',
    )  # fmt: skip
    robot.held_at, robot.wanted = None, wanted
    robot.wait_for_rung(ControllerState.TRACK)
    assert robot.graph.end(process) == 0
    known = [state for state in robot.states if len(state.position)]
    positions = np.array([state.position for state in known])
    velocities = np.array([state.velocity for state in known])
    jumps = np.flatnonzero(np.max(np.abs(np.diff(positions, axis=0)), axis=1) > 0.1)
    assert len(jumps) == 1, 'once, to where the robot is'
    assert not np.any(velocities[jumps[0]: jumps[0] + 2]), 'and only at rest'
    assert_limits_held(known[: jumps[0] + 1])
    assert_limits_held(known[jumps[0] + 1:])


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


@contextmanager
def handling_hangups_as(handler: signal.Handlers) -> Iterator[None]:
    """Start processes as a terminal does, or nohup."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_closes_brakes_the_robot_and_nohup_lets_it_go_on(
    begin: Begin,
) -> None:
    with handling_hangups_as(signal.SIG_DFL):
        robot, process = begin()
    graph = robot.graph

    def is_moving() -> bool:
        return bool(robot.states) and max(map(abs, robot.states[-1].velocity), default=0) > 0.9

    graph.wait_for(is_moving, 10.0, 'motion')
    assert graph.end(process, signal.SIGHUP) == 0
    graph.wait_for(lambda: list(robot.velocities[-1].data) == [0.0, 0.0], 5.0, 'its last command')
    assert_commands_are_continuous(robot)

    del robot.states[:], robot.velocities[:]
    with handling_hangups_as(signal.SIG_IGN):
        process = graph.spawn('controller', parameters=parameters_of())
    graph.wait_until_active('controller')
    graph.wait_for(is_moving, 10.0, 'motion')
    process.send_signal(signal.SIGHUP)
    since = len(robot.states)
    graph.wait_for(lambda: len(robot.states) > since + 50, 5.0, 'half a second of ticks')
    graph.wait_for(is_moving, 10.0, 'motion after the terminal has closed')
    assert graph.end(process) == 0


def test_trajectories_have_two_points_in_strict_order_and_end_at_rest(begin: Begin) -> None:
    robot, process = begin('trajectory')
    robot.graph.wait_for(
        lambda: bool(robot.states) and max(map(abs, robot.states[-1].velocity), default=0) > 0.99,
        10.0, 'full speed',
    )  # fmt: skip
    robot.wanted = None
    robot.wait_for_rung(ControllerState.HOLD)
    sent = said = 0

    def silent() -> bool:
        nonlocal sent, said
        if len(robot.trajectories) > sent:
            sent, said = len(robot.trajectories), len(robot.states)
        return len(robot.states) > said + 50

    robot.graph.wait_for(silent, 5.0, 'silence: joint_trajectory_controller holds by itself')
    assert robot.graph.end(process) == 0
    assert len(robot.trajectories) == sent > 20
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


def test_a_robot_that_brakes_for_longer_than_a_process_has_to_end_is_warned_of(
    begin: Begin,
) -> None:
    robot, process = begin(
        idle=True, joint_limits={joint: {'max_acceleration': 0.1} for joint in JOINTS})
    robot.graph.wait_for(
        lambda: 'takes 15.0 s, and a process that is told to end has 8 s' in getattr(
            robot.diagnostic('controller: limits'), 'message', ''), 5.0, 'the warning')
    assert robot.diagnostic('controller: limits').level == b'\1'
    assert 'deactivate the controller before you end it' in robot.graph.output(process)
    assert robot.graph.end(process) == 0


@pytest.mark.parametrize(
    ('changes', 'complaint'),
    [
        ({'joints': ['shoulder', 'wrist']}, 'joint wrist is not in the robot description'),
        ({'joint_limits.shoulder.max_acceleration': 0.0}, 'max_acceleration 0 must be above zero'),
        ({'command_interface': 'telepathy'}, 'set it to trajectory, velocity or twist'),
        ({'robot_description': ''}, 'no robot description: give robot_description_file:=URDF'),
        ({'joint_limits.elbow.max_velcity': 0.5}, 'perhaps to joint_limits.elbow.max_velocity'),
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


def test_joint_states_that_come_faster_than_ticks_are_read_as_they_come(begin: Begin) -> None:
    robot, process = begin(idle=True, control_rate=20.0)

    def report() -> None:
        """500 per second."""
        now = robot.graph.now()
        for earlier in range(9, -1, -1):
            robot.joint_states.publish(JointState(
                header=Header(stamp=stamp_of(now - earlier * 2_000_000)), name=JOINTS,
                position=[0.0, 0.0]))

    def health(name: str) -> int:
        return int(values(robot.diagnostic('controller: joint_states')).get(name, 0))

    robot.sees_joints = False
    with robot.graph.every(0.02, report):
        robot.graph.wait_for(lambda: health('received') > 1500, 15.0, 'three seconds of them')
        since = len(robot.states)
        robot.graph.wait_for(lambda: len(robot.states) > since + 20, 5.0, 'a second of ticks')
        assert health('dropped') == 0
        assert not any('joint state' in state.cause for state in robot.states[since:])
    assert robot.graph.end(process) == 0
