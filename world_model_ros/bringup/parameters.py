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

"""Whether what a robot's file says is what both nodes can be given. Without ROS.

A file is held against the tables that the nodes declare their parameters from, before anything
starts: ROS ignores a name that no node declares, and a node that is given a number of another type
ends.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any

from world_model_ros.bringup.controller_parameters import CONTROLLER
from world_model_ros.bringup.declaration import Declaration
from world_model_ros.bringup.robot_file import LIMITS, Parameters
from world_model_ros.bringup.world_model_parameters import WORLD_MODEL
from world_model_ros.findings import Finding, Grade

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
