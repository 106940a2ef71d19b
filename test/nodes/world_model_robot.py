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
"""The other ends of world_model's wires, for tests of the real process on real DDS."""

import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from dds import Graph
from rclpy.action import ActionClient
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from toy_bundle import JOINTS, toy_image

from world_model_interfaces.action import ReachGoal
from world_model_interfaces.msg import Heartbeat
from world_model_interfaces.srv import LoadModel
from world_model_ros.bundle import Bundle
from world_model_ros.nodes.convert import to_stamp
from world_model_ros.nodes.qos import HEARTBEAT

FRAME = 'overhead_camera_optical_frame'


def picture(position: Any, encoding: str = 'rgb8') -> Image:
    pixels = toy_image(position)
    if encoding == 'bgr8':
        pixels = np.ascontiguousarray(pixels[:, :, ::-1])
    message = Image(height=32, width=32, encoding=encoding, step=96)
    message.data = array.array('B', pixels.tobytes())
    message.header.frame_id = FRAME
    return message


def small_picture(value: int) -> Image:
    message = Image(height=8, width=8, encoding='rgb8', step=24)
    message.data = array.array('B', bytes([value, 255 - value, 7]) * 64)
    return message


class Robot:
    """A camera and joints that a test moves by hand: publishes both at 20 Hz with equal stamps."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = np.zeros(2)
        self.stamps: list[int] = []
        self.spoil_image: Any = lambda image: None
        self.spoil_joints: Any = lambda joints: None
        self._images = graph.publisher(Image, 'image', qos_profile_sensor_data)
        self._joints = graph.publisher(JointState, 'joint_states', qos_profile_sensor_data)

    def publish(self) -> None:
        stamp = self.graph.now()
        joints = JointState(name=['gripper', *reversed(JOINTS)],
                            position=[0.1, *reversed(self.position.tolist())], velocity=[0.0] * 3)
        image = picture(self.position)
        for message in (joints, image):
            message.header.stamp = to_stamp(stamp)
        self.spoil_image(image)
        self.spoil_joints(joints)
        self._joints.publish(joints)
        self._images.publish(image)
        self.stamps.append(stamp)


@contextmanager
def running(folder: Path, bundle: Bundle, **parameters: Any) -> Iterator[Graph]:
    """Start an active world_model with this bundle in a graph of its own; it has to end well."""
    with Graph(folder) as graph:
        process = graph.spawn('world_model', parameters={
            'autostart': True, 'bundle': str(bundle.path), **parameters})
        graph.wait_until_active('world_model')
        yield graph
        assert graph.end(process) == 0


def reach(graph: Graph, goal: ReachGoal.Goal, feedback: list[Any] | None = None) -> Any:
    """Send a goal and return its handle."""
    client = ActionClient(graph.node, ReachGoal, 'world_model/reach_goal')
    graph.wait_for(client.server_is_ready, 10, 'the action server')
    heard = feedback if feedback is not None else []
    future = client.send_goal_async(goal, lambda message: heard.append(message.feedback))
    graph.wait_for(future.done, 10, 'the goal to be accepted')
    return future.result()


def outcome(graph: Graph, handle: Any, within: float = 10) -> Any:
    future = handle.get_result_async()
    graph.wait_for(future.done, within, 'the result')
    return future.result()


def load(graph: Graph, path: Path | str, shadow: bool = False, within: float = 20) -> Any:
    """Ask for a model and return the answer."""
    client = graph.node.create_client(LoadModel, 'world_model/load_model')
    graph.wait_for(client.service_is_ready, 10, 'load_model')
    future = client.call_async(LoadModel.Request(bundle=str(path), shadow=shadow))
    graph.wait_for(future.done, within, 'the answer of load_model')
    graph.node.destroy_client(client)
    return future.result()


class Pulse:
    """What ~/heartbeat says."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.beats = graph.listen(Heartbeat, 'world_model/heartbeat', HEARTBEAT)

    def wait_for(self, activity: int, text: str = '', within: float = 10) -> Heartbeat:
        del self.beats[:-1]
        self.graph.wait_for(
            lambda: bool(self.beats) and self.beats[-1].activity == activity
            and text in self.beats[-1].text, within,
            f'activity {activity} "{text}"; it is {self.beats[-1:]}')
        return self.beats[-1]


def show(pixels: Any) -> Any:
    """Let the camera show this, whatever the robot does."""
    def spoil(image: Image) -> None:
        image.data = array.array('B', pixels.tobytes())
    return spoil


def sound(_: Any) -> None:
    """Nothing is spoiled."""
