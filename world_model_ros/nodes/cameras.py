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
from world_model_ros.nodes.troubles import Troubles
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
    """A camera's message as it came, with the optics that held then, if they were known."""

    message: ImageMessage
    optics: Optics | None

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
class _Camera:
    """What is known of one camera."""

    raw: Rate = field(default_factory=Rate)  # of images that are not compressed
    optics: Optics | None = None
    info_topic: str = ''  # empty: no model asks for it
    has_info: bool = False
    problem: str = ''
    is_told: bool = False  # that nothing says what its pictures show
    destroy: list[Callable[[], object]] = field(default_factory=list)


class Cameras:
    """Subscribes to cameras, and gives each picture with its optics to ``take``."""

    def __init__(
        self, node: Node, border: Border, troubles: Troubles, take: Callable[[str, Shot], None],
    ) -> None:
        self._node, self._border, self._troubles, self._take = node, border, troubles, take
        self._cameras: dict[str, _Camera] = {}

    def serve(self, *models: LoadedModel) -> None:
        """Subscribe to what these models see with, and to nothing else."""
        wanted = {camera for model in models for camera in model.cameras}
        measured = {camera for model in models if model.reads_optics for camera in model.cameras}
        for name in sorted(self._cameras.keys() - wanted):
            for destroy in self._cameras.pop(name).destroy:
                destroy()
        for name in sorted(wanted):
            if name not in self._cameras:
                self._cameras[name] = self._open(name)
            if name in measured and not self._cameras[name].info_topic:
                self._ask(name, self._cameras[name])

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

    def _ask(self, name: str, camera: _Camera) -> None:
        """Listen to what the driver says of its pictures."""
        topic = self._topic(name)
        camera.info_topic = info_topic(topic)
        take = partial(self._on_info, name, topic)
        subscription = self._border.subscribe(
            CameraInfo, f'{name}/camera_info' if name else 'camera_info', take, SENSOR,
            at=camera.info_topic)
        camera.destroy.append(partial(self._node.destroy_subscription, subscription))

    def _on_image(self, name: str, message: Image | ImageView) -> None:
        if (camera := self._cameras.get(name)) is not None:
            camera.raw.tick(monotonic())
            self._pass_on(name, camera, message)

    def _on_compressed(self, name: str, message: CompressedImage) -> None:
        camera = self._cameras.get(name)
        if camera is not None and camera.raw.age(monotonic()) > _RAW_AGE:
            self._pass_on(name, camera, message)

    def _pass_on(self, name: str, camera: _Camera, message: ImageMessage) -> None:
        if camera.info_topic and camera.optics is None:
            # A goal that is encoded without what comes a moment later is another goal.
            if camera.problem or (
                    not camera.has_info and self._node.count_publishers(camera.info_topic)):
                self._troubles.note('camera_infos_missing', camera.problem or (
                    f'{camera.info_topic} is published, but nothing has come of it so far: '
                    'pictures wait for it'))
                return
            if not camera.is_told:
                camera.is_told = True
                what = 'says that the camera is not calibrated' if camera.has_info else 'is absent'
                self._node.get_logger().warning(
                    f'{camera.info_topic} {what}, so the field of view of {called(name)} is '
                    'unknown: its pictures are cropped as for a camera like the one that the model '
                    'was trained with')
        self._take(name, Shot(message, camera.optics))

    def _on_info(self, name: str, topic: str, info: CameraInfo) -> None:
        camera = self._cameras.get(name)
        if camera is None:
            return
        camera.has_info, camera.problem = True, ''
        try:
            camera.optics = Calibration.of(info).optics(topic)
        except OpticsError as error:
            camera.optics = None
            camera.problem = f'{camera.info_topic}: {error}'
            self._troubles.note('camera_infos_missing', camera.problem)

    def destroy(self) -> None:
        """Leave all topics."""
        self.serve()
