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
"""What is wrong with a robot's ROS graph, from what ``nodes.graph_probe`` found in it.

Pure functions of that finding, so that each fault can be tried without a robot.
"""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from world_model_ros.bringup.launch_arguments import DRY_RUN
from world_model_ros.bringup.robot_file import COMMANDS, Robot
from world_model_ros.bringup.topic_names import kind_of
from world_model_ros.cli import topics
from world_model_ros.findings import Finding, Grade
from world_model_ros.observation import called

Graph = Mapping[str, Any]
Drives = Mapping[str, Mapping[str, Any]]
"""What subscribes to commands: types and parameters by node."""
ARGUMENTS = {'velocity': 'commands', 'trajectory': 'joint_trajectory', 'twist': 'cmd_vel'}
"""By command interface: the argument of `robot.launch.py` that says where commands go."""

# What joint_trajectory_controller calls the same thing since ros2_controllers 5, and before.
_GOES_ON = ('interpolate_from_desired_state', 'open_loop_control')
_BARE = COMMANDS['twist'].removesuffix('Stamped')
_SWITCH = ('; a TurtleBot3 takes TwistStamped with enable_stamped_cmd_vel: true, '
           'diff_drive_controller with use_stamped_vel: true')
_LEVELS = {1: 'warning', 2: 'error', 3: 'stale'}


def judge(graph: Graph, start: str) -> Iterator[Finding]:
    """Yield what is wrong with nodes, clocks, quality of service and commands.

    `start` is the command line that starts both nodes.
    """
    yield from _nodes(graph, start)
    yield from _deaf(graph)
    yield from _clocks(graph)
    for pair in graph['mismatches']:
        yield Finding(
            Grade.UNFIT, pair['topic'], f'{pair["publisher"]} and {pair["subscriber"]} do not '
            f'match and exchange nothing: {pair["reason"].strip()}',
            'offer at the publisher what the subscription asks for (ros2 topic info -v '
            f'{pair["topic"]} shows both)' + (_SWITCH if pair['reason'].endswith(_BARE) else ''))
    yield from _commands(graph)


def judge_joints(graph: Graph, robot: Robot, timeout: float) -> Iterator[Finding]:
    """Yield what the robot's joint states lack for its controller.

    `timeout` is the controller's joint_state_timeout [s].
    """
    heard = graph['joint_states']
    if not heard['arrivals']:
        return
    yield from topics.judge_joints(
        heard, robot.joints, 'which the controller needs', "correct the parameter joints in "
        "the robot's YAML, or remap joint_states to this robot's topic")
    # Other drivers may tell other joints on this topic, at other rates.
    whole = [one for one in heard['sets'].values() if set(robot.joints) <= set(one['names'])]
    if not whole:
        return
    age = max(0.0, statistics.median(age for one in whole for age in one['ages']))
    # By their stamps, since the controller's clock is ROS time, which may run at another pace.
    stamps = sorted(stamp for one in whole for stamp in one['stamps'])
    period = 1e-9 * statistics.median(
        map(operator.sub, stamps[1:], stamps)) if len(stamps) > 1 else math.inf
    if age > topics.ANOTHER_CLOCK or age + 2.0 * period <= timeout:
        return
    problem = ('only one came' if period == math.inf else
               f'they get {1e3 * (age + period):.0f} ms old' if age + period > timeout else
               f'one that is lost leaves them {1e3 * (age + 2.0 * period):.0f} ms old')
    # Some of the age may be this machine's, which is busy listening; the period is the driver's.
    yield Finding(
        Grade.UNFIT if period > timeout else Grade.WARNING, heard['topic'],
        f'{problem}, and from {1e3 * timeout:.0f} ms on the controller brakes',
        'publish joint states more often and without delay, or raise joint_state_timeout')


def judge_drive(graph: Graph, robot: Robot, wanted: Collection[str]) -> Iterator[Finding]:
    """Yield what is wrong with the drives that a robot's commands go to.

    `wanted` are topics as they were given where a controller that does not run yet will send them.
    """
    there = {topic: ends for topic, ends in graph['commands'].items() if ends['asked'] in wanted}
    yield from _listeners(there, robot)
    for topic, ends in graph['commands'].items():
        if not (ends['type'] or topic in there):
            continue
        drives = ends['subscribers']
        yield from _without_watchdog(topic, drives, robot)
        if robot.interface == 'velocity':
            yield from _numbers(drives, robot.joints)
        elif robot.interface == 'trajectory':
            yield from _restarting(drives)


def _listeners(there: Graph, robot: Robot) -> Iterator[Finding]:
    """Yield why nobody hears what will be sent to the topics that are `there`."""
    kind = COMMANDS[robot.interface]
    place = ('here --command-topic TOPIC, to robot.launch.py '
             f'{ARGUMENTS[robot.interface]}:=TOPIC')
    others = {node: one['types'] for ends in there.values()
              for node, one in ends['subscribers'].items()}
    if there and not any(ends['publishers'] or ends['subscribers'] for ends in there.values()):
        yield Finding(
            Grade.UNFIT, ' and '.join(there), 'nobody listens where the commands will go',
            "start the drive's controller (ros2 control list_controllers), or say where it "
            f'listens: {place}')
    elif others and not any(kind in types for types in others.values()):
        listens = ' and '.join(f'{node} listens for {", ".join(types)}'
                               for node, types in others.items())
        fitting = [interface for interface, sent in COMMANDS.items()
                   if any(sent in types for types in others.values())]
        yield Finding(
            Grade.UNFIT, ' and '.join(there), f'{listens}, where {kind} will be sent',
            f'say where the drive listens for it: {place}'
            + (f'; or use command_interface: {fitting[0]}' if fitting else '')
            + (_SWITCH if robot.interface == 'twist'
               and any(_BARE in types for types in others.values()) else ''))


def _without_watchdog(topic: str, drives: Drives, robot: Robot) -> Iterator[Finding]:
    """Yield which drives go on when nobody commands them any more, or may."""
    # What a controller of ros2_control subscribes to is below its own name.
    drive, _, name = topic.rpartition('/')
    if robot.interface == 'velocity' and name == 'commands' and drive in drives:
        yield Finding(
            Grade.WARNING, drive, 'does not stop by itself: if the controller of this package '
            'or its machine dies, it repeats the last velocity for ever (ros2_controllers #95)',
            'use command_interface: trajectory, each of which ends at rest, or a drive that '
            'stops when commands stay away (docs/reliability.md)')
    if robot.interface == 'twist' and drives:
        yield Finding(
            Grade.WARNING, ' and '.join(drives), 'may not stop by itself: if the '
            'controller of this package or its machine dies, nobody sends zeros, and a base '
            'without a watchdog, such as a TurtleBot3, drives on',
            'lift the wheels off the ground, kill the controller while they turn and see them '
            'stop; if they do not, put a watchdog between (docs/reliability.md)')


def _restarting(drives: Drives) -> Iterator[Finding]:
    """Yield which drives start a trajectory where the robot is, not where it was told to be."""
    for node, one in drives.items():
        asked = [one['parameters'][name] for name in _GOES_ON if name in one['parameters']]
        if asked and not any(asked):
            yield Finding(
                Grade.WARNING, node, 'starts each new trajectory at the measured joint positions '
                'instead of the commanded ones, so every message pulls the lagging arm back',
                "set interpolate_from_desired_state: true in that controller's "
                'parameters (open_loop_control: true before ros2_controllers 5)')


def _numbers(drives: Drives, joints: Sequence[str]) -> Iterator[Finding]:
    """Yield which drives take other numbers than velocities of these joints in this order."""
    told = {node: one['parameters'] for node, one in drives.items()
            if COMMANDS['velocity'] in one['types']}
    # Drives of other makers have parameters of these names, too: a number of joints, for one.
    taken = {node: parameters['joints'] for node, parameters in told.items()
             if _is_list_of_names(parameters.get('joints'))}
    for node, parameters in told.items():
        interface = parameters.get('interface_name', 'velocity')
        if interface != 'velocity':
            yield Finding(
                Grade.UNFIT, node, f'takes the numbers for {interface}, and is sent velocities: '
                'zeros where the robot shall rest', 'lead the commands to a controller of '
                'velocities, such as velocity_controllers/JointGroupVelocityController')
        elif taken.get(node, list(joints)) != list(joints):
            yield Finding(
                Grade.UNFIT, node, f'takes the numbers for {", ".join(taken[node])}, and '
                f'is sent those of {", ".join(joints)}: a command has no names in it',
                "name the same joints, in one order, in the parameters of that controller and in "
                "the robot's YAML")
    if told and not taken:
        yield Finding(
            Grade.NOTE, ' and '.join(told), 'nobody says for which joints the numbers of a command '
            'are taken, in which order: it has no names in it',
            f'see that the drive takes velocities of {", ".join(joints)}, in this order')


def _is_list_of_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def judge_cameras(graph: Graph, lost: Sequence[str]) -> Iterator[Finding]:
    """Yield the cameras of a bundle, `lost`, that are on none of the topics listened to."""
    if lost:
        read = [one['topic'] for name, one in graph.items() if kind_of(name) == 'image']
        yield Finding(
            Grade.WARNING, 'cameras', 'nobody says on which topic '
            f'{" and ".join(called(camera) for camera in lost)} of the bundle is; listened was to '
            f'{", ".join(read)}',
            f'give {topics.image_options(lost)}, or activate world_model with this bundle, which '
            'then says so itself')


def describe_nodes(graph: Graph) -> list[tuple[str, str]]:
    """Return one row for each expected node."""
    rows = []
    for path in graph['expected']:
        one = graph['nodes'].get(path)
        if one is None:
            rows.append((path, 'not running'))
            continue
        clock = '/clock' if one['parameters'].get('use_sim_time') else 'system clock'
        rows.append((path, f'{one["state"] or _configuring(graph, path) or "does not answer"}, '
                           f'{clock}'))
    return rows


def describe_commands(graph: Graph) -> list[tuple[str, str]]:
    """Return one row for each topic on which the robot is commanded."""
    return [(topic, f'{", ".join(ends["publishers"]) or "nobody"} -> '
                    f'{", ".join(ends["subscribers"]) or "nobody"}')
            for topic, ends in graph['commands'].items()
            if ends['type'] or ends['publishers'] or ends['subscribers']]


def describe_health(graph: Graph) -> list[tuple[str, str]]:
    """Return what /diagnostics says that is not OK, the gravest first."""
    bad = sorted((one for one in graph['diagnostics'] if one['level']),
                 key=lambda one: -one['level'])
    return [(one['name'], f'{_LEVELS.get(one["level"], "?")}: {one["message"]}') for one in bad]


def _nodes(graph: Graph, start: str) -> Iterator[Finding]:
    missing = [path for path in graph['expected'] if path not in graph['nodes']]
    if len(missing) == 1:
        yield Finding(Grade.NOTE, missing[0], 'is not running',
                      f'start it: {start} nodes:={missing[0].rpartition("/")[2]}')
    elif missing:
        yield Finding(Grade.NOTE, ' and '.join(missing), 'are not running', f'start them: {start}')
    for path, one in graph['nodes'].items():
        if one['copies'] > 1:
            yield Finding(Grade.UNFIT, path, f'{one["copies"]} nodes have this name',
                          'end all but one (an old launch still runs?), or give each robot a '
                          'namespace')
        if one['state'] is None and (configuring := _configuring(graph, path)):
            yield Finding(Grade.WARNING, path, f'is {configuring} and answers afterwards',
                          'wait: an engine is built for minutes, once ("wmros check --prebuild" '
                          'does that before); its output tells how far it is')
        elif one['state'] is None:
            yield Finding(Grade.UNFIT, path, 'does not answer',
                          'see its output; end it and start it again')
        elif one['state'] != 'active':
            step = 'configure' if one['state'] == 'unconfigured' else 'activate'
            yield Finding(Grade.WARNING, path, f'is {one["state"]}',
                          f'ros2 lifecycle set {path} {step}; if that fails, its output and '
                          '/diagnostics say why')


def _configuring(graph: Graph, path: str) -> str:
    """What a node that is being configured, and so does not answer, said of that last; or ''."""
    return next((one['message'] for one in graph['diagnostics'] if one['node'] == path
                 and one['values'].get('state') == 'configuring'), '')


def _deaf(graph: Graph) -> Iterator[Finding]:
    heard = {one['topic'] for name, one in graph.items()
             if kind_of(name) == 'image' and one['arrivals']}
    for status in graph['diagnostics']:
        for key, topic in status['values'].items():
            if key.endswith('image_topic') and topic in heard and (
                    status['values'].get(f'{key.removesuffix("topic")}age_s') == 'n/a'):
                yield Finding(
                    Grade.UNFIT, status['node'], f'has heard nothing of {topic}, where pictures '
                    'come', 'end it and start it again: a process that takes the place of one that '
                    'was killed may be lost to others (docs/reliability.md)')


def _clocks(graph: Graph) -> Iterator[Finding]:
    clocks = graph['clocks']
    if len(clocks) > 1:
        yield Finding(Grade.UNFIT, '/clock', f'{" and ".join(clocks)} publish it',
                      'let one simulator or bag be the clock, or use another ROS_DOMAIN_ID')
    for path, one in graph['nodes'].items():
        if one['state'] is None:  # it does not say which clock it lives by
            continue
        simulated = bool(one['parameters'].get('use_sim_time'))
        if clocks and not simulated:
            yield Finding(
                Grade.UNFIT, path, f'lives by the system clock, while {clocks[0]} publishes /clock',
                'start it with use_sim_time:=true; on a robot without simulator, end what '
                'publishes /clock')
        elif simulated and not clocks:
            yield Finding(
                Grade.UNFIT, path, 'waits for /clock, which nobody publishes: its time stands '
                'still at 0', 'start the simulator, play the bag with --clock, or start it with '
                'use_sim_time:=false')


def _commands(graph: Graph) -> Iterator[Finding]:
    controllers = [path for path in graph['nodes'] if path.endswith('/controller')]
    for topic, ends in graph['commands'].items():
        publishers = ends['publishers']
        if len(publishers) > 1 or (publishers and not set(publishers) & set(controllers)):
            yield Finding(
                Grade.UNFIT, topic, f'{" and ".join(publishers)} command this robot'
                + (' at the same time' if len(publishers) > 1 else ' already'),
                'end all but the controller, or remap its commands to a topic of its own')
        if f'/{DRY_RUN}/' in topic:
            yield Finding(
                Grade.NOTE, topic, 'a dry run: the commands go nowhere',
                'let the robot move: start robot.launch.py without dry_run')
        elif publishers and not ends['subscribers']:
            yield Finding(
                Grade.UNFIT, topic, 'nobody listens to the commands',
                "start the drive's controller (ros2 control list_controllers), or remap the "
                'topic to where it listens')
