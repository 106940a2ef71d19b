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
"""The robot that the doctor's tests examine: drivers, controller and world model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dds import Graph
from toy_bundle import JOINTS, write_toy_bundle

from world_model_ros.cli import middleware

HERE = Path(__file__).parent
BUFFERS = middleware.FAST_DDS_TRANSPORTS
# Where a model that names its cameras finds them; that of the robot names none.
CAMERAS = {'shelf': '/top/color/image_raw', 'wrist': '/bent/image_raw'}
CONTROLLER: dict[str, Any] = {
    'autostart': True, 'joints': list(JOINTS), 'command_interface': 'velocity',
    'robot_description_file': 'package://world_model_ros/description/reach_arm.urdf',
    **{f'joint_limits.{joint}.max_acceleration': 8.0 for joint in JOINTS}}


class Robot:
    """A running robot: drivers, controller and world model, each a process."""

    def __init__(self, folder: Path, graph: Graph) -> None:
        self.folder, self.graph = folder, graph
        self.bundle = folder / 'bundle'
        write_toy_bundle(self.bundle)
        graph.start('driver', [sys.executable, '-u', str(HERE / 'driver.py')], environment={
            'PYTHONPATH': os.pathsep.join([str(HERE.parent), os.environ.get('PYTHONPATH', '')])})
        self.control('controller')
        graph.spawn('world_model', parameters={'autostart': True, 'bundle': str(self.bundle)},
                    remap={'image': 'camera/image_raw', **{
                        f'{camera}/image_raw': topic for camera, topic in CAMERAS.items()}})
        graph.wait_until_active('world_model', 40.0)

    def control(self, name: str) -> subprocess.Popen[bytes]:
        """Start a controller under a name."""
        process = self.graph.spawn('controller', parameters=CONTROLLER, remap={
            '__node': name, 'commands': 'velocity_controller/commands',
            'model_info': 'world_model/model_info', 'heartbeat': 'world_model/heartbeat',
            'proposal': 'world_model/proposal'})
        self.graph.wait_until_active(name, 40.0)
        return process

    def file(self, **world_model: Any) -> Path:
        """Write a robot's YAML; `limits` in it go to the controller, the rest to world_model.

        A limit of None is left out.
        """
        limits = {**CONTROLLER, **world_model.pop('limits', {})}
        file = self.folder / 'robot.yaml'
        file.write_text(json.dumps({
            '/**/controller': {'ros__parameters': {
                name: value for name, value in limits.items() if value is not None}},
            '/**/world_model': {'ros__parameters': world_model}}))
        return file


def findings(screen: str, marks: str = '✗!') -> list[str]:
    """What is wrong by a screen, each with its cure in one line."""
    parts = screen.split('\n\n')[1:-1]
    return [' '.join(part.split()) for part in parts if part.startswith(tuple(marks))]
