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
"""What `wmros doctor` makes of a graph, one fault at a time; real graphs are in test_ten_faults."""

from __future__ import annotations

import argparse
import copy
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from toy_bundle import JOINTS

from world_model_ros.bringup.launch_arguments import ROBOT
from world_model_ros.bringup.robot_file import Robot, read_robot
from world_model_ros.cli import diagnosis, doctor, middleware, probes
from world_model_ros.findings import Grade

Graph = dict[str, Any]
START = 'ros2 launch world_model_ros robot.launch.py bundle:=it'
URDF = 'package://world_model_ros/description/reach_arm.urdf'


FLOATS, TRAJECTORY, STAMPED, BARE = (
    'std_msgs/msg/Float64MultiArray', 'trajectory_msgs/msg/JointTrajectory',
    'geometry_msgs/msg/TwistStamped', 'geometry_msgs/msg/Twist')


def listening(node: str, kind: str = FLOATS, **parameters: Any) -> Graph:
    """One subscriber of commands, as the probe reports it."""
    return {node: {'types': [kind], 'parameters': parameters}}


def healthy() -> Graph:
    node = {'copies': 1, 'state': 'active', 'parameters': {'use_sim_time': False}}
    return {
        'expected': ['/controller', '/world_model'], 'clocks': [], 'mismatches': [],
        'nodes': {'/controller': copy.deepcopy(node), '/world_model': copy.deepcopy(node)},
        'commands': {'/commands': {'type': 'std_msgs/msg/Float64MultiArray',
                                   'asked': '', 'publishers': ['/controller'],
                                   'subscribers': listening('/drive')}},
        'image': {'topic': '/camera/image_raw', 'arrivals': [0.1, 0.2]},
        'diagnostics': [{'node': '/controller', 'name': 'controller: ladder', 'level': 0,
                         'message': 'track', 'values': {}},
                        {'node': '/world_model', 'name': 'world_model: observation', 'level': 0,
                         'message': 'observing', 'values': {
                             'image_topic': '/camera/image_raw', 'image_age_s': '0.03'}}]}


def of(node: str, **facts: Any) -> Callable[[Graph], None]:
    return lambda graph: graph['nodes'][node].update(facts)


def commands(**ends: Any) -> Callable[[Graph], None]:
    return lambda graph: graph['commands']['/commands'].update(ends)


def joystick_alone(graph: Graph) -> None:
    graph['nodes'].clear()
    graph['expected'].clear()
    commands(publishers=['/joystick'])(graph)


def nothing_runs(graph: Graph) -> None:
    graph['nodes'].clear()
    graph['commands'].clear()


def deaf(graph: Graph) -> None:
    graph['diagnostics'][1]['values']['image_age_s'] = 'n/a'


def configuring(graph: Graph) -> None:
    graph['clocks'].append('/simulator')
    of('/controller', parameters={'use_sim_time': True})(graph)
    of('/world_model', state=None, parameters={})(graph)
    graph['diagnostics'][1] = {
        'node': '/world_model', 'name': 'world_model: lifecycle', 'level': 0,
        'message': 'configuring for 95 s', 'values': {'state': 'configuring'}}


FAULTS: dict[str, tuple[Callable[[Graph], None], Grade, str, str]] = {
    'missing': (lambda g: g['nodes'].pop('/world_model'), Grade.NOTE, 'is not running',
                f'start it: {START} nodes:=world_model'),
    'none there': (nothing_runs, Grade.NOTE, 'are not running', f'start them: {START}'),
    'twice': (of('/controller', copies=2), Grade.UNFIT, '2 nodes have this name', 'namespace'),
    'mute': (of('/controller', state=None), Grade.UNFIT, 'does not answer', 'start it again'),
    'configuring': (configuring, Grade.WARNING, 'is configuring for 95 s and answers afterwards',
                    'wait: '),
    'unconfigured': (of('/world_model', state='unconfigured'), Grade.WARNING, 'is unconfigured',
                     'ros2 lifecycle set /world_model configure'),
    'inactive': (of('/world_model', state='inactive'), Grade.WARNING, 'is inactive',
                 'ros2 lifecycle set /world_model activate'),
    'deaf': (deaf, Grade.UNFIT, 'has heard nothing of /camera/image_raw, where pictures come',
             'start it again'),
    'no clock': (of('/controller', parameters={'use_sim_time': True}), Grade.UNFIT,
                 'waits for /clock', 'use_sim_time:=false'),
    'two commanders': (commands(publishers=['/controller', '/joystick']), Grade.UNFIT,
                       '/controller and /joystick command this robot at the same time', 'end all'),
    'commanded before': (joystick_alone, Grade.UNFIT, '/joystick command this robot already',
                         'end all but the controller'),
    'no drive': (commands(subscribers={}), Grade.UNFIT, 'nobody listens to the commands',
                 'ros2 control list_controllers'),
}


def test_what_starts_the_nodes_is_what_the_doctor_was_told_of_the_robot() -> None:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    nothing = parser.parse_args([])
    assert doctor._start(nothing, None) == (
        'ros2 launch world_model_ros robot.launch.py bundle:=my_bundle parameters:=my_robot.yaml')
    told = parser.parse_args([
        '--robot', 'my arm.yaml', '--bundle', 'jepa', '--robot-description-file', 'arm.urdf',
        '--namespace', 'left', '--image-topic', 'shelf:=/top', '--image-topic', 'wrist:=/hand',
        '--joint-topic', 'arm/joint_states', '--command-topic', 'arm/joint_trajectory',
        '--use-sim-time'])
    words = shlex.split(doctor._start(told, robot('trajectory')))
    assert words[:3] == ['ros2', 'launch', 'world_model_ros']
    assert words[4:] == [
        'bundle:=jepa', 'parameters:=my arm.yaml', 'robot_description_file:=arm.urdf',
        'namespace:=left', 'cameras:=shelf:=/top wrist:=/hand', 'joint_states:=arm/joint_states',
        'joint_trajectory:=arm/joint_trajectory', 'use_sim_time:=true']
    assert {word.partition(':=')[0] for word in words[4:]} <= set(ROBOT)
    one = doctor._start(parser.parse_args(['--image-topic', 'front']), robot('velocity'))
    assert one.endswith(' image:=front')


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    graph = healthy()
    assert list(diagnosis.judge(graph, START)) == []
    assert diagnosis.describe_health(graph) == []
    assert diagnosis.describe_commands(graph) == [('/commands', '/controller -> /drive')]


@pytest.mark.parametrize('name', FAULTS)
def test_each_fault_is_named_with_its_cure(name: str) -> None:
    plant, grade, problem, cure = FAULTS[name]
    graph = healthy()
    plant(graph)
    (found,) = diagnosis.judge(graph, START)
    assert found.grade is grade
    assert problem in found.problem and cure in found.cure


def robot(interface: str) -> Robot:
    return Robot(interface, JOINTS, '', read_robot({
        'joints': JOINTS, 'robot_description_file': URDF,
        **{f'joint_limits.{joint}.max_acceleration': 8.0 for joint in JOINTS}}).limits)


def drive(topic: str, **ends: Any) -> Graph:
    return {'commands': {topic: {'type': '', 'asked': topic[1:], 'publishers': [],
                                 'subscribers': {}, **ends}}}


@pytest.mark.parametrize('asked', ['a/commands', 'b/commands'])
def test_before_the_controller_runs_it_is_told_that_nobody_listens_where_it_will_command(
    asked: str,
) -> None:
    graph = drive('/a/commands')
    graph['commands'] |= drive('/b/commands')['commands']
    (found,) = diagnosis.judge_drive(graph, robot('velocity'), [asked])
    assert (found.grade, found.about) == (Grade.UNFIT, f'/{asked}')
    assert found.problem == 'nobody listens where the commands will go'
    assert '--command-topic TOPIC' in found.cure and 'commands:=TOPIC' in found.cure
    graph['commands'][f'/{asked}']['subscribers'] = listening('/drive', joints=list(JOINTS))
    assert not list(diagnosis.judge_drive(graph, robot('velocity'), [asked]))
    assert not list(diagnosis.judge_drive(graph, robot('velocity'), []))
    # Of several that are given, one may be that of a drive which is not used now.
    assert not list(diagnosis.judge_drive(graph, robot('velocity'), ['a/commands', 'b/commands']))


def test_commands_that_go_nowhere_in_a_dry_run_are_no_fault() -> None:
    graph = healthy()
    graph['commands'] = drive('/left/controller/dry_run/commands', publishers=['/controller'],
                              type='std_msgs/msg/Float64MultiArray')['commands']
    (found,) = diagnosis.judge(graph, START)
    assert found.grade is Grade.NOTE and 'a dry run' in found.problem


@pytest.mark.parametrize('running', [False, True])
def test_a_drive_that_repeats_the_last_velocity_for_ever_is_named(running: bool) -> None:
    drives = listening('/velocity_controller', joints=list(JOINTS), interface_name='velocity')
    graph = drive('/velocity_controller/commands', subscribers=drives,
                  type='std_msgs/msg/Float64MultiArray' if running else '')
    wanted = [] if running else ['velocity_controller/commands']
    (found,) = diagnosis.judge_drive(graph, robot('velocity'), wanted)
    assert (found.grade, found.about) == (Grade.WARNING, '/velocity_controller')
    assert 'repeats the last velocity for ever' in found.problem and 'trajectory' in found.cure
    # The simulated arm, like other drives that are not ros2_control's, has a watchdog.
    graph['commands']['/velocity_controller/commands']['subscribers'] = listening(
        '/simulator', joints=list(JOINTS))
    assert not list(diagnosis.judge_drive(graph, robot('velocity'), wanted))


@pytest.mark.parametrize(('parameters', 'problem', 'cure'), [
    ({'joints': ['elbow', 'shoulder']},
     'takes the numbers for elbow, shoulder, and is sent those of shoulder, elbow', 'in one order'),
    ({'joints': ['shoulder']}, 'takes the numbers for shoulder, and', 'of that controller'),
    ({'joints': list(JOINTS), 'interface_name': 'position'},
     'takes the numbers for position, and is sent velocities',
     'velocity_controllers/JointGroupVelocityController')])
def test_a_drive_of_velocities_that_understands_the_numbers_otherwise_is_named(
    parameters: dict[str, Any], problem: str, cure: str,
) -> None:
    graph = drive('/commands', subscribers=listening('/arm', **parameters))
    (found,) = diagnosis.judge_drive(graph, robot('velocity'), ['commands'])
    assert (found.grade, found.about) == (Grade.UNFIT, '/arm')
    assert problem in found.problem and cure in found.cure
    assert not list(diagnosis.judge_drive(graph, robot('velocity'), []))


@pytest.mark.parametrize('parameters', [{}, {'joints': 6}, {'joints': 'a,b'}, {'joints': [0, 1]}])
def test_that_nobody_says_which_joints_a_drive_takes_is_a_note(parameters: dict[str, Any]) -> None:
    graph = drive('/commands', subscribers=listening('/arm', **parameters))
    (found,) = diagnosis.judge_drive(graph, robot('velocity'), ['commands'])
    assert (found.grade, found.about) == (Grade.NOTE, '/arm')
    assert 'shoulder, elbow' in found.cure
    graph['commands']['/commands']['subscribers'] |= listening('/drive', joints=list(JOINTS))
    assert not list(diagnosis.judge_drive(graph, robot('velocity'), ['commands']))


@pytest.mark.parametrize(('interface', 'kind', 'cure'), [
    ('twist', BARE, 'enable_stamped_cmd_vel: true'), ('twist', BARE, 'use_stamped_vel: true'),
    ('velocity', TRAJECTORY, 'command_interface: trajectory'),
    ('trajectory', 'sensor_msgs/msg/Joy', '--command-topic TOPIC')])
def test_a_drive_that_listens_for_another_type_is_named_before_anything_runs(
    interface: str, kind: str, cure: str,
) -> None:
    graph = drive('/cmd', subscribers=listening('/base', kind))
    (found,) = (it for it in diagnosis.judge_drive(graph, robot(interface), ['cmd'])
                if it.grade is Grade.UNFIT)
    assert found.about == '/cmd' and f'/base listens for {kind}' in found.problem
    assert cure in found.cure


def test_a_running_drive_that_listens_for_bare_twists_is_named_with_its_switch() -> None:
    graph = healthy()
    graph['mismatches'] = [{'topic': '/cmd_vel', 'publisher': '/controller', 'subscriber': '/base',
                            'reason': f'{STAMPED} for {BARE}'}]
    (found,) = diagnosis.judge(graph, START)
    assert found.grade is Grade.UNFIT and 'enable_stamped_cmd_vel: true' in found.cure


def test_a_drive_of_twists_is_to_be_tried_since_nobody_knows_whether_it_has_a_watchdog() -> None:
    graph = drive('/cmd_vel', subscribers=listening('/turtlebot3_node', STAMPED))
    (found,) = diagnosis.judge_drive(graph, robot('twist'), ['cmd_vel'])
    assert (found.grade, found.about) == (Grade.WARNING, '/turtlebot3_node')
    assert 'if the controller of this package or its machine dies' in found.problem
    assert 'off the ground' in found.cure and 'docs/reliability.md' in found.cure


def test_a_joint_trajectory_controller_that_pulls_the_arm_back_is_named() -> None:
    arm = listening('/arm', TRAJECTORY, interpolate_from_desired_state=False)
    graph = drive('/arm/joint_trajectory', subscribers=arm)
    (found,) = diagnosis.judge_drive(graph, robot('trajectory'), ['arm/joint_trajectory'])
    assert (found.grade, found.about) == (Grade.WARNING, '/arm')
    assert 'interpolate_from_desired_state: true' in found.cure
    arm['/arm']['parameters']['open_loop_control'] = True
    assert not list(diagnosis.judge_drive(graph, robot('trajectory'), ['arm/joint_trajectory']))


def joints_heard(
    period: float, age: float = 0.0, pace: float = 1.0, names: tuple[str, ...] = JOINTS,
) -> Graph:
    """What the probe says of joint states that are stamped so often and are so old [s].

    `pace` is how fast ROS time runs.
    """
    stamps = [round(1e9 * second) for second in (1.0, 1.0 + period) if second < float('inf')]
    ages = [age] * len(stamps)
    return {'joint_states': {
        'topic': '/joint_states', 'rate': pace / period, 'ages': ages, 'stamps': stamps,
        'arrivals': [1e-9 * stamp / pace for stamp in stamps],
        'sets': {' '.join(names): {'names': names, 'stamps': stamps, 'ages': ages}}}}


@pytest.mark.parametrize('pace', [1.0, 0.1, 10.0])
@pytest.mark.parametrize(('period', 'age', 'grade', 'problem'), [
    (0.01, 0.002, None, ''), (0.05, 0.03, None, ''),
    (0.1, 0.02, Grade.WARNING, 'one that is lost leaves them 220 ms old'),
    (0.1, 0.06, Grade.WARNING, 'they get 160 ms old, and from 150 ms on'),
    (0.2, 0.0, Grade.UNFIT, 'they get 200 ms old'), (0.1, -0.2, Grade.WARNING, '200 ms old'),
    (float('inf'), 0.0, Grade.UNFIT, 'only one came')])
def test_joint_states_that_are_too_rare_or_too_old_for_the_controller_are_named(
    period: float, age: float, grade: Grade | None, problem: str, pace: float,
) -> None:
    graph = joints_heard(period, age, pace)
    found = list(diagnosis.judge_joints(graph, robot('velocity'), 0.15))
    assert [one.grade for one in found] == [grade] * (grade is not None), found
    assert all(problem in one.problem and 'joint_state_timeout' in one.cure for one in found)
    if period < 1.0:
        assert not list(diagnosis.judge_joints(graph, robot('velocity'), 1.0))


def test_joint_states_are_named_as_rare_beside_those_of_a_second_driver_that_come_often() -> None:
    heard, gripper = joints_heard(0.2), joints_heard(0.005, names=('left', 'right'))
    heard['joint_states']['rate'] = 205.0
    heard['joint_states']['sets'] |= gripper['joint_states']['sets']
    (found,) = diagnosis.judge_joints(heard, robot('velocity'), 0.15)
    assert found.grade is Grade.UNFIT and 'they get 200 ms old' in found.problem


def test_two_clocks_and_nodes_that_follow_neither_are_named() -> None:
    graph = healthy()
    graph['clocks'] = ['/bag', '/gazebo']
    both, *nodes = diagnosis.judge(graph, START)
    assert both.problem == '/bag and /gazebo publish it'
    assert [one.about for one in nodes] == ['/controller', '/world_model']


def test_the_gravest_diagnostics_are_shown_first() -> None:
    graph = healthy()
    graph['diagnostics'] += [
        {'node': '/controller', 'name': 'a', 'level': 1, 'message': 'so so',
         'values': {}},
        {'node': '/controller', 'name': 'b', 'level': 2, 'message': 'bad', 'values': {}}]
    assert diagnosis.describe_health(graph) == [('b', 'error: bad'), ('a', 'warning: so so')]


@pytest.mark.parametrize(('rmw', 'cure'), [
    ('rmw_cyclonedds_cpp', 'CYCLONEDDS_URI'), ('rmw_zenoh_cpp', 'rmw_zenohd'),
    ('rmw_new_cpp', 'see how rmw_new_cpp is set up')])
def test_other_middlewares_have_cures_of_their_own(
    rmw: str, cure: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(middleware.TRANSPORTS, raising=False)
    (found,) = middleware.judge_images(middleware.Delivery(rmw, 30, 3, 5.0))
    assert found.grade is Grade.UNFIT and cure in found.cure


def test_a_cure_that_can_not_be_tried_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_: Any) -> middleware.Delivery:
        raise probes.ProbeError('no multicast', 'open the firewall')

    monkeypatch.setenv(middleware.RANGE, 'LOCALHOST')
    monkeypatch.setattr(middleware, 'try_images', refused)
    (found,) = middleware.judge_images(middleware.Delivery('rmw_fastrtps_cpp', 30, 3, 5.0))
    assert found.grade is Grade.UNFIT and found.about == f'{middleware.RANGE}=LOCALHOST'
    assert 'tried just now' not in found.cure
    assert found.cure.endswith('could not be tried: no multicast; open the firewall)')


def test_transports_that_hide_nodes_from_others_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(middleware.TRANSPORTS, 'LARGE_DATA')
    monkeypatch.setenv(middleware.RANGE, 'SUBNET')
    (found,) = middleware.judge_images(middleware.Delivery('rmw_fastrtps_cpp', 30, 30, 2.0))
    assert found.grade is Grade.NOTE and 'not found' in found.problem


def test_cameras_that_no_topic_is_known_of_are_named_with_the_option_that_tells_it() -> None:
    graph: Graph = {'image.top/color': {'topic': '/top/color/image_raw'}, 'joint_states': {}}
    assert list(diagnosis.judge_cameras(graph, [])) == []
    (found,) = diagnosis.judge_cameras(graph, ['shelf', 'wrist'])
    assert found.grade is Grade.WARNING
    assert 'the camera "shelf" and the camera "wrist"' in found.problem
    assert '/top/color/image_raw' in found.problem
    assert '--image-topic shelf:=TOPIC --image-topic wrist:=TOPIC' in found.cure
    (found,) = diagnosis.judge_cameras(graph, [''])
    assert 'give --image-topic TOPIC' in found.cure
