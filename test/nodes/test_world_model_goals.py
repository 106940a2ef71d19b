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

"""Goals of every kind, one after the other, and those that are out of reach; and who reports."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from dds import LATCHED, Graph, values
from lifecycle_msgs.msg import Transition
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from small_models import JOINTS as SMALL_JOINTS
from small_models import KINDS, write_small_bundle
from toy_bundle import JOINTS, write_toy_bundle
from world_model_robot import Robot, outcome, picture, reach, running, small_picture

from world_model_interfaces.action import ReachGoal
from world_model_interfaces.msg import ActionProposal, ControllerState, Latent
from world_model_ros.nodes.convert import from_tensor, to_stamp, to_tensor

REACHABLE = 0.3


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    folder = tmp_path_factory.mktemp('goals')
    bundle = write_toy_bundle(
        folder / 'toy', lambda manifest: manifest['goal'].update(reachable=REACHABLE))
    with running(folder, bundle, plan_deadline=0.03) as graph:
        yield graph


def test_a_goal_that_no_plan_comes_near_is_given_up_with_the_reason(
    graph: Graph, robot: Robot,
) -> None:
    health = graph.diagnostics()
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    # A robot that moves at most 1.5 rad/s has no 2.4 rad to go in a horizon twice over.
    result = outcome(graph, reach(graph, ReachGoal.Goal(latent=to_tensor(np.array([9.0, 9.0])))))
    assert result.status == GoalStatus.STATUS_ABORTED and not result.result.reached
    assert 'out of reach' in result.result.reason and f'{REACHABLE:g}' in result.result.reason
    assert proposals
    graph.wait_for(lambda: 'out of reach' in getattr(health('world_model: goal'), 'message', ''),
                   5, 'the reason in /diagnostics')
    del proposals[:]
    first = len(robot.stamps)
    graph.wait_for(lambda: len(robot.stamps) > first + 10, 5, 'half a second')
    assert not proposals, 'what cannot be reached is not approached'


def test_a_goal_is_not_reached_on_one_sight_of_it_by_a_camera_that_dies_in_passing(
    graph: Graph,
) -> None:
    robot = Robot(graph)
    feedback: list[Any] = []
    with graph.every(0.05, robot.publish):
        handle = reach(graph, ReachGoal.Goal(image=picture([0.3, -0.2]), tolerance=0.05), feedback)
        graph.wait_for(lambda: any(it.distance > 0.1 for it in feedback), 10, 'feedback')
    graph.listen_for(0.3)  # so that a plan is due
    end = handle.get_result_async()
    robot.position = np.array([0.3, -0.2])
    robot.publish()
    graph.wait_for(lambda: feedback[-1].distance <= 0.05, 5, 'the distance of that picture')
    graph.listen_for(1.0)
    assert not end.done(), 'nobody knows where the robot is'
    with graph.every(0.05, robot.publish):
        graph.wait_for(end.done, 10, 'the result')
    assert end.result().status == GoalStatus.STATUS_SUCCEEDED


def test_a_goal_in_reach_is_not_given_up_however_long_it_takes(
    graph: Graph, robot: Robot,
) -> None:
    goal = ReachGoal.Goal(image=picture([0.6, -0.4]), time_limit=3.0)
    result = outcome(graph, reach(graph, goal))
    assert 'time limit' in result.result.reason


def test_sub_goals_are_passed_by_distance_and_only_the_last_one_counts(
    graph: Graph, robot: Robot,
) -> None:
    feedback: list[Any] = []
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    handle = reach(graph, ReachGoal.Goal(
        via_images=[picture([0.5, 0.0]), picture([0.5, 0.5])], via_tolerance=0.1,
        image=picture([0.0, 0.5]), tolerance=0.05), feedback)
    graph.wait_for(lambda: len(proposals) > 20, 10, 'two seconds of plans')
    # Time plays no part: the robot has not moved, so the first one is still ahead.
    assert {it.sub_goals_left for it in feedback} == {2}
    assert len({it.goal_id for it in proposals}) == 1
    for position, left in (([0.45, 0.05], 1), ([0.48, 0.46], 0)):
        robot.position = np.array(position)
        graph.wait_for(lambda left=left: feedback[-1].sub_goals_left == left, 10,
                       f'{left} sub-goals left')
    graph.wait_for(lambda: len({it.goal_id for it in proposals}) == 3, 10, 'plans for the goal')
    robot.position = np.array([0.0, 0.5])
    result = outcome(graph, handle)
    assert result.status == GoalStatus.STATUS_SUCCEEDED and result.result.distance <= 0.05


@pytest.mark.parametrize('change, reason', [
    ({'joints': JointState(name=[JOINTS[0]], position=[0.5])}, 'integrate_joints'),
    ({'latent': to_tensor(np.ones(2)), 'joints': JointState(name=['a'])}, 'one of them empty'),
    ({'via_images': [picture([0.1, 0.1])], 'via_latents': [to_tensor(np.ones(2))]}, 'via_latents'),
    ({'via_images': [Image()]}, 'encoding'),
    ({'via_latents': [to_tensor(np.ones(2))] * 65}, '64 are the most'),
    ({'via_tolerance': -1.0}, 'via_tolerance'),
])
def test_a_goal_that_makes_no_sense_is_refused_with_the_reason(
    graph: Graph, robot: Robot, change: dict[str, Any], reason: str,
) -> None:
    goal = ReachGoal.Goal(**{'image': picture([0.3, 0.3]), **change})
    result = outcome(graph, reach(graph, goal))
    assert result.status == GoalStatus.STATUS_ABORTED and reason in result.result.reason


def test_who_reports_is_told_and_a_report_of_other_joints_is_named(
    graph: Graph, robot: Robot,
) -> None:
    health = graph.diagnostics()

    def source() -> str:
        return values(health('world_model: planning')).get('latency_from', '')

    def said() -> str:
        return getattr(health('world_model: planning'), 'message', '')

    handle = reach(graph, ReachGoal.Goal(image=picture([0.6, -0.4])))
    graph.wait_for(lambda: source() == 'expected_latency', 10, 'nobody to report')
    states = graph.publisher(ControllerState, 'controller_state')
    names = list(JOINTS)

    def report() -> None:
        state = ControllerState(names=names, position=[0.0, 0.0], velocity=[0.0, 0.0])
        state.header.stamp = to_stamp(graph.now())
        states.publish(state)

    with graph.every(0.01, report):
        graph.wait_for(lambda: source() == 'controller_state', 10, 'the controller to be heard')
        names[:] = ['left_wheel', 'right_wheel']
        graph.wait_for(lambda: 'does not drive "shoulder"' in said(), 10, 'the wrong controller')
    graph.wait_for(handle.cancel_goal_async().done, 10, 'the cancel request')
    assert outcome(graph, handle).status == GoalStatus.STATUS_CANCELED


def test_a_goal_that_was_cancelled_before_the_camera_showed_anything_moves_nothing(
    graph: Graph,
) -> None:
    robot = Robot(graph)
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    first = reach(graph, ReachGoal.Goal(image=picture([0.5, 0.5])))
    second = reach(graph, ReachGoal.Goal(image=picture([-0.5, 0.5])))
    assert 'newer goal' in outcome(graph, first).result.reason
    graph.wait_for(second.cancel_goal_async().done, 10, 'the cancel request')
    assert outcome(graph, second).status == GoalStatus.STATUS_CANCELED
    with graph.every(0.05, robot.publish):
        graph.wait_for(lambda: len(latents) > 10, 10, 'half a second of latents')
    assert not proposals


def test_a_stop_ends_the_goal_and_nothing_moves_until_one_is_set_after_the_reset(
    graph: Graph, robot: Robot,
) -> None:
    state = ControllerState(names=list(JOINTS), position=[0.0] * 2, velocity=[0.0] * 2)
    states = graph.publisher(ControllerState, 'controller_state')
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    goals, health = graph.publisher(Image, 'goal_image', LATCHED), graph.diagnostics()
    said = 'the robot was stopped: a person came; set the goal again after ~/reset'

    def report() -> None:
        state.header.stamp = to_stamp(graph.now())
        states.publish(state)

    def nothing_is_proposed_for_half_a_second() -> None:
        first = len(latents)
        graph.wait_for(lambda: len(latents) > first + 2, 10, 'latents')
        del proposals[:]
        graph.wait_for(lambda: len(latents) > first + 12, 10, 'half a second of latents')
        assert not proposals

    with graph.every(0.01, report):
        handle = reach(graph, ReachGoal.Goal(image=picture([0.6, -0.4])))
        graph.wait_for(lambda: bool(proposals), 10, 'proposals')
        state.stopped, state.stop_reason = True, 'a person came'
        result = outcome(graph, handle)
        assert result.status == GoalStatus.STATUS_ABORTED and result.result.reason == said
        graph.wait_for(lambda: getattr(health('world_model: goal'), 'message', '') == said, 5,
                       'the reason in /diagnostics')
        # What is asked for while it is stopped is refused, and not kept for later.
        refused = int(values(health('world_model: observation'))['goals_refused'])
        assert outcome(graph, reach(graph, ReachGoal.Goal(image=picture([0.6, -0.4])))
                       ).result.reason == said
        goals.publish(picture([0.6, -0.4]))
        graph.wait_for(lambda: int(values(health('world_model: observation'))['goals_refused'])
                       >= refused + 2, 5, 'both refusals in /diagnostics')
        state.stopped, state.stop_reason = False, ''
        nothing_is_proposed_for_half_a_second()
        # Its publisher still holds the picture, and hands it to each new subscription.
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
                           Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            assert graph.transition('world_model', transition)
        nothing_is_proposed_for_half_a_second()
        ids = []
        for reason in ('once more', 'and again'):
            # Until the subscription is old enough, it might be the picture that is latched.
            with graph.every(0.2, lambda: goals.publish(picture([0.6, -0.4]))):
                graph.wait_for(lambda: bool(proposals), 10, 'proposals for the same picture')
            ids.append(proposals[-1].goal_id)
            state.stopped, state.stop_reason = True, reason
            graph.wait_for(lambda reason=reason: reason in getattr(
                health('world_model: goal'), 'message', ''), 5, 'the stop to be heard')
            state.stopped = False
            nothing_is_proposed_for_half_a_second()
        assert ids[0] != ids[1], 'the same picture after a stop is another goal'
        shown, asked = zip(*(it.split('.') for it in ids), strict=True)
        assert shown[0] == shown[1] and int(asked[0], 16) < int(asked[1], 16) < graph.now()


def test_a_joint_target_is_planned_toward_and_reached(tmp_path: Path) -> None:
    kind = KINDS['markov rollout, joints integrated']
    bundle = write_small_bundle(tmp_path / 'bundle', kind)
    with Graph(tmp_path) as graph:
        process = graph.spawn('world_model', parameters={
            'autostart': True, 'bundle': str(bundle.path), 'plan_deadline': 0.08})
        graph.wait_until_active('world_model')
        proposals = graph.listen(ActionProposal, 'world_model/proposal')
        images = graph.publisher(Image, 'image', qos_profile_sensor_data)
        joints = graph.publisher(JointState, 'joint_states', qos_profile_sensor_data)
        position = dict.fromkeys(SMALL_JOINTS, 0.0)
        action = bundle.manifest.action
        target = 0.4 * action.step_duration * kind.rows

        def publish() -> None:
            image = small_picture(100)
            state = JointState(name=list(position), position=list(position.values()),
                               velocity=[0.0] * len(position))
            image.header.stamp = state.header.stamp = to_stamp(graph.now())
            joints.publish(state)
            images.publish(image)

        with graph.every(0.05, publish):
            handle = reach(graph, ReachGoal.Goal(
                joints=JointState(name=['a'], position=[target]), tolerance=0.01))
            graph.wait_for(lambda: len(proposals) > 5, 10, 'proposals')
            plan = proposals[-1]
            moved = from_tensor(plan.values)[:, plan.names.index('a')].sum() * plan.step_duration
            assert plan.goal_distance == pytest.approx(target, rel=1e-3)
            assert abs(moved - target) < 0.3 * target
            position['a'] = target
            result = outcome(graph, handle)
            assert result.status == GoalStatus.STATUS_SUCCEEDED
            feedback: list[Any] = []
            end = reach(graph, ReachGoal.Goal(
                joints=JointState(name=['a'], position=[-target])), feedback).get_result_async()
            graph.wait_for(lambda: len(feedback) > 3, 10, 'feedback')
            assert graph.transition('world_model', Transition.TRANSITION_ACTIVE_SHUTDOWN)
            graph.wait_for(end.done, 10, 'the result of a goal that a shutdown ends')
            assert end.result().result.reason == 'the world model was deactivated'
        assert graph.end(process) == 0
