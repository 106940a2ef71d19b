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

"""Golden vectors are a stranger's archive: none is unpickled or unpacked to gigabytes."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hostile import Defect, storm
from toy_bundle import toy_golden, write_toy_bundle

from world_model_ros.bundle.errors import Fault
from world_model_ros.bundle.golden import read_golden

MARKER = 'wmros-was-here'
TOY = toy_golden().arrays()


def npz(arrays: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', **options) as archive:
        for name, content in arrays.items():
            archive.writestr(f'{name}.npy', content)
    return buffer.getvalue()


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def header(text: str, version: bytes = b'\x01\x00') -> bytes:
    padded = text.encode('latin1') + b' ' * 64 + b'\n'
    return b'\x93NUMPY' + version + len(padded).to_bytes(2, 'little') + padded


class Touch:
    """Pickles to a command that leaves a file behind."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.system, (f'touch {MARKER}',)


SOUND_NPY = {name: npy(array) for name, array in TOY.items()}


def hostile_golden(random: Random) -> Defect:
    parts = dict(SOUND_NPY)
    name = random.choice(list(parts))
    array = TOY[name]
    defect = random.choice((
        'missing', 'extra', 'not finite', 'dtype', 'pickle', 'claims terabytes', 'claims more',
        'header is code', 'header', 'cut archive', 'damaged', 'encrypted', 'compression', 'shape',
        'empty', 'no archive', 'bomb'))
    if defect == 'missing':
        del parts[name]
    elif defect == 'extra':
        parts['../../x'] = npy(np.zeros(2))
    elif defect == 'not finite':
        floats = random.choice([n for n, a in TOY.items() if a.dtype == np.float32])
        spoiled = TOY[floats].copy()
        spoiled.flat[random.randrange(spoiled.size)] = random.choice((np.nan, np.inf, -np.inf))
        parts[floats] = npy(spoiled)
    elif defect == 'dtype':
        kinds = ('<f8', '<i8', '>f4', 'c8', 'S4', 'U2', '?', 'M8[s]')
        parts[name] = npy(array.astype(random.choice(kinds)))
    elif defect == 'pickle':
        parts[name] = npy(np.array([Touch()], object), allow_pickle=True)
    elif defect == 'claims terabytes':
        size = random.choice((10**9, 10**10, 10**12, 10**15, 2**62, 10**30))
        parts[name] = header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({size},)}}")
    elif defect == 'claims more':
        parts[name] = parts[name][:-random.randint(1, 8)]
    elif defect == 'header is code':
        parts[name] = header("__import__('os').system('touch x')")
    elif defect == 'header':
        parts[name] = random.choice((
            b'', b'\x93NUMPY', header('{'), header('[' * 5000), header('{}', b'\x09\x09'),
            header("{'descr': 'O', 'fortran_order': False, 'shape': (1,)}"),
            header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"),
            header("{'descr': [('a', '<f4')], 'fortran_order': 3, 'shape': 'x'}")))
    elif defect == 'shape':
        parts[name] = npy(random.choice(
            (array[:0], array[..., :0], array[None], array.ravel()[1:])))
    elif defect == 'empty':
        parts = {}
    content = npz(parts)
    if defect == 'cut archive':
        content = content[:random.randrange(len(content) - 22)]
    elif defect == 'no archive':
        content = random.choice((b'', random.randbytes(100), npy(array), b'PK\x05\x06' + bytes(18)))
    elif defect == 'damaged':
        content = npz(parts, compression=zipfile.ZIP_DEFLATED)
        at = content.index(b'.npy') + 4 + random.randint(20, 40)
        content = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1:]
    elif defect == 'encrypted':
        content = content.replace(b'PK\x01\x02\x14\x03\x14\x00\x00\x00',
                                  b'PK\x01\x02\x14\x03\x14\x00\x01\x00')
    elif defect == 'compression':
        content = content.replace(b'PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00',
                                  b'PK\x01\x02\x14\x03\x14\x00\x00\x00\x63\x00')
    elif defect == 'bomb':
        content = BOMB
    return defect, content


def bomb() -> bytes:
    """A megabyte that unpacks to a gigabyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as archive, \
            archive.open('latent.npy', 'w') as file:
        for _ in range(300):
            file.write(bytes(2**20))
    return buffer.getvalue()


BOMB = bomb()


def test_no_hostile_archive_holds_golden_vectors_and_no_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = write_toy_bundle(tmp_path / 'toy').manifest
    empty = tmp_path / 'empty'
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert not isinstance(read_golden(npz(SOUND_NPY), manifest), Fault)

    def refusal(content: bytes) -> str:
        found = read_golden(content, manifest)
        return ' '.join(f'{found.problem}: {found.cure}'.split())[:900] \
            if isinstance(found, Fault) else ''

    storm('golden vectors', hostile_golden, refusal, batch=50)
    assert not list(empty.iterdir()), 'a pickle ran a command'
