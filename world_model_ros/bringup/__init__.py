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
"""What a robot's file and a launch file say, without rclpy.

A robot's file is read by `robot_file`; `parameters` judges it by what the nodes declare, `fit` by
what a model plans. The controller, ``wmros doctor`` and ``robot.launch.py`` read it alike. The rest
is what the launch files share with each other, the nodes and the commands: a launch file cannot be
imported.
"""
