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
"""Rotations in the one convention that this package has: roll, pitch and yaw about fixed axes.

R = Rz(yaw) Ry(pitch) Rx(roll): first about x by roll, then about y by pitch and about z by yaw, the
axes staying where they are. It is what REP-103 ("fixed axis" roll, pitch, yaw about X, Y, Z,
https://www.ros.org/reps/rep-0103.html) asks for, and what ``rpy`` means in a URDF.

Angles are in rad and float64; everything is vectorised over leading dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Double = NDArray[np.float64]


def rotation_from_euler(angles: Double) -> Double:
    """Matrices [..., 3, 3] of roll, pitch and yaw [..., 3]."""
    (sr, sp, sy), (cr, cp, cy) = (np.moveaxis(trigonometric(angles), -1, 0)
                                  for trigonometric in (np.sin, np.cos))
    return _matrix(
        cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr,
        sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr,
        -sp, cp * sr, cp * cr)


def rotation_from_vector(vector: Double) -> Double:
    """Matrices [..., 3, 3] of turns about axes by their length, [..., 3] [rad] (Rodrigues)."""
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    zero = np.zeros_like(x)
    cross = _matrix(zero, -z, y, z, zero, -x, -y, x, zero)
    # sinc(t) = sin(pi t) / (pi t): sin(a) / a and (1 - cos(a)) / a^2, also at 0.
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    turned: Double = np.eye(3) + first * cross + second * (cross @ cross)
    return turned


def rotation_from_quaternion(quaternion: Double) -> Double:
    """Matrices [..., 3, 3] of unit quaternions x, y, z, w [..., 4]."""
    x, y, z, w = np.moveaxis(quaternion, -1, 0)
    return _matrix(
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y))


def euler_from_rotation(rotation: Double) -> Double:
    """The inverse of `rotation_from_euler`: roll and yaw in -pi..pi, pitch in -pi/2..pi/2.

    Where the pitch is +-pi/2, only the difference (or sum) of roll and yaw is known: yaw is 0.
    """
    cosine = np.hypot(rotation[..., 0, 0], rotation[..., 1, 0])
    locked = cosine < 1e-7
    roll = np.where(locked, np.arctan2(-rotation[..., 1, 2], rotation[..., 1, 1]),
                    np.arctan2(rotation[..., 2, 1], rotation[..., 2, 2]))
    pitch = np.arctan2(-rotation[..., 2, 0], cosine)
    yaw = np.where(locked, 0.0, np.arctan2(rotation[..., 1, 0], rotation[..., 0, 0]))
    return np.stack([roll, pitch, yaw], -1)


def vector_from_euler(angles: Double) -> Double:
    """Axes times the angle of the turn about them, 0..pi, of roll, pitch and yaw [..., 3]."""
    half = np.moveaxis(angles, -1, 0) / 2.0
    (sx, sy, sz), (cx, cy, cz) = np.sin(half), np.cos(half)
    vector = np.stack(
        [sx * cy * cz - cx * sy * sz, cx * sy * cz + sx * cy * sz, cx * cy * sz - sx * sy * cz], -1)
    scalar = (cx * cy * cz + sx * sy * sz)[..., None]
    # The quaternion of the shorter way round; 2 atan2(|v|, w) / |v| tends to 2 / w for small |v|.
    sign = np.where(scalar < 0.0, -1.0, 1.0)
    vector, scalar = vector * sign, scalar * sign
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    small = length < 1e-9
    factor = np.where(small, 2.0, 2.0 * np.arctan2(length, scalar) / np.where(small, 1.0, length))
    turns: Double = vector * factor
    return turns


def _matrix(*entries: NDArray[Any]) -> Double:
    """Matrices [..., 3, 3] of nine entries [...], row by row."""
    stacked: Double = np.stack(entries, -1)
    return stacked.reshape(*stacked.shape[:-1], 3, 3)
