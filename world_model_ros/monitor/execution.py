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
Which actions will have been executed when the next plan arrives, by the controller's own report.

A plan starts from an observation and takes effect when it reaches the controller, camera, model and
network later; until then the robot goes on with what it has. So a planner that wants to know where
its plan will begin needs to know which plan the controller follows, which ones are still on their
way, and how long that takes. The controller reports all of it with each setpoint. One that has
never reported is assumed to follow what is proposed; one that falls silent (inactive, or dead)
follows nothing any more.

Everything asked for an observation uses only reports up to its stamp: what was recorded once gives
the same answers when it is played again, however late messages arrive.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from world_model_ros.monitor.action_log import ActionLog

if TYPE_CHECKING:
    from world_model_ros.bundle import Meaning

Float = npt.NDArray[np.float32]

SILENCE = 0.3  # s without a report from which on nothing is followed: drives stop by then
_HELD = 0.1  # s that a setpoint is held at most, if none follows it
_ON_THE_WAY = 0.2  # s that a plan may take longer than expected until it counts as lost
_REPORTS = 1024
_PLANS = 128
_LATENCIES = 50  # of which the percentile is taken: 5 s at 10 Hz
_LATENCIES_KEPT = 512  # with those of plans that came after an observation which is asked for late
_LEAST_LATENCIES = 5
_LONGEST_LATENCY = 10.0  # s; more is another clock
_TAIL = 3600.0  # s for which what comes after a plan's end is held


@dataclass(frozen=True, eq=False)
class Course:
    """A plan that was proposed; row k of actions [H, A] begins k steps after ``stamp`` [ns]."""

    id: str
    stamp: int
    step_duration: float
    actions: Float


@dataclass(frozen=True, eq=False)
class SetpointReport:
    """
    What a controller says of one setpoint: stamp [ns], the plan behind it, and the action [A].

    accepted and refused count the proposals that it has judged so far
    meaning: of the action; that of the model which it was converted for
    """

    stamp: int
    plan_id: str
    observation_stamp: int
    action: Float
    stopped: bool
    accepted: int
    refused: int
    meaning: Meaning | None = None


@dataclass(frozen=True, eq=False)
class Schedule:
    """
    What is executed from ``stamp`` [ns] on, as far as it is decided.

    reported: whether a controller says so, if only by having fallen silent; or else none ever
        said anything, and it is assumed that proposals are followed
    moving: whether a plan is followed or about to be
    course: the plan that is in force last, whose rest the next plan may start from
    meaning: of the actions
    setpoint: what the robot was last told [A], if a controller says so in such actions
    """

    stamp: int
    reported: bool
    moving: bool
    course: Course | None
    meaning: Meaning | None
    _pieces: tuple[tuple[int, Course], ...]
    setpoint: Float | None = None

    def actions(self, rows: int, row_duration: float, idle: Float) -> Float:
        """
        Return the action of each of the next ``rows`` rows, [rows, A], as ActionLog.rows does.

        ``idle`` [A] asks the robot to stay as it is, which it does where nothing is decided.
        """
        log, end = ActionLog(_TAIL), self.stamp + round(rows * row_duration * 1e9)
        add = partial(log.add, meaning=self.meaning)
        add(self.stamp, _TAIL, idle[None], self.stamp)
        for effective, course in self._pieces:
            if effective >= end:
                continue
            # Rows that begin later are left out: these are made while a plan is waited for.
            begun = max(math.ceil((end - course.stamp) / (course.step_duration * 1e9)), 0)
            add(course.stamp, course.step_duration, course.actions[:begun], effective)
            if begun > len(course.actions):
                over = course.stamp + round(len(course.actions) * course.step_duration * 1e9)
                add(over, _TAIL, idle[None], max(over, effective))
        actions = log.rows(self.stamp, end, rows, self.meaning) if rows else None
        return np.empty((0, len(idle)), np.float32) if actions is None else actions


@dataclass(frozen=True, eq=False)
class _Heard:
    """A report and what follows from it and those before."""

    report: SetpointReport
    refusing: bool  # whether the proposals that the controller judged last were refused
    newest: int  # stamp of the newest observation whose plan was ever followed


class Execution:
    """Puts proposals and reports together; writes what was executed into an ActionLog."""

    def __init__(self, log: ActionLog) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._courses: deque[Course] = deque(maxlen=_PLANS)
        self._reports: deque[_Heard] = deque(maxlen=_REPORTS)
        # First report of each plan: its stamp, and the seconds since the observation. Of anyone's
        # plan: where a recording is played, ours may be reported before it is made.
        self._latencies: deque[tuple[int, str, float]] = deque(maxlen=_LATENCIES_KEPT)
        self._reported_before = False  # at another time of a clock that was set back since
        self._asked = 0  # stamp of the observation that was asked for last

    def report(self, report: SetpointReport) -> None:
        """Take a report; from any thread."""
        with self._lock:
            last = self._reports[-1] if self._reports else None
            if last is not None and report.stamp < last.report.stamp:  # the clock was set back
                self._forget_reports()
                last = None
            refusing, newest, plan_id = False, report.observation_stamp, ''
            if last is not None:
                refusing = report.accepted <= last.report.accepted and (
                    last.refusing or report.refused > last.report.refused)
                newest, plan_id = max(newest, last.newest), last.report.plan_id
            self._reports.append(_Heard(report, refusing, newest))
            if report.plan_id and report.plan_id != plan_id:
                self._note_latency(report)
        self._log.add(report.stamp, _HELD, report.action[None], report.stamp, report.meaning)

    def propose(self, course: Course, schedule: Schedule, latency: float) -> None:
        """Note a plan before it is published; it takes effect ``latency`` s after its stamp."""
        with self._lock:
            self._courses.append(course)
        if not schedule.reported:
            self._log.add(course.stamp, course.step_duration, course.actions,
                          course.stamp + round(latency * 1e9), schedule.meaning)

    def latency(self, stamp: int) -> float | None:
        """
        From an observation to the first setpoint of its plan [s], as nine of ten recent plans had.

        None before enough plans were reported.
        """
        with self._lock:
            ours = {course.id for course in self._courses}
            known = [seconds for at, plan_id, seconds in self._latencies
                     if at <= stamp and plan_id in ours]
        recent = sorted(known[-_LATENCIES:])
        if len(recent) < _LEAST_LATENCIES:
            return None
        return recent[math.ceil(0.9 * len(recent)) - 1]  # np.percentile takes longer than all else

    def schedule(
        self, stamp: int, latency: float, patience: float, meaning: Meaning | None = None,
    ) -> Schedule:
        """
        What is executed from the observation at ``stamp`` [ns] on.

        latency: from an observation to the first setpoint of its plan [s]
        patience: where nobody ever reported, the age [s] from which on the last plan counts as
            given up
        meaning: of the actions that are asked for, and of all plans since the last ``forget``
        """
        with self._lock:
            if stamp < self._asked:  # the clock was set back
                self._restart()
            self._asked = stamp
            heard = self._heard(stamp)
            if heard is None and not self._reported_before:
                return self._assume(stamp, patience, meaning)
            if heard is None or stamp - heard.report.stamp > SILENCE * 1e9:
                return Schedule(stamp, True, False, None, meaning, ())
            report = heard.report
            pieces: list[tuple[int, Course]] = []
            followed = self._find(report.plan_id)
            setpoint = report.action if report.meaning == meaning else None
            if followed is None and setpoint is not None:
                # A plan that is not known here came from someone else: it goes on as it is.
                followed = Course('', report.stamp, _TAIL, setpoint[None])
            if followed is not None and report.plan_id and not report.stopped:
                pieces.append((stamp, followed))
            if not (report.stopped or heard.refusing):
                for course in self._courses:
                    due = course.stamp + round(latency * 1e9)
                    if (course.stamp > heard.newest
                            and report.stamp <= due + round(_ON_THE_WAY * 1e9)):
                        pieces.append((max(due, stamp), course))
            courses = [course for _, course in pieces if course.id]
            return Schedule(stamp, True, bool(pieces), courses[-1] if courses else None, meaning,
                            tuple(pieces), setpoint)

    def restart(self) -> None:
        """Begin anew after a pause, and perhaps at another time."""
        with self._lock:
            self._restart()

    def forget(self) -> None:
        """
        Continue nothing that was proposed before: another model's actions mean something else.

        What was reported still holds.
        """
        with self._lock:
            self._forget_plans()

    def forget_latencies(self) -> None:
        """Another model takes another time."""
        with self._lock:
            self._latencies.clear()

    def _restart(self) -> None:
        self._forget_reports()
        self._forget_plans()

    def _forget_plans(self) -> None:
        self._courses.clear()
        self._log.clear()

    def _forget_reports(self) -> None:
        """What was reported at another time; that somebody reports still holds."""
        self._reported_before = self._reported_before or bool(self._reports)
        self._reports.clear()
        self._latencies.clear()

    def _assume(self, stamp: int, patience: float, meaning: Meaning | None) -> Schedule:
        """Without any report, proposals count as followed until the next one is overdue."""
        course = self._courses[-1] if self._courses else None
        if course is not None and stamp > course.stamp + round(patience * 1e9):
            self._courses.clear()
            self._log.stop(course.stamp + round(patience * 1e9))
            course = None
        pieces = ((stamp, course),) if course is not None else ()
        return Schedule(stamp, False, course is not None, course, meaning, pieces)

    def _heard(self, stamp: int) -> _Heard | None:
        """The newest report up to ``stamp``."""
        index = bisect_right(self._reports, stamp, key=lambda it: it.report.stamp) - 1
        return self._reports[index] if index >= 0 else None

    def _find(self, plan_id: str) -> Course | None:
        return next((course for course in reversed(self._courses) if course.id == plan_id), None)

    def _note_latency(self, report: SetpointReport) -> None:
        seconds = (report.stamp - report.observation_stamp) / 1e9
        if 0.0 <= seconds < _LONGEST_LATENCY:
            self._latencies.append((report.stamp, report.plan_id, seconds))
