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
What a camera's pictures show of the scene, and the part of it that a model was trained on.

A robot's camera rarely has the field of view of the one that took the training pictures. What is
half as large is taken for twice as far, and no resize mends that: the same angles have to be cut
out. ``sensor_msgs/CameraInfo`` says where a picture's angles lie.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from world_model_ros.bundle import FieldOfView
from world_model_ros.observation.image import ImageError, UInt8Array

BEND = 0.05  # of the distance from the middle, by which a lens may move the field's border
_BEYOND = 0.05  # of the field that may lie outside of the picture: calibrations differ by as much
_LARGEST = 1e6  # pixels; of a focal length


class OpticsError(ValueError):
    """A calibration that contradicts itself; says the cure."""


@dataclass(frozen=True)
class Axis:
    """
    One axis of a picture, in pixels of the picture.

    size: from border to border
    focal: focal length
    center: of the principal point, from the left or upper border
    """

    size: int
    focal: float
    center: float


@dataclass(frozen=True)
class Optics:
    """The pinhole camera that took a picture; lens distortion is not part of it."""

    horizontal: Axis
    vertical: Axis


@dataclass(frozen=True)
class Window:
    """One axis of the part of the sensor that is read out, in full pixels; 0 for a default."""

    size: int
    offset: int = 0
    extent: int = 0
    binning: int = 0


@dataclass(frozen=True)
class Calibration:
    """
    What ``sensor_msgs/CameraInfo`` says of the pictures beside it.

    k: row-major [9], of pictures as the sensor takes them
    p: row-major [12], of rectified ones
    model: of the distortion, with the numbers ``d``; as in sensor_msgs/distortion_models
    horizontal: width, roi.x_offset, roi.width and binning_x; ``vertical`` likewise
    """

    k: Sequence[float]
    p: Sequence[float]
    model: str
    d: Sequence[float]
    horizontal: Window
    vertical: Window

    @classmethod
    def of(cls, info: Any) -> 'Calibration':
        """Return that of a message."""
        k, p, d = (tuple(map(float, values)) for values in (info.k, info.p, info.d))
        roi = info.roi
        return cls(k, p, info.distortion_model, d,
                   Window(info.width, roi.x_offset, roi.width, info.binning_x),
                   Window(info.height, roi.y_offset, roi.height, info.binning_y))

    def optics(self, topic: str) -> Optics | None:
        """
        Return the optics of the pictures on a topic; None: not calibrated.

        The topic says by its name whether they are rectified. Raises ``OpticsError`` for numbers
        that no camera has.
        """
        matrix, columns = (self.p, 4) if is_rectified(topic) else (self.k, 3)
        return camera_optics(matrix, columns, self.horizontal, self.vertical)

    def bend(self, topic: str, field: FieldOfView) -> float:
        """
        Return by how much of its distance from the middle the lens moves a field's border.

        Outward is positive; 0 for rectified pictures, and for a model of the lens that is unknown.
        """
        if is_rectified(topic):
            return 0.0
        return lens_shift(self.model, self.d, max(field.horizontal, field.vertical) / 2)


def is_rectified(topic: str) -> bool:
    """Whether the pictures on a topic are rectified, by the names that image_proc gives them."""
    return topic.removesuffix('/compressed').rpartition('/')[2].startswith('image_rect')


def lens_shift(model: str, d: Sequence[float], angle: float) -> float:
    """
    Return how far a lens moves what it sees at an angle [rad] from its axis.

    That is compared with a pinhole, as a fraction of the distance from the axis.
    plumb_bob and rational_polynomial: D. C. Brown, Decentering distortion of lenses (1966), as
    OpenCV numbers it; equidistant: J. Kannala, S. S. Brandt, A generic camera model (2006).
    Tangential terms, which are small, are left out.
    """
    pinhole = math.tan(angle)
    if model in ('plumb_bob', 'rational_polynomial'):
        k1, k2, _, _, k3, k4, k5, k6 = (*d[:8], *(0.0,) * (8 - len(d[:8])))
        square = pinhole ** 2
        below = 1 + square * (k4 + square * (k5 + square * k6))
        above = 1 + square * (k1 + square * (k2 + square * k3))
        return above / below - 1 if below else math.inf
    if model == 'equidistant':
        k1, k2, k3, k4 = (*d[:4], *(0.0,) * (4 - len(d[:4])))
        square = angle ** 2
        return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))) / (
            pinhole) - 1
    return 0.0


def camera_optics(
    matrix: Sequence[float], columns: int, horizontal: Window, vertical: Window,
) -> Optics | None:
    """
    Return the optics of pictures that ``sensor_msgs/CameraInfo`` describes; None: not calibrated.

    :param matrix: row-major K (of pictures as they are) or P (of rectified ones), for the sensor
    :param columns: of the matrix: 3 or 4
    :param horizontal: as in ``Calibration``; ``vertical`` likewise

    Raises ``OpticsError`` for numbers that no camera has.
    """
    if matrix[0] == 0.0:  # so CameraInfo.msg says it
        return None
    return Optics(_axis(matrix[0], matrix[2], horizontal),
                  _axis(matrix[columns + 1], matrix[columns + 2], vertical))


def _axis(focal: float, center: float, window: Window) -> Axis:
    binning = window.binning or 1
    extent = window.extent or window.size - window.offset
    if not (0.0 < focal < _LARGEST and abs(center) < _LARGEST and extent > 0
            and extent + window.offset <= window.size):
        raise OpticsError(f'camera_info has the focal length {focal:g}, the principal point '
                          f'{center:g} and {extent} of {window.size} pixels from {window.offset} '
                          'on: calibrate the camera, or correct its driver')
    # CameraInfo counts from the middle of the first pixel, here it is from its border.
    return Axis(extent // binning, focal / binning, (center + 0.5 - window.offset) / binning)


def cut_field(rgb: UInt8Array, camera: Optics, field: FieldOfView) -> UInt8Array:
    """
    Return the part of a picture, uint8 [H, W, 3], that shows a field of view; a view, no copy.

    It lies about the principal point. Up to 5 % of it may be outside of the picture: then it is
    moved inside, and cut where it is larger than the picture.

    Raises ``ImageError`` where the camera shows less than that, or the picture is not the one that
    the optics are of.
    """
    height, width = rgb.shape[:2]
    if (camera.horizontal.size, camera.vertical.size) != (width, height):
        raise ImageError(f'camera_info is of pictures of {camera.horizontal.size}x'
                         f'{camera.vertical.size}, the picture has {width}x{height}: let the '
                         'driver publish both alike (what resizes pictures has to adapt K, width, '
                         'height, roi and binning as well)')
    columns = _span(camera.horizontal, field.horizontal, 'wide')
    rows = _span(camera.vertical, field.vertical, 'high')
    return rgb[rows, columns]


def _span(axis: Axis, angle: float, word: str) -> slice:
    """The pixels that show an angle [rad] about the principal point."""
    half = axis.focal * math.tan(angle / 2)
    low, high = axis.center - half, axis.center + half
    if max(-low, high - axis.size) > _BEYOND * 2 * half:
        sides = [math.degrees(math.atan(side / axis.focal))
                 for side in (axis.center, axis.size - axis.center)]
        raise ImageError(
            f'the picture is not {word} enough: the model was trained on '
            f'{math.degrees(angle):.0f} degrees, half of them on either side of the principal '
            f'point, where this camera shows {sides[0]:.0f} and {sides[1]:.0f}: use a wider lens, '
            "or the sensor's full width and height (roi)")
    inward = max(-low, 0.0) - max(high - axis.size, 0.0)
    count = min(max(round(2 * half), 1), axis.size)
    first = min(max(round(low + inward), 0), axis.size - count)
    return slice(first, first + count)
