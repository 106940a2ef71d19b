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
"""``wmros doctor``: one screen that says why a robot does not do what it should, and the cure.

Exit code 0: nothing stands in the way. 1: something does; each reason comes with its cure. 2: the
command line is wrong. It only listens, asks nodes for their parameters, and sends test images in a
ROS domain of its own: nothing that it does reaches a motor.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from world_model_ros.bringup import fit
from world_model_ros.bringup.dds import TRANSPORTS, discovery_profile
from world_model_ros.bringup.launch_arguments import ROBOT
from world_model_ros.bringup.parameters import judge_parameters, real
from world_model_ros.bringup.robot_file import (
    AbsentFileError,
    Parameters,
    Robot,
    RobotFileError,
    names_for,
    read_parameters,
    read_robot,
)
from world_model_ros.bringup.topic_names import camera_of, kind_of, name_of
from world_model_ros.bundle import Bundle, BundleError, load_bundle, load_manifest
from world_model_ros.cli import argument_types, diagnosis, middleware, topics
from world_model_ros.cli.probes import ProbeError, run_probe
from world_model_ros.findings import Finding, Grade
from world_model_ros.inference import RuntimeSettings
from world_model_ros.inference.providers import available, choose, measured_encoding
from world_model_ros.inference.report import Report, Section
from world_model_ros.inference.sessions import INSTALL, ProviderError

_MARKS = {Grade.UNFIT: ('✗', 'bold red'), Grade.WARNING: ('!', 'bold yellow'),
          Grade.NOTE: ('·', 'dim')}
_INTERFACES = {interface: str(ROBOT[argument].default)
               for interface, argument in diagnosis.ARGUMENTS.items()}
"""Where `robot.launch.py` sends commands by default."""
_OPTION = '--image-topic'
_NVIDIA = ('/dev/nvidia0', '/dev/nvhost-gpu', '/dev/nvgpu')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line."""
    parser.add_argument('--namespace', type=argument_types.namespace, default='', metavar='NS',
                        help='the robot to examine')
    parser.add_argument('--robot', type=Path, metavar='YAML',
                        help='parameters file, as robot.launch.py takes it (default: the '
                             'parameters of the running nodes)')
    parser.add_argument('--robot-description-file', metavar='URDF',
                        help='as robot.launch.py takes it (default: what the YAML says)')
    parser.add_argument('--bundle', type=Path, metavar='DIR',
                        help='the model (default: that of the running world_model)')
    parser.add_argument(_OPTION, type=argument_types.camera_topic, action='append', default=[],
                        metavar='TOPIC',
                        help='default: the cameras that the running world_model reads; '
                             'CAMERA:=TOPIC, once for each, for a bundle that names its cameras')
    for name, what in (('joint', 'joint states'), ('pose', 'pose')):
        parser.add_argument(f'--{name}-topic', type=argument_types.topic, metavar='TOPIC',
                            help=f'default: the {what} that the running world_model reads')
    parser.add_argument('--command-topic', type=argument_types.topic, action='append', default=[],
                        metavar='TOPIC',
                        help="where the robot is commanded, once for each topic (default: where "
                             "the running controller does, else robot.launch.py's defaults)")
    parser.add_argument('--use-sim-time', action='store_true', help='the robot lives by /clock')
    parser.add_argument('--listen', type=argument_types.finite_seconds, default=5.0, metavar='S',
                        help='listen no longer than this (default %(default)s)')


def run(args: argparse.Namespace) -> int:
    """Examine everything, print one screen; 0 if nothing stands in the way."""
    report = Report()
    cameras = _cameras(args, report)
    with ThreadPoolExecutor() as pool:
        looking, trying = pool.submit(_look, args, cameras), pool.submit(middleware.try_images)
        try:
            graph: dict[str, Any] | None = looking.result()
        except ProbeError as error:
            graph = None
            report.findings.append(Finding(Grade.UNFIT, 'ROS', error.problem, error.cure))
        try:
            delivery: middleware.Delivery | None = trying.result()
        except ProbeError as error:
            delivery = None
            report.findings.append(Finding(Grade.UNFIT, 'DDS', error.problem, error.cure))
    _middleware(report, graph, delivery)
    controller, world_model = (_parameters(args, graph, name, report)
                               for name in ('controller', 'world_model'))
    bundle = _bundle(args, world_model, report)
    encoding = _runtime(bundle, world_model, report)
    robot = _robot(args, controller, report)
    if bundle and robot:
        report.findings += fit.judge_limits(bundle, robot)
    if controller:
        report.findings += fit.judge_timing(controller, world_model, bundle, encoding)
    if graph:
        _graph(args, graph, bundle, robot, controller, report)
        if robot:
            commanded = any(ends['type'] for ends in graph['commands'].values())
            report.findings += diagnosis.judge_drive(
                graph, robot, args.command_topic
                or (() if commanded else (_INTERFACES[robot.interface],)))
    _show(report)
    return 0 if report.fit else 1


def _look(args: argparse.Namespace, cameras: Mapping[str, str]) -> dict[str, Any]:
    given = {**cameras, **{name: topic for name, topic in (
        ('joint_states', args.joint_topic), ('pose', args.pose_topic)) if topic}}
    return run_probe('graph_probe', [
        '--namespace', args.namespace, '--seconds', str(args.listen),
        *(['--use-sim-time'] if args.use_sim_time else []), *topics.topic_options(given),
        *(word for topic in args.command_topic for word in ('--command', topic)),
        *(word for topic in _INTERFACES.values() for word in ('--command-default', topic)),
    ], args.listen, {**os.environ, **discovery_profile()})


def _cameras(args: argparse.Namespace, report: Report) -> dict[str, str]:
    """Topics of cameras, as far as the command line tells them."""
    words: list[str] = args.image_topic
    try:
        manifest = load_manifest(args.bundle) if args.bundle else None
        if manifest is not None and (words or (manifest.image and manifest.image.cameras)):
            wanted = topics.needed(manifest, words)
            return {name: topic for name, topic in wanted.items()
                    if kind_of(name) == 'image'}
    except BundleError:
        pass  # told where the bundle is examined
    except ProbeError as error:
        report.findings.append(Finding(Grade.UNFIT, _OPTION, error.problem, error.cure))
    given = [word.rpartition(':=') for word in words]
    return {name_of('image', camera): topic for camera, _, topic in given}


def _parameters(
    args: argparse.Namespace, graph: Mapping[str, Any] | None, name: str, report: Report,
) -> Parameters:
    """Parameters of a node: as the file says, else as it runs; none if neither is there."""
    path = '/'.join(('', *args.namespace.strip('/').split('/'), name)).replace('//', '/')
    urdf = ({'robot_description_file': args.robot_description_file}
            if args.robot_description_file else {})
    if args.robot is None:
        running = graph['nodes'].get(path) if graph else None
        return {**running['parameters'], **urdf} if running else {}
    try:
        told = {**read_parameters(args.robot, path), **urdf}
        wrong = list(judge_parameters(name, told, names_for(args.robot, path)))
    except RobotFileError as error:
        if name == 'controller':  # world_model works by its defaults
            report.findings.append(Finding(
                Grade.UNFIT, str(args.robot), str(error), 'begin with config/robot_template.yaml'))
        return {}
    report.findings += wrong
    mistaken = {finding.about for finding in wrong}
    return {parameter: value for parameter, value in told.items()
            if f'{name} {parameter}' not in mistaken}


def _bundle(
    args: argparse.Namespace, world_model: Parameters, report: Report,
) -> Bundle | None:
    path = args.bundle or (Path(str(world_model['bundle'])) if world_model.get('bundle') else None)
    if path is None:
        report.findings.append(Finding(
            Grade.NOTE, 'bundle', 'no model is given and none runs', 'give --bundle'))
        return None
    if not (args.bundle or args.robot or path.exists()):
        report.findings.append(Finding(
            Grade.NOTE, 'bundle', f'that of world_model is not found from here: {path}',
            'ask in the folder, and on the machine, where world_model was started, or give '
            '--bundle'))
        return None
    try:
        bundle = load_bundle(path)
    except BundleError as error:
        report.findings += [Finding(Grade.UNFIT, f'{path} {fault.field}', fault.problem, fault.cure)
                            for fault in error.faults]
        return None
    model, action = bundle.manifest.model, bundle.manifest.action
    report.sections.append(Section('Model', (
        ('bundle', f'{model.name} {model.version} ({bundle.digest[:12]}), {path}'),
        ('actions', f'{action.kind} of {", ".join(action.names)}, each {action.step_duration:g} '
                    's'))))
    return bundle


def _runtime(bundle: Bundle | None, world_model: Parameters, report: Report) -> float | None:
    """Add what runs the model: which provider, and whether a GPU lies idle.

    Returns what an encoding takes on it [s]; None where `wmros check --prebuild` has not measured
    it.
    """
    installed, encoding = available(), None
    rows = [('installed', ', '.join(installed))]
    try:
        cache = world_model.get('cache')
        settings = RuntimeSettings(cache=Path(str(cache)) if cache else None, **{
            name: world_model[name] for name in ('provider', 'precision', 'threads')
            if name in world_model})
        if bundle:
            backend = choose(bundle.digest, settings)
            rows.append(('chosen', f'{backend.provider} {backend.precision}, {backend.reason}'))
            encoding = measured_encoding(bundle.digest, settings, backend)
            report.findings += [backend.warning] if backend.warning else []
    except ProviderError as error:
        report.findings.append(Finding(Grade.UNFIT, 'provider', error.problem, error.cure))
    gpus = [device for device in _NVIDIA if Path(device).exists()]
    if gpus and 'cuda' not in installed:
        report.findings.append(Finding(
            Grade.WARNING, gpus[0], 'this machine has an NVIDIA GPU, which nothing installed here '
            'uses', INSTALL['cuda']))
    report.sections.append(Section('Provider', tuple(rows)))
    return encoding


def _robot(
    args: argparse.Namespace, controller: Parameters, report: Report,
) -> Robot | None:
    if not controller:
        return None
    try:
        robot = read_robot(controller)
    except ValueError as error:
        if isinstance(error, AbsentFileError) and not (args.robot or args.robot_description_file):
            report.findings.append(Finding(
                Grade.NOTE, 'controller', f'what it was started with is not found from here: '
                f'{error}', 'ask in the folder, and on the machine, where the controller was '
                'started, or give --robot-description-file'))
            return None
        report.findings.append(Finding(
            Grade.UNFIT, 'controller', 'its parameters do not describe a robot that can be '
            f'driven: {error}',
            "correct the robot's YAML or what is given beside it: the controller can not be "
            'configured with these parameters'))
        return None
    limits = robot.limits
    report.sections.append(Section(f'Robot, driven by {robot.interface}', tuple(
        (name, ('' if limits.twist else f'{limits.lower[i]:g} to {limits.upper[i]:g}, ')
         + f'velocity {limits.velocity[i]:g}, acceleration {limits.acceleration[i]:g}')
        for i, name in enumerate(limits.names))))
    return robot


def _middleware(
    report: Report, graph: Mapping[str, Any] | None, delivery: middleware.Delivery | None,
) -> None:
    rows = [
        ('domain', f'{os.environ.get("ROS_DOMAIN_ID") or 0}, discovery '
                   f'{os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")}'),
        (TRANSPORTS.split('_')[0].lower(), os.environ.get(TRANSPORTS, f'{TRANSPORTS} is unset'))]
    if graph:
        rows.insert(0, ('rmw', f'{graph["rmw"]}, ROS 2 {os.environ.get("ROS_DISTRO", "(wheels)")}'))
        clocks = ', '.join(graph['clocks'])
        rows.append(('clock', f'/clock by {clocks}' if clocks else 'system clock, no /clock'))
    if delivery:
        rows.append(('images', f'640x480 at 30 Hz, to another process: {delivery}'))
        report.findings += middleware.judge_images(delivery)
    report.sections.append(Section('Middleware', tuple(rows)))


def _graph(
    args: argparse.Namespace, graph: dict[str, Any], bundle: Bundle | None, robot: Robot | None,
    controller: Parameters, report: Report,
) -> None:
    report.findings += diagnosis.judge(graph, _start(args, robot))
    if bundle:
        wanted = topics.needed(bundle.manifest)
        lost = [name for name in wanted if name not in graph]
        heard = {name: graph[name] for name in wanted if name not in lost} | {
            name: graph[name] for name in ('use_sim_time', 'clock_publishers', 'topics')}
        report.findings += topics.judge(bundle.manifest, heard)
        if not any(finding.about == _OPTION for finding in report.findings):
            report.findings += diagnosis.judge_cameras(graph, [
                camera_of(name) for name in lost if kind_of(name) == 'image'])
    else:
        heard = {key: value for key, value in graph.items()
                 if kind_of(key) in ('image', 'joint_states')}
    if robot:
        if not bundle or 'joint_states' not in heard:
            heard['joint_states'] = graph['joint_states']  # the controller needs them, too
            report.findings += topics.judge_source(graph, 'joint_states')
        report.findings += diagnosis.judge_joints(
            graph, robot, real('controller', controller, 'joint_state_timeout'))
    report.sections += [
        Section('Topics', tuple(_split(line) for line in topics.describe(heard))),
        Section('Commands', tuple(diagnosis.describe_commands(graph)) or (('', 'none'),)),
        Section('Nodes', tuple(diagnosis.describe_nodes(graph)))]
    if health := diagnosis.describe_health(graph):
        report.sections.append(Section('Diagnostics', tuple(health)))


def _start(args: argparse.Namespace, robot: Robot | None) -> str:
    """The command line that starts the nodes, with what was told of the robot."""
    cameras = ' '.join(args.image_topic)
    given = {
        'bundle': args.bundle or 'my_bundle', 'parameters': args.robot or 'my_robot.yaml',
        'robot_description_file': args.robot_description_file, 'namespace': args.namespace,
        'cameras' if ':=' in cameras else 'image': cameras,
        'joint_states': args.joint_topic, 'pose': args.pose_topic}
    if robot and len(args.command_topic) == 1:
        given[diagnosis.ARGUMENTS[robot.interface]] = args.command_topic[0]
    if args.use_sim_time:
        given['use_sim_time'] = 'true'
    return ' '.join(('ros2 launch world_model_ros robot.launch.py', *(
        shlex.quote(f'{name}:={value}') for name, value in given.items() if value)))


def _split(line: str) -> tuple[str, str]:
    topic, _, rest = line.partition(': ')
    return topic, rest


def _show(report: Report) -> None:
    """Print sections and findings, the gravest last, where the eye is when it is done."""
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    for section in report.sections:
        heading, *rows = section.lines()
        console.print(Text(heading, style='bold'))
        for row in rows:
            console.print(Text(row))
    for finding in sorted(report.findings, key=lambda finding: finding.grade):
        mark, style = _MARKS[finding.grade]
        console.print(Text.assemble(
            '\n', (f'{mark} {finding.about}: ', style), finding.problem,
            ('\n  Cure: ', 'bold'), finding.cure))
    console.print(Text(f'\nVerdict: {report.verdict}', style='bold'))
