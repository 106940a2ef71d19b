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
How far what a model expected is from what it then saw.

Expectations are made with hindsight of the actions, not of the pictures: the latent of k steps ago
is rolled through what the robot was asked to do since, and compared with the latent of now. So an
active model and one that only watches are judged by the same rule, and a plan that was replaced by
a better one is no surprise.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from world_model_ros.monitor.action_log import ActionLog

if TYPE_CHECKING:
    from world_model_ros.bundle import Meaning

Float = npt.NDArray[np.float32]
State = TypeVar('State')


@dataclass(frozen=True)
class Judgement:
    """
    What errors come to.

    score: mean of those that are there
    threshold: the largest usual score; NaN where nobody knows
    """

    score: float
    threshold: float

    @property
    def is_surprise(self) -> bool | None:
        """Whether the score is unusual; None where nobody knows."""
        return None if math.isnan(self.threshold) else self.score > self.threshold


def judge(errors: Float, thresholds: Sequence[float]) -> Judgement:
    """
    Judge errors [steps] of which at least one is a number.

    :param errors: as ``Foresight.see`` gives them
    :param thresholds: entry k is for the mean of the errors of 1 to k + 1 steps. So there is none
        where an error in between is missing, or where more are there than were calibrated.
    """
    there = np.isfinite(errors)
    count = int(there.sum())
    known = bool(there[:count].all()) and count <= len(thresholds)
    return Judgement(float(errors[there].mean()), thresholds[count - 1] if known else math.nan)


class Foresight(Generic[State]):
    """
    Compares what one model sees with what it expected one to ``steps`` model steps ago.

    ``State`` is what the model imagines from: a latent, or a context of several.
    """

    def __init__(
        self, imagine: Callable[[State, Float], Float], distance: Callable[[Float, Float], float],
        *, step_duration: float, rows_per_step: int, steps: int, meaning: Meaning | None = None,
    ) -> None:
        """
        Judge a model.

        :param imagine: gives the latent after actions [k * rows_per_step, A], from a state
        :param distance: between an expected and a seen latent
        :param step_duration: of one model step [s]
        :param meaning: of the actions that it imagines from, as in the log
        """
        self._imagine, self._distance = imagine, distance
        self._step = round(step_duration * 1e9)
        self._rows, self._meaning = rows_per_step, meaning
        self._steps = steps
        self._history: deque[tuple[int, State]] = deque()
        self._judged = 0

    def see(self, stamp: int, state: State, latent: Float, actions: ActionLog) -> Float | None:
        """
        Add what is seen at ``stamp`` [ns]; once per model step return the errors [steps].

        Error k is that of the expectation made k + 1 steps ago; NaN where no picture of that time
        is known, or the robot was asked for nothing in between. None between two model steps and
        where all would be NaN.
        """
        if self._history and stamp <= self._history[-1][0]:
            self._history.clear()  # the clock was set back
            self._judged = 0
        while self._history and self._history[0][0] < stamp - (self._steps + 1) * self._step:
            self._history.popleft()
        self._history.append((stamp, state))  # also where judging raises
        errors = None
        if stamp - self._judged >= self._step:
            errors = self._errors(stamp, latent, actions)
            if errors is not None:
                # Pictures do not come in step with the model: keep its rhythm on the average.
                late = stamp - self._judged - self._step
                self._judged = stamp - late if late < self._step else stamp
        return errors

    def _errors(self, stamp: int, latent: Float, log: ActionLog) -> Float | None:
        errors = np.full(self._steps, np.nan, np.float32)
        for step in range(1, self._steps + 1):
            past = self._at(stamp - step * self._step)
            if past is None:
                continue
            then, state = past
            actions = log.rows(then, stamp, step * self._rows, self._meaning)
            if actions is not None:
                errors[step - 1] = self._distance(self._imagine(state, actions), latent)
        return errors if np.isfinite(errors).any() else None

    def _at(self, stamp: int) -> tuple[int, State] | None:
        """The entry nearest to ``stamp``, if it is within a quarter of a step."""
        nearest = min(self._history, key=lambda it: abs(it[0] - stamp), default=None)
        if nearest is None or abs(nearest[0] - stamp) > self._step // 4:
            return None
        return nearest
