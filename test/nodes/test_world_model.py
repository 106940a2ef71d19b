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

"""The world_model node as a real process on real DDS, with a toy model that can be judged."""

import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from dds import LATCHED, RELIABLE, Graph, values
from lifecycle_msgs.msg import Transition
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CompressedImage, Image, JointState
from toy_bundle import JOINTS, VELOCITY_LIMIT, toy_image, write_toy_bundle
from world_model_robot import FRAME, Robot, outcome, picture, reach, running

from world_model_interfaces.action import ReachGoal
from world_model_interfaces.msg import ActionProposal, Forecast, Latent, ModelInfo
from world_model_ros.nodes.convert import from_tensor, to_nanoseconds, to_stamp, to_tensor


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    folder = tmp_path_factory.mktemp('world_model')
    bundle = write_toy_bundle(folder / 'toy')
    with running(folder, bundle, plan_deadline=0.03) as graph:
        yield graph


def test_latents_carry_the_stamp_of_their_image_and_the_models_digest(
    graph: Graph, robot: Robot,
) -> None:
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    info = graph.listen(ModelInfo, 'world_model/model_info', LATCHED)
    robot.position = np.array([0.5, -0.25])
    graph.wait_for(lambda: len(latents) > 5 and bool(info), 10, 'latents and model info')
    latent = latents[-1]
    assert to_nanoseconds(latent.header.stamp) in robot.stamps
    assert latent.header.frame_id == FRAME
    assert latent.model_digest == info[0].digest and latent.model == 'toy'
    assert info[0].action_names == list(JOINTS)
    np.testing.assert_allclose(from_tensor(latent.tensor)[:4], [0.5, -0.25] * 2, atol=0.01)


def test_a_camera_that_sends_compressed_pictures_only_is_seen_as_well(graph: Graph) -> None:
    robot = Robot(graph)
    robot.position = np.array([0.7, -0.3])
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    joints = graph.publisher(JointState, 'joint_states', qos_profile_sensor_data)
    images = graph.publisher(CompressedImage, 'image/compressed', qos_profile_sensor_data)
    content = [cv2.imencode('.png', toy_image(robot.position)[:, :, ::-1])[1].tobytes()]

    def publish() -> None:
        image = CompressedImage(format='rgb8; png compressed bgr8', data=content[0])
        state = JointState(name=list(JOINTS), position=robot.position.tolist(), velocity=[0.0] * 2)
        image.header.stamp = state.header.stamp = to_stamp(graph.now())
        joints.publish(state)
        images.publish(image)

    health = graph.diagnostics()
    with graph.every(0.05, publish):
        graph.wait_for(lambda: len(latents) > 3, 10, 'latents of compressed pictures')
        np.testing.assert_allclose(from_tensor(latents[-1].tensor)[:2], [0.7, -0.3], atol=0.01)
        content[0] = content[0][:-20]
        graph.wait_for(lambda: 'no whole JPEG or PNG' in getattr(
            health('world_model: observation'), 'message', ''), 10, 'the damage to be told')


def test_a_goal_picture_brings_proposals_and_forecasts_that_lead_to_it(
    graph: Graph, robot: Robot,
) -> None:
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    forecasts = graph.listen(Forecast, 'world_model/forecast')
    graph.publisher(Image, 'goal_image', LATCHED).publish(picture([0.6, -0.4], 'bgr8'))
    graph.wait_for(lambda: len(proposals) > 5 and len(forecasts) > 5, 10, 'proposals')
    proposal = proposals[-1]
    stamp = to_nanoseconds(proposal.header.stamp)
    assert stamp in robot.stamps
    actions = from_tensor(proposal.values)
    assert proposal.names == list(JOINTS) and proposal.kind == ActionProposal.JOINT_VELOCITY
    assert np.abs(actions).max() <= VELOCITY_LIMIT
    assert proposal.goal_distance == pytest.approx(np.hypot(0.6, 0.4), abs=0.02)
    forecast = next(f for f in forecasts if f.plan_id == proposal.plan_id)
    assert forecast.cost[-1] < 0.1
    assert forecast.model_digest == proposal.model_digest
    np.testing.assert_allclose(proposal.step_duration * actions.sum(0), [0.6, -0.4], atol=0.15)


def test_the_first_row_repeats_what_the_last_plan_had_for_that_time(
    graph: Graph, robot: Robot,
) -> None:
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    graph.publisher(Image, 'goal_image', LATCHED).publish(picture([-1.0, 1.0]))
    graph.wait_for(lambda: len(proposals) > 6, 10, 'proposals')
    before, after = proposals[-2:]
    elapsed = to_nanoseconds(after.header.stamp) - to_nanoseconds(before.header.stamp)
    steps = elapsed / 1e9 / before.step_duration
    rows = from_tensor(before.values)
    row, share = int(steps), steps - int(steps)
    expected = (1 - share) * rows[row] + share * rows[row + 1]
    np.testing.assert_allclose(from_tensor(after.values)[0], expected, atol=1e-5)


@pytest.mark.parametrize('fault, reason', [
    ({'width': 16, 'height': 16, 'step': 48, 'data': array.array('B', bytes(768))}, '16x16'),
    ({'encoding': 'yuv999'}, 'yuv999'),
    ({'width': 0, 'height': 0, 'step': 0, 'data': array.array('B')}, 'empty'),
    ({'data': array.array('B', bytes(100))}, 'cut short'),
])
def test_a_goal_picture_that_is_no_camera_picture_is_refused_with_the_reason(
    graph: Graph, robot: Robot, fault: dict[str, Any], reason: str,
) -> None:
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    graph.publisher(Image, 'goal_image', LATCHED).publish(picture([1.3, -1.1]))
    graph.wait_for(lambda: len(proposals) > 2, 10, 'proposals for a goal picture')
    pursued = proposals[-1].goal_id
    goal = ReachGoal.Goal(image=picture([0.3, 0.3]))
    for field, value in fault.items():
        setattr(goal.image, field, value)
    result = outcome(graph, reach(graph, goal))
    assert result.status == GoalStatus.STATUS_ABORTED
    assert reason in result.result.reason
    health = graph.diagnostics()
    graph.wait_for(lambda: reason in getattr(health('world_model: goal'), 'message', ''), 10,
                   'the reason in /diagnostics')
    del proposals[:]
    graph.wait_for(lambda: len(proposals) > 2, 10, 'proposals behind the refusal')
    assert {proposal.goal_id for proposal in proposals} == {pursued}, 'a bad goal changes nothing'


def test_a_publisher_of_goals_that_is_not_latched_is_told_what_it_lacks(graph: Graph) -> None:
    health = graph.diagnostics()
    publisher = graph.publisher(Image, 'goal_image', RELIABLE)
    graph.wait_for(lambda: 'offers too little (DURABILITY)' in getattr(
        health('world_model: goal'), 'message', ''), 10, 'what is wrong with it')
    graph.node.destroy_publisher(publisher)


def test_reach_goal_succeeds_once_the_robot_is_there_and_then_proposes_no_more(
    graph: Graph, robot: Robot,
) -> None:
    feedback: list[Any] = []
    handle = reach(graph, ReachGoal.Goal(image=picture([0.2, 0.1]), tolerance=0.05), feedback)
    graph.wait_for(lambda: any(f.distance > 0.1 for f in feedback), 10, 'feedback')
    robot.position = np.array([0.2, 0.1])
    result = outcome(graph, handle)
    assert result.status == GoalStatus.STATUS_SUCCEEDED
    assert result.result.reached and result.result.distance <= 0.05
    health = graph.diagnostics()
    graph.wait_for(lambda: 'no goal' in getattr(health('world_model: goal'), 'message', ''), 10,
                   'the goal to be given up')


def test_reach_goal_takes_a_latent_ends_on_request_and_at_its_time_limit(
    graph: Graph, robot: Robot,
) -> None:
    latent = to_tensor(np.array([1.0, 1.0]))
    handle = reach(graph, ReachGoal.Goal(latent=latent))
    graph.wait_for(handle.cancel_goal_async().done, 10, 'the cancel request')
    assert outcome(graph, handle).status == GoalStatus.STATUS_CANCELED
    late = outcome(graph, reach(graph, ReachGoal.Goal(latent=latent, time_limit=0.3)))
    assert late.status == GoalStatus.STATUS_ABORTED and 'time limit' in late.result.reason
    wrong = outcome(graph, reach(graph, ReachGoal.Goal(latent=to_tensor(np.ones(5)))))
    assert wrong.status == GoalStatus.STATUS_ABORTED and '2 finite' in wrong.result.reason


def test_a_newer_goal_ends_the_older_one_with_a_reason(graph: Graph, robot: Robot) -> None:
    first = reach(graph, ReachGoal.Goal(image=picture([1.0, 0.0])))
    second = reach(graph, ReachGoal.Goal(image=picture([0.0, 1.0])))
    assert 'newer goal' in outcome(graph, first).result.reason
    graph.publisher(Image, 'goal_image', LATCHED).publish(picture([0.4, 0.4]))
    assert 'newer goal' in outcome(graph, second).result.reason


def _old(message: Any) -> None:
    message.header.stamp = to_stamp(to_nanoseconds(message.header.stamp) - 10 * 10**9)


@pytest.mark.parametrize('part, spoil, counter, text', [
    ('image', lambda m: setattr(m, 'encoding', 'nonsense'), 'images_refused', 'nonsense'),
    ('image', lambda m: setattr(m, 'step', 5), 'images_refused', 'step'),
    ('image', _old, 'stale', 'old'),
    ('joints', _old, 'unpaired', 'joint_states'),
    ('joints', lambda m: setattr(m, 'name', ['a', 'b', 'c']), 'joint_states_of_others',
     'come of "a", "b", "c" alone'),
    ('joints', lambda m: setattr(m, 'name', ['a', 'b', JOINTS[0]]), 'joint_states_refused',
     'lacks'),
    ('joints', lambda m: setattr(m, 'position', [float('nan')] * 3), 'joint_states_refused',
     'finite'),
    ('joints', lambda m: setattr(m, 'velocity', []), 'joint_states_refused', 'velocity'),
])
def test_a_bad_observation_is_counted_explained_and_never_encoded(
    graph: Graph, robot: Robot, part: str, spoil: Any, counter: str, text: str,
) -> None:
    health = graph.diagnostics()

    def count(name: str) -> int:
        return int(values(health('world_model: observation')).get(name, -1))

    graph.wait_for(lambda: count('frames_encoded') >= 0, 5, 'diagnostics')
    before = count(counter)
    setattr(robot, f'spoil_{part}', spoil)
    graph.wait_for(lambda: count(counter) > before + 5, 5, f'{counter} to grow')
    assert text in health('world_model: observation').message
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    setattr(robot, f'spoil_{part}', lambda message: None)
    sound_from = len(robot.stamps)
    graph.wait_for(lambda: bool(latents), 5, 'latents again')
    assert to_nanoseconds(latents[0].header.stamp) in robot.stamps[sound_from:]


def test_it_walks_its_lifecycle_and_says_why_it_cannot(tmp_path: Path) -> None:
    with Graph(tmp_path) as graph:
        process = graph.spawn('world_model', parameters={'bundle': str(tmp_path / 'nowhere')})
        graph.wait_until('world_model', 'unconfigured')
        health = graph.diagnostics()
        assert not graph.transition('world_model', Transition.TRANSITION_CONFIGURE)
        graph.wait_for(
            lambda: 'nowhere' in getattr(health('world_model: lifecycle'), 'message', ''),
            5, 'the reason in /diagnostics')
        assert graph.end(process) == 0


def test_it_can_be_deactivated_and_activated_again(graph: Graph, robot: Robot) -> None:
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
                       Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        assert graph.transition('world_model', transition)
    stamp = graph.now()
    graph.wait_for(lambda: any(to_nanoseconds(m.header.stamp) > stamp for m in latents), 10,
                   'latents after reactivation')


def test_a_plan_that_was_given_up_is_not_continued_after_a_pause(graph: Graph) -> None:
    robot = Robot(graph)
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    with graph.every(0.05, robot.publish):
        reach(graph, ReachGoal.Goal(image=picture([1.5, -1.5])))
        graph.wait_for(lambda: len(proposals) > 6, 10, 'proposals')
    assert np.abs(from_tensor(proposals[-1].values)[0]).max() > 0.5  # on the way
    # No image for a second: the controller has long begun to brake.
    graph.listen_for(1.0)
    del proposals[:]
    with graph.every(0.05, robot.publish):
        graph.wait_for(lambda: bool(proposals), 10, 'a proposal after the pause')
    np.testing.assert_allclose(from_tensor(proposals[0].values)[0], 0.0, atol=1e-6)
