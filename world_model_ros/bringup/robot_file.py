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
"""What a robot's YAML says, before a node runs with it.

ROS ignores a parameter of an unknown name in silence, and a section whose key does not match a
node's name as well; so `wmros doctor` reads the file as ROS does and says what a node would get.
What the parameters mean is defined where the controller reads them
(``nodes/controller_parameters.py``); a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

from world_model_ros.control import JointLimits, Limits, limits_from_urdf, tighter, twist_limits
from world_model_ros.resources import resource

Parameters = Mapping[str, Any]
"""Parameters of one node by their full names, `joint_limits.elbow.max_velocity`."""


class RobotFileError(ValueError):
    """A file that is no ROS parameter file, or that says nothing for a node."""


@dataclass(frozen=True)
class Robot:
    """How a robot is commanded, by which joints it is known, and what it may do."""

    interface: str
    joints: tuple[str, ...]
    frame: str
    limits: Limits


def read_parameters(file: Path, node: str) -> dict[str, Any]:
    """Return what a ROS parameter file gives the node of this full name, such as /left/controller.

    Raises RobotFileError if it can not be read, is none, or has no section for the node.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RobotFileError(f'cannot be read ({" ".join(str(error).split())})') from error
    if not isinstance(content, dict):
        raise RobotFileError('is no ROS parameter file: it has no sections of nodes')
    found: dict[str, Any] = {}
    matched = False
    for key, section in content.items():
        if not isinstance(section, dict) or not isinstance(section.get('ros__parameters'), dict):
            raise RobotFileError(f'has no ros__parameters below "{key}"' + (
                ': this is the contract for wmros export, not the parameters file for '
                'robot.launch.py' if key in ('model', 'action') else ''))
        if _matches(str(key), node):
            matched = True
            found.update(_flat(section['ros__parameters']))
    if not matched:
        raise RobotFileError(
            f'has nothing for {node}, only for {", ".join(map(str, content))}: a key that begins '
            'with /**/ holds in every namespace')
    return found


def read_robot(parameters: Parameters) -> Robot:
    """Return what a controller with these parameters drives; raises ValueError as it would."""
    joints = _names(parameters, 'joints')
    interface = str(parameters.get('command_interface', 'velocity'))
    if interface == 'twist':
        axes = _names(parameters, 'twist_axes')
        limits = twist_limits(
            axes, {axis: _limits(parameters, f'twist_limits.{axis}') for axis in axes})
    else:
        limits = tighter(joints, limits_from_urdf(_description(parameters), joints), {
            joint: _limits(parameters, f'joint_limits.{joint}') for joint in joints})
    return Robot(interface, joints, str(parameters.get('twist_frame', '')), limits)


def find(address: str) -> Path:
    """Return the file that a path or a package:// address means; raises RobotFileError."""
    if not address.startswith('package://'):
        return Path(address)
    package, _, relative = address.removeprefix('package://').partition('/')
    if package == 'world_model_ros':
        return resource(relative)
    try:
        return Path(get_package_share_directory(package)) / relative
    except PackageNotFoundError as error:
        raise RobotFileError(
            f'{address} is in no package that is sourced: source the workspace of {package}'
        ) from error


def _matches(key: str, node: str) -> bool:
    """Whether a key of a parameter file means a node (rcl: * is one name, ** any number)."""
    key = key if key.startswith('/') else f'/{key}'
    pattern = re.escape(key).replace(r'/\*\*', '(/[^/]+)*').replace(r'\*', '[^/]+')
    return re.fullmatch(pattern, node) is not None


def _flat(section: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}', value


def _names(parameters: Parameters, name: str) -> tuple[str, ...]:
    given = parameters.get(name) or ()
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise RobotFileError(f'{name} is {given!r}: write a list of names')
    return tuple(str(item) for item in given if item)


def _limits(parameters: Parameters, place: str) -> JointLimits:
    given = {}
    for ours, name in (('lower', 'min_position'), ('upper', 'max_position'),
                       ('velocity', 'max_velocity'), ('acceleration', 'max_acceleration')):
        value = parameters.get(f'{place}.{name}')
        if value is None:
            continue
        # rclpy refuses an integer where a floating-point number is declared.
        if not isinstance(value, float):
            raise RobotFileError(f'{place}.{name} is {value!r}: write a number with a point in it')
        given[ours] = value
    return JointLimits(**given)


def _description(parameters: Parameters) -> str:
    if text := parameters.get('robot_description'):
        return str(text)
    address = str(parameters.get('robot_description_file', ''))
    if not address:
        raise RobotFileError(
            'no robot description: give robot_description_file:=URDF to robot.launch.py, '
            '--robot-description-file URDF to wmros doctor, or set the parameter in the YAML')
    try:
        return find(address).read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise RobotFileError(f'robot_description_file {address} cannot be read: {error}') from error
