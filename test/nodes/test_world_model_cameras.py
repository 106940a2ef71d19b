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
"""Several cameras, and cameras of another field of view, as a real process on real DDS."""

import array
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from dds import LATCHED, Graph, values
from lifecycle_msgs.msg import Transition
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from toy_bundle import JOINTS, toy_image, write_toy_bundle
from world_model_robot import Pulse, load, outcome, picture, reach, running

from world_model_interfaces.action import ReachGoal
from world_model_interfaces.msg import ActionProposal, Heartbeat, Latent
from world_model_ros.bundle import Bundle
from world_model_ros.nodes.convert import NANOSECONDS, from_tensor, to_nanoseconds, to_stamp
from world_model_ros.nodes.graph_probe import read_by

CAMERAS = ('overhead', 'wrist')
PERIOD = 50_000_000  # ns


class Robot:
    """Two joints, an overhead camera that shows one of them and a wrist camera for the other.

    The wrist's pictures are as far behind the overhead camera's as `lag` says [s], and are sent
    `late` of them later; None: not at all.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.lag, self.late = graph, 0.004, 0
        self.position, self.velocity = np.zeros(2), np.zeros(2)
        self.stamps: list[int] = []
        self.is_stuck = self.is_silent = False
        self._images = {camera: graph.publisher(
            Image, f'{camera}/image_raw', qos_profile_sensor_data) for camera in CAMERAS}
        self._joints = graph.publisher(JointState, 'joint_states', qos_profile_sensor_data)
        self._delayed: list[Image] = []

    def publish(self) -> None:
        # A camera's own clock ticks evenly, however busy this machine is.
        stamp, now = (self.stamps or [0])[-1] + PERIOD, self.graph.now()
        if abs(stamp - now) > 4 * PERIOD:
            stamp = now
        self.stamps.append(stamp)
        self.position = self.position + 0.05 * self.velocity
        joints = JointState(name=list(JOINTS), position=self.position.tolist(),
                            velocity=self.velocity.tolist())
        joints.header.stamp = to_stamp(stamp)
        self._joints.publish(joints)
        overhead = picture([self.position[0], 1.0])
        overhead.header.stamp = to_stamp(stamp)
        self._images['overhead'].publish(overhead)
        wrist = picture([-1.0, 0.0 if self.is_stuck else self.position[1]])
        wrist.header.stamp = to_stamp(stamp - round(self.lag * NANOSECONDS))
        self._delayed.append(wrist)
        while len(self._delayed) > self.late:
            image = self._delayed.pop(0)
            if not self.is_silent:
                self._images['wrist'].publish(image)


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_toy_bundle(tmp_path_factory.mktemp('two') / 'toy', cameras=CAMERAS)


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Graph]:
    folder = tmp_path_factory.mktemp('cameras')
    with running(folder, bundle, plan_deadline=0.03) as graph:
        yield graph


@pytest.fixture
def robot(graph: Graph) -> Iterator[Robot]:
    robot = Robot(graph)
    with graph.every(0.05, robot.publish):
        yield robot


def latents_of(graph: Graph) -> list[Latent]:
    return graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)


def observed(graph: Graph) -> Any:
    health = graph.diagnostics()
    return lambda: health('world_model: observation')


@pytest.mark.parametrize('late', [0, 2], ids=['in order', 'late'])
def test_pictures_of_two_cameras_are_seen_together_once_with_the_first_ones_stamp(
    graph: Graph, robot: Robot, late: int,
) -> None:
    robot.late = late
    latents = latents_of(graph)
    robot.position = np.array([0.5, -0.25])
    graph.wait_for(lambda: len(latents) > 8, 10, 'latents')
    stamps = [to_nanoseconds(latent.header.stamp) for latent in latents]
    assert set(stamps) <= set(robot.stamps) and stamps == sorted(set(stamps))
    np.testing.assert_allclose(from_tensor(latents[-1].tensor)[:2], [0.5, -0.25], atol=0.01)


def test_a_goal_picture_of_each_camera_makes_a_goal_and_one_alone_makes_none(
    graph: Graph, robot: Robot,
) -> None:
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    wrist = graph.publisher(CompressedImage, 'wrist/goal_image/compressed', LATCHED)
    content = cv2.imencode('.png', toy_image([2.0, -0.4])[:, :, ::-1])[1].tobytes()
    wrist.publish(CompressedImage(format='png', data=content))
    alone = outcome(graph, reach(graph, ReachGoal.Goal(image=picture([0.3, 0.3]))))
    assert alone.status == GoalStatus.STATUS_ABORTED
    assert 'overhead/goal_image, wrist/goal_image' in alone.result.reason
    assert not proposals
    graph.publisher(Image, 'overhead/goal_image', LATCHED).publish(picture([0.6, -2.0]))
    graph.wait_for(lambda: len(proposals) > 3, 10, 'proposals')
    assert proposals[-1].goal_distance == pytest.approx(np.hypot(0.6, 0.4), abs=0.02)
    health = graph.diagnostics()
    late = picture([0.1, 0.1])
    late.header.stamp.sec = 5
    graph.publisher(Image, 'overhead/goal_image', LATCHED).publish(late)
    wrist.publish(CompressedImage(format='png', data=content))
    graph.wait_for(lambda: 'the goal pictures of wrist are older' in getattr(
        health('world_model: goal'), 'message', ''), 5, 'the reason in /diagnostics')


def test_goal_pictures_of_one_moment_are_a_goal_where_no_skew_is_allowed(
    graph: Graph, robot: Robot,
) -> None:
    robot.lag = 0.0
    assert graph.set_parameter('world_model', 'max_camera_skew', 0.0).successful
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    for camera, position in (('overhead', [1.1, 1.0]), ('wrist', [-1.0, 0.0])):
        image = picture(position)
        image.header.stamp = to_stamp(1_795_306_802_123_456_144)  # the nearest float is more
        graph.publisher(Image, f'{camera}/goal_image', LATCHED).publish(image)
    graph.wait_for(lambda: any(it.goal_distance == pytest.approx(1.1, abs=0.02)
                               for it in proposals), 10, 'proposals for this goal')
    assert graph.set_parameter('world_model', 'max_camera_skew', 0.02).successful


def test_an_action_without_a_picture_takes_those_that_come_after_it(
    graph: Graph, robot: Robot,
) -> None:
    goals = {camera: graph.publisher(Image, f'{camera}/goal_image', LATCHED)
             for camera in CAMERAS}
    goals['wrist'].publish(picture([-1.0, 1.9]))  # of another time: nothing comes of it
    vain = outcome(graph, reach(graph, ReachGoal.Goal(time_limit=0.3)))
    assert vain.status == GoalStatus.STATUS_ABORTED
    assert 'no goal pictures came on overhead/goal_image and wrist/goal_image' in (
        vain.result.reason)
    feedback: list[Any] = []
    action = reach(graph, ReachGoal.Goal(tolerance=0.03), feedback)
    goals['overhead'].publish(picture([0.8, 1.0]))
    graph.wait_for(lambda: len(feedback) > 3, 10, 'feedback')
    assert all(math.isnan(it.distance) for it in feedback)
    goals['wrist'].publish(picture([-1.0, -0.7]))
    graph.wait_for(lambda: feedback[-1].distance > 1.0, 10, 'the distance')
    robot.position = np.array([0.8, -0.7])
    end = outcome(graph, action)
    assert end.status == GoalStatus.STATUS_SUCCEEDED and end.result.reached, end.result.reason


def test_a_camera_that_is_silent_makes_it_blind_and_is_named(graph: Graph, robot: Robot) -> None:
    pulse = Pulse(graph)
    health = observed(graph)
    graph.wait_for(lambda: pulse.beats[-1:] != [] and pulse.beats[-1].activity != Heartbeat.BLIND,
                   10, 'eyes')
    robot.is_silent = True
    beat = pulse.wait_for(Heartbeat.BLIND, 'no image of the camera "wrist" for')
    assert '"wrist/image_raw" remapped' in beat.text
    graph.wait_for(lambda: float(values(health()).get('wrist_behind_ms', 0)) > 500, 5,
                   'how far it is behind')
    assert float(values(health())['overhead_behind_ms']) == 0
    robot.is_silent = False
    graph.wait_for(lambda: pulse.beats[-1].activity != Heartbeat.BLIND, 10, 'eyes again')


def test_cameras_that_are_apart_are_counted_and_explained_and_nothing_is_encoded(
    graph: Graph, robot: Robot,
) -> None:
    health, pulse = observed(graph), Pulse(graph)
    robot.lag = 0.025  # half of the period: no picture is nearer
    pulse.wait_for(Heartbeat.BLIND, 'max_camera_skew')
    latents = latents_of(graph)
    graph.wait_for(lambda: int(values(health()).get('wrist_unpaired', 0)) > 0, 10,
                   'pictures to be counted')
    assert 'of the camera "wrist"' in health().message
    assert not latents
    robot.lag = 0.0
    graph.wait_for(lambda: bool(latents), 10, 'latents again')


def test_one_frozen_camera_of_two_is_found_and_named(graph: Graph, robot: Robot) -> None:
    pulse = Pulse(graph)
    latents = latents_of(graph)
    graph.wait_for(lambda: len(latents) > 3, 10, 'latents')
    robot.is_stuck, robot.velocity = True, np.array([0.1, 0.3])
    pulse.wait_for(Heartbeat.BLIND, 'the camera "wrist" is frozen')
    robot.is_stuck, robot.velocity = False, np.zeros(2)
    robot.position = np.array([0.1, 0.1])
    graph.wait_for(lambda: pulse.beats[-1].activity != Heartbeat.BLIND, 10, 'eyes again')


def test_the_doctor_looks_at_the_topic_of_each_camera(graph: Graph) -> None:
    health = observed(graph)
    graph.wait_for(lambda: bool(values(health())), 5, 'diagnostics')
    topics = {values(health())[f'{camera}_image_topic']: camera for camera in CAMERAS}
    graph.wait_for(lambda: read_by(graph.node, '/world_model', topics) == {
        'image.overhead': '/overhead/image_raw', 'image.wrist': '/wrist/image_raw',
        'joint_states': '/joint_states', 'pose': '/pose'}, 5, 'the topics of both cameras')


class WideCamera:
    """A camera that shows the toy's scene in the middle of a glaring picture twice as large."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.focal = graph, 32.0
        self._images = graph.publisher(Image, 'image', qos_profile_sensor_data)
        self._infos = graph.publisher(CameraInfo, 'camera_info', qos_profile_sensor_data)
        self._joints = graph.publisher(JointState, 'joint_states', qos_profile_sensor_data)

    def publish(self) -> None:
        stamp = to_stamp(self.graph.now())
        pixels = np.full((64, 64, 3), 255, np.uint8)
        pixels[16:48, 16:48] = toy_image([0.7, -0.3])
        image = Image(height=64, width=64, encoding='rgb8', step=192,
                      data=array.array('B', pixels.tobytes()))
        info = CameraInfo(height=128, width=128, binning_x=2, binning_y=2, k=[
            2 * self.focal, 0.0, 63.5, 0.0, 2 * self.focal, 63.5, 0.0, 0.0, 1.0])
        joints = JointState(name=list(JOINTS), position=[0.0] * 2, velocity=[0.0] * 2)
        for message in (image, info, joints):
            message.header.stamp = stamp
        self._infos.publish(info)
        self._joints.publish(joints)
        self._images.publish(image)


def test_a_new_model_sees_with_its_own_camera_and_only_the_field_that_it_was_trained_on(
    graph: Graph, bundle: Bundle, tmp_path: Path,
) -> None:
    angle = 2 * math.atan(16 / 32)

    def measured(manifest: dict[str, Any]) -> None:
        manifest['image']['fields_of_view'] = [{'horizontal': angle, 'vertical': angle}]

    camera, latents, health = WideCamera(graph), latents_of(graph), observed(graph)
    action = reach(graph, ReachGoal.Goal())
    plain = write_toy_bundle(tmp_path / 'plain')
    with graph.every(0.05, camera.publish):
        answer = load(graph, write_toy_bundle(tmp_path / 'toy', measured).path)
        assert answer.success, answer.message
        assert 'another model took over' in outcome(graph, action).result.reason
        empty = outcome(graph, reach(graph, ReachGoal.Goal()))
        assert empty.status == GoalStatus.STATUS_ABORTED and 'the goal is empty' in (
            empty.result.reason)
        graph.wait_for(lambda: len(latents) > 3, 10, 'latents')
        np.testing.assert_allclose(from_tensor(latents[0].tensor)[:2], [0.7, -0.3], atol=0.02)
        graph.wait_for(lambda: values(health()).get('field_of_view') == 'as the model was trained',
                       5, 'the field of view in /diagnostics')
        graph.wait_for(lambda: not graph.node.get_subscriptions_info_by_topic('/wrist/image_raw'),
                       5, 'the cameras of the model before to be left')
        camera.focal = 100.0  # a telephoto lens
        graph.wait_for(lambda: 'not wide enough' in health().message, 10, 'the refusal')
        shadow = load(graph, bundle.path, shadow=True)
        assert not shadow.success and 'pictures' in shadow.message
        # What one model wants to know of the camera takes no picture from one that does not.
        assert load(graph, plain.path).success
        camera.focal = -1.0
        assert load(graph, tmp_path / 'toy', shadow=True).success
        said = graph.diagnostics()
        graph.wait_for(lambda: 'focal length' in getattr(
            said('world_model: shadow'), 'message', ''), 5, 'the shadow to complain')
        del latents[:]
        graph.wait_for(lambda: len(latents) > 3, 10, 'latents of the active model')
        assert {it.model_digest for it in latents} == {plain.digest}
        assert load(graph, '', shadow=True).success
        graph.wait_for(lambda: not graph.node.get_subscriptions_info_by_topic('/camera_info'),
                       5, 'camera_info to be left')
    robot = Robot(graph)
    with graph.every(0.05, robot.publish):
        assert load(graph, bundle.path).success
        del latents[:]
        graph.wait_for(lambda: len(latents) > 3, 10, 'latents of two cameras again')


def test_pictures_that_are_latched_are_no_goal_for_a_model_or_a_configuration_that_comes_later(
    bundle: Bundle, tmp_path: Path,
) -> None:
    single = write_toy_bundle(tmp_path / 'single')
    with Graph(tmp_path) as graph:
        goals = {camera: graph.publisher(Image, f'{camera}/goal_image', LATCHED)
                 for camera in CAMERAS}

        def send_goal() -> None:
            goals['overhead'].publish(picture([0.6, 1.0]))
            goals['wrist'].publish(picture([-1.0, -0.4]))

        send_goal()  # long ago
        process = graph.spawn('world_model', parameters={
            'autostart': True, 'bundle': str(single.path), 'plan_deadline': 0.03})
        graph.wait_until_active('world_model')
        proposals = graph.listen(ActionProposal, 'world_model/proposal')
        latents = latents_of(graph)

        def left_out() -> int:
            return graph.output(process).count('/goal_image came as soon as it was listened to')

        def nothing_moves_for_what_is_latched(before: int) -> None:
            graph.wait_for(lambda: left_out() == before + 2, 5, 'the pictures to be left out')
            del latents[:]
            graph.wait_for(lambda: len(latents) > 10, 10, 'half a second of latents')
            assert not proposals, 'nobody has set a goal'

        robot = Robot(graph)
        with graph.every(0.05, robot.publish):
            assert load(graph, bundle.path).success
            nothing_moves_for_what_is_latched(before=0)
            with graph.every(0.2, send_goal):
                graph.wait_for(lambda: len(proposals) > 3, 10, 'proposals for what is sent now')
            for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
                assert graph.transition('world_model', transition)
            before = left_out()
            del proposals[:]
            for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
                assert graph.transition('world_model', transition)
            nothing_moves_for_what_is_latched(before)
        assert graph.end(process) == 0
