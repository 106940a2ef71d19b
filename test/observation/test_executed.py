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

"""Setpoints of a controller as a model's actions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.bundle.action import ActionContract
from world_model_ros.control.pose import to_twists
from world_model_ros.observation import SetpointError, executed_action

UNITS = {'joint_velocity': 'rad/s', 'joint_position': 'rad', 'joint_delta': 'rad'}


def joints(kind: str, names: tuple[str, ...] = ('a', 'b'), **changes: object) -> ActionContract:
    size = len(names)
    return ActionContract.model_validate({
        'kind': kind, 'names': names, 'units': (UNITS[kind],) * size, 'lower': (-1.0,) * size,
        'upper': (1.0,) * size, 'normalization': {'mean': (0.0,) * size, 'std': (1.0,) * size},
        'step_duration': 0.25, 'rows_per_step': 1, 'frozen': {}, 'dead_band': (0.0,) * size,
        **changes})


@pytest.mark.parametrize('kind, expected', [
    ('joint_velocity', [0.2, 0.4]), ('joint_position', [1.0, 2.0]), ('joint_delta', [0.05, 0.1]),
])
def test_a_setpoint_becomes_a_row_of_the_models_kind_and_order(
    kind: str, expected: list[float],
) -> None:
    row = executed_action(['b', 'other', 'a'], [2.0, 9.0, 1.0], [0.4, 9.0, 0.2], joints(kind))
    np.testing.assert_allclose(row, expected)


def test_what_is_frozen_is_what_the_manifest_says() -> None:
    row = executed_action(['a'], [1.0], [0.3], joints('joint_velocity', frozen={'b': 0.5}))
    np.testing.assert_allclose(row, [0.3, 0.5])


@given(st.lists(st.floats(-0.7, 0.7), min_size=6, max_size=6))
def test_the_twist_of_a_pose_delta_is_that_pose_delta_again(delta: list[float]) -> None:
    names = ('linear.x', 'linear.y', 'linear.z', 'angular.x', 'angular.y', 'angular.z')
    contract = ActionContract.model_validate({
        'kind': 'pose_delta', 'names': names, 'units': ('m',) * 3 + ('rad',) * 3,
        'frame': 'base', 'lower': (-1.0,) * 6, 'upper': (1.0,) * 6,
        'normalization': {'mean': (0.0,) * 6, 'std': (1.0,) * 6}, 'step_duration': 0.25,
        'rows_per_step': 1, 'frozen': {}, 'dead_band': (0.0,) * 6})
    twist = to_twists(np.array([delta]), names, 0.25)[0]
    np.testing.assert_allclose(executed_action(names, [], twist.tolist(), contract), delta,
                               atol=1e-6)


@pytest.mark.parametrize('names, velocity, reason', [
    (['a'], [0.1], 'does not drive "b"'),
    (['a', 'b'], [0.1], '1 velocities of 2 joints'),
    (['a', 'b'], [0.1, float('nan')], 'NaN'),
    (['a'] * 300, [0.1] * 300, '300 joints'),
])
def test_a_setpoint_that_says_nothing_about_the_models_actions_is_refused_with_the_reason(
    names: list[str], velocity: list[float], reason: str,
) -> None:
    with pytest.raises(SetpointError, match=reason):
        executed_action(names, [0.0] * len(names), velocity, joints('joint_velocity'))
