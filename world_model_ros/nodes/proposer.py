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
another as far as the robot is concerned: between two plans. A plan begins where the robot will be
when it arrives: its first rows repeat what will have been executed until then, and the search goes
on from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import numpy as np
import numpy.typing as npt
from rclpy.clock import Clock

from world_model_ros.inference import InferenceError, JointTarget
from world_model_ros.monitor import (
    SILENCE,
    Arrivals,
    Counters,
    Course,
    Execution,
    Health,
    Level,
    PercentileWindow,
    PlanTurns,
    Rate,
    Reachability,
    Schedule,
    WorkerWatch,
)
from world_model_ros.nodes.controller_reports import ControllerReports
from world_model_ros.nodes.convert import NANOSECONDS
from world_model_ros.nodes.goals import Goal, Goals
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.observer import Encoded
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.nodes.world_model_parameters import WorldModelParameters
from world_model_ros.planning import Plan, WarmStart

Float = npt.NDArray[np.float32]

_PLANS_MISSED = 3  # in a row; the controller's late_after is of that order
_SPARE_ROW = 0.1  # part of a row that a plan may be late and still begin with this row


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
class _Left:
    """What a search left over besides its plan: other sequences [E, H, A], on the plan's rows."""

    plan_id: str
    elites: Float


class Proposer:
    """Plans with one model at a time; ``publish`` and ``adopted`` take what follows from it."""

    def __init__(
        self, model: LoadedModel, parameters: WorldModelParameters, clock: Clock, goals: Goals,
        counts: Counters, troubles: Troubles, execution: Execution,
        reports: ControllerReports, *,
        publish: Callable[[Proposed], None], adopted: Callable[[LoadedModel], None],
        log: Callable[[str], object],
    ) -> None:
        self.model = model
        self.watch = WorkerWatch('plan')
        self._parameters, self._clock, self._goals = parameters, clock, goals
        self._counts, self._troubles = counts, troubles
        self._execution, self._reports = execution, reports
        self._publish, self._adopted, self._log = publish, adopted, log
        self._turns = PlanTurns()
        self._left: _Left | None = None
        self._rate, self._arrivals = Rate(), Arrivals()
        self._reported, self._assumed = False, math.nan
        self._reachability = Reachability()
        self._forget_times()
        self._tell_of_verdicts()

    def restart(self) -> None:
        """Begin anew after a pause: what was proposed before it is not continued."""
        self._left = None
        self._reachability = Reachability()
        self._turns.restart()
        self._execution.restart()
        self._arrivals.restart()
        self.watch.succeeded()

    # In the worker's thread

    def plan(self, encoded: Encoded) -> None:
        """Plan from a latent if there is a goal and a plan is due."""
        if encoded.model is not self.model:
            self.adopt(encoded.model)
        latency = self._latency_at(encoded.stamp)
        schedule = self._execution.schedule(
            encoded.stamp, latency, self._patience(), self.model.manifest.action.meaning)
        self._reported, self._assumed = schedule.reported, latency
        goal = self._goals.current
        if goal is None and encoded.model.manifest.has_goal:
            self.watch.succeeded()
            return
        stranger = goal is not None and goal.model is not encoded.model
        period = int(NANOSECONDS / self._parameters.real('plan_rate'))
        if stranger or not self._turns.take(encoded.stamp, period):  # a stranger takes no turn
            return
        try:
            with self.watch.inside('planning'):
                plan = self._imagine(encoded, goal, schedule, latency)
        except InferenceError as error:
            self._fail(str(error))
            return
        if not math.isfinite(plan.cost):
            self._fail('the model predicts NaN or infinity for every plan')
            return
        self.watch.succeeded()
        self._troubles.over()
        # Not for a goal that was replaced while planning.
        if goal is not None and self._is_out_of_reach(encoded, goal, plan, schedule):
            return
        if goal is None or self._goals.reached(goal, plan.goal_distance, encoded.stamp):
            self._propose(Proposed(encoded, goal, plan), schedule, latency)

    def adopt(self, model: LoadedModel) -> None:
        """Propose with another model from now on; in the worker's thread, or without it."""
        if not model.drives_like(self.model):
            self._left = None  # its actions mean something else
            self._execution.forget()
        self._reachability = Reachability()  # another model, another distance
        self._forget_times()
        self._adopted(model)
        self.model.close()
        self.model = model
        self._tell_of_verdicts()

    def _tell_of_verdicts(self) -> None:
        goal = self.model.manifest.goal
        if goal is not None and goal.reachable is None:
            self._log(f'{self.model.name} has no goal.reachable in its bundle: goals that are out '
                      'of reach are pursued for ever ("wmros calibrate" computes it)')

    def _is_out_of_reach(
        self, encoded: Encoded, goal: Goal, plan: Plan, schedule: Schedule,
    ) -> bool:
        contract = encoded.model.manifest.goal
        if contract is None or isinstance(goal.target, JointTarget):
            return False
        reachable, end = contract.reachable, float(plan.step_costs[-1])
        if reachable is None or not self._reachability.is_out_of_reach(
                goal.id, encoded.stamp, end, reachable,
                schedule.moving or not schedule.reported, self._patience()):
            return False
        self._goals.abandon(
            goal, f'goal {goal.id} is out of reach: the best plan for it is predicted to end at '
            f'distance {self._reachability.best():.3g}, goals in reach end below {reachable:g}, '
            'and it gets no better: show what this robot can reach, as this camera sees it, or '
            'calibrate goal.reachable of the bundle')
        return True

    def _forget_times(self) -> None:
        self._plan_time, self._latency = PercentileWindow(), PercentileWindow()
        self._samples, self._iterations = PercentileWindow(), PercentileWindow()
        self._execution.forget_latencies()

    def _latency_at(self, stamp: int) -> float:
        """From this observation to the first command that will follow from it [s]: as assumed."""
        expected, longest = (self._parameters.real(name) for name in (
            'expected_latency', 'max_latency'))
        measured = self._execution.latency(stamp) if self._reported else None
        step = self.model.manifest.action.step_duration
        # One row at least is left to decide.
        return min(expected if measured is None else measured, longest,
                   (self.model.rows - 1) * step)

    def _patience(self) -> float:
        """Without reports, the age [s] from which on a plan that no other followed is void."""
        period = 1 / self._parameters.real('plan_rate')
        if math.isfinite(usual := self._arrivals.period()):
            period = max(period, usual)  # slow images or plans
        return _PLANS_MISSED * period

    def _imagine(
        self, encoded: Encoded, goal: Goal | None, schedule: Schedule, latency: float,
    ) -> Plan:
        deadline = monotonic() + self._parameters.real('plan_deadline')
        model = encoded.model
        step = model.manifest.action.step_duration
        rows = max(math.ceil(latency / step - _SPARE_ROW), 0)
        committed = schedule.actions(
            rows, step, model.graphs.idle(encoded.context, schedule.setpoint))
        return model.planner.plan(
            encoded.context, goal.target if goal else None, setpoint=schedule.setpoint,
            committed=committed, warm_start=self._warm_start(encoded, schedule.course),
            seed=encoded.stamp, deadline=deadline)

    def _warm_start(self, encoded: Encoded, course: Course | None) -> WarmStart | None:
        """The plan in force as it continues from now on, in steps of the model."""
        if course is None:
            return None
        left, model = self._left, encoded.model
        elites = (left.elites if left is not None and left.plan_id == course.id
                  else np.empty((0, *course.actions.shape), np.float32))
        rest = WarmStart(course.actions, elites).after(
            (encoded.stamp - course.stamp) / NANOSECONDS, course.step_duration)
        step = model.manifest.action.step_duration
        if (step, model.rows) == (course.step_duration, len(course.actions)):
            return rest
        # Those of another model may last longer or be fewer.
        times = np.arange(model.rows) * step
        rows = np.minimum((times / course.step_duration + 1e-6).astype(int), len(rest.actions) - 1)
        return WarmStart(rest.actions[rows], rest.elites[:, rows])

    def _propose(self, proposed: Proposed, schedule: Schedule, latency: float) -> None:
        encoded, plan = proposed.encoded, proposed.plan
        step = encoded.model.manifest.action.step_duration
        # Before anyone can report it.
        self._execution.propose(
            Course(proposed.id, encoded.stamp, step, plan.actions), schedule, latency)
        self._left = _Left(proposed.id, plan.warm_start.elites)
        self._publish(proposed)
        now = self._clock.now().nanoseconds
        self._counts.add('proposals')
        self._rate.tick(monotonic())
        self._arrivals.tick(encoded.stamp / NANOSECONDS)
        self._plan_time.add(plan.planning_time)
        self._samples.add(plan.samples)
        self._iterations.add(plan.iterations)
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
            'samples_p50': _whole(self._samples), 'iterations_p50': _whole(self._iterations),
            **self._latency.values('observation_to_proposal'),
            'latency_assumed_ms': f'{1e3 * self._assumed:.0f}',
            'latency_from': 'controller_state' if self._reported else 'expected_latency',
            'controller_state_rate_hz': f'{self._reports.rate.hertz(now):.1f}'}
        if self.watch.problem:
            return Health('planning', Level.ERROR, self.watch.problem, values)
        if self._reports.problem:
            return Health('planning', Level.WARN, self._reports.problem, values)
        late = self._latency.percentile(99)
        if not self._reported and late > (expected := self._parameters.real('expected_latency')):
            return Health('planning', Level.WARN, f'one plan in a hundred is {late:.3f} s old when '
                          f'it is published, expected_latency is {expected:g} s: raise it, or '
                          'lower plan_deadline; or remap controller_state to the state of the '
                          'controller, from which the latency is known', values)
        measured = self._execution.latency(self._clock.now().nanoseconds)
        longest = self._parameters.real('max_latency')
        if self._reported and measured is not None and measured > longest:
            return Health('planning', Level.WARN, f'the controller begins with a plan '
                          f'{measured:.3f} s after its observation, max_latency is {longest:g} s: '
                          'raise it, or make planning and network faster', values)
        followed = ''
        if not self._reported:
            followed = '; no controller reports, proposals count as followed'
        elif self._reports.rate.age(now) > SILENCE:
            followed = '; the controller has fallen silent, nothing counts as followed'
        return Health('planning', Level.OK, f'in time{followed}', values)


def _whole(window: PercentileWindow) -> str:
    return f'{window.percentile(50):.0f}' if len(window) else 'n/a'
