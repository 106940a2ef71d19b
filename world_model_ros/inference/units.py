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
"""Physical units outside, normalised numbers inside the graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import ActionContract, ImageContract, ImageNormalization, Normalization

Float = NDArray[np.float32]


class Affine:
    """`(physical - mean) / std`, entry by entry of the last axis."""

    def __init__(self, normalization: Normalization) -> None:
        """Take the numbers of a manifest."""
        self._mean = np.array(normalization.mean, np.float32)
        self._std = np.array(normalization.std, np.float32)
        self._scale = np.reciprocal(self._std)

    def normalize(self, physical: NDArray[Any]) -> Float:
        """To what graphs see, float32."""
        mean, scale = self._mean, self._scale
        if physical.ndim > 2:
            # As wide as a sequence: NumPy's inner loop would be as short as a row.
            mean, scale = (np.tile(it, (physical.shape[-2], 1)) for it in (mean, scale))
        normal: Float = ((physical - mean) * scale).astype(np.float32, copy=False)
        return normal

    def restore(self, normal: Float) -> Float:
        """To physical units, float32."""
        physical: Float = normal * self._std + self._mean
        return physical


class ActionUnits:
    """Rows [..., H * rows_per_step, A] in physical units and model steps [..., H, K] in graphs."""

    def __init__(self, contract: ActionContract) -> None:
        """Take the numbers of a manifest."""
        self._affine = Affine(contract.normalization)
        self._rows, self._size = contract.rows_per_step, contract.size

    def to_steps(self, rows: Float) -> Float:
        """Normalise and concatenate the rows of each model step."""
        *batch, count, size = rows.shape
        return self._affine.normalize(rows).reshape(*batch, count // self._rows, self._rows * size)

    def to_rows(self, steps: Float) -> Float:
        """The inverse of `to_steps`."""
        *batch, count, _ = steps.shape
        return self._affine.restore(steps.reshape(*batch, count * self._rows, self._size))


def image_for_graph(pixels: NDArray[np.uint8], contract: ImageContract) -> NDArray[Any]:
    """RGB pixels [..., height, width, 3] as the graph takes them."""
    if contract.color == 'bgr':
        pixels = pixels[..., ::-1]
    normalization = contract.normalization
    if not isinstance(normalization, ImageNormalization):
        return pixels
    mean, std = (np.array(values, np.float32) for values in (normalization.mean, normalization.std))
    normal = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return np.moveaxis(normal, -1, -3) if normalization.layout == 'nchw' else normal
