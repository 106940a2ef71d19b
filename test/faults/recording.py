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
"""What the recorder wrote, and what follows from it: from the wire's numbers alone.

Limits come from the URDF and the robot's YAML, read once more here. Nothing that the controller
says about itself excuses a setpoint; what it says is only compared with what it did.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_model_ros.demo.judge import WireLimits

NANOSECONDS = 1_000_000_000
ROUNDING = 1e-6  # relative; setpoints are float64, limits decimal text
ENCODER = 0.005  # rad: how far a real joint may be beyond its limit, for the drive's own control
STILL = 0.02  # rad/s below which a real joint is at rest
WINDOW = 0.1  # s over which velocities are compared

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """One message: when it was sent and received [ns], by whom, and what it holds."""

    kind: str
    sent: int
    received: int
    sequence: int | None
    publisher: str
    fields: list[Any]


@dataclass(frozen=True)
class State:
    """A ControllerState as it came."""

    sent: int
    stamp: int
    rung: int
    cause: str
    plan_id: str
    observation: int
    position: Vector
    velocity: Vector
    stopped: bool
    stop_reason: str
    accepted: int
    refused: int


@dataclass(frozen=True)
class Status:
    """One entry of a /diagnostics message."""

    sent: int
    name: str
    level: int
    message: str
    values: dict[str, str]


class Recording:
    """The recorder's file, read on as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines: dict[str, list[Line]] = {}

    def read(self) -> None:
        """Take in what was written since the last time."""
        if not self._path.exists():
            return
        with self._path.open('rb') as file:
            file.seek(self._offset)
            data = file.read()
        whole = data.rfind(b'\n') + 1
        self._offset += whole
        for text in data[:whole].splitlines():
            kind, sent, received, sequence, publisher, *fields = json.loads(text)
            self._lines.setdefault(kind, []).append(
                Line(kind, sent, received, sequence, publisher, fields))

    def lines(self, kind: str, since: int = 0, until: int | None = None) -> list[Line]:
        """Return the messages of a kind that were sent from `since` to before `until` [ns]."""
        lines = self._lines.get(kind, [])
        # Messages of one kind come nearly in order: only their publishers' clocks are one.
        start = bisect_left(lines, since - NANOSECONDS, key=lambda line: line.sent)
        return [line for line in lines[start:]
                if line.sent >= since and (until is None or line.sent < until)]

    def newest(self, kind: str) -> Line | None:
        lines = self._lines.get(kind)
        return lines[-1] if lines else None

    def states(self, since: int = 0, until: int | None = None) -> list[State]:
        return [to_state(line) for line in self.lines('state', since, until)]

    def statuses(self, since: int = 0, until: int | None = None) -> Iterator[Status]:
        for line in self.lines('diagnostics', since, until):
            for name, level, message, values in line.fields[0]:
                yield Status(line.sent, name, level, message, values)

    def waited(self, since: int, until: int, nodes: Sequence[str] = ('controller',)) -> float:
        """Return how long those nodes waited for a processor in that time [s].

        Of each node the thread that waited longest counts; nodes are added up.

        The kernel counts a wait when it ends, so the sample after the time belongs to it.
        """
        samples = self._lines.get('wait', [])
        times = [line.sent for line in samples]
        first = max(bisect_left(times, since) - 1, 0)
        last = min(bisect_left(times, until), len(samples) - 1)
        if last <= first:
            return 0.0
        before, after = samples[first].fields[0], samples[last].fields[0]
        waits = 0
        for node in nodes:
            known = before.get(node, {})
            waits += max((waited - known[thread] for thread, waited in after.get(node, {}).items()
                          if thread in known), default=0)
        return waits / NANOSECONDS


def to_state(line: Line) -> State:
    stamp, rung, cause, plan_id, observation, position, velocity, *rest = line.fields
    return State(line.sent, stamp, rung, cause, plan_id, observation, vector(position),
                 vector(velocity), *rest)


def vector(values: Sequence[float | str]) -> Vector:
    """Return numbers as the recorder writes them; 'nan' and 'inf' are text in JSON."""
    return np.array([float(value) for value in values], np.float64)


@dataclass
class Violations:
    """Setpoints and positions outside limits, counted, with the first of them in words."""

    count: int = 0
    checked: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.examples) < 5:
            self.examples.append(text)


def check_limits(
    recording: Recording, limits: WireLimits, since: int, until: int,
    rogues: Sequence[str] = (), slack: float = 0.0,
) -> Violations:
    """Hold everything that the controllers sent and the robot did against the limits.

    Commands: one finite velocity per joint, within the velocity limit; and between any two of them
    no further apart than a tenth of a second, a change that the acceleration limit allows. The
    first of the two was computed at some time after the command before it had been sent, the second
    at some time before it was itself sent, so the time between the computations is at most that
    between those two sendings. That is the tolerance for scheduling, about one control period; a
    lost message widens it by one more.

    Setpoint positions and the robot's own: within the position limits. `rogues` are publishers of
    commands that a test itself put on the wire. `slack` [s] is how coarse the controller's clock
    is.
    """
    found = Violations()
    everything = [line for line in recording.lines('command', since, until)
                  if line.publisher not in rogues]
    for publisher in dict.fromkeys(line.publisher for line in everything):
        _check_commands([line for line in everything if line.publisher == publisher],
                        limits, slack, found)
    for state in recording.states(since, until):
        if len(state.position):
            _check_position(state.position, limits, ROUNDING, 'setpoint', found)
    for line in recording.lines('robot', since, until):
        _check_position(vector(line.fields[1]), limits, ENCODER, 'robot', found)
    return found


def _check_commands(
    lines: Sequence[Line], limits: WireLimits, slack: float, found: Violations
) -> None:
    velocities: list[Vector] = []
    times: list[float] = []
    for line in lines:
        velocity = vector(line.fields[0])
        found.checked += 1
        if velocity.shape != limits.velocity.shape or not np.all(np.isfinite(velocity)):
            found.add(f'command {velocity.tolist()}')
            continue
        if np.any(np.abs(velocity) > limits.velocity * (1 + ROUNDING)):
            found.add(f'velocity {velocity.tolist()}')
        velocities.append(velocity)
        times.append(line.sent / NANOSECONDS)
    for later in range(2, len(times)):
        earlier = later - 1
        while earlier > 0 and times[later] - times[earlier] <= WINDOW:
            change = np.abs(velocities[later] - velocities[earlier])
            span = times[later] - times[earlier - 1] + slack
            if np.any(change > limits.acceleration * span * (1 + ROUNDING)):
                found.add(f'velocity changed by {change.tolist()} in {span:.4f} s')
                break
            earlier -= 1


def _check_position(
    position: Vector, limits: WireLimits, tolerance: float, whose: str, found: Violations
) -> None:
    if not np.all((position >= limits.lower - tolerance) & (position <= limits.upper + tolerance)):
        found.add(f'{whose} position {position.tolist()}')


def first(
    lines: Sequence[Any], condition: Callable[[Any], bool]
) -> Any | None:
    """Return the first that fulfils `condition`, or None."""
    return next((line for line in lines if condition(line)), None)


def braking_since(commands: Sequence[Line]) -> tuple[int, int] | None:
    """Return when the last braking to rest began and when it ended [ns]; None if it did not end.

    Of the longest run of commands, each joint never faster than before, that ends in the first of
    the zeros with which `commands` end: the times of the command before the first that is slower,
    and of that zero.
    """
    speeds = [np.abs(vector(line.fields[0])) for line in commands]
    if not speeds or np.any(speeds[-1]):
        return None
    rest = len(speeds) - 1
    while rest > 0 and not np.any(speeds[rest - 1]):
        rest -= 1
    begin = rest
    while begin > 0 and np.all(speeds[begin] <= speeds[begin - 1] * (1 + ROUNDING)):
        begin -= 1
    # Before it brakes, a robot at its full speed goes at constant speed: that is no braking.
    while begin < rest and np.all(speeds[begin + 1] >= speeds[begin]):
        begin += 1
    return commands[begin].sent, commands[rest].sent
