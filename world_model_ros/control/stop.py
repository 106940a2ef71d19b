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
"""The emergency stop: a latch that only a person with a reason opens again.

It is an object of its own because it outlives the limits and the ladder: it stays closed while the
controller is cleaned up and configured anew, until it is reset or the process ends.
"""

from world_model_ros.control.goals import HeldGoals
from world_model_ros.control.ladder import Cause
from world_model_ros.monitor import Level
from world_model_ros.payload import TEXT_LENGTH, shorten


class EmergencyStop:
    """Closed by :meth:`stop`, opened by :meth:`reset`; the first reason stands.

    ``goals`` are those of before, which an open latch leaves held.
    """

    def __init__(self) -> None:
        self.latched = False
        self.reason = ''
        self.goals = HeldGoals()

    def stop(self, reason: str) -> str:
        """Latch; return what was done. Never refuses, whatever the reason is."""
        reason = shorten(reason.strip(), TEXT_LENGTH) or 'no reason given'
        if self.latched:
            return f'it was stopped already: {self.reason}'
        self.latched, self.reason = True, reason
        return 'stopped until reset'

    def reset(self) -> None:
        """Open the latch, but not for the goals that were pursued; do nothing without a stop."""
        if self.latched:
            self.goals.hold_pursued()
            self.latched, self.reason = False, ''

    @property
    def cause(self) -> Cause | None:
        """What forbids to move while it is latched."""
        if not self.latched:
            return None
        return Cause(
            'stopped', Level.ERROR,
            f'emergency stop: {self.reason}; when it is safe, call ~/reset with a reason',
        )
