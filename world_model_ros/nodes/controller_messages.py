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

"""Between the controller's messages and what ``control/`` takes and gives."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.duration import Duration
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from world_model_interfaces.msg import ActionProposal, ControllerState, ModelInfo
from world_model_ros.control import (
    TWIST_AXES,
    Contract,
    Limits,
    Motion,
    Proposal,
    SafetyController,
    Setpoint,
    stopping_points,
)
from world_model_ros.control.limits import Vector
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds, to_stamp


def to_contract(info: ModelInfo) -> Contract:
    """Return what a model announces about its actions."""
    return Contract(
        digest=info.digest, kind=info.action_kind, names=tuple(info.action_names),
        lower=np.asarray(info.action_lower, np.float64),
        upper=np.asarray(info.action_upper, np.float64), frame=info.action_frame)


def to_proposal(message: ActionProposal) -> Proposal:
    """Return a plan as it arrived, unchecked."""
    return Proposal(
        stamp=to_nanoseconds(message.header.stamp), plan_id=message.plan_id,
        model_digest=message.model_digest, kind=message.kind, names=tuple(message.names),
        step_duration=message.step_duration, shape=tuple(map(int, message.values.shape)),
        data=np.frombuffer(message.values.data, np.float32), goal_id=message.goal_id)


def to_state(control: SafetyController, setpoint: Setpoint, now: int) -> ControllerState:
    """Return why the robot does what it does at ``now`` [ns]."""
    return ControllerState(
        header=Header(stamp=to_stamp(now)), rung=int(setpoint.rung), cause=setpoint.cause.text,
        plan_id=setpoint.plan_id, observation_stamp=to_stamp(setpoint.observation_stamp),
        stopped=control.emergency.latched, stop_reason=control.emergency.reason,
        names=list(control.limits.names),
        position=[] if setpoint.position is None else setpoint.position.tolist(),
        velocity=setpoint.velocity.tolist(),
        accepted=control.accepted, refused=control.refused.total())


def to_trajectory(
    motion: Motion, limits: Limits, within: float, stamp: int, now: int
) -> JointTrajectory:
    """Return ``motion``, due ``within`` [s] after ``now`` [ns], and the way to rest after it.

    Times count from ``stamp`` [ns], that of the observation; it is not later than ``now``.
    """
    return JointTrajectory(
        header=Header(stamp=to_stamp(stamp)), joint_names=list(limits.names),
        points=[
            JointTrajectoryPoint(
                positions=point.position.tolist(), velocities=point.velocity.tolist(),
                time_from_start=Duration(
                    nanoseconds=now - stamp + round(after * NANOSECONDS)).to_msg())
            for after, point in stopping_points(motion, limits, within)])


def to_twist(velocity: Vector, axes: tuple[str, ...], frame: str, now: int) -> TwistStamped:
    """Return the twist with ``velocity`` [A] along and about ``axes`` and zero elsewhere.

    Its stamp is ``now`` [ns], by whose age diff_drive_controller and MoveIt Servo judge whether
    they are still being commanded.
    """
    message = TwistStamped(header=Header(stamp=to_stamp(now), frame_id=frame))
    for axis in TWIST_AXES:
        part, coordinate = axis.split('.')
        value = float(velocity[axes.index(axis)]) if axis in axes else 0.0
        setattr(getattr(message.twist, part), coordinate, value)
    return message
