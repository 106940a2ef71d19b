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
"""What a robot's parameters say, for the controller that is to drive it and for `wmros doctor`.

ROS ignores a parameter of an unknown name in silence, and a section whose key does not match a
node's name as well. So a limit with a typing error, which the robot would not have, is refused
here, and the doctor reads the file as ROS does and says what a node would get.
"""

from __future__ import annotations

import difflib
import math
import os
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


COMMANDS = {
    'trajectory': 'trajectory_msgs/msg/JointTrajectory',
    'velocity': 'std_msgs/msg/Float64MultiArray',
    'twist': 'geometry_msgs/msg/TwistStamped'}
"""What is sent, by the value of command_interface."""

INTERFACES = tuple(COMMANDS)
"""Values of command_interface, the default first."""

LIMITS = ('joint_limits.', 'twist_limits.')
"""What the names of parameters that are limits begin with."""

_POSITION_LIMITS, _MOTION_LIMITS = (
    {'lower': 'min_position', 'upper': 'max_position'},
    {'velocity': 'max_velocity', 'acceleration': 'max_acceleration'})


class RobotFileError(ValueError):
    """A file that is no ROS parameter file, or parameters that make no safe robot."""


class NoSectionError(RobotFileError):
    """A parameter file that says nothing of a node, which then lives by its defaults."""


class AbsentFileError(RobotFileError):
    """A file that is not found from here, though it may be from where a node runs."""


@dataclass(frozen=True)
class Robot:
    """How a robot is commanded, by which joints it is known, and what it may do.

    ``joints`` are those whose state must be fresh; for joint commands they are also what is driven.
    ``frame`` is the one that twists must be in; empty leaves it to the model.
    """

    interface: str
    joints: tuple[str, ...]
    frame: str
    limits: Limits


def read_parameters(file: Path, node: str) -> dict[str, Any]:
    """Return what a ROS parameter file gives the node of this full name, such as /left/controller.

    Raises RobotFileError if it can not be read or is none, NoSectionError if it has no section for
    the node.
    """
    sections = _read(file)
    meant = [section for key, section in sections if _matches(key, node)]
    if not meant:
        raise NoSectionError(
            f'has nothing for {node}, only for {", ".join(key for key, _ in sections)}: a key that '
            'begins with /**/ holds in every namespace')
    return {name: value for section in meant for name, value in _flat(section)}


def names_for(file: Path, node: str) -> set[str]:
    """Return the names that a ROS parameter file has in sections which say this node's own name.

    Others, such as `/**`, may hold parameters of other nodes. Raises RobotFileError if it is none.
    """
    own = node.rpartition('/')[2]
    return {name for key, section in _read(file)
            if _matches(key, node) and key.rpartition('/')[2] == own for name, _ in _flat(section)}


def read_robot(parameters: Parameters) -> Robot:
    """Return what a controller with these parameters drives; raises ValueError if nothing safe."""
    joints = _names(parameters, 'joints')
    interface = str(parameters.get('command_interface', INTERFACES[0]))
    if interface not in INTERFACES:
        raise RobotFileError(
            f'command_interface is "{interface}": set it to {", ".join(INTERFACES[:-1])} or '
            f'{INTERFACES[-1]}')
    driven = _names(parameters, 'twist_axes') if interface == 'twist' else joints
    if interface == 'twist' and not joints:
        raise RobotFileError(
            'no joints are named: set the parameter joints to those whose state shows that the '
            'robot is alive')
    places = limit_names(interface, driven)
    given = {name: _limits(parameters, names) for name, names in places.items()}
    limits = twist_limits(driven, given) if interface == 'twist' else tighter(
        driven, limits_from_urdf(_description(parameters), driven), given)
    _refuse_unknown_limits(parameters, [
        name for names in places.values() for name in names.values()])
    return Robot(interface, joints, str(parameters.get('twist_frame', '')), limits)


def limit_names(interface: str, driven: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return joint or axis -> field of JointLimits -> the parameter that holds it."""
    prefix, fields = (
        (LIMITS[1], _MOTION_LIMITS) if interface == 'twist'
        else (LIMITS[0], {**_POSITION_LIMITS, **_MOTION_LIMITS}))
    return {name: {field: f'{prefix}{name}.{limit}' for field, limit in fields.items()}
            for name in driven}


def find(address: str) -> Path:
    """Return the file that a path or a package:// address means; raises AbsentFileError."""
    if not address.startswith('package://'):
        return Path(address)
    package, _, relative = address.removeprefix('package://').partition('/')
    try:
        return (resource(relative) if package == 'world_model_ros' else
                Path(get_package_share_directory(package)) / relative)
    except FileNotFoundError as error:
        raise AbsentFileError(f'{address} is not there: {error}') from error
    except PackageNotFoundError as error:
        raise AbsentFileError(
            f'{address} is in no package that is sourced: source the workspace of {package}'
        ) from error


def absolute(address: str) -> str:
    """Return a path, or a package:// address, as it is right in any folder."""
    return address if address.startswith('package://') else os.path.abspath(address)


_UNQUOTED = '!unquoted'
_WORDS = {
    spelling: value for word, value in {
        'y': True, 'yes': True, 'true': True, 'on': True,
        'n': False, 'no': False, 'false': False, 'off': False,
        '.inf': math.inf, '+.inf': math.inf, '-.inf': -math.inf}.items()
    for spelling in (word, word.title(), word.upper())
} | dict.fromkeys(('.nan', '.NaN', '.NAN'), math.nan)
# By base, what strtol takes; a number that is too large for it is one for strtod.
_INTEGERS = {10: re.compile('[-+]?[1-9][0-9]*'), 8: re.compile('[-+]?0[0-7]*'),
             16: re.compile('[-+]?0[xX][0-9a-fA-F]+')}
_FLOAT = re.compile(
    r'[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|inf|infinity|nan)', re.IGNORECASE)


class _RosSafeLoader(yaml.SafeLoader):
    """Takes what is not in quotes for what rcl takes it for, and each key for a name.

    YAML 1.1 has other rules: to it 2026-11-22 is a day, 1e-1 is text, and so is y.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        return {self.construct_scalar(key): self.construct_object(value, deep=deep)
                for key, value in node.value}


def _value(_: _RosSafeLoader, node: yaml.ScalarNode) -> bool | int | float | str:
    text: str = node.value
    if not text:
        raise yaml.YAMLError(f'no value in line {node.start_mark.line + 1}: write one')
    if text in _WORDS:
        return _WORDS[text]
    for base, pattern in _INTEGERS.items():
        if pattern.fullmatch(text) and -2 ** 63 <= (number := int(text, base)) < 2 ** 63:
            return number
    return float(text) if _FLOAT.fullmatch(text) else text


_RosSafeLoader.yaml_implicit_resolvers = {None: [(_UNQUOTED, re.compile(''))]}
_RosSafeLoader.add_constructor(_UNQUOTED, _value)


def _read(file: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the sections of a parameter file; raises RobotFileError if it has none."""
    try:
        content = yaml.load(file.read_text(encoding='utf-8'), Loader=_RosSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RobotFileError(f'cannot be read ({" ".join(str(error).split())})') from error
    if not isinstance(content, dict) or not content:
        raise RobotFileError('is no ROS parameter file: it has no sections of nodes')
    return list(_sections(content))


def _sections(
    content: Mapping[Any, Any], above: str = '',
) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield the full name of each section of a parameter file and what is in it.

    A section may stand below its namespace: rcl joins keys by slashes down to ros__parameters.
    """
    for key, value in content.items():
        if isinstance(value, dict) and above and key == 'ros__parameters':
            yield above, value
        elif isinstance(value, dict) and value:
            yield from _sections(value, f'{above}/{key}' if above else str(key))
        else:
            where = above or str(key)
            raise RobotFileError(f'has no ros__parameters below "{where}"' + (
                ': this is the contract for wmros export, not the parameters file for '
                'robot.launch.py' if where.split('/')[0] in ('model', 'action') else ''))


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


def _refuse_unknown_limits(parameters: Parameters, known: Sequence[str]) -> None:
    for name in parameters:
        if name.startswith(LIMITS) and name not in known:
            alike = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise RobotFileError(
                f'{name} is no limit of anything that is driven: correct it'
                + (f', perhaps to {alike[0]},' if alike else '')
                + ' or remove it (in a node that had it in use: set it to .inf)')


def _limits(parameters: Parameters, names: Mapping[str, str]) -> JointLimits:
    given = {}
    for field, name in names.items():
        value = parameters.get(name)
        if value is None:
            continue
        # rclpy refuses an integer where a floating-point number is declared.
        if not isinstance(value, float):
            raise RobotFileError(f'{name} is {value!r}: write a number with a point in it')
        given[field] = value
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
        kind = AbsentFileError if isinstance(error, FileNotFoundError) else RobotFileError
        raise kind(f'robot_description_file {address} cannot be read: {error}') from error
