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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from world_model_ros.bundle import Bundle, BundleError
from world_model_ros.inference.measurements import Measurement
from world_model_ros.inference.model import WorldModel
from world_model_ros.inference.proof import golden_start
from world_model_ros.inference.providers import RuntimeSettings, available, precisions
from world_model_ros.inference.sessions import Precision, Progress, Provider

_FEWEST = 3  # repetitions, however long one takes


@dataclass(frozen=True)
class Speed:
    """Median times on this machine [ms]; `score_ms` is one iteration of the planner."""

    encode_ms: float
    score_ms: float
    iterations: int

    @property
    def plan_ms(self) -> float:
        """One plan with all its iterations [ms]."""
        return self.encode_ms + self.iterations * self.score_ms


def measure_speed(model: WorldModel, seconds: float) -> Speed:
    """Time a model for about that long, on its golden observation and the planner's batch size."""
    golden, planner = model.bundle.golden, model.manifest.planner
    context, goal = golden_start(model.bundle)
    actions = np.resize(golden.actions, (planner.samples, *golden.actions.shape[1:]))
    image = None if golden.image is None else golden.image[0]
    state = None if golden.proprioception is None else golden.proprioception[0]
    encode = _median_ms(lambda: model.encode(image, state), seconds / 4)
    score = _median_ms(lambda: model.score(context, goal, actions), seconds * 3 / 4)
    return Speed(encode, score, planner.iterations)


def measure_all(
    bundle: Bundle, settings: RuntimeSettings, seconds: float = 2.0,
    progress: Progress = lambda _: None,
) -> list[Measurement]:
    """Time every way to run a bundle that the settings leave open, each for about `seconds`.

    Compiled engines stay in the cache. A way that fails is kept with the reason.
    """
    found = []
    for provider, precision, threads in _ways(settings):
        one = replace(settings, provider=provider, precision=precision, threads=threads)
        base = {'provider': provider, 'precision': precision, 'threads': threads}
        progress(f'measuring {provider}, {precision}, {threads} thread{"s" * (threads > 1)}')
        started = time.perf_counter()
        try:
            model = WorldModel(bundle, one, progress)
        except BundleError as error:
            refused = '; '.join(f'{fault.field}: {fault.problem}' for fault in error.faults)
            found.append(Measurement.model_validate({**base, 'refused': refused}))
            continue
        loaded = time.perf_counter() - started
        speed = measure_speed(model, seconds)
        found.append(Measurement.model_validate({
            **base, 'load_s': loaded, 'encode_ms': speed.encode_ms, 'score_ms': speed.score_ms,
            'plan_ms': speed.plan_ms, 'golden_error': max(model.golden_errors.values())}))
        model.close()
    return found


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


def _median_ms(call: Callable[[], object], seconds: float) -> float:
    call()  # the first one allocates
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(times) < _FEWEST or time.perf_counter() < deadline:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3
