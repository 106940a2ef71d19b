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

"""
Camera images, as messages carry them, to what the bundle's encoder takes.

The order is the bundle's: colour order, crop, then resize. A team that resizes where the training
cropped gets a model that sees another robot, so there is one place that does it.

Nothing is allocated before what the message claims has been held against what it carries, and both
against ``payload``.
"""

import cv2
import numpy as np
import numpy.typing as npt

from world_model_ros import payload
from world_model_ros.bundle import ImageContract

UInt8Array = npt.NDArray[np.uint8]

# Channels per pixel, and the conversion to RGB, of the 8-bit encodings of sensor_msgs.
_CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1}
_TO_RGB = {
    'bgr8': cv2.COLOR_BGR2RGB,
    'rgba8': cv2.COLOR_RGBA2RGB,
    'bgra8': cv2.COLOR_BGRA2RGB,
    'mono8': cv2.COLOR_GRAY2RGB,
}


_FILTERS = {
    'area': cv2.INTER_AREA,
    'bilinear': cv2.INTER_LINEAR,
    'bicubic': cv2.INTER_CUBIC,
}


class ImageError(ValueError):
    """An image message that contradicts itself or that no model here can read; says the cure."""


def decode_image(encoding: str, height: int, width: int, step: int, data: bytes) -> UInt8Array:
    """
    Return the pixels of a ``sensor_msgs/Image`` as RGB, uint8 [height, width, 3].

    ``step`` is the length of a row in bytes, padding included. RGB rows are viewed, not copied.

    Raises ``ImageError`` when the encoding is not known, the sizes do not fit the data, or the
    picture is larger than ``payload`` allows.
    """
    if encoding not in _CHANNELS:
        raise ImageError(f'image encoding "{payload.shorten(encoding)}" is not supported: '
                         f'publish one of {", ".join(_CHANNELS)}')
    if height <= 0 or width <= 0:
        raise ImageError(f'image is empty ({width}x{height}): does the camera deliver frames?')
    if height * width > payload.IMAGE_PIXELS or len(data) > payload.IMAGE_BYTES:
        raise ImageError(f'image of {width}x{height} pixels and {len(data)} bytes is larger than '
                         f'{payload.IMAGE_PIXELS} pixels or {payload.IMAGE_BYTES} bytes: let the '
                         'camera send a smaller picture')
    channels = _CHANNELS[encoding]
    row = width * channels
    if step < row:
        raise ImageError(f'image step {step} is shorter than a row of {width} {encoding} pixels '
                         f'({row} bytes): fix the publisher')
    if len(data) != height * step:
        raise ImageError(f'image has {len(data)} bytes where {height} rows of {step} need '
                         f'{height * step}: it was cut short, or step is wrong')
    pixels = np.frombuffer(data, np.uint8)
    pixels = pixels.reshape(height, step)[:, :row].reshape(height, width, channels)
    return pixels if encoding == 'rgb8' else _as_uint8(cv2.cvtColor(pixels, _TO_RGB[encoding]))


def fit_image(rgb: UInt8Array, contract: ImageContract) -> UInt8Array:
    """Crop and resize RGB pixels, uint8 [H, W, 3], to the bundle's [height, width, 3]."""
    if contract.crop == 'center_square':
        height, width = rgb.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        rgb = rgb[top:top + side, left:left + side]
    size = (contract.width, contract.height)
    return _as_uint8(cv2.resize(rgb, size, interpolation=_FILTERS[contract.interpolation]))


def _as_uint8(array: npt.NDArray[np.generic]) -> UInt8Array:
    """Tell the type checker what OpenCV's stubs leave open; copies nothing."""
    return np.asarray(array, np.uint8)
