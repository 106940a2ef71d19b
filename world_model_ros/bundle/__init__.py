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
"""What a model is: a folder of ONNX graphs and a manifest that holds every number.

This room reads and writes bundles and trusts nothing that it reads. It runs no graph (that is
`inference`), and needs neither ROS nor ONNX Runtime. See `manifest` for what a bundle looks like.
"""

from world_model_ros.bundle.errors import BundleError, Fault
from world_model_ros.bundle.golden import GoldenVectors
from world_model_ros.bundle.load import MANIFEST_NAME, Bundle, load_bundle, write_manifest
from world_model_ros.bundle.manifest import (
    ActionContract,
    Cost,
    CostTerm,
    Goal,
    ImageContract,
    Latent,
    Manifest,
    PlannerSettings,
    Proprioception,
)

__all__ = [
    'MANIFEST_NAME',
    'ActionContract',
    'Bundle',
    'BundleError',
    'Cost',
    'CostTerm',
    'Fault',
    'Goal',
    'GoldenVectors',
    'ImageContract',
    'Latent',
    'Manifest',
    'PlannerSettings',
    'Proprioception',
    'load_bundle',
    'write_manifest',
]
