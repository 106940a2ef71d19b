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
"""One fault, from a moving arm to a moving arm, and what was measured on the way."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from dds import InVainError
from faults.cell import Cell, Numbers
from faults.recording import (
    NANOSECONDS,
    Line,
    Recording,
    State,
    Status,
    Vector,
    Violations,
    braking_since,
    check_limits,
    first,
    vector,
)
from faults.relay import CLOCK_PERIOD

from world_model_interfaces.msg import ControllerState

REACTION = 0.150  # s from detectable to decelerating, at most
CLOCK_PAUSE = 0.15  # s without a new time on /clock
AT_ONCE = 0.1  # s after a fault in which nothing but the fault itself can have ended a motion
TICK = 0.010  # s between two words of the simulator
LOST = 0.05  # share of a trial for which a simulator stands still that its machine does not run
STARVED = 0.1  # s without a processor, of the other nodes, that make plans and news late
NODES = ('simulator', 'relay', 'world_model', 'rogue')  # whose messages a verdict is about
FIRST = 0.020  # s of acceleration that one command may hold at most: two control periods
REST = 0.050  # s beyond reaction and braking that standstill may take: five control periods


class Step(Enum):
    """The ladder step in which a fault has to end."""

    HOLD = 'brakes and holds'
    BRAKE = 'brakes, then goes on'
    TRACK = 'goes on'
    LAST = 'goes on, and begins nothing anew'
    DRIVE = 'the drive stops the arm'


@dataclass(frozen=True)
class Fault:
    """One row of the table; times are in nanoseconds of the machine's clock."""

    name: str
    how: str
    """How it is injected, for a reader of the table."""
    noticed: str
    """The documented condition that makes it detectable."""
    step: Step
    inject: Callable[[Cell], int]
    """Bring the fault about; return when it began."""
    cure: Callable[[Cell], int]
    """Let its cause go away; return when."""
    detectable: Callable[[Recording, Numbers, int], int | None]
    """When the condition became true, from the recording and when the fault began."""
    says: tuple[str, str] | None = None
    """Patterns of a diagnostics status' name and message that a person must get to read."""
    restarts: str = ''
    """The process that `cure` starts anew: 'model' or 'controller'."""
    simulated_time: bool = False
    missing: Callable[[], str] = lambda: ''
    """Why it can not be tried on this machine, in one line; empty if it can."""


@dataclass
class Result:
    """What was measured; durations in s, None where it did not happen."""

    fault: Fault
    noticed_after: float | None = None
    """From the fault to detectable."""
    braking_after: float | None = None
    """From detectable to the first setpoint of DECELERATE."""
    rest_after: float | None = None
    """From the fault to the first setpoint of zero."""
    waited: float = 0.0
    """How long the kernel had the controller wait for a processor meanwhile."""
    recovered_after: float | None = None
    """From the cure to the first setpoint that moves."""
    violations: Violations = field(default_factory=Violations)
    said: Status | None = None
    wrong: list[str] = field(default_factory=list)
    """What no machine may make of the nodes, however busy: limits, ends, motion begun anew."""
    late: list[str] = field(default_factory=list)
    """What came too late or not at all, which nodes that do not run can not help."""
    stuck: bool = False
    """Whether it ended in the middle, where something was waited for in vain."""
    excuse: str = ''
    """How it was seen that this machine did not run the nodes; empty if it did."""

    @property
    def complaints(self) -> list[str]:
        return [*self.wrong, *self.late, *([self.excuse] if self.excuse else [])]

    @property
    def starved(self) -> bool:
        """Whether nothing was wrong but times, for want of a processor: to be tried again."""
        return bool(self.late and self.excuse and not self.wrong)

    def summary(self) -> str:
        """Return everything measured, in one line."""
        def show(seconds: float | None) -> str:
            return '-' if seconds is None else f'{1e3 * seconds:.0f} ms'

        said = f'{self.said.name}: {self.said.message}' if self.said else '-'
        return (f'{self.fault.name}: noticed {show(self.noticed_after)}, braking '
                f'{show(self.braking_after)} later (kernel {show(self.waited)}), rest '
                f'{show(self.rest_after)}, {self.violations.count} of {self.violations.checked} '
                f'outside, moves {show(self.recovered_after)} after the cure; "{said}"')


def observation_late(recording: Recording, numbers: Numbers, since: int) -> int | None:
    """The observation behind the newest usable proposal is older than late_after."""
    late = round(numbers.late_after * NANOSECONDS)
    usable = round((numbers.late_after + numbers.finish_duration) * NANOSECONDS)
    newest = 0
    for line in recording.lines('proposal', since - NANOSECONDS):
        stamp = line.fields[0]
        if newest and line.sent > max(newest + late, since):
            break  # this one came too late
        if -0.05 * NANOSECONDS <= line.sent - stamp <= usable:
            newest = max(newest, stamp)
    return max(newest + late, since) if newest else None


def joints_stale(recording: Recording, numbers: Numbers, since: int) -> int | None:
    """The newest usable joint state is older than joint_state_timeout."""
    timeout = round(numbers.joint_state_timeout * NANOSECONDS)
    newest = 0
    for line in recording.lines('joints', since - NANOSECONDS):
        stamp = line.fields[0]
        if newest and line.sent > max(newest + timeout, since):
            break
        if abs(line.sent - stamp) <= timeout:
            newest = max(newest, stamp)
    return max(newest + timeout, since) if newest else None


def heartbeat_failed(recording: Recording, numbers: Numbers, since: int) -> int | None:
    """A heartbeat said FAILED."""
    line = first(recording.lines('heartbeat', since), lambda line: line.fields[0] == 3)
    return line.sent if line else None


def setpoint_left_frozen_joint(
    recording: Recording, numbers: Numbers, since: int
) -> int | None:
    """The setpoint has moved by half of following_tolerance since the joints last changed."""
    joints = recording.lines('joints', since - NANOSECONDS, since + NANOSECONDS // 20)
    frozen = next(line for line in joints if line.fields[1] == joints[-1].fields[1]).sent
    states = [state for state in recording.states(frozen - NANOSECONDS) if len(state.position)]
    # Where the setpoint was when they did: the tick that reads them moves it on already.
    origin = [state for state in states if state.sent < frozen][-1].position
    moved = first([state for state in states if state.sent >= frozen], lambda state: bool(
        np.abs(state.position - origin).max() > numbers.following_tolerance / 2))
    return moved.sent if moved else None


def clock_stands(recording: Recording, numbers: Numbers, since: int) -> int | None:
    """The clock has stood for as long as a pause may take."""
    return since + round(CLOCK_PAUSE * NANOSECONDS)


def at_once(recording: Recording, numbers: Numbers, since: int) -> int | None:
    """The fault itself is what is noticed."""
    return since


def whichever_first(
    *conditions: Callable[[Recording, Numbers, int], int | None]
) -> Callable[[Recording, Numbers, int], int | None]:
    """The earliest of several conditions."""
    def earliest(recording: Recording, numbers: Numbers, since: int) -> int | None:
        times = [condition(recording, numbers, since) for condition in conditions]
        return min((time for time in times if time is not None), default=None)
    return earliest


def try_fault(cell: Cell, fault: Fault) -> Result:
    """Move, spoil, watch, cure, move again; return what was measured and what was wrong."""
    result, before = Result(fault), time.time_ns()
    running = {'model': cell.model, 'controller': cell.controller}
    senders: set[str] | None = None
    times: tuple[int, int] | None = None
    try:
        cell.move()
        senders = {line.publisher for line in cell.commands(0)}
        times = _spoil_and_cure(cell, fault, result)
    except InVainError as error:
        result.stuck = True
        result.late.append(str(error))
    for name, process in running.items():
        if process.poll() is not None and fault.restarts != name:
            result.wrong.append(f'the {name} ended with exit code {process.returncode}')
    cell.recording.read()
    rogues = [] if senders is None or fault.restarts == 'controller' else sorted(
        {line.publisher for line in cell.commands(before)} - senders)
    _judge_limits(cell, result, before, rogues)
    if times is not None:
        _measure(cell, result, *times, before, rogues)
    if result.late:
        _excuse(result, cell.recording, before)
    return result


def _spoil_and_cure(cell: Cell, fault: Fault, result: Result) -> tuple[int, int]:
    """Return when the fault began and when its cause went away, once the arm moves again."""
    injected = fault.inject(cell)
    stops = fault.step in (Step.HOLD, Step.DRIVE)
    if stops:
        cell.wait_for(lambda: _robot_rests(cell, fault, injected), 10.0,
                      f'the arm to rest after: {fault.name}')
    else:
        cell.wait(1.0)
    if fault.says is not None:
        _wait_until_said(cell, fault, injected, result)
    if stops:
        cell.wait(0.3)
    cell.send_far()  # a goal must not help
    if stops:
        cell.wait(0.1)
    cured = fault.cure(cell)
    after = max(cured, time.time_ns())
    cell.wait_for(lambda: cell.is_moving(after) or cell.turn_round(), 30.0,
                  f'the arm to move again after: {fault.name}')
    return injected, cured


def _excuse(result: Result, recording: Recording, since: int) -> None:
    """Find out whether the machine ran the nodes in a trial in which something was late."""
    gaps = silences(recording, since)
    stall, lost = float(np.max(gaps, initial=0.0)), time_lost(gaps)
    # The simulator knows nothing of the fault: the whole machine stood still.
    if stall > REACTION and not result.stuck:
        result.excuse = f'the simulator stood still for {stall:.3f} s, too'
    elif lost > LOST:
        result.excuse = f'the simulator stood still for {lost:.0%} of the time, too'
    elif result.noticed_after == 0.0 and result.fault.detectable is not at_once:
        # What was to be brought about was there before: plans or joint states came too late.
        result.excuse = 'the machine was late before the fault began'


def silences(recording: Recording, since: int) -> Vector:
    """Return the times [s] between words of the simulator, who owes one every 10 ms."""
    gaps: Vector = np.diff([line.sent for line in recording.lines('robot', since)]) / NANOSECONDS
    return gaps


def time_lost(gaps: Vector) -> float:
    """Return the share of the time in which a word from the simulator was overdue by a tick."""
    if not len(gaps):
        return 1.0
    return float(np.sum(np.maximum(gaps - 2 * TICK, 0.0)) / np.sum(gaps))


def _robot_rests(cell: Cell, fault: Fault, since: int) -> bool:
    if fault.step is Step.DRIVE:
        robot = cell.recording.newest('robot')
        return robot is not None and robot.sent > since + NANOSECONDS // 10 and bool(
            np.abs(vector(robot.fields[2])).max() < 0.02)
    return cell.rests(since)


def _wait_until_said(cell: Cell, fault: Fault, since: int, result: Result) -> None:
    assert fault.says is not None
    name, message = fault.says

    def said() -> bool:
        for status in cell.recording.statuses(since):
            if status.level > 0 and re.search(name, status.name) and re.search(
                    message, status.message):
                result.said = status
                return True
        return False

    try:
        cell.wait_for(said, 6.0, 'the text')
    except InVainError:
        heard = [f'{status.name}: {status.message}' for status in cell.read_aloud(since)]
        result.late.append(f'nobody said /{message}/ of /{name}/, but {heard}')


def _judge_limits(cell: Cell, result: Result, since: int, rogues: Sequence[str]) -> None:
    result.violations = check_limits(
        cell.recording, cell.numbers.limits, since, time.time_ns(), rogues,
        slack=2 * CLOCK_PERIOD if result.fault.simulated_time else 0.0)
    for example in result.violations.examples:
        result.wrong.append(f'outside limits: {example}')


def _measure(
    cell: Cell, result: Result, injected: int, cured: int, before: int, rogues: Sequence[str]
) -> None:
    recording, fault, numbers = cell.recording, result.fault, cell.numbers
    everything = [line for line in cell.commands(before) if line.publisher not in rogues]
    commands = [line for line in everything if line.sent >= injected]
    moving = first([line for line in commands if line.sent > cured],
                   lambda line: bool(np.any(vector(line.fields[0]))))
    result.recovered_after = (moving.sent - cured) / NANOSECONDS if moving else None
    if fault.step is not Step.DRIVE:
        _complain_of_silence(result, recording, everything)
    states = recording.states(injected, cured)
    if fault.step is Step.TRACK:
        _complain_of_braking(result, recording, states)
        return
    if fault.step is Step.DRIVE:
        _measure_drive(cell, result, injected, cured)
        if not fault.restarts:  # of a new process, the recorder may miss the first commands
            commands = [line for line in cell.commands(before - NANOSECONDS)
                        if not _was_on_its_way(recording, line, injected, cured)]
            _complain_of_a_lurch(result, commands, cured, numbers)
        return
    if fault.step is Step.LAST:
        around = round(AT_ONCE * NANOSECONDS)
        if any(state.rung < ControllerState.DECELERATE
               for state in recording.states(injected - around, injected)[-1:]):
            _complain_of_braking(result, recording, recording.states(injected, injected + around))
        rested = first(states, lambda state: state.rung == ControllerState.HOLD)
        if rested and any(np.any(state.velocity) for state in states if state.sent > rested.sent):
            result.wrong.append('it rested, and moved again before the cure')
        return
    detectable = fault.detectable(recording, numbers, injected)
    if detectable is None:
        result.late.append(f'never detectable: {fault.noticed}')
        return
    result.noticed_after = (detectable - injected) / NANOSECONDS
    braking = first(recording.states(injected), lambda state: (
        state.rung >= ControllerState.DECELERATE))
    if braking is None:
        result.late.append('it never decelerated')
        return
    result.braking_after = (braking.sent - detectable) / NANOSECONDS
    result.waited = recording.waited(min(detectable, braking.sent), braking.sent)
    if result.braking_after > REACTION + result.waited:
        result.late.append(
            f'it began to brake {result.braking_after:.3f} s after the fault was detectable; the '
            f'kernel had it wait for {result.waited:.3f} s of these')
    if fault.step is Step.HOLD:
        _measure_rest(result, [line for line in commands if line.sent < cured], injected,
                      detectable, recording, numbers)
    others = recording.waited(min(detectable, braking.sent), braking.sent, NODES)
    if result.late and others > STARVED:
        # The recorder, which goes first, knew before those who had to tell the controller.
        result.excuse = f'meanwhile the other nodes waited {others:.2f} s for the processor'


def _complain_of_silence(result: Result, recording: Recording, commands: Sequence[Line]) -> None:
    """A setpoint every period, whatever happens: no gap beyond what the kernel is to blame for."""
    for earlier, later in itertools.pairwise(commands):
        gap = (later.sent - earlier.sent) / NANOSECONDS
        if gap > REACTION and gap > REACTION + (
                waited := recording.waited(earlier.sent, later.sent)):
            result.late.append(
                f'no setpoint for {gap:.3f} s; the kernel had the controller wait for '
                f'{waited:.3f} s of these')


def _measure_rest(
    result: Result, commands: Sequence[Line], injected: int, detectable: int,
    recording: Recording, numbers: Numbers,
) -> None:
    """Compare with the wire alone: when setpoints began to slow down, and when they were zero."""
    braked = braking_since(commands)
    if braked is None:
        result.late.append('setpoints were not zero at the end')
        return
    begin, rest = braked
    result.rest_after = (rest - injected) / NANOSECONDS
    late = (begin - detectable) / NANOSECONDS
    if late > REACTION + result.waited:
        result.late.append(
            f'on the wire, setpoints slowed down only {late:.3f} s after the fault was detectable')
    taken = (rest - max(begin, detectable)) / NANOSECONDS
    waited = recording.waited(min(begin, rest), rest)
    if taken > numbers.stopping_time + REST + waited:
        result.late.append(f'braking took {taken:.3f} s')


def _complain_of_braking(
    result: Result, recording: Recording, states: Sequence[State]
) -> None:
    braked = first(states, lambda state: state.rung >= ControllerState.DECELERATE)
    if braked:
        waited = recording.waited(braked.sent - round(0.4 * NANOSECONDS), braked.sent, NODES)
        result.late.append(f'it braked: {braked.cause}')
        if waited > STARVED:
            result.excuse = f'in the last 0.4 s the nodes waited {waited:.2f} s for the processor'


def _was_on_its_way(recording: Recording, command: Line, injected: int, cured: int) -> bool:
    """Whether a command was just being sent when its process was stopped: nobody takes it back.

    The state that follows it says for when it was computed.
    """
    if command.sent < cured:
        return False
    state = first(recording.states(command.sent), lambda _: True)
    return state is not None and state.stamp < injected


def _complain_of_a_lurch(
    result: Result, commands: Sequence[Line], cured: int, numbers: Numbers
) -> None:
    """The arm stands when its controller is back: it is to begin at rest, whatever went before.

    Commands that a starved recorder missed, as the sender's own count tells, may have held
    acceleration, too. (Nothing else that is wrong with a limit can be made up by who is late: the
    stamps are the sender's.)
    """
    pairs = (pair for pair in itertools.pairwise(commands) if pair[1].sent > cured)
    last, begun = next(pairs, (None, None))
    if last is None or begun is None:
        result.late.append('no command after the cure was recorded')
        return
    count = max((begun.sequence or 0) - (last.sequence or 0), 1)
    speed = np.abs(vector(begun.fields[0]))
    if np.any(speed > numbers.limits.acceleration * FIRST * count):
        result.wrong.append(f'the first command to an arm that stood was {speed} rad/s')


def _measure_drive(cell: Cell, result: Result, injected: int, cured: int) -> None:
    """Without a controller there are no setpoints; the robot itself is looked at."""
    still = first(cell.recording.lines('robot', injected + 10_000_000, cured), lambda line: bool(
        np.abs(vector(line.fields[2])).max() < 0.02))
    if still is None:
        result.late.append('the arm did not stop')
        return
    result.rest_after = (still.sent - injected) / NANOSECONDS
