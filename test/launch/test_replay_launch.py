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
"""A bag instead of a robot: replay.launch.py plans from what was recorded, and ends with the bag.

The robot of the bag moves, though the replay's own controller follows nothing: what it did is
played, so that the model is as little surprised as on that day.

Needs launch_testing, which comes with a ROS 2 distribution, and `rosbags`, which writes the bag.
Where there is no rosbag2, the bag is played by test/launch/player, which publishes what lies in it.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import pytest

pytest.importorskip('launch_testing', reason='launch_testing comes with a ROS 2 distribution')
pytest.importorskip('launch_ros', reason='launch_ros comes with a ROS 2 distribution')

import array
import math
from dataclasses import dataclass
from typing import Any

import cv2
import launch_testing
import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
import numpy as np
import rclpy
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.serialization import serialize_message
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from toy_bundle import JOINTS, toy_image, write_toy_bundle

from launch import LaunchDescription
from world_model_interfaces.msg import ActionProposal, ControllerState, Latent, Surprise
from world_model_ros.cli.probes import free_domain
from world_model_ros.demo import graph
from world_model_ros.nodes.convert import from_tensor, to_nanoseconds, to_stamp
from world_model_ros.nodes.qos import COMMAND, SETPOINT

LAUNCH_FILE = Path(__file__).parents[2] / 'launch' / 'replay.launch.py'
BEGIN, DURATION, RATE = 1_700_000_000 * 10**9, 6.0, 20.0  # ns, s, Hz
END = BEGIN + round(DURATION * 1e9)
DELAY = 8.0  # s
SPEED = (0.3, -0.1)  # rad/s
FIELD = 2 * math.atan(16 / 32)  # rad: what the middle of a picture of 64 pixels shows at f = 32


@dataclass(frozen=True)
class Case:
    """A robot's eyes, and how they are replayed.

    names: that the model has for its cameras
    pictures: topics in the bag
    goals: likewise
    """

    arguments: dict[str, str]
    names: tuple[str, str] | None
    pictures: tuple[str, ...]
    goals: tuple[str, ...]


CASES = {
    # Commands are asked to go where the robot's drive listens.
    'one camera': Case({'commands': '/velocity_controller/commands'}, None,
                       ('/camera/image_raw',), ('/goal_image',)),
    # One that is rectified, and told where; one that is compressed, and found where its name says.
    'two cameras': Case(
        {'cameras': 'shelf:=/top/image_rect'}, ('shelf', 'wrist'),
        ('/top/image_rect', '/wrist/image_raw/compressed'),
        ('/shelf/goal_image', '/wrist/goal_image'))}


def write_bag(folder: Path, case: Case) -> None:
    """Record a robot that moves from 0.4 and 0.8 rad on, and is to go where 0 and 0 are."""
    def qos(durability: QosDurability) -> list[Qos]:
        never = QosTime(2147483647, 4294967295)
        return [Qos(QosHistory.KEEP_LAST, 5, QosReliability.RELIABLE, durability, never, never,
                    QosLiveliness.AUTOMATIC, never, False)]

    store, state = get_typestore(Stores.LATEST), 'world_model_interfaces/msg/ControllerState'
    definition = (LAUNCH_FILE.parents[1] / f'{state}.msg').read_text()
    store.register(get_types_from_msg(definition, state))
    latched, volatile = qos(QosDurability.TRANSIENT_LOCAL), qos(QosDurability.VOLATILE)
    is_wide = case.names is not None
    with Writer(folder, version=9) as writer:
        connections: dict[str, Any] = {}

        def write(topic: str, stamp: int, message: Any) -> None:
            kind = type(message)
            if topic not in connections:
                package = kind.__module__.split('.')[0]
                connections[topic] = writer.add_connection(
                    topic, f'{package}/msg/{kind.__name__}', typestore=store,
                    offered_qos_profiles=latched if topic in case.goals else volatile)
            writer.write(connections[topic], stamp, serialize_message(message))

        for topic in case.goals:
            write(topic, BEGIN, picture(topic, BEGIN, [0.0, 0.0], is_wide))
        for step in range(round(DURATION * RATE)):
            stamp = BEGIN + round(step * 1e9 / RATE)
            write('/joint_states', stamp, JointState(
                header=Header(stamp=to_stamp(stamp)), name=list(JOINTS),
                position=positions(stamp), velocity=SPEED))
            write('/controller/state', stamp, ControllerState(
                header=Header(stamp=to_stamp(stamp)), rung=ControllerState.TRACK,
                plan_id='of that day', observation_stamp=to_stamp(stamp - 10**8),
                names=list(JOINTS), position=positions(stamp), velocity=SPEED))
            for topic in case.pictures:
                if is_wide:
                    above = topic.removesuffix('/compressed').rpartition('/')[0]
                    write(f'{above}/camera_info', stamp, camera_info(stamp, topic))
                write(topic, stamp, picture(topic, stamp, positions(stamp), is_wide))
            # Recorded commands of another day are not to be played.
            write('/velocity_controller/commands', stamp, Float64MultiArray(data=[9.0, 9.0]))


def positions(stamp: int) -> list[float]:
    """Where the joints were at a time [ns]; in rad."""
    return (np.array([0.4, 0.8]) + (stamp - BEGIN) / 1e9 * np.array(SPEED)).tolist()


def picture(
    topic: str, stamp: int, position: list[float], is_wide: bool,
) -> Image | CompressedImage:
    """What a camera saw at a time [ns]; a wide one has it in the middle of a glaring frame."""
    pixels = toy_image(position)
    if is_wide:
        pixels = np.pad(pixels, ((16, 16), (16, 16), (0, 0)), constant_values=255)
    header = Header(stamp=to_stamp(stamp))
    if topic.endswith('/compressed'):
        png = cv2.imencode('.png', pixels[:, :, ::-1])[1].tobytes()
        return CompressedImage(header=header, format='png', data=array.array('B', png))
    height, width, _ = pixels.shape
    return Image(header=header, height=height, width=width, encoding='rgb8', step=3 * width,
                 data=array.array('B', pixels.tobytes()))


def camera_info(stamp: int, topic: str) -> CameraInfo:
    """The wide camera's lens; rectified pictures have another focal length than the sensor's."""
    sensor = 300.0 if topic.endswith('/image_rect') else 32.0
    return CameraInfo(
        header=Header(stamp=to_stamp(stamp)), width=64, height=64,
        k=[sensor, 0.0, 31.5, 0.0, sensor, 31.5, 0.0, 0.0, 1.0],
        p=[32.0, 0.0, 31.5, 0.0, 0.0, 32.0, 31.5, 0.0, 0.0, 0.0, 1.0, 0.0])


def has_rosbag2() -> bool:
    """Whether `ros2 bag play` is here."""
    return shutil.which('ros2') is not None and subprocess.run(
        ['ros2', 'bag', 'play', '--help'], capture_output=True, check=False).returncode == 0


@pytest.mark.launch_test
@launch_testing.parametrize('case', list(CASES))
@launch_testing.markers.keep_alive
def generate_test_description(case: str) -> tuple[LaunchDescription, dict[str, Any]]:
    """Return the replay of a bag that was written just now."""
    domain, folder = free_domain(), Path(tempfile.mkdtemp(dir=os.environ['ROS_LOG_DIR']))
    write_bag(folder / 'bag', CASES[case])
    write_toy_bundle(folder / 'bundle', with_field if CASES[case].names else None,
                     cameras=CASES[case].names)
    parameters = folder / 'robot.yaml'
    parameters.write_text(json.dumps({'/**/controller': {'ros__parameters': {
        'joints': list(JOINTS), 'command_interface': 'velocity',
        'robot_description_file': 'package://world_model_ros/description/reach_arm.urdf',
        'joint_limits': {joint: {'max_acceleration': 8.0} for joint in JOINTS}}}}))
    environment = {
        'ROS_DOMAIN_ID': str(domain), 'ROS_LOG_DIR': str(folder), **graph.environment()}
    if not has_rosbag2():
        environment['PATH'] = f'{Path(__file__).parent / "player"}{os.pathsep}{os.environ["PATH"]}'
    replay = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH_FILE)),
        launch_arguments={
            'bag': str(folder / 'bag'), 'bundle': str(folder / 'bundle'), 'delay': str(DELAY),
            'parameters': str(parameters), **CASES[case].arguments}.items())
    return LaunchDescription([
        *(SetEnvironmentVariable(name, value) for name, value in environment.items()),
        replay, launch_testing.actions.ReadyToTest()]), {'domain': domain}


def with_field(manifest: dict[str, Any]) -> None:
    """Name what the pictures of both cameras showed in training."""
    manifest['image']['fields_of_view'] = [{'horizontal': FIELD, 'vertical': FIELD}] * 2


class TestReplay(unittest.TestCase):
    """The nodes live in the time of the bag."""

    def test_plans_follow_from_the_bag_and_no_command_leaves_the_replay(
        self, proc_info, case: str, domain: int,
    ) -> None:
        """One process start for all assertions."""
        camera = CASES[case].pictures[0]
        context = Context()
        rclpy.init(context=context, domain_id=domain)
        node = Node('probe', context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        proposals: list[ActionProposal] = []
        states: list[ControllerState] = []
        commands: list[Float64MultiArray] = []
        latents: list[Latent] = []
        surprises: list[Surprise] = []
        sentinel: list[Image] = []
        node.create_subscription(
            ActionProposal, '/replay/world_model/proposal', proposals.append, COMMAND)
        node.create_subscription(
            ControllerState, '/replay/controller/state', states.append, SETPOINT)
        node.create_subscription(
            Float64MultiArray, '/velocity_controller/commands', commands.append, 10)
        node.create_subscription(
            Latent, '/replay/world_model/latent', latents.append, qos_profile_sensor_data)
        node.create_subscription(
            Surprise, '/replay/world_model/surprise', surprises.append, qos_profile_sensor_data)
        node.create_subscription(
            Image, f'/replay{camera}', sentinel.append, qos_profile_sensor_data)
        deadline = time.monotonic() + 90.0
        while not any(to_nanoseconds(image.header.stamp) > END - 1e9 for image in sentinel):
            self.assertLess(time.monotonic(), deadline, 'the bag is not played')
            executor.spin_once(timeout_sec=0.05)
        node.destroy_node()
        rclpy.try_shutdown(context=context)

        self.assertGreater(len(proposals), 5)
        for proposal in proposals:
            self.assertTrue(BEGIN <= to_nanoseconds(proposal.header.stamp) <= END)
        # Each joint is seen where its camera shows it, in what the model was trained on.
        for latent in latents:
            np.testing.assert_allclose(
                from_tensor(latent.tensor)[:2], positions(to_nanoseconds(latent.header.stamp)),
                atol=0.03)
        # The robot did what it was told. (One that had stood would be off by 0.03 rad a step.)
        self.assertGreater(len(surprises), 5)
        for surprise in surprises:
            self.assertLess(np.nanmax(surprise.error), 0.02)
        # To 0 and 0 from above: both joints are to go back. (The first rows are what the
        # controller is doing meanwhile.)
        steps, joints = proposals[-1].values.shape
        actions = np.reshape(proposals[-1].values.data, (steps, joints))
        self.assertTrue(np.all(actions.sum(axis=0) < -0.1), actions)
        # The controller judges the plans. It follows none: there is no drive that listens.
        self.assertGreater(states[-1].accepted + states[-1].refused, 0)
        following = {ControllerState.TRACK, ControllerState.FINISH}
        self.assertFalse(following & {state.rung for state in states})
        self.assertEqual(commands, [])  # the recorded ones included
        proc_info.assertWaitForShutdown(process='bag', timeout=30)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """What the run leaves behind."""

    def test_everything_ends_with_the_bag(self, proc_info, case: str) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
        self.assertEqual(len(list(proc_info.process_names())), 3)
