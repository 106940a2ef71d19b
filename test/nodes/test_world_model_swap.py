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

"""Another model without a restart, and one that only watches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from dds import LATCHED, RELIABLE, Graph, values
from faulty_toy import hanging_image, write_faulty_bundle
from lifecycle_msgs.msg import Transition
from rcl_interfaces.srv import GetParameters
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from world_model_robot import Pulse, Robot, load, outcome, picture, reach, running, show, sound

from world_model_interfaces.action import ReachGoal
from world_model_interfaces.msg import ActionProposal, Heartbeat, Latent, ModelInfo, Surprise
from world_model_ros.bundle import Bundle
from world_model_ros.nodes.convert import from_tensor, to_nanoseconds, to_tensor


class Mover(Robot):
    """A robot that does what is proposed, as an ideal controller would let it."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.proposals = graph.listen(ActionProposal, 'world_model/proposal')
        self._moved = graph.now()

    def publish(self) -> None:
        now = self.graph.now()
        while self._moved < now:
            until = min(self._moved + 10**7, now)
            self.position = self.position + self._velocity() * (until - self._moved) / 1e9
            self._moved = until
        super().publish()

    def _velocity(self) -> Any:
        if not self.proposals:
            return np.zeros(2)
        proposal = self.proposals[-1]
        rows = from_tensor(proposal.values)
        age = (self._moved - to_nanoseconds(proposal.header.stamp)) / 1e9
        row = int(age / proposal.step_duration)
        return rows[row] if 0 <= row < len(rows) else np.zeros(2)


def version(number: str) -> Any:
    def change(manifest: dict[str, Any]) -> None:
        manifest['model']['version'] = number
    return change


@pytest.fixture(scope='module')
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    folder = tmp_path_factory.mktemp('bundles')

    def worse(manifest: dict[str, Any]) -> None:
        manifest['model']['version'] = 'worse'
        manifest['surprise'] = {'threshold': [0.3] * 4}

    def small(manifest: dict[str, Any]) -> None:
        manifest['model']['version'] = 'another contract'
        manifest['action']['names'] = ['elbow', 'shoulder']

    def easy(manifest: dict[str, Any]) -> None:
        manifest['model']['version'] = 'easily content'
        manifest['goal']['reached'] = 1.0

    return {
        'one': write_faulty_bundle(folder / 'one', version('1')),
        'two': write_faulty_bundle(folder / 'two', version('2')),
        'worse': write_faulty_bundle(folder / 'worse', worse, drift=0.5),
        'easy': write_faulty_bundle(folder / 'easy', easy),
        'stuck': write_faulty_bundle(folder / 'stuck', version('stuck'), goals=True),
        'other': write_faulty_bundle(folder / 'other', small)}


@pytest.fixture(scope='module')
def graph(
    tmp_path_factory: pytest.TempPathFactory, bundles: dict[str, Bundle],
) -> Iterator[Graph]:
    with running(tmp_path_factory.mktemp('swap'), bundles['one'], hung_after=0.3) as graph:
        yield graph


@pytest.fixture
def robot(graph: Graph) -> Iterator[Mover]:
    robot = Mover(graph)
    with graph.every(0.033, robot.publish):
        yield robot


def pursue(graph: Graph, robot: Mover, position: Any) -> None:
    """Let the robot go somewhere."""
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    graph.publisher(Image, 'goal_image', LATCHED).publish(picture(position))
    graph.wait_for(lambda: len(proposals) > 3, 10, 'proposals')


def test_a_model_is_replaced_between_two_plans_and_the_goal_is_kept(
    graph: Graph, robot: Mover, bundles: dict[str, Bundle],
) -> None:
    order: list[Any] = []  # model infos and proposals as they arrive
    graph.node.create_subscription(ModelInfo, 'world_model/model_info', order.append, LATCHED)
    graph.node.create_subscription(ActionProposal, 'world_model/proposal', order.append, RELIABLE)
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    pursue(graph, robot, [1.2, -1.0])
    answer = load(graph, bundles['two'].path)
    assert answer.success and answer.digest == bundles['two'].digest and answer.version == '2'
    graph.wait_for(lambda: sum(isinstance(item, ActionProposal)
                               and item.model_digest == answer.digest for item in order) > 5, 10,
                   'proposals of the new model')
    proposals = [item for item in order if isinstance(item, ActionProposal)]
    digests = [proposal.model_digest for proposal in proposals]
    assert digests == sorted(digests, key=digests.index)  # one change, no way back
    assert len({proposal.goal_id for proposal in proposals}) == 1
    infos = [index for index, item in enumerate(order) if isinstance(item, ModelInfo)
             and item.digest == answer.digest]
    assert infos[0] < order.index(proposals[digests.index(answer.digest)])
    stamps = [to_nanoseconds(proposal.header.stamp) / 1e9 for proposal in proposals]
    # As regular as pictures came: on a busy machine they stop for a moment, too.
    pause = max(np.diff(sorted(robot.stamps))) / 1e9
    assert max(np.diff(stamps)) < 0.3 + pause
    # A proposal belongs to the latent of its stamp, made by the same model.
    made_by = {to_nanoseconds(it.header.stamp): it.model_digest for it in latents}
    assert all(made_by.get(to_nanoseconds(it.header.stamp), it.model_digest) == it.model_digest
               for it in proposals)
    # The motion goes on: the new model's plan begins with what was committed.
    last = proposals[digests.index(answer.digest) - 1]
    new = proposals[digests.index(answer.digest)]
    assert np.abs(from_tensor(new.values)[0]).max() > 0.1 or np.abs(
        from_tensor(last.values)[1]).max() < 0.1


def test_a_bundle_that_is_refused_changes_nothing_and_says_why(
    graph: Graph, robot: Mover, bundles: dict[str, Bundle], tmp_path: Path,
) -> None:
    damaged = write_faulty_bundle(tmp_path / 'damaged', version('damaged'))
    graph_file = damaged.path / 'rollout.onnx'
    graph_file.write_bytes(graph_file.read_bytes() + b'x')
    pursue(graph, robot, [0.5, 0.5])
    digest = robot.proposals[-1].model_digest
    answer = load(graph, damaged.path)
    assert not answer.success and 'rollout.onnx' in answer.message and 'sha256' in answer.message
    answer = load(graph, tmp_path / 'nowhere')
    assert not answer.success and 'not found' in answer.message
    assert 'empty' in load(graph, '').message
    assert 'no path' in load(graph, 'x' * 5000).message
    del robot.proposals[:-1]
    graph.wait_for(lambda: len(robot.proposals) > 5, 5, 'proposals of the old model')
    assert {proposal.model_digest for proposal in robot.proposals} == {digest}


def test_a_goal_that_came_as_a_latent_is_dropped_with_the_reason(
    graph: Graph, robot: Mover, bundles: dict[str, Bundle],
) -> None:
    handle = reach(graph, ReachGoal.Goal(latent=to_tensor(np.array([1.0, 1.0]))))
    graph.wait_for(lambda: bool(robot.proposals), 10, 'a proposal')
    assert load(graph, bundles['one'].path).success
    result = outcome(graph, handle)
    assert result.status == GoalStatus.STATUS_ABORTED
    assert 'latent of the model before' in result.result.reason
    Pulse(graph).wait_for(Heartbeat.IDLE)


def test_a_goal_is_reached_by_what_the_model_that_runs_calls_reached(
    graph: Graph, bundles: dict[str, Bundle],
) -> None:
    robot = Robot(graph)  # it stands where the test puts it
    robot.position = np.array([-2.0, 0.0])
    feedback: list[Any] = []
    with graph.every(0.05, robot.publish):
        assert load(graph, bundles['easy'].path).success
        own = reach(graph, ReachGoal.Goal(image=picture([0.5, 0.5])), feedback)
        graph.wait_for(lambda: bool(feedback), 10, 'feedback')
        assert load(graph, bundles['one'].path).success
        end = own.get_result_async()
        robot.position = np.array([0.0, 0.5])  # near enough for the model before
        graph.wait_for(lambda: 0.4 < feedback[-1].distance < 0.6, 5, 'its distance')
        graph.listen_for(0.6)
        assert not end.done()
        robot.position = np.array([0.5, 0.5])
        graph.wait_for(end.done, 10, 'the result')
        assert end.result().status == GoalStatus.STATUS_SUCCEEDED


@pytest.mark.parametrize('distance', ['tolerance', 'via_tolerance'])
def test_a_tolerance_in_units_of_a_model_that_was_replaced_ends_the_goal(
    graph: Graph, bundles: dict[str, Bundle], distance: str,
) -> None:
    robot = Robot(graph)
    feedback: list[Any] = []
    with graph.every(0.05, robot.publish):
        assert load(graph, bundles['one'].path).success
        goal = ReachGoal.Goal(image=picture([1.5, 0.5]), **{distance: 0.1})
        handle = reach(graph, goal, feedback)
        graph.wait_for(lambda: bool(feedback), 10, 'feedback')
        assert load(graph, bundles['one'].path).success
        del feedback[:]
        graph.wait_for(lambda: len(feedback) > 5, 5, 'the same model to go on')
        assert load(graph, bundles['two'].path).success
        result = outcome(graph, handle)
    assert result.status == GoalStatus.STATUS_ABORTED
    assert 'the tolerance is a distance of the model before' in result.result.reason


def test_a_model_that_hangs_is_cured_by_loading_it_again(
    graph: Graph, robot: Mover, bundles: dict[str, Bundle],
) -> None:
    pulse = Pulse(graph)
    robot.spoil_image = show(hanging_image([0.0, 0.0]))
    pulse.wait_for(Heartbeat.FAILED, 'hung')
    robot.spoil_image = sound
    assert load(graph, bundles['one'].path).success
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    graph.wait_for(lambda: len(latents) > 5, 10, 'latents')
    assert {latent.model_digest for latent in latents} == {bundles['one'].digest}
    pulse.wait_for(Heartbeat.IDLE)


@pytest.mark.parametrize('cure', ['another model', 'a pause'])
def test_a_model_that_hangs_over_the_goal_it_takes_over_can_be_got_rid_of(
    graph: Graph, robot: Mover, bundles: dict[str, Bundle], cure: str,
) -> None:
    assert load(graph, bundles['two'].path).success
    goal, pulse = picture([0.3, 0.2]), Pulse(graph)
    show(hanging_image([0.3, 0.2]))(goal)
    graph.publisher(Image, 'goal_image', LATCHED).publish(goal)
    pulse.wait_for(Heartbeat.PLANNING)
    assert load(graph, bundles['stuck'].path).success
    pulse.wait_for(Heartbeat.FAILED, 'taking over the new model')
    if cure == 'a pause':
        started = graph.now()
        assert graph.transition('world_model', Transition.TRANSITION_DEACTIVATE)
        assert (graph.now() - started) / 1e9 < 2.0
        assert graph.transition('world_model', Transition.TRANSITION_ACTIVATE)
    assert load(graph, bundles['one'].path).success
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    graph.wait_for(lambda: len(latents) > 5, 10, 'latents')
    assert latents[-1].model_digest == bundles['one'].digest
    pulse.wait_for(Heartbeat.IDLE)


def test_a_shadow_watches_never_acts_and_is_compared_by_its_surprise(
    graph: Graph, robot: Mover, bundles: dict[str, Bundle],
) -> None:
    answer = load(graph, bundles['worse'].path, shadow=True)
    assert answer.success, answer.message
    own = graph.listen(Surprise, 'world_model/surprise', qos_profile_sensor_data)
    shadows = graph.listen(Surprise, 'world_model/shadow/surprise', qos_profile_sensor_data)
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    robot.position = np.zeros(2)
    pursue(graph, robot, [2.0, -2.0])
    graph.wait_for(lambda: len(own) > 8 and len(shadows) > 8, 15, 'surprise of both')
    assert {it.model_digest for it in own} == {bundles['one'].digest}
    assert {it.model_digest for it in shadows} == {bundles['worse'].digest}
    assert {it.model_digest for it in robot.proposals} == {bundles['one'].digest}
    assert {it.model_digest for it in latents} == {bundles['one'].digest}
    assert own[-1].step_duration == pytest.approx(0.1) and len(own[-1].error) == 4
    # The toy's futures are right but for the delay of the test's own robot; the worse one's are
    # off by 0.5 in each of two numbers.
    assert np.median([it.score for it in own]) < 0.2
    assert np.median([it.score for it in shadows]) == pytest.approx(np.hypot(0.5, 0.5), abs=0.3)
    assert own[-1].verdict == Surprise.UNKNOWN  # nobody has calibrated it
    judged = [it for it in shadows if np.isfinite(it.error).all()]
    assert np.mean([it.verdict == Surprise.SURPRISED for it in judged]) > 0.8
    assert judged[-1].threshold == pytest.approx(0.3)
    health = graph.diagnostics()
    graph.wait_for(lambda: health('world_model: shadow') is not None, 5, "the shadow's health")
    refused = load(graph, bundles['other'].path, shadow=True)
    assert not refused.success and 'cannot be the shadow' in refused.message
    assert load(graph, '', shadow=True).success
    del shadows[:], own[:]
    graph.wait_for(lambda: len(own) > 5, 5, 'surprise of the active model alone')
    assert len(shadows) <= 1


def test_a_model_is_replaced_also_while_the_node_is_inactive(
    graph: Graph, robot: Mover, bundles: dict[str, Bundle],
) -> None:
    infos = graph.listen(ModelInfo, 'world_model/model_info', LATCHED)
    assert graph.transition('world_model', Transition.TRANSITION_DEACTIVATE)
    assert load(graph, bundles['two'].path).success
    graph.wait_for(lambda: bool(infos) and infos[-1].digest == bundles['two'].digest, 5,
                   'the new model info')
    assert graph.transition('world_model', Transition.TRANSITION_CLEANUP)
    refused = load(graph, bundles['one'].path)
    assert not refused.success and 'configure it first' in refused.message
    shadow = str(bundles['worse'].path)
    assert graph.set_parameter('world_model', 'shadow_bundle', shadow).successful
    assert graph.transition('world_model', Transition.TRANSITION_CONFIGURE)
    assert graph.transition('world_model', Transition.TRANSITION_ACTIVATE)
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    graph.wait_for(lambda: bool(latents), 10, 'latents')
    # What runs is what the parameter says, also after a new start.
    assert latents[-1].model_digest == bundles['two'].digest
    health = graph.diagnostics()
    graph.wait_for(lambda: 'worse' in values(health('world_model: shadow')).get('model', ''), 5,
                   'the shadow of the parameter')
    # A model that no shadow can watch ends it, also in what the next start would read.
    assert load(graph, bundles['other'].path).success
    client = graph.node.create_client(GetParameters, 'world_model/get_parameters')
    graph.wait_for(client.service_is_ready, 10, 'the parameter service')
    future = client.call_async(GetParameters.Request(names=['bundle', 'shadow_bundle']))
    graph.wait_for(future.done, 10, 'the parameters')
    assert [it.string_value for it in future.result().values] == [str(bundles['other'].path), '']
