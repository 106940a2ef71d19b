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
what the last one was like (of joint states, the last one of each set of joints: several drivers may
share the topic), and how its stamp compares with this machine's ROS clock. Whether that is what a
model needs is for ``cli.topics`` to say.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS
from world_model_ros.bringup.topic_names import kind_of, name_of
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.qos import IMAGE, JOINTS, SENSOR
from world_model_ros.observation import Calibration, ImageError, decode_compressed

TYPES = {'image': 'sensor_msgs/msg/Image', 'joint_states': 'sensor_msgs/msg/JointState',
         'pose': 'geometry_msgs/msg/PoseStamped', 'camera_info': 'sensor_msgs/msg/CameraInfo'}
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
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
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of joint states, by the names in it: the last one that had these, stamps and ages of all."""

    def store(
        self, node: Node, facts: Callable[[Any], dict[str, Any]], message: Any,
    ) -> None:
        """Note a message and the facts about it."""
        self.arrivals.append(time.monotonic())
        stamp = to_nanoseconds(message.header.stamp)
        self.stamps.append(stamp)
        self.ages.append((node.get_clock().now().nanoseconds - stamp) / NANOSECONDS)
        self.last = {'frame_id': message.header.frame_id, **facts(message)}
        if 'names' in self.last:
            one = self.sets.setdefault(
                ' '.join(sorted(self.last['names'])), {'stamps': [], 'ages': []})
            one.update(self.last)
            one['stamps'].append(stamp)
            one['ages'].append(self.ages[-1])

    def rate(self) -> float:
        """Messages per second; 0 for fewer than two."""
        if len(self.arrivals) < 2:
            return 0.0
        return (len(self.arrivals) - 1) / (self.arrivals[-1] - self.arrivals[0])


def probe(
    node: Node, topics: Mapping[str, str], seconds: float, optional: Collection[str] = (),
) -> dict[str, Any]:
    """Listen with `node` to `topics`, keyed as `TYPES`, and return what there is to say.

    Keys may be those of a camera (`bringup.topic_names`). Where no picture comes, but compressed
    ones do, these are what was heard, as `world_model` has it. It ends when enough messages of each
    have come, at the latest after `seconds`; of what is `optional`, one is enough, and none where
    nobody publishes it. Where several publish joint states, each may have joints of its own, and is
    waited for.
    """
    heard = {name: Heard(node.resolve_topic_name(topic)) for name, topic in topics.items()}
    kinds = {'image': (Image, IMAGE, _image_facts), 'joint_states': (JointState, JOINTS, _joints),
             'pose': (PoseStamped, SENSOR, _no_facts), 'camera_info': (CameraInfo, SENSOR, _info)}
    of = {name: kind_of(name) for name in topics}
    for name, topic in topics.items():
        kind, qos, facts = kinds[of[name]]
        node.create_subscription(kind, topic, partial(heard[name].store, node, facts), qos)
    packed = {name: Heard(f'{heard[name].topic}/compressed') for name in topics
              if of[name] == 'image'}
    for one in packed.values():
        node.create_subscription(
            CompressedImage, one.topic, partial(one.store, node, _compressed_facts), IMAGE)

    def is_heard(name: str, one: Heard) -> bool:
        if name in optional:
            return bool(one.arrivals) or not node.count_publishers(one.topic)
        if one.sets:
            return len(one.sets) >= node.count_publishers(one.topic) and all(
                len(it['stamps']) >= _ENOUGH for it in one.sets.values())
        return max(len(it.arrivals) for it in (one, packed.get(name, one))) >= _ENOUGH

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not all(
            is_heard(name, one) for name, one in heard.items()):
        rclpy.spin_once(node, timeout_sec=0.1)
    instead = {name: one for name, one in packed.items()
               if one.arrivals and not heard[name].arrivals}
    heard |= instead
    for name, one in heard.items():
        one.publishers = _publishers(node, one.topic, kinds[of[name]][1])
    return {
        'use_sim_time': bool(node.get_parameter('use_sim_time').value),
        'clock_publishers': node.count_publishers('/clock'),
        # Who else might have been meant.
        'topics': {name: kinds for name, kinds in node.get_topic_names_and_types()
                   if node.count_publishers(name) and set(kinds) & set(TYPES.values())},
        **{name: {**asdict(one), 'rate': one.rate(),
                  'type': _COMPRESSED if name in instead else TYPES[of[name]]}
           for name, one in heard.items()},
    }


def make_node(name: str, namespace: str = '', *, use_sim_time: bool = False) -> Node:
    """Return a node that only listens; `rclpy` has been initialised."""
    return rclpy.create_node(
        name, namespace=namespace, enable_rosout=False, start_parameter_services=False,
        parameter_overrides=[Parameter('use_sim_time', value=use_sim_time)])


def join_dds() -> None:
    """Join DDS as the package's nodes do; see `bringup.dds`."""
    os.environ.setdefault(TRANSPORTS, FAST_DDS_TRANSPORTS)
    rclpy.init(args=[])


def _image_facts(message: Image) -> dict[str, Any]:
    return {'width': message.width, 'height': message.height, 'encoding': message.encoding}


def _compressed_facts(message: CompressedImage) -> dict[str, Any]:
    try:
        height, width = decode_compressed(message.data).shape[:2]
    except ImageError:
        return {'width': 0, 'height': 0, 'encoding': message.format}
    return {'width': width, 'height': height, 'encoding': 'rgb8'}


def _joints(message: JointState) -> dict[str, Any]:
    return {'names': list(message.name), 'position': len(message.position),
            'velocity': len(message.velocity)}


def _info(message: CameraInfo) -> dict[str, Any]:
    return asdict(Calibration.of(message))


def _no_facts(message: PoseStamped) -> dict[str, Any]:
    return {}


def _publishers(node: Node, topic: str, qos: QoSProfile) -> list[dict[str, str]]:
    found = []
    for info in node.get_publishers_info_by_topic(topic):
        compatibility, reason = qos_check_compatible(info.qos_profile, qos)
        found.append({
            'node': f'{info.node_namespace.rstrip("/")}/{info.node_name}',
            'type': info.topic_type, 'reliability': info.qos_profile.reliability.name.lower(),
            'refusal': reason if compatibility == QoSCompatibility.ERROR else ''})
    return found


def add_topics(parser: argparse.ArgumentParser) -> None:
    """Define an option for each kind of topic, which may be given once for each camera."""
    for name, kind in TYPES.items():
        parser.add_argument(f'--{name.replace("_", "-")}', action='append', default=[],
                            metavar='[CAMERA:=]TOPIC', help=f'a {kind}')


def given_topics(args: argparse.Namespace) -> dict[str, str]:
    """Topics of the command line, keyed as `probe` takes them."""
    given = {}
    for name in TYPES:
        for word in getattr(args, name):
            camera, _, topic = word.rpartition(':=')
            given[name_of(name, camera)] = topic
    return given


def main() -> int:
    """Probe as the command line says and print one line of JSON."""
    parser = argparse.ArgumentParser(description="Says as JSON what comes on a robot's topics.")
    add_topics(parser)
    parser.add_argument('--seconds', type=float, default=5.0)
    parser.add_argument('--use-sim-time', action='store_true')
    args = parser.parse_args()
    topics = given_topics(args)
    join_dds()
    try:
        node = make_node('wmros_check', use_sim_time=args.use_sim_time)
        # Not every camera tells its calibration, and one that does not is judged as well.
        infos = [name for name in topics if kind_of(name) == 'camera_info']
        print(json.dumps(probe(node, topics, args.seconds, infos)), flush=True)
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
