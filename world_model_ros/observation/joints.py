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

"""Joint states, as messages carry them, to the proprioception vector of the bundle's encoder."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from world_model_ros import payload
from world_model_ros.bundle import Proprioception


class JointStateError(ValueError):
    """A joint state that lacks what the model needs or contradicts itself; says the cure."""


def proprioception(
    names: Sequence[str],
    position: Sequence[float],
    velocity: Sequence[float],
    contract: Proprioception,
) -> npt.NDArray[np.float32]:
    """
    Return the model's joints, float32 [fields * joints], in rad and rad/s (m and m/s).

    The message may hold more joints and in another order: joints are found by name. All joints'
    first field comes first, then all joints' second one, in the order of ``contract``.

    Joints that the model does not read may hold anything: drivers publish NaN where they measure
    nothing.

    Raises ``JointStateError`` when a joint is missing or twice there, a field has another length
    than the names, one that the model reads is not filled, or a number of it is not finite.
    """
    if len(names) > payload.JOINTS:
        raise JointStateError(f'joint state has {len(names)} joints, {payload.JOINTS} are the '
                              'most: who publishes it?')
    if len(set(names)) != len(names):
        raise JointStateError(f'joint names repeat in {payload.few(names)}: two publishers on one '
                              'topic?')
    missing = [joint for joint in contract.joints if joint not in names]
    if missing:
        raise JointStateError(f'joint state lacks {payload.few(missing)}, it has '
                              f'{payload.few(names)}: remap "joint_states" to the robot that the '
                              'model was trained for')
    filled = {'position': position, 'velocity': velocity}
    for field, numbers in filled.items():
        if len(numbers) != len(names) and (len(numbers) or field in contract.fields):
            raise JointStateError(f'joint state has {len(numbers)} entries in "{field}" for '
                                  f'{len(names)} joints: it needs {field} of each')
    columns = [names.index(joint) for joint in contract.joints]
    values = [filled[field][column] for field in contract.fields for column in columns]
    with np.errstate(over='ignore'):  # 1e300 is infinite as float32, and refused as that
        vector = np.array(values, np.float32)
    if not np.isfinite(vector).all():
        raise JointStateError(f'joint state is not finite: {vector.tolist()} for '
                              f'{list(contract.joints)}')
    return vector
