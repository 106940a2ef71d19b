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

"""Joint states become the model's proprioception, or are refused with a reason."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_bundle import toy_manifest

from world_model_ros.bundle import Proprioception
from world_model_ros.observation import JointStateError, proprioception

CONTRACT = Proprioception.model_validate(
    {**toy_manifest()['proprioception'], 'joints': ('shoulder', 'elbow'),
     'fields': ('position', 'velocity'),
     'normalization': {'mean': (0.0,) * 4, 'std': (1.0,) * 4}})


@given(st.permutations(['shoulder', 'gripper', 'elbow', 'wrist']))
def test_joints_are_found_by_name_in_any_order_among_any_others(names: list[str]) -> None:
    position = {'shoulder': 0.1, 'elbow': 0.2, 'gripper': 8.0, 'wrist': 9.0}
    vector = proprioception(
        names, [position[n] for n in names], [-position[n] for n in names], CONTRACT)
    np.testing.assert_allclose(vector, [0.1, 0.2, -0.1, -0.2], atol=1e-6)


@pytest.mark.parametrize('names, position, velocity, text', [
    (['shoulder'], [0.0], [0.0], 'elbow'),
    (['shoulder', 'elbow', 'elbow'], [0.0] * 3, [0.0] * 3, 'repeat'),
    (['shoulder', 'elbow'], [0.0, 0.0], [], 'velocity'),
    (['shoulder', 'elbow'], [0.0], [0.0, 0.0], 'position'),
    (['shoulder', 'elbow'], [0.0, float('nan')], [0.0, 0.0], 'finite'),
    (['shoulder', 'elbow'], [0.0, 0.0], [float('inf'), 0.0], 'finite'),
    ([], [], [], 'lacks'),
])
def test_a_joint_state_without_what_the_model_needs_is_refused_with_the_reason(
    names: list[str], position: list[float], velocity: list[float], text: str,
) -> None:
    with pytest.raises(JointStateError, match=text):
        proprioception(names, position, velocity, CONTRACT)
