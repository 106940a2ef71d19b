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
"""Turns a trained model into a bundle: graphs for ONNX Runtime, golden vectors and the manifest.

One module for each family of models (`joint_embedding`, `dino_wm`, `tdmpc2`, `vjepa2`, `module`,
`reach`) says what its graphs are; the rest is common: `checkpoint` reads weights safely, `robot`
asks for what no checkpoint knows, `graphs` exports and compares with torch, `verify` asks whether
the runtime chooses what torch would choose, about `examples`, and `assemble` writes the bundle.
"""

from world_model_ros.learning.export.assemble import assemble
from world_model_ros.learning.export.families import Request, build
from world_model_ros.learning.export.graphs import ExportError
from world_model_ros.learning.export.reach import export_reach
from world_model_ros.learning.export.robot import read_robot

__all__ = ['ExportError', 'Request', 'assemble', 'build', 'export_reach', 'read_robot']
