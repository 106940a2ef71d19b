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
From latents to proposals: the ``plan`` thread of the world model.

It plans at its own rate from the newest latent, and is the one place where a model is changed for
another as far as the robot is concerned: between two plans.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import numpy as np
import numpy.typing as npt
from rclpy.clock import Clock

from world_model_ros.inference import InferenceError
from world_model_ros.monitor import (
    ActionLog,
    Arrivals,
    Counters,
    Health,
    LatencyWindow,
    Level,
    Rate,
    WorkerWatch,
)
from world_model_ros.nodes.convert import NANOSECONDS
from world_model_ros.nodes.goals import Goal, Goals
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.observer import Encoded
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.nodes.world_model_parameters import WorldModelParameters
from world_model_ros.planning import Plan, WarmStart

Float = npt.NDArray[np.float32]

_PLANS_MISSED = 3  # in a row; the controller's late_after is of that order


@dataclass(frozen=True)
class Proposed:
    """A plan on its way to the robot; the stamp of the observation is the time of its first row."""

    encoded: Encoded
    goal: Goal | None
    plan: Plan

    @property
    def id(self) -> str:
        """Name of the plan, from stamp and goal."""
        return f'{self.encoded.stamp:x}-{self.goal_id}'

    @property
    def goal_id(self) -> str:
        """Name of the goal; empty for a model that has none."""
        return self.goal.id if self.goal else ''


@dataclass(frozen=True)
class _Running:
    """What is left of a plan without its model, which may be gone; its rows begin at stamp."""

    stamp: int
    step_duration: float
    warm_start: WarmStart

    def continued(self, elapsed: float, model: LoadedModel) -> WarmStart:
        """The plan as it continues after ``elapsed`` seconds, in steps of ``model``."""
        left = self.warm_start.after(elapsed, self.step_duration)
        times = np.arange(model.rows) * model.manifest.action.step_duration
        rows = np.minimum((times / self.step_duration + 1e-6).astype(int), len(left.actions) - 1)
        return WarmStart(left.actions[rows], left.elites[:, rows])


class Proposer:
    """Plans with one model at a time; ``publish`` and ``adopted`` take what follows from it."""

    def __init__(
        self, model: LoadedModel, parameters: WorldModelParameters, clock: Clock, goals: Goals,
        counts: Counters, troubles: Troubles, actions: ActionLog, *,
        publish: Callable[[Proposed], None], adopted: Callable[[LoadedModel], None],
    ) -> None:
        self.model = model
        self.watch = WorkerWatch('plan')
        self._parameters, self._clock, self._goals = parameters, clock, goals
        self._counts, self._troubles, self._actions = counts, troubles, actions
        self._publish, self._adopted = publish, adopted
        self._due = 0  # stamp [ns] from which on the next plan is wanted
        self._running: _Running | None = None
        self._rate, self._arrivals = Rate(), Arrivals()
        self._plan_time, self._latency = LatencyWindow(), LatencyWindow()

    def restart(self) -> None:
        """Begin anew after a pause: what was proposed before it is not continued."""
        self._running, self._due = None, 0
        self._actions.clear()
        self._arrivals.restart()
        self.watch.succeeded()

    # In the worker's thread

    def plan(self, encoded: Encoded) -> None:
        """Plan from a latent if there is a goal and a plan is due."""
        if encoded.model is not self.model:
            self.adopt(encoded.model)
        self._forget_what_was_given_up(encoded.stamp)
        goal = self._goals.current
        if goal is None and encoded.model.manifest.has_goal:
            self.watch.succeeded()
            return
        stranger = goal is not None and goal.model is not encoded.model
        if not self._is_due(encoded.stamp) or stranger:
            return
        try:
            with self.watch.inside('planning'):
                plan = self._imagine(encoded, goal)
        except InferenceError as error:
            self._fail(str(error))
            return
        if not math.isfinite(plan.cost):
            self._fail('the model predicts NaN or infinity for every plan')
            return
        self.watch.succeeded()
        self._troubles.over()
        # Not for a goal that was replaced while planning.
        if goal is None or self._goals.reached(goal, plan.goal_distance):
            self._propose(Proposed(encoded, goal, plan))

    def adopt(self, model: LoadedModel) -> None:
        """Propose with another model from now on; in the worker's thread, or without it."""
        if not model.drives_like(self.model):
            self._running = None  # its actions mean something else
            self._actions.clear()
        self._plan_time, self._latency = LatencyWindow(), LatencyWindow()
        self._adopted(model)
        self.model.close()
        self.model = model

    def _forget_what_was_given_up(self, stamp: int) -> None:
        """Without a newer plan the controller brakes: what was left of the last one is void."""
        running = self._running
        if running is None:
            return
        period = 1 / self._parameters.real('plan_rate')
        if math.isfinite(usual := self._arrivals.period()):
            period = max(period, usual)  # slow images or plans
        left = running.stamp + int(_PLANS_MISSED * period * NANOSECONDS)
        if not running.stamp <= stamp <= left:
            self._running = None
            self._actions.stop(left)

    def _is_due(self, stamp: int) -> bool:
        period = int(NANOSECONDS / self._parameters.real('plan_rate'))
        if self._due - period > stamp:
            self._due = 0  # the clock was set back
        # Images come with jitter; one that is early by up to 5 ms is not left out.
        if stamp < self._due - NANOSECONDS // 200:
            return False
        self._due = max(self._due, stamp - period // 2) + period
        return True

    def _imagine(self, encoded: Encoded, goal: Goal | None) -> Plan:
        deadline = monotonic() + self._parameters.real('plan_deadline')
        action = encoded.model.manifest.action
        warm_start = self._warm_start(encoded)
        rows = math.ceil(
            self._parameters.real('expected_latency') / action.step_duration - 1e-9)
        # Without a plan that runs, the robot stays as it is until the first command.
        committed = warm_start.actions[:rows] if warm_start is not None else np.tile(
            encoded.model.graphs.idle(encoded.context), (rows, 1))
        return encoded.model.planner.plan(
            encoded.context, goal.target if goal else None, committed=committed,
            warm_start=warm_start, seed=encoded.stamp, deadline=deadline)

    def _warm_start(self, encoded: Encoded) -> WarmStart | None:
        """The last plan as it continues now; None if there is none that runs."""
        if self._running is None:
            return None
        elapsed = (encoded.stamp - self._running.stamp) / NANOSECONDS
        return self._running.continued(elapsed, encoded.model)

    def _propose(self, proposed: Proposed) -> None:
        encoded, plan = proposed.encoded, proposed.plan
        self._publish(proposed)
        now = self._clock.now().nanoseconds
        step = encoded.model.manifest.action.step_duration
        self._running = _Running(encoded.stamp, step, plan.warm_start)
        self._actions.add(encoded.stamp, step, plan.actions, now)
        self._counts.add('proposals')
        self._rate.tick(monotonic())
        self._arrivals.tick(monotonic())
        self._plan_time.add(plan.planning_time)
        self._latency.add((now - encoded.stamp) / NANOSECONDS)

    def _fail(self, reason: str) -> None:
        self._troubles.note('plans_refused', reason)
        self.watch.failed(reason)

    # Health, from any thread

    def health(self) -> Health:
        """What /diagnostics says of the planning."""
        now = monotonic()
        values = {
            'model_digest': self.model.digest,
            'plan_rate_hz': f'{self._rate.hertz(now):.1f}',
            **self._plan_time.values('plan'),
            **self._latency.values('observation_to_proposal')}
        if self.watch.problem:
            return Health('planning', Level.ERROR, self.watch.problem, values)
        late = self._latency.percentile(99)
        expected = self._parameters.real('expected_latency')
        if late > expected:
            return Health('planning', Level.WARN, f'one plan in a hundred is {late:.3f} s old when '
                          f'it is published, expected_latency is {expected:g} s: raise it, or '
                          'lower plan_deadline', values)
        return Health('planning', Level.OK, 'in time', values)
