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
"""Which provider, precision and thread count a bundle's graphs run on here.

`auto` follows measurement: ``wmros check --prebuild BUNDLE`` times every provider that is installed
on the bundle's own graphs (`measure`) and keeps the result, and `choose` takes the fastest that
passes the golden vectors. Opening a bundle never measures, so that a robot starts in the same time
and computes the same numbers every day; without a measurement `auto` is the CPU.

Reduced precision is refused where the hardware lacks it, because OpenVINO would silently compute in
float32.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import onnxruntime  # type: ignore[import-untyped]

from world_model_ros.findings import Finding, Grade
from world_model_ros.inference.measurements import (
    Measured,
    Measurement,
    read_measurements,
    read_outdated,
)
from world_model_ros.inference.sessions import (
    INSTALL,
    ORT_NAMES,
    Backend,
    Precision,
    Provider,
    ProviderError,
    openvino_core,
)

PROVIDERS: tuple[Provider, ...] = ('tensorrt', 'cuda', 'openvino', 'cpu')
PRECISIONS: tuple[Precision, ...] = ('float32', 'float16', 'bfloat16')


@dataclass(frozen=True)
class RuntimeSettings:
    """How graphs are to be run; `auto` and 0 threads mean: as measured (see `choose`).

    provider: tensorrt | cuda | openvino | cpu | auto
    precision: float32 | float16 | bfloat16 | auto, where auto takes the lower one only if it was
        measured to be faster and to pass the bundle's golden vectors, and float32 otherwise
    threads: of one graph's run on the CPU. One is the safe choice beside other work: two threads
        that contend for cores double the latency
    cache: folder of measurements and compiled engines; None: ~/.cache/world_model_ros, or the same
        under XDG_CACHE_HOME
    """

    provider: Provider | Literal['auto'] = 'auto'
    precision: Precision | Literal['auto'] = 'auto'
    threads: int = 1
    cache: Path | None = None

    def __post_init__(self) -> None:
        """Refuse words and numbers that mean nothing; raises ProviderError."""
        for name, value, words in (('provider', self.provider, PROVIDERS),
                                   ('precision', self.precision, PRECISIONS)):
            if value not in ('auto', *words):
                raise ProviderError(f'{name} is {value!r}', f'choose auto, {", ".join(words)}')
        if type(self.threads) is not int or not 0 <= self.threads <= 1024:
            raise ProviderError(f'threads is {self.threads!r}',
                                'choose 1 to 1024, or 0: as measured')


def available() -> tuple[Provider, ...]:
    """Providers that are installed here, the fastest kind first. That each works is not proven."""
    names = onnxruntime.get_available_providers()
    return tuple(provider for provider in PROVIDERS
                 if (_has_openvino() if provider == 'openvino' else ORT_NAMES[provider] in names))


def precisions(provider: Provider) -> tuple[Precision, ...]:
    """Precisions that a provider computes in on this machine, float32 first."""
    if provider == 'tensorrt':
        return PRECISIONS
    if provider == 'openvino':
        has = openvino_core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        names: dict[Precision, str] = {'float32': 'FP32', 'float16': 'FP16', 'bfloat16': 'BF16'}
        return tuple(precision for precision, name in names.items() if name in has)
    return ('float32',)


def choose(digest: str, settings: RuntimeSettings) -> Backend:
    """What a bundle's graphs are to run on; `digest` is the bundle's.

    What the settings leave open is taken from the measurement of this bundle on this machine with
    these versions; without one it is the CPU, float32 and one thread, with a warning where that is
    not what an outdated measurement says. Raises ProviderError for a provider that is not installed
    or a precision that it does not have here.
    """
    installed = available()
    if settings.provider not in ('auto', *installed):
        raise ProviderError(f'provider {settings.provider} is not installed (there are '
                            f'{", ".join(installed)})', INSTALL[settings.provider])
    cache = cache_folder(settings)
    engines = cache / 'engines' / digest[:16] if cache else None
    undecided = 'auto' in (settings.provider, settings.precision) or settings.threads == 0
    measured = read_measurements(cache, digest) if cache and undecided else ()
    fits = [one for one in _fitting(measured, settings) if one.provider in installed]
    if fits:
        best = _fastest(fits)
        return Backend(best.provider, best.precision, best.threads, _because(best, fits), engines)
    provider = 'cpu' if settings.provider == 'auto' else settings.provider
    precision = 'float32' if settings.precision == 'auto' else settings.precision
    if precision not in precisions(provider):
        raise ProviderError(
            f'{provider} does not compute in {precision} on this machine (it does in '
            f'{", ".join(precisions(provider))})', 'set precision to float32 or auto')
    if settings.provider != 'auto':
        reason = 'as set'
    elif len(installed) == 1:
        reason = 'the only one installed'
    else:
        reason = (f'no measurement of this bundle in {cache or "a home folder"} yet; "wmros check '
                  f'--prebuild" lets auto choose among {", ".join(installed)}')
    backend = Backend(provider, precision, settings.threads or 1, reason, engines)
    outdated = read_outdated(cache, digest) if cache and undecided and not measured else ()
    return _outdated(backend, outdated, settings)


def measured_encoding(digest: str, settings: RuntimeSettings, backend: Backend) -> float | None:
    """What an encoding takes on a backend [s]; None where that was not measured here."""
    cache = cache_folder(settings)
    way = (backend.provider, backend.precision, backend.threads)
    return next((one.encode_ms / 1e3 for one in (read_measurements(cache, digest) if cache else ())
                 if (one.provider, one.precision, one.threads) == way), None)


def cache_folder(settings: RuntimeSettings) -> Path | None:
    """Folder of measurements and engines; None where this user has no home."""
    if settings.cache:
        return settings.cache
    home = os.environ.get('XDG_CACHE_HOME')
    try:
        return (Path(home) if home else Path.home() / '.cache') / 'world_model_ros'
    except RuntimeError:  # no HOME and no such user: a bare container
        return None


def _fitting(ways: Iterable[Measurement], settings: RuntimeSettings) -> list[Measurement]:
    return [one for one in ways if not one.refused
            and settings.provider in ('auto', one.provider)
            and settings.precision in ('auto', one.precision)
            and settings.threads in (0, one.threads)]


def _fastest(ways: Iterable[Measurement]) -> Measurement:
    return min(ways, key=lambda one: one.plan_ms)


def _outdated(
    backend: Backend, outdated: Iterable[Measured], settings: RuntimeSettings,
) -> Backend:
    """Say that the backend would be another one if the machine were as it was."""
    then = next((one for one in outdated if _fitting(one.ways, settings)), None)
    if then is None:
        return backend
    best, changes = _fastest(_fitting(then.ways, settings)), '; '.join(then.changes)
    now = Measurement(
        provider=backend.provider, precision=backend.precision, threads=backend.threads)
    if now.label == best.label:
        return backend
    return replace(
        backend, reason=f'{best.label} was measured on this bundle, but does not count any more: '
        f'{changes}', warning=Finding(
            Grade.WARNING, 'provider', f'{best.label} was measured to be the fastest for this '
            f'bundle, which runs on {now.label}: the measurement does not count any more, as '
            f'{changes}', 'undo the change, or run "wmros check --prebuild" on this bundle again'))


def _because(best: Measurement, fits: list[Measurement]) -> str:
    others = ', '.join(f'{one.plan_ms:.1f} ms {one.label}' for one in fits if one is not best)
    against = f' (against {others})' if others else ''
    return f'fastest here: {best.plan_ms:.1f} ms a plan{against}'


def _has_openvino() -> bool:
    return importlib.util.find_spec('openvino') is not None
