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


def to_twists(deltas: Vector, axes: Sequence[str], step: float) -> Vector:
    """Return the constant twists [H, A] that carry out pose ``deltas`` [H, A] in ``step`` s each.

    ``axes`` names the columns as in TWIST_AXES; axes that are not driven do not move. Rotations are
    roll, pitch, yaw about fixed axes (REP-103), so R = Rz(yaw) Ry(pitch) Rx(roll), and the angular
    velocity is log(R) / step, the rotation vector of R through the unit quaternion.
    """
    full = np.zeros((len(deltas), len(TWIST_AXES)))
    columns = [TWIST_AXES.index(axis) for axis in axes]
    full[:, columns] = deltas
    half = full[:, 3:] / 2.0
    (sx, sy, sz), (cx, cy, cz) = np.sin(half).T, np.cos(half).T
    vector = np.stack(
        [sx * cy * cz - cx * sy * sz, cx * sy * cz + sx * cy * sz, cx * cy * sz - sx * sy * cz],
        axis=1,
    )
    scalar = cx * cy * cz + sx * sy * sz
    # The quaternion of the shorter way round; 2 atan2(|v|, w) / |v| tends to 2 / w for small |v|.
    sign = np.where(scalar < 0.0, -1.0, 1.0)
    vector, scalar = vector * sign[:, None], scalar * sign
    length = np.linalg.norm(vector, axis=1)
    small = length < 1e-9
    factor = np.where(
        small, 2.0, 2.0 * np.arctan2(length, scalar) / np.where(small, 1.0, length)
    )
    full[:, 3:] = vector * factor[:, None]
    twists: Vector = full[:, columns] / step
    return twists
