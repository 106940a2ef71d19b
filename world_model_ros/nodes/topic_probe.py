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
What really comes on a robot's topics, as one line of JSON: the ears of ``wmros check``.

    python -m world_model_ros.nodes.topic_probe --image image --joint-states joint_states

Listens with the same quality of service as ``world_model`` for at most ``--seconds``, and says what
it found without judging it: who publishes with which quality of service, how often messages came,
what the last one was like, and how its stamp compares with this machine's ROS clock. Whether that
is what a model needs is for ``cli.topics`` to say.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from sensor_msgs.msg import Image, JointState

from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.process import FAST_DDS_TRANSPORTS
from world_model_ros.nodes.qos import IMAGE, SENSOR

_TYPES = {'image': 'sensor_msgs/msg/Image', 'joint_states': 'sensor_msgs/msg/JointState'}
_ENOUGH = 20  # messages of each topic, for a rate


@dataclass
class Heard:
    """What came on one topic; times in seconds on this process' monotonic clock."""

    topic: str
    publishers: list[dict[str, str]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    ages: list[float] = field(default_factory=list)  # s: the ROS clock at arrival minus the stamp
    last: dict[str, Any] = field(default_factory=dict)

    def store(self, node: Node, message: Any, facts: dict[str, Any]) -> None:
        """Note a message."""
        self.arrivals.append(time.monotonic())
        stamp = to_nanoseconds(message.header.stamp)
        self.stamps.append(stamp)
        self.ages.append((node.get_clock().now().nanoseconds - stamp) / NANOSECONDS)
        self.last = {'frame_id': message.header.frame_id, **facts}

    def rate(self) -> float:
        """Messages per second; 0 for fewer than two."""
        if len(self.arrivals) < 2:
            return 0.0
        return (len(self.arrivals) - 1) / (self.arrivals[-1] - self.arrivals[0])


def probe(image: str, joint_states: str, seconds: float, use_sim_time: bool) -> dict[str, Any]:
    """Listen and return what there is to say."""
    node = rclpy.create_node('wmros_check', parameter_overrides=[
        Parameter('use_sim_time', value=use_sim_time)], enable_rosout=False)
    heard = {'image': Heard(node.resolve_topic_name(image)),
             'joint_states': Heard(node.resolve_topic_name(joint_states))}
    node.create_subscription(Image, image, lambda message: heard['image'].store(node, message, {
        'width': message.width, 'height': message.height, 'step': message.step,
        'encoding': message.encoding, 'bytes': len(message.data)}), IMAGE)
    node.create_subscription(
        JointState, joint_states, lambda message: heard['joint_states'].store(node, message, {
            'names': list(message.name), 'position': len(message.position),
            'velocity': len(message.velocity)}), SENSOR)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(
            len(one.arrivals) < _ENOUGH for one in heard.values()):
        rclpy.spin_once(node, timeout_sec=0.1)
    for name, qos in (('image', IMAGE), ('joint_states', SENSOR)):
        heard[name].publishers = _publishers(node, heard[name].topic, qos)
    found = {
        'use_sim_time': use_sim_time,
        'clock_publishers': node.count_publishers('/clock'),
        # Who else might have been meant.
        'topics': {name: kinds for name, kinds in node.get_topic_names_and_types()
                   if node.count_publishers(name) and any('sensor_msgs' in k for k in kinds)},
        **{name: {**asdict(one), 'rate': one.rate(), 'type': _TYPES[name]}
           for name, one in heard.items()},
    }
    node.destroy_node()
    return found


def _publishers(node: Node, topic: str, qos: QoSProfile) -> list[dict[str, str]]:
    found = []
    for info in node.get_publishers_info_by_topic(topic):
        compatibility, reason = qos_check_compatible(info.qos_profile, qos)
        found.append({
            'node': f'{info.node_namespace.rstrip("/")}/{info.node_name}',
            'type': info.topic_type, 'reliability': info.qos_profile.reliability.name.lower(),
            'refusal': reason if compatibility is QoSCompatibility.ERROR else ''})
    return found


def main() -> int:
    """Probe as the command line says and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Says as JSON what comes on a robot's topics.")
    parser.add_argument('--image', default='image')
    parser.add_argument('--joint-states', default='joint_states')
    parser.add_argument('--seconds', type=float, default=5.0)
    parser.add_argument('--use-sim-time', action='store_true')
    args = parser.parse_args()
    os.environ.setdefault('FASTDDS_BUILTIN_TRANSPORTS', FAST_DDS_TRANSPORTS)
    rclpy.init(args=[])
    try:
        print(json.dumps(probe(args.image, args.joint_states, args.seconds, args.use_sim_time)),
              flush=True)
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
