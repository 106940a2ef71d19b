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
"""Chooses actions: scores imagined futures and gives the best plan that time allows.

ROS-free and torch-free. The model says what sequences are worth, `samplers` where to look next,
`planner` runs the loop, `sequences` turns what is searched into what a robot gets, `scoring` keeps
to the time, `refinement` improves on the best, `warm_start` carries what one plan leaves to the
next.
"""

from world_model_ros.planning.planner import Plan, Planner
from world_model_ros.planning.warm_start import WarmStart

__all__ = ['Plan', 'Planner', 'WarmStart']
