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
"""The words of the degradation ladder: its rungs, why it stands on one, and what it then sends."""

from dataclasses import dataclass
from enum import IntEnum

from world_model_ros.control.limits import Vector
from world_model_ros.monitor import Level

# A period may be this many times the nominal one before setpoints lag behind the clock.
STRETCH = 2.0


class Rung(IntEnum):
    """Rungs of the ladder, best first, numbered as ``ControllerState`` numbers them."""

    TRACK = 0
    FINISH = 1
    DECELERATE = 2
    HOLD = 3


@dataclass(frozen=True)
class Settings:
    """Timing and tolerances; durations in s.

    ``period``: from one tick, and setpoint, to the next.
    ``late_after``: age of an observation from which on its plan counts as late.
    ``finish_duration``: how long the rest of a late plan is followed.
    ``joint_state_timeout``: age from which on a joint state says nothing about the robot.
    ``following_tolerance``: distance in rad between setpoint and robot that means it was pushed.
    ``closes_position_loop``: whether the robot is sent positions and holds them itself; otherwise
    it is sent velocities, and the setpoint's position follows the robot.
    """

    period: float = 0.01
    late_after: float = 0.25
    finish_duration: float = 0.05
    joint_state_timeout: float = 0.15
    following_tolerance: float = 0.25
    closes_position_loop: bool = False

    @property
    def longest_period(self) -> float:
        """The longest time that one tick may move the setpoint by [s]."""
        return STRETCH * self.period


@dataclass(frozen=True)
class Cause:
    """What put the controller on its rung: a ``code`` that stays, and a text for a person."""

    code: str
    level: Level
    text: str


@dataclass(frozen=True, eq=False)
class Setpoint:
    """What is sent at one tick.

    ``velocity`` [J] in rad/s; ``position`` [J] in rad, None until the robot's position is known,
    and for twists. ``plan_id`` and ``observation_stamp`` [ns] are empty and 0 when no plan is
    followed. Without ``due`` the robot is sent nothing at this tick. A robot that is sent positions
    is to be there ``within`` so many seconds.
    """

    position: Vector | None
    velocity: Vector
    rung: Rung
    cause: Cause
    plan_id: str = ''
    observation_stamp: int = 0
    due: bool = True
    within: float = 0.0
