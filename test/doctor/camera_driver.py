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
"""The cameras of test_cameras.py, which say different things of themselves.

    python camera_driver.py    # until SIGTERM

Each place of `CAMERAS` has `image_raw` and, but for one, `camera_info` beside it.
"""

import array
import contextlib
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from toy_bundle import SIZE, toy_image

RATE = 25.0  # Hz
FOCAL = 40.0  # pixels


def lens(focal: float, size: int = SIZE, bend: float = 0.0) -> CameraInfo:
    """What a driver says of a camera."""
    center = (size - 1) / 2
    return CameraInfo(
        width=size, height=size, distortion_model='plumb_bob', d=[bend, 0.0, 0.0, 0.0, 0.0],
        k=[focal, 0.0, center, 0.0, focal, center, 0.0, 0.0, 1.0])


CAMERAS = {
    'top/color': lens(FOCAL), 'narrow': lens(4 * FOCAL),
    'uncalibrated': lens(0.0), 'resized': lens(10 * FOCAL, 10 * SIZE), 'bent': lens(FOCAL, bend=-1),
    'alone': None}


class Driver(Node):
    """Publishes everything at `RATE`, with the same stamp."""

    def __init__(self) -> None:
        super().__init__('camera_driver')
        self._count = 0
        self._sends = [self._camera(place, info) for place, info in CAMERAS.items()]
        self.create_timer(1.0 / RATE, self._send)

    def _send(self) -> None:
        self._count += 1
        header = Header(stamp=self.get_clock().now().to_msg())
        for send in self._sends:
            send(header)

    def _camera(self, place: str, info: CameraInfo | None) -> Callable[[Header], None]:
        images = self.create_publisher(Image, f'{place}/image_raw', qos_profile_sensor_data)
        infos = None if info is None else self.create_publisher(
            CameraInfo, f'{place}/camera_info', qos_profile_sensor_data)

        def send(header: Header) -> None:
            if infos is not None:
                info.header = header
                infos.publish(info)
            seen = toy_image([0.1 + 0.01 * (self._count % 2)] * 2)
            images.publish(Image(header=header, height=SIZE, width=SIZE, encoding='rgb8',
                                 step=3 * SIZE, data=array.array('B', seen.tobytes())))

        return send


if __name__ == '__main__':
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Driver())
