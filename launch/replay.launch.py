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

The nodes of ``robot.launch.py`` by the bag's clock, fed with what the robot saw and did: cameras,
joint states, pose, goal and the state of its controller. What the bag says of plans and commands is
not played, so that only one model speaks. All of it is in the namespace ``replay``: no real robot
near by hears of it, unless it lives by ``/clock``. It is a dry run: the controller judges each plan
and follows none, since no drive listens to it. It is over when the bag is. It needs the packages
ros2bag and rosbag2_storage_default_plugins.
"""

from pathlib import Path

from launch.actions import (
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration

from launch import Action, LaunchContext, LaunchDescription
from world_model_ros.bringup.launch_arguments import REPLAY, declare, recorded_topics, replay_of
from world_model_ros.bundle import load_manifest
from world_model_ros.resources import resource

NAMESPACE = 'replay'


def generate_launch_description() -> LaunchDescription:
    """Return the robot's nodes and the bag that they listen to."""
    return LaunchDescription([*declare(REPLAY), OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list[Action]:
    given = {name: LaunchConfiguration(name).perform(context) for name in REPLAY}
    image = load_manifest(Path(given['bundle'])).image
    replay = replay_of(
        given, (image.cameras if image is not None else None) or (),
        recorded_topics(Path(given['bag'])), get_logger(Path(__file__).name).warning)
    nodes = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(resource('launch/robot.launch.py'))),
        launch_arguments={
            'namespace': NAMESPACE, 'use_sim_time': 'true', 'bundle': given['bundle'],
            # A command topic that is absolute would lead out of the namespace, to a drive.
            'dry_run': 'true',
            # Said here, or this file's arguments of the same name would hold there, too.
            **replay.robot, 'parameters': given['parameters']}.items())
    bag = ExecuteProcess(
        name='bag', output='screen', cmd=[
            'ros2', 'bag', 'play', given['bag'], '--clock', '100', '--rate', given['rate'],
            '--delay', given['delay'], '--topics', *replay.played,
            '--remap', *(f'{topic}:=/{NAMESPACE}/{name}' for topic, name in replay.played.items())])
    end = RegisterEventHandler(OnProcessExit(
        target_action=bag, on_exit=[Shutdown(reason='the bag has ended')]))
    return [end, nodes, bag]
