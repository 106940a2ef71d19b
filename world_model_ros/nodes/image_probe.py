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
Whether images reach another process, as one line of JSON: the test of ``wmros doctor``.

    python -m world_model_ros.nodes.image_probe

Two processes, as a camera driver and a node of this package: the one that sends has DDS as this
environment sets it up, the one that receives has what the package's nodes have. The figures hold
for the middleware in use on this machine; the domain should be one that nobody else is in.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import subprocess
import sys
import time
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.qos import IMAGE
from world_model_ros.nodes.topic_probe import join_dds, make_node

WIDTH, HEIGHT, RATE = 640, 480, 30.0
_TOPIC = 'wmros_test_image'
_MATCHING = 10.0  # s until both have found each other
_WARM_UP = 10  # images that may be lost: one end finds the other first
_LINGER = 0.5  # s that the sender stays, so that the last image gets out


def send(count: int) -> int:
    """Publish `count` images, and some before, to whoever listens; 1 if nobody does."""
    rclpy.init(args=[])
    node = make_node('wmros_sender')
    publisher = node.create_publisher(Image, _TOPIC, IMAGE)
    deadline = time.monotonic() + _MATCHING
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            return 1
        rclpy.spin_once(node, timeout_sec=0.02)
    image = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=3 * WIDTH,
                  data=array.array('B', bytes(3 * WIDTH * HEIGHT)))
    due = time.monotonic()
    for number in range(-_WARM_UP, count):
        now = time.monotonic_ns()  # of the machine, which both processes are on
        image.header = Header(frame_id=str(number), stamp=Time(
            sec=now // NANOSECONDS, nanosec=now % NANOSECONDS))
        publisher.publish(image)
        due += 1.0 / RATE
        time.sleep(max(due - time.monotonic(), 0.0))
    time.sleep(_LINGER)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


def receive(count: int) -> dict[str, Any]:
    """Return how many of `count` images came, and how late [ms]."""
    driver = dict(os.environ)  # before this process takes the package's settings
    join_dds()
    node = make_node('wmros_receiver')
    delays: list[float] = []

    def note(image: Image) -> None:
        if int(image.header.frame_id) >= 0:
            delays.append((time.monotonic_ns() - to_nanoseconds(image.header.stamp)) / 1e6)

    node.create_subscription(Image, _TOPIC, note, IMAGE)
    sender = subprocess.Popen(
        [sys.executable, '-m', 'world_model_ros.nodes.image_probe', '--send', '--count',
         str(count)], env=driver, stdin=subprocess.DEVNULL)
    try:
        while sender.poll() is None:
            rclpy.spin_once(node, timeout_sec=0.05)
    finally:
        sender.kill()
    delays.sort()
    node.destroy_node()
    rmw = rclpy.get_rmw_implementation_identifier()
    return {'rmw': rmw, 'matched': sender.returncode == 0, 'sent': count, 'received': len(delays),
            'p50_ms': delays[len(delays) // 2] if delays else None,
            'worst_ms': delays[-1] if delays else None}


def main() -> int:
    """Send or receive as the command line says; receiving prints one line of JSON."""
    parser = argparse.ArgumentParser(description='Says as JSON whether images get through.')
    parser.add_argument('--count', type=int, default=60)
    parser.add_argument('--send', action='store_true', help='be the sender; the receiver starts it')
    args = parser.parse_args()
    if args.send:
        return send(args.count)
    try:
        print(json.dumps(receive(args.count)), flush=True)
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
