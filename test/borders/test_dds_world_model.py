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

"""The world model as a real process on real DDS, seeing and planning, under hostile messages."""

import array
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from action_msgs.msg import GoalStatus
from borders_tally import DDS_QUOTAS, count
from dds import Graph
from hostile import (
    NOT_FINITE,
    broken_bytes,
    hostile_image,
    hostile_joint_state,
    hostile_tensor,
)
from hostile_graph import Diagnostics, difference, pace, refuse_parameters
from rclpy.action import ActionClient
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from toy_bundle import JOINTS, toy_image, write_toy_bundle

from world_model_interfaces.action import ReachGoal
from world_model_interfaces.msg import ActionProposal, Latent, Tensor
from world_model_interfaces.srv import LoadModel
from world_model_ros.nodes.convert import to_nanoseconds, to_stamp


class Camera:
    """A sound camera and joints at 20 Hz, and beside them publishers of what is not."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.stamps: set[int] = set()
        self.latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
        self.proposals = graph.listen(ActionProposal, 'world_model/proposal')
        self.diagnostics = Diagnostics(graph)
        self.hostile_images = graph.publisher(Image, 'image')
        self.hostile_joints = graph.publisher(JointState, 'joint_states')
        self._images = graph.publisher(Image, 'image', qos_profile_sensor_data)
        self._joints = graph.publisher(JointState, 'joint_states', qos_profile_sensor_data)

    def picture(self) -> Image:
        message = Image(height=32, width=32, encoding='rgb8', step=96)
        message.data = array.array('B', toy_image([0.1, 0.2]).tobytes())
        return message

    def publish(self) -> None:
        stamp = self.graph.now()
        joints = JointState(name=list(JOINTS), position=[0.1, 0.2], velocity=[0.0, 0.0])
        image = self.picture()
        joints.header.stamp = image.header.stamp = to_stamp(stamp)
        self.stamps.add(stamp)
        self._joints.publish(joints)
        self._images.publish(image)

    def counts(self) -> dict[str, str]:
        return self.diagnostics.fresh('world_model: observation')


@pytest.fixture(scope='module')
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_bundle(tmp_path_factory.mktemp('toy') / 'toy').path


@pytest.fixture(scope='module')
def camera(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Camera]:
    with Graph(tmp_path_factory.mktemp('world_model')) as graph:
        process = graph.spawn('world_model', parameters={
            'autostart': True, 'bundle': str(toy), 'plan_deadline': 0.02})
        camera = Camera(graph)
        graph.wait_until_active('world_model')
        with graph.every(0.05, camera.publish):
            graph.wait_for(lambda: len(camera.latents) > 5, 10.0, 'latents of sound images')
            yield camera
            seen = len(camera.latents)
            graph.wait_for(lambda: len(camera.latents) > seen + 5, 15.0, 'latents after the storms')
            # Latents carry their image's stamp: none came of anything but a sound one.
            assert {to_nanoseconds(latent.header.stamp) for latent in camera.latents} \
                <= camera.stamps
            assert not camera.proposals, 'no goal was sound, so nothing was proposed'
            assert process.poll() is None, 'the process has survived'
        assert graph.end(process) == 0


def test_no_hostile_image_on_the_wire_becomes_a_latent(camera: Camera) -> None:
    border, random = 'DDS: images', Random(1)
    quota, before = DDS_QUOTAS['DDS: images'], camera.counts()
    for sent in range(quota):
        image = hostile_image(random)[1]
        image.header.stamp = to_stamp(camera.graph.now())
        camera.hostile_images.publish(image)
        pace(camera.graph, sent)
    after = camera.counts()
    refused = difference(before, after, 'images_refused')
    assert 100 < refused <= quota
    count(border, refused, f'of {quota:,} sent: counted in diagnostics; the rest gave way')


def test_no_hostile_joint_state_on_the_wire_replaces_a_good_one(camera: Camera) -> None:
    border, random = 'DDS: joint states to the model', Random(2)
    quota, before = DDS_QUOTAS['DDS: joint states to the model'], camera.counts()
    for sent in range(quota):
        camera.hostile_joints.publish(
            hostile_joint_state(random, camera.graph.now(), clock=False)[1])
        pace(camera.graph, sent)
    after = camera.counts()
    refused = difference(before, after, 'joint_states_refused')
    assert quota // 4 <= refused <= quota
    count(border, refused, f'of {quota:,} sent (best effort): counted in diagnostics')


def test_bytes_that_are_no_image_are_counted(camera: Camera) -> None:
    random, sound = Random(3), serialize_message(camera.picture())
    before = camera.diagnostics.fresh('world_model: model')
    for sent in range(100):
        camera.hostile_images.publish(broken_bytes(random, sound)[1])
        pace(camera.graph, sent)
    after = camera.diagnostics.fresh('world_model: model')
    assert 25 <= difference(before, after, 'image_malformed') <= 100


def hostile_goal(random: Random, camera: Camera) -> tuple[str, ReachGoal.Goal]:
    goal = ReachGoal.Goal(image=camera.picture())
    defect = random.choice(('picture', 'other size', 'latent', 'latent of another size',
                            'latent not finite', 'tolerance', 'time limit'))
    if defect == 'picture':
        goal.image = hostile_image(random)[1]
    elif defect == 'other size':
        goal.image.height, goal.image.data = 16, goal.image.data[:16 * 96]
    elif defect == 'latent':
        goal.latent = hostile_tensor(random)[1]
        if not goal.latent.data:  # which means that the picture counts
            goal.latent.data = array.array('f', [1.0] * 99)
    elif defect == 'latent of another size':
        goal.latent = Tensor(shape=array.array('I', [7]), data=array.array('f', [0.0] * 7))
    elif defect == 'latent not finite':
        numbers = [0.0, random.choice(NOT_FINITE)]
        goal.latent = Tensor(shape=array.array('I', [2]), data=array.array('f', numbers))
    elif defect == 'tolerance':
        goal.tolerance = random.choice((*NOT_FINITE, -1.0))
    elif defect == 'time limit':
        goal.time_limit = random.choice((*NOT_FINITE, -1.0))
    return defect, goal


def test_each_hostile_goal_is_refused_with_a_reason_and_counted(camera: Camera) -> None:
    graph, random = camera.graph, Random(4)
    quota, before = DDS_QUOTAS['DDS: goal pictures and latents'], camera.counts()
    client = ActionClient(graph.node, ReachGoal, 'world_model/reach_goal')
    graph.wait_for(client.server_is_ready, 10.0, 'the action server')

    def wait(future: Any, what: str) -> Any:
        graph.wait_for(future.done, 10.0, what)
        return future.result()

    for _ in range(quota):
        defect, goal = hostile_goal(random, camera)
        handle = wait(client.send_goal_async(goal), f'an answer to a goal with a wrong {defect}')
        assert handle.accepted  # looked at; refused with a reason, which a rejection cannot carry
        result = wait(handle.get_result_async(), f'the end of a goal with a wrong {defect}')
        assert result.status == GoalStatus.STATUS_ABORTED, defect
        assert result.result.reason and not result.result.reached, defect
    after = camera.counts()
    assert difference(before, after, 'goals_refused') == quota
    assert difference(before, after, 'goals_accepted') == 0
    count('DDS: goal pictures and latents', quota, 'sent = counted in diagnostics')
    client.destroy()


def test_no_path_of_a_stranger_replaces_the_model(camera: Camera, tmp_path: Path) -> None:
    graph = camera.graph
    client = graph.node.create_client(LoadModel, 'world_model/load_model')
    graph.wait_for(client.service_is_ready, 10.0, 'load_model')
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    (tmp_path / 'bundle.yaml').mkdir()
    (tmp_path / 'pipe').mkdir()
    paths = ['', ' ', '.', '/', '..', '/etc', '/etc/passwd', '/dev/zero', '/dev', '/proc/self',
             '/nonexistent', '~', '$HOME', 'http://localhost/', 'x' * 300, 'x/' * 3000,
             'x' * 1_000_000, '\n', '\u202e', 'a\x01b', str(tmp_path), str(tmp_path / 'loop'),
             str(tmp_path / 'pipe'), '../' * 50 + 'etc']
    for path in paths:
        future = client.call_async(LoadModel.Request(bundle=path))
        graph.wait_for(future.done, 10.0, f'an answer to {path[:80]!r}')
        assert not future.result().success and future.result().message, path[:80]
        assert len(future.result().message) < 5000
    count('DDS: parameters and services', len(paths), '')
    graph.node.destroy_client(client)


def test_parameters_of_a_wrong_type_out_of_range_or_too_late_are_refused(camera: Camera) -> None:
    sent = refuse_parameters(camera.graph, 'world_model')
    count('DDS: parameters and services', sent, 'each answered with a reason')
