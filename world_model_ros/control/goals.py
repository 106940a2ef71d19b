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
controller is activated anew.

A goal's id says what it shows and, behind a dot, after which stop it was asked for: the stamp in
hexadecimal, none where the model has heard of no stop. So a goal of before is known whatever the
model has heard, and so is the same one that is asked for again.
"""

from typing import TypeVar

from world_model_ros.payload import NAME_LENGTH

T = TypeVar('T')

_MOST_HELD = 256  # the oldest give way
_MOST_PURSUED = 64


class HeldGoals:
    """The goals that are not to be pursued. For one thread.

    A goal that gave way to another one may still be asked for, by a picture that is latched: so all
    that were pursued are held after a stop.
    """

    def __init__(self) -> None:
        # By what they show, the newest stop after which they were asked for; the oldest come first.
        self._held: dict[str, int] = {}
        self._pursued: dict[str, None] = {}  # ids, the newest last

    def hold(self, goal: str) -> None:
        """Hold a goal that is proposed for while the robot is stopped."""
        if len(goal) > NAME_LENGTH:
            return  # no proposal for it is ever accepted
        shown, stop = _parts(goal)
        _remember(self._held, shown, max(stop, self._held.get(shown, 0)), _MOST_HELD)

    @property
    def pursued(self) -> list[str]:
        """The goals that were pursued since :meth:`free`, the newest last."""
        return list(self._pursued)

    def hold_pursued(self) -> None:
        """Hold the goals that were pursued."""
        for goal in self._pursued:
            self.hold(goal)

    def holds(self, goal: str) -> bool:
        """Whether plans for a goal are to be refused."""
        shown, stop = _parts(goal)
        return shown in self._held and stop <= self._held[shown]

    def pursue(self, goal: str) -> None:
        """Note that a plan for a goal is followed: whatever asks for it now may go on."""
        self._held.pop(_parts(goal)[0], None)
        _remember(self._pursued, goal, None, _MOST_PURSUED)

    def free(self) -> None:
        """Hold nothing: somebody let the robot go on."""
        self._held.clear()
        self._pursued.clear()


def _remember(memory: dict[str, T], goal: str, value: T, most: int) -> None:
    """Note a goal as the newest one; the oldest gives way to it."""
    memory.pop(goal, None)
    memory[goal] = value
    if len(memory) > most:
        del memory[next(iter(memory))]


def _parts(goal: str) -> tuple[str, int]:
    """What a goal shows, and the stop after which it was asked for; 0 if there was none."""
    shown, dot, stop = goal.rpartition('.')
    try:
        return (shown, int(stop, 16)) if dot else (goal, 0)
    except ValueError:  # a name of another making
        return goal, 0
