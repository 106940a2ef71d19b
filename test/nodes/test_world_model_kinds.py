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

"""Every kind of model on real DDS: what each reads comes by topics, what it plans is proposed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dds import LATCHED, Graph
from geometry_msgs.msg import PoseStamped
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from small_models import HORIZON, JOINTS, KINDS, Kind, write_small_bundle
from world_model_robot import Pulse, load, running, small_picture

from world_model_interfaces.msg import ActionProposal, Forecast, Heartbeat, ModelInfo, Surprise
from world_model_ros.nodes.convert import from_tensor, to_stamp

MODELS = {
    **{name: KINDS[name] for name in (
        'markov rollout', 'markov rollout, joints integrated', 'window rollout', 'markov', 'window',
        'growing', 'growing with twists', 'recurrent')},
    'markov with a return': Kind(discount=0.9),
}


class Station:
    """A camera, three joints, a finger and a hand whose pose is known, at 25 Hz."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.frame = graph, 'base'
        self.camera = self.driver = True
        self.joints = list(JOINTS)
        self._images = graph.publisher(Image, 'image', qos_profile_sensor_data)
        self._joints = graph.publisher(JointState, 'joint_states', qos_profile_sensor_data)
        self._poses = graph.publisher(PoseStamped, 'pose', qos_profile_sensor_data)

    def publish(self) -> None:
        stamp = to_stamp(self.graph.now())
        phase = self.graph.now() / 1e9
        joints = JointState(name=['finger', *self.joints], velocity=[0.0] * 4,
                            position=[0.02, np.sin(phase), np.cos(phase), 0.0])
        pose = PoseStamped()
        pose.header.frame_id = self.frame
        pose.pose.position.x = 0.4
        pose.pose.orientation.w = 1.0
        image = small_picture(round(100 + 50 * np.sin(phase)))
        for message in (joints, pose, image):
            message.header.stamp = stamp
        if self.driver:
            self._joints.publish(joints)
        self._poses.publish(pose)
        if self.camera:
            self._images.publish(image)


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    folder = tmp_path_factory.mktemp('kinds')
    bundle = write_small_bundle(folder / 'first', KINDS['markov rollout'])
    with running(folder, bundle) as graph:
        yield graph


@pytest.fixture
def station(graph: Graph) -> Iterator[Station]:
    station = Station(graph)
    with graph.every(0.04, station.publish):
        yield station


@pytest.mark.parametrize('name', MODELS)
def test_a_model_of_any_kind_is_loaded_fed_and_proposes_what_it_drives(
    graph: Graph, station: Station, tmp_path: Path, name: str,
) -> None:
    kind = MODELS[name]
    bundle = write_small_bundle(
        tmp_path / 'bundle', kind, lambda manifest: manifest['model'].update(version=name))
    infos = graph.listen(ModelInfo, 'world_model/model_info', LATCHED)
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    forecasts = graph.listen(Forecast, 'world_model/forecast')
    surprises = graph.listen(Surprise, 'world_model/surprise', qos_profile_sensor_data)
    answer = load(graph, bundle.path)
    assert answer.success, answer.message
    if kind.discount is None:
        graph.publisher(Image, 'goal_image', LATCHED).publish(small_picture(180))
    graph.wait_for(lambda: sum(it.model_digest == bundle.digest for it in proposals) > 4, 10,
                   'proposals of this model')
    graph.wait_for(lambda: any(it.model_digest == bundle.digest for it in surprises), 10,
                   'its surprise')
    proposal = proposals[-1]
    driven = [it for it in kind.names if it not in kind.frozen]
    assert proposal.names == driven == infos[-1].action_names
    values = from_tensor(proposal.values)
    assert values.shape == (HORIZON * kind.rows, len(driven))
    assert values.min() >= -1.0 and values.max() <= 1.5
    assert infos[-1].horizon == HORIZON * kind.rows
    assert infos[-1].action_frame == ('base' if kind.action in ('pose_delta', 'twist') else '')
    assert proposal.header.frame_id == infos[-1].action_frame
    assert (proposal.goal_id == '') == (kind.discount is not None)
    graph.wait_for(lambda: any(it.plan_id == proposal.plan_id for it in forecasts), 10,
                   'its forecast')
    forecast = next(it for it in forecasts if it.plan_id == proposal.plan_id)
    rows, latents = from_tensor(forecast.actions), from_tensor(forecast.latents)
    assert len(rows) == len(values) and len(latents) == len(forecast.cost) == HORIZON
    # The last latent is expected when the last row ends.
    assert forecast.model_step * HORIZON == pytest.approx(forecast.step_duration * len(rows))
    assert forecast.step_duration == proposal.step_duration == infos[-1].step_duration


def test_a_pose_in_another_frame_makes_a_model_that_reads_it_blind_and_is_named(
    graph: Graph, station: Station, tmp_path: Path,
) -> None:
    assert load(graph, write_small_bundle(tmp_path / 'bundle', KINDS['growing']).path).success
    pulse = Pulse(graph)
    station.frame = 'map'
    beat = pulse.wait_for(Heartbeat.BLIND, 'transform it')
    assert '"map"' in beat.text and '"base"' in beat.text
    station.frame = 'base'
    graph.publisher(Image, 'goal_image', LATCHED).publish(small_picture(180))
    pulse.wait_for(Heartbeat.PLANNING)


@pytest.mark.parametrize(('blind', 'silent'), [
    (KINDS['markov with a return'], 'joint_states'),
    (Kind(image=False, rule='hold', discount=0.9), 'joint_states'),
], ids=['states', 'states held'])
def test_a_model_without_a_camera_plans_at_the_rate_of_what_the_robot_says(
    graph: Graph, station: Station, tmp_path: Path, blind: Kind, silent: str,
) -> None:
    bundle = write_small_bundle(tmp_path / 'b', blind)
    station.camera = False  # also the change to it needs no picture
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    answer = load(graph, bundle.path)
    assert answer.success, answer.message
    graph.wait_for(lambda: sum(it.model_digest == bundle.digest for it in proposals) > 4, 10,
                   'proposals without a picture')
    pulse = Pulse(graph)
    station.driver = False
    beat = pulse.wait_for(Heartbeat.BLIND, 'no joint state for')
    assert f'"{silent}"' in beat.text
    station.driver = True
    pulse.wait_for(Heartbeat.PLANNING)
    seeing = load(graph, write_small_bundle(tmp_path / 's', MODELS['markov with a return']).path,
                  shadow=True)
    assert not seeing.success and 'needs pictures' in seeing.message


def test_a_model_without_a_camera_gives_way_to_one_that_reads_another_robot(
    graph: Graph, station: Station, tmp_path: Path,
) -> None:
    """The robot has been replaced: of what the model that runs reads, nothing comes any more."""
    def renamed(manifest: dict[str, Any]) -> None:
        for joints in manifest['action']['names'], manifest['proprioception']['joints']:
            joints[:] = [f'new_{joint}' for joint in joints]

    kind = Kind(image=False, rule='hold', discount=0.9)
    station.camera = False
    assert 'runs' in load(graph, write_small_bundle(tmp_path / 'old', kind).path).message
    station.joints = [f'new_{joint}' for joint in JOINTS]
    other = write_small_bundle(tmp_path / 'new', kind, renamed)
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    answer = load(graph, other.path)
    assert answer.success and answer.message.endswith('runs'), answer.message
    graph.wait_for(lambda: any(it.model_digest == other.digest for it in proposals), 10,
                   'its proposals')
    station.driver = False
    waiting = load(graph, tmp_path / 'old')
    assert 'takes over with the next usable joint state' in waiting.message
    station.joints, station.driver = list(JOINTS), True
    assert load(graph, tmp_path / 'old').message.endswith('runs')
