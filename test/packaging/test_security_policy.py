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

"""The SROS2 policy allows what the running nodes do, nothing less and nothing more."""

import contextlib
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import cv2
import numpy as np
import pytest
from dds import Graph
from rclpy._rclpy_pybind11 import NodeNameNonExistentError
from rclpy.action import (
    get_action_client_names_and_types_by_node,
    get_action_server_names_and_types_by_node,
)

from world_model_ros.demo import graph as demo
from world_model_ros.resources import resource

NODES = (*demo.ROBOT, demo.DIRECTOR)
RIGHTS = ('publish', 'subscribe', 'reply', 'request', 'execute', 'call')
Rights = dict[str, set[str]]

EXAMPLES = Path(__file__).parents[2] / 'docs' / 'examples'
PROBE = ['--image', 'camera/image_raw', '--joint-states', 'joint_states', '--seconds', '20']
# `ros2 service call` and `ros2 action send_goal` make a node with parameters, the other commands of
# ros2 one without, all by these names (ros2cli's NODE_NAME_PREFIX).
CLI = """
import sys, rclpy
rclpy.init()
rclpy.spin(rclpy.create_node(sys.argv[1], start_parameter_services='requester' in sys.argv[1]))
"""
TOOLS = {
    'goal': [str(EXAMPLES / 'goal.py'), 'show', 'PICTURE'],
    'goal_sent': [str(EXAMPLES / 'goal.py'), 'send', 'PICTURE'],
    'goal_taken': [str(EXAMPLES / 'goal.py'), 'take', 'PICTURE'],
    'watch': [str(EXAMPLES / 'watch.py')],
    'wmros_doctor': ['-m', 'world_model_ros.nodes.graph_probe', *PROBE],
    'wmros_check': ['-m', 'world_model_ros.nodes.topic_probe', *PROBE],
    '_ros2cli_requester_world_model_interfaces_Stop': ['-c', CLI, 'NAME'],
    '_ros2cli_4711': ['-c', CLI, 'NAME'],
}
"""What a person starts, by the name of its node; goal.py's verbs are kept apart by a remapping."""
LAST = (
    ('goal', 'publish', '/goal_image'), ('goal_sent', 'call', '/world_model/reach_goal'),
    ('goal_taken', 'subscribe', '/camera/image_raw'), ('watch', 'subscribe', '/diagnostics'),
    ('wmros_doctor', 'subscribe', '/camera/image_raw/compressed'),
    ('wmros_check', 'subscribe', '/camera/image_raw/compressed'))
"""What each tool creates last; ROS creates a node's own interfaces before."""


def policy() -> dict[str, Rights]:
    """Enclave -> right -> absolute names, as config/sros2/policy.xml grants them."""
    granted: dict[str, Rights] = {}
    root = ElementTree.parse(resource('config/sros2/policy.xml')).getroot()
    for enclave in root.iter('enclave'):
        rights: Rights = {right: set() for right in RIGHTS}
        for group in enclave.findall('profiles/profile/*'):
            for right, qualifier in group.attrib.items():
                assert qualifier == 'ALLOW'
                names = [item.text or '' for item in group]
                assert len(set(names)) == len(names)
                rights[right].update(names)
        granted[enclave.attrib['path']] = rights
    return granted


@pytest.fixture(scope='module')
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Rights]]:
    """Node -> right -> names that the demo's nodes have on DDS, as another participant sees it."""
    with Graph(tmp_path_factory.mktemp('policy')) as graph:
        for node in NODES:
            command = [sys.executable, '-m', node.module, '--ros-args',
                       '--params-file', str(demo.parameters_file())]
            for source, target in node.remappings.items():
                command += ['-r', f'{source}:={target}']
            if node is demo.WORLD_MODEL:
                command += ['-p', f'bundle:={demo.default_bundle()}']
            graph.start(node.name, command)
        for node in demo.ROBOT:
            graph.wait_until_active(node.name, 30.0)
        # The director creates its interfaces one after the other; the rest is settled by now.
        wanted = policy()
        with contextlib.suppress(AssertionError):  # the tests say what differs
            graph.wait_for(lambda: all(
                seen(graph, node.name) == wanted[f'/{node.name}'] for node in NODES), 10.0, 'all')
        yield {node.name: seen(graph, node.name) for node in NODES}


def seen(graph: Graph, name: str) -> Rights:
    node = graph.node
    by_right = {
        'publish': node.get_publisher_names_and_types_by_node,
        'subscribe': node.get_subscriber_names_and_types_by_node,
        'reply': node.get_service_names_and_types_by_node,
        'request': node.get_client_names_and_types_by_node,
        'execute': lambda *of: get_action_server_names_and_types_by_node(node, *of),
        'call': lambda *of: get_action_client_names_and_types_by_node(node, *of),
    }
    rights = {right: {topic for topic, _ in ask(name, '/')} for right, ask in by_right.items()}
    actions = rights['execute'] | rights['call']
    # The right to an action covers the topics and services that it consists of.
    return {right: {topic for topic in topics
                    if not any(topic.startswith(f'{action}/_action/') for action in actions)}
            for right, topics in rights.items()}


@pytest.mark.parametrize('name', [node.name for node in NODES])
def test_a_node_has_the_rights_that_it_needs_and_no_others(
    running: dict[str, Rights], name: str,
) -> None:
    assert running[name] == policy()[f'/{name}']


def test_the_operator_may_start_each_tool_and_answers_no_service_but_those_of_the_tools(
    tmp_path: Path,
) -> None:
    picture = tmp_path / 'there.png'
    cv2.imwrite(str(picture), np.zeros((8, 8, 3), np.uint8))
    needed: dict[str, Rights] = {}
    with Graph(tmp_path) as graph:
        for name, words in TOOLS.items():
            remapped = ['--ros-args', '-r', f'__node:={name}'] if name.startswith('goal_') else []
            graph.start(name, [sys.executable, *(
                {'PICTURE': str(picture), 'NAME': name}.get(word, word) for word in words),
                *remapped])

        def look() -> bool:
            for name in TOOLS:
                with contextlib.suppress(NodeNameNonExistentError):
                    needed[name] = seen(graph, name)
            return needed.keys() == TOOLS.keys() and all(
                name in needed[tool][right] for tool, right, name in LAST)

        with contextlib.suppress(AssertionError):  # what is missing is told below
            graph.wait_for(look, 15.0, 'the tools')
    assert needed.keys() == TOOLS.keys()
    granted = policy()['/operator']
    used = set()
    for tool, rights in needed.items():
        for right, names in rights.items():
            for name in names:
                # By its own name a verb of goal.py is the node goal.
                own = name.replace(f'/{tool}/', '/goal/') if tool.startswith('goal_') else name
                fits = {one for one in granted[right] if fnmatchcase(own, one)}
                assert fits, f'{tool} may not {right} {name}'
                used |= fits
    assert granted['reply'] <= used


def test_only_the_controller_may_command_the_robot_and_only_the_world_model_may_propose() -> None:
    def holders(right: str, name: str) -> set[str]:
        return {path for path, rights in policy().items() if name in rights[right]}

    assert holders('publish', '/velocity_controller/commands') == {'/controller'}
    for name in ('proposal', 'heartbeat', 'model_info'):
        assert holders('publish', f'/world_model/{name}') == {'/world_model'}
    assert holders('request', '/controller/reset') == {'/operator'}
    assert holders('request', '/world_model/load_model') == {'/operator'}


def test_a_wildcard_grants_the_services_of_ros2_commands_and_nothing_else() -> None:
    wild = [(path, right, name) for path, rights in policy().items()
            for right, names in rights.items() for name in names if set(name) & set('*?[')]
    assert wild == [('/operator', 'reply', '/_ros2cli_*/*')]


def test_the_operator_asks_for_nothing_that_nobody_gives() -> None:
    granted = policy()
    assert all(name.startswith('/') for rights in granted.values() for names in rights.values()
               for name in names)
    for asked, given in (('request', 'reply'), ('call', 'execute'), ('subscribe', 'publish')):
        offered = {name for rights in granted.values() for name in rights[given]}
        # What world_model reads is given by the drivers of some robot, if not by the simulator.
        left = granted['/operator'][asked] - offered - granted['/world_model'][asked]
        assert not left


def test_the_policy_has_no_comment_where_sros2_takes_it_for_an_enclave() -> None:
    _, _, enclaves = resource('config/sros2/policy.xml').read_text().partition('<enclaves>')
    assert enclaves and '<!--' not in enclaves


def test_every_enclave_that_the_policy_names_is_created_by_the_how_to() -> None:
    text = (Path(__file__).parents[2] / 'docs' / 'security.md').read_text()
    assert all(path in text for path in policy())
