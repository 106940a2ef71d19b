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
"""Every kind of proposal through every command interface, on the wire."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from controller_robot import (
    JOINTS,
    Robot,
    assert_commands_are_continuous,
    assert_limits_held,
    seconds,
)

from world_model_interfaces.msg import ActionProposal, ControllerState

Begin = Callable[..., tuple[Robot, Any]]
BASE = {
    'command_interface': 'twist', 'robot_description': None, 'joint_limits': None,
    'twist_axes': ['linear.x', 'angular.z'],
    'twist_limits': {
        'linear': {'x': {'max_velocity': 0.8, 'max_acceleration': 2.0}},
        'angular': {'z': {'max_velocity': 1.5, 'max_acceleration': 8.0}},
    },
}  # fmt: skip


@pytest.mark.parametrize('interface', ['velocity', 'trajectory'])
def test_positions_velocities_and_deltas_arrive_where_they_say(
    begin: Begin, interface: str
) -> None:
    robot, process = begin(interface, idle=True)
    # Velocities of 1 and -0.5 rad/s to begin with, then steps of 0.06 and -0.03 rad in 0.1 s each,
    # then two angles.
    plans = {
        ActionProposal.JOINT_VELOCITY: ([1.0, -0.5], [1.0, -0.5]),
        ActionProposal.JOINT_DELTA: ([0.06, -0.03], [0.6, -0.3]),
    }
    for kind, (wanted, velocity) in plans.items():
        robot.kind, robot.digest = kind, f'{kind}' * 64
        robot.announce()
        robot.wanted = np.array(wanted)
        robot.graph.wait_for(
            lambda velocity=velocity: bool(robot.states)  # type: ignore[misc]
            and robot.states[-1].rung == ControllerState.TRACK
            and np.allclose(robot.states[-1].velocity, velocity, atol=0.01),
            10.0, f'{velocity} rad/s by kind {kind}; now {robot.states[-1:]}',
        )  # fmt: skip
    robot.kind, robot.digest = ActionProposal.JOINT_POSITION, 'p' * 64
    robot.announce()
    robot.wanted = np.array([0.4, -0.7])
    robot.graph.wait_for(
        lambda: robot.states[-1].rung == ControllerState.TRACK
        and np.allclose(robot.states[-1].position, [0.4, -0.7], atol=0.01)
        and np.allclose(robot.position, [0.4, -0.7], atol=0.01),
        10.0, 'the angles 0.4 and -0.7',
    )  # fmt: skip
    assert robot.graph.end(process) == 0
    assert_limits_held(robot.states)
    if interface == 'velocity':
        assert_commands_are_continuous(robot)
        return
    for message in robot.trajectories:
        times = [
            point.time_from_start.sec + 1e-9 * point.time_from_start.nanosec
            for point in message.points
        ]
        assert len(times) >= 2 and times[0] > 0.0 and np.all(np.diff(times) > 0.0)
        assert list(message.joint_names) == JOINTS
        assert list(message.points[-1].velocities) == [0.0, 0.0]


def test_a_base_is_driven_by_stamped_twists_inside_its_limits(begin: Begin) -> None:
    robot, process = begin('twist', idle=True, **{**BASE, 'twist_frame': 'base_link'})
    graph = robot.graph
    robot.names = ['angular.z', 'linear.x']
    robot.kind = ActionProposal.TWIST
    robot.wanted = np.array([-1.0, 2.0])  # faster than the base may
    robot.announce(action_frame='odom')
    robot.wait_for_rung(ControllerState.HOLD, "twist_frame is 'base_link'")
    robot.announce(action_frame='base_link')
    tracked = robot.states
    graph.wait_for(
        lambda: bool(tracked) and np.allclose(tracked[-1].velocity, [0.8, -1.0], atol=1e-6),
        10.0, f'0.8 m/s and -1 rad/s; {tracked[-1:]}',
    )  # fmt: skip
    assert list(tracked[-1].names) == ['linear.x', 'angular.z']
    assert list(tracked[-1].position) == []
    sent = len(robot.twists)
    graph.wait_for(lambda: len(robot.twists) > sent + 2, 5.0, 'twists')
    twist = robot.twists[-1]
    assert twist.header.frame_id == 'base_link'
    assert abs(seconds(twist.header.stamp) - graph.now() * 1e-9) < 1.0
    assert np.allclose((twist.twist.linear.x, twist.twist.angular.z), (0.8, -1.0), atol=1e-3)
    assert twist.twist.linear.y == twist.twist.angular.x == 0.0

    robot.kind, robot.digest = ActionProposal.POSE_DELTA, 'p' * 64
    robot.wanted = np.array([0.1, 0.04])  # 4 cm and 0.1 rad in each tenth of a second
    robot.announce(action_frame='base_link')
    graph.wait_for(
        lambda: np.allclose(tracked[-1].velocity, [0.4, 1.0], atol=1e-5), 10.0,
        '0.4 m/s and 1 rad/s',
    )  # fmt: skip

    robot.announce(
        digest='g' * 64, action_frame='base_link', action_names=['linear.x', 'gripper'])
    held = robot.wait_for_rung(ControllerState.HOLD, 'freeze it in the bundle (action.frozen)')
    assert 'gripper' in held.cause
    robot.announce(action_frame='base_link')
    robot.wait_for_rung(ControllerState.TRACK)
    robot.sees_joints = False
    robot.wait_for_rung(ControllerState.HOLD, 'last good joint state is older')
    robot.sees_joints = True
    robot.wait_for_rung(ControllerState.TRACK)
    assert graph.end(process) == 0
    last = robot.twists[-1].twist
    assert (last.linear.x, last.angular.z) == (0.0, 0.0), 'the last word is to stand'

    stamps = [state.header.stamp.sec + 1e-9 * state.header.stamp.nanosec - 1.7e9
              for state in tracked]  # fmt: skip
    velocities = np.array([state.velocity for state in tracked])
    assert np.all(np.abs(velocities) <= np.array([0.8, 1.5]) + 1e-9)
    allowed = np.array([2.0, 8.0]) * np.diff(stamps)[:, None]
    assert np.all(np.abs(np.diff(velocities, axis=0)) <= allowed + 1e-4)
