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

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ament_index_python.packages import get_package_share_directory

from world_model_ros.control import (
    TWIST_AXES,
    JointLimits,
    Limits,
    Settings,
    limits_from_urdf,
    tighter,
    twist_limits,
)
from world_model_ros.nodes import parameters
from world_model_ros.nodes.process import ManagedNode
from world_model_ros.resources import resource

INTERFACES = ('velocity', 'trajectory', 'twist')


@dataclass(frozen=True)
class Robot:
    """What the parameters say: how the robot is commanded, and what it may do.

    ``joints`` are those whose state must be fresh; for joint commands they are also what is driven.
    ``frame`` is the one that twists must be in; empty leaves it to the model.
    """

    interface: str
    joints: tuple[str, ...]
    frame: str
    limits: Limits
    settings: Settings
    priority: int


def declare(node: ManagedNode) -> None:
    """Declare all parameters but the limits, whose names follow from the joints."""
    declare = node.declare_parameter
    declare('command_interface', 'velocity', parameters.text(
        'What the robot is sent: "velocity" (Float64MultiArray on commands), "trajectory" '
        '(JointTrajectory on joint_trajectory) or "twist" (TwistStamped on cmd_vel).'))
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
    declare('control_rate', 100.0, parameters.real('Setpoints per second [Hz].', 10.0, 1000.0))
    declare('thread_priority', 50, parameters.whole(
        'Real-time priority (SCHED_FIFO) of this process, as that of controller_manager; 0: none. '
        'Without the permission it runs at normal priority, and diagnostics say so.', 0, 99))
    declare('late_after', 0.25, parameters.real(
        'Age of the observation behind a plan from which on the next plan is late [s].',
        0.01, 10.0))
    declare('finish_duration', 0.05, parameters.real(
        'How long the rest of a late plan is followed before the robot brakes [s].', 0.0, 10.0))
    declare('joint_state_timeout', 0.15, parameters.real(
        'Age from which on a joint state is not trusted and the robot brakes [s].', 0.01, 10.0))
    declare('following_tolerance', 0.25, parameters.real(
        'Distance between setpoint and robot from which on the robot counts as pushed or '
        'blocked; half of it without any change of the measured position counts as frozen joint '
        'states [rad or m].', 0.001, 10.0))

    node.refuse_late_changes()


def read(node: ManagedNode) -> Robot:
    """Return what the parameters say; raise ValueError if they make no safe robot."""
    interface = str(node.get_parameter('command_interface').value)
    if interface not in INTERFACES:
        raise ValueError(
            f'command_interface is "{interface}": set it to {", ".join(INTERFACES[:-1])} or '
            f'{INTERFACES[-1]}')
    joints = tuple(joint for joint in node.get_parameter('joints').value if joint)
    if interface == 'twist':
        if not joints:
            raise ValueError(
                'no joints are named: set the parameter joints to those whose state shows that the '
                'robot is alive')
        axes = [axis for axis in node.get_parameter('twist_axes').value if axis]
        limits = twist_limits(axes, {axis: _axis_limits(node, axis) for axis in axes})
    else:
        yaml = {joint: _joint_limits(node, joint) for joint in joints}
        limits = tighter(joints, limits_from_urdf(_robot_description(node), joints), yaml)
    return Robot(
        interface=interface, joints=joints, frame=str(node.get_parameter('twist_frame').value),
        limits=limits, settings=Settings(
            period=1.0 / _number(node, 'control_rate'),
            late_after=_number(node, 'late_after'),
            finish_duration=_number(node, 'finish_duration'),
            joint_state_timeout=_number(node, 'joint_state_timeout'),
            following_tolerance=_number(node, 'following_tolerance'),
            closes_position_loop=interface == 'trajectory'),
        priority=int(node.get_parameter('thread_priority').value))


def _robot_description(node: ManagedNode) -> str:
    urdf = str(node.get_parameter('robot_description').value)
    if urdf:
        return urdf
    address = str(node.get_parameter('robot_description_file').value)
    if not address:
        raise ValueError('no robot description: set robot_description or robot_description_file')
    return _find(address).read_text(encoding='utf-8')


def _joint_limits(node: ManagedNode, joint: str) -> JointLimits:
    place, hint = f'joint_limits.{joint}', 'Infinite: that of the URDF. The tighter one wins.'
    return JointLimits(
        lower=_limit(node, f'{place}.min_position', -np.inf, f'Lowest position [rad or m]. {hint}'),
        upper=_limit(node, f'{place}.max_position', np.inf, f'Highest position [rad or m]. {hint}'),
        velocity=_limit(
            node, f'{place}.max_velocity', np.inf, f'Highest speed [rad/s or m/s]. {hint}'),
        acceleration=_limit(
            node, f'{place}.max_acceleration', np.inf,
            'Highest acceleration [rad/s^2 or m/s^2]; needed, a URDF has none.'))


def _axis_limits(node: ManagedNode, axis: str) -> JointLimits:
    place = f'twist_limits.{axis}'
    return JointLimits(
        velocity=_limit(
            node, f'{place}.max_velocity', np.inf, 'Highest speed [m/s or rad/s]; needed.'),
        acceleration=_limit(
            node, f'{place}.max_acceleration', np.inf,
            'Highest acceleration [m/s^2 or rad/s^2]; needed.'))


def _limit(node: ManagedNode, name: str, unlimited: float, description: str) -> float:
    if not node.has_parameter(name):
        node.declare_parameter(name, unlimited, parameters.text(description))
    return _number(node, name)


def _number(node: ManagedNode, name: str) -> float:
    return float(node.get_parameter(name).value)


def _find(address: str) -> Path:
    """Return the file that a path or a package:// address means."""
    if not address.startswith('package://'):
        return Path(address)
    package, _, relative = address.removeprefix('package://').partition('/')
    if package == 'world_model_ros':
        return resource(relative)
    return Path(get_package_share_directory(package)) / relative
