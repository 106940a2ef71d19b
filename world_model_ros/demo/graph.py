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

"""The demo's graph: which nodes there are, and who talks to whom.

One table for two homes: ``wmros demo`` starts these executables as plain processes, and
``launch/demo.launch.py`` hands them to ``ros2 launch``. Their parameters are in
``config/demo.yaml``.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from world_model_ros.bringup.dds import discovery_profile
from world_model_ros.resources import resource


@dataclass(frozen=True)
class GraphNode:
    """A node of the demo; its executable has the node's name."""

    name: str
    remappings: dict[str, str]
    hint: str
    """What a person can do when it does not come up."""

    @property
    def module(self) -> str:
        """The executable as ``python -m`` takes it."""
        return f'world_model_ros.nodes.{self.name}'


SIMULATOR = GraphNode(
    'simulator', {},
    'it renders without a screen, which needs the system libraries libegl1 and libgl1-mesa-dri')
CONTROLLER = GraphNode(
    'controller', {
        'proposal': 'world_model/proposal',
        'model_info': 'world_model/model_info',
        'heartbeat': 'world_model/heartbeat',
        'commands': 'velocity_controller/commands',
        'joint_trajectory': 'joint_trajectory_controller/joint_trajectory',
    }, 'its limits come from config/demo.yaml and the URDF')
WORLD_MODEL = GraphNode(
    'world_model', {
        'image': 'camera/image_raw', 'image/compressed': 'camera/image_raw/compressed',
        'controller_state': 'controller/state'},
    '"wmros check BUNDLE" tells whether the model is sound')
DIRECTOR = GraphNode(
    'demo_director', {
        'image': 'camera/image_raw',
        'tip': 'simulator/tip',
        'commands': 'velocity_controller/commands',
        'state': 'controller/state',
        'latent': 'world_model/latent',
        'proposal': 'world_model/proposal',
    }, 'it says what it waits for')

ROBOT = (SIMULATOR, CONTROLLER, WORLD_MODEL)
"""The nodes that a robot would have too, in the order in which they are started."""


def parameters_file() -> Path:
    """Return the parameters of all nodes of the demo."""
    return resource('config/demo.yaml')


def default_bundle() -> Path:
    """Return the model that the package ships for the demo's robot."""
    return resource('models/reach')


def environment() -> dict[str, str]:
    """Return the environment variables of the demo's DDS, less those that are set already.

    It stays on this machine, and processes that start together find each other at once. What nodes
    leave for their next start is for this run alone.
    """
    wanted = {
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        # An emergency stop outlives the controller; it is not to outlive the simulated robot.
        'ROS_HOME': str(Path(tempfile.gettempdir()) / f'wmros_demo_{time.time_ns()}')}
    return {
        **{name: value for name, value in wanted.items() if name not in os.environ},
        **discovery_profile()}
