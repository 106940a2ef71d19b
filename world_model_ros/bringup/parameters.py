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

"""The parameters of both nodes: what they are called, mean and may be. Plain data, without ROS.

The nodes declare them from here, and a robot's file is held against them before anything starts:
ROS ignores a name that no node declares, and a node that is given a number of another type ends.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from world_model_ros.bringup.defaults import (
    MAX_AGE,
    MAX_CAMERA_SKEW,
    MAX_SKEW,
    PLAN_DEADLINE,
    PLAN_RATE,
)
from world_model_ros.bringup.robot_file import INTERFACES, LIMITS, Parameters
from world_model_ros.control import TWIST_AXES, Settings
from world_model_ros.inference import RuntimeSettings
from world_model_ros.inference.findings import Finding, Grade

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Declaration:
    """One parameter; a value is of the type of `default` and, if a number, from `low` to `high`."""

    default: Value
    description: str
    low: float = -math.inf
    high: float = math.inf


CONTROLLER: Mapping[str, Declaration] = {
    'command_interface': Declaration(
        INTERFACES[0], 'What the robot is sent: "trajectory" (JointTrajectory on '
        'joint_trajectory; each one ends at rest), "velocity" (Float64MultiArray on commands) or '
        '"twist" (TwistStamped on cmd_vel). The last two need a drive that stops by itself when '
        'commands cease.'),
    'joints': Declaration(
        [''], 'Joints to drive, in the order in which commands name them. For twists: joints '
        'whose fresh state shows that the robot is alive, such as the wheels of a base.'),
    'robot_description': Declaration(
        '', 'The robot as URDF text: position and velocity limits of the joints. Twists need '
        'none.'),
    'robot_description_file': Declaration(
        '', 'File or package:// address of the URDF, used when robot_description is empty.'),
    'twist_axes': Declaration(
        [''], f'Axes to drive by twists, of {", ".join(TWIST_AXES)}.'),
    'twist_frame': Declaration(
        '', 'Frame that the twists of a model must be in; empty for whichever the model names.'),
    'control_rate': Declaration(
        1.0 / Settings.period, 'Setpoints per second [Hz].', 10.0, 1000.0),
    'thread_priority': Declaration(
        50, 'Real-time priority (SCHED_FIFO) of this process, as that of '
        'controller_manager; 0: none. Without the permission it runs at normal priority, '
        'and diagnostics say so.', 0, 99),
    'late_after': Declaration(
        Settings.late_after, 'Age of the observation behind a plan from which on the '
        'next plan is late [s].', 0.01, 10.0),
    'finish_duration': Declaration(
        Settings.finish_duration, 'How long the rest of a late plan is followed before '
        'the robot brakes [s].', 0.0, 10.0),
    'joint_state_timeout': Declaration(
        Settings.joint_state_timeout, 'Age from which on a joint state is not trusted '
        'and the robot brakes [s].', 0.01, 10.0),
    'following_tolerance': Declaration(
        Settings.following_tolerance, 'Distance between setpoint and robot from '
        'which on the robot counts as pushed or blocked; half of it without any '
        'change of the measured position counts as frozen joint states [rad or m].', 0.001, 10.0),
}
"""Of `controller`; its limits, whose names follow from the joints, are in `robot_file`."""

WORLD_MODEL: Mapping[str, Declaration] = {
    'bundle': Declaration(
        '', 'Folder of the model bundle. Relative paths start at the working directory. Read when '
        'the node is configured; ~/load_model replaces the model, and this, while it runs.'),
    'shadow_bundle': Declaration(
        '', 'Folder of a second bundle that runs beside the first one and never acts; empty for '
        'none. Read when the node is configured; ~/load_model with shadow changes it later.'),
    'plan_rate': Declaration(
        PLAN_RATE, 'Plans per second, at most one per image [Hz].', 0.1, 100.0),
    'plan_deadline': Declaration(
        PLAN_DEADLINE, 'Time that one plan may take; the best plan so far is used '
        '[s].', 0.001, 60.0),
    'expected_latency': Declaration(
        0.1, 'From an observation to the first command that follows from it, until the '
        'controller has reported what it is, or where none reports on '
        'controller_state; actions that are due before are taken as decided [s].', 0.0, 60.0),
    'max_latency': Declaration(
        0.5, 'The longest latency that plans make up for, whatever is measured; 0: '
        'they begin with the observation, as if they took no time [s].', 0.0, 60.0),
    'max_skew': Declaration(
        MAX_SKEW, 'Largest distance in time between an image and its joint state [s].', 0.0, 1.0),
    'max_camera_skew': Declaration(
        MAX_CAMERA_SKEW, "Largest distance in time between the first camera's picture "
        'and that of each other camera, of a model that sees with several [s].', 0.0, 1.0),
    'max_age': Declaration(
        MAX_AGE, 'Images older than this are not used [s].', 0.01, 60.0),
    'missed_images': Declaration(
        5, 'Usable images in a row that must be missing until the node reports that it is '
        'blind.', 2, 100),
    'frozen_camera_motion': Declaration(
        0.05, 'A camera whose picture stays equal to the byte while a joint moves '
        'further than this is frozen [rad or m]. Raise it for a noiseless camera '
        'that does not see the robot.', 0.001, 1000.0),
    'hung_after': Declaration(
        1.0, 'Time inside the model from which on it counts as hung [s]. More than '
        'its slowest call takes.', 0.05, 600.0),
    'surprise_steps': Declaration(
        4, 'Model steps over which expectations are compared with what was then seen, for '
        '~/surprise; each costs one imagined sequence per model step.', 1, 64),
    'provider': Declaration(
        RuntimeSettings.provider, 'What runs the graphs: auto (as measured by "wmros check '
        '--prebuild", else cpu), tensorrt, cuda, openvino or cpu.'),
    'precision': Declaration(
        RuntimeSettings.precision, 'Numbers that the graphs compute in: auto (as measured, else '
        'float32), float32, float16 or bfloat16.'),
    'threads': Declaration(
        RuntimeSettings.threads, 'Threads of one graph on the CPU; 0: as measured. One is '
        'the safe choice beside other work.', 0, 64),
    'cache': Declaration(
        '', 'Folder of measurements and compiled engines; empty: ~/.cache/world_model_ros.'),
}
"""Of `world_model`."""

DECLARED = {'controller': CONTROLLER, 'world_model': WORLD_MODEL}

_EVERY_NODE = dict.fromkeys(
    ('autostart', 'use_sim_time', 'start_type_description_service'),
    Declaration(False, 'Declared by rclpy and by nodes.process.'))
_OVERRIDES = 'qos_overrides.'  # what the names of those begin with that rclpy makes of topics
_OVERRUN = 1.25  # times plan_deadline that a plan may take where the machine is busy
_TYPES = {bool: 'true or false', int: 'a whole number', float: 'a number with a point in it',
          str: 'text, in quotes if it looks like a number', list: 'a list of names'}


def judge_parameters(node: str, given: Parameters, named: Collection[str]) -> Iterator[Finding]:
    """Yield which parameters a node can not be given, or would not notice.

    `named` are those that a file gives this node alone: only there is a name that the node does not
    know a wrong one. Limits are judged with the robot (`robot_file.read_robot`).
    """
    known = {**DECLARED[node], **_EVERY_NODE}
    for name, value in given.items():
        if name.startswith((_OVERRIDES, *(LIMITS if node == 'controller' else ()))):
            continue
        if name in known:
            if problem := _mistake(known[name], value):
                yield Finding(Grade.UNFIT, f'{node} {name}', *problem)
        elif name in named:
            yield Finding(Grade.UNFIT, f'{node} {name}', 'there is no such parameter',
                          _meant(node, name, [*known, *(limit[:-1] for limit in LIMITS)]))


def real(node: str, given: Parameters, name: str) -> float:
    """The value of a floating-point parameter of a node: as given, or its default."""
    value = given.get(name, DECLARED[node][name].default)
    assert isinstance(value, float)
    return value


def contradiction(plan_rate: float, plan_deadline: float, hung_after: float) -> str:
    """Return why these can not hold together, [Hz] and [s]; empty if they can."""
    if plan_deadline * plan_rate > 1.0:
        return (f'plan_deadline {plan_deadline:g} s is longer than the {1 / plan_rate:g} s between '
                f'plans at plan_rate {plan_rate:g} Hz: lower one of them')
    if _OVERRUN * plan_deadline > hung_after:
        return (f'plan_deadline {plan_deadline:g} s is too near to hung_after {hung_after:g} s: '
                f'plans would count as hangs; raise hung_after to {_OVERRUN * plan_deadline:g} s '
                'or more, or lower plan_deadline')
    return ''


def nothing_to_decide(expected_latency: float, ahead: float) -> str:
    """Return why a model that plans `ahead` [s] can not be that late; empty if it can."""
    if expected_latency < ahead:
        return ''
    return (f'expected_latency {expected_latency:g} s is no shorter than the {ahead:g} s that the '
            'model plans ahead: nothing would be left to decide; lower it')


def _mistake(declared: Declaration, value: Any) -> tuple[str, str] | None:
    """What is wrong with a value, and the cure."""
    kind = type(declared.default)
    if type(value) is not kind or (
            isinstance(value, list) and not all(isinstance(item, str) for item in value)):
        return f'it is {value!r}', f'write {_TYPES[kind]}, or leave it out'
    if isinstance(value, int | float) and not declared.low <= value <= declared.high:
        return (f'it is {value!r}, which is not in {declared.low:g} to {declared.high:g}',
                'choose a value in that range, or leave it out')
    return None


def _meant(node: str, name: str, known: Collection[str]) -> str:
    """The cure for a name that a node does not know."""
    for other, names in DECLARED.items():
        if name in names:
            return f'move it to the section of {other}, or remove it'
    first, dot, rest = name.partition('.')
    alike = difflib.get_close_matches(first, known, n=1)
    return (f'correct it, perhaps to {alike[0]}{dot}{rest}, or remove it' if alike else
            f'remove it; docs/reference/parameters.md has those of {node}')
