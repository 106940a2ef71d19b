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

This package reads and writes bundles and trusts nothing that it reads. It runs no graph (that is
`inference`), and needs neither ROS nor ONNX Runtime. See `manifest` for what a bundle looks like.
"""

from world_model_ros.bundle.action import ActionContract, Meaning
from world_model_ros.bundle.errors import BundleError, Fault
from world_model_ros.bundle.fields import Normalization
from world_model_ros.bundle.golden import GoldenVectors
from world_model_ros.bundle.graphs import Graphs
from world_model_ros.bundle.inputs import (
    AnyProprioception,
    FieldOfView,
    ImageContract,
    ImageNormalization,
    PoseProprioception,
    Proprioception,
)
from world_model_ros.bundle.latent import (
    Cost,
    CostTerm,
    Distance,
    DistanceCost,
    Goal,
    Latent,
    ReturnCost,
    Surprise,
)
from world_model_ros.bundle.load import (
    MANIFEST_NAME,
    Bundle,
    load_bundle,
    load_manifest,
    write_manifest,
)
from world_model_ros.bundle.manifest import Manifest
from world_model_ros.bundle.planner_settings import REFINEMENT_STEPS, PlannerSettings

__all__ = [
    'MANIFEST_NAME',
    'REFINEMENT_STEPS',
    'ActionContract',
    'AnyProprioception',
    'Bundle',
    'BundleError',
    'Cost',
    'CostTerm',
    'Distance',
    'DistanceCost',
    'Fault',
    'FieldOfView',
    'Goal',
    'GoldenVectors',
    'Graphs',
    'ImageContract',
    'ImageNormalization',
    'Latent',
    'Manifest',
    'Meaning',
    'Normalization',
    'PlannerSettings',
    'PoseProprioception',
    'Proprioception',
    'ReturnCost',
    'Surprise',
    'load_bundle',
    'load_manifest',
    'write_manifest',
]
