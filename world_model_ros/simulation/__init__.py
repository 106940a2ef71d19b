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
"""The demo robot in MuJoCo: a real robot's inputs and outputs, without ROS and without a window.

It exists so that the whole chain can be driven, trained and judged on a machine that has neither a
robot nor ROS. It knows no world model; the node `simulator` puts it on topics.
"""

import os

# MuJoCo picks its OpenGL platform when it is first imported: without this it looks for a screen.
os.environ.setdefault('MUJOCO_GL', 'egl')

from world_model_ros.simulation.arm import ArmSimulation
from world_model_ros.simulation.drive import CommandError, Trajectory
from world_model_ros.simulation.scene import CameraIntrinsics, description_path

__all__ = ['ArmSimulation', 'CameraIntrinsics', 'CommandError', 'Trajectory', 'description_path']
