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
"""Emergency stop and heartbeat on the wire: who stops the robot, and who may let it go on."""

import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from controller_robot import (
    JOINTS,
    Robot,
    assert_commands_are_continuous,
    assert_limits_held,
    parameters_of,
    seconds,
)
from dds import LATCHED, Graph, values
from lifecycle_msgs.msg import Transition
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from toy_bundle import write_toy_bundle
from world_model_robot import picture

from world_model_interfaces.msg import ActionProposal, ControllerState, Heartbeat
from world_model_interfaces.srv import Reset, Stop
from world_model_ros.nodes.convert import to_stamp

Begin = Callable[..., tuple[Robot, Any]]


def call(robot: Robot, kind: type, name: str, reason: str) -> Any:
    graph = robot.graph
    client = graph.node.create_client(kind, name)
    graph.wait_for(client.service_is_ready, 10.0, f'service {name}')
    future = client.call_async(kind.Request(reason=reason))
    graph.wait_for(future.done, 10.0, f'the answer of {name}')
    graph.node.destroy_client(client)
    return future.result()


def stop(robot: Robot, reason: str) -> Any:
    return call(robot, Stop, 'controller/stop', reason)


def reset(robot: Robot, reason: str) -> Any:
    return call(robot, Reset, 'controller/reset', reason)


def test_a_stop_is_latched_in_every_state_of_the_lifecycle_until_a_reset(begin: Begin) -> None:
    robot, process = begin(active=False, autostart=False)
    graph = robot.graph
    assert stop(robot, 'a hand in the cell').success  # nothing is configured yet
    graph.wait_for(
        lambda: 'a hand in the cell' in getattr(
            robot.diagnostic('controller: emergency_stop'), 'message', ''),
        5.0, 'the stop in /diagnostics',
    )  # fmt: skip
    assert robot.diagnostic('controller: emergency_stop').level == b'\2'
    answer = reset(robot, 'all clear')
    assert not answer.success and 'configure the controller first' in answer.message

    assert graph.transition('controller', Transition.TRANSITION_CONFIGURE)
    stop(robot, 'again')
    graph.wait_for(lambda: bool(robot.states), 5.0, 'a state although it is inactive')
    assert robot.states[-1].stopped and robot.states[-1].stop_reason == 'a hand in the cell'
    assert graph.transition('controller', Transition.TRANSITION_ACTIVATE)
    robot.wait_for_rung(ControllerState.HOLD, 'emergency stop: a hand in the cell')
    robot.wait_for_count('refused_not_ready')
    assert not any(any(command.data) for command in robot.velocities), 'nothing moved'

    answer = reset(robot, '  ')
    assert not answer.success and 'give a reason' in answer.message
    # Joint states have only just begun to come: until they have settled, a reset is refused.
    graph.wait_for(
        lambda: reset(robot, 'the hand is gone, says A. Person').success, 5.0, 'the reset')
    robot.wait_for_rung(ControllerState.HOLD, 'set the goal again')
    assert not robot.states[-1].stopped
    robot.wait_for_count('refused_old_goal')
    assert not any(any(command.data) for command in robot.velocities), 'a reset moves nothing'
    robot.goal = 'second'
    robot.wait_for_rung(ControllerState.TRACK)
    graph.wait_for(
        lambda: robot.diagnostic('controller: emergency_stop').level == b'\0', 3.0, 'OK again')

    # In motion: it brakes inside the limits, and a stop outlives cleanup and configuration.
    graph.wait_for(lambda: max(robot.states[-1].velocity) > 0.9, 5.0, 'motion')
    client = graph.node.create_client(Stop, 'controller/stop')
    graph.wait_for(client.service_is_ready, 10.0, 'the service of the stop')
    since, asked = len(robot.states), graph.now() * 1e-9
    client.call_async(Stop.Request(reason='smoke'))
    robot.wait_for_rung(ControllerState.HOLD, 'smoke')
    graph.node.destroy_client(client)
    braking = next(state for state in robot.states if state.stop_reason == 'smoke')
    assert braking.rung == ControllerState.DECELERATE
    stamps = [seconds(state.header.stamp) for state in robot.states[since - 1:]]
    pause = max(np.diff(stamps))  # of the machine, that is, if it is more than a tick
    assert seconds(braking.header.stamp) - asked < 0.2 + pause
    for transition in (
        Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE,
    ):  # fmt: skip
        assert graph.transition('controller', transition)
    robot.wait_for_rung(ControllerState.HOLD, 'smoke')
    assert_limits_held(robot.states)
    assert_commands_are_continuous(robot)

    # The process dies, and whoever starts it again gets a robot that is still stopped.
    for with_signal in (signal.SIGKILL, signal.SIGTERM):
        graph.end(process, with_signal)
        since = len(robot.velocities)
        process = graph.spawn('controller', parameters=parameters_of())
        graph.wait_until_active('controller')
        held = robot.wait_for_rung(ControllerState.HOLD, 'smoke (since ')
        assert held.stopped and 'before this process began' in held.stop_reason
        assert not any(any(command.data) for command in robot.velocities[since:])
    graph.wait_for(lambda: reset(robot, 'no smoke, says A. Person').success, 5.0, 'the reset')
    assert not list((graph.directory / 'ros_home' / 'world_model_ros').iterdir())
    assert graph.end(process) == 0


def test_a_simulation_that_is_reset_after_a_stop_passes_the_time_of_the_stop_as_any_other(
    begin: Begin,
) -> None:
    robot, process = begin(active=False, use_sim_time=True)
    graph = robot.graph
    clock = graph.publisher(Clock, '/clock')
    start = graph.now() - 10**12
    robot.now = lambda: graph.now() - start
    with graph.every(0.005, lambda: clock.publish(Clock(clock=to_stamp(robot.now())))):
        graph.wait_until_active('controller')
        robot.wait_for_rung(ControllerState.TRACK)
        assert stop(robot, 'a hand in the cell').success
        stopped = robot.now()
        robot.wait_for_rung(ControllerState.HOLD, 'a hand in the cell')
        start += 2 * 10**9
        since = len(robot.states)
        graph.wait_for(lambda: robot.now() > stopped + 10**8, 10.0, 'the time of the stop')
        assert graph.end(process) == 0
    stamps = [seconds(state.header.stamp) for state in robot.states[since - 1:]]
    steps = [after - before for before, after in pairwise(stamps)]
    assert min(steps) < -1.0, 'back once'
    assert max(steps) < 0.5, 'and never ahead'


def test_a_reset_without_a_stop_says_that_there_was_none(begin: Begin) -> None:
    robot, process = begin()
    robot.wait_for_rung(ControllerState.TRACK)
    robot.wanted = None
    robot.wait_for_rung(ControllerState.HOLD)
    robot.graph.wait_for(
        lambda: 'without a stop; the next plan' in reset(robot, 'just to be sure').message, 5.0,
        'the reset')
    robot.wanted = np.array([0.5, 0.5])  # for the same goal
    robot.wait_for_rung(ControllerState.TRACK)
    assert robot.graph.end(process) == 0


def test_a_controller_that_is_started_again_while_stopped_knows_the_goal_of_before(
    begin: Begin,
) -> None:
    robot, process = begin(idle=True)
    graph, wanted = robot.graph, np.array([1.0, -0.5])
    robot.goal, robot.wanted = 'picture.18c0', wanted
    robot.wait_for_rung(ControllerState.TRACK)
    assert stop(robot, 'smoke').success
    robot.wanted = None
    robot.wait_for_rung(ControllerState.HOLD, 'smoke')  # or the next one would have to brake it
    graph.end(process, signal.SIGKILL)
    process = graph.spawn('controller', parameters=parameters_of())
    graph.wait_until_active('controller')
    since = len(robot.velocities)  # with what the killed one had still on the way
    graph.wait_for(lambda: reset(robot, 'no smoke, says A. Person').success, 5.0, 'the reset')
    # The model comes later, was started again as well, and finds the goal still asked for.
    robot.goal, robot.wanted = 'picture', wanted
    robot.wait_for_count('refused_old_goal')
    assert not any(any(command.data) for command in robot.velocities[since:])
    robot.goal = 'picture.18c1'
    robot.wait_for_rung(ControllerState.TRACK)
    assert graph.end(process) == 0


def test_a_model_that_is_started_again_after_a_second_stop_moves_nothing(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / 'toy')
    with Graph(tmp_path) as graph:
        robot = Robot(graph)
        robot.wanted = None
        images = graph.publisher(Image, 'image', qos_profile_sensor_data)
        goals = graph.publisher(Image, 'goal_image', LATCHED)
        proposals = graph.listen(ActionProposal, 'world_model/proposal')

        def move() -> None:
            velocity = list(robot.velocities[-1].data) if robot.velocities else [0.0, 0.0]
            robot.position = robot.position + 0.01 * np.array(velocity)
            state = JointState(name=JOINTS, position=robot.position.tolist(), velocity=velocity)
            state.header.stamp = to_stamp(graph.now())
            robot.joint_states.publish(state)

        def look() -> None:
            image = picture(robot.position)
            image.header.stamp = to_stamp(graph.now())
            images.publish(image)

        def start_model() -> Any:
            del proposals[:]
            process = graph.spawn(
                'world_model', remap={'controller_state': 'controller/state'}, parameters={
                    'autostart': True, 'bundle': str(bundle.path), 'plan_deadline': 0.03})
            graph.wait_until_active('world_model')
            return process

        def end_stop() -> None:
            graph.wait_for(lambda: reset(robot, 'safe, says A. Person').success, 5.0, 'the reset')

        with graph.every(0.01, move), graph.every(0.05, look):
            controller = graph.spawn('controller', parameters=parameters_of(), remap={
                it: f'world_model/{it}' for it in ('proposal', 'heartbeat', 'model_info')})
            graph.wait_until_active('controller')
            model = start_model()
            graph.wait_for(
                lambda: float(values(robot.diagnostic('world_model: planning')).get(
                    'controller_state_rate_hz', '0')) > 0.0, 10.0, 'the model to hear of stops')
            stop(robot, 'smoke')
            robot.wait_for_rung(ControllerState.HOLD, 'smoke')
            end_stop()
            goals.publish(picture([2.0, -2.0]))
            robot.wait_for_rung(ControllerState.TRACK)
            graph.wait_for(lambda: bool(proposals), 5.0, 'what the controller has heard already')
            shown, _, asked = proposals[-1].goal_id.partition('.')
            assert asked, 'the model has heard of the first stop'
            stop(robot, 'smoke again')
            robot.wait_for_rung(ControllerState.HOLD, 'smoke again')
            graph.end(model, signal.SIGKILL)
            end_stop()
            since = len(robot.velocities)
            model = start_model()
            graph.wait_for(lambda: bool(proposals), 10.0, 'proposals for the picture that is there')
            robot.wait_for_count('refused_old_goal')
            assert proposals[-1].goal_id == shown, 'it has heard of none'
            assert not any(any(command.data) for command in robot.velocities[since:])
            goals.publish(picture([-1.0, 1.0]))
            robot.wait_for_rung(ControllerState.TRACK)
            assert graph.end(model) == 0 and graph.end(controller) == 0


def test_a_goal_that_ends_a_model_that_fails_and_one_that_dies_are_told_apart(
    begin: Begin,
) -> None:
    robot, process = begin(late_after=2.0)
    robot.activity = Heartbeat.PLANNING
    robot.wait_for_rung(ControllerState.TRACK)
    robot.graph.wait_for(lambda: max(robot.states[-1].velocity) > 0.9, 5.0, 'motion')

    robot.activity = Heartbeat.FAILED  # while plans with two seconds to go still come
    robot.wait_for_cause('the model failed: says the test')
    robot.wait_for_rung(ControllerState.HOLD, 'the model failed')
    robot.wait_for_count('refused_not_ready')
    assert robot.diagnostic('controller: model').level == b'\2'

    robot.activity = Heartbeat.PLANNING
    robot.wait_for_rung(ControllerState.TRACK)
    robot.wanted, robot.activity = None, Heartbeat.IDLE
    held = robot.wait_for_rung(ControllerState.HOLD, 'the model has no goal (says the test)')
    assert not np.any(held.velocity)
    robot.graph.wait_for(
        lambda: values(robot.diagnostic('controller: ladder')).get('cause') == 'model_idle',
        2.0, 'an end that is no fault',
    )  # fmt: skip
    assert robot.diagnostic('controller: ladder').level == b'\0'

    robot.activity = Heartbeat.BLIND
    robot.wait_for_rung(ControllerState.HOLD, 'lacks usable observations')
    robot.activity = None
    robot.wait_for_rung(ControllerState.HOLD, 'has gone silent')
    robot.graph.wait_for(
        lambda: int(values(robot.diagnostic('controller: model'))['heartbeat_deadlines_missed'])
        > 0, 3.0, 'missed deadlines',
    )  # fmt: skip
    robot.graph.wait_for(
        lambda: 'gone silent' in robot.diagnostic('controller: model').message,
        3.0, 'the silence in /diagnostics',
    )  # fmt: skip
    robot.activity, robot.digest = Heartbeat.PLANNING, 'b' * 64
    robot.graph.wait_for(
        lambda: int(values(robot.diagnostic('controller: model'))['heartbeat_refused_digest']) > 10,
        5.0, "another model's heartbeats",
    )  # fmt: skip
    assert 'gone silent' in robot.diagnostic('controller: model').message, 'that is not the one'
    assert robot.diagnostic('controller: model').level == b'\1'
    assert robot.graph.end(process) == 0
    assert_limits_held(robot.states)
