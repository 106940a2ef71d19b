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
The cameras that models see with: their topics, and what ``camera_info`` says of their pictures.

A bundle that names no camera reads ``image``, one that names cameras ``NAME/image_raw``. Wherever
such a topic is remapped to, there are its companions: ``.../compressed`` below it and
``camera_info`` beside it, as image_transport has them. Another model may see with other cameras, so
topics come and go while the node runs; all of it happens in the executor's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from world_model_ros.monitor import Rate
from world_model_ros.nodes.border import Border
from world_model_ros.nodes.image_view import ImageView, view_image
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.qos import IMAGE, SENSOR
from world_model_ros.observation import (
    Calibration,
    ImageError,
    Optics,
    OpticsError,
    Picture,
    about,
    called,
    decode_compressed,
    decode_image,
    image_topic,
    info_topic,
)

ImageMessage: TypeAlias = Image | ImageView | CompressedImage

_RAW_AGE = 1.0  # s for which compressed images are left out after one that is not


class Shot(NamedTuple):
    """
    A camera's message as it came, with the optics that held then, if they were known.

    withheld: why not to be given to a model that reads optics; empty if it may be
    """

    message: ImageMessage
    optics: Optics | None
    withheld: str = ''

    def develop(self, camera: str) -> Picture:
        """Decode it; raises ImageError, with the name of a camera that has one."""
        try:
            return Picture(pixels_of(self.message), self.optics)
        except ImageError as error:
            raise about(camera, error) from error


def pixels_of(message: ImageMessage) -> npt.NDArray[np.uint8]:
    """Return the RGB picture [H, W, 3] of a message; raises ImageError."""
    if isinstance(message, CompressedImage):
        return decode_compressed(message.data)
    return decode_image(message.encoding, message.height, message.width, message.step,
                        message.data, bool(message.is_bigendian))


@dataclass
class _Lens:
    """What a camera's driver says of its pictures, for the models that ask."""

    topic: str
    destroy: Callable[[], object] = lambda: None
    optics: Optics | None = None
    has_info: bool = False
    problem: str = ''
    is_told: bool = False  # that nothing says what its pictures show


@dataclass
class _Camera:
    """What is known of one camera."""

    raw: Rate = field(default_factory=Rate)  # of images that are not compressed
    lens: _Lens | None = None  # None: no model asks for it
    destroy: list[Callable[[], object]] = field(default_factory=list)


class Cameras:
    """Subscribes to cameras, and gives each picture with its optics to ``take``."""

    def __init__(self, node: Node, border: Border, take: Callable[[str, Shot], None]) -> None:
        self._node, self._border, self._take = node, border, take
        self._cameras: dict[str, _Camera] = {}

    def serve(self, *models: LoadedModel) -> None:
        """Subscribe to what these models see with, and to nothing else."""
        wanted = {camera for model in models for camera in model.cameras}
        measured = {camera for model in models if model.reads_optics for camera in model.cameras}
        for name in sorted(self._cameras.keys() - measured):
            if (lens := self._cameras[name].lens) is not None:
                self._cameras[name].lens = None
                lens.destroy()
        for name in sorted(self._cameras.keys() - wanted):
            for destroy in self._cameras.pop(name).destroy:
                destroy()
        for name in sorted(wanted):
            if name not in self._cameras:
                self._cameras[name] = self._open(name)
            if name in measured and self._cameras[name].lens is None:
                self._cameras[name].lens = self._ask(name)

    def topics(self) -> dict[str, str]:
        """Where each camera's pictures are read, as values for /diagnostics."""
        return {f'{name}_image_topic' if name else 'image_topic': self._topic(name)
                for name in tuple(self._cameras)}

    def _topic(self, name: str) -> str:
        return self._node.resolve_topic_name(image_topic(name))

    def _open(self, name: str) -> _Camera:
        camera, topic = _Camera(), image_topic(name)
        beneath = f'{self._topic(name)}/compressed'
        for subscription in (
            self._border.subscribe(Image, topic, partial(self._on_image, name), IMAGE,
                                   read=view_image),
            self._border.subscribe(CompressedImage, f'{topic}/compressed',
                                   partial(self._on_compressed, name), IMAGE, at=beneath),
        ):
            camera.destroy.append(partial(self._node.destroy_subscription, subscription))
        return camera

    def _ask(self, name: str) -> _Lens:
        """Listen to what the driver says of its pictures."""
        lens = _Lens(info_topic(self._topic(name)))
        subscription = self._border.subscribe(
            CameraInfo, f'{name}/camera_info' if name else 'camera_info',
            partial(self._on_info, lens, self._topic(name)), SENSOR, at=lens.topic)
        lens.destroy = partial(self._node.destroy_subscription, subscription)
        return lens

    def _on_image(self, name: str, message: Image | ImageView) -> None:
        if (camera := self._cameras.get(name)) is not None:
            camera.raw.tick(monotonic())
            self._pass_on(name, camera, message)

    def _on_compressed(self, name: str, message: CompressedImage) -> None:
        camera = self._cameras.get(name)
        if camera is not None and camera.raw.age(monotonic()) > _RAW_AGE:
            self._pass_on(name, camera, message)

    def _pass_on(self, name: str, camera: _Camera, message: ImageMessage) -> None:
        lens = camera.lens
        if lens is None or lens.optics is not None:
            self._take(name, Shot(message, lens.optics if lens else None))
        elif lens.problem:
            self._take(name, Shot(message, None, lens.problem))
        elif not lens.has_info and self._node.count_publishers(lens.topic):
            # A goal that is encoded without what comes a moment later is another goal.
            self._take(name, Shot(message, None, f'{lens.topic} is published, but nothing has come '
                                  'of it so far: pictures wait for it'))
        else:
            if not lens.is_told:
                lens.is_told = True
                what = 'says that the camera is not calibrated' if lens.has_info else 'is absent'
                self._node.get_logger().warning(
                    f'{lens.topic} {what}, so the field of view of {called(name)} is unknown: its '
                    'pictures are cropped as for a camera like the one that the model was trained '
                    'with')
            self._take(name, Shot(message, None))

    def _on_info(self, lens: _Lens, topic: str, info: CameraInfo) -> None:
        lens.has_info, lens.problem = True, ''
        try:
            lens.optics = Calibration.of(info).optics(topic)
        except OpticsError as error:
            lens.optics, lens.problem = None, f'{lens.topic}: {error}'

    def destroy(self) -> None:
        """Leave all topics."""
        self.serve()
