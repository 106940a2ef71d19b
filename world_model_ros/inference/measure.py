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
"""Times a bundle's own graphs: one model as it is opened, or every provider that is installed.

What counts is a plan: one observation encoded, then as many batches of imagined action sequences as
the planner has iterations, costs included. Each provider has to pass the golden vectors first, so a
lower precision is taken only where the bundle's tolerance allows it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from world_model_ros.bundle import Bundle, BundleError
from world_model_ros.inference.measurements import Measurement
from world_model_ros.inference.model import WorldModel
from world_model_ros.inference.pace import Pace
from world_model_ros.inference.proof import golden_sequences, golden_start
from world_model_ros.inference.providers import RuntimeSettings, available, precisions
from world_model_ros.inference.sessions import Precision, Progress, Provider

_FEWEST = 3  # rounds, if whole batches are timed
_FEW = 8  # sequences that are tried first, beside a single one


@dataclass(frozen=True)
class Speed:
    """Median times on this machine [ms]; `score_ms` is one iteration of the planner.

    `best_ms` is the least that encoding and one iteration took: what the machine can do when
    nothing else runs on it.
    """

    encode_ms: float
    score_ms: float
    best_ms: float
    iterations: float
    """Of a plan; smaller batches and refinement count by the sequences that they imagine."""
    estimated: bool
    """Whether `score_ms` follows from a part of the planner's batch."""

    @property
    def plan_ms(self) -> float:
        """One plan with all its iterations [ms]."""
        return self.encode_ms + self.iterations * self.score_ms


def measure_speed(model: WorldModel, seconds: float) -> Speed:
    """Time a model for about that long, on its golden observation and the planner's batch size."""
    return _race([model], seconds)[0]


def measure_all(
    bundle: Bundle, settings: RuntimeSettings, seconds: float = 2.0,
    progress: Progress = lambda _: None,
) -> list[Measurement]:
    """Time every way to run a bundle that the settings leave open, each for about `seconds`.

    All are open at once and take turns, so that whatever else the machine does hits all of them.
    Compiled engines stay in the cache. A way that fails is kept with the reason.
    """
    opened: list[tuple[Measurement, WorldModel]] = []
    failed: list[Measurement] = []
    for provider, precision, threads in _ways(settings):
        one = replace(settings, provider=provider, precision=precision, threads=threads)
        way = Measurement(provider=provider, precision=precision, threads=threads)
        progress(f'opening {way.label}')
        started = time.perf_counter()
        try:
            model = WorldModel(bundle, one, progress)
        except BundleError as error:
            reasons = '; '.join(f'{fault.field}: {fault.problem}' for fault in error.faults)
            failed.append(way.model_copy(update={'refused': reasons}))
            continue
        opened.append((way.model_copy(update={
            'load_s': time.perf_counter() - started,
            'golden_error': max(model.golden_errors.values())}), model))
    if opened:
        progress(f'measuring {", ".join(way.label for way, _ in opened)}')
    speeds = _race([model for _, model in opened], seconds * len(opened))
    for _, model in opened:
        model.close()
    return failed + [
        way.model_copy(update={'encode_ms': speed.encode_ms, 'score_ms': speed.score_ms,
                               'plan_ms': speed.plan_ms})
        for (way, _), speed in zip(opened, speeds, strict=True)]


def _race(models: Sequence[WorldModel], seconds: float) -> list[Speed]:
    """Medians of all models, which are of one bundle and take turns for about `seconds`."""
    racers = [_racer(model, seconds / len(models) / _FEWEST) for model in models]
    fewest = 1 if any(racer.is_estimate for racer in racers) else _FEWEST
    deadline = time.perf_counter() + seconds
    turns = 0
    while racers and (turns < fewest or time.perf_counter() < deadline):
        for racer in racers:
            racer.take_turn()
        turns += 1
    return [racer.speed() for racer in racers]


def _racer(model: WorldModel, seconds: float) -> _Racer:
    """With the planner's whole batch, unless one observation and that would take over `seconds`.

    Then with a part of it, so that a slow model keeps nobody waiting for minutes.
    """
    samples = model.manifest.planner.samples
    if samples > _FEW:
        part = _Racer(model, (1, _FEW))
        part.take_turn()
        if part.speed().best_ms > seconds * 1e3:
            return part
    return _Racer(model, (samples,))


class _Racer:
    """One model of a race, and how long its calls took [s]."""

    def __init__(self, model: WorldModel, sizes: tuple[int, ...]) -> None:
        """Score the planner's batch in one call, or one and some of its sequences in two."""
        golden, self._manifest = model.bundle.golden, model.manifest
        context, goal = golden_start(model.bundle)
        image = None if golden.image is None else golden.image[0]
        state = None if golden.proprioception is None else golden.proprioception[0]
        self._encode: Callable[[], object] = lambda: model.encode(image, state)
        self._scores: dict[int, Callable[[], object]] = {
            size: partial(model.score, context, goal, golden_sequences(model.bundle, size))
            for size in sizes}
        self._encodes: list[float] = []
        self._times: dict[int, list[float]] = {size: [] for size in sizes}
        for score in self._scores.values():  # the first call of a size allocates
            score()

    @property
    def is_estimate(self) -> bool:
        """Whether not the whole batch is timed."""
        return len(self._scores) > 1

    def take_turn(self) -> None:
        """Time every call once more."""
        self._encodes.append(_timed(self._encode))
        for size, score in self._scores.items():
            self._times[size].append(_timed(score))

    def speed(self) -> Speed:
        """What the turns so far say."""
        planner = self._manifest.planner
        sequences = planner.sequences(len(self._manifest.action.driven))
        return Speed(
            float(np.median(self._encodes)) * 1e3, self._batch(np.median) * 1e3,
            (min(self._encodes) + self._batch(min)) * 1e3, sequences / planner.samples,
            self.is_estimate)

    def _batch(self, of: Callable[[list[float]], Any]) -> float:
        """Seconds that the planner's batch takes, `of` the times of each size."""
        times = [(size, float(of(taken))) for size, taken in self._times.items()]
        if not self.is_estimate:
            return times[0][1]
        (_, single), (size, seconds) = times
        return Pace(single, size, seconds).seconds(self._manifest.planner.samples)


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _ways(settings: RuntimeSettings) -> Iterator[tuple[Provider, Precision, int]]:
    """Providers, precisions and thread counts that the settings do not rule out."""
    for provider in available():
        if settings.provider not in ('auto', provider):
            continue
        for precision in precisions(provider):
            if settings.precision not in ('auto', precision):
                continue
            for threads in [settings.threads] if settings.threads else _thread_counts():
                yield provider, precision, threads


def _thread_counts() -> list[int]:
    """1, 2, 4, … up to the cores that this process may use."""
    cores = len(os.sched_getaffinity(0))
    return sorted({1, *(2**k for k in range(1, 11) if 2**k < cores), cores})

