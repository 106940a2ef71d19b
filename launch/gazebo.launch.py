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
"""The demo robot in Gazebo: ``ros2 launch world_model_ros gazebo.launch.py``.

Gazebo takes the place of the robot and its drivers (physics, camera, ros2_control); from there on
it is ``robot.launch.py``, as on a robot. It needs the packages gz_ros2_control, ros_gz_bridge,
ros_gz_sim, robot_state_publisher, joint_state_broadcaster and joint_trajectory_controller.
"""

from launch.actions import IncludeLaunchDescription, OpaqueFunction, RegisterEventHandler
from launch.conditions import IfCondition, UnlessCondition
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchContext, LaunchDescription
from world_model_ros.bringup.gazebo import gazebo_description
from world_model_ros.bringup.launch_arguments import GAZEBO, declare, refuse_in_gazebo
from world_model_ros.resources import resource

CONTROLLERS = 'config/gazebo/controllers.yaml'


def generate_launch_description() -> LaunchDescription:
    """Return Gazebo, the robot in it, and the nodes that drive it."""
    description = gazebo_description(
        resource('description/reach_arm.urdf').read_text(encoding='utf-8'),
        resource('description/reach_arm.gazebo.xml').read_text(encoding='utf-8'),
        resource(CONTROLLERS))
    world = resource('description/table_world.sdf')
    gui = LaunchConfiguration('gui')
    gazebo = [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(PathJoinSubstitution(
                [FindPackageShare('ros_gz_sim'), 'launch', 'gz_sim.launch.py'])),
            launch_arguments={'gz_args': f'{options} {world}'}.items(), condition=condition)
        for options, condition in (
            # -r: run at once; -s: the server alone, which renders without a screen.
            ('-r', IfCondition(gui)),
            ('-r -s --headless-rendering', UnlessCondition(gui)))]
    publisher = Node(
        package='robot_state_publisher', executable='robot_state_publisher', output='screen',
        parameters=[{'robot_description': description, 'use_sim_time': True}])
    bridge = Node(
        package='ros_gz_bridge', executable='parameter_bridge', name='bridge', output='screen',
        parameters=[{'config_file': str(resource('config/gazebo/bridge.yaml')),
                     'use_sim_time': True}])
    spawn = Node(
        package='ros_gz_sim', executable='create', output='screen',
        arguments=['-topic', 'robot_description', '-name', 'reach_arm'])
    controllers = Node(
        package='controller_manager', executable='spawner', output='screen',
        arguments=['joint_state_broadcaster', 'joint_trajectory_controller',
                   '--param-file', str(resource(CONTROLLERS))])
    nodes = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(resource('launch/robot.launch.py'))),
        launch_arguments={
            'bundle': LaunchConfiguration('bundle'),
            'parameters': LaunchConfiguration('parameters'), 'use_sim_time': 'true'}.items())
    return LaunchDescription([
        *declare(GAZEBO), OpaqueFunction(function=_refuse),
        *gazebo, publisher, bridge, spawn, nodes,
        # ros2_control comes to life with the robot.
        RegisterEventHandler(OnProcessExit(target_action=spawn, on_exit=[controllers]))])


def _refuse(context: LaunchContext) -> None:
    refuse_in_gazebo(context.launch_configurations)
