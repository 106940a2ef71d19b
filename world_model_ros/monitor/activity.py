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

"""What a world model as a whole is doing, for whoever depends on it: one word and one sentence."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from world_model_ros.monitor.worker_watch import WorkerWatch

NO_GOAL = 'no goal: publish a picture of one or send one to reach_goal'


class Activity(IntEnum):
    """What a world model is doing, numbered as ``world_model_interfaces/Heartbeat`` numbers it."""

    IDLE = 0
    PLANNING = 1
    BLIND = 2
    FAILED = 3


@dataclass(frozen=True)
class Sight:
    """
    Whether a world model sees.

    age: of the last usable observation [s], infinite before the first one
    overdue_after: age from which on it counts as blind [s]
    problem: why the newest observation could not be used; empty if it could
    """

    age: float
    overdue_after: float
    problem: str

    @property
    def is_blind(self) -> bool:
        """Whether several observations in a row were missing or of no use."""
        return self.age > self.overdue_after


def assess(
    workers: Iterable[WorkerWatch], hung_after: float, sight: Sight, purpose: str,
) -> tuple[Activity, str]:
    """
    Return what the model is doing and a sentence on why and what to do.

    The gravest thing wins: a model that fails is failed, whether it sees or not.

    :param workers: the threads that run the model
    :param hung_after: time inside the model from which on it counts as hung [s]
    :param purpose: what it plans for; empty when there is nothing to plan
    """
    for worker in workers:
        if trouble := worker.trouble(hung_after):
            return Activity.FAILED, trouble
    if sight.is_blind:
        return Activity.BLIND, sight.problem
    if purpose:
        return Activity.PLANNING, purpose
    return Activity.IDLE, NO_GOAL
