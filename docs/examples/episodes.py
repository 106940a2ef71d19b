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
"""Makes what `wmros calibrate --data` reads from a bag of the robot that a model drives.

    ros2 bag record -o my_bag camera/image_raw joint_states controller/state
    python3 docs/examples/episodes.py my_bundle my_bag --out recorded.npz
    wmros calibrate my_bundle --data recorded.npz

Drive the robot as it will work, toward as many goals as there is time for; nothing unusual may
happen meanwhile. Pictures, joint states and actions are put together as world_model does it, by
their stamps. An episode ends where something is missing from the bag, and where the robot rests;
each is cut into pieces of equal length. Models that read a pose are left out. `pip install rosbags`
reads the bag, with ROS or without; camera_info beside the pictures is wanted where the bundle says
which field of view the model knows.
"""

from __future__ import annotations

import argparse
import bisect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from world_model_interfaces.msg import ControllerState
from world_model_ros.bringup.topic_names import camera_of, kind_of
from world_model_ros.bundle import (
    BundleError,
    ImageContract,
    Manifest,
    Proprioception,
    load_manifest,
)
from world_model_ros.cli.probes import ProbeError
from world_model_ros.cli.topics import needed
from world_model_ros.monitor import ActionLog
from world_model_ros.nodes.cameras import pixels_of
from world_model_ros.nodes.convert import to_nanoseconds
from world_model_ros.observation import (
    Calibration,
    ImageError,
    JointStateError,
    OpticsError,
    Picture,
    SetpointError,
    executed_action,
    fit_pictures,
    info_topic,
    proprioception,
)

Play = Callable[[Collection[str]], Iterator[tuple[str, Any]]]
"""The topics and messages of a bag that are on one of these topics, in the order of the bag."""

TYPES = {f'sensor_msgs/msg/{kind.__name__}': kind
         for kind in (Image, CompressedImage, CameraInfo, JointState)} | {
    'world_model_interfaces/msg/ControllerState': ControllerState}
OFF = 0.25  # of a model step, by which a picture may be off its time
SILENCE = 0.2  # s without a word of the controller after which nobody knows what was executed
STILL = 1e-6  # rad/s; a setpoint below it is rest


class EpisodeError(Exception):
    """The bag has not what the model needs; says what to record."""


@dataclass
class Recording:
    """A bag without its pictures, by stamps in ns.

    looks: of the pictures by camera, the leading one first; of the joint states for a model that
        sees nothing
    states: the robot's proprioception [P] by stamp; `felt` are these stamps in order
    actions: what was executed
    moved: when the setpoint was no rest
    lenses: by camera
    skew, camera_skew: between a look and its state, or its other pictures, at most [ns]
    """

    skew: int
    camera_skew: int
    looks: dict[str, list[int]] = field(default_factory=dict)
    states: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    felt: list[int] = field(default_factory=list)
    actions: ActionLog = field(default_factory=partial(ActionLog, 1e6))
    moved: list[int] = field(default_factory=list)
    lenses: dict[str, Calibration] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """Looks [ns], one for each model step and one more, and the actions [T * rows, A] between."""

    looks: Sequence[int]
    rows: NDArray[np.float32]

    def pieces(self, steps: int, rows_per_step: int) -> Iterator[Run]:
        """As many runs of so many steps as it holds."""
        for first in range(0, len(self.looks) - steps, steps):
            rows = slice(first * rows_per_step, (first + steps) * rows_per_step)
            yield Run(self.looks[first:first + steps + 1], self.rows[rows])


def play(bag: Path, wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Read a rosbag2 folder or file; raises EpisodeError."""
    try:
        from rosbags.rosbag2 import Reader, ReaderError
    except ModuleNotFoundError as error:
        raise EpisodeError(f'{error.name} is not installed: pip install rosbags') from error
    try:
        with Reader(bag) as reader:
            connections = [one for one in reader.connections
                           if one.topic in wanted and one.msgtype in TYPES]
            for one, _, data in reader.messages(connections):
                yield one.topic, deserialize_message(data, TYPES[one.msgtype])
    except (OSError, ReaderError) as error:
        raise EpisodeError(f'{bag} cannot be read: {error}') from error


def listen(bag: Play, manifest: Manifest, topics: Mapping[str, str], states: str,
           found: Recording) -> None:
    """Read all but the pictures; `topics` is what the model reads, `states` the controller's."""
    cameras = {topic: camera_of(name) for name, topic in topics.items() if kind_of(name) == 'image'}
    cameras |= {f'{topic}/compressed': camera for topic, camera in cameras.items()}
    infos = {info_topic(topic): camera for topic, camera in cameras.items()
             if not topic.endswith('/compressed')}
    joints, last = topics.get('joint_states'), None
    for topic, message in bag({*cameras, *infos, states, *([joints] if joints else [])}):
        stamp = to_nanoseconds(message.header.stamp)
        if isinstance(message, ControllerState):
            if last is not None:
                _execute(found, manifest, last, stamp)
            last = message
        elif topic in infos:
            found.lenses.setdefault(infos[topic], Calibration.of(message))
        elif topic in cameras:
            found.looks.setdefault(cameras[topic], []).append(stamp)
        elif isinstance(manifest.proprioception, Proprioception):
            try:
                found.states[stamp] = proprioception(
                    message.name, message.position, message.velocity, manifest.proprioception)
            except JointStateError:
                continue  # a gripper's, say
            if manifest.image is None:
                found.looks.setdefault('', []).append(stamp)
    if last is None:
        raise EpisodeError(f'{states} is not in the bag: what was executed is known from the '
                           "controller's state alone; record it, or give --state-topic")
    leading_first = manifest.image.camera_names if manifest.image else ('',)
    for camera in leading_first:
        if camera not in found.looks:
            raise EpisodeError(f'{topics.get(f"image.{camera}" if camera else "image", joints)} is '
                               'not in the bag, or has not what the model reads: record it, or '
                               'say which topic it is (--help)')
    found.looks = {camera: sorted(found.looks[camera]) for camera in leading_first}
    found.felt = sorted(found.states)


def _execute(found: Recording, manifest: Manifest, state: ControllerState, until: int) -> None:
    """Note what the controller sent with a state, which holds until the next one [ns]."""
    start = to_nanoseconds(state.header.stamp)
    duration = (until - start) / 1e9
    if not 0.0 < duration < SILENCE:
        return
    try:
        action = executed_action(state.names, state.position, state.velocity, manifest.action)
    except SetpointError as error:
        raise EpisodeError(str(error)) from error
    found.actions.add(start, duration, action[None], start, manifest.action.meaning)
    if np.abs(state.velocity).max(initial=0.0) > STILL:
        found.moved.append(start)


def runs(found: Recording, manifest: Manifest, pause: float) -> Iterator[Run]:
    """Cut a recording where something is missing, or where the robot rests longer than `pause`."""
    step, rest = round(manifest.action.model_step * 1e9), round(pause * 1e9)
    lead, *others = found.looks.values()

    def is_whole(stamp: int) -> bool:
        """Whether the bag has all that the model takes at a look."""
        return all(nearest(other, stamp, found.camera_skew) is not None for other in others) and (
            manifest.proprioception is None
            or nearest(found.felt, stamp, found.skew) is not None)

    def moves(start: int, end: int) -> bool:
        return bisect.bisect_left(found.moved, start) < bisect.bisect_left(found.moved, end)

    first = 0
    while first < len(lead):
        looks, rows = [lead[first]], []
        if is_whole(looks[0]) and moves(looks[0], looks[0] + step):
            while True:
                stamp = nearest(lead, looks[0] + len(looks) * step, round(OFF * step))
                if stamp is None or not is_whole(stamp) or not moves(stamp - rest, stamp):
                    break
                between = found.actions.rows(
                    looks[-1], stamp, manifest.action.rows_per_step, manifest.action.meaning)
                if between is None:
                    break
                looks.append(stamp)
                rows.append(between)
        while rows and not moves(looks[-2], looks[-1]):
            looks.pop()
            rows.pop()
        if rows:
            yield Run(looks, np.concatenate(rows))
        first = bisect.bisect_right(lead, looks[-1])


def arrays(
    bag: Play, found: Recording, episodes: Sequence[Run], manifest: Manifest,
    topics: Mapping[str, str],
) -> dict[str, NDArray[Any]]:
    """Return the arrays of `wmros calibrate`, for episodes of one length."""
    made: dict[str, NDArray[Any]] = {'actions': np.stack([one.rows for one in episodes])}
    if manifest.proprioception is not None:
        made['proprioception'] = np.stack([
            np.stack([found.states[_there(found.felt, stamp, found.skew)] for stamp in one.looks])
            for one in episodes])
    image = manifest.image
    for index, camera in enumerate(image.camera_names if image else ()):
        assert image is not None
        topic = topics[f'image.{camera}' if camera else 'image']
        wanted: dict[int, list[tuple[int, int]]] = {}  # where a picture goes, by its stamp
        for number, one in enumerate(episodes):
            for place, stamp in enumerate(one.looks):
                at = _there(found.looks[camera], stamp, found.camera_skew)
                wanted.setdefault(at, []).append((number, place))
        lens = found.lenses.get(camera)
        alone = image.model_copy(update={
            'cameras': None,
            'fields_of_view': image.fields_of_view and (image.fields_of_view[index],)})
        pictures = np.zeros((len(episodes), len(episodes[0].looks), image.height, image.width, 3),
                            np.uint8)
        for _, message in bag({topic, f'{topic}/compressed'}):
            for number, place in wanted.get(to_nanoseconds(message.header.stamp), ()):
                pictures[number, place] = _fit(message, topic, lens, alone)
        made[f'images_{camera}' if camera else 'images'] = pictures
    return made


def _fit(
    message: Image | CompressedImage, topic: str, lens: Calibration | None, image: ImageContract,
) -> NDArray[np.uint8]:
    """What a camera's picture is for the model; raises EpisodeError."""
    try:
        optics = lens.optics(topic) if lens and image.fields_of_view else None
        return fit_pictures({'': Picture(pixels_of(message), optics)}, image)
    except (ImageError, OpticsError) as error:
        raise EpisodeError(f'{topic}: {error}') from error


def nearest(stamps: Sequence[int], stamp: int, tolerance: int) -> int | None:
    """Return which of the stamps, in order, is the nearest to one, if that is near enough [ns]."""
    at = bisect.bisect_left(stamps, stamp)
    best = min(stamps[max(at - 1, 0):at + 1], key=lambda it: abs(it - stamp), default=None)
    return None if best is None or abs(best - stamp) > tolerance else best


def _there(stamps: Sequence[int], stamp: int, tolerance: int) -> int:
    """What is known to be near a look of a run."""
    found = nearest(stamps, stamp, tolerance)
    assert found is not None
    return found


def make(bag: Play, manifest: Manifest, args: argparse.Namespace) -> dict[str, NDArray[Any]]:
    """Read, cut, and say what became of it; raises EpisodeError."""
    given = needed(manifest, args.image_topic, args.joint_topic, 'pose')
    if 'pose' in given:
        raise EpisodeError(f'{manifest.model.name} reads a pose, which this program does not')
    topics = {name: f'/{topic.lstrip("/")}' for name, topic in given.items()}
    found = Recording(round(args.max_skew * 1e9), round(args.max_camera_skew * 1e9))
    listen(bag, manifest, topics, f'/{args.state_topic.lstrip("/")}', found)
    if manifest.image and manifest.image.fields_of_view and (
            missing := [camera for camera in manifest.image.camera_names
                        if camera not in found.lenses]):
        print(f'no camera_info of {", ".join(missing) or "the camera"} is in the bag: its pictures '
              'are cropped as if it were the camera of the training', file=sys.stderr)
    whole = list(runs(found, manifest, args.pause))
    rows = manifest.action.rows_per_step
    episodes = [piece for one in whole for piece in one.pieces(args.steps, rows)]
    kept = len(episodes) * args.steps
    print(f'{len(whole)} runs of {sum(len(one.looks) - 1 for one in whole)} model steps: '
          f'{len(episodes)} episodes of {args.steps} steps, which are {kept}')
    if not episodes:
        raise EpisodeError('no run is long enough: record longer ones, or give fewer --steps')
    return arrays(bag, found, episodes, manifest, topics)


def main(words: Sequence[str] | None = None) -> int:
    """Write the arrays; 0, or 1 where the bag has not what it takes."""
    parser = argparse.ArgumentParser(description='Make the data of wmros calibrate from a bag.')
    parser.add_argument('bundle', type=Path)
    parser.add_argument('bag', type=Path, help='folder, as ros2 bag record wrote it')
    parser.add_argument('--out', type=Path, default=Path('recorded.npz'), metavar='FILE.npz')
    parser.add_argument('--image-topic', action='append', metavar='[CAMERA:=]TOPIC',
                        help='default: camera/image_raw, or NAME/image_raw of each camera')
    parser.add_argument('--joint-topic', default='joint_states', metavar='TOPIC')
    parser.add_argument('--state-topic', default='controller/state', metavar='TOPIC',
                        help='of the controller, in its namespace')
    parser.add_argument('--steps', type=int, default=20, help='model steps of an episode')
    parser.add_argument('--pause', type=float, default=1.0, metavar='S',
                        help='an episode ends where the robot rests longer')
    for option, other in (('--max-skew', 'its joint state'), ('--max-camera-skew', 'the others')):
        parser.add_argument(option, type=float, default=0.02, metavar='S',
                            help=f'between a picture and {other}: as in your robot file')
    args = parser.parse_args(words)
    try:
        manifest = load_manifest(args.bundle)
        if args.image_topic is None:
            several = manifest.image is not None and manifest.image.cameras is not None
            args.image_topic = [] if several or manifest.image is None else ['camera/image_raw']
        np.savez_compressed(args.out, **make(partial(play, args.bag), manifest, args))
    except (BundleError, EpisodeError, ProbeError) as error:
        print(f'episodes.py: {error}', file=sys.stderr)
        return 1
    print(f'{args.out}: now wmros calibrate {args.bundle} --data {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
