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
"""What docs/examples/episodes.py makes of a robot's messages is what the robot lived through."""

import argparse
import array
import math
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Header
from toy_bundle import JOINTS, SIZE, STEP, VELOCITY_LIMIT, toy_image, write_toy_bundle

from world_model_interfaces.msg import ControllerState
from world_model_ros.bundle import Bundle
from world_model_ros.learning.calibration import calibrate, read_experience
from world_model_ros.nodes.convert import to_nanoseconds, to_stamp

sys.path.insert(0, str(Path(__file__).parents[2] / 'docs' / 'examples'))

import episodes

BEGIN = 1_700_000_000 * 10**9
TICK = 10_000_000  # ns: states and joint states at 100 Hz, pictures at 20 Hz
EVERY = 5
SLIP = 0.01  # rad per model step, by which joint 0 drifts all the time
LIVES = 5
FOCAL, FRAME = 32.0, 16  # pixels
STEPS = 12


def a_day() -> list[tuple[str, Any]]:
    """A robot that moves for `LIVES` times 13 model steps, and rests 2 s after each.

    Its gripper has a driver of its own on the same topic, and during the last life but one the
    camera is away for half a second.
    """
    chance = np.random.default_rng(0)
    messages: list[tuple[str, Any]] = []
    position, velocity, tick = np.zeros(2), np.zeros(2), 0
    for life in range(LIVES):
        actions = np.concatenate([chance.uniform(-VELOCITY_LIMIT, VELOCITY_LIMIT, (13, 2)),
                                  np.zeros((20, 2))])
        for step, action in enumerate(actions):
            for part in range(10):
                header = Header(stamp=to_stamp(BEGIN + tick * TICK))
                messages += [
                    ('/controller/state', ControllerState(
                        header=header, names=list(JOINTS), velocity=action.tolist(),
                        position=[0.0, 0.0])),
                    ('/joint_states', JointState(
                        header=header, name=list(JOINTS), position=position.tolist(),
                        velocity=velocity.tolist())),
                    ('/joint_states', JointState(header=header, name=['finger'], position=[0.0]))]
                is_away = life == LIVES - 2 and 4 <= step < 9
                if part % EVERY == 0 and not is_away:
                    messages.append(('/camera/image_raw', Image(
                        header=header, height=SIZE, width=SIZE, encoding='rgb8', step=3 * SIZE,
                        data=array.array('B', toy_image(position).tobytes()))))
                moved = STEP * action + [SLIP, 0.0]
                position, velocity, tick = position + moved / 10, action, tick + 1
    return messages


DAY = a_day()


def played(wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    return ((topic, message) for topic, message in DAY if topic in wanted)


def words(**changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{
        'image_topic': ['camera/image_raw'], 'joint_topic': 'joint_states', 'pause': 1.0,
        'state_topic': 'controller/state', 'steps': STEPS, 'max_skew': 0.02,
        'max_camera_skew': 0.02, **changes})


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_toy_bundle(tmp_path_factory.mktemp('bundle'))


def test_an_episode_is_what_the_robot_did_saw_and_felt_between_two_rests(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    made = episodes.make(played, bundle.manifest, words())
    # The life without camera is in two, each of them too short.
    assert made['actions'].shape == (LIVES - 1, STEPS, 2)
    assert f'{LIVES + 1} runs of' in capsys.readouterr().out
    states = made['proprioception']
    moved = np.diff(states[..., :2], axis=1)
    np.testing.assert_allclose(moved, STEP * made['actions'] + [SLIP, 0.0], atol=1e-5)
    assert np.abs(made['actions']).max(2).min() > 1e-3  # no row is a rest
    for pictures, states_then in zip(made['images'], states, strict=True):
        for picture, state in zip(pictures, states_then, strict=True):
            np.testing.assert_array_equal(picture, toy_image(state[:2].astype(float)))
    np.savez(tmp_path / 'data.npz', **made)
    found = calibrate(bundle, read_experience(tmp_path / 'data.npz', bundle.manifest), plans=2)
    np.testing.assert_allclose(found.threshold[0], SLIP, rtol=0.1)


def test_slow_joint_states_belong_to_pictures_as_far_off_as_the_robot_file_allows(
    bundle: Bundle,
) -> None:
    def slow(wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
        return ((topic, message) for topic, message in played(wanted) if topic != '/joint_states'
                or to_nanoseconds(message.header.stamp) % (8 * TICK) == 0)

    with pytest.raises(episodes.EpisodeError, match='no run is long enough'):
        episodes.make(slow, bundle.manifest, words())
    made = episodes.make(slow, bundle.manifest, words(max_skew=0.045))
    assert made['actions'].shape == (LIVES - 1, STEPS, 2)


def test_each_camera_shows_what_the_model_was_trained_on(bundle: Bundle, tmp_path: Path) -> None:
    def with_field(manifest: dict[str, Any]) -> None:
        field = 2 * math.atan(SIZE / 2 / FOCAL)
        manifest['image']['fields_of_view'] = [{'horizontal': field, 'vertical': field}] * 2

    def wide(wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
        """The same day, seen by two cameras with a glaring frame around; the second lags 5 ms."""
        for topic, message in played({*wanted, '/camera/image_raw'}):
            if topic != '/camera/image_raw':
                yield topic, message
                continue
            pixels = np.pad(np.frombuffer(message.data, np.uint8).reshape(SIZE, SIZE, 3),
                            ((FRAME, FRAME), (FRAME, FRAME), (0, 0)), constant_values=255)
            late = Header(stamp=to_stamp(to_nanoseconds(message.header.stamp) + 5_000_000))
            png = cv2.imencode('.png', pixels[:, :, ::-1])[1].tobytes()
            center = (len(pixels) - 1) / 2
            info = CameraInfo(width=len(pixels), height=len(pixels), k=[
                FOCAL, 0.0, center, 0.0, FOCAL, center, 0.0, 0.0, 1.0])
            sent = {
                '/wrist/camera_info': info, '/shelf/camera_info': info,
                '/wrist/image_raw/compressed': CompressedImage(
                    header=late, format='png', data=array.array('B', png)),
                '/shelf/image_raw': Image(
                    header=message.header, height=len(pixels), width=len(pixels), encoding='rgb8',
                    step=3 * len(pixels), data=array.array('B', pixels.tobytes()))}
            yield from ((name, one) for name, one in sent.items() if name in wanted)

    two = write_toy_bundle(tmp_path, with_field, cameras=('shelf', 'wrist'))
    made = episodes.make(wide, two.manifest, words(image_topic=[]))
    one = episodes.make(played, bundle.manifest, words())
    assert set(made) == {'images_shelf', 'images_wrist', 'proprioception', 'actions'}
    np.testing.assert_array_equal(made['images_shelf'], one['images'])
    np.testing.assert_array_equal(made['images_wrist'], one['images'])
    np.testing.assert_array_equal(made['actions'], one['actions'])


@pytest.mark.parametrize(('change', 'said'), [
    ({'state_topic': 'left/state'}, '/left/state is not in the bag'),
    ({'joint_topic': 'left/joint_states', 'steps': 5}, 'no run is long enough'),
    ({'image_topic': ['left/image']}, '/left/image is not in the bag'),
    ({'steps': 40}, 'no run is long enough')])
def test_what_the_bag_lacks_is_named(bundle: Bundle, change: dict[str, Any], said: str) -> None:
    with pytest.raises(episodes.EpisodeError, match=said):
        episodes.make(played, bundle.manifest, words(**change))


def test_a_bag_gives_the_data_of_wmros_calibrate(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    rosbag2 = pytest.importorskip('rosbags.rosbag2', reason='rosbags is not installed')
    with rosbag2.Writer(tmp_path / 'bag', version=9) as writer:
        connections = {}
        for topic, message in DAY:
            kind = type(message)
            if topic not in connections:
                # The definition is of no use to a reader that has the message's class.
                connections[topic] = writer.add_connection(
                    topic, f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}',
                    msgdef='std_msgs/Header header', rihs01=f'RIHS01_{"0" * 64}')
            writer.write(connections[topic], to_nanoseconds(message.header.stamp),
                         serialize_message(message))
    out = tmp_path / 'recorded.npz'
    assert episodes.main([str(bundle.path), str(tmp_path / 'bag'), '--out', str(out),
                          '--steps', str(STEPS)]) == 0
    made = episodes.make(played, bundle.manifest, words())
    with np.load(out) as written:
        assert all(np.array_equal(written[name], made[name]) for name in made)
    assert episodes.main([str(bundle.path), str(tmp_path / 'nowhere'), '--out', str(out)]) == 1
    assert 'nowhere cannot be read' in capsys.readouterr().err
