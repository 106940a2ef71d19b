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
"""The nodes of this package as they run: made, configured, and asked what they have."""

from __future__ import annotations

import importlib
import inspect
import math
import re
from dataclasses import dataclass, field
from typing import Any

import markup
from rclpy.action import get_action_server_names_and_types_by_node
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from world_model_ros.demo import graph
from world_model_ros.nodes.controller import ControllerNode
from world_model_ros.nodes.demo_director import DemoDirector
from world_model_ros.nodes.process import ManagedNode
from world_model_ros.nodes.simulator import SimulatorNode
from world_model_ros.nodes.world_model import WorldModelNode

SPACE = '/robot'
"""The namespace in which the nodes have to run here, so that absolute names stand out."""

TYPES = {
    Parameter.Type.BOOL: 'boolean', Parameter.Type.INTEGER: 'integer',
    Parameter.Type.DOUBLE: 'double', Parameter.Type.STRING: 'string',
    Parameter.Type.STRING_ARRAY: 'string array'}


@dataclass(frozen=True)
class Setting:
    """A parameter as its node declares it."""

    name: str
    kind: str
    default: object
    range: str
    unit: str
    meaning: str
    read_only: bool


@dataclass(frozen=True)
class Topic:
    """One end of a topic, or of a service (without quality of service)."""

    name: str
    direction: str
    kind: str
    qos: str


@dataclass
class Portrait:
    """What a node says of itself; ``fixed`` are the parameters that it refuses when configured."""

    name: str
    purpose: str
    settings: dict[str, Setting] = field(default_factory=dict)
    fixed: set[str] = field(default_factory=set)
    topics: dict[tuple[str, str], Topic] = field(default_factory=dict)
    services: dict[tuple[str, str], Topic] = field(default_factory=dict)

    @property
    def managed(self) -> bool:
        """Whether it has a lifecycle."""
        return ('~/change_state', 'offers') in self.services


def portraits() -> dict[str, Portrait]:
    """Return the package's nodes as they run; rclpy has been initialised."""
    return {portrait.name: portrait for portrait in (
        _world_model(), _controller(), _simulator(), _director())}


def _world_model() -> Portrait:
    node = WorldModelNode()
    portrait = _portrait(node, 'world_model')
    # Any machine is fast enough for this, however busy.
    _set(node, bundle=str(graph.default_bundle()), provider='cpu', plan_rate=0.1, hung_after=60.0,
         plan_deadline=9.0)
    _look_at_configured(node, portrait)
    return portrait


def _controller() -> Portrait:
    portrait = None
    for interface, given in (
        ('velocity', {}), ('trajectory', {}), ('twist', {'twist_axes': ['linear.x']}),
    ):
        node = ControllerNode()
        portrait = portrait or _portrait(node, 'controller')
        _set(node, command_interface=interface, joints=['shoulder'], thread_priority=0,
             robot_description_file='package://world_model_ros/description/reach_arm.urdf', **given)
        # Limits are declared for a robot that has those which it needs, as if a file had given them
        # (twists take velocities from nowhere else); by default there is none.
        place = 'twist_limits.linear.x' if interface == 'twist' else 'joint_limits.shoulder'
        limits = {f'{place}.max_{name}': 1.0 for name in ('velocity', 'acceleration')}
        node._parameter_overrides.update(
            (name, Parameter(name, value=value)) for name, value in limits.items())
        node.trigger_configure()
        node.trigger_cleanup()
        _set(node, **dict.fromkeys(limits, math.inf))
        _note_settings(node, portrait)
        _set(node, **limits)
        _look_at_configured(node, portrait)
    assert portrait is not None
    return portrait


def _simulator() -> Portrait:
    node = SimulatorNode()
    portrait = _portrait(node, 'simulator')
    _look_at_configured(node, portrait)
    return portrait


def _director() -> Portrait:
    node = DemoDirector()
    portrait = _portrait(node, 'demo_director')
    _note_wires(node, portrait)
    node.destroy_node()  # it has a thread
    return portrait


def _portrait(node: Any, name: str) -> Portrait:
    module = importlib.import_module(f'world_model_ros.nodes.{name}')
    purpose = markup.one_line((inspect.getdoc(module) or '').split('\n\n')[0].replace('``', '`'))
    portrait = Portrait(name, purpose)
    _note_settings(node, portrait)
    return portrait


def _look_at_configured(node: ManagedNode, portrait: Portrait) -> None:
    if node.trigger_configure() is not TransitionCallbackReturn.SUCCESS:
        raise RuntimeError(f'{portrait.name} cannot be configured; --log-level info tells why')
    for name, value in _parameters(node).items():
        again, = node.set_parameters([Parameter(name, value=value)])
        if not again.successful:
            portrait.fixed.add(_generic(name))
    _note_wires(node, portrait)
    node.trigger_cleanup()
    node.destroy_node()


def _set(node: Any, **values: object) -> None:
    for result in node.set_parameters(
            [Parameter(name, value=value) for name, value in values.items()]):
        assert result.successful, result.reason


def _parameters(node: Any) -> dict[str, Any]:
    return {name: parameter.value for name, parameter in node.get_parameters_by_prefix('').items()}


def _note_settings(node: Any, portrait: Portrait) -> None:
    for name, parameter in node.get_parameters_by_prefix('').items():
        generic = _generic(name)
        if generic in portrait.settings:
            continue
        descriptor = node.describe_parameter(name)
        unit = re.search(r'\s*\[([^\]]+)\]', descriptor.description)
        portrait.settings[generic] = Setting(
            generic, TYPES[parameter.type_], parameter.value, _range(descriptor),
            unit[1] if unit else '',
            markup.one_line(descriptor.description.replace(unit[0], '', 1) if unit
                              else descriptor.description), descriptor.read_only)


def _generic(name: str) -> str:
    """Return the name of a limit with a placeholder for whose limit it is."""
    name = name.replace('joint_limits.shoulder.', 'joint_limits.JOINT.')
    return name.replace('twist_limits.linear.x.', 'twist_limits.AXIS.')


def _range(descriptor: Any) -> str:
    for span in descriptor.floating_point_range:
        return f'{span.from_value:g} to {span.to_value:g}'
    for span in descriptor.integer_range:
        return f'{span.from_value} to {span.to_value}'
    return ''


def _note_wires(node: Any, portrait: Portrait) -> None:
    for direction, ends in (('out', node.publishers), ('in', node.subscriptions)):
        for end in ends:
            name = _name(end.topic_name, portrait)
            portrait.topics.setdefault((name, direction), Topic(
                name, direction, _type(end.msg_type), _qos(end.qos_profile)))
    for direction, ends in (('offers', node.services), ('calls', node.clients)):
        for end in ends:
            name = _name(end.service_name, portrait)
            portrait.services.setdefault((name, direction), Topic(
                name, direction, _type(end.srv_type), ''))
    for action, kinds in get_action_server_names_and_types_by_node(
            node, node.get_name(), node.get_namespace()):
        name = _name(action, portrait)
        portrait.services.setdefault((name, 'offers'), Topic(name, 'offers', kinds[0], ''))
    # What the layers below rclpy publish.
    for topic, kinds in node.get_publisher_names_and_types_by_node(
            node.get_name(), node.get_namespace()):
        name = _name(topic, portrait)
        if (name, 'out') not in portrait.topics and '/_action/' not in name:
            info, = (one for one in node.get_publishers_info_by_topic(topic)
                     if one.node_name == node.get_name())
            portrait.topics[name, 'out'] = Topic(name, 'out', kinds[0], _qos(info.qos_profile))


def _name(resolved: str, portrait: Portrait) -> str:
    """Return a name as the node's code has it: relative, private (~) or absolute."""
    private = f'{SPACE}/{portrait.name}/'
    if resolved.startswith(private):
        return f'~/{resolved.removeprefix(private)}'
    return resolved.removeprefix(f'{SPACE}/')


def _type(kind: Any) -> str:
    package, folder = kind.__module__.split('.')[:2]
    return f'{package}/{folder}/{kind.__name__}'


def _qos(profile: Any) -> str:
    words = [profile.reliability.name.lower().replace('_', ' ')]
    if profile.durability.name == 'TRANSIENT_LOCAL':
        words.append('transient local')
    if profile.depth:
        words.append(f'depth {profile.depth}')
    if (deadline := profile.deadline.nanoseconds) and deadline < 1e12:
        words.append(f'deadline {deadline / 1e9:g} s')
    return ', '.join(words)
