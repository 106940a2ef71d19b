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
"""The launch files' arguments lead every topic to where it is said to be."""

import json
from pathlib import Path
from typing import Any

import pytest

from world_model_ros.bringup.launch_arguments import (
    REPLAY,
    ROBOT,
    recorded_topics,
    refuse_in_gazebo,
    replay_of,
    robot_remappings,
    robot_settings,
)

RECORDED = ('/controller/state',)


def given(**values: str) -> dict[str, str]:
    return {**{name: str(argument.default) for name, argument in ROBOT.items()}, **values}


def test_the_cameras_of_a_model_that_names_them_are_remapped_one_by_one() -> None:
    plain = robot_remappings(given())['world_model']
    named = robot_remappings(given(cameras='shelf:=/top/color wrist:=hand/image_rect'))
    assert named['world_model'] == {
        **plain, 'shelf/image_raw': '/top/color', 'wrist/image_raw': 'hand/image_rect'}


def test_a_dry_run_leads_the_commands_of_every_interface_away_from_the_drives() -> None:
    wet, dry = (robot_remappings(given(dry_run=flag))['controller'] for flag in ('false', 'true'))
    assert {name for name in wet if wet[name] != dry[name]} == {
        'commands', 'joint_trajectory', 'cmd_vel'}
    assert dry['cmd_vel'] == 'controller/dry_run/cmd_vel'
    assert wet['joint_states'] == dry['joint_states'] == 'joint_states'


@pytest.mark.parametrize(('section', 'arguments', 'settings'), [
    ({}, {}, {'autostart': True}),
    ({'autostart': False, 'use_sim_time': True}, {}, {}),
    ({'autostart': False, 'use_sim_time': True}, {'autostart': 'true', 'use_sim_time': 'false'},
     {'autostart': True, 'use_sim_time': False})])
def test_what_the_robots_file_says_holds_unless_an_argument_says_otherwise(
    section: dict[str, Any], arguments: dict[str, str], settings: dict[str, bool], tmp_path: Path,
) -> None:
    file = tmp_path / 'robot.yaml'
    file.write_text(json.dumps({'/**/controller': {'ros__parameters': section}}))
    taken, notes = given(parameters=str(file), namespace='left', **arguments), []
    assert robot_settings(taken, notes.append) == {
        'controller': settings, 'world_model': {
            'autostart': True, **{name: value == 'true' for name, value in arguments.items()}}}
    (note,) = notes
    assert note.startswith(f'world_model lives by its defaults: {file} has nothing for /left/')
    robot_settings({**taken, 'nodes': 'controller'}, pytest.fail)


@pytest.mark.parametrize(('argument', 'node'), [
    ('bundle', 'world_model'), ('robot_description_file', 'controller')])
def test_nodes_are_told_whole_paths_so_that_the_doctor_finds_the_files_from_any_folder(
    argument: str, node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'robot.yaml').write_text('/**: {ros__parameters: {use_sim_time: false}}')
    for given_as, told in (('mine/it', str(tmp_path / 'mine' / 'it')), ('/at/it', '/at/it'),
                           ('package://mine/it', 'package://mine/it')):
        settings = robot_settings(
            given(parameters='robot.yaml', **{argument: given_as}), pytest.fail)
        assert settings[node][argument] == told
    assert argument not in robot_settings(given(parameters='robot.yaml'), pytest.fail)[node]


@pytest.mark.parametrize(('content', 'complaint'), [
    (None, 'parameters:=.*/robot.yaml cannot be read'),
    ('model: {name: a}', 'parameters:=.*/robot.yaml has no ros__parameters below "model"')])
def test_a_file_of_parameters_that_is_none_is_refused(
    content: str | None, complaint: str, tmp_path: Path,
) -> None:
    file = tmp_path / 'robot.yaml'
    if content:
        file.write_text(content)
    with pytest.raises(ValueError, match=complaint):
        robot_settings(given(parameters=str(file)), pytest.fail)


@pytest.mark.parametrize('nodes', ['both', 'controller', 'world_model'])
def test_a_file_with_parameters_that_a_node_can_not_be_given_starts_nothing(
    nodes: str, tmp_path: Path,
) -> None:
    file = tmp_path / 'robot.yaml'
    file.write_text(json.dumps({
        '/**/controller': {'ros__parameters': {'control_rate': 100, 'late_afer': 0.5}},
        '/**/world_model': {'ros__parameters': {'max_skew': 1}}}))
    with pytest.raises(ValueError, match=r'robot\.yaml is refused') as refused:
        robot_settings(given(parameters=str(file), nodes=nodes), pytest.fail)
    text = str(refused.value)
    of = {'controller control_rate: it is 100': 'controller',
          'perhaps to late_after': 'controller', 'world_model max_skew: it is 1': 'world_model'}
    for words, node in of.items():
        assert (words in text) == (nodes in (node, 'both')), text


def test_a_robot_in_gazebo_has_neither_a_namespace_nor_another_clock() -> None:
    for taken in ({}, {'namespace': ''}, {'use_sim_time': 'true'}):
        refuse_in_gazebo(taken)
    for refused in ({'namespace': 'left'}, {'use_sim_time': 'false'}):
        (name,) = refused
        with pytest.raises(ValueError, match=f'{name}:={refused[name]} .* leave it out'):
            refuse_in_gazebo(refused)


@pytest.mark.parametrize('word', ['shelf', ':=/top', 'shelf:='])
def test_a_camera_without_name_or_topic_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match='is not NAME:=TOPIC'):
        robot_remappings(given(cameras=f'wrist:=/hand {word}'))


def replayed(**values: str) -> dict[str, str]:
    return {**{name: str(argument.default) for name, argument in REPLAY.items()}, **values}


def test_a_bag_is_played_under_its_own_names_with_what_belongs_to_each_camera() -> None:
    replay = replay_of(
        replayed(image='/left/front/image_rect', goal_image='/left/goal_image'), (), RECORDED,
        pytest.fail)
    assert replay.robot == {
        'image': 'left/front/image_rect', 'cameras': '', 'joint_states': 'joint_states',
        'pose': 'pose', 'goal_image': 'left/goal_image',
        'controller_state': 'recorded/controller/state'}
    assert replay.played == {'/controller/state': 'recorded/controller/state', **{
        f'/{name}': name for name in (
            'joint_states', 'pose', 'left/goal_image', 'left/goal_image/compressed',
            'left/front/image_rect', 'left/front/image_rect/compressed', 'left/front/camera_info')}}


def test_each_camera_of_a_model_is_played_with_its_goals_wherever_the_bag_has_it() -> None:
    replay = replay_of(
        replayed(cameras='shelf:=/top/color', goal_image='left/goal_image'), ('shelf', 'wrist'),
        RECORDED, pytest.fail)
    assert replay.robot['cameras'] == 'shelf:=top/color wrist:=wrist/image_raw'
    nodes = robot_remappings(given(**replay.robot))['world_model']
    assert nodes['shelf/image_raw'] == 'top/color'
    for topic in ('top/color', 'top/color/compressed', 'top/camera_info', 'wrist/image_raw',
                  'wrist/image_raw/compressed', 'wrist/camera_info'):
        assert replay.played[f'/{topic}'] == topic
    for name in ('shelf', 'wrist'):  # the nodes find their goals without being told where
        assert replay.played[f'/left/{name}/goal_image'] == f'{name}/goal_image'
        assert replay.played[f'/left/{name}/goal_image/compressed'] == (
            f'{name}/goal_image/compressed')
    assert '/camera/image_raw' not in replay.played  # which the model does not see with


@pytest.mark.parametrize(('names', 'text'), [
    (('shelf', 'wrist'), 'no camera "front", it has shelf, wrist'),
    ((), 'it names none: give image:=TOPIC')])
def test_a_camera_that_the_model_does_not_have_is_refused(
    names: tuple[str, ...], text: str,
) -> None:
    with pytest.raises(ValueError, match=text):
        replay_of(replayed(cameras='front:=/front'), names, RECORDED, pytest.fail)


def test_the_model_hears_what_the_robot_of_the_bag_did_and_not_what_the_replays_own_controller_does(
) -> None:
    replay = replay_of(
        replayed(controller_state='left/controller/state'), (), ['/left/controller/state'],
        pytest.fail)
    heard = replay.robot['controller_state']
    assert replay.played['/left/controller/state'] == heard
    nodes = robot_remappings(given(**replay.robot))
    assert nodes['world_model']['controller_state'] == heard != 'controller/state'


def test_a_bag_without_the_state_of_the_controller_is_played_with_a_warning() -> None:
    warnings: list[str] = []
    replay = replay_of(replayed(), (), [], warnings.append)
    assert 'controller_state' not in replay.robot
    assert '/controller/state' not in replay.played
    (warning,) = warnings
    assert warning.startswith('the bag has no /controller/state: ')


def test_a_bag_has_the_topics_of_which_something_was_recorded(tmp_path: Path) -> None:
    (tmp_path / 'metadata.yaml').write_text(json.dumps({'rosbag2_bagfile_information': {
        'topics_with_message_count': [
            {'topic_metadata': {'name': name}, 'message_count': count}
            for name, count in (('/joint_states', 7), ('/controller/state', 0))]}}))
    assert recorded_topics(tmp_path) == {'/joint_states'}


@pytest.mark.parametrize('content', [None, '', 'bag', 'rosbag2_bagfile_information: {', '[1]'])
def test_a_folder_that_is_no_bag_is_refused(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / 'metadata.yaml').write_text(content)
    with pytest.raises(ValueError, match=r'bag:=.* has no metadata\.yaml that can be read'):
        recorded_topics(tmp_path)
