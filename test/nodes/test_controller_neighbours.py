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
"""Others on the graph that get it wrong: second publishers, floods, and clocks that lie."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from controller_robot import (
    JOINTS,
    NEWEST,
    Robot,
    assert_commands_are_continuous,
    assert_limits_held,
    stamp_of,
)
from dds import values
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header

from world_model_interfaces.msg import ActionProposal, ControllerState
from world_model_ros.nodes.qos import DRIVE

Begin = Callable[..., tuple[Robot, Any]]


def wait_for_text(robot: Robot, name: str, level: bytes, text: str) -> None:
    robot.graph.wait_for(
        lambda: text in getattr(robot.diagnostic(name), 'message', ''), 5.0, f'"{text}" in {name}')
    assert robot.diagnostic(name).level == level


def test_second_publishers_are_named_and_the_robot_stops_where_they_would_drive_it(
    begin: Begin,
) -> None:
    robot, process = begin()
    graph = robot.graph
    robot.wait_for_rung(ControllerState.TRACK)
    other = graph.publisher(JointState, 'joint_states')

    def contradict() -> None:
        other.publish(JointState(
            header=Header(stamp=stamp_of(graph.now())), name=JOINTS,
            position=(robot.position + 0.5).tolist()))  # fmt: skip

    with graph.every(0.01, contradict):
        held = robot.wait_for_rung(ControllerState.HOLD, 'joint states contradict each other')
        since = len(robot.states)
        graph.listen_for(0.5)
    assert {state.rung for state in robot.states[since:]} == {ControllerState.HOLD}
    assert 'let one driver publish' in held.cause
    graph.node.destroy_publisher(other)
    robot.wait_for_rung(ControllerState.TRACK)

    rival = Node('rival', context=graph.context, start_parameter_services=False)
    second = rival.create_publisher(ActionProposal, 'proposal', NEWEST)
    wait_for_text(robot, 'controller: proposals', b'\1', 'let one world_model propose at a time')
    robot.wanted = None
    robot.wait_for_rung(ControllerState.HOLD)
    robot.wanted = np.array([-1.0, 0.5])
    robot.wait_for_rung(ControllerState.HOLD, '"/probe", "/rival" publish on /proposal')
    rival.destroy_publisher(second)
    robot.wait_for_rung(ControllerState.TRACK)

    graph.wait_for(lambda: abs(robot.states[-1].velocity[0]) > 0.9, 5.0, 'motion')
    second = rival.create_publisher(Float64MultiArray, 'commands', DRIVE)
    held = robot.wait_for_rung(ControllerState.HOLD, '"/rival" may command the robot on /commands')
    assert not np.any(held.velocity)
    wait_for_text(robot, 'controller: commands', b'\2', '2 nodes command the robot on /commands')
    rival.destroy_publisher(second)
    robot.wait_for_rung(ControllerState.TRACK)
    rival.destroy_node()
    assert graph.end(process) == 0
    assert_limits_held(robot.states)
    assert_commands_are_continuous(robot)


def test_a_thousand_proposals_per_second_do_not_push_the_good_ones_out_of_the_queue(
    begin: Begin,
) -> None:
    robot, process = begin()
    graph = robot.graph
    robot.wait_for_rung(ControllerState.TRACK)
    rogue = graph.publisher(ActionProposal, 'proposal')
    foreign = robot.proposal([2.0, 2.0], model_digest='f' * 64)
    due = time.monotonic()
    sent = 0

    def flood() -> None:
        nonlocal due, sent
        while due <= time.monotonic():
            rogue.publish(foreign)
            due, sent = due + 0.001, sent + 1

    plans, since = robot.plans, robot.states[-1].accepted
    with graph.every(0.005, flood):
        graph.listen_for(1.5)
    robot.wanted = None  # those that come now would be accepted in any case
    expected = robot.plans - plans - 2  # one may be on its way at either end
    assert expected >= 5 and sent >= 1000
    graph.wait_for(
        lambda: robot.states[-1].accepted - since >= expected, 2.0,
        f'{expected} good proposals between {sent} bad ones; {robot.states[-1].accepted - since}',
    )  # fmt: skip
    # A process that the machine stops for a tenth of a second loses the oldest of its queue.
    graph.wait_for(
        lambda: robot.states[-1].refused > 0.5 * sent, 5.0, f'{sent} refusals to be counted'
    )
    assert int(values(robot.diagnostic('controller: proposals'))['refused_digest']) > 0
    assert graph.end(process) == 0
    assert_commands_are_continuous(robot)


def test_a_clock_that_stands_or_leaps_stops_the_robot_until_it_can_be_trusted(
    begin: Begin,
) -> None:
    robot, process = begin(idle=True, active=False, use_sim_time=True)
    graph = robot.graph
    clock = graph.publisher(Clock, '/clock')
    offset, paused_at = 0, 0

    def simulated() -> int:
        return paused_at or graph.now() - start + 10**12 + offset

    start = graph.now()
    robot.now = simulated
    with graph.every(0.005, lambda: clock.publish(Clock(clock=stamp_of(simulated())))):
        graph.wait_until_active('controller')
        robot.wanted = np.array([1.0, -0.5])
        robot.wait_for_rung(ControllerState.TRACK)
        graph.wait_for(lambda: robot.states[-1].velocity[0] > 0.9, 5.0, 'motion')

        paused_at = simulated()  # plans go on to come with stamps of just now
        robot.wait_for_rung(ControllerState.HOLD, 'the ROS clock stands')
        assert not np.any(robot.states[-1].velocity)
        offset += paused_at - (graph.now() - start + 10**12 + offset)
        paused_at = 0
        robot.wait_for_rung(ControllerState.TRACK)

        for jump in (-10 * 10**9, 10 * 10**9):
            offset += jump
            robot.wait_for_cause('the clock jumped')
            robot.wait_for_rung(ControllerState.TRACK)
        graph.wait_for(
            lambda: int(values(robot.diagnostic('controller: clock'))['breaks']) >= 3,
            3.0, 'the pause and both jumps in /diagnostics',
        )  # fmt: skip
    # The publisher of /clock is gone for good.
    graph.node.destroy_publisher(clock)
    robot.wait_for_rung(ControllerState.HOLD, 'the ROS clock stands')
    graph.wait_for(
        lambda: 'nobody publishes /clock' in getattr(
            robot.diagnostic('controller: clock'), 'message', ''),
        5.0, 'the missing clock in /diagnostics',
    )  # fmt: skip
    assert graph.end(process) == 0
    assert_commands_are_continuous(robot)


def test_in_simulated_time_too_the_robot_is_braked_when_the_process_ends(begin: Begin) -> None:
    robot, process = begin(idle=True, active=False, use_sim_time=True)
    graph = robot.graph
    clock = graph.publisher(Clock, '/clock')
    start = graph.now()
    robot.now = lambda: graph.now() - start + 10**12
    with graph.every(0.005, lambda: clock.publish(Clock(clock=stamp_of(robot.now())))):
        graph.wait_until_active('controller')
        robot.wanted = np.array([1.0, -0.5])
        graph.wait_for(
            lambda: bool(robot.states) and robot.states[-1].velocity[0] > 0.9, 10.0, 'motion')
        assert graph.end(process) == 0  # on its way out it hears no clock
    graph.wait_for(
        lambda: list(robot.velocities[-1].data) == list(robot.states[-1].velocity) == [0.0, 0.0],
        5.0, 'its last words')
    assert_commands_are_continuous(robot)
    slowing = [state.velocity[0] for state in robot.states if 'is not active' in state.cause]
    assert len(slowing) > 5 and slowing[-1] == 0.0
    assert np.all(np.diff([speed for speed in slowing if speed]) < 0.0), 'from the first tick on'
