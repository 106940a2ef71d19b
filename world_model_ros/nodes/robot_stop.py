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

"""
The controller's emergency stop, as far as the world model hears of it.

A stop ends the goal, and after a reset nothing moves for what was asked for before it
(``goal_pictures.py`` sees to it that latched pictures do not come back).
"""

from __future__ import annotations

from world_model_interfaces.msg import ControllerState
from world_model_ros import payload
from world_model_ros.nodes.convert import to_nanoseconds


class RobotStop:
    """Whether the robot is stopped, and since when."""

    def __init__(self) -> None:
        self.reason = ''  # why no goal is taken now; empty if one is
        self.since = 0  # stamp of the newest stop [ns], 0 before the first: no other has the same

    def note(self, state: ControllerState) -> bool:
        """Note what a controller says; return whether a stop begins."""
        if not state.stopped:
            self.reason = ''
            return False
        if self.reason:
            return False
        why = payload.shorten(state.stop_reason, payload.NAME_LENGTH) or 'no reason given'
        self.reason = f'the robot was stopped: {why}; set the goal again after ~/reset'
        self.since = max(to_nanoseconds(state.header.stamp), self.since + 1)
        return True

    def forget(self) -> None:
        """Nobody is listened to any more: whether a stop lasts is not known."""
        self.reason = ''
