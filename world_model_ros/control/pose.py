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
"""From steps of a pose to the twist that takes them."""

from collections.abc import Sequence

import numpy as np

from world_model_ros.control.limits import TWIST_AXES, Vector
from world_model_ros.rotations import vector_from_euler


def to_twists(deltas: Vector, axes: Sequence[str], step: float) -> Vector:
    """Return the constant twists [H, A] that carry out pose ``deltas`` [H, A] in ``step`` s each.

    ``axes`` names the columns as in TWIST_AXES; axes that are not driven do not move. Rotations are
    roll, pitch and yaw as `rotations` has them; the robot turns about the axis of the rotation.
    """
    full = np.zeros((len(deltas), len(TWIST_AXES)))
    columns = [TWIST_AXES.index(axis) for axis in axes]
    full[:, columns] = deltas
    full[:, 3:] = vector_from_euler(full[:, 3:])
    twists: Vector = full[:, columns] / step
    return twists
