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
"""What cameras show at one moment, as the encoder takes it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from world_model_ros.bundle import ImageContract
from world_model_ros.observation.image import ImageError, UInt8Array, fit_image, resize
from world_model_ros.observation.optics import Optics, cut_field


@dataclass(frozen=True)
class Picture:
    """RGB pixels, uint8 [H, W, 3], and the optics that took them, if they are known."""

    pixels: UInt8Array
    optics: Optics | None = None


def fit_pictures(pictures: Mapping[str, Picture], contract: ImageContract) -> UInt8Array:
    """
    Return what the bundle's encoder takes of one moment, uint8 [(cameras,) height, width, 3].

    :param pictures: by the camera's name, others included; '' for the camera of a bundle that names
        none

    Raises ``ImageError``, with the camera's name, where one is missing, shows less than the model
    was trained on, or contradicts its optics.
    """
    fitted = []
    for index, camera in enumerate(contract.camera_names):
        if camera not in pictures:
            raise ImageError(f'a picture of {called(camera)} is missing')
        try:
            fitted.append(_fit(pictures[camera], contract, index))
        except ImageError as error:
            raise about(camera, error) from error
    return fitted[0] if contract.cameras is None else np.stack(fitted)


def image_topic(camera: str) -> str:
    """Return the relative topic of a camera's pictures; '' is that of a bundle that names none."""
    return f'{camera}/image_raw' if camera else 'image'


def info_topic(topic: str) -> str:
    """Return where image_transport has the calibration of the camera whose pictures are there."""
    above, slash, _ = topic.rpartition('/')
    return f'{above}{slash}camera_info'


def called(camera: str) -> str:
    """Return a camera's name in words; '' is that of a bundle that names none."""
    return f'the camera "{camera}"' if camera else 'the camera'


def about(camera: str, error: ImageError) -> ImageError:
    """Return an error that says which of several cameras it is about."""
    return ImageError(f'{called(camera)}: {error}') if camera else error


def _fit(picture: Picture, contract: ImageContract, index: int) -> UInt8Array:
    if picture.optics is None or contract.fields_of_view is None:
        return fit_image(picture.pixels, contract)
    field = contract.fields_of_view[index]
    return resize(cut_field(picture.pixels, picture.optics, field), contract)
