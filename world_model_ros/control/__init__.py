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
"""From proposals to setpoints that are safe whatever the proposals are.

Read in this order: :mod:`~world_model_ros.control.limits` (what the robot may do),
:mod:`~world_model_ros.control.proposal` (what is let in; steps of a pose become twists in
:mod:`~world_model_ros.control.pose`), :mod:`~world_model_ros.control.motion`
(the arithmetic that keeps limits), :mod:`~world_model_ros.control.ladder` (the words),
:mod:`~world_model_ros.control.safety` (the ladder that ties them together),
:mod:`~world_model_ros.control.drive` (the setpoint and the robot that it moves), and what they ask:
:mod:`~world_model_ros.control.lead`,
:mod:`~world_model_ros.control.robot`, :mod:`~world_model_ros.control.clock`,
:mod:`~world_model_ros.control.heartbeat`, :mod:`~world_model_ros.control.goals`,
:mod:`~world_model_ros.control.stop`. :mod:`~world_model_ros.control.ticks` watches whether ticks
come when they are due. NumPy only: no ROS, no clock is read, no thread, no file.
"""

from world_model_ros.control.ladder import STRETCH, Cause, Rung, Setpoint, Settings
from world_model_ros.control.limits import (
    TWIST_AXES,
    JointLimits,
    Limits,
    LimitsError,
    limits_from_urdf,
    tighter,
    twist_limits,
)
from world_model_ros.control.motion import Motion, stopping_points
from world_model_ros.control.proposal import Contract, Kind, Proposal, Reason, Refusal
from world_model_ros.control.safety import SafetyController
from world_model_ros.control.stop import EmergencyStop
from world_model_ros.control.ticks import TickMonitor

__all__ = [
    'STRETCH',
    'TWIST_AXES',
    'Cause',
    'Contract',
    'EmergencyStop',
    'JointLimits',
    'Kind',
    'Limits',
    'LimitsError',
    'Motion',
    'Proposal',
    'Reason',
    'Refusal',
    'Rung',
    'SafetyController',
    'Setpoint',
    'Settings',
    'TickMonitor',
    'limits_from_urdf',
    'stopping_points',
    'tighter',
    'twist_limits',
]
