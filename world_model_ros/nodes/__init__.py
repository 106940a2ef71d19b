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

"""The only package that imports rclpy: thin nodes that read parameters and move data."""

import os

# Before anything imports NumPy, whose threads wait for each other busily: with one per core, a plan
# of a LeWM with refinement took a third more processor time than with one, and no less time.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')
