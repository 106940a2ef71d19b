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

"""Judges a demo run by what went over the wires, never by what the model or the controller think.

Kept apart from both sides on purpose: the limits are read from the URDF once more, and every
setpoint is held against them again, with nothing but the recorded messages to go by.
"""

from __future__ import annotations

import math
import os
import platform
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

SUCCESS_DISTANCE = 0.03
"""Largest distance of the tip from the goal's tip that counts as success, m."""

EPISODE_DURATION = 8.0
"""When the judge looks, in seconds after the goal was given."""

_ROUNDING = 1e-6  # relative; setpoints are float64, limits decimal text
_STAMP_SLACK = 0.002  # s: how far a stamp may be from the moment that the controller computed for
_WINDOW = 0.1  # s: over this the slack must not add up


@dataclass(frozen=True)
class WireLimits:
    """What each joint may be told, as arrays [J]: rad, rad/s, rad/s²."""

    names: tuple[str, ...]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    velocity: NDArray[np.float64]
    acceleration: NDArray[np.float64]


def read_wire_limits(urdf: Path, acceleration: float) -> WireLimits:
    """Read the limits of the URDF's moving joints; it has no `acceleration`, so that is given.

    :raises ValueError: the URDF has no moving joint with limits
    """
    names: list[str] = []
    rows: list[list[float]] = []
    for joint in ElementTree.parse(urdf).getroot().findall('joint'):
        limit = joint.find('limit')
        if joint.get('type') in ('revolute', 'prismatic') and limit is not None:
            names.append(joint.get('name', ''))
            rows.append([float(limit.get(key, 'nan')) for key in ('lower', 'upper', 'velocity')])
    if not rows:
        raise ValueError(f'{urdf} has no moving joint with a <limit>')
    lower, upper, velocity = np.array(rows).T
    return WireLimits(tuple(names), lower, upper, velocity, np.full(len(names), acceleration))


class LimitWatch:
    """Counts setpoints that break a limit.

    Acceleration is the change of the velocity setpoint between two stamps, checked from tick to
    tick and over a tenth of a second, with 2 ms for stamps that were not taken at the very moment
    that the setpoint was computed for.
    """

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._recent: deque[tuple[float, NDArray[np.float64]]] = deque()
        self._counts: Counter[str] = Counter()
        self.worst_acceleration = 0.0
        """Largest rate of change over a tenth of a second so far, rad/s²."""

    @property
    def violations(self) -> int:
        """How many limits were broken, once per joint, limit and message."""
        return self._counts.total()

    def by_kind(self) -> dict[str, int]:
        """Return the violations as ``{'shoulder velocity': 3, …}``."""
        return dict(self._counts)

    def setpoint(
        self, time: float, names: Sequence[str], position: Sequence[float],
        velocity: Sequence[float],
    ) -> None:
        """Check one setpoint of the controller. `time` s, `position` rad, `velocity` rad/s."""
        if tuple(names) != self._limits.names:
            self._counts['unknown joints'] += 1
            return
        now = np.array(velocity, dtype=np.float64)
        where = np.array(position, dtype=np.float64)
        limits = self._limits
        self._count('position', ~((where >= limits.lower - _ROUNDING)
                                  & (where <= limits.upper + _ROUNDING)))
        self._check_velocity(now)
        while self._recent and time - self._recent[0][0] > _WINDOW:
            self._recent.popleft()
        fast = np.zeros(len(now), dtype=bool)
        for then, earlier in (self._recent[0], self._recent[-1]) if self._recent else ():
            change = np.abs(now - earlier)
            allowed = limits.acceleration * (max(time - then, 0.0) + _STAMP_SLACK)
            fast |= ~(change <= allowed * (1 + _ROUNDING))
            if time - then > 0.5 * _WINDOW:
                self.worst_acceleration = max(
                    self.worst_acceleration, float(np.max(change)) / (time - then))
        self._count('acceleration', fast)
        self._recent.append((time, now))

    def command(self, velocity: Sequence[float]) -> None:
        """Check what went to the robot's velocity controller, rad/s in the URDF's joint order."""
        if len(velocity) != len(self._limits.names):
            self._counts['wrong number of joints'] += 1
            return
        self._check_velocity(np.array(velocity, dtype=np.float64))

    def _check_velocity(self, velocity: NDArray[np.float64]) -> None:
        # Written so that a NaN counts as a violation.
        allowed = self._limits.velocity * (1 + _ROUNDING)
        self._count('velocity', ~(np.abs(velocity) <= allowed))

    def _count(self, kind: str, broken: NDArray[np.bool_]) -> None:
        for index in np.flatnonzero(broken):
            self._counts[f'{self._limits.names[index]} {kind}'] += 1


@dataclass(frozen=True)
class EpisodeResult:
    """How one goal ended, by the simulator's ground truth."""

    episode: int
    goal: list[float]
    """Joint positions behind the goal picture, rad. Nobody but the judge knows them."""
    start_distance_m: float
    final_error_m: float
    success: bool
    reached_after_s: float | None
    """When the tip came within the success distance to stay there."""
    proposals: int


@dataclass
class RunRecord:
    """What the director gathers; `report` turns it into the JSON of the run."""

    seed: int
    startup: float = math.nan
    episodes: list[EpisodeResult] = field(default_factory=list)
    plan_times: list[float] = field(default_factory=list)
    proposal_latencies: list[float] = field(default_factory=list)
    command_latencies: list[float] = field(default_factory=list)
    frames_published: int = 0
    frames_received: int = 0
    proposals: int = 0
    limit_violations: dict[str, int] = field(default_factory=dict)
    worst_acceleration: float = 0.0

    def report(self) -> dict[str, Any]:
        """Return the run's figures. Times of single steps are in ms, others in s; lengths in m."""
        errors = [episode.final_error_m for episode in self.episodes]
        successes = sum(episode.success for episode in self.episodes)
        return {
            'episodes': len(self.episodes),
            'success_rate': successes / len(self.episodes) if self.episodes else 0.0,
            'final_error_m': percentiles(errors, (50, 90), digits=4),
            'plan_ms': percentiles(self.plan_times, (50, 99), scale=1e3),
            'observation_to_proposal_ms': percentiles(self.proposal_latencies, (50, 99), scale=1e3),
            'observation_to_command_ms': percentiles(self.command_latencies, (50, 99), scale=1e3),
            'frames': {'published': self.frames_published, 'received': self.frames_received},
            'proposals': self.proposals,
            'limit_violations': sum(self.limit_violations.values()),
            'startup_s': round(self.startup, 2),
            'seed': self.seed,
            'success_distance_m': SUCCESS_DISTANCE,
            'episode_s': EPISODE_DURATION,
            'limit_violations_by_kind': self.limit_violations,
            'worst_acceleration': round(self.worst_acceleration, 2),
            'machine': {'system': platform.platform(), 'processor': _processor(),
                        'cores': os.cpu_count(), 'python': platform.python_version()},
            'per_episode': [asdict(episode) for episode in self.episodes],
        }


def percentiles(
    values: Sequence[float], percents: Sequence[int], *, scale: float = 1.0, digits: int = 2
) -> dict[str, float | None]:
    """Return ``{'p50': …}`` of `values` times `scale`; None where there is nothing to rank."""
    if not values:
        return {f'p{percent}': None for percent in percents}
    ranked = np.percentile(np.array(values) * scale, percents)
    return {f'p{percent}': round(float(value), digits)
            for percent, value in zip(percents, ranked, strict=True)}


def settled_after(
    times: NDArray[np.float64], distances: NDArray[np.float64], threshold: float
) -> float | None:
    """Return the time from which `distances` [M] stay within `threshold`; None if they do not."""
    outside = np.flatnonzero(~(distances <= threshold))
    first = int(outside[-1]) + 1 if len(outside) else 0
    return float(times[first]) if first < len(times) else None


def _processor() -> str:
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8')
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in text.splitlines()
             if line.startswith('model name')]
    return names[0] if names else platform.processor()
