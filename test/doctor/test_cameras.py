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
"""What `wmros doctor` and `wmros check` say of several cameras, by what these say of themselves."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from doctor_robot import Robot, findings
from toy_bundle import write_toy_bundle

from world_model_interfaces.srv import LoadModel
from world_model_ros.bundle import Bundle
from world_model_ros.cli import doctor as command
from world_model_ros.cli import topics
from world_model_ros.inference.report import Report

HERE = Path(__file__).parent
FIELD = 0.7  # rad: 29.2 pixels of 32 at the driver's focal length
Doctor = Callable[..., tuple[int, str]]


def with_field(manifest: dict[str, Any]) -> None:
    manifest['image']['fields_of_view'] = [{'horizontal': FIELD, 'vertical': FIELD}] * 2


@pytest.fixture(scope='module')
def bundle(robot: Robot) -> Bundle:
    return write_toy_bundle(robot.folder / 'two', with_field, cameras=('shelf', 'wrist'))


@pytest.fixture(scope='module')
def cameras(robot: Robot) -> Iterator[None]:
    """The cameras of the driver."""
    process = robot.graph.start(
        'cameras', [sys.executable, '-u', str(HERE / 'camera_driver.py')], environment={
            'PYTHONPATH': os.pathsep.join([str(HERE.parent), os.environ.get('PYTHONPATH', '')])})
    node = robot.graph.node
    robot.graph.wait_for(lambda: node.count_publishers('/alone/image_raw') > 0, 20.0, 'cameras')
    yield
    robot.graph.end(process)


@pytest.fixture
def two_cameras(robot: Robot, bundle: Bundle, cameras: None) -> Iterator[None]:
    """The robot, driven by a model of two cameras."""
    load(robot, bundle.path)
    yield
    load(robot, robot.bundle)


def load(robot: Robot, bundle: Path) -> None:
    client = robot.graph.node.create_client(LoadModel, 'world_model/load_model')
    robot.graph.wait_for(client.service_is_ready, 10.0, 'load_model')
    future = client.call_async(LoadModel.Request(bundle=str(bundle)))
    robot.graph.wait_for(future.done, 20.0, 'the answer of load_model')
    robot.graph.node.destroy_client(client)
    assert future.result().success, future.result().message


def of_lenses(screen: str) -> list[str]:
    return [one for one in findings(screen) if 'camera_info: ' in one]


@pytest.mark.usefixtures('two_cameras')
def test_a_running_model_says_itself_which_camera_is_on_which_topic(doctor: Doctor) -> None:
    code, screen = doctor()
    assert (code, findings(screen, '✗')) == (0, []), screen
    assert 'nobody says on which topic' not in screen
    # The first camera of the bundle leads, whatever its topic is called.
    assert screen.index('/top/color/image_raw') < screen.index('/bent/image_raw')
    (bent,) = of_lenses(screen)
    assert bent.startswith('! /bent/camera_info: the lens moves the border of what the model was '
                           'trained on by -13%')
    assert 'image_proc' in bent


@pytest.mark.usefixtures('cameras')
def test_a_camera_that_shows_too_little_and_one_without_calibration_are_named(
    bundle: Bundle, doctor: Doctor,
) -> None:
    code, screen = doctor(
        '--bundle', bundle.path, '--image-topic', 'shelf:=/narrow/image_raw',
        '--image-topic', 'wrist:=/uncalibrated/image_raw')
    assert code == 1
    narrow, uncalibrated = sorted(of_lenses(screen), reverse=True)
    assert '✗ /narrow/camera_info: the picture is not wide enough: the model was trained on 40' in (
        narrow)
    assert 'use a wider lens' in narrow
    assert '! /uncalibrated/camera_info: says that the camera is not calibrated' in uncalibrated
    assert 'camera_calibration' in uncalibrated


@pytest.mark.usefixtures('robot', 'cameras')
def test_wmros_check_names_a_camera_info_of_other_pictures_and_one_that_is_missing(
    bundle: Bundle,
) -> None:
    wanted = topics.needed(bundle.manifest, (
        'shelf:=/resized/image_raw', 'wrist:=/alone/image_raw'), 'joint_states', 'pose')
    heard = topics.listen(wanted, 10.0, use_sim_time=False)
    resized, alone = (
        one for one in topics.judge(bundle.manifest, heard) if 'camera_info' in one.about)
    assert resized.about == '/resized/camera_info'
    assert 'is of pictures of 320x320, the picture has 32x32' in resized.problem
    assert alone.about == '/alone/camera_info' and 'is not published; ' in alone.problem


def test_a_camera_that_the_bundle_does_not_have_is_named(bundle: Bundle) -> None:
    report = Report()
    given = argparse.Namespace(bundle=bundle.path, image_topic=['front:=/hand/image_raw'])
    command._cameras(given, report)
    (found,) = report.findings
    assert found.problem == '"front:=/hand/image_raw" is no camera of toy'
    assert found.cure == 'give --image-topic shelf:=TOPIC --image-topic wrist:=TOPIC'
    given = argparse.Namespace(bundle=None, image_topic=['shelf:=/top/image_raw'])
    assert command._cameras(given, report) == {'image.shelf': '/top/image_raw'}
