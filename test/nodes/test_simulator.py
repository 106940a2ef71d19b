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
"""The simulator as a real process on real DDS: a robot's topics, and a robot's manners."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Duration
from dds import Graph, values
from geometry_msgs.msg import PointStamped
from lifecycle_msgs.msg import Transition
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from world_model_ros.cli.probes import free_domain
from world_model_ros.monitor import Level
from world_model_ros.nodes.convert import to_nanoseconds
from world_model_ros.nodes.simulator import SimulatorNode, _View
from world_model_ros.simulation import ArmSimulation

VELOCITY = 'velocity_controller/commands'
TRAJECTORY = 'joint_trajectory_controller/joint_trajectory'


@pytest.fixture(scope='module')
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Graph]:
    with Graph(tmp_path_factory.mktemp('simulator')) as graph:
        process = graph.spawn('simulator', parameters={'autostart': True, 'seed': 4})
        graph.wait_until_active('simulator')
        yield graph
        assert graph.end(process) == 0


@pytest.fixture
def joints(graph: Graph) -> list[Any]:
    received = graph.listen(JointState, 'joint_states', qos_profile_sensor_data)
    graph.wait_for(lambda: len(received) > 2, 10, 'joint states')
    return received


def intervals(messages: list[Any]) -> np.ndarray:
    """Seconds between the stamps of consecutive messages."""
    return np.diff([to_nanoseconds(message.header.stamp) for message in messages]) / 1e9


def point(seconds: float, *positions: float) -> JointTrajectoryPoint:
    whole = int(seconds)
    nanoseconds = round((seconds - whole) * 1e9)
    return JointTrajectoryPoint(
        positions=list(positions), time_from_start=Duration(sec=whole, nanosec=nanoseconds))


def test_pictures_and_joint_states_come_evenly_stamped_at_their_rates(graph: Graph) -> None:
    images = graph.listen(Image, 'camera/image_raw', qos_profile_sensor_data)
    infos = graph.listen(CameraInfo, 'camera/camera_info', qos_profile_sensor_data)
    joints = graph.listen(JointState, 'joint_states', qos_profile_sensor_data)
    graph.wait_for(lambda: len(images) > 60 and len(joints) > 200, 20, 'pictures and joint states')
    assert np.median(intervals(joints)) == pytest.approx(0.01, abs=0.001)
    # At 30 Hz; on a busy machine some are lost (best effort) or left out.
    assert np.quantile(intervals(images), 0.25) == pytest.approx(1 / 30, abs=0.005)
    assert np.all(intervals(images) > 0) and np.all(intervals(joints) > 0)
    image = images[-1]
    assert (image.width, image.height, image.encoding, image.step) == (320, 240, 'rgb8', 960)
    assert image.header.frame_id == 'overhead_camera_optical_frame'
    assert list(joints[-1].name) == ['shoulder', 'elbow']
    camera = ArmSimulation().intrinsics
    info = next(i for i in infos if i.header.stamp in [m.header.stamp for m in images])
    assert (info.width, info.height) == (320, 240)
    np.testing.assert_allclose(info.k, [camera.fx, 0, camera.cx, 0, camera.fy, camera.cy, 0, 0, 1])


def test_a_picture_shows_the_posture_at_its_stamp(graph: Graph, joints: list[Any]) -> None:
    images = graph.listen(Image, 'camera/image_raw', qos_profile_sensor_data)
    commands = graph.publisher(Float64MultiArray, VELOCITY)
    start = joints[-1].position[0]
    speed = -1.0 if start > 0 else 1.0
    with graph.every(0.05, lambda: commands.publish(Float64MultiArray(data=[speed, 0.0]))):
        graph.wait_for(lambda: abs(joints[-1].position[0] - start) > 0.8, 10, 'the arm to move')
        count = len(images)
        graph.wait_for(lambda: len(images) > count + 2, 5, 'pictures in motion')
    image = images[count]
    stamp = to_nanoseconds(image.header.stamp)
    nearest = min(joints, key=lambda j: abs(to_nanoseconds(j.header.stamp) - stamp))
    assert abs(to_nanoseconds(nearest.header.stamp) - stamp) < 10e6
    assert abs(nearest.velocity[0]) > 0.9
    arm = ArmSimulation()
    pixels = np.frombuffer(image.data, np.uint8).reshape(240, 320, 3).astype(int)
    errors = []
    shifts = np.linspace(-0.2, 0.2, 41)
    for shift in shifts:
        posture = np.add(nearest.position, [shift, 0.0])
        errors.append(np.abs(arm.render_at(posture).astype(int) - pixels).sum())
    assert abs(shifts[int(np.argmin(errors))]) <= 0.015
    arm.close()


def test_the_tip_is_told_in_the_base_frame(graph: Graph, joints: list[Any]) -> None:
    tips = graph.listen(PointStamped, 'simulator/tip', qos_profile_sensor_data)
    graph.wait_for(lambda: bool(tips), 5, 'the tip')
    stamps = {to_nanoseconds(j.header.stamp): j for j in joints}
    graph.wait_for(lambda: to_nanoseconds(tips[-1].header.stamp) in stamps or bool(
        stamps.update({to_nanoseconds(j.header.stamp): j for j in joints})), 5, 'equal stamps')
    tip = tips[-1]
    shoulder, elbow = stamps[to_nanoseconds(tip.header.stamp)].position
    assert tip.header.frame_id == 'base_link'
    assert tip.point.x == pytest.approx(
        0.27 * math.cos(shoulder) + 0.23 * math.cos(shoulder + elbow), abs=1e-6)
    assert tip.point.y == pytest.approx(
        0.27 * math.sin(shoulder) + 0.23 * math.sin(shoulder + elbow), abs=1e-6)


def test_the_arm_stops_when_velocity_commands_do(graph: Graph, joints: list[Any]) -> None:
    commands = graph.publisher(Float64MultiArray, VELOCITY)
    speed = -1.2 if joints[-1].position[1] > 0 else 1.2
    with graph.every(0.02, lambda: commands.publish(Float64MultiArray(data=[0.0, speed]))):
        graph.wait_for(lambda: abs(joints[-1].velocity[1]) > 1.1, 5, 'the elbow to turn')
    silent = graph.now()
    graph.wait_for(lambda: abs(joints[-1].velocity[1]) < 0.01, 5, 'the elbow to stop')
    assert (to_nanoseconds(joints[-1].header.stamp) - silent) / 1e9 < 0.6


def test_a_trajectory_in_any_joint_order_is_followed(graph: Graph, joints: list[Any]) -> None:
    commands = graph.publisher(JointTrajectory, TRAJECTORY)
    graph.wait_for(lambda: commands.get_subscription_count() > 0, 5, 'the simulator')
    commands.publish(JointTrajectory(
        joint_names=['elbow', 'shoulder'], points=[point(2.5, 0.4, -0.3), point(3.5, 0.5, -0.2)]))
    graph.wait_for(lambda: np.allclose(joints[-1].position, [-0.2, 0.5], atol=0.01), 15,
                   'the end of the trajectory')


@pytest.mark.parametrize('topic, message, reason', [
    (VELOCITY, Float64MultiArray(data=[0.5]), 'one per joint'),
    (VELOCITY, Float64MultiArray(data=[math.nan, 0.0]), 'not finite'),
    (TRAJECTORY, JointTrajectory(joint_names=['a', 'b'], points=[point(1.0, 0.0, 0.0)]), "'a'"),
    (TRAJECTORY, JointTrajectory(joint_names=['shoulder', 'elbow']), 'no points'),
    (TRAJECTORY, JointTrajectory(
        joint_names=['shoulder', 'elbow'], points=[point(1.0, 0.0)]), '2 numbers'),
    (TRAJECTORY, JointTrajectory(
        joint_names=['shoulder', 'elbow'], points=[point(1.0, 0.0, math.inf)]), 'not finite'),
])
def test_a_bad_command_is_refused_counted_and_explained_and_moves_nothing(
    graph: Graph, joints: list[Any], topic: str, message: Any, reason: str,
) -> None:
    graph.wait_for(lambda: np.abs(joints[-1].velocity).max() < 1e-3, 5, 'the arm to rest')
    before = list(joints[-1].position)
    health = graph.diagnostics()

    def refused() -> int:
        return int(values(health('simulator: drives')).get('commands_refused', -1))

    graph.wait_for(lambda: refused() >= 0, 5, 'diagnostics')
    count = refused()
    publisher = graph.publisher(type(message), topic)
    graph.wait_for(lambda: publisher.get_subscription_count() > 0, 5, 'the simulator')
    publisher.publish(message)
    graph.wait_for(lambda: refused() == count + 1, 5, 'the refusal in /diagnostics')
    assert reason in health('simulator: drives').message
    np.testing.assert_allclose(joints[-1].position, before, atol=1e-3)


def test_what_a_simulator_reads_when_it_is_configured_cannot_change_under_it(
    graph: Graph,
) -> None:
    refused = graph.set_parameter('simulator', 'image_rate', 5.0)
    assert not refused.successful
    assert refused.reason == 'image_rate is read when the node is configured: clean it up first'


def test_a_deactivated_simulator_publishes_nothing_and_goes_on_where_it_was(
    graph: Graph, joints: list[Any],
) -> None:
    graph.wait_for(lambda: np.abs(joints[-1].velocity).max() < 1e-3, 5, 'the arm to rest')
    before = list(joints[-1].position)
    assert graph.transition('simulator', Transition.TRANSITION_DEACTIVATE)
    health = graph.diagnostics()
    graph.wait_for(lambda: getattr(health('simulator: camera'), 'message', '') == 'standing by', 5,
                   'the camera to stand by')
    count = len(joints)
    frames = int(values(health('simulator: camera'))['frames_published'])
    assert frames > 0
    assert graph.transition('simulator', Transition.TRANSITION_ACTIVATE)
    graph.wait_for(lambda: len(joints) > count + 5, 10, 'joint states again')
    np.testing.assert_allclose(joints[-1].position, before, atol=1e-3)


def test_a_world_or_a_camera_that_ends_by_an_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise FloatingPointError('the arm has come apart')

    rclpy.init(domain_id=free_domain())
    try:
        node = SimulatorNode()
        node.configure()
        monkeypatch.setattr(ArmSimulation, 'step', fail)
        node.activate()
        world_thread, camera_thread = node._threads
        world_thread.join(10.0)
        world = node.health()[2]
        assert world.level is Level.ERROR
        assert 'FloatingPointError: the arm has come apart' in world.message
        assert node.health()[0].level is Level.OK
        monkeypatch.setattr(ArmSimulation, 'render_at', fail)
        node._views.put(_View(0, np.zeros(2)))
        camera_thread.join(10.0)
        camera = node.health()[0]
        assert camera.level is Level.ERROR
        assert 'the arm has come apart' in camera.message
        node.deactivate()
        node.cleanup()
        node.destroy_node()
    finally:
        rclpy.shutdown()
