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
"""RViz and Foxglove show topics that the nodes have, and fields that their messages have.

A display of a topic of another name stays empty without a word. What the nodes publish and hear is
what config/sros2/policy.xml grants, which test/packaging holds against running nodes.
"""

import importlib
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from world_model_ros.resources import resource

MESSAGES = {
    '/controller/state': 'world_model_interfaces.msg.ControllerState',
    '/diagnostics': 'diagnostic_msgs.msg.DiagnosticArray',
    '/joint_states': 'sensor_msgs.msg.JointState',
    '/world_model/forecast': 'world_model_interfaces.msg.Forecast',
    '/world_model/heartbeat': 'world_model_interfaces.msg.Heartbeat',
    '/world_model/proposal': 'world_model_interfaces.msg.ActionProposal',
    '/world_model/surprise': 'world_model_interfaces.msg.Surprise',
}
FROM_THE_ROBOT = {'/robot_description'}  # robot_state_publisher's


def known() -> set[str]:
    root = ElementTree.parse(resource('config/sros2/policy.xml')).getroot()
    return {topic.text or '' for topic in root.iter('topic')}


def leaves(node: Any) -> Iterator[Any]:
    if isinstance(node, dict | list):
        for item in node.values() if isinstance(node, dict) else node:
            yield from leaves(item)
    else:
        yield node


def foxglove() -> Any:
    return json.loads(resource('config/foxglove.json').read_text(encoding='utf-8'))


PATHS = sorted({value for value in leaves(foxglove()['configById'])
                if isinstance(value, str) and value.startswith('/')})


def test_every_topic_in_rviz_is_one_that_the_nodes_or_the_robot_have() -> None:
    config = yaml.safe_load(resource('config/rviz.rviz').read_text(encoding='utf-8'))
    topics = {value for value in leaves(config) if isinstance(value, str) and value[:1] == '/'}
    assert {'/camera/image_raw', '/goal_image'} <= topics
    assert topics <= known() | FROM_THE_ROBOT


@pytest.mark.parametrize('path', PATHS)
def test_every_path_in_foxglove_is_a_field_of_a_topic_that_the_nodes_have(path: str) -> None:
    topic, *fields = path.split('.')
    assert topic in known()
    if not fields:
        return
    module, _, name = MESSAGES[topic].rpartition('.')
    (field,) = fields
    kinds = getattr(importlib.import_module(module), name).get_fields_and_field_types()
    assert re.sub(r'\[.*', '', field) in kinds
    assert field.endswith('[:]') == kinds[field.split('[')[0]].startswith('sequence<')


def test_foxglove_lays_out_every_panel_that_it_configures_once() -> None:
    layout = foxglove()
    placed = [leaf for leaf in leaves(layout['layout']) if isinstance(leaf, str) and '!' in leaf]
    assert sorted(placed) == sorted(layout['configById'])
