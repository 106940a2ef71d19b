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

"""The controller's parameters: declared with words and ranges, read into what ``control/`` takes.

All of them are read when the node is configured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from world_model_ros.bringup.robot_file import INTERFACES, LIMITS, Robot, limit_names, read_robot
from world_model_ros.control import TWIST_AXES, Settings
from world_model_ros.nodes import parameters
from world_model_ros.nodes.process import ManagedNode

_ROBOT = ('command_interface', 'joints', 'robot_description', 'robot_description_file',
          'twist_axes', 'twist_frame')
_HINT = 'Infinite: that of the URDF. The tighter one wins.'
_LIMITS = {
    'lower': (-math.inf, f'Lowest position [rad or m]. {_HINT}'),
    'upper': (math.inf, f'Highest position [rad or m]. {_HINT}'),
    'velocity': (math.inf, f'Highest speed [rad/s or m/s]. {_HINT}'),
    'acceleration': (math.inf, 'Highest acceleration [rad/s^2 or m/s^2]; needed, a URDF has none.'),
}
_TWIST_LIMITS = {
    'velocity': (math.inf, 'Highest speed [m/s or rad/s]; needed.'),
    'acceleration': (math.inf, 'Highest acceleration [m/s^2 or rad/s^2]; needed.'),
}


@dataclass(frozen=True)
class Given:
    """What the parameters say: the robot, and how this node is to drive it."""

    robot: Robot
    settings: Settings
    priority: int


def declare(node: ManagedNode) -> None:
    """Declare all parameters but the limits, whose names follow from the joints."""
    declare = node.declare_parameter
    declare('command_interface', INTERFACES[0], parameters.text(
        'What the robot is sent: "trajectory" (JointTrajectory on joint_trajectory; each one ends '
        'at rest), "velocity" (Float64MultiArray on commands) or "twist" (TwistStamped on '
        'cmd_vel). The last two need a drive that stops by itself when commands cease.'))
    declare('joints', [''], parameters.text(
        'Joints to drive, in the order in which commands name them. For twists: joints whose fresh '
        'state shows that the robot is alive, such as the wheels of a base.'))
    declare('robot_description', '', parameters.text(
        'The robot as URDF text: position and velocity limits of the joints. Twists need none.'))
    declare('robot_description_file', '', parameters.text(
        'File or package:// address of the URDF, used when robot_description is empty.'))
    declare('twist_axes', [''], parameters.text(
        f'Axes to drive by twists, of {", ".join(TWIST_AXES)}.'))
    declare('twist_frame', '', parameters.text(
        'Frame that the twists of a model must be in; empty for whichever the model names.'))
    declare('control_rate', 1.0 / Settings.period, parameters.real(
        'Setpoints per second [Hz].', 10.0, 1000.0))
    declare('thread_priority', 50, parameters.whole(
        'Real-time priority (SCHED_FIFO) of this process, as that of controller_manager; 0: none. '
        'Without the permission it runs at normal priority, and diagnostics say so.', 0, 99))
    declare('late_after', Settings.late_after, parameters.real(
        'Age of the observation behind a plan from which on the next plan is late [s].',
        0.01, 10.0))
    declare('finish_duration', Settings.finish_duration, parameters.real(
        'How long the rest of a late plan is followed before the robot brakes [s].', 0.0, 10.0))
    declare('joint_state_timeout', Settings.joint_state_timeout, parameters.real(
        'Age from which on a joint state is not trusted and the robot brakes [s].', 0.01, 10.0))
    declare('following_tolerance', Settings.following_tolerance, parameters.real(
        'Distance between setpoint and robot from which on the robot counts as pushed or '
        'blocked; half of it without any change of the measured position counts as frozen joint '
        'states [rad or m].', 0.001, 10.0))

    node.refuse_late_changes()


def read(node: ManagedNode) -> Given:
    """Return what the parameters say; raise ValueError if they make no safe robot."""
    robot = read_robot(_given(node))
    _declare_limits(node, robot)
    return Given(
        robot=robot, settings=Settings(
            period=1.0 / _number(node, 'control_rate'),
            late_after=_number(node, 'late_after'),
            finish_duration=_number(node, 'finish_duration'),
            joint_state_timeout=_number(node, 'joint_state_timeout'),
            following_tolerance=_number(node, 'following_tolerance'),
            closes_position_loop=robot.interface == 'trajectory'),
        priority=int(node.get_parameter('thread_priority').value))


def _given(node: ManagedNode) -> dict[str, Any]:
    """Return the robot's parameters by name, and each limit that anybody gave, declared or not."""
    # rclpy keeps what it was given and nobody declared to itself.
    limits = {name: parameter.value for name, parameter in node._parameter_overrides.items()
              if name.startswith(LIMITS)}
    for prefix in LIMITS:
        for rest, parameter in node.get_parameters_by_prefix(prefix.rstrip('.')).items():
            limits[f'{prefix}{rest}'] = parameter.value
    return {**{name: node.get_parameter(name).value for name in _ROBOT},
            **{name: value for name, value in limits.items() if value not in (math.inf, -math.inf)}}


def _declare_limits(node: ManagedNode, robot: Robot) -> None:
    """Declare those that a robot has, so that they can be listed, described and changed."""
    told = _TWIST_LIMITS if robot.limits.twist else _LIMITS
    for names in limit_names(robot.interface, robot.limits.names).values():
        for field, name in names.items():
            if not node.has_parameter(name):
                unlimited, description = told[field]
                node.declare_parameter(name, unlimited, parameters.text(description))


def _number(node: ManagedNode, name: str) -> float:
    return float(node.get_parameter(name).value)
