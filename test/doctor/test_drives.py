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
"""`wmros doctor` asks and hears the drives of a robot, whatever others there are beside them."""

from __future__ import annotations

import operator
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dds import Graph
from drives import PERIODS, TOPICS
from toy_bundle import JOINTS

from world_model_ros.cli.probes import run_probe

HERE = Path(__file__).parent
RECORDERS = 15
ANSWER = 2.0  # s that a node which is asked has for its answer


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    with Graph(tmp_path_factory.mktemp('drives')) as graph:
        graph.start('drives', [sys.executable, '-u', str(HERE / 'drives.py'), str(RECORDERS)],
                    environment={'PYTHONPATH': os.pathsep.join(
                        [str(HERE.parent), os.environ.get('PYTHONPATH', '')])})
        graph.wait_for(lambda: all(
            len(graph.node.get_subscriptions_info_by_topic(topic)) == RECORDERS + 2
            for topic in (f'/{name}' for name in TOPICS)), 30.0, 'drives and recorders')
        yield graph


def probed(graph: Graph, name: str, *options: str) -> dict[str, Any]:
    return run_probe(name, options, 30.0, {**os.environ, 'ROS_DOMAIN_ID': str(graph.domain)})


def test_drives_with_unset_parameters_are_asked_and_recorders_cost_no_time(graph: Graph) -> None:
    began = time.monotonic()
    found = probed(graph, 'graph_probe', '--seconds=0', *(f'--command={it}' for it in TOPICS))
    took = time.monotonic() - began
    for topic in TOPICS:
        heard = found['commands'][f'/{topic}']['subscribers']
        assert len(heard) == RECORDERS + 2
        assert heard['/serial_drive']['parameters'] == {'joints': list(JOINTS)}
        assert heard['/unset_drive']['parameters'] == {}
    assert took < RECORDERS * ANSWER


def test_a_slow_driver_is_listened_to_until_its_period_is_known_beside_a_fast_one(
    graph: Graph,
) -> None:
    found = probed(graph, 'topic_probe', '--joint-states=joint_states', '--seconds=30')
    heard = {tuple(one['names']): one for one in found['joint_states']['sets'].values()}
    for names, period in PERIODS.items():
        stamps, ages = heard[names]['stamps'], heard[names]['ages']
        assert len(stamps) == len(ages) >= 20
        told = 1e-9 * statistics.median(map(operator.sub, stamps[1:], stamps))
        assert 0.8 * period < told < 2.0 * period  # later, where the driver shares its processor
