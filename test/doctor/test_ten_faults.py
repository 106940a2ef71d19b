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
"""`wmros doctor` finds each planted fault in a running robot, names its cure, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from dds import LATCHED
from doctor_robot import BUFFERS, Robot, findings
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from toy_bundle import JOINTS

from world_model_ros.cli import middleware

Doctor = Callable[..., tuple[int, str]]


def planted(screen: str, words: str) -> str:
    """The finding with these words, which is the only one to keep the robot from working.

    A test machine that is busy gets warnings besides: pictures that are late, rates that are low.
    """
    (found,) = [one for one in findings(screen) if words in one]
    assert [one for one in findings(screen, '✗') if one != found] == [], screen
    return found


def test_a_robot_without_fault_gets_one_screen_and_no_complaint(
    robot: Robot, doctor: Doctor,
) -> None:
    code, screen = doctor()
    assert (code, findings(screen, '✗')) == (0, []), screen
    assert len(screen.splitlines()) <= 40
    for word in ('rmw_fastrtps_cpp', f'of {middleware._COUNT} images came', 'toy 1.0.0', 'cpu',
                 'velocity 1.5, acceleration 8', '/camera/image_raw', '32x32 rgb8 at', '2 joints',
                 '/controller -> /driver', 'active, system clock', 'Verdict: fit'):
        assert word in screen


@pytest.mark.parametrize(('discovery', 'transports', 'about'), [
    ('SUBNET', None, 'FASTDDS_BUILTIN_TRANSPORTS=(unset)'),
    # rmw_fastrtps then takes no notice of the transports.
    ('LOCALHOST', BUFFERS, 'ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST')])
def test_dds_that_loses_images_is_found_and_the_cure_is_tried(
    discovery: str, transports: str | None, about: str, delivery: middleware.Delivery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cure = {middleware.TRANSPORTS: BUFFERS, middleware.RANGE: 'SUBNET'}
    monkeypatch.setenv(middleware.RANGE, discovery)
    monkeypatch.delenv(middleware.TRANSPORTS, raising=False)
    if transports:
        monkeypatch.setenv(middleware.TRANSPORTS, transports)
    here = middleware.try_images()
    assert here.lost > 0.1
    assert delivery.lost < here.lost  # what the cure brings, measured before
    monkeypatch.setattr(
        middleware, 'try_images', lambda given: delivery if given == cure else here)
    (found,) = middleware.judge_images(here)
    assert found.about == about
    assert f'{here.received} of {here.sent} images came' in found.problem
    assert f"export FASTDDS_BUILTIN_TRANSPORTS='{BUFFERS}'" in found.cure
    assert f'tried just now, {delivery}' in found.cure


def test_joint_states_of_another_robot_are_named(robot: Robot, doctor: Doctor) -> None:
    code, screen = doctor('--joint-topic', 'wrong/joint_states')
    assert code == 1, screen
    found = findings(screen, '✗')
    assert len(found) == 2, screen
    by_model, by_controller = found
    assert '/wrong/joint_states: lacks "shoulder", which the model reads' in by_model
    assert 'it has "joint_1", "elbow"' in by_model
    assert 'which the controller needs' in by_controller
    assert 'correct the parameter joints' in by_controller


def test_joint_states_that_nobody_publishes_are_named_for_a_model_that_reads_none(
    robot: Robot, doctor: Doctor,
) -> None:
    code, screen = doctor('--robot', robot.file(), '--joint-topic', 'silent/joint_states')
    assert code == 1, screen
    found = planted(screen, '/silent/joint_states: nobody publishes there')
    assert '--joint-topic' in found and 'joint_states:=' in found
    assert '/silent/joint_states  nothing came' in screen


def test_a_clock_that_the_nodes_do_not_follow_is_named(robot: Robot, doctor: Doctor) -> None:
    clock = robot.graph.publisher(Clock, '/clock')
    robot.graph.wait_for(lambda: robot.graph.node.count_publishers('/clock') > 0, 5.0, '/clock')
    try:
        code, screen = doctor()
    finally:
        robot.graph.node.destroy_publisher(clock)
    assert code == 1, screen
    for node, line in zip(('/controller', '/world_model'), findings(screen, '✗'),
                          strict=True):
        assert f'{node}: lives by the system clock, while /probe publishes /clock' in line
        assert 'use_sim_time:=true' in line


def test_a_stale_camera_is_named(robot: Robot, doctor: Doctor) -> None:
    _, screen = doctor('--image-topic', 'stale/camera/image_raw')
    found = planted(screen, '/stale/camera/image_raw: messages are 2')
    assert 'ms old when they come' in found
    assert 'stamp at the moment of measurement' in found


def test_a_goal_that_is_not_latched_is_a_mismatch(robot: Robot, doctor: Doctor) -> None:
    goal = robot.graph.publisher(
        Image, 'goal_image', QoSProfile(depth=1, durability=DurabilityPolicy.VOLATILE))
    robot.graph.listen_for(0.5)
    try:
        code, screen = doctor()
    finally:
        robot.graph.node.destroy_publisher(goal)
    assert code == 1, screen
    found = planted(screen, '/goal_image: /probe and /world_model do not match')
    assert 'transient local' in found.lower() and 'offer at the publisher' in found
    assert LATCHED.durability is DurabilityPolicy.TRANSIENT_LOCAL  # what would have matched


def test_a_provider_that_is_not_installed_is_named(robot: Robot, doctor: Doctor) -> None:
    code, screen = doctor('--robot', robot.file(provider='tensorrt'), '--bundle', robot.bundle)
    assert code == 1, screen
    found = planted(screen, 'provider: provider tensorrt is not installed')
    assert 'install onnxruntime-gpu' in found


def test_limits_far_below_what_the_model_plans_and_a_drive_that_pulls_back_are_named(
    robot: Robot, doctor: Doctor,
) -> None:
    topic = 'joint_trajectory_controller/joint_trajectory'
    file = robot.file(limits={
        'joint_limits.elbow.max_velocity': 0.3, 'command_interface': 'trajectory'})
    _, screen = doctor('--robot', file, '--bundle', robot.bundle, '--command-topic', topic)
    found = planted(
        screen, 'joint_limits.elbow.max_velocity: the model plans up to 1.5 per second')
    assert 'limited to 0.3 (20 %)' in found and 'raise the limit' in found
    assert f'/{topic}  nobody -> /joint_trajectory_controller' in screen
    drive = planted(screen, '/joint_trajectory_controller: starts each new trajectory at')
    assert 'interpolate_from_desired_state: true' in drive


def test_a_drive_of_positions_is_named_before_it_is_sent_velocities(
    robot: Robot, doctor: Doctor,
) -> None:
    code, screen = doctor('--robot', robot.file(), '--bundle', robot.bundle,
                          '--command-topic', 'position_controller/commands')
    assert code == 1, screen
    found = planted(screen, '/position_controller: takes the numbers for position')
    assert 'JointGroupVelocityController' in found


def test_a_base_that_takes_twists_without_a_stamp_is_named_before_it_is_driven(
    robot: Robot, doctor: Doctor,
) -> None:
    file = robot.file(limits={
        'command_interface': 'twist', 'twist_axes': ['linear.x'],
        'twist_limits.linear.x.max_velocity': 1.0, 'twist_limits.linear.x.max_acceleration': 1.0,
        **{f'joint_limits.{joint}.max_acceleration': None for joint in JOINTS}})
    code, screen = doctor('--robot', file, '--command-topic', 'base/cmd_vel')
    assert code == 1, screen
    found = next(one for one in findings(screen, '✗') if one.startswith('✗ /base/cmd_vel'))
    assert '/base listens for geometry_msgs/msg/Twist' in found
    assert 'enable_stamped_cmd_vel: true' in found


def test_a_file_that_a_bundle_lacks_is_named(robot: Robot, doctor: Doctor) -> None:
    bundle = robot.folder / 'without_rollout'
    shutil.copytree(robot.bundle, bundle)
    (bundle / 'rollout.onnx').unlink()
    code, screen = doctor('--bundle', bundle)
    assert code == 1, screen
    found = planted(screen, 'rollout')
    assert 'Cure: ' in found


def test_two_controllers_of_one_robot_are_named(robot: Robot, doctor: Doctor) -> None:
    other = robot.control('old_controller')
    try:
        code, screen = doctor()
    finally:
        assert robot.graph.end(other) == 0
    assert code == 1, screen
    found = planted(screen, '/controller and /old_controller command this robot at the same time')
    assert 'end all but the controller' in found


def test_stamps_of_a_machine_whose_clock_is_ahead_are_named_though_its_gripper_speaks_last(
    robot: Robot, doctor: Doctor,
) -> None:
    _, screen = doctor('--image-topic', 'ahead/camera/image_raw',
                       '--joint-topic', 'ahead/joint_states')
    for topic in ('camera/image_raw', 'joint_states'):
        line = planted(screen, f'/ahead/{topic}: the stamps are ')
        assert 'ms ahead of this clock' in line and 'chrony' in line
