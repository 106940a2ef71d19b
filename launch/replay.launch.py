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
"""A bag instead of a robot: ``ros2 launch world_model_ros replay.launch.py``.

    ros2 launch world_model_ros replay.launch.py \
        bag:=my_bag bundle:=my_bundle parameters:=my_robot.yaml

The nodes of ``robot.launch.py`` by the bag's clock, fed with what the robot saw: camera, joint
states, pose and goal. What the bag says of plans and commands is not played, so that only one model
speaks. Commands go to topics below ``replay/``, and nothing leaves this machine unless
ROS_AUTOMATIC_DISCOVERY_RANGE says otherwise: a real robot near by does not move. It is over when
the bag is. It needs the packages ros2bag and rosbag2_storage_default_plugins.
"""

import os

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import Action, LaunchContext, LaunchDescription
from world_model_ros.resources import resource

ARGUMENTS = {
    'bag': (None, 'Folder of the bag, as ros2 bag record wrote it.'),
    'bundle': (None, 'Folder of the model bundle.'),
    'parameters': (None, 'YAML file of the robot that the bag is of.'),
    'image': ('/camera/image_raw', 'The camera in the bag.'),
    'joint_states': ('/joint_states', 'The joint states in the bag.'),
    'pose': ('/pose', "The link's pose in the bag, for models that read one."),
    'goal_image': ('/goal_image', 'Goals in the bag; without any, publish one.'),
    'rate': ('1.0', 'How many times as fast as it was.'),
    'delay': ('5.0', 'Time for the nodes to load the model before the bag begins [s].'),
}
COMMANDS = ('commands', 'joint_trajectory', 'cmd_vel')


def generate_launch_description() -> LaunchDescription:
    """Return the robot's nodes and the bag that they listen to."""
    local = [] if 'ROS_AUTOMATIC_DISCOVERY_RANGE' in os.environ else [
        SetEnvironmentVariable('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')]
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=text)
          for name, (default, text) in ARGUMENTS.items()),
        *local, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    nodes = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(resource('launch/robot.launch.py'))),
        launch_arguments={
            'use_sim_time': 'true', **{name: f'replay/{name}' for name in COMMANDS},
            **{name: given[name] for name in (
                'bundle', 'parameters', 'image', 'joint_states')}}.items())
    # Goals and poses keep their own names in robot.launch.py, so the player renames them.
    bag = ExecuteProcess(
        name='bag', output='screen', cmd=[
            'ros2', 'bag', 'play', given['bag'], '--clock', '100', '--rate', given['rate'],
            '--delay', given['delay'], '--topics',
            *(given[name] for name in ('image', 'joint_states', 'pose', 'goal_image')),
            '--remap', f'{given["pose"]}:=/pose', f'{given["goal_image"]}:=/goal_image'])
    end = RegisterEventHandler(OnProcessExit(
        target_action=bag, on_exit=[Shutdown(reason='the bag has ended')]))
    return [end, nodes, bag]
