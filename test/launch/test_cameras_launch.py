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
"""robot.launch.py with a model of two cameras: each is found where `cameras` says that it is.

Needs launch_testing, which comes with a ROS 2 distribution.
"""

import array
import json
import os
import tempfile
import unittest
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('launch_testing', reason='launch_testing comes with a ROS 2 distribution')
pytest.importorskip('launch_ros', reason='launch_ros comes with a ROS 2 distribution')

import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
import numpy as np
import rclpy
from dds import spin_until
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from toy_bundle import JOINTS, SIZE, toy_image, write_toy_bundle

from launch import LaunchDescription
from world_model_ros.cli.probes import free_domain
from world_model_ros.demo import graph
from world_model_ros.nodes.qos import LATCHED

LAUNCH_FILE = Path(__file__).parents[2] / 'launch' / 'robot.launch.py'
# One has a topic outside of the robot's namespace, one a topic in it.
CAMERAS = {'shelf': '/top/color/image_raw', 'wrist': 'hand/image_raw'}
PERIOD = 0.02  # s
START, GOAL = (0.6, -0.5), (-0.2, 0.4)  # rad


@pytest.mark.launch_test
@launch_testing.markers.keep_alive
def generate_test_description() -> tuple[LaunchDescription, dict[str, Any]]:
    """Return what a person starts whose cameras have topics of their own."""
    domain, out = free_domain(), Path(tempfile.mkdtemp(dir=os.environ['ROS_LOG_DIR']))
    write_toy_bundle(out / 'bundle', cameras=('shelf', 'wrist'))
    parameters = out / 'robot.yaml'
    parameters.write_text(json.dumps({'/**/controller': {'ros__parameters': {
        'joints': list(JOINTS), 'command_interface': 'velocity',
        'robot_description_file': 'package://world_model_ros/description/reach_arm.urdf',
        'joint_limits': {joint: {'max_acceleration': 8.0} for joint in JOINTS}}}}))
    robot = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH_FILE)),
        launch_arguments={
            'bundle': str(out / 'bundle'), 'parameters': str(parameters), 'namespace': 'arm',
            'cameras': ' '.join(f'{name}:={topic}' for name, topic in CAMERAS.items())}.items())
    environment = {'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(out), **graph.environment()}
    return LaunchDescription([
        *(SetEnvironmentVariable(name, value) for name, value in environment.items()),
        robot, launch_testing.actions.ReadyToTest()]), {'domain': domain}


class Robot:
    """Joints that do what they are told, seen by one camera each."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.position, self._velocity = np.array(START), np.zeros(2)
        node.create_subscription(
            Float64MultiArray, 'velocity_controller/commands', self._obey, 10)
        self._joints = node.create_publisher(JointState, 'joint_states', qos_profile_sensor_data)
        self._cameras = {name: node.create_publisher(Image, topic, qos_profile_sensor_data)
                         for name, topic in CAMERAS.items()}
        self._goals = {name: node.create_publisher(Image, f'{name}/goal_image', LATCHED)
                       for name in CAMERAS}
        node.create_timer(PERIOD, self._live)

    def show_goal(self) -> None:
        """Ask for what both cameras are to show."""
        for name, goal in self._goals.items():
            goal.publish(self._picture(name, np.array(GOAL), Header()))

    def _obey(self, command: Float64MultiArray) -> None:
        self._velocity = np.array(command.data)

    def _live(self) -> None:
        self.position = self.position + PERIOD * self._velocity
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._joints.publish(JointState(
            header=header, name=list(JOINTS), position=self.position.tolist(),
            velocity=self._velocity.tolist()))
        for name, camera in self._cameras.items():
            camera.publish(self._picture(name, self.position, header))

    @staticmethod
    def _picture(name: str, position: np.ndarray, header: Header) -> Image:
        # The other joint is out of this camera's sight: whoever mixes the cameras up sees nothing.
        seen = [position[0], 2.0] if name == 'shelf' else [-2.0, position[1]]
        return Image(header=header, height=SIZE, width=SIZE, encoding='rgb8', step=3 * SIZE,
                     data=array.array('B', toy_image(seen).tobytes()))


class TestCameras(unittest.TestCase):
    """The robot goes where a picture of each camera shows it."""

    def setUp(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node('robot', namespace='arm', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def tearDown(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def test_a_goal_of_two_pictures_is_reached_with_cameras_of_other_names(self) -> None:
        robot = Robot(self.node)
        robot.show_goal()
        spin_until(self.executor, lambda: bool(np.abs(robot.position - GOAL).max() < 0.05), 40.0,
                   lambda: f'the robot to reach {GOAL}; it is at {robot.position}')
        for topic in ('/arm/shelf/image_raw', '/arm/wrist/image_raw', '/arm/camera/image_raw'):
            self.assertEqual(self.node.count_subscribers(topic), 0, topic)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """What the run leaves behind."""

    def test_every_node_ends_cleanly(self, proc_info) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
        self.assertEqual(len(list(proc_info.process_names())), 2)
