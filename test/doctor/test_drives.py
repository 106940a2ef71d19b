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
"""`wmros doctor` asks the drives of a robot, whatever they and others make of parameters."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from dds import Graph
from drives import TOPICS
from toy_bundle import JOINTS

from world_model_ros.cli.probes import run_probe

HERE = Path(__file__).parent
RECORDERS = 15
ANSWER = 2.0  # s that a node which is asked has for its answer


def test_drives_with_unset_parameters_are_asked_and_recorders_cost_no_time(
    tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        graph.start('drives', [sys.executable, '-u', str(HERE / 'drives.py'), str(RECORDERS)],
                    environment={'PYTHONPATH': os.pathsep.join(
                        [str(HERE.parent), os.environ.get('PYTHONPATH', '')])})
        graph.wait_for(lambda: all(
            len(graph.node.get_subscriptions_info_by_topic(topic)) == RECORDERS + 2
            for topic in (f'/{name}' for name in TOPICS)), 30.0, 'drives and recorders')
        began = time.monotonic()
        found = run_probe(
            'graph_probe', [f'--command={topic}' for topic in TOPICS] + ['--seconds=0'], 0.0,
            {**os.environ, 'ROS_DOMAIN_ID': str(graph.domain)})
        took = time.monotonic() - began
    for topic in TOPICS:
        heard = found['commands'][f'/{topic}']['subscribers']
        assert len(heard) == RECORDERS + 2
        assert heard['/serial_drive']['parameters'] == {'joints': list(JOINTS)}
        assert heard['/unset_drive']['parameters'] == {}
    assert took < RECORDERS * ANSWER
