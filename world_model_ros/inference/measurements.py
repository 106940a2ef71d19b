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
"""What was measured of a bundle on this machine, kept from one process to the next.

One small file for each bundle and each combination of machine and runtime versions, under
``measurements/`` of the cache folder: a new processor or a new onnxruntime starts from nothing.
What was measured before tells what has changed since. A file that cannot be read counts as no
measurement.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from functools import cache as once
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_PACKAGES = ('onnxruntime', 'onnxruntime-gpu', 'openvino', 'tensorrt')
_Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Measurement(BaseModel):
    """One way to run a bundle's graphs, timed, or the reason why it is out of the question."""

    model_config = ConfigDict(extra='forbid', frozen=True)

    provider: Literal['tensorrt', 'cuda', 'openvino', 'cpu']
    precision: Literal['float32', 'float16', 'bfloat16']
    threads: Annotated[int, Field(gt=0)]
    refused: str = ''
    load_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    encode_ms: _Milliseconds = 0.0
    score_ms: _Milliseconds = 0.0
    plan_ms: _Milliseconds = 0.0
    golden_error: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    @property
    def label(self) -> str:
        """Provider, precision and threads in a few words."""
        threads = f', {self.threads} threads' if self.threads > 1 else ''
        return f'{self.provider} {self.precision}{threads}'


class Measured(BaseModel):
    """What was measured of one bundle, and the `machine` that it was measured on."""

    model_config = ConfigDict(extra='forbid', frozen=True)

    machine: dict[str, str]
    ways: tuple[Measurement, ...]

    @property
    def changes(self) -> tuple[str, ...]:
        """What is not as it was."""
        here = machine()
        return tuple(
            f'{key} was {self.machine.get(key) or "none"} and is {here.get(key) or "none"}'
            for key in sorted({*self.machine, *here}) if self.machine.get(key) != here.get(key))


def read_measurements(cache: Path, digest: str) -> tuple[Measurement, ...]:
    """What is known of the bundle with this digest here and now; empty if nothing is."""
    measured = _read(_file(cache, digest))
    return measured.ways if measured else ()


def read_outdated(cache: Path, digest: str) -> list[Measured]:
    """What is known of the bundle from elsewhere or before: least changed first, then newest."""
    files = sorted((cache / 'measurements').glob(f'{digest[:16]}-*.json'),
                   key=lambda file: -file.lstat().st_mtime)
    others = [measured for measured in map(_read, files) if measured and measured.changes]
    return sorted(others, key=lambda measured: len(measured.changes))


def write_measurements(cache: Path, digest: str, measured: Sequence[Measurement]) -> Path:
    """Keep measurements in place of older ones; returns the file. Raises OSError."""
    file = _file(cache, digest)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Whoever reads meanwhile sees the old file or the new one.
    handle, draft = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, 'wb') as stream:
        content = Measured(machine=machine(), ways=tuple(measured))
        stream.write(content.model_dump_json(indent=1).encode())
    os.replace(draft, file)
    return file


@once
def machine() -> dict[str, str]:
    """What the time of a run depends on: processor, usable cores, graphics cards, versions."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    cards = [line for file in sorted(Path('/proc/driver/nvidia/gpus').glob('*/information'))
             for line in file.read_text().splitlines() if line.startswith('Model')]
    return {'processor': _processor(), 'usable cores': str(len(os.sched_getaffinity(0))),
            'graphics cards': ', '.join(' '.join(card.split()[1:]) for card in cards), **versions}


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.machine()


def _read(file: Path) -> Measured | None:
    try:
        return Measured.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _file(cache: Path, digest: str) -> Path:
    here = hashlib.sha256(json.dumps(machine(), sort_keys=True).encode()).hexdigest()
    return cache / 'measurements' / f'{digest[:16]}-{here[:16]}.json'
