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
apart (``world_model_ros/demo/graph.py``, ``config/demo.yaml``). They are in a ROS domain of their
own, or in ROS_DOMAIN_ID if nobody on this machine is there. Controller and world model come back
when they die. It is over when the director has judged the last goal; ``--show-args`` lists
the arguments.
"""

import time
from functools import partial

from launch.actions import (
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import Action, LaunchContext, LaunchDescription
from world_model_ros.bringup.back_off import BackOff
from world_model_ros.bringup.launch_arguments import DEMO, declare
from world_model_ros.bringup.respawn import respawning
from world_model_ros.cli.probes import domain_for_demo
from world_model_ros.demo import graph


def generate_launch_description() -> LaunchDescription:
    """Return the demo's graph."""
    settings = {
        graph.WORLD_MODEL.name: {'bundle': _typed('bundle', str)},
        graph.DIRECTOR.name: {
            'episodes': _typed('episodes', int), 'seed': _typed('seed', int),
            'out': _typed('out', str), 'started': time.time()},
    }

    def make(node: graph.GraphNode) -> Node:
        return Node(
            package='world_model_ros', executable=node.name, name=node.name,
            namespace=LaunchConfiguration('namespace'), output='screen',
            parameters=[LaunchConfiguration('parameters'), settings.get(node.name, {})],
            remappings=list(node.remappings.items()),
            # Whose keys and rights it has where ROS_SECURITY_ENABLE is set; see docs/security.md.
            ros_arguments=['--enclave', f'/{node.name}'])

    director = make(graph.DIRECTOR)
    end = RegisterEventHandler(OnProcessExit(
        target_action=director, on_exit=[Shutdown(reason='the director has ended')]))
    return LaunchDescription([
        *declare(DEMO), OpaqueFunction(function=_part), end, make(graph.SIMULATOR),
        # The controller is back first: it brings the robot to rest where the model cannot.
        respawning(partial(make, graph.CONTROLLER), BackOff(first=0.1)),
        respawning(partial(make, graph.WORLD_MODEL), BackOff(first=1.0)),
        director])


def _part(_: LaunchContext) -> list[Action]:
    """Keep the demo apart from everybody else on DDS."""
    domain = str(domain_for_demo())
    environment = {**graph.environment(), 'ROS_DOMAIN_ID': domain}
    return [*(SetEnvironmentVariable(name, value) for name, value in environment.items()),
            LogInfo(msg=f'The demo is in ROS domain {domain}: export ROS_DOMAIN_ID={domain} to see '
                        'it from another terminal.')]


def _typed(name: str, kind: type) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(name), value_type=kind)
