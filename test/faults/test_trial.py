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
"""A busy machine excuses what comes late, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from dds import InVainError
from faults.cell import Cell, shipped_numbers
from faults.recording import NANOSECONDS, Line, Recording
from faults.trial import Fault, Result, Step, at_once, try_fault

TICK = NANOSECONDS // 100
TICKS = 60
GAP = range(20, 39)  # 0.19 s


@dataclass
class Process:
    """A node's process that runs on, or one that ended."""

    returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode


class Played:
    """A cell of which only the recording is there; what a trial waits for has always happened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.recording = Recording(path)
        self.numbers = shipped_numbers()
        self.model, self.controller = Process(), Process()
        self.stuck = False

    def write(self, lines: Sequence[list[Any]]) -> None:
        """Record, and wait until all of it lies in the past."""
        lines = sorted(lines, key=lambda line: line[1])
        with self._path.open('a', encoding='utf-8') as file:
            file.writelines(json.dumps(line) + '\n' for line in lines)
        self.recording.read()
        time.sleep(max((lines[-1][1] - time.time_ns()) / NANOSECONDS, 0.0))

    def commands(self, since: int) -> list[Line]:
        return self.recording.lines('command', since)

    def send_far(self) -> None:
        pass

    def move(self) -> None:
        self.write([command(time.time_ns(), 0, 0.0)])

    def wait(self, _: float) -> None:
        pass

    def wait_for(self, condition: Callable[[], bool], within: float, what: str) -> None:
        if self.stuck:
            raise InVainError(f'waited {within:g} s in vain for {what}')


def command(sent: int, number: int, speed: float) -> list[Any]:
    return ['command', sent, sent, number, 'controller', [speed, 0.0]]


def robot(sent: int, number: int) -> list[Any]:
    return ['robot', sent, sent, number, 'simulator', sent, [0.0, 0.0], [0.0, 0.0]]


def state(sent: int, number: int, stamp: int) -> list[Any]:
    return ['state', sent, sent, number, 'controller', stamp, 0, '', '', 0, [0.0, 0.0], [0.0, 0.0],
            False, '', 0, 0]


def tried(
    path: Path, *, commands: Sequence[tuple[int, float]], simulator: Sequence[int],
    step: Step = Step.TRACK, cured: int = TICKS, ends: bool = False, stuck: bool = False,
    missed: Sequence[int] = (), states: Sequence[tuple[int, int]] = (),
) -> Result:
    """Play a trial: commands as (tick, speed), the simulator's ticks, and the tick of the cure.

    `missed`: ticks of commands that were sent, and not recorded. `states`: the ticks at which
    states were sent, and those for which they were computed.
    """
    cell = Played(path)

    def inject(_: Cell) -> int:
        now = time.time_ns()
        cell.write([*(command(now + tick * TICK, number, speed)
                      for number, (tick, speed) in enumerate(commands, 1) if tick not in missed),
                    *(robot(now + tick * TICK, tick) for tick in simulator),
                    *(state(now + tick * TICK, tick, now + computed * TICK)
                      for tick, computed in states)])
        if ends:
            cell.model.returncode = 1
        cell.stuck = stuck
        injected.append(now)
        return now

    injected: list[int] = []
    fault = Fault('played', '', '', step, inject, lambda _: injected[0] + cured * TICK, at_once)
    return try_fault(cast(Cell, cell), fault)


def still(ticks: Sequence[int]) -> list[tuple[int, float]]:
    return [(tick, 0.0) for tick in ticks]


EVERY = range(TICKS)
BUSY = [tick for tick in EVERY if tick not in GAP]


def test_commands_that_pause_with_the_simulator_are_tried_again(tmp_path: Path) -> None:
    result = tried(tmp_path / 'r', commands=still(BUSY), simulator=BUSY)
    assert result.starved and result.late and not result.wrong, result


def test_commands_that_pause_while_the_simulator_runs_fail(tmp_path: Path) -> None:
    result = tried(tmp_path / 'r', commands=still(BUSY), simulator=EVERY)
    assert not result.starved and 'no setpoint' in result.complaints[0], result


@pytest.mark.parametrize('commands', [
    [*still(BUSY[:-1]), (BUSY[-1], 9.0)], [*still(BUSY[:-1]), (BUSY[-1], 1.4)]])
def test_a_command_outside_limits_fails_however_busy_the_machine_is(
    tmp_path: Path, commands: list[tuple[int, float]]
) -> None:
    result = tried(tmp_path / 'r', commands=commands, simulator=BUSY)
    assert not result.starved and 'outside limits' in result.complaints[0], result
    assert result.late, 'the machine was busy'


def test_a_process_that_ends_fails_however_busy_the_machine_is(tmp_path: Path) -> None:
    result = tried(tmp_path / 'r', commands=still(BUSY), simulator=BUSY, ends=True)
    assert not result.starved and 'ended with exit code 1' in result.complaints[0], result


@pytest.mark.parametrize(('simulator', 'starved'), [(BUSY, True), (EVERY, False)])
def test_an_arm_that_never_moves_again_fails_unless_the_machine_did_not_run_the_simulator(
    tmp_path: Path, simulator: Sequence[int], starved: bool
) -> None:
    result = tried(tmp_path / 'r', commands=still(EVERY), simulator=simulator, stuck=True)
    assert result.stuck and result.starved == starved and not result.wrong, result
    assert 'in vain for the arm to move again' in result.complaints[0], result


def test_a_command_outside_limits_fails_also_if_the_arm_never_moves_again(tmp_path: Path) -> None:
    result = tried(tmp_path / 'r', commands=[*still(EVERY[:-1]), (EVERY[-1], 9.0)], simulator=BUSY,
                   stuck=True)
    assert not result.starved and 'outside limits' in result.complaints[0], result


@pytest.mark.parametrize(('fastest', 'missed', 'lurches'), [
    (0.0, range(0), False), (0.0, range(30, 40), False), (0.5, range(0), True),
    (0.5, range(30, 32), True)])
def test_a_lurch_fails_and_is_not_made_up_by_a_recorder_that_missed_the_first_commands(
    tmp_path: Path, fastest: float, missed: range, lurches: bool
) -> None:
    ramp = [(30 + tick, fastest + 0.08 * tick) for tick in range(18 if not fastest else 5)]
    result = tried(tmp_path / 'r', commands=[*still(range(10)), *ramp], missed=missed,
                   simulator=EVERY, step=Step.DRIVE, cured=29)
    assert any('an arm that stood' in each for each in result.wrong) == lurches, result


@pytest.mark.parametrize(('computed', 'lurches'), [(-1, False), (30, True)])
def test_a_command_that_was_being_sent_when_its_process_was_stopped_is_no_lurch(
    tmp_path: Path, computed: int, lurches: bool
) -> None:
    result = tried(tmp_path / 'r', commands=[*still(range(10)), (30, 1.0), *still(range(31, 60))],
                   states=[(30, computed), (31, 31)], simulator=EVERY, step=Step.DRIVE, cured=29)
    assert any('an arm that stood' in each for each in result.wrong) == lurches, result
