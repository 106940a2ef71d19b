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

"""The demo for ROS users: ``ros2 launch world_model_ros demo.launch.py``.

The same nodes, remappings and parameters as ``wmros demo`` starts, so that the two cannot drift
apart (``world_model_ros/demo/graph.py``, ``config/demo.yaml``). It ends when the director has
judged the last goal; ``--show-args`` lists the arguments.
"""

import time

from launch.actions import (
    DeclareLaunchArgument,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from world_model_ros.demo import graph


def generate_launch_description() -> LaunchDescription:
    """Return the demo's graph."""
    arguments = [
        DeclareLaunchArgument('namespace', default_value='',
                              description='Namespace of all nodes and topics.'),
        DeclareLaunchArgument('bundle', default_value=str(graph.default_bundle()),
                              description='Folder of the model bundle.'),
        DeclareLaunchArgument('parameters', default_value=str(graph.parameters_file()),
                              description='YAML file with the parameters of all nodes.'),
        DeclareLaunchArgument('episodes', default_value='5', description='How many goals are set.'),
        DeclareLaunchArgument('seed', default_value='0', description='Decides the goals.'),
        DeclareLaunchArgument('out', default_value='out',
                              description='Folder for the film demo.gif and report.json.'),
    ]
    settings = {
        graph.WORLD_MODEL.name: {'bundle': _typed('bundle', str)},
        graph.DIRECTOR.name: {
            'episodes': _typed('episodes', int), 'seed': _typed('seed', int),
            'out': _typed('out', str), 'started': time.time()},
    }
    nodes = {
        node.name: Node(
            package='world_model_ros', executable=node.name, name=node.name,
            namespace=LaunchConfiguration('namespace'), output='screen',
            parameters=[LaunchConfiguration('parameters'), settings.get(node.name, {})],
            remappings=list(node.remappings.items()))
        for node in (*graph.ROBOT, graph.DIRECTOR)}
    environment = [SetEnvironmentVariable(name, value)
                   for name, value in graph.environment().items()]
    end = RegisterEventHandler(OnProcessExit(
        target_action=nodes[graph.DIRECTOR.name],
        on_exit=[Shutdown(reason='the director has ended')]))
    return LaunchDescription([*arguments, *environment, *nodes.values(), end])


def _typed(name: str, kind: type) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(name), value_type=kind)
