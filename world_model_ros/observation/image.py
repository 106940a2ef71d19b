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

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from world_model_ros import payload
from world_model_ros.bundle import ImageContract

UInt8Array = npt.NDArray[np.uint8]

# ROS names a mosaic by its first row's first pixels, OpenCV by those of its second row from the
# second one on.
_MOSAICS = {
    'rggb': cv2.COLOR_BayerBG2RGB,
    'bggr': cv2.COLOR_BayerRG2RGB,
    'gbrg': cv2.COLOR_BayerGR2RGB,
    'grbg': cv2.COLOR_BayerGB2RGB,
}


class _Encoding(NamedTuple):
    """How pixels lie in a message, and OpenCV's conversion of their bytes to RGB."""

    channels: int
    to_rgb: int | None
    bytes_per_channel: int = 1
    multiple: int = 1
    """Of pixels, that width (for a mosaic: and height) must be."""


_ENCODINGS = {
    'rgb8': _Encoding(3, None),
    'bgr8': _Encoding(3, cv2.COLOR_BGR2RGB),
    'rgba8': _Encoding(4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Encoding(4, cv2.COLOR_BGRA2RGB),
    'mono8': _Encoding(1, cv2.COLOR_GRAY2RGB),
    'mono16': _Encoding(1, cv2.COLOR_GRAY2RGB, bytes_per_channel=2),
    '16UC1': _Encoding(1, cv2.COLOR_GRAY2RGB, bytes_per_channel=2),
    'uyvy': _Encoding(2, cv2.COLOR_YUV2RGB_UYVY, multiple=2),
    'yuv422': _Encoding(2, cv2.COLOR_YUV2RGB_UYVY, multiple=2),  # the older name of uyvy
    'yuyv': _Encoding(2, cv2.COLOR_YUV2RGB_YUY2, multiple=2),
    'yuv422_yuy2': _Encoding(2, cv2.COLOR_YUV2RGB_YUY2, multiple=2),  # the older name of yuyv
    **{f'bayer_{mosaic}8': _Encoding(1, flag, multiple=2) for mosaic, flag in _MOSAICS.items()},
    **{f'bayer_{mosaic}16': _Encoding(1, flag, bytes_per_channel=2, multiple=2)
       for mosaic, flag in _MOSAICS.items()},
}
ENCODINGS = tuple(_ENCODINGS)
"""What `decode_image` reads."""
_FILTERS = {
    'area': cv2.INTER_AREA,
    'bilinear': cv2.INTER_LINEAR,
    'bicubic': cv2.INTER_CUBIC,
}


class ImageError(ValueError):
    """An image message that contradicts itself or that no model here can read; says the cure."""


def decode_image(
    encoding: str, height: int, width: int, step: int, data: bytes | memoryview,
    is_bigendian: bool = False,
) -> UInt8Array:
    """
    Return the pixels of a ``sensor_msgs/Image`` as RGB, uint8 [height, width, 3].

    ``step`` is the length of a row in bytes, padding included. RGB rows are viewed, not copied. Of
    channels of 16 bits the upper eight are kept, which is what a camera's full range means;
    ``is_bigendian`` says which byte holds them.

    Raises ``ImageError`` when the encoding is not known, the sizes do not fit the data, or the
    picture is larger than ``payload`` allows.
    """
    layout = _ENCODINGS.get(encoding)
    if layout is None:
        raise ImageError(f'image encoding "{payload.shorten(encoding)}" is not supported: '
                         f'publish one of {", ".join(_ENCODINGS)}')
    if height <= 0 or width <= 0:
        raise ImageError(f'image is empty ({width}x{height}): does the camera deliver frames?')
    check_size(width, height, len(data))
    row = width * layout.channels * layout.bytes_per_channel
    if step < row:
        raise ImageError(f'image step {step} is shorter than a row of {width} {encoding} pixels '
                         f'({row} bytes): fix the publisher')
    if len(data) != height * step:
        raise ImageError(f'image has {len(data)} bytes where {height} rows of {step} need '
                         f'{height * step}: it was cut short, or step is wrong')
    is_mosaic = encoding.startswith('bayer_')
    if width % layout.multiple or (is_mosaic and height % layout.multiple):
        raise ImageError(f'image of {width}x{height} pixels cannot be {encoding}, which comes in '
                         f'{"squares" if is_mosaic else "pairs"} of two: fix the publisher')
    rows = np.frombuffer(data, np.uint8).reshape(height, step)[:, :row]
    if layout.bytes_per_channel == 2:
        rows = rows[:, 0 if is_bigendian else 1::2]
    pixels = rows.reshape(height, width, layout.channels)
    if layout.to_rgb is None:
        return pixels
    return _as_uint8(cv2.cvtColor(np.ascontiguousarray(pixels), layout.to_rgb))


def check_size(width: int, height: int, size: int) -> None:
    """Raise ``ImageError`` if a picture claims more pixels, or has more bytes, than is allowed."""
    if height * width > payload.IMAGE_PIXELS or size > payload.IMAGE_BYTES:
        raise ImageError(f'image of {width}x{height} pixels and {size} bytes is larger than '
                         f'{payload.IMAGE_PIXELS} pixels or {payload.IMAGE_BYTES} bytes: let the '
                         'camera send a smaller picture')


def fit_image(rgb: UInt8Array, contract: ImageContract) -> UInt8Array:
    """Crop and resize RGB pixels, uint8 [H, W, 3], to the bundle's [height, width, 3]."""
    if contract.crop == 'center_square':
        height, width = rgb.shape[:2]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        rgb = rgb[top:top + side, left:left + side]
    return resize(rgb, contract)


def resize(rgb: UInt8Array, contract: ImageContract) -> UInt8Array:
    """Resize RGB pixels, uint8 [H, W, 3], to the bundle's [height, width, 3]."""
    size = (contract.width, contract.height)
    return _as_uint8(cv2.resize(rgb, size, interpolation=_FILTERS[contract.interpolation]))


def _as_uint8(array: npt.NDArray[np.generic]) -> UInt8Array:
    """Tell the type checker what OpenCV's stubs leave open; copies nothing."""
    return np.asarray(array, np.uint8)
