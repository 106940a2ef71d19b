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
"""Does this robot give a model what it needs? Live topics held against a bundle's contract.

The listening is done by a process of its own (``world_model_ros.nodes.topic_probe``), because this
package's commands run without ROS; here its findings are judged. Most trouble of bringing a model
to a robot is found by these questions: which joints, which picture, how often, and by whose clock.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS
from world_model_ros.bringup.defaults import MAX_AGE, MAX_CAMERA_SKEW, MAX_SKEW
from world_model_ros.bringup.topic_names import TOPICS, camera_of, kind_of, name_of
from world_model_ros.bundle import Manifest, PoseProprioception
from world_model_ros.bundle.graphs import RecurrentPredictor
from world_model_ros.cli.probes import ProbeError, run_probe
from world_model_ros.findings import Finding, Grade
from world_model_ros.inference.context import known_at, unseen_steps
from world_model_ros.observation import (
    BEND,
    ENCODINGS,
    Calibration,
    ImageError,
    OpticsError,
    Window,
    cut_field,
    image_topic,
    info_topic,
)
from world_model_ros.payload import few

ANOTHER_CLOCK = 60.0
"""Age [s] from which on a message has been stamped by another clock: no network is that slow."""

_GREY = ('mono8', 'mono16', '16UC1')
_AHEAD = 0.05  # s: stamps from a clock that is synchronised do not come from the future
_STEPS = 8  # between stamps: too few show no period
_LOST = 0.1  # of the pictures: a late frame now and then is no loss


def needed(
    manifest: Manifest, images: Sequence[str] = (), joint_states: str = TOPICS['joint_states'],
    pose: str = TOPICS['pose'],
) -> dict[str, str]:
    """Those of these topics that the model reads.

    Keys are those of `bringup.topic_names`. `images` are `TOPIC`, or `CAMERA:=TOPIC`, of those that
    are not where `robot.launch.py` looks by itself; raises ProbeError for a camera that the model
    does not have.
    """
    wanted = {}
    if manifest.image:
        cameras = manifest.image.camera_names
        at = {camera: image_topic(camera) if camera else TOPICS['image'] for camera in cameras}
        for given in images:
            camera, _, topic = given.rpartition(':=')
            if camera not in at:
                raise ProbeError(
                    f'"{given}" is no camera of {manifest.model.name}',
                    f'give {image_options(cameras)}')
            at[camera] = topic
        for camera, topic in at.items():
            wanted[name_of('image', camera)] = topic
            if manifest.image.fields_of_view is not None:
                wanted[name_of('camera_info', camera)] = info_topic(topic)
    if manifest.proprioception and manifest.proprioception.joints:
        wanted['joint_states'] = joint_states
    if isinstance(manifest.proprioception, PoseProprioception):
        wanted['pose'] = pose
    return wanted


def image_options(cameras: Iterable[str]) -> str:
    """How the topics of cameras are told to a command."""
    return ' '.join(f'--image-topic {camera}{":=" * bool(camera)}TOPIC' for camera in cameras)


def listen(wanted: Mapping[str, str], seconds: float, use_sim_time: bool) -> dict[str, Any]:
    """Run the probe on topics from `needed` and return what it heard; raises ProbeError."""
    return run_probe('topic_probe', [
        '--seconds', str(seconds), *(['--use-sim-time'] if use_sim_time else []),
        *topic_options(wanted)], seconds)


def topic_options(topics: Mapping[str, str]) -> list[str]:
    """Topics as the probes take them."""
    return [word for name, topic in topics.items() for word in (
        f'--{kind_of(name).replace("_", "-")}', ':='.join(filter(None, (camera_of(name), topic))))]


def describe(heard: Mapping[str, Any]) -> list[str]:
    """One line for each topic that was listened to."""
    return [_describe(heard[name]) for name in _judged(heard)]


def judge(manifest: Manifest, heard: Mapping[str, Any]) -> list[Finding]:
    """What these topics lack for this model; empty if nothing."""
    found: list[Finding] = []
    for name in _judged(heard):
        found += _delivery(heard, name) or [
            *_JUDGES[kind_of(name)](manifest, heard[name]), *_rate(manifest, heard[name]),
            *_losses(heard, name), *_clock(heard, name)]
    for name in (it for it in heard if kind_of(it) == 'camera_info'):
        found += _field(manifest, heard, name)
    return found + list(_pairs(heard))


def judge_source(heard: Mapping[str, Any], name: str) -> list[Finding]:
    """What is wrong with a topic, whatever is in its messages: do they come, by which clock?"""
    return _delivery(heard, name) or list(_clock(heard, name))


def _judged(heard: Mapping[str, Any]) -> list[str]:
    """Names of the topics that a model cannot do without, in the order of `_JUDGES`."""
    return [name for kind in _JUDGES for name in heard if kind_of(name) == kind]


def _describe(one: Mapping[str, Any]) -> str:
    if not one['arrivals']:
        return f'{one["topic"]}: nothing came, {len(one["publishers"])} publisher(s)'
    last = one['last']
    what = (f'{last["width"]}x{last["height"]} {last["encoding"]}' if 'encoding' in last
            else ' and '.join(f'{len(it["names"])} joints' for it in one['sets'].values())
            if 'names' in last else f'in {last["frame_id"]}')
    age = statistics.median(one['ages'])
    return (f'{one["topic"]}: {what} at {one["rate"]:.1f} Hz, {age * 1e3:.0f} ms old on arrival, '
            f'from {", ".join(sorted({p["node"] for p in one["publishers"]}))}')


def _delivery(heard: Mapping[str, Any], name: str) -> list[Finding]:
    """Whether messages come at all, and if not, why."""
    one = heard[name]
    topic, wanted = one['topic'], one['type']
    right = [publisher for publisher in one['publishers'] if publisher['type'] == wanted]
    if one['arrivals']:
        return []
    if not one['publishers']:
        others = _others(heard, wanted)
        place = others[0] if len(others) == 1 else '/ITS/TOPIC'
        return [Finding(Grade.UNFIT, topic, f'nobody publishes there{_published(heard, wanted)}',
                        f'start the driver, or remap "{_input(name)}" to its topic '
                        f'({_told(name, place)})')]
    if not right:
        kinds = ', '.join(sorted({publisher['type'] for publisher in one['publishers']}))
        return [Finding(Grade.UNFIT, topic, f'carries {kinds} where {wanted} is needed',
                        f'remap "{_input(name)}" to a topic of that type '
                        f'({_told(name, "TOPIC")})')]
    refusals = [publisher for publisher in right if publisher['refusal']]
    if len(refusals) == len(right):
        return [Finding(Grade.UNFIT, topic, f'{refusals[0]["node"]} offers a quality of service '
                        f'that does not fit: {refusals[0]["refusal"]}',
                        'change it at the publisher')]
    return [Finding(Grade.UNFIT, topic, f'{right[0]["node"]} publishes there, but nothing came',
                    'see whether the driver delivers (ros2 topic hz), and whether large messages '
                    'get through ("wmros doctor" tries)')]


def _others(heard: Mapping[str, Any], kind: str) -> list[str]:
    return sorted(topic for topic, kinds in heard['topics'].items() if kind in kinds)


def _published(heard: Mapping[str, Any], kind: str) -> str:
    """Where else a kind of message is published, in words."""
    others = _others(heard, kind)
    return f'; {kind} is published on {", ".join(others)}' if others else ''


def _input(name: str) -> str:
    """What the node calls a topic."""
    return image_topic(camera_of(name)) if kind_of(name) == 'image' else kind_of(name)


def _told(name: str, topic: str) -> str:
    """How the launch file and the commands are told where something is."""
    camera, kind = camera_of(name), kind_of(name)
    launch = f'cameras:="{camera}:={topic}"' if camera else f'{kind}:={topic}'
    option = f'--{kind.removesuffix("_states")}-topic'
    return f'robot.launch.py: {launch}, here: {option} {f"{camera}:=" * bool(camera)}{topic}'


def _field(manifest: Manifest, heard: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """Whether a camera shows the field of view that the model was trained on, as the node judges.

    `name` is that of a `camera_info` in `heard`.
    """
    one, picture = heard[name], heard[name_of('image', camera_of(name))]
    if one['publishers'] and not one['arrivals']:
        yield from _delivery(heard, name)  # pictures wait for it
        return
    if not one['arrivals']:
        if not picture['arrivals']:
            return  # no camera is there
        elsewhere = _published(heard, one['type'])
        yield _unknown(one, f'is not published{elsewhere}', 'let the driver publish it beside the '
                       'pictures, as image_transport does')
        return
    contract, lens = manifest.image, _calibration(one['last'])
    assert contract is not None and contract.fields_of_view is not None
    field = contract.fields_of_view[contract.camera_names.index(camera_of(name))]
    try:
        optics = lens.optics(picture['topic'])
        if optics is None:
            yield _unknown(one, 'says that the camera is not calibrated',
                           'calibrate the camera (camera_calibration)')
        elif size := picture['last']:
            cut_field(np.empty((size['height'], size['width'], 3), np.uint8), optics, field)
    except (ImageError, OpticsError) as error:
        problem, _, cure = str(error).rpartition(': ')
        yield Finding(Grade.UNFIT, one['topic'], problem, cure)
        return
    bend = lens.bend(picture['topic'], field)
    if optics is not None and not abs(bend) <= BEND:
        yield Finding(
            Grade.WARNING, one['topic'], f'the lens moves the border of what the model was trained '
            f'on by {bend:+.0%} of its distance from the middle ({lens.model}), which the model '
            'takes for another place',
            'rectify the pictures (image_proc) and read its image_rect, unless the training '
            'pictures were bent alike')


def _calibration(last: Mapping[str, Any]) -> Calibration:
    return Calibration(last['k'], last['p'], last['model'], last['d'],
                       Window(**last['horizontal']), Window(**last['vertical']))


def _unknown(one: Mapping[str, Any], problem: str, cure: str) -> Finding:
    """That nothing says what a camera's pictures show."""
    return Finding(
        Grade.WARNING, one['topic'], f'{problem}, so nobody knows whether the camera shows what '
        'the model was trained on: pictures are cropped as for a camera like the one of the '
        'training', f'{cure}; without it, use a camera like the one of the training')


def _image(manifest: Manifest, one: Mapping[str, Any]) -> Iterator[Finding]:
    contract, topic, last = manifest.image, one['topic'], one['last']
    assert contract is not None
    width, height = last['width'], last['height']
    if last['encoding'] not in ENCODINGS:
        yield Finding(Grade.UNFIT, topic, f'the encoding is {last["encoding"]!r}',
                      f'let the camera publish one of {", ".join(ENCODINGS)}')
    if last['encoding'] in _GREY:
        yield Finding(Grade.WARNING, topic, f'the picture is grey ({last["encoding"]}), the model '
                      'was trained on colour',
                      'use a colour camera, or a model trained on grey pictures')
    seen = (min(width, height),) * 2 if contract.crop == 'center_square' else (width, height)
    if seen[0] < contract.width or seen[1] < contract.height:
        yield Finding(Grade.WARNING, topic, f'{width}x{height} has to be enlarged to '
                      f'{contract.width}x{contract.height} for the model',
                      'set the camera to a higher resolution')
    if contract.crop == 'none' and width * contract.height != height * contract.width:
        yield Finding(Grade.WARNING, topic, f'{width}x{height} is stretched to '
                      f'{contract.width}x{contract.height}, another shape',
                      "set the camera to the picture's shape that the model was trained on")


def _joints(manifest: Manifest, one: Mapping[str, Any]) -> Iterator[Finding]:
    contract, topic = manifest.proprioception, one['topic']
    assert contract is not None
    yield from judge_joints(
        one, contract.joints, 'which the model reads', 'remap "joint_states" to the robot that the '
        'model was trained for, or name its joints as the bundle does (proprioception.joints)')
    best = _fullest(one, contract.joints)
    for field in getattr(contract, 'fields', ('position',)):
        if best[field] < len(best['names']):
            yield Finding(Grade.UNFIT, topic, f'{best[field]} numbers in "{field}" for '
                          f'{len(best["names"])} joints',
                          f'let the driver fill "{field}"; the model reads it')


def judge_joints(
    one: Mapping[str, Any], joints: Sequence[str], why: str, cure: str,
) -> Iterator[Finding]:
    """Yield which of these joints no message heard on a topic has together with the others.

    `why` says in words who needs them, and `cure` what to do where they do not come at all.
    """
    best = _fullest(one, joints)
    missing = [joint for joint in joints if joint not in best['names']]
    elsewhere = [joint for joint in missing if any(
        joint in message['names'] for message in one['sets'].values())]
    if missing and elsewhere == missing:
        there = few(joint for joint in joints if joint not in missing)
        yield Finding(
            Grade.UNFIT, one['topic'], f'has {there} and {few(missing)} in different messages, '
            f'{why}: in one message',
            'let one joint_state_broadcaster publish all of them, or merge the messages '
            '(joint_state_publisher, source_list) and remap "joint_states" to the result')
    elif missing:
        lacking = [joint for joint in missing if joint not in elsewhere]
        yield Finding(Grade.UNFIT, one['topic'], f'lacks {few(lacking)}, {why}; it has '
                      f'{few(best["names"])}', cure)


def _fullest(one: Mapping[str, Any], joints: Sequence[str]) -> Mapping[str, Any]:
    """The newest message of those that have most of these joints, the first of them by name."""
    best: Mapping[str, Any] = min(one['sets'].values(), key=lambda message: (
        -len(set(joints) & set(message['names'])), sorted(message['names'])))
    return best


def _pose(manifest: Manifest, one: Mapping[str, Any]) -> Iterator[Finding]:
    contract = manifest.proprioception
    assert isinstance(contract, PoseProprioception)
    if one['last']['frame_id'] != contract.frame:
        yield Finding(Grade.UNFIT, one['topic'], f'the pose is given in '
                      f'"{one["last"]["frame_id"]}", the model wants {contract.link} in '
                      f'{contract.frame}', 'let the publisher transform it, or name the frame that '
                      'the model was trained in (proprioception.frame)')


_JUDGES: dict[str, Callable[[Manifest, Mapping[str, Any]], Iterator[Finding]]] = {
    'image': _image, 'joint_states': _joints, 'pose': _pose}


def _rate(manifest: Manifest, one: Mapping[str, Any]) -> Iterator[Finding]:
    # By the stamps, since the model lives by ROS time, which may run at another pace.
    stamps, step = sorted(set(one['stamps'])), manifest.action.model_step
    if len(stamps) < 2:
        return  # one message has none
    # The mean, which counts what is lost.
    rate = 1e9 * (len(stamps) - 1) / (stamps[-1] - stamps[0])
    wanted = max(manifest.history, manifest.image.frames if manifest.image else 1)
    known = known_at(rate, wanted, step)
    if rate < 0.9 / step or known < wanted:
        lost = ''
        if known < wanted:
            lost = f': it knows {known} of the {wanted} observations that it looks back on'
        elif (isinstance(manifest.graphs.predictor, RecurrentPredictor)
                and 1 / rate > unseen_steps(manifest) * step):
            lost = ': its memory begins anew with each observation'
        yield Finding(Grade.WARNING, one['topic'], f'{rate:.1f} Hz where the model asks for '
                      f'{1 / step:.1f}, one for each of its steps{lost}', 'raise the rate at the '
                      'publisher, or look for lost messages (ros2 topic hz at its machine)')


def _clock(heard: Mapping[str, Any], name: str) -> Iterator[Finding]:
    one = heard[name]
    topic, age = one['topic'], statistics.median(one['ages'])
    if not any(one['stamps']):
        yield Finding(Grade.UNFIT, topic, 'the stamps are zero',
                      'let the driver stamp each message with the time of measurement')
    elif abs(age) > ANOTHER_CLOCK:
        simulated = heard['clock_publishers'] and not heard['use_sim_time']
        yield Finding(Grade.UNFIT, topic, f'the stamps are {age:.0f} s away from this clock',
                      'set use_sim_time, here with --use-sim-time' if simulated else
                      "stamp with the ROS clock; synchronise the machines' clocks (chrony)")
    elif age <= -_AHEAD:
        yield Finding(Grade.WARNING, topic, f'the stamps are {-age * 1e3:.0f} ms ahead of this '
                      'clock', "synchronise the machines' clocks (chrony), and let the driver "
                      'stamp with the time of measurement')
    elif age >= MAX_AGE:
        yield Finding(Grade.WARNING, topic, f'messages are {age * 1e3:.0f} ms old when they come',
                      "stamp at the moment of measurement and synchronise the machines' clocks "
                      '(chrony); else raise max_age and expected_latency')


def _losses(heard: Mapping[str, Any], name: str) -> Iterator[Finding]:
    """What is missing between the stamps of images, which are the messages that DDS loses."""
    one = heard[name]
    steps = sorted(later - earlier for earlier, later in pairwise(one['stamps']) if later > earlier)
    if kind_of(name) != 'image' or len(steps) < _STEPS:
        return
    period = steps[len(steps) // 10]  # a long gap is no period, and neither is one late stamp
    missing = sum(round(step / period) - 1 for step in steps)
    if missing > _LOST * (missing + len(steps)):
        yield Finding(
            Grade.WARNING, one['topic'], f'{missing} of {missing + len(steps)} pictures are '
            f'missing between the stamps of those that came, which lie {period / 1e6:.0f} ms apart',
            f"start the driver with {TRANSPORTS}='{FAST_DDS_TRANSPORTS}' if they are lost on the "
            'way ("wmros doctor" tries), or with a lower rate if it leaves them out itself')


def _pairs(heard: Mapping[str, Any]) -> Iterator[Finding]:
    """How far what belongs together is apart: a picture, the robot, and other cameras."""
    cameras = [name for name in heard if kind_of(name) == 'image']
    if not cameras:
        return
    first = heard[cameras[0]]
    for name, what in (('joint_states', 'joint state'), ('pose', 'pose')):
        stamps = heard[name]['stamps'] if name in heard else []
        if (skew := _skew(first['stamps'], stamps)) > MAX_SKEW:
            yield Finding(Grade.WARNING, 'stamps', f'the nearest {what} is {skew * 1e3:.0f} ms '
                          'away from a picture',
                          f'publish {what}s more often, or raise max_skew '
                          f'({MAX_SKEW * 1e3:.0f} ms)')
    for name in cameras[1:]:
        if (skew := _skew(first['stamps'], heard[name]['stamps'])) > MAX_CAMERA_SKEW:
            yield Finding(
                Grade.UNFIT, heard[name]['topic'], f'its nearest picture is {skew * 1e3:.0f} ms '
                f'away from one of {first["topic"]}',
                'trigger the cameras together, or let them run faster; raise max_camera_skew '
                f'({MAX_CAMERA_SKEW * 1e3:.0f} ms) if the robot is slow')


def _skew(stamps: Sequence[int], others: Sequence[int]) -> float:
    """Median distance of stamps from the nearest of others [s]; 0 where nothing is known."""
    # Only those that lie within what was heard of the others have a nearest one.
    skews = [min(abs(stamp - other) for other in others) / 1e9 for stamp in stamps
             if others and min(others) <= stamp <= max(others)]
    return statistics.median(skews) if skews else 0.0
