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
"""
What a robot's ROS graph is like, as one line of JSON: the ears of ``wmros doctor``.

    python -m world_model_ros.nodes.graph_probe --namespace left --seconds 5

Beside what comes on the topics that a model reads (``topic_probe``), it asks ``controller`` and
``world_model`` for their state and parameters, holds the quality of service of each publisher on
their topics against each subscription, and notes who commands the robot, how its drives understand
commands, whose clock there is and what ``/diagnostics`` says. It judges nothing: ``cli.diagnosis``
does.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import QoSCompatibility, qos_check_compatible

from world_model_ros.bringup.robot_file import COMMANDS
from world_model_ros.bringup.topic_names import TOPICS, camera_of, kind_of, name_of
from world_model_ros.nodes.topic_probe import (
    TYPES,
    add_topics,
    given_topics,
    join_dds,
    make_node,
    probe,
)
from world_model_ros.observation import info_topic

NODES = ('controller', 'world_model')
# Parameters of ros2_controllers that decide how a command is understood.
_DRIVE = ('joints', 'interface_name', 'interpolate_from_desired_state', 'open_loop_control')
_OF_JOINTS = {COMMANDS[interface] for interface in ('trajectory', 'velocity')}
_COMMON = ('/parameter_events', '/rosout', '/diagnostics', '/clock')
# s until all that is there has been discovered: where no profile says more often, a participant of
# Fast DDS announces itself every 3 s.
_DISCOVERY = 4.0
_REPORT = 2.5  # s until a node that is active has told /diagnostics how it is
_ANSWER = 2.0  # s until a node that is alive has answered
_ASK_AGAIN = 0.7  # s: a server that has not discovered its client yet loses the answer


def examine(
    node: Node, given: Mapping[str, str], seconds: float, command_topics: list[str],
    command_defaults: list[str],
) -> dict[str, Any]:
    """Return what there is to say of the graph in `node`'s namespace.

    `given` are topics as `probe` takes them; kinds that it lacks are the running world_model's, or
    robot.launch.py's defaults. On `command_topics` and where the running controller commands the
    robot is looked who does, else on `command_defaults`.
    """
    known_at = time.monotonic() + _DISCOVERY
    statuses: dict[str, dict[str, Any]] = {}
    node.create_subscription(
        DiagnosticArray, '/diagnostics', lambda message: _note(message, statuses), 10)
    paths = {name: node.resolve_topic_name(name) for name in NODES}
    _spin_until(node, lambda: all(_copies(node, path) for path in paths.values()), _DISCOVERY)
    nodes = {path: _ask(node, path) for path in paths.values() if _copies(node, path)}
    if any(one['parameters'].get('use_sim_time') for one in nodes.values()):
        node.set_parameters([Parameter('use_sim_time', value=True)])
    world_model, topics = paths['world_model'], dict(given)
    if nodes.get(world_model, {}).get('state') == 'active' and len(_images(node, world_model)) > 1:
        _spin_until(node, lambda: bool(_cameras(statuses, world_model)), _REPORT)
    for more in (read_by(node, world_model, _cameras(statuses, world_model)), TOPICS):
        kinds = {kind_of(name) for name in topics}
        topics.update((name, topic) for name, topic in more.items() if kind_of(name) not in kinds)
    infos = {name_of('camera_info', camera_of(name)): info_topic(topic)
             for name, topic in topics.items() if kind_of(name) == 'image'}
    commanded = _commanded_by(node, paths['controller'])
    asked = {node.resolve_topic_name(topic): topic for topic in command_topics or (
        () if commanded else command_defaults)}
    # Few models read a pose: one that nobody publishes is not worth waiting for. A model of a
    # certain field of view reads camera_info: heard for every one, judged for those alone.
    heard = probe(node, {**topics, **infos}, seconds, optional=(
        *infos, *(() if 'pose' in given else ('pose',))))
    _spin_until(node, lambda: time.monotonic() > known_at, _DISCOVERY)
    return {
        'rmw': rclpy.get_rmw_implementation_identifier(),
        'expected': list(paths.values()),
        'nodes': {path: {**one, 'copies': _copies(node, path)} for path, one in nodes.items()},
        'clocks': sorted(_name(end) for end in node.get_publishers_info_by_topic('/clock')),
        'mismatches': list(_mismatches(node, list(nodes))),
        'commands': _commands(node, commanded, asked),
        'diagnostics': [one for one in statuses.values() if one['node'] in nodes],
        **heard,
    }


def _note(message: DiagnosticArray, statuses: dict[str, dict[str, Any]]) -> None:
    for status in message.status:
        statuses[f'{status.hardware_id} {status.name}'] = {
            'node': status.hardware_id, 'name': status.name, 'level': status.level[0],
            'message': status.message, 'values': {one.key: one.value for one in status.values}}


def _spin_until(node: Node, condition: Callable[[], bool], within: float) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        rclpy.spin_once(node, timeout_sec=0.05)
    return True


def _copies(node: Node, path: str) -> int:
    return sum(f'{space.rstrip("/")}/{name}' == path
               for name, space in node.get_node_names_and_namespaces())


def _split(path: str) -> tuple[str, str]:
    space, _, name = path.rpartition('/')
    return name, space or '/'


def _ask(node: Node, path: str) -> dict[str, Any]:
    """State and parameters of a node; no state and none if it does not answer."""
    state = _call(node, GetState, f'{path}/get_state', GetState.Request())
    return {'state': state.current_state.label if state is not None else None,
            'parameters': _parameters(node, path)}


def _parameters(node: Node, path: str, wanted: Collection[str] = ()) -> dict[str, Any]:
    """Parameters of a node, all or those that are wanted; none if it does not answer."""
    listed = _call(node, ListParameters, f'{path}/list_parameters', ListParameters.Request())
    if listed is None:
        return {}
    names = [name for name in listed.result.names if not wanted or name in wanted]
    values = _call(node, GetParameters, f'{path}/get_parameters',
                   GetParameters.Request(names=names))
    # Of several, one that has a type and no value leaves the whole answer empty.
    if values is None or len(values.values) != len(names):
        return {}
    return {name: _plain(parameter_value_to_python(value))
            for name, value in zip(names, values.values, strict=True)}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str | type(None)) else list(value)


def _call(node: Node, kind: type, name: str, request: Any) -> Any:
    """Response of a service, or None if it does not answer in time."""
    client: Any = node.create_client(kind, name)
    try:
        deadline = time.monotonic() + _ANSWER
        while (left := deadline - time.monotonic()) > 0:
            if not _spin_until(node, client.service_is_ready, left):
                break
            future = client.call_async(request)
            if _spin_until(node, future.done, min(_ASK_AGAIN, left)):
                return future.result()
            client.remove_pending_request(future)
        return None
    finally:
        node.destroy_client(client)


def read_by(node: Node, path: str, cameras: Mapping[str, str]) -> dict[str, str]:
    """The topics that a configured world_model reads.

    Several cameras are named as in `cameras`, topic -> name, else by their topics.
    """
    subscribed = _endpoints(node.get_subscriber_names_and_types_by_node, path)
    images = _images(node, path)
    found = {'image': images[0]} if len(images) == 1 else {
        name_of('image', cameras.get(topic) or topic.strip('/').removesuffix('/image_raw')): topic
        for topic in images}
    for topic, kinds in subscribed:
        found.update((name, topic) for name in ('joint_states', 'pose') if TYPES[name] in kinds)
    return found


def _images(node: Node, path: str) -> list[str]:
    """The topics of the cameras that a configured world_model sees with."""
    return [topic for topic, kinds in _endpoints(node.get_subscriber_names_and_types_by_node, path)
            if TYPES['image'] in kinds and not topic.endswith('/goal_image')]


def _cameras(statuses: Mapping[str, Mapping[str, Any]], path: str) -> dict[str, str]:
    """Topic -> name of the cameras that an active world_model sees with, as it says itself."""
    return {topic: key.removesuffix('_image_topic') for status in statuses.values()
            if status['node'] == path for key, topic in status['values'].items()
            if key.endswith('_image_topic')}


def _commanded_by(node: Node, path: str) -> dict[str, str]:
    """The topics on which a configured controller commands the robot, with their types."""
    published = _endpoints(node.get_publisher_names_and_types_by_node, path)
    return {topic: kind for topic, kinds in published for kind in kinds
            if kind in COMMANDS.values()}


def _commands(
    node: Node, commanded: Mapping[str, str], asked: Mapping[str, str],
) -> dict[str, dict[str, Any]]:
    """Who is at both ends of each topic on which a robot is commanded.

    `commanded` says what type the running controller sends on a topic, `asked` how it was given.
    Of each subscriber there are the types that it listens for and, if it is a controller of joints
    that answers, those of its parameters that `_DRIVE` names.
    """
    types: dict[str, dict[str, set[str]]] = {topic: {} for topic in {**commanded, **asked}}
    for topic, listeners in types.items():
        for end in node.get_subscriptions_info_by_topic(topic):
            listeners.setdefault(_name(end), set()).add(end.topic_type)
    drives = {path for listeners in types.values() for path, kinds in listeners.items()
              if kinds & _OF_JOINTS and _has_parameters(node, path)}
    parameters = {path: _parameters(node, path, _DRIVE) for path in drives}
    return {topic: {
        'type': commanded.get(topic, ''), 'asked': asked.get(topic, ''),
        'publishers': sorted(_name(end) for end in node.get_publishers_info_by_topic(topic)),
        'subscribers': {path: {'types': sorted(kinds), 'parameters': parameters.get(path, {})}
                        for path, kinds in sorted(listeners.items())},
    } for topic, listeners in types.items()}


def _has_parameters(node: Node, path: str) -> bool:
    """Whether a node can be asked for parameters: `ros2 topic echo`, for one, can not."""
    services = _endpoints(node.get_service_names_and_types_by_node, path)
    return f'{path}/list_parameters' in dict(services)


def _endpoints(
    ask: Callable[[str, str], list[tuple[str, list[str]]]], path: str,
) -> list[tuple[str, list[str]]]:
    try:
        return ask(*_split(path))
    except RuntimeError:  # there is no such node, or not any more
        return []


def _mismatches(node: Node, paths: list[str]) -> Iterator[dict[str, str]]:
    """Each pair on the topics of these nodes, one of them at an end, that does not match."""
    topics = {topic for path in paths for ask in (
        node.get_subscriber_names_and_types_by_node, node.get_publisher_names_and_types_by_node)
        for topic, _ in _endpoints(ask, path)} - set(_COMMON)
    for topic in sorted(topics):
        for publisher in node.get_publishers_info_by_topic(topic):
            for subscriber in node.get_subscriptions_info_by_topic(topic):
                ends = {'publisher': _name(publisher), 'subscriber': _name(subscriber)}
                if not set(ends.values()) & set(paths):
                    continue
                compatibility, reason = qos_check_compatible(
                    publisher.qos_profile, subscriber.qos_profile)
                if publisher.topic_type != subscriber.topic_type:
                    reason = f'{publisher.topic_type} for {subscriber.topic_type}'
                elif compatibility != QoSCompatibility.ERROR:  # not one object: it comes from C++
                    continue
                yield {'topic': topic, **ends, 'reason': reason}


def _name(end: Any) -> str:
    return f'{end.node_namespace.rstrip("/")}/{end.node_name}'


def main() -> int:
    """Examine the graph as the command line says and print one line of JSON."""
    parser = argparse.ArgumentParser(description='Says as JSON what a ROS graph is like.')
    parser.add_argument('--namespace', default='', help='of the nodes and relative topics')
    add_topics(parser)
    for name, when in (('command', 'go'), ('command-default', 'would go, if none is known')):
        parser.add_argument(f'--{name}', action='append', default=[], metavar='TOPIC',
                            help=f'where commands {when}')
    parser.add_argument('--seconds', type=float, default=5.0)
    parser.add_argument('--use-sim-time', action='store_true')
    args = parser.parse_args()
    given = given_topics(args)
    join_dds()
    try:
        node = make_node('wmros_doctor', args.namespace, use_sim_time=args.use_sim_time)
        found = examine(node, given, args.seconds, args.command, args.command_default)
        print(json.dumps(found), flush=True)
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
