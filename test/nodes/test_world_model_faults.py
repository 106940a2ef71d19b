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

"""What the world model says and does when its model, its camera or its clock fails."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dds import LATCHED, RELIABLE, Graph, values
from faulty_toy import RACING, hanging_image, nan_image, write_faulty_bundle
from lifecycle_msgs.msg import Transition
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from toy_bundle import write_toy_bundle
from world_model_robot import Pulse, Robot, picture, reach, running, show, sound

from world_model_interfaces.action import ReachGoal
from world_model_interfaces.msg import ActionProposal, Heartbeat, Latent
from world_model_ros.nodes.convert import to_nanoseconds, to_stamp

HUNG_AFTER = 0.3
PARAMETERS = {'autostart': True, 'hung_after': HUNG_AFTER, 'plan_deadline': 0.03}


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    folder = tmp_path_factory.mktemp('world_model_faults')
    bundle = write_faulty_bundle(folder / 'toy')
    with running(folder, bundle, **PARAMETERS) as graph:
        yield graph


def test_the_heart_beats_twenty_times_a_second_and_tells_idle_from_planning(
    graph: Graph, robot: Robot, pulse: Pulse,
) -> None:
    assert 'no goal' in pulse.wait_for(Heartbeat.IDLE).text
    graph.publisher(Image, 'goal_image', LATCHED).publish(picture([0.6, -0.4]))
    assert 'goal' in pulse.wait_for(Heartbeat.PLANNING).text
    first = len(pulse.beats)
    graph.wait_for(lambda: len(pulse.beats) >= first + 40, 10, 'forty beats')
    stamps = np.array([to_nanoseconds(beat.header.stamp) for beat in pulse.beats[-40:]]) / 1e9
    assert np.median(np.diff(stamps)) == pytest.approx(0.05, abs=0.01)


def test_a_hung_model_is_reported_within_hung_after_and_lets_go_of_the_node(
    graph: Graph, robot: Robot, pulse: Pulse,
) -> None:
    pulse.wait_for(Heartbeat.PLANNING)
    health = graph.diagnostics()
    robot.spoil_image = show(hanging_image([0.0, 0.0]))
    hung_from = graph.now()
    beat = pulse.wait_for(Heartbeat.FAILED, 'hung', within=5)
    assert 'encoding an image' in beat.text and 'load_model' in beat.text
    # A test beside other work: what is said of the node is that it tells at once, not in seconds.
    assert (to_nanoseconds(beat.header.stamp) - hung_from) / 1e9 < HUNG_AFTER + 1.0
    graph.wait_for(lambda: 'hung' in getattr(health('world_model: model'), 'message', ''), 5,
                   'the hung model in /diagnostics')
    started = graph.now()
    assert graph.transition('world_model', Transition.TRANSITION_DEACTIVATE)
    assert (graph.now() - started) / 1e9 < 2.0
    robot.spoil_image = sound
    assert graph.transition('world_model', Transition.TRANSITION_ACTIVATE)
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    graph.wait_for(lambda: len(latents) > 3, 10, 'latents of the same model')
    pulse.wait_for(Heartbeat.IDLE)


def test_latents_that_are_not_finite_are_a_failure_until_they_are_finite_again(
    graph: Graph, robot: Robot, pulse: Pulse,
) -> None:
    pulse.wait_for(Heartbeat.IDLE)
    robot.spoil_image = show(nan_image([0.0, 0.0]))
    pulse.wait_for(Heartbeat.FAILED, 'NaN')
    latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
    health = graph.diagnostics()
    graph.wait_for(lambda: int(values(health('world_model: observation')).get(
        'encodings_failed', 0)) > 3, 5, 'failed encodings to be counted')
    assert not [latent for latent in latents if not np.isfinite(latent.tensor.data).all()]
    robot.spoil_image = sound
    pulse.wait_for(Heartbeat.IDLE)


def test_an_unplugged_camera_makes_it_blind_and_is_named(
    graph: Graph, pulse: Pulse,
) -> None:
    robot = Robot(graph)
    with graph.every(0.05, robot.publish):
        pulse.wait_for(Heartbeat.IDLE)
    pulse.wait_for(Heartbeat.BLIND, 'no image')
    health = graph.diagnostics()
    graph.wait_for(lambda: 'no image' in getattr(
        health('world_model: observation'), 'message', ''), 5, 'the camera in /diagnostics')
    with graph.every(0.05, robot.publish):
        pulse.wait_for(Heartbeat.IDLE)


def test_a_camera_may_pause_and_stand_still_for_as_long_as_parameters_allow(
    tmp_path: Path,
) -> None:
    bundle = write_faulty_bundle(tmp_path / 'toy')
    with Graph(tmp_path) as graph:
        process = graph.spawn('world_model', parameters={
            **PARAMETERS, 'bundle': str(bundle.path), 'missed_images': 100,
            'frozen_camera_motion': 10.0})
        graph.wait_until_active('world_model')
        robot, pulse = Robot(graph), Pulse(graph)
        with graph.every(0.05, robot.publish):
            pulse.wait_for(Heartbeat.IDLE)
            robot.spoil_image = show(picture_pixels(robot))

            def move(joints: Any) -> None:
                robot.position = robot.position + np.array([0.02, 0.0])
                joints.velocity = [0.0, 0.0, 0.4]

            robot.spoil_joints = move
            latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
            beats = len(pulse.beats)
            graph.wait_for(lambda: len(latents) > 20, 10, 'latents of a picture that stands still')
        graph.wait_for(lambda: len(pulse.beats) > beats + 60, 10, 'two more without pictures')
        assert {beat.activity for beat in pulse.beats[beats:]} == {Heartbeat.IDLE}
        assert graph.end(process) == 0


def test_joint_states_that_stop_make_it_blind_and_are_named(
    graph: Graph, robot: Robot, pulse: Pulse,
) -> None:
    pulse.wait_for(Heartbeat.IDLE)
    robot.spoil_joints = lambda joints: setattr(joints, 'name', ['a', 'b', 'c'])
    pulse.wait_for(Heartbeat.BLIND, 'come of "a", "b", "c" alone')
    robot.spoil_joints = sound
    pulse.wait_for(Heartbeat.IDLE)


def test_a_frozen_camera_is_told_from_a_still_scene(
    graph: Graph, robot: Robot, pulse: Pulse,
) -> None:
    health = graph.diagnostics()

    def frozen() -> int:
        return int(values(health('world_model: observation')).get('frozen', -1))

    graph.wait_for(lambda: frozen() >= 0, 5, 'diagnostics')
    before, first = frozen(), len(robot.stamps)
    graph.wait_for(lambda: len(robot.stamps) > first + 30, 10, 'a still scene')
    pulse.wait_for(Heartbeat.IDLE)
    robot.spoil_joints = sound
    robot.position = np.array([0.5, 0.0])
    first = len(robot.stamps)
    graph.wait_for(lambda: len(robot.stamps) > first + 3, 10, 'the robot somewhere else')
    robot.spoil_image = show(picture_pixels(robot))
    robot.position = np.array([0.0, 0.0])  # joints that jump and report no speed are no evidence
    first = len(robot.stamps)
    graph.wait_for(lambda: len(robot.stamps) > first + 20, 10, 'a second')
    assert frozen() == before
    pulse.wait_for(Heartbeat.IDLE, within=1)

    def move(joints: Any) -> None:
        robot.position = np.minimum(robot.position + np.array([0.02, 0.0]), 0.4)
        joints.velocity = [0.0, 0.0, 0.4 if robot.position[0] < 0.4 else 0.0]

    robot.spoil_joints = move
    beat = pulse.wait_for(Heartbeat.BLIND, 'frozen')
    assert 'restart the camera' in beat.text
    graph.wait_for(lambda: frozen() > before, 5, 'frozen pictures to be counted')
    robot.spoil_joints = sound
    first = len(robot.stamps)
    graph.wait_for(lambda: len(robot.stamps) > first + 20, 10, 'a second')
    pulse.wait_for(Heartbeat.BLIND, 'frozen', within=1)
    robot.spoil_image = sound
    robot.position = np.array([0.1, 0.1])
    pulse.wait_for(Heartbeat.IDLE)


def picture_pixels(robot: Robot) -> Any:
    return np.frombuffer(picture(robot.position).data, np.uint8)


def test_stamps_that_stand_still_make_it_blind_and_are_named(
    graph: Graph, robot: Robot, pulse: Pulse,
) -> None:
    pulse.wait_for(Heartbeat.IDLE)
    stuck: list[Any] = []

    def stick(image: Image) -> None:
        stuck.append(image.header.stamp)
        image.header.stamp = stuck[0]

    robot.spoil_image = stick
    pulse.wait_for(Heartbeat.BLIND, 'stamps stand still', within=3)
    robot.spoil_image = sound
    pulse.wait_for(Heartbeat.IDLE)


def test_plans_that_are_not_finite_are_a_failure_and_nothing_is_proposed(
    graph: Graph, robot: Robot, pulse: Pulse,
) -> None:
    graph.publisher(Image, 'goal_image', LATCHED).publish(picture([0.6, -0.4]))
    pulse.wait_for(Heartbeat.PLANNING)
    robot.spoil_joints = lambda joints: setattr(joints, 'velocity', [0.0, 2 * RACING, 0.0])
    pulse.wait_for(Heartbeat.FAILED, 'NaN')
    proposals = graph.listen(ActionProposal, 'world_model/proposal')
    first = len(pulse.beats)
    graph.wait_for(lambda: len(pulse.beats) > first + 10, 5, 'half a second')
    assert not proposals
    health = graph.diagnostics()
    graph.wait_for(lambda: 'NaN' in getattr(health('world_model: planning'), 'message', ''), 5,
                   'the reason in /diagnostics')
    robot.spoil_joints = sound
    pulse.wait_for(Heartbeat.PLANNING)


def test_a_slow_plan_delays_neither_latents_nor_heartbeat_nor_services(tmp_path: Path) -> None:
    bundle = write_faulty_bundle(tmp_path / 'toy', slow_rollout=0.5)
    with Graph(tmp_path) as graph:
        process = graph.spawn('world_model', parameters={
            **PARAMETERS, 'bundle': str(bundle.path), 'hung_after': 5.0})
        graph.wait_until_active('world_model')
        robot, pulse = Robot(graph), Pulse(graph)
        latents = graph.listen(Latent, 'world_model/latent', qos_profile_sensor_data)
        proposals = graph.listen(ActionProposal, 'world_model/proposal')
        robot.spoil_joints = lambda joints: setattr(joints, 'velocity', [0.0, 0.0, 2 * RACING])
        seen: list[float] = []  # age of each latent when it arrives

        def note() -> None:
            while len(seen) < len(latents):
                stamp = to_nanoseconds(latents[len(seen)].header.stamp)
                seen.append((graph.now() - stamp) / 1e9)

        with graph.every(0.05, robot.publish), graph.every(0.002, note):
            graph.publisher(Image, 'goal_image', LATCHED).publish(picture([0.6, -0.4]))
            graph.wait_for(lambda: len(proposals) >= 4, 30, 'four slow plans')
            assert all(proposal.planning_time > 0.2 for proposal in proposals)
            del seen[:], latents[:], pulse.beats[:]
            graph.wait_for(lambda: len(latents) >= 60, 10, 'three seconds of latents')
            assert np.median(seen) < 0.15, 'of plans of half a second'
            assert len(pulse.beats) > 40
            graph.wait_until('world_model', 'active', within=2)
        assert graph.end(process) == 0


def test_a_signal_ends_a_process_whose_model_hangs(tmp_path: Path) -> None:
    bundle = write_faulty_bundle(tmp_path / 'toy')
    with Graph(tmp_path) as graph:
        process = graph.spawn('world_model', parameters={**PARAMETERS, 'bundle': str(bundle.path)})
        graph.wait_until_active('world_model')
        robot, pulse = Robot(graph), Pulse(graph)
        with graph.every(0.05, robot.publish):
            pulse.wait_for(Heartbeat.IDLE)
            robot.spoil_image = show(hanging_image([0.0, 0.0]))
            pulse.wait_for(Heartbeat.FAILED, 'hung')
            assert graph.end(process, signal.SIGTERM, within=5) == 0


ALL_STUCK = """
import sys, threading
from world_model_ros.nodes import worker, world_model

def never_come_back(self, box):
    threading.Event().wait()

worker.Worker._run = never_come_back
raise SystemExit(world_model.main(sys.argv))
"""


def test_a_signal_ends_a_process_all_threads_of_which_are_stuck_in_a_runtime(
    tmp_path: Path,
) -> None:
    bundle = write_toy_bundle(tmp_path / 'toy')
    with Graph(tmp_path) as graph:
        process = graph.start('stuck', [
            sys.executable, '-c', ALL_STUCK, '--ros-args', '-p', 'autostart:=true',
            '-p', f'bundle:={bundle.path}', '-p', f'shadow_bundle:={bundle.path}'])
        graph.wait_until_active('world_model')
        assert graph.end(process) == 0, 'what ended otherwise would be started again'
        left = 'does not let go of plan, observe, tell, surprise, shadow'
        assert left in graph.output(process) and 'Timeout' not in graph.output(process)


def test_time_of_a_simulation_may_pause_and_go_back(tmp_path: Path) -> None:
    bundle = write_faulty_bundle(tmp_path / 'toy')
    with Graph(tmp_path) as graph:
        process = graph.spawn('world_model', parameters={
            **PARAMETERS, 'bundle': str(bundle.path), 'use_sim_time': True})
        graph.wait_until_active('world_model')
        clock = graph.publisher(Clock, 'clock', RELIABLE)
        robot, pulse = Robot(graph), Pulse(graph)
        proposals = graph.listen(ActionProposal, 'world_model/proposal')
        time = [100 * 10**9]

        def tick() -> None:
            time[0] += 10**7
            clock.publish(Clock(clock=to_stamp(time[0])))

        def restamp(message: Any) -> None:
            message.header.stamp = to_stamp(time[0])

        robot.spoil_image = robot.spoil_joints = restamp
        goal = graph.publisher(Image, 'goal_image', LATCHED)
        with graph.every(0.01, tick), graph.every(0.05, robot.publish):
            goal.publish(picture([0.6, -0.4]))
            graph.wait_for(lambda: len(proposals) > 5, 10, 'proposals in simulated time')
        # Paused: no clock, no images. The node says so in steady time.
        pulse.wait_for(Heartbeat.BLIND)
        health = graph.diagnostics()
        graph.wait_for(lambda: health('world_model: observation') is not None, 5,
                       'diagnostics while time stands still')
        with graph.every(0.01, tick), graph.every(0.05, robot.publish):
            pulse.wait_for(Heartbeat.PLANNING)
            time[0] = 10 * 10**9  # the world is reset
            del proposals[:]
            graph.wait_for(lambda: len(proposals) > 5, 10, 'proposals after the jump')
            stamps = [to_nanoseconds(proposal.header.stamp) for proposal in proposals[2:]]
            assert max(stamps) < 50 * 10**9 and stamps == sorted(stamps)
            # The robot stands at 0.6 rad from its goal: nothing of the old plan is played on.
            assert proposals[-1].goal_distance == pytest.approx(np.hypot(0.6, 0.4), abs=0.02)
        assert graph.end(process) == 0


def test_what_contradicts_the_model_or_itself_is_refused_with_the_cure(tmp_path: Path) -> None:
    def heavy(manifest: dict[str, Any]) -> None:
        manifest['planner'].update(samples=20_000, memory=4096)

    sound_one = write_faulty_bundle(tmp_path / 'toy')
    slow_one = write_faulty_bundle(tmp_path / 'slow', heavy)
    with Graph(tmp_path) as graph:
        process = graph.spawn('world_model', parameters={'bundle': str(sound_one.path)})
        graph.wait_until('world_model', 'unconfigured')
        health = graph.diagnostics()
        for name, wrong, right, reason in (
            ('expected_latency', 1.6, 0.1, 'nothing would be left to decide'),
            ('precision', 'float7', 'auto', 'float7'),
            ('shadow_bundle', 'nowhere', '', 'nowhere'),
            ('plan_deadline', 0.001, 0.05, 'raise plan_deadline'),
        ):
            if name == 'plan_deadline':  # a plan of 20,000 sequences in a millisecond
                assert graph.set_parameter('world_model', 'bundle', str(slow_one.path)).successful
            assert graph.set_parameter('world_model', name, wrong).successful
            assert not graph.transition('world_model', Transition.TRANSITION_CONFIGURE)
            graph.wait_for(
                lambda reason=reason: reason in getattr(
                    health('world_model: lifecycle'), 'message', ''), 5, f'"{reason}"')
            assert graph.set_parameter('world_model', name, right).successful
        # The words of wmros check.
        assert 'Golden vectors' in graph.output(process)
        assert 'Verdict: unfit' in graph.output(process)
        assert graph.set_parameter('world_model', 'bundle', str(sound_one.path)).successful
        assert graph.transition('world_model', Transition.TRANSITION_CONFIGURE)
        assert graph.end(process) == 0


def test_what_a_model_was_loaded_with_cannot_change_under_it(graph: Graph) -> None:
    refused = graph.set_parameter('world_model', 'bundle', '/somewhere/else')
    assert not refused.successful and 'load_model' in refused.reason
    assert 'longer than the 0.1 s between plans' in graph.set_parameter(
        'world_model', 'plan_deadline', 0.5).reason
    assert graph.set_parameter('world_model', 'plan_deadline', 0.03).successful


def test_a_deadline_at_which_every_plan_would_count_as_a_hang_is_refused(graph: Graph) -> None:
    assert graph.set_parameter('world_model', 'plan_rate', 2.0).successful
    refused = graph.set_parameter('world_model', 'plan_deadline', HUNG_AFTER)
    assert 'hung_after 0.3 s' in refused.reason and 'raise hung_after to 0.375 s' in refused.reason
    assert not graph.set_parameter('world_model', 'plan_deadline', 0.9 * HUNG_AFTER).successful
    assert graph.set_parameter('world_model', 'plan_deadline', 0.7 * HUNG_AFTER).successful
    assert not graph.set_parameter('world_model', 'hung_after', 0.2).successful
    assert graph.set_parameter('world_model', 'plan_deadline', 0.03).successful
    assert graph.set_parameter('world_model', 'plan_rate', 10.0).successful


CANNOT_TELL = """
from world_model_ros.nodes import outputs, world_model

def fail(*_):
    raise KeyError('a bug that nobody knew of')

outputs.Outputs.latent = fail
raise SystemExit(world_model.main())
"""


def test_latents_that_cannot_be_published_are_counted_and_plans_go_on(tmp_path: Path) -> None:
    bundle = write_toy_bundle(tmp_path / 'toy')
    with Graph(tmp_path) as graph:
        robot, health = Robot(graph), graph.diagnostics()
        process = graph.start('world_model', [
            sys.executable, '-c', CANNOT_TELL, '--ros-args', '-p', 'autostart:=true', '-p',
            f'bundle:={bundle.path}'])
        graph.wait_until_active('world_model')
        proposals = graph.listen(ActionProposal, 'world_model/proposal')
        with graph.every(0.05, robot.publish):
            graph.wait_for(lambda: int(values(health('world_model: model')).get(
                'tell_failures', 0)) > 3, 10, 'the failures in /diagnostics')
            reach(graph, ReachGoal.Goal(image=picture([0.6, -0.4])))
            graph.wait_for(lambda: len(proposals) > 3, 10, 'proposals')
        assert graph.end(process) == 0
