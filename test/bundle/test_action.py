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
"""What an action means to a robot."""

from typing import Any

import pytest

from world_model_ros.bundle import ActionContract

UNITS = {'joint_position': 'rad', 'joint_velocity': 'rad/s', 'joint_delta': 'rad', 'twist': 'm/s',
         'pose_delta': 'm'}


def contract(kind: str = 'joint_velocity', **changes: Any) -> ActionContract:
    names = ('linear.x', 'linear.y') if kind in ('twist', 'pose_delta') else ('a', 'b')
    return ActionContract.model_validate({
        'kind': kind, 'names': names, 'units': (UNITS[kind],) * 2, 'lower': (-1.0, -1.0),
        'upper': (1.0, 1.0), 'normalization': {'mean': (0.0, 0.0), 'std': (1.0, 1.0)},
        'frame': 'base' if kind in ('twist', 'pose_delta') else None, 'step_duration': 0.1,
        'rows_per_step': 1, 'frozen': {}, 'dead_band': (0.0, 0.0), **changes})


@pytest.mark.parametrize('kind', UNITS)
def test_bounds_and_normalisation_are_a_models_own_matter(kind: str) -> None:
    other = contract(kind, lower=(-0.5, -2.0), rows_per_step=4,
                     normalization={'mean': (0.1, 0.2), 'std': (2.0, 2.0)})
    assert other.meaning == contract(kind).meaning


@pytest.mark.parametrize('changes', [
    {'kind': 'joint_position'}, {'names': ('b', 'a')}, {'frozen': {'a': 0.5}},
    {'units': ('rad/s', 'm/s')},
], ids=str)
def test_what_the_numbers_are_makes_another_action(changes: dict[str, Any]) -> None:
    assert contract(**changes).meaning != contract().meaning


@pytest.mark.parametrize(('kind', 'differs'), [
    ('joint_position', False), ('joint_velocity', False), ('twist', False),
    ('joint_delta', True), ('pose_delta', True),
])
def test_a_change_in_one_row_is_another_one_in_a_row_of_another_duration(
    kind: str, differs: bool,
) -> None:
    assert (contract(kind, step_duration=0.2).meaning != contract(kind).meaning) == differs
