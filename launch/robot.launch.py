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
"""A world model on your robot: ``ros2 launch world_model_ros robot.launch.py``.

    ros2 launch world_model_ros robot.launch.py bundle:=my_bundle parameters:=my_robot.yaml

It starts ``controller`` and ``world_model``, and starts them again when they die; the robot's
drivers and ros2_control run already. ``config/robot_template.yaml`` is what my_robot.yaml begins
as, ``--show-args`` lists the arguments. All names are relative: ``namespace`` holds several robots
apart. On two machines, each starts one of the ``nodes``:

    ros2 launch world_model_ros robot.launch.py nodes:=controller parameters:=my_robot.yaml
    ros2 launch world_model_ros robot.launch.py nodes:=world_model bundle:=my_bundle \
        parameters:=my_robot.yaml
"""

from functools import partial
from pathlib import PurePosixPath

from launch.actions import LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import Action, LaunchContext, LaunchDescription
from world_model_ros.bringup.back_off import BackOff
from world_model_ros.bringup.dds import discovery_profile
from world_model_ros.bringup.launch_arguments import (
    ROBOT,
    declare,
    robot_remappings,
    robot_settings,
)
from world_model_ros.bringup.respawn import respawning


def generate_launch_description() -> LaunchDescription:
    """Return the nodes, the controller first."""
    return LaunchDescription([
        *declare(ROBOT),
        *(SetEnvironmentVariable(name, value) for name, value in discovery_profile().items()),
        OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ROBOT}
    notes: list[str] = []
    settings = robot_settings(given, notes.append)
    remappings = robot_remappings(given)

    def make(name: str) -> Node:
        return Node(
            package='world_model_ros', executable=name, name=name, namespace=given['namespace'],
            output='screen', parameters=[given['parameters'], settings[name]],
            remappings=list(remappings[name].items()),
            # Whose keys and rights it has where ROS_SECURITY_ENABLE is set; see docs/security.md.
            ros_arguments=['--enclave', str(PurePosixPath('/', given['namespace'], name))])

    if given['nodes'] != 'controller' and not given['bundle']:
        raise ValueError('world_model needs a model: give bundle:=FOLDER, or nodes:=controller to '
                         'start the controller alone')
    # The controller is back first: it brings the robot to rest where the model cannot.
    nodes = {
        'controller': respawning(partial(make, 'controller'), BackOff(first=0.1)),
        'world_model': respawning(partial(make, 'world_model'), BackOff(first=1.0))}
    return [*(LogInfo(msg=note) for note in notes),
            *(node for name, node in nodes.items() if given['nodes'] in (name, 'both'))]
