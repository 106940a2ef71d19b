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

"""A timer that is destroyed: the executor still calls it where its event waited already."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
from controller_robot import parameters_of
from dds import Graph
from toy_bundle import write_toy_bundle

from world_model_ros.nodes.controller import ControllerNode
from world_model_ros.nodes.process import ManagedNode
from world_model_ros.nodes.world_model import WorldModelNode


@pytest.fixture
def make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[type[ManagedNode], dict[str, Any]], ManagedNode]]:
    """Return a function that makes a node with parameters in this process."""
    nodes: list[ManagedNode] = []

    def make(kind: type[ManagedNode], parameters: dict[str, Any]) -> ManagedNode:
        file = tmp_path / 'parameters.yaml'
        file.write_text(json.dumps({'/**': {'ros__parameters': parameters}}))
        rclpy.init(args=['--ros-args', '--params-file', str(file)])
        nodes.append(kind())
        return nodes[0]

    with Graph(tmp_path) as graph:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(graph.domain))
        try:
            yield make
        finally:
            for node in nodes:
                node.destroy_node()
            rclpy.try_shutdown()


@pytest.mark.parametrize('name', ['world_model', 'controller'])
def test_a_timer_that_fires_after_cleanup_leaves_nothing_behind_and_raises_nothing(
    tmp_path: Path, make: Callable[[type[ManagedNode], dict[str, Any]], ManagedNode], name: str,
) -> None:
    if name == 'world_model':
        bundle = str(write_toy_bundle(tmp_path / 'toy').path)
        node = make(WorldModelNode, {'bundle': bundle, 'shadow_bundle': bundle})
    else:
        node = make(ControllerNode, {**parameters_of(), 'autostart': False, 'thread_priority': 0})
    own = [subscription.topic_name for subscription in node.subscriptions]
    before = list(node.timers)
    node.trigger_configure()
    assert node.lifecycle_label == 'inactive'
    late = [timer for timer in node.timers if timer not in before]
    assert late
    node.trigger_cleanup()
    assert node.lifecycle_label == 'unconfigured'
    for timer in late:
        timer.callback()
    assert [subscription.topic_name for subscription in node.subscriptions] == own
