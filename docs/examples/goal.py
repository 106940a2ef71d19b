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
"""Takes goal pictures with the robot's own camera, and shows them to the model.

    python3 docs/examples/goal.py take there.png --image camera/image_raw   # the robot is there now
    python3 docs/examples/goal.py show there.png                            # later: go there again

A shown goal is latched: as long as this program runs, a model that is started again gets it too.
"""

import argparse
import array
import contextlib
import sys
from pathlib import Path

import cv2
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image

from world_model_ros.observation import decode_image

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def take(node: Node, topic: str, file: Path) -> int:
    """Write the next picture on ``topic`` to a file."""
    pictures: list[Image] = []
    node.create_subscription(Image, topic, pictures.append, qos_profile_sensor_data)
    for _ in range(100):
        rclpy.spin_once(node, timeout_sec=0.1)
        if pictures:
            break
    else:
        print(f'no picture on {node.resolve_topic_name(topic)} for 10 s')
        return 1
    last = pictures[-1]
    pixels = decode_image(last.encoding, last.height, last.width, last.step, last.data,
                          bool(last.is_bigendian))
    if not cv2.imwrite(str(file), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)):
        print(f'cannot write {file}')
        return 1
    print(f'{file}: {last.width}x{last.height}')
    return 0


def show(node: Node, topic: str, file: Path) -> int:
    """Publish the picture in a file as the goal, until Ctrl-C."""
    pixels = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if pixels is None:
        print(f'{file} is no picture')
        return 1
    height, width, _ = pixels.shape
    publisher = node.create_publisher(Image, topic, LATCHED)
    publisher.publish(Image(height=height, width=width, encoding='bgr8', step=3 * width,
                            data=array.array('B', pixels.tobytes())))
    print(f'{file} is the goal on {node.resolve_topic_name(topic)}; Ctrl-C ends this program',
          flush=True)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    return 0


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description='Take goal pictures, and show them to the model.')
    parser.add_argument('verb', choices=('take', 'show'))
    parser.add_argument('file', type=Path, help='of a picture, such as goal.png')
    parser.add_argument('--image', default='camera/image_raw', metavar='TOPIC')
    parser.add_argument('--goal-image', default='goal_image', metavar='TOPIC')
    args = parser.parse_args()
    rclpy.init()
    node = rclpy.create_node('goal')
    if args.verb == 'take':
        return take(node, args.image, args.file)
    return show(node, args.goal_image, args.file)


if __name__ == '__main__':
    sys.exit(main())
