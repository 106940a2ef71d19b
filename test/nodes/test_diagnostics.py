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

"""What is in ``/diagnostics`` has the name of who says it."""

from pathlib import Path

import pytest
from builtin_interfaces.msg import Time
from dds import Graph
from rclpy.node import Node

from world_model_ros.monitor import Health, Level
from world_model_ros.nodes.diagnostics import to_diagnostic_array


@pytest.mark.parametrize('namespace, name', [
    ('', 'controller: ladder'), ('left', 'left/controller: ladder'),
    ('hall/right', 'hall/right/controller: ladder')])
def test_two_robots_have_two_names(tmp_path: Path, namespace: str, name: str) -> None:
    with Graph(tmp_path) as graph:
        node = Node('controller', namespace=namespace, context=graph.context)
        status, = to_diagnostic_array(Time(), node, [Health('ladder', Level.OK, 'track')]).status
        assert status.name == name
        assert status.hardware_id == node.get_fully_qualified_name()
        node.destroy_node()
