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
"""Whether a robot can do what a model plans: its limits held against the action contract.

The controller keeps every setpoint inside the robot's limits, whatever a model proposes. A robot
that is much slower than its model believes does not follow the plans, and nothing breaks: it just
never gets where it should. So that is found here, in numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from world_model_ros.bringup.parameters import (
    contradiction,
    nothing_to_decide,
    real,
)
from world_model_ros.bringup.robot_file import Parameters, Robot
from world_model_ros.bundle import Bundle
from world_model_ros.control import Contract, Kind
from world_model_ros.control.proposal import mismatch
from world_model_ros.findings import Finding, Grade
from world_model_ros.inference.succession import judge_length, next_plan_after, timing

_SLACK = 1.02  # URDFs round
_ROWS_TO_FULL_SPEED = 4.0  # rows of a plan: a robot that needs longer lags behind most of it


def judge_limits(bundle: Bundle, robot: Robot) -> Iterator[Finding]:
    """Yield what keeps this robot from doing what this model plans."""
    action = bundle.manifest.action
    driven = list(action.driven)
    names = tuple(action.names[index] for index in driven)
    lower, upper = (np.array(bounds)[driven] for bounds in (action.lower, action.upper))
    kind = Kind[action.kind.upper()]
    problem = mismatch(
        Contract(bundle.digest, int(kind), names, lower, upper, action.frame or ''),
        robot.limits, robot.frame)
    if problem:
        yield Finding(
            Grade.UNFIT, 'joints', f'the controller refuses this model: {problem}',
            f'let the controller\'s joints (or twist_axes) be {", ".join(names)}, and its '
            'command_interface one for that kind')
        return
    for index, name in enumerate(names):
        yield from _judge(kind, name, float(lower[index]), float(upper[index]),
                          action.step_duration, robot)


def judge_timing(
    controller: Parameters, world_model: Parameters, bundle: Bundle | None = None,
    encoding: float | None = None,
) -> Iterator[Finding]:
    """Yield what parameters contradict each other, or the model in, as far as it is known.

    They have passed `judge_parameters`. `encoding` is what an observation takes [s]; None where
    nobody has measured it.
    """
    rate, deadline, hung_after, expected_latency = (
        real('world_model', world_model, name)
        for name in ('plan_rate', 'plan_deadline', 'hung_after', 'expected_latency'))
    late_after = real('controller', controller, 'late_after')
    refused = [contradiction(rate, deadline, hung_after)]
    if bundle:
        manifest = bundle.manifest
        refused.append(nothing_to_decide(
            expected_latency, manifest.planner.horizon * manifest.action.model_step))
    for problem in filter(None, refused):
        yield Finding(Grade.UNFIT, 'world_model', f'refuses its parameters: {problem}',
                      "change them in its section of the robot's YAML")
    if bundle:
        yield from judge_length(bundle.manifest, rate, deadline, encoding)
    needed = next_plan_after(rate, deadline, encoding)
    if late_after < needed:
        yield Finding(
            Grade.WARNING, 'late_after', f'a plan counts as late after {late_after:g} s, and the '
            f'next one comes up to {needed:.2f} s after the observation of the last one '
            f'({timing(rate, deadline, encoding)}): the robot will brake between plans',
            f'set late_after to {needed + 0.05:.2f} or more, or plan more often')


def _judge(
    kind: Kind, name: str, lower: float, upper: float, step: float, robot: Robot,
) -> Iterator[Finding]:
    limits, place = robot.limits, 'twist_limits' if robot.limits.twist else 'joint_limits'
    index = limits.names.index(name)
    if kind is Kind.JOINT_POSITION:
        low, high = float(limits.lower[index]), float(limits.upper[index])
        if lower < low - 1e-3 or upper > high + 1e-3:
            yield Finding(
                Grade.WARNING, f'{place}.{name}', f'the model plans positions from {lower:g} to '
                f'{upper:g}, the robot may go from {low:g} to {high:g}',
                'narrow action.lower and action.upper in bundle.yaml (wmros export), or correct '
                f'{place}.{name}')
        return
    # A displacement during a row is a mean velocity.
    per_row = 1.0 / step if kind in (Kind.JOINT_DELTA, Kind.POSE_DELTA) else 1.0
    speed = max(abs(lower), abs(upper)) * per_row
    limit, acceleration = float(limits.velocity[index]), float(limits.acceleration[index])
    if speed > limit * _SLACK:
        yield Finding(
            Grade.WARNING, f'{place}.{name}.max_velocity', f'the model plans up to {speed:.3g} per '
            f'second, the robot is limited to {limit:.3g} ({100 * limit / speed:.0f} %): it lags '
            'behind what the model imagines',
            'raise the limit if the robot can do it, else narrow action.lower and action.upper in '
            'bundle.yaml (wmros export)')
    reached = min(speed, limit) / acceleration
    if reached > _ROWS_TO_FULL_SPEED * step:
        yield Finding(
            Grade.WARNING, f'{place}.{name}.max_acceleration', f'the robot takes {reached:.2f} s '
            f'to the speed that the model changes every {step:g} s (limit {acceleration:.3g} per '
            's^2): it lags behind what the model imagines',
            'raise the limit if the robot can do it, or train with actions that change less fast')
