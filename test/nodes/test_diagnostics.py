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

"""Who says something in ``/diagnostics``, and for how long."""

import re
import sys
from pathlib import Path

import pytest
from builtin_interfaces.msg import Time
from dds import Graph, values
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from world_model_ros.monitor import Health, Level
from world_model_ros.nodes.diagnostics import to_diagnostic_array

STUMBLES_ONCE = """
from world_model_ros.nodes import process

process.ERROR_SHOWN = 4.0

class Clumsy(process.ManagedNode):
    def __init__(self):
        super().__init__('clumsy')
        self.timer = self.create_timer(0.5, self.stumble)

    def stumble(self):
        if not self.count_subscribers('/diagnostics'):
            return
        self.timer.cancel()
        raise KeyError('a bug that nobody knew of')

raise SystemExit(process.run_node(Clumsy))
"""


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


def test_an_exception_in_a_callback_is_an_error_for_a_while_and_then_told_with_its_time(
    tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        health = graph.diagnostics()
        process = graph.start('clumsy', [sys.executable, '-c', STUMBLES_ONCE])
        for level, headline in (
            (DiagnosticStatus.ERROR, 'unexpected KeyError in a callback'),
            (DiagnosticStatus.OK, 'unconfigured'),
        ):
            graph.wait_for(
                lambda level=level: values(health('clumsy: lifecycle')).get('callback_errors')
                == '1' and health('clumsy: lifecycle').level == level, 20, f'level {level!r}')
            status = health('clumsy: lifecycle')
            assert status.message.startswith(headline)
            last = values(status)['last_callback_error']
            assert 'a bug that nobody knew of' in last
            assert re.search(r'at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d', last)
        assert graph.end(process) == 0
