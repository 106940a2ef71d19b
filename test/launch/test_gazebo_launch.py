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
"""gazebo.launch.py, as far as it can be tried without Gazebo: what it names is there.

Needs launch, which comes with a ROS 2 distribution.
"""

import runpy
from pathlib import Path

import pytest

pytest.importorskip('launch_ros', reason='launch_ros comes with a ROS 2 distribution')

from launch.actions import DeclareLaunchArgument

from launch import LaunchContext

LAUNCH_FILE = Path(__file__).parents[2] / 'launch' / 'gazebo.launch.py'


def test_gazebo_launch_file_explains_each_argument_and_finds_its_files() -> None:
    description = runpy.run_path(str(LAUNCH_FILE))['generate_launch_description']()
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert {'bundle', 'parameters', 'gui', 'namespace', 'use_sim_time'} <= set(arguments)
    assert all(argument.description for argument in arguments.values())


def test_gazebo_launch_file_refuses_a_namespace_before_anything_starts() -> None:
    description = runpy.run_path(str(LAUNCH_FILE))['generate_launch_description']()
    context = LaunchContext()
    context.launch_configurations['namespace'] = 'left'
    with pytest.raises(ValueError, match='namespace:=left does not hold for the robot in Gazebo'):
        for entity in description.entities:
            if not isinstance(entity, DeclareLaunchArgument):
                entity.visit(context)
                break
