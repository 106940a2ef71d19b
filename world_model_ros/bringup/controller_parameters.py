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

"""The parameters of ``controller``, which starts without what only a model needs."""

from __future__ import annotations

from collections.abc import Mapping

from world_model_ros.bringup.declaration import Declaration
from world_model_ros.bringup.robot_file import INTERFACES
from world_model_ros.control import TWIST_AXES, Settings

CONTROLLER: Mapping[str, Declaration] = {
    'command_interface': Declaration(
        INTERFACES[0], 'What the robot is sent: "trajectory" (JointTrajectory on '
        'joint_trajectory; each one ends at rest), "velocity" (Float64MultiArray on commands) or '
        '"twist" (TwistStamped on cmd_vel). The last two need a drive that stops by itself when '
        'commands cease.'),
    'joints': Declaration(
        [''], 'Joints to drive, in the order in which commands name them. For twists: joints '
        'whose fresh state shows that the robot is alive, such as the wheels of a base.'),
    'robot_description': Declaration(
        '', 'The robot as URDF text: position and velocity limits of the joints. Twists need '
        'none.'),
    'robot_description_file': Declaration(
        '', 'File or package:// address of the URDF, used when robot_description is empty.'),
    'twist_axes': Declaration(
        [''], f'Axes to drive by twists, of {", ".join(TWIST_AXES)}.'),
    'twist_frame': Declaration(
        '', 'Frame that the twists of a model must be in; empty for whichever the model names.'),
    'control_rate': Declaration(
        1.0 / Settings.period, 'Setpoints per second [Hz].', 10.0, 1000.0),
    'thread_priority': Declaration(
        50, 'Real-time priority (SCHED_FIFO) of this process, as that of '
        'controller_manager; 0: none. Without the permission it runs at normal priority, '
        'and diagnostics say so.', 0, 99),
    'late_after': Declaration(
        Settings.late_after, 'Age of the observation behind a plan from which on the '
        'next plan is late [s].', 0.01, 10.0),
    'finish_duration': Declaration(
        Settings.finish_duration, 'How long the rest of a late plan is followed before '
        'the robot brakes [s].', 0.0, 10.0),
    'joint_state_timeout': Declaration(
        Settings.joint_state_timeout, 'Age from which on a joint state is not trusted '
        'and the robot brakes [s].', 0.01, 10.0),
    'following_tolerance': Declaration(
        Settings.following_tolerance, 'Distance between setpoint and robot from '
        'which on the robot counts as pushed or blocked; half of it without any '
        'change of the measured position counts as frozen joint states [rad or m].', 0.001, 10.0),
}
"""Without the limits, whose names follow from the joints: see `robot_file`."""
