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
"""Runs a bundle: encodes observations and goals, imagines what actions lead to. No torch."""

from world_model_ros.inference.context import Context, ContextBuffer, FrameStack
from world_model_ros.inference.costs import Scores
from world_model_ros.inference.errors import InferenceError
from world_model_ros.inference.joint_target import JointTarget
from world_model_ros.inference.model import WorldModel
from world_model_ros.inference.pace import Pace
from world_model_ros.inference.proof import golden_sequences, golden_start
from world_model_ros.inference.providers import RuntimeSettings

__all__ = [
    'Context',
    'ContextBuffer',
    'FrameStack',
    'InferenceError',
    'JointTarget',
    'Pace',
    'RuntimeSettings',
    'Scores',
    'WorldModel',
    'golden_sequences',
    'golden_start',
]
