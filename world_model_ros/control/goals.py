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
"""Goals of before an emergency stop, toward which its reset must not set off.

A reset permits motion and must not start it (ISO 13850, IEC 60204-1). The model knows nothing of
that: it may go on to propose for the goal that it had, or be started again and find it still asked
for, and the first plan would move the robot. So plans for goals of before are held back until the
controller is activated anew. What is asked for after the stop has another id, whatever it shows.
"""

_MOST = 256  # goals that are remembered; the oldest give way


class HeldGoals:
    """The goals, by their ids, that are not to be pursued. For one thread."""

    def __init__(self) -> None:
        self._held: dict[str, None] = {}  # in the order in which they came
        self._pursued: str | None = None
        self._stopped: str | None = None  # what was pursued at the newest stop, however many follow

    def hold(self, goal: str) -> None:
        """Hold a goal that is proposed for while the robot is stopped."""
        self._held[goal] = None
        if len(self._held) > _MOST:
            del self._held[next(iter(self._held))]

    def hold_pursued(self) -> None:
        """Hold the goal that was pursued last."""
        if self._pursued is not None:
            self._stopped = self._pursued
            self.hold(self._pursued)

    def holds(self, goal: str) -> bool:
        """Whether plans for a goal are to be refused."""
        return goal == self._stopped or goal in self._held

    def pursue(self, goal: str) -> None:
        """Note that a plan for a goal is followed."""
        self._pursued = goal

    def free(self) -> None:
        """Hold nothing: somebody let the robot go on."""
        self._held.clear()
        self._pursued = self._stopped = None
