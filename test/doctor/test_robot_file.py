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
"""`wmros doctor` reads a robot's YAML as ROS does, and judges limits as the controller would."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rclpy
from dds import Graph, values
from rclpy.context import Context
from rclpy.node import Node
from toy_bundle import JOINTS, write_toy_bundle

from world_model_ros.bringup.fit import judge_limits, judge_timing
from world_model_ros.bringup.parameters import judge_parameters
from world_model_ros.bringup.robot_file import (
    NoSectionError,
    RobotFileError,
    names_for,
    read_parameters,
    read_robot,
)
from world_model_ros.bundle.load import parse_manifest
from world_model_ros.cli import doctor
from world_model_ros.cli.probes import free_domain
from world_model_ros.control import LimitsError
from world_model_ros.findings import Grade
from world_model_ros.inference import measurements
from world_model_ros.inference.measurements import Measurement, write_measurements
from world_model_ros.inference.report import Report
from world_model_ros.resources import resource

FAMILIES = Path(__file__).parents[1] / 'bundle' / 'families'
URDF = 'package://world_model_ros/description/reach_arm.urdf'


def written(folder: Path, content: Any) -> Path:
    file = folder / 'robot.yaml'
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


@pytest.mark.parametrize(('key', 'node', 'meant'), [
    ('controller', '/controller', True), ('/controller', '/controller', True),
    ('controller', '/left/controller', False),  # a bare name is inert in a namespace
    ('/left/controller', '/left/controller', True), ('/*/controller', '/left/controller', True),
    ('/*/controller', '/a/b/controller', False), ('/**', '/a/b/controller', True),
    ('/**/controller', '/controller', True), ('/**/controller', '/a/b/controller', True),
    ('/**/world_model', '/controller', False)])
def test_a_section_holds_for_the_nodes_that_ros_gives_it(
    key: str, node: str, meant: bool, tmp_path: Path,
) -> None:
    file = written(tmp_path, {key: {'ros__parameters': {'control_rate': 50.0}}})
    if meant:
        assert read_parameters(file, node) == {'control_rate': 50.0}
    else:
        with pytest.raises(RobotFileError, match='has nothing for'):
            read_parameters(file, node)


@pytest.mark.parametrize(('content', 'node'), [
    ({'/**': {'controller': {'ros__parameters': {'a': 1}}}}, '/left/controller'),
    ({'left': {'controller': {'ros__parameters': {'a': 1}}}}, '/left/controller'),
    ({'/**': {'ros__parameters': {'a': 0}, 'controller': {'ros__parameters': {'a': 1}}}},
     '/controller')])
def test_a_section_may_stand_below_its_namespace_as_in_ros(
    content: Any, node: str, tmp_path: Path,
) -> None:
    file = written(tmp_path, content)
    assert read_parameters(file, node) == {'a': 1}
    space, _, name = node.rpartition('/')
    context = Context()
    rclpy.init(context=context, args=['--ros-args', '--params-file', str(file)],
               domain_id=free_domain())
    try:
        ros = Node(name, namespace=space, context=context,
                   automatically_declare_parameters_from_overrides=True)
        assert ros.get_parameter('a').value == 1
        ros.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)


@pytest.mark.parametrize(('content', 'complaint'), [
    ('/**: {controller: {joints: [a]}}', 'no ros__parameters below "/[*][*]/controller"'),
    ('/**: {}', 'no ros__parameters below'), ('{}', 'is no ROS parameter file'),
    ('ros__parameters: {a: 1}', 'no ros__parameters below "ros__parameters"'),
    ('controller: {ros__parameters: 1}', 'no ros__param'),
    ('a: [1', 'cannot be read'), ('[1, 2]', 'is no ROS parameter file'),
    ('controller: {joints: [a]}', 'no ros__parameters below "controller"'),
    ('model: {name: a}', 'this is the contract for wmros export')])
def test_what_is_no_parameter_file_is_refused(
    content: str, complaint: str, tmp_path: Path,
) -> None:
    with pytest.raises(RobotFileError, match=complaint):
        read_parameters(written(tmp_path, content), '/controller')


def parameters(**changes: Any) -> dict[str, Any]:
    given = {'joints': list(JOINTS), 'robot_description_file': URDF,
             **{f'joint_limits.{joint}.max_acceleration': 8.0 for joint in JOINTS}, **changes}
    return {name: value for name, value in given.items() if value is not None}


BASE = {'command_interface': 'twist', 'twist_axes': ['linear.x'],
        'twist_limits.linear.x.max_velocity': 1.0, 'twist_limits.linear.x.max_acceleration': 1.0,
        **{f'joint_limits.{joint}.max_acceleration': None for joint in JOINTS}}


@pytest.mark.parametrize(('changes', 'complaint'), [
    ({'joints': ['shoulder', 'wrist']}, 'joint wrist is not in the robot description'),
    ({'joints': 'shoulder'}, 'write a list of names'),
    ({'joint_limits.elbow.max_velocity': 1}, 'write a number with a point in it'),
    ({'robot_description_file': ''}, '--robot-description-file URDF to wmros doctor'),
    ({'robot_description_file': '/nowhere.urdf'}, 'cannot be read'),
    ({'robot_description_file': 'package://nowhere/a.urdf'}, 'source the workspace of nowhere'),
    ({'joint_limits.elbow.max_acceleration': float('inf')}, 'no finite max_acceleration'),
    ({'command_interface': 'telepathy'}, 'set it to trajectory, velocity or twist'),
    ({**BASE, 'joints': ['']}, 'no joints are named'),
    ({'joint_limits.elbow.max_velcity': 1.0}, 'perhaps to joint_limits.elbow.max_velocity'),
    ({'joint_limits.wrist.max_velocity': 1.0}, 'no limit of anything that is driven'),
    ({**BASE, 'joint_limits.elbow.max_velocity': 1.0}, 'no limit of anything that is driven'),
    ({**BASE, 'twist_limits.linear.x.max_position': 1.0}, 'no limit of anything that is driven')])
def test_parameters_that_make_no_robot_are_refused(
    changes: dict[str, Any], complaint: str,
) -> None:
    with pytest.raises((RobotFileError, LimitsError), match=complaint):
        read_robot(parameters(**changes))


def test_the_doctor_and_the_controller_understand_a_robot_alike(tmp_path: Path) -> None:
    file = resource('config/demo.yaml')
    limits = read_robot(read_parameters(file, '/controller')).limits
    with Graph(tmp_path) as graph:
        graph.spawn('controller', parameters=read_parameters(file, '/controller'))
        diagnosed = graph.diagnostics()
        graph.wait_for(lambda: diagnosed('controller: limits') is not None, 20.0, 'limits')
        assert values(diagnosed('controller: limits')) == {
            name: f'{limits.lower[i]:g} to {limits.upper[i]:g}, velocity {limits.velocity[i]:g}, '
                  f'acceleration {limits.acceleration[i]:g}' for i, name in enumerate(limits.names)}


@pytest.mark.parametrize(('changes', 'about'), [
    ({}, None),
    ({'joint_limits.elbow.max_velocity': 0.5}, 'joint_limits.elbow.max_velocity'),
    ({'joint_limits.shoulder.max_acceleration': 1.0}, 'joint_limits.shoulder.max_acceleration'),
    ({'joints': ['elbow'], 'joint_limits.shoulder.max_acceleration': None}, 'joints'),
    (BASE, 'joints')])
def test_limits_that_do_not_fit_the_model_are_named(
    changes: dict[str, Any], about: str | None, tmp_path: Path,
) -> None:
    found = list(judge_limits(write_toy_bundle(tmp_path), read_robot(parameters(**changes))))
    assert [one.about for one in found] == ([about] if about else [])


def test_a_model_plans_positions_inside_those_of_the_robot(tmp_path: Path) -> None:
    def positions(manifest: dict[str, Any]) -> None:
        manifest['action'].update(kind='joint_position', units=['rad'] * 2, upper=[1.5, 3.0])

    bundle = write_toy_bundle(tmp_path, positions)
    (found,) = judge_limits(bundle, read_robot(parameters()))
    assert 'elbow' in found.about and 'the robot may go from -2.4 to 2.4' in found.problem


@pytest.mark.parametrize(('node', 'name', 'value', 'cure'), [
    ('world_model', 'plan_rate', 0.0, 'in that range'),
    ('world_model', 'plan_rate', 10, 'a number with a point in it'),
    ('world_model', 'plan_rate', math.nan, 'in that range'),
    ('world_model', 'plan_deadline', 'soon', 'a number with a point in it'),
    ('controller', 'late_after', None, 'a number with a point in it'),
    ('controller', 'control_rate', 100, 'a number with a point in it'),
    ('controller', 'control_rate', 5000.0, 'in that range'),
    ('controller', 'thread_priority', True, 'a whole number'),
    ('controller', 'joints', 'elbow', 'a list of names'),
    ('controller', 'joints', [1, 2], 'a list of names'),
    ('controller', 'twist_frame', 3, 'text'), ('world_model', 'autostart', 1, 'true or false'),
    ('world_model', 'max_skew', 1, 'a number with a point in it')])
def test_a_value_that_a_node_would_not_take_is_named(
    node: str, name: str, value: Any, cure: str,
) -> None:
    (found,) = judge_parameters(node, {name: value}, ())
    assert (found.grade, found.about) == (Grade.UNFIT, f'{node} {name}')
    assert found.problem.startswith(f'it is {value!r}') and cure in found.cure


@pytest.mark.parametrize(('node', 'name', 'cure'), [
    ('controller', 'following_tolerence', 'perhaps to following_tolerance, or'),
    ('world_model', 'plan_rte', 'perhaps to plan_rate, or'),
    ('controller', 'joint_limit.elbow.max_velocity', 'to joint_limits.elbow.max_velocity, or'),
    ('controller', 'plan_rate', 'move it to the section of world_model'),
    ('world_model', 'joints', 'move it to the section of controller'),
    ('world_model', 'gripper_force', 'docs/reference/parameters.md has those of world_model')])
def test_a_name_that_a_node_does_not_know_is_named_where_the_file_means_that_node_alone(
    node: str, name: str, cure: str, tmp_path: Path,
) -> None:
    (found,) = judge_parameters(node, {name: 1.0}, {name})
    assert (found.grade, found.about) == (Grade.UNFIT, f'{node} {name}') and cure in found.cure
    for key, named in ((f'/**/{node}', True), (f'/left/{node}', True), ('/**', False),
                       ('/left/*', False)):
        file = written(tmp_path, {key: {'ros__parameters': {name: 1.0}}})
        assert names_for(file, f'/left/{node}') == ({name} if named else set())
    assert not list(judge_parameters(node, {name: 1.0}, ()))


def test_names_that_every_node_has_and_those_of_limits_are_right() -> None:
    given = {'use_sim_time': True, 'autostart': False, 'start_type_description_service': False,
             'qos_overrides./image.subscription.depth': 1}
    for node in ('controller', 'world_model'):
        assert not list(judge_parameters(node, given, given))
    limits = {'joint_limits.elbow.max_velocity': 1.0, 'twist_limits.linear.x.max_velocity': 1.0}
    assert not list(judge_parameters('controller', limits, limits))


WRITTEN = (
    '1e-1', '1.0e1', '.5', '-2.E3', '1.', '100', '+5', '-0x1F', '010', '08', '0', '0x', '0o10',
    '+.5', '1_000', '0.1_0', '1:30', '99999999999999999999', '.inf', '-.Inf', '.iNF', 'inf',
    '-Infinity', 'y', 'N', 'yes', 'Off', 'TRUE', 'tRUE', '~', 'null', '=', '<<', 'fast',
    '2026-11-22', '2026-11-22 10:00:00', '"5"', "'true'", '!!str 5', '[y, n]', '[1, 0x2]',
    '[.5, -.inf]', '[a, ~]')


def test_what_a_file_says_is_of_the_type_and_value_that_ros_gives_it(tmp_path: Path) -> None:
    # One parameter is called y, as an axis is: a name, and not the truth that y is as a value.
    names = ['y', *(f'a{number}' for number in range(1, len(WRITTEN)))]
    file = written(tmp_path, '\n'.join(['controller:', '  ros__parameters:', *(
        f'    {name}: {text}' for name, text in zip(names, WRITTEN, strict=True))]))
    context = Context()
    rclpy.init(context=context, args=['--ros-args', '--params-file', str(file)],
               domain_id=free_domain())
    try:
        ros = Node('controller', context=context,
                   automatically_declare_parameters_from_overrides=True)
        given = {name: ros.get_parameter(name).value for name in names}
        ros.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    read = read_parameters(file, '/controller')
    for name, text in zip(names, WRITTEN, strict=True):
        assert (text, read[name], type(read[name])) == (text, given[name], type(given[name]))


def test_a_name_without_a_value_is_refused_as_by_ros(tmp_path: Path) -> None:
    with pytest.raises(RobotFileError, match=r'no value.*line 3'):
        read_parameters(written(tmp_path, 'controller:\n  ros__parameters:\n    bundle:\n'),
                        '/controller')
    assert read_parameters(written(
        tmp_path, "controller: {ros__parameters: {bundle: ''}}"), '/controller') == {'bundle': ''}


@pytest.mark.parametrize('file', [
    *(resource(f'config/{name}.yaml') for name in ('demo', 'gazebo/robot', 'robot_template')),
    *sorted(resource('config/robots').glob('*.yaml'))], ids=lambda file: file.stem)
def test_nothing_is_wrong_with_the_names_and_values_of_the_shipped_files(file: Path) -> None:
    for node in ('controller', 'world_model'):
        with contextlib.suppress(NoSectionError):
            given = read_parameters(file, f'/{node}')
            assert not list(judge_parameters(node, given, names_for(file, f'/{node}')))


def test_the_doctor_names_each_mistake_of_a_file_and_judges_the_rest(tmp_path: Path) -> None:
    file = written(tmp_path, {
        'controller': {'ros__parameters': {'control_rate': 100, 'following_tolerence': 0.1}},
        'world_model': {'ros__parameters': {'max_skew': 1, 'plan_rate': 5.0}}})
    args = argparse.Namespace(robot=file, namespace='', robot_description_file=None)
    report = Report()
    assert doctor._parameters(args, None, 'controller', report) == {}
    assert doctor._parameters(args, None, 'world_model', report) == {'plan_rate': 5.0}
    assert [one.about for one in report.findings] == [
        'controller control_rate', 'controller following_tolerence', 'world_model max_skew']


@pytest.mark.parametrize('address', ['my_robot.urdf', 'package://nowhere/my_robot.urdf'])
def test_files_of_running_nodes_that_are_not_found_from_here_are_no_fault_of_the_robot(
    address: str,
) -> None:
    running = {'nodes': {'/controller': {'parameters': parameters(robot_description_file=address)},
                         '/world_model': {'parameters': {'bundle': 'my_bundle'}}}}
    args = argparse.Namespace(robot=None, namespace='', robot_description_file=None, bundle=None)
    report = Report()
    controller, world_model = (doctor._parameters(args, running, node, report)
                               for node in ('controller', 'world_model'))
    assert doctor._robot(args, controller, report) is None
    assert doctor._bundle(args, world_model, report) is None
    assert [one.grade for one in report.findings] == [Grade.NOTE, Grade.NOTE]
    urdf, bundle = report.findings
    assert address in urdf.problem and '--robot-description-file' in urdf.cure
    assert 'my_bundle' in bundle.problem and '--bundle' in bundle.cure
    args.robot_description_file = URDF
    assert doctor._robot(args, doctor._parameters(args, running, 'controller', report), report)


def test_files_that_a_robot_is_about_to_be_started_with_have_to_be_there(tmp_path: Path) -> None:
    file = written(tmp_path, {'controller': {'ros__parameters': parameters(
        robot_description_file='my_robot.urdf')}, 'world_model': {'ros__parameters': {
            'bundle': 'my_bundle'}}})
    args = argparse.Namespace(robot=file, namespace='', robot_description_file=None, bundle=None)
    report = Report()
    doctor._robot(args, doctor._parameters(args, None, 'controller', report), report)
    doctor._bundle(args, doctor._parameters(args, None, 'world_model', report), report)
    assert [one.grade for one in report.findings] == [Grade.UNFIT, Grade.UNFIT]


def test_parameters_that_contradict_each_other_are_named_in_the_words_of_the_node(
    tmp_path: Path,
) -> None:
    bundle = write_toy_bundle(tmp_path)
    for parameters, complaint in (
            ({'plan_deadline': 0.5, 'hung_after': 2.0}, 'longer than the 0.1 s between plans'),
            ({'plan_deadline': 0.5, 'plan_rate': 1.0, 'hung_after': 0.3}, 'too near to hung_after'),
            ({'expected_latency': 30.0}, 'nothing would be left to decide')):
        (found,) = judge_timing({'late_after': 5.0}, parameters, bundle)
        assert found.grade is Grade.UNFIT and complaint in found.problem
    assert not list(judge_timing({}, {'expected_latency': 30.0}))


@pytest.mark.parametrize('threads', ['auto', 1.0, True])
def test_threads_that_are_no_number_are_named(threads: Any) -> None:
    report = Report()
    doctor._runtime(None, {'threads': threads}, report)
    (found,) = (one for one in report.findings if one.about == 'provider')
    assert found.problem == f'threads is {threads!r}' and '0: as measured' in found.cure


def test_what_an_encoding_was_measured_to_take_is_known(tmp_path: Path) -> None:
    bundle, here = write_toy_bundle(tmp_path / 'toy'), {'cache': str(tmp_path)}
    assert doctor._runtime(bundle, here, Report()) is None
    write_measurements(tmp_path, bundle.digest, [
        Measurement(provider='cpu', precision='float32', threads=4, encode_ms=20.0),
        Measurement(provider='cpu', precision='float32', threads=1, encode_ms=50.0)])
    assert doctor._runtime(bundle, here, Report()) == 0.05


def test_a_measurement_that_does_not_count_any_more_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, report = write_toy_bundle(tmp_path / 'toy'), Report()
    here = {**measurements.machine(), 'graphics cards': ''}
    then = {**here, 'graphics cards': 'NVIDIA H200'}
    monkeypatch.setattr(measurements, 'machine', lambda: then)
    write_measurements(tmp_path, bundle.digest, [
        Measurement(provider='cuda', precision='float32', threads=1)])
    monkeypatch.setattr(measurements, 'machine', lambda: here)
    doctor._runtime(bundle, {'cache': str(tmp_path)}, report)
    (found,) = (one for one in report.findings if one.about == 'provider')
    assert found.grade is Grade.WARNING
    assert 'graphics cards was NVIDIA H200 and is none' in found.problem


def test_a_robot_that_brakes_between_two_plans_is_named() -> None:
    assert not list(judge_timing({}, {}))
    (found,) = judge_timing({'late_after': 0.15}, {'plan_rate': 5.0, 'plan_deadline': 0.1})
    assert 'will brake between plans' in found.problem and '0.38 or more' in found.cure
    assert 'at most 5 plans a second, 0.1 s for each, encodings not measured' in found.problem
    parameters = {'plan_rate': 1.5, 'plan_deadline': 0.5, 'hung_after': 2.0}
    assert not list(judge_timing({'late_after': 1.3}, parameters))
    (found,) = judge_timing({'late_after': 1.3}, parameters, encoding=0.16)
    assert '1.36 s' in found.problem and '0.16 s for an encoding' in found.problem
    # No more plans come than there is time for.
    (found,) = judge_timing({'late_after': 1.3}, {**parameters, 'plan_rate': 2.0}, encoding=0.16)
    assert '1.35 s' in found.problem


@pytest.mark.parametrize(('family', 'parameters'), [
    ('vjepa2_ac', {'plan_rate': 1.5, 'plan_deadline': 0.5, 'hung_after': 2.0}), ('tdmpc2', {})])
def test_a_model_whose_plans_are_over_before_the_next_ones_come_is_named(
    family: str, parameters: dict[str, Any],
) -> None:
    manifest = parse_manifest(Path(), (FAMILIES / f'{family}.yaml').read_bytes())
    bundle: Any = SimpleNamespace(manifest=manifest)
    (found,) = judge_timing({'late_after': 2.0}, parameters, bundle)
    assert found.about == 'planner.horizon' and 'will brake between plans' in found.problem
