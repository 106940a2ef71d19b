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

"""The controller's parameters: declared, and read into what ``control/`` takes.

All of them are read when the node is configured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from world_model_ros.bringup.controller_parameters import CONTROLLER
from world_model_ros.bringup.robot_file import LIMITS, Robot, limit_names, read_robot
from world_model_ros.control import Settings
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
    parameters.declare(node, CONTROLLER)
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
