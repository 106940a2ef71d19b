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

"""Whether a goal is out of reach: a robot that tries for ever what it cannot do says nothing."""

import math
from dataclasses import dataclass

_BETTER = 0.98  # of the best so far; less of a change is no progress
_LEAST_PLANS = 5
_PATIENCE = 2 * 10**9  # ns without progress


@dataclass
class _Attempt:
    """What came of one goal so far; times in ns."""

    goal_id: str
    best: float
    since: int
    last: int
    plans: int


class Reachability:
    """
    Gives up on a goal when plans neither come near to it nor get any better.

    A plan reaches as far as its horizon: of a goal beyond it, the predicted end comes nearer while
    the robot moves. So time counts from the last progress on, and only while the robot may move
    and plans come.
    """

    def __init__(self) -> None:
        self._attempt: _Attempt | None = None

    def best(self) -> float:
        """The nearest predicted end of the plans for the newest goal; NaN before the first."""
        return self._attempt.best if self._attempt else math.nan

    def is_out_of_reach(
        self, goal_id: str, stamp: int, end: float, reachable: float, moving: bool, pause: float,
    ) -> bool:
        """
        Judge with one plan.

        :param stamp: of its observation [ns]
        :param end: its last predicted distance to the goal, in the units of ``reachable``
        :param reachable: below this, the bundle says, ends the best plan to any goal in reach
        :param moving: whether plans are carried out
        :param pause: time since the last plan from which on nothing was tried meanwhile [s]
        """
        attempt = self._attempt
        if attempt is None or attempt.goal_id != goal_id or stamp < attempt.since:
            attempt = self._attempt = _Attempt(goal_id, end, stamp, stamp, 0)
        paused = stamp - attempt.last > pause * 1e9
        attempt.last, attempt.plans = stamp, attempt.plans + 1
        if end < _BETTER * attempt.best or paused or not moving:
            attempt.best, attempt.since, attempt.plans = min(end, attempt.best), stamp, 1
        return (attempt.best > reachable and attempt.plans >= _LEAST_PLANS
                and stamp - attempt.since >= _PATIENCE)
