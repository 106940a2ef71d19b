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

It starts ``controller`` and ``world_model``, and starts them again when they end; the robot's
drivers and ros2_control run already. ``config/robot_template.yaml`` is what my_robot.yaml begins
as, ``--show-args`` lists the arguments. All names are relative: ``namespace`` holds several robots
apart.
"""

from functools import partial
from pathlib import PurePosixPath

from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import Action, LaunchContext, LaunchDescription
from world_model_ros.bringup.back_off import BackOff
from world_model_ros.bringup.dds import discovery_profile
from world_model_ros.bringup.respawn import respawning

ARGUMENTS = {
    'bundle': (None, 'Folder of the model bundle.'),
    'parameters': (None, 'YAML file of your robot; begin with config/robot_template.yaml.'),
    'robot_description_file': (
        '', 'URDF with the limits of the joints; empty: what the YAML file says.'),
    'namespace': ('', 'Namespace of the nodes and of all relative topics.'),
    'image': ('camera/image_raw', 'The camera that the model was trained for.'),
    'joint_states': ('joint_states', 'Joint states of the robot.'),
    'commands': ('velocity_controller/commands',
                 'Where velocities go, with command_interface: velocity.'),
    'joint_trajectory': ('joint_trajectory_controller/joint_trajectory',
                         'Where trajectories go, with command_interface: trajectory.'),
    'cmd_vel': ('cmd_vel', 'Where twists go, with command_interface: twist.'),
    'use_sim_time': ('false', 'Follow /clock: for simulators and bags.'),
    'autostart': ('true', 'Configure and activate; false leaves that to a lifecycle manager.'),
}


def generate_launch_description() -> LaunchDescription:
    """Return both nodes, the controller first."""
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, (default, text) in ARGUMENTS.items()),
        *(SetEnvironmentVariable(name, value) for name, value in discovery_profile().items()),
        OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    both = {'use_sim_time': given['use_sim_time'].lower() == 'true',
            'autostart': given['autostart'].lower() == 'true'}
    urdf = given['robot_description_file']
    description = {'robot_description_file': urdf} if urdf else {}

    def make(name: str, settings: dict[str, object], remappings: dict[str, str]) -> Node:
        return Node(
            package='world_model_ros', executable=name, name=name, namespace=given['namespace'],
            output='screen', parameters=[given['parameters'], {**both, **settings}],
            remappings=list(remappings.items()),
            # Whose keys and rights it has where ROS_SECURITY_ENABLE is set; see docs/security.md.
            ros_arguments=['--enclave', str(PurePosixPath('/', given['namespace'], name))])

    controller = partial(make, 'controller', description, {
        'proposal': 'world_model/proposal', 'model_info': 'world_model/model_info',
        'heartbeat': 'world_model/heartbeat',
        **{name: given[name] for name in (
            'joint_states', 'commands', 'joint_trajectory', 'cmd_vel')}})
    world_model = partial(make, 'world_model', {'bundle': given['bundle']}, {
        'image': given['image'], 'joint_states': given['joint_states'],
        'image/compressed': f'{given["image"]}/compressed',
        'controller_state': 'controller/state'})
    # The controller is back first: it brings the robot to rest where the model cannot.
    return [respawning(controller, BackOff(first=0.1)),
            respawning(world_model, BackOff(first=1.0))]
