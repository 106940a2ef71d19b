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

"""Who counts as a rival: two that live, but not one that died and its successor."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dds import Graph
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from world_model_interfaces.msg import ActionProposal, Heartbeat
from world_model_ros.nodes.controller_rivals import Rivals
from world_model_ros.nodes.qos import COMMAND, DRIVE, HEARTBEAT


@pytest.fixture
def graph(tmp_path: Path) -> Iterator[Graph]:
    with Graph(tmp_path) as graph:
        yield graph


def model(graph: Graph, name: str) -> Node:
    node = Node(name, context=graph.context, namespace='left', start_parameter_services=False)
    node.create_publisher(ActionProposal, '/proposal', COMMAND)
    node.create_publisher(Heartbeat, '/heartbeat', HEARTBEAT)
    return node


def test_a_model_is_no_rival_of_the_one_that_it_replaces_unless_both_send_heartbeats(
    graph: Graph,
) -> None:
    rivals = Rivals(graph.node, '/commands', '/proposal', '/heartbeat')
    nodes = [model(graph, 'world_model') for _ in range(2)]
    graph.wait_for(lambda: graph.node.count_publishers('/heartbeat') == 2, 5.0, 'both')
    graph.listen_for(0.2)
    assert rivals.proposing(20.0) == ''
    assert '"/left/world_model", "/left/world_model" publish on /hea' in rivals.proposing(40.0)
    nodes.append(model(graph, 'shadow'))
    graph.wait_for(lambda: '"/left/shadow"' in rivals.proposing(20.0), 5.0, 'the third to be named')
    for node in nodes:
        node.destroy_node()


def test_everybody_else_on_the_topic_of_commands_is_a_rival(graph: Graph) -> None:
    rivals = Rivals(graph.node, '/commands', '/proposal', '/heartbeat')
    graph.publisher(Float64MultiArray, '/commands', DRIVE)
    assert rivals.commanding() == ''
    other = Node('probe', context=graph.context, namespace='left', start_parameter_services=False)
    other.create_publisher(Float64MultiArray, '/commands', DRIVE)
    graph.wait_for(lambda: bool(rivals.commanding()), 5.0, 'the other one')
    assert rivals.commanding().startswith('"/left/probe" may command the robot on /commands, too')
    other.destroy_node()
