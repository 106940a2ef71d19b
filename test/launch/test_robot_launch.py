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
"""Two robots in namespaces on one machine: ``robot.launch.py`` twice, each beside its simulator.

Needs launch_testing, which comes with a ROS 2 distribution.
"""

import os
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('launch_testing', reason='launch_testing comes with a ROS 2 distribution')
pytest.importorskip('launch_ros', reason='launch_ros comes with a ROS 2 distribution')

import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
import rclpy
from dds import spin_until
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node as LaunchNode
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from launch import LaunchDescription
from world_model_interfaces.msg import ControllerState
from world_model_ros.cli.probes import free_domain
from world_model_ros.demo import graph
from world_model_ros.nodes.qos import LATCHED

LAUNCH_FILE = Path(__file__).parents[2] / 'launch' / 'robot.launch.py'
ROBOTS = ('left', 'right')


@pytest.mark.launch_test
@launch_testing.markers.keep_alive
def generate_test_description() -> tuple[LaunchDescription, dict[str, Any]]:
    """Return two robots, as a person would start them in terminals, one of them node by node."""
    domain, out = free_domain(), tempfile.mkdtemp(dir=os.environ['ROS_LOG_DIR'])
    model = {'bundle': str(graph.default_bundle())}
    robots = [IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH_FILE)),
        launch_arguments={'namespace': name, 'parameters': str(graph.parameters_file()),
                          'nodes': nodes, **given}.items())
              for name, nodes, given in (
                  ('left', 'both', model), ('right', 'controller', {'bundle': ''}),
                  ('right', 'world_model', model))]
    simulators = [LaunchNode(
        package='world_model_ros', executable='simulator', name='simulator', namespace=name,
        parameters=[str(graph.parameters_file())]) for name in ROBOTS]
    environment = {'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': out, **graph.environment()}
    return LaunchDescription([
        *(SetEnvironmentVariable(name, value) for name, value in environment.items()),
        *simulators, *robots, launch_testing.actions.ReadyToTest()]), {'domain': domain}


class TestTwoRobots(unittest.TestCase):
    """Both pursue a goal at the same time."""

    def setUp(self, domain: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = Node('probe', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def tearDown(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def test_each_follows_its_own_goal_on_topics_of_its_own(self) -> None:
        states: dict[str, list[ControllerState]] = {name: [] for name in ROBOTS}
        pictures: dict[str, list[Image]] = {name: [] for name in ROBOTS}
        for name in ROBOTS:
            self.node.create_subscription(
                ControllerState, f'/{name}/controller/state', states[name].append, 10)
            self.node.create_subscription(
                Image, f'/{name}/camera/image_raw', pictures[name].append,
                qos_profile_sensor_data)
        self.wait_for(lambda: all(pictures.values()), 'a picture of each camera')
        for name in ROBOTS:
            goal = self.node.create_publisher(Image, f'/{name}/goal_image', LATCHED)
            goal.publish(pictures[name][0])
        self.wait_for(
            lambda: all(seen and seen[-1].rung == ControllerState.TRACK
                        and seen[-1].accepted > 5 for seen in states.values()),
            'both robots to follow proposals')

        for topic, _ in self.node.get_topic_names_and_types():
            ends = [*self.node.get_publishers_info_by_topic(topic),
                    *self.node.get_subscriptions_info_by_topic(topic)]
            spaces = {end.node_namespace for end in ends if end.node_name != 'probe'}
            if topic not in ('/diagnostics', '/rosout', '/parameter_events', '/clock'):
                self.assertLessEqual(len(spaces), 1, f'{topic} is shared by {spaces}')

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        spin_until(self.executor, condition, 60.0, lambda: what)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """What the run leaves behind."""

    def test_every_node_ends_cleanly(self, proc_info) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
        self.assertEqual(len(list(proc_info.process_names())), 6)
