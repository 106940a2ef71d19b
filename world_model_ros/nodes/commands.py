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

"""What the robot is sent: one class per command interface, with its topic and its last word.

``control/`` says which setpoints are due. Velocities and twists are at every tick, zeros at rest as
well: a forward command controller repeats its last command for ever, and a base's only stops when
commands end. joint_trajectory_controller holds by itself, so it hears nothing at rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from world_model_ros.control import Motion, SafetyController, Setpoint
from world_model_ros.nodes.controller_messages import to_trajectory, to_twist
from world_model_ros.nodes.qos import DRIVE

_FLUSH = Duration(seconds=0.2)  # for the last command to arrive before its publisher goes


class Commands(Protocol):
    """Sends setpoints to the robot."""

    publisher: Publisher

    def send(self, setpoint: Setpoint, now: int) -> None:
        """Send a setpoint if it is due; ``now`` in ns."""

    def rest(self, now: int) -> None:
        """Send the last command: to stand still."""


class VelocityCommands:
    """Joint velocities for ros2_control's forward command controllers [rad/s]."""

    def __init__(self, node: Node, control: SafetyController) -> None:
        self.publisher = node.create_publisher(Float64MultiArray, 'commands', DRIVE)
        self._joints = len(control.limits.names)

    def send(self, setpoint: Setpoint, now: int) -> None:
        if setpoint.due:
            self.publisher.publish(Float64MultiArray(data=setpoint.velocity.tolist()))

    def rest(self, now: int) -> None:
        self.publisher.publish(Float64MultiArray(data=[0.0] * self._joints))


class TrajectoryCommands:
    """The setpoint and the way to rest after it, for joint_trajectory_controller."""

    def __init__(self, node: Node, control: SafetyController) -> None:
        self.publisher = node.create_publisher(JointTrajectory, 'joint_trajectory', DRIVE)
        self._control = control

    def send(self, setpoint: Setpoint, now: int) -> None:
        if setpoint.position is None or not setpoint.due:
            return
        control = self._control
        # An observation may seem to be from a little ahead of now; no point of time may.
        stamp = min(setpoint.observation_stamp or now, now)
        self.publisher.publish(to_trajectory(
            Motion(setpoint.position, setpoint.velocity), control.limits, setpoint.within, stamp,
            now))

    def rest(self, now: int) -> None:
        """Send nothing: each message ends at rest, and more smoothly than another one could."""


class TwistCommands:
    """Twists for diff_drive_controller, MoveIt Servo and their like [m/s, rad/s]."""

    def __init__(self, node: Node, control: SafetyController) -> None:
        self.publisher = node.create_publisher(TwistStamped, 'cmd_vel', DRIVE)
        self._control = control
        self._frame = ''

    def send(self, setpoint: Setpoint, now: int) -> None:
        contract = self._control.contract
        # A robot that brakes does so in the frame of its plan, whatever another model announces.
        if contract is not None and (setpoint.plan_id or not np.any(setpoint.velocity)):
            self._frame = contract.frame
        self.publisher.publish(
            to_twist(setpoint.velocity, self._control.limits.names, self._frame, now))

    def rest(self, now: int) -> None:
        axes = self._control.limits.names
        self.publisher.publish(to_twist(np.zeros(len(axes)), axes, self._frame, now))


INTERFACES: Mapping[str, Callable[[Node, SafetyController], Commands]] = {
    'velocity': VelocityCommands, 'trajectory': TrajectoryCommands, 'twist': TwistCommands}


def flush(publisher: Publisher) -> None:
    """Wait until what was published has arrived, but not for long."""
    publisher.wait_for_all_acked(_FLUSH)
