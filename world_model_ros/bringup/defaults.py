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
"""Defaults of world_model's parameters by which a robot is judged, too, without ROS.

Those of the controller are in `control.Settings`, those of what runs the graphs in
`inference.RuntimeSettings`.
"""

PLAN_RATE = 10.0  # Hz
PLAN_DEADLINE = 0.05  # s
MAX_SKEW = 0.02  # s
MAX_CAMERA_SKEW = 0.02  # s
MAX_AGE = 0.5  # s
