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
"""The faulty wire: a node between robot and nodes that spoils what passes, on order.

    robot/joint_states ─┐           ┌─ joint_states
                        ├─ relay ───┤
    robot/image_raw ────┘           └─ camera/image_raw        (and /clock, where --clock is given)

Orders come as JSON on ``relay/order``; each replaces what holds for the streams that it names and
is confirmed on ``relay/said`` once it holds. Of a stream (``joints``, ``camera``):

    drop: 0.3          share of messages that do not pass; 1 unplugs it
    frozen: true       the content of the first message from now on, with every message's own stamp
    stamp: true        the content moves on, the first message's stamp stays
    shift: -10.0       seconds added to stamps
    paint: [255,0,255] colour of the corner of what models see of a picture (see spoiled.py)

Of ``clock``: ``rate`` (0 pauses it) and ``jump`` in seconds, once.
"""

from __future__ import annotations

import array
import json
import random
import sys
import time
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from world_model_ros.nodes.process import run_node

NANOSECONDS = 1_000_000_000
RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)
IMAGE = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
CLOCK_PERIOD = 0.005  # s
CORNER = 12  # pixels, of which a few are left when the picture is made smaller


class Stream:
    """One topic that passes, as it is ordered to."""

    def __init__(
        self, node: Node, kind: type, source: str, target: str, qos: QoSProfile
    ) -> None:
        self._kind = kind
        self._publisher = node.create_publisher(kind, target, qos)
        self._chance = random.Random(source)
        self.order({})
        node.create_subscription(kind, source, self._pass, qos, raw=True)

    def order(self, order: dict[str, Any]) -> None:
        self._order = order
        self._first: Any = None

    def _pass(self, raw: bytes) -> None:
        order = self._order
        if not order:
            self._publisher.publish(raw)
            return
        if self._chance.random() < order.get('drop', 0.0):
            return
        message = deserialize_message(raw, self._kind)
        if self._first is None:
            self._first = deserialize_message(raw, self._kind)
        if order.get('frozen'):
            stamp = message.header.stamp
            message, message.header.stamp = self._first, stamp
        if order.get('stamp'):
            message.header.stamp = self._first.header.stamp
        if 'shift' in order:
            stamp = message.header.stamp
            shifted = stamp.sec * NANOSECONDS + stamp.nanosec + round(order['shift'] * NANOSECONDS)
            stamp.sec, stamp.nanosec = divmod(shifted, NANOSECONDS)
        if 'paint' in order:
            paint(message, order['paint'])
        self._publisher.publish(message)


def paint(picture: Image, colour: list[int]) -> None:
    """Paint the corner of the largest centred square, which is what models crop from a picture."""
    side = min(picture.height, picture.width)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    for row in range(top, top + CORNER):
        start = row * picture.step + 3 * left
        picture.data[start:start + 3 * CORNER] = array.array('B', colour * CORNER)


class SimulatedTime:
    """The publisher of /clock: real time, but for what is ordered."""

    def __init__(self, node: Node) -> None:
        self._publisher = node.create_publisher(ClockMessage, '/clock', RELIABLE)
        self._rate = 1.0
        self._now = time.time_ns()
        self._told = time.monotonic_ns()
        node.create_timer(CLOCK_PERIOD, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def order(self, order: dict[str, Any]) -> None:
        self._tick()
        self._rate = order.get('rate', 1.0)
        self._now += round(order.get('jump', 0.0) * NANOSECONDS)
        self._tick()

    def _tick(self) -> None:
        steady = time.monotonic_ns()
        self._now += round((steady - self._told) * self._rate)
        self._told = steady
        message = ClockMessage()
        message.clock.sec, message.clock.nanosec = divmod(self._now, NANOSECONDS)
        self._publisher.publish(message)


class Relay(Node):
    """Passes camera and joints on; see the module."""

    def __init__(self, with_clock: bool) -> None:
        super().__init__('relay', start_parameter_services=False)
        self._parts: dict[str, Stream | SimulatedTime] = {
            'joints': Stream(self, JointState, 'robot/joint_states', 'joint_states',
                             qos_profile_sensor_data),
            'camera': Stream(self, Image, 'robot/image_raw', 'camera/image_raw', IMAGE),
        }
        if with_clock:
            self._parts['clock'] = SimulatedTime(self)
        self._said = self.create_publisher(String, 'relay/said', RELIABLE)
        self.create_subscription(String, 'relay/order', self._on_order, RELIABLE)

    def _on_order(self, message: String) -> None:
        order = json.loads(message.data)
        for name, part in order['parts'].items():
            self._parts[name].order(part)
        self._said.publish(message)


if __name__ == '__main__':
    run_node(lambda: Relay('--clock' in sys.argv))
