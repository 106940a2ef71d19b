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
"""`wmros check --against-topics` says what a robot's live topics lack for a model."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from dds import Graph
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage
from small_models import KINDS, write_small_bundle

from world_model_ros.bundle import ImageContract, Manifest, load_bundle
from world_model_ros.bundle.load import parse_manifest
from world_model_ros.cli import probes, topics
from world_model_ros.findings import Grade
from world_model_ros.nodes.convert import to_stamp
from world_model_ros.observation import Calibration, Window

REACH = load_bundle(Path(__file__).parents[2] / 'models' / 'reach').manifest
TOPICS = topics.needed(REACH)
IMAGE, JOINTS = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/JointState'


def heard() -> dict[str, Any]:
    """A robot that has all that models/reach needs, as the probe reports it."""
    stamps = [10**18 + k * 10**8 for k in range(20)]
    ages = [0.004] * 20
    arrivals = [k * 0.1 for k in range(20)]

    joints = {'frame_id': '', 'names': ['elbow', 'shoulder'], 'position': 2, 'velocity': 2}

    def publisher(kind: str) -> list[dict[str, str]]:
        return [{'node': '/driver', 'type': kind, 'reliability': 'reliable', 'refusal': ''}]

    return {
        'use_sim_time': False, 'clock_publishers': 0,
        'topics': {'/image': [IMAGE], '/joint_states': [JOINTS]},
        'image': {'topic': '/image', 'type': IMAGE, 'publishers': publisher(IMAGE), 'rate': 10.0,
                  'arrivals': arrivals, 'stamps': stamps, 'ages': ages,
                  'last': {'frame_id': 'camera', 'width': 128, 'height': 96, 'step': 384,
                           'encoding': 'rgb8', 'bytes': 36864}},
        'joint_states': {'topic': '/joint_states', 'type': JOINTS, 'publishers': publisher(JOINTS),
                         'rate': 10.0, 'arrivals': arrivals, 'stamps': stamps, 'ages': ages,
                         'last': joints, 'sets': {'elbow shoulder': joints}},
    }


def test_nothing_is_found_where_nothing_lacks() -> None:
    assert topics.judge(REACH, heard()) == []


def nothing_came(name: str, **more: Any) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        found[name].update(arrivals=[], stamps=[], ages=[], last={}, rate=0.0, **more)
    return change


def publisher_of(name: str, **facts: str) -> Callable[[dict[str, Any]], None]:
    def change(found: dict[str, Any]) -> None:
        nothing_came(name)(found)
        found[name]['publishers'][0].update(facts)
    return change


def other_topic(found: dict[str, Any]) -> None:
    nothing_came('image', publishers=[])(found)
    found['topics']['/cam/color/image_raw'] = [IMAGE]
    del found['topics']['/image']


def last(name: str, **facts: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found[name]['last'].update(facts)


def simulated(found: dict[str, Any]) -> None:
    found['clock_publishers'] = 1
    found['image']['ages'] = [1.7e9] * 20


def pictures_lost(found: dict[str, Any]) -> None:
    found['joint_states']['stamps'] = often = stamps_at(20.0)
    found['image']['stamps'] = [stamp for k, stamp in enumerate(often) if k % 4 != 2]


LACKS: dict[str, tuple[Callable[[dict[str, Any]], None], Grade, str, str]] = {
    'no camera': (nothing_came('image', publishers=[]), Grade.UNFIT, '/image', 'start the driver'),
    'camera elsewhere': (other_topic, Grade.UNFIT, '/image', 'robot.launch.py: image:=/cam/color/'
                         'image_raw, here: --image-topic /cam/color/image_raw'),
    'joints elsewhere': (nothing_came('joint_states', publishers=[]), Grade.UNFIT,
                         '/joint_states', 'here: --joint-topic /joint_states'),
    'compressed only': (publisher_of('image', type='sensor_msgs/msg/CompressedImage'),
                        Grade.UNFIT, 'CompressedImage', 'remap "image"'),
    'silent camera': (nothing_came('image'), Grade.UNFIT, 'nothing came', 'ros2 topic hz'),
    'quality of service': (publisher_of('joint_states', refusal='ERROR: Deadline'),
                           Grade.UNFIT, 'Deadline', 'at the publisher'),
    'depth in metres': (last('image', encoding='32FC1'), Grade.UNFIT, '32FC1', 'rgb8'),
    'depth image': (last('image', encoding='16UC1'), Grade.WARNING, 'grey (16UC1)',
                    'colour camera'),
    'grey camera': (last('image', encoding='mono8'), Grade.WARNING, 'grey', 'colour camera'),
    'small picture': (last('image', width=80, height=60), Grade.WARNING, 'enlarged', 'resolution'),
    'slow camera': (lambda f: f['image'].update(stamps=f['image']['stamps'][::2]),
                    Grade.WARNING, '5.0 Hz where the model asks for 10.0', 'raise the rate'),
    'joint states lost': (lambda f: f['joint_states'].update(stamps=[
        s for k, s in enumerate(f['joint_states']['stamps']) if k % 3]), Grade.WARNING,
        '6.7 Hz where the model asks for 10.0', 'look for lost messages'),
    'joint missing': (last('joint_states', names=['shoulder', 'wrist']), Grade.UNFIT,
                      'lacks "elbow", which the model reads; it has "shoulder", "wrist"',
                      'proprioception.joints'),
    'no velocities': (last('joint_states', velocity=0), Grade.UNFIT, '0 numbers in "velocity"',
                      'let the driver fill'),
    'no stamps': (lambda f: f['joint_states'].update(stamps=[0] * 20, ages=[1.7e9] * 20),
                  Grade.UNFIT, 'stamps are zero', 'stamp each message'),
    'another clock': (lambda f: f['image'].update(ages=[-3600.0] * 20), Grade.UNFIT,
                      '-3600 s away', 'chrony'),
    'simulated clock': (simulated, Grade.UNFIT, 'away from this clock', '--use-sim-time'),
    'clock ahead': (lambda f: f['image'].update(ages=[-0.3] * 20), Grade.WARNING,
                    '300 ms ahead of this clock', 'chrony'),
    'pictures lost': (pictures_lost, Grade.WARNING, '5 of 19 pictures are missing',
                      'FASTDDS_BUILTIN_TRANSPORTS'),
    'late picture': (lambda f: f['image'].update(ages=[0.8] * 20), Grade.WARNING, '800 ms old',
                     'max_age'),
    'stamps apart': (lambda f: f['joint_states'].update(
        stamps=[s + 5 * 10**7 for s in f['image']['stamps']]), Grade.WARNING, '50 ms away',
        'max_skew'),
}


@pytest.mark.parametrize('lack', LACKS)
def test_what_lacks_is_named_with_its_cure(lack: str) -> None:
    change, grade, problem, cure = LACKS[lack]
    found = copy.deepcopy(heard())
    change(found)
    findings = topics.judge(REACH, found)
    assert len(findings) == 1, findings
    assert findings[0].grade is grade
    assert problem in f'{findings[0].about} {findings[0].problem}'
    assert cure in findings[0].cure
    assert all(topics.describe(found))


@pytest.mark.parametrize(('rate', 'known'), [(5.0, 1), (9.4, 8), (10.0, 16), (15.0, 16)])
def test_a_rate_that_leaves_gaps_in_what_a_model_looks_back_on_is_named(
    rate: float, known: int,
) -> None:
    image = ImageContract.model_validate({
        **REACH.image.model_dump(), 'frames': 16})  # type: ignore[union-attr]
    found = heard()
    found['image']['stamps'] = stamps_at(rate)
    findings = topics.judge(REACH.model_copy(update={'image': image}), found)
    assert [it.problem for it in findings if it.about == '/image'] == [
        f'{rate:.1f} Hz where the model asks for 10.0, one for each of its steps: it knows {known} '
        'of the 16 observations that it looks back on'] * (known < 16)


def test_stamps_that_hardly_differ_are_judged_as_any_others() -> None:
    found = heard()
    for name in ('image', 'joint_states'):
        found[name]['stamps'] = [10**18 + k for k in range(20)]
    assert topics.judge(REACH, found) == []


def test_a_simulation_that_is_slower_than_the_clock_on_the_wall_is_not_too_rare() -> None:
    found = heard()
    for name in ('image', 'joint_states'):
        found[name].update(rate=3.0, arrivals=[k / 3 for k in range(20)])
    assert topics.judge(REACH, found) == []


@pytest.mark.parametrize(('rate', 'forgets'), [(7.0, False), (0.6, False), (0.4, True)])
def test_a_camera_between_whose_pictures_a_recurrent_model_forgets_is_named(
    tmp_path: Path, rate: float, forgets: bool,
) -> None:
    manifest = write_small_bundle(tmp_path, KINDS['recurrent']).manifest
    found = heard()
    found['image']['stamps'] = stamps_at(rate)
    del found['joint_states']
    (finding,) = (it for it in topics.judge(manifest, found) if ' Hz where' in it.problem)
    assert finding.problem.endswith('its memory begins anew with each observation') is forgets


def stamps_at(rate: float) -> list[int]:
    return [10**18 + round(k / rate * 1e9) for k in range(20)]


def joints(*names: str) -> dict[str, Any]:
    """What the probe says of a joint state."""
    return {'frame_id': '', 'names': list(names), 'position': len(names), 'velocity': len(names)}


@pytest.mark.parametrize(('sets', 'problem', 'cure'), [
    ([joints('shoulder', 'elbow'), joints('finger')], '', ''),
    ([joints('shoulder'), joints('finger')], 'lacks "elbow", which the model reads; it has "shou',
     'proprioception.joints'),
    ([joints('shoulder'), joints('finger', 'elbow')],
     'in different messages, which the model reads: in one message',
     'joint_state_broadcaster')])
@pytest.mark.parametrize('backwards', [False, True])
def test_drivers_that_share_a_topic_are_judged_alike_whoever_spoke_last(
    sets: list[dict[str, Any]], problem: str, cure: str, backwards: bool,
) -> None:
    found = heard()
    ordered = sets[::-1] if backwards else sets
    found['joint_states'].update(last=ordered[-1], sets={
        ' '.join(sorted(one['names'])): one for one in ordered})
    findings = topics.judge(REACH, found)
    assert len(findings) == bool(problem), findings
    assert all(problem in one.problem and cure in one.cure for one in findings)
    assert f'{len(ordered[0]["names"])} joints and {len(ordered[1]["names"])} joints at' in (
        topics.describe(found)[1])


def test_a_model_of_poses_asks_for_the_pose_in_its_frame(tmp_path: Path) -> None:
    family = Path(__file__).parents[1] / 'bundle' / 'families' / 'vjepa2_ac.yaml'
    manifest = parse_manifest(tmp_path, family.read_bytes())
    assert topics.needed(manifest) == {
        'image': 'camera/image_raw', 'joint_states': 'joint_states', 'pose': 'pose'}
    assert 'pose' not in TOPICS
    found = heard()
    last('joint_states', names=['panda_finger_joint1'], position=1)(found)
    found['pose'] = {**found['joint_states'], 'topic': '/pose', 'last': {'frame_id': 'panda_link0'},
                     'type': 'geometry_msgs/msg/PoseStamped'}
    assert [finding.about for finding in topics.judge(manifest, found)] == ['/image']  # is enlarged
    found['pose']['last'] = {'frame_id': 'map'}
    (lack,) = [one for one in topics.judge(manifest, found) if one.grade is Grade.UNFIT]
    assert 'given in "map", the model wants panda_hand in panda_link0' in lack.problem


def test_poses_that_are_apart_from_the_pictures_are_named_as_joint_states_are() -> None:
    found = heard()
    apart = [stamp + 5 * 10**7 for stamp in found['image']['stamps']]
    found['pose'] = {**found['joint_states'], 'stamps': apart}
    (finding,) = topics._pairs(found)
    assert 'the nearest pose is 50 ms away' in finding.problem and 'poses more' in finding.cure


def two_cameras(fields: list[dict[str, float]] | None = None) -> Manifest:
    image = {**REACH.image.model_dump(), 'cameras': ('overhead', 'wrist')}  # type: ignore[union-attr]
    if fields is not None:
        image['fields_of_view'] = tuple(fields)
    return REACH.model_copy(update={'image': ImageContract.model_validate(image)})


def test_each_camera_of_a_model_is_judged_on_its_own_topic() -> None:
    manifest = two_cameras()
    wanted = topics.needed(manifest, ('wrist:=/hand/color',))
    assert wanted == {'image.overhead': 'overhead/image_raw', 'image.wrist': '/hand/color',
                      'joint_states': 'joint_states'}
    assert topics.topic_options(wanted)[:4] == [
        '--image', 'overhead:=overhead/image_raw', '--image', 'wrist:=/hand/color']
    cure = 'give --image-topic overhead:=TOPIC --image-topic wrist:=TOPIC'
    with pytest.raises(probes.ProbeError, match=cure):
        topics.needed(manifest, ('image',))
    with pytest.raises(probes.ProbeError, match='give --image-topic TOPIC'):
        topics.needed(REACH, ('wrist:=/hand/color',))
    found = heard()
    one = found.pop('image')
    found['image.overhead'] = {**one, 'topic': '/overhead/image_raw'}
    found['image.wrist'] = copy.deepcopy({**one, 'topic': '/hand/color'})
    assert topics.judge(manifest, found) == []
    found['image.wrist']['stamps'] = [stamp + 35 * 10**6 for stamp in one['stamps']]
    (apart,) = topics.judge(manifest, found)
    assert apart.about == '/hand/color' and '35 ms away' in apart.problem
    nothing_came('image.wrist', publishers=[])(found)
    (silent,) = topics.judge(manifest, found)
    assert 'remap "wrist/image_raw"' in silent.cure
    assert 'cameras:="wrist:=/image"' in silent.cure


def lens(focal: float = 60.0, **changes: Any) -> dict[str, Any]:
    """What the probe says of a `camera_info`."""
    k = (focal, 0.0, 63.5, 0.0, focal, 47.5, 0.0, 0.0, 1.0)
    p = (*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0)
    return {**asdict(Calibration(k, p, 'plumb_bob', (0.0,) * 5, Window(128), Window(96))),
            **changes}


@pytest.mark.parametrize(('info', 'grade', 'text', 'cure'), [
    (lens(), None, '', ''),
    (lens(300.0), Grade.UNFIT, 'not wide enough', 'use a wider lens'),
    (lens(0.0), Grade.WARNING, 'not calibrated', 'camera_calibration'),
    (lens(-1.0), Grade.UNFIT, 'the focal length -1', 'correct its driver'),
    (lens(horizontal=asdict(Window(640)), vertical=asdict(Window(480))), Grade.UNFIT,
     'is of pictures of 640x480, the picture has 128x96', 'publish both alike'),
    (lens(d=(-0.7, 0.0, 0.0, 0.0, 0.0)), Grade.WARNING, 'by -9% of its distance', 'image_proc'),
    ({}, Grade.WARNING, 'not published; sensor_msgs/msg/CameraInfo is published on /hand/info',
     'beside the pictures')],
    ids=['fit', 'narrow', 'uncalibrated', 'nonsense', 'other size', 'bent', 'absent'])
def test_what_a_camera_says_of_itself_is_held_against_what_the_model_was_trained_on(
    info: dict[str, Any], grade: Grade | None, text: str, cure: str,
) -> None:
    manifest = two_cameras([{'horizontal': 0.7, 'vertical': 0.7}] * 2)
    wanted = topics.needed(manifest, ('wrist:=/hand/color',))
    assert wanted['camera_info.wrist'] == '/hand/camera_info'
    assert wanted['camera_info.overhead'] == 'overhead/camera_info'
    found = heard()
    found['topics']['/hand/info'] = ['sensor_msgs/msg/CameraInfo']
    image = found.pop('image')
    for camera, last in (('overhead', lens()), ('wrist', info)):
        found[f'image.{camera}'] = image
        found[f'camera_info.{camera}'] = {
            **image, 'topic': f'/{camera}/camera_info', 'type': 'sensor_msgs/msg/CameraInfo',
            'last': last, 'arrivals': image['arrivals'] if last else [],
            'publishers': image['publishers'] if last else []}
    findings = topics.judge(manifest, found)
    assert [(it.grade, it.about) for it in findings] == (
        [(grade, '/wrist/camera_info')] if grade else [])
    assert all(text in it.problem and cure in it.cure for it in findings), findings


def test_a_camera_info_for_which_pictures_wait_is_found() -> None:
    manifest = REACH.model_copy(update={'image': ImageContract.model_validate({
        **REACH.image.model_dump(),  # type: ignore[union-attr]
        'fields_of_view': ({'horizontal': 0.7, 'vertical': 0.7},)})})
    found = heard()
    kind = 'sensor_msgs/msg/CameraInfo'
    found['camera_info'] = {**found['image'], 'topic': '/camera_info', 'type': kind}
    nothing_came('camera_info', publishers=[
        {'node': '/driver', 'type': kind, 'reliability': 'reliable', 'refusal': ''}])(found)
    (silent,) = topics.judge(manifest, found)
    assert silent.grade is Grade.UNFIT and 'but nothing came' in silent.problem
    found['camera_info']['publishers'] = []
    nothing_came('image', publishers=[])(found)
    (absent,) = topics.judge(manifest, found)  # of a camera that is not there at all
    assert absent.about == '/image'


def test_the_simulated_arm_has_what_its_model_needs_and_other_topics_have_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Graph(tmp_path) as graph:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(graph.domain))
        graph.spawn('simulator', parameters={'autostart': True})
        graph.wait_until_active('simulator')
        found = topics.listen(TOPICS, 20.0, use_sim_time=False)
        assert [one for one in topics.judge(REACH, found) if one.grade is Grade.UNFIT] == []
        assert found['image']['last']['encoding'] == 'rgb8'
        assert found['joint_states']['rate'] > 1

        found = topics.listen({**TOPICS, 'image': 'image'}, 5.0, use_sim_time=False)
        (lack,) = [one for one in topics.judge(REACH, found) if one.grade is Grade.UNFIT]
        assert 'nobody publishes there' in lack.problem
        assert '--image-topic /camera/image_raw' in lack.cure


def test_a_camera_that_sends_compressed_pictures_only_is_heard_as_the_node_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Graph(tmp_path) as graph:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(graph.domain))
        camera = graph.publisher(
            CompressedImage, 'wrist/image_raw/compressed', qos_profile_sensor_data)
        png = cv2.imencode('.png', np.zeros((96, 128, 3), np.uint8))[1].tobytes()
        done = threading.Event()

        def drive() -> None:
            while not done.wait(0.05):
                image = CompressedImage(format='png', data=png)
                image.header.stamp = to_stamp(graph.now())
                camera.publish(image)

        driver = threading.Thread(target=drive)
        driver.start()
        try:
            found = topics.listen({'image.wrist': 'wrist/image_raw'}, 20.0, use_sim_time=False)
        finally:
            done.set()
            driver.join()
    assert found['image.wrist']['topic'] == '/wrist/image_raw/compressed'
    assert topics.judge(two_cameras(), found) == []
    assert '/wrist/image_raw/compressed: 128x96 rgb8 at' in topics.describe(found)[0]


def test_a_machine_without_ros_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'rclpy.py').write_text('raise ImportError("no ROS here")')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    with pytest.raises(probes.ProbeError, match='cannot listen: ImportError: no ROS here'):
        topics.listen(TOPICS, 1.0, use_sim_time=False)
