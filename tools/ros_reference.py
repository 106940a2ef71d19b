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
"""Writes ``docs/reference/*.md``: topics, parameters, services, launch arguments and commands.

    .venv/bin/python tools/ros_reference.py            # --check: exit code 1 if a page is stale

Names, types, ranges, defaults and quality of service are those of the running nodes: they are made,
configured and asked, in a ROS domain of their own. What a parameter means stands beside its
declaration, what a message means at the top of its definition, what an option means beside the
option. Here are only the words for topics whose type does not say what they are for.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import markup
import rclpy
from node_portraits import SPACE, Portrait, Setting, Topic, portraits

from world_model_ros.bringup.launch_arguments import LAUNCH_FILES, ROBOT, robot_remappings
from world_model_ros.cli.main import SUBCOMMANDS, Subcommand
from world_model_ros.cli.probes import free_domain
from world_model_ros.demo import graph

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'docs' / 'reference'
INTERFACES = ROOT / 'world_model_interfaces'

WORDS = {
    'world_model': {
        'image': 'Camera pictures: 8 and 16 bit RGB(A), BGR(A), mono, YUV 4:2:2 and Bayer. A model '
                 'that names its cameras reads `NAME/image_raw` of each instead, with '
                 '`NAME/image_raw/compressed`; one that knows its field of view reads '
                 '`camera_info` beside each.',
        'image/compressed': 'JPEG or PNG; read while no `image` comes.',
        'joint_states': 'In any order; joints that the model does not read are ignored.',
        'pose': "A link's pose, for models that read one (V-JEPA 2-AC).",
        'controller_state': "The controller's `~/state`: what was executed, which plan is "
                            'followed, how late plans arrive.',
        'goal_image': 'What the camera shall see. Goals are latched: publish them transient local.',
        'goal_image/compressed': 'The same as JPEG or PNG. For several cameras: '
                                 '`NAME/goal_image` of each, stamped alike.',
        '~/shadow/surprise': 'The same of the shadow model.',
    },
    'controller': {
        'proposal': 'Plans. Checked for names, digest, shape, finite numbers and stamps; refused '
                    'with a reason.',
        'joint_states': 'Where the robot is.',
        'model_info': 'The only model that may propose.',
        'heartbeat': 'A model that failed brakes the robot at once; an idle one is no fault.',
        'commands': 'Velocities of the joints, in the order of `joints` [rad/s or m/s]; with '
                    '`command_interface: velocity`.',
        'joint_trajectory': 'The setpoint and the way to rest after it; with '
                            '`command_interface: trajectory`.',
        'cmd_vel': 'With `command_interface: twist`.',
    },
    'simulator': {
        'joint_states': 'Position, velocity and effort of both joints, at 100 Hz.',
        'camera/image_raw': 'What the camera sees, `rgb8`.',
        'camera/camera_info': 'Its intrinsics.',
        '~/tip': 'Where the tip is: ground truth, for judging alone [m].',
        'velocity_controller/commands': 'What a forward velocity controller would take [rad/s].',
        'joint_trajectory_controller/joint_trajectory':
            'What a joint_trajectory_controller would take.',
    },
    'demo_director': {
        'goal_image': 'The picture to reach.',
        'image': 'For the film.',
        'tip': "Ground truth, which judges the model's success.",
        'latent': 'To see that the model is up.',
        'proposal': 'To count and time plans.',
        'state': 'To hold every setpoint against the limits.',
        'commands': 'To hold every command against the limits.',
        '/diagnostics': 'Counts of pictures, and what does not come up.',
    },
    '': {
        '/diagnostics': 'What is wrong and what to do, once a second and at every change.',
        '/parameter_events': 'Each change of a parameter.',
        '/rosout': 'The log.',
        '~/transition_event': 'Each change of the lifecycle state.',
    },
}
"""Node, or none for all -> topic -> what it is for; of topics whose type does not say it."""

GENERATED = ('*Written by `tools/ros_reference.py` from the running nodes and their code: change '
             'the words there, then run it.*')


def topics_page(nodes: Mapping[str, Portrait]) -> Iterator[str]:
    """Yield the parts of the page about topics."""
    yield '# Topics'
    yield ('Names without a slash are relative: they follow the namespace and can be remapped. '
           '`~/` is what the node owns. *in* is subscribed to, *out* is published. The column '
           '*robot.launch.py* (*demo* for the nodes of the demo) has the name to which a topic is '
           'remapped there, where it differs. Stamps are those of the observation that a message '
           'follows from, units are SI (REP-103).')
    yield GENERATED
    for title, purpose, names in _sections(nodes, lambda node: node.topics):
        yield f'## {title}\n\n{purpose}'
        yield _topic_table(nodes, names)


def _topic_table(
    nodes: Mapping[str, Portrait], keys: Mapping[tuple[str, str], Portrait],
) -> str:
    shared = any(len(_holders(nodes, lambda node: node.topics, key)) > 2 for key in keys)
    owner = '' if shared else next(iter(keys.values())).name
    wires = _wires().get(owner, {})
    rows = []
    for (name, direction), node in sorted(
            keys.items(), key=lambda item: (item[0][1], item[0][0].startswith('~'))):
        topic = node.topics[name, direction]
        remapped = f'`{wires[name]}`' if wires.get(name, name) != name else ''
        rows.append([f'`{name}`', direction, _linked(topic.kind), topic.qos,
                     *([] if shared else [remapped]), _words(owner, topic)])
    home = 'robot.launch.py' if owner in ('world_model', 'controller') else 'demo'
    return markup.table(['topic', '', 'type', 'quality of service',
                           *([] if shared else [home]), 'what for'], rows)


def _wires() -> dict[str, dict[str, str]]:
    """Node -> name -> topic, where they are started."""
    given = {name: str(argument.default or '') for name, argument in ROBOT.items()}
    return {**robot_remappings(given), graph.SIMULATOR.name: graph.SIMULATOR.remappings,
            graph.DIRECTOR.name: graph.DIRECTOR.remappings}


def _words(owner: str, topic: Topic) -> str:
    if topic.name in WORDS[owner]:
        return WORDS[owner][topic.name]
    if text := _comment(topic.kind):
        return text
    raise SystemExit(f'{owner} has the new topic {topic.name}: say in WORDS of '
                     f'{Path(__file__).name} what it is for')


def parameters_page(nodes: Mapping[str, Portrait]) -> Iterator[str]:
    """Yield the parts of the page about parameters."""
    yield '# Parameters'
    yield ('`ros2 param describe /NODE NAME` says the same of a running node. *when*: parameters '
           'marked **configure** are read when the node is configured, and a change is refused '
           'until it is cleaned up; those marked **any time** can be changed while it is active '
           '(`simulator` reads its own when it is configured next); **start** can only be given '
           'when the process starts. Ranges include both ends; a value outside is '
           'refused. Floating-point values need their point in YAML (`1.0`, not `1`).')
    yield GENERATED
    for title, purpose, names in _sections(nodes, lambda node: node.settings):
        yield f'## {title}\n\n{purpose}'
        yield markup.table(
            ['parameter', 'type', 'default', 'range', 'unit', 'when', 'meaning'],
            [_setting_row(node, node.settings[name]) for name, node in names.items()])


def _setting_row(node: Portrait, setting: Setting) -> list[str]:
    if not setting.meaning and setting.name in STANDARD:
        meaning = STANDARD[setting.name]
    elif setting.meaning:
        meaning = setting.meaning
    else:
        raise SystemExit(f'{node.name} declares {setting.name} without a description')
    if setting.read_only or not node.managed:
        when = 'start'
    elif setting.name in node.fixed:
        when = 'configure'
    else:
        when = 'any time'
    return [f'`{setting.name}`', setting.kind, f'`{_value(setting.default)}`', setting.range,
            setting.unit, when, meaning]


STANDARD = {
    'use_sim_time': 'Follow `/clock` instead of the system clock.',
}
"""Parameters that rclpy declares without a description."""


def _value(value: object) -> str:
    if isinstance(value, float) and math.isinf(value):
        return '.inf' if value > 0 else '-.inf'
    return '[]' if value == [''] else json.dumps(value)


def services_page(nodes: Mapping[str, Portrait]) -> Iterator[str]:
    """Yield the parts of the page about services and actions."""
    yield '# Services and actions'
    yield 'Lifecycle nodes are managed by the standard services under *Every node*.'
    yield GENERATED
    shown: list[str] = []
    for title, purpose, names in _sections(nodes, lambda node: node.services):
        yield f'## {title}\n\n{purpose}'
        rows = []
        for (name, direction), node in sorted(names.items()):
            kind = node.services[name, direction].kind
            sort = 'action' if '/action/' in kind else 'service'
            rows.append([f'`{name}`', f'{direction} a{"n" * (sort == "action")} {sort}',
                         _linked(kind), _comment(kind)])
            if kind.startswith('world_model_interfaces/') and kind not in shown:
                shown.append(kind)
        yield markup.table(['name', '', 'type', 'what for'], rows)
    for kind in shown:
        yield f'## {kind}\n\n```text\n{_definition(kind).strip()}\n```'


def launch_page(nodes: Mapping[str, Portrait]) -> Iterator[str]:
    """Yield the parts of the page about launch files."""
    yield '# Launch files'
    yield ('`ros2 launch world_model_ros FILE NAME:=VALUE ...`; `--show-args` says the same. Paths '
           'among the defaults are in the share directory of this package.')
    yield GENERATED
    for file, arguments in LAUNCH_FILES.items():
        text = re.search(r'"""(.*?)(?::? ``ros2 launch|\n\n)', (
            ROOT / 'launch' / file).read_text(), re.DOTALL)
        yield f'## {file}\n\n{text[1].strip().rstrip(".") if text else file}.'
        rows = []
        for name, argument in arguments.items():
            default = argument.default
            shown = ('(to be given)' if default is None else f'`{default.relative_to(ROOT)}`'
                     if isinstance(default, Path) else f'`{default}`' if default else '(empty)')
            choices = f' One of {", ".join(argument.choices)}.' if argument.choices else ''
            rows.append([f'`{name}`', shown, argument.description + choices])
        yield markup.table(['argument', 'default', 'meaning'], rows)
    yield ('`gazebo.launch.py` takes the arguments of `robot.launch.py` as well, which it '
           'includes, but for `namespace` and `use_sim_time`.')


def commands_page(nodes: Mapping[str, Portrait]) -> Iterator[str]:
    """Yield the parts of the page about `wmros`."""
    yield '# Commands'
    yield ('`ros2 run world_model_ros wmros COMMAND` in a workspace, `.venv/bin/wmros COMMAND` '
           'with the wheels. `--help` says the same of each.')
    yield GENERATED
    yield markup.table(['command', 'what it does'], [
        [f'[`wmros {entry.name}`](#wmros-{entry.name})', entry.help] for entry in SUBCOMMANDS])
    for entry in SUBCOMMANDS:
        module: Subcommand = importlib.import_module(entry.module)
        parser = argparse.ArgumentParser(prog=f'wmros {entry.name}')
        module.add_arguments(parser)
        yield f'## wmros {entry.name}\n\n{entry.help[0].upper()}{entry.help[1:]}.'
        yield from _options(parser)
        if parser.epilog:
            yield f'```text\n{parser.epilog.strip()}\n```'


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    rows, families = [], None
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            families = action
        elif not isinstance(action, argparse._HelpAction):
            rows.append(_option_row(parser, action))
    if rows:
        yield markup.table(['option', '', 'meaning'], rows)
    if families is None:
        return
    name = str(families.metavar)
    yield markup.table([name, 'what it brings'], [
        [f'`{choice.dest}`', choice.help or ''] for choice in families._choices_actions])
    by_row: dict[tuple[str, ...], list[str]] = {}
    for choice, child in families.choices.items():
        for action in child._actions:
            if not isinstance(action, argparse._HelpAction):
                by_row.setdefault(tuple(_option_row(child, action)), []).append(f'`{choice}`')
    yield markup.table(['option', '', 'meaning', 'of'], [
        [*row, 'all' if len(of) == len(families.choices) else ', '.join(of)]
        for row, of in by_row.items()])


def _option_row(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    names = ', '.join(f'`{name}`' for name in action.option_strings) or f'`{action.dest}`'
    value = '' if action.nargs == 0 or not action.option_strings else str(
        action.metavar or (', '.join(map(str, action.choices)) if action.choices
                           else action.dest.upper()))
    needed = 'required' if action.required and action.option_strings else ''
    text = (action.help or '') % {**vars(action), 'prog': parser.prog}
    choices = ('' if action.option_strings or not action.choices
               else f'{", ".join(map(str, action.choices))}. ')
    return [names, ', '.join(filter(None, (f'`{value}`' if value else '', needed))),
            choices + markup.one_line(text)]


def _sections(
    nodes: Mapping[str, Portrait], of: Callable[[Portrait], Mapping[Any, Any]],
) -> Iterator[tuple[str, str, dict[Any, Portrait]]]:
    """Title, words and things (with one who has them) of each node, then those of all."""
    common: dict[Any, Portrait] = {}
    for node in nodes.values():
        for key in of(node):
            if len(_holders(nodes, of, key)) > 2:
                common.setdefault(key, node)
    for node in nodes.values():
        own = {key: node for key in of(node) if key not in common}
        if own:
            yield node.name, node.purpose, own
    yield ('Every node', '`demo_director` alone has no lifecycle and no diagnostics of its own.',
           common)


def _holders(
    nodes: Mapping[str, Portrait], of: Callable[[Portrait], Mapping[Any, Any]], key: object,
) -> list[str]:
    return [node.name for node in nodes.values() if key in of(node)]


def _definition(kind: str) -> str:
    """Return the file that defines a type of ours; of others nothing."""
    package, folder, name = kind.split('/')
    if package != INTERFACES.name:
        return ''
    return (INTERFACES / folder / f'{name}.{folder}').read_text()


def _comment(kind: str) -> str:
    """Return the words at the top of the file that defines a type of ours."""
    top = re.match(r'(#.*\n)+', _definition(kind))
    return markup.one_line(re.sub(r'(?m)^# ?', '', top[0])) if top else ''


def _linked(kind: str) -> str:
    package, folder, name = kind.split('/')
    if package != INTERFACES.name:
        return f'`{kind}`'
    return f'[`{kind}`](../../{package}/{folder}/{name}.{folder})'


PAGES: dict[str, Callable[[Mapping[str, Portrait]], Iterable[str]]] = {
    'topics.md': topics_page, 'parameters.md': parameters_page, 'services.md': services_page,
    'launch.md': launch_page, 'commands.md': commands_page}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or say which are stale; return the exit code."""
    parser = argparse.ArgumentParser(description='Write docs/reference.')
    parser.add_argument('--check', action='store_true', help='write nothing, name stale pages')
    parser.add_argument('--log-level', default='fatal', help='of the nodes')
    args = parser.parse_args(arguments)
    os.environ |= {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    rclpy.init(domain_id=free_domain(), args=[
        '--ros-args', '-r', f'__ns:={SPACE}', '--log-level', args.log_level])
    try:
        nodes = portraits()
    finally:
        rclpy.try_shutdown()
    written = {FOLDER / name: markup.page(make(nodes)) for name, make in PAGES.items()}
    stale = [path for path, text in written.items()
             if not path.exists() or path.read_text() != text]
    if args.check:
        for path in stale:
            print(f'{path.relative_to(ROOT)} is stale: run .venv/bin/python tools/ros_reference.py')
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path in stale:
        path.write_text(written[path])
    return 0


if __name__ == '__main__':
    sys.exit(main())
