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
"""Golden vectors: recorded inputs and outputs that prove that graphs still do what they did."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle.errors import Fault
from world_model_ros.bundle.manifest import Manifest

_MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class GoldenVectors:
    """What the model gave where it was exported; units are physical, latents are the model's own.

    image: uint8 [n, height, width, 3], RGB
    proprioception: float32 [n, P]
    latent: float32 [n, D], of `image` and `proprioception`
    goal: float32 [n, G], of `image` alone
    actions: float32 [m, horizon, A]
    latents: float32 [m, horizon, D], imagined from `latent[0]`
    """

    image: NDArray[np.uint8]
    proprioception: NDArray[np.float32]
    latent: NDArray[np.float32]
    goal: NDArray[np.float32]
    actions: NDArray[np.float32]
    latents: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write a compressed `.npz`."""
        np.savez_compressed(path, **{f.name: getattr(self, f.name) for f in fields(self)})


def read_golden(content: bytes, manifest: Manifest) -> GoldenVectors | Fault:
    """Read a `.npz`'s bytes, without pickle, and check them against the manifest."""
    name = manifest.golden.file

    def refuse(problem: str, cure: str = 'export the bundle again') -> Fault:
        return Fault('golden.file', problem, cure)

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > _MAX_BYTES:
            return refuse(f'"{name}" unpacks to {size / 2**20:.0f} MiB',
                          f'keep golden vectors below {_MAX_BYTES // 2**20} MiB')
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        return refuse(f'"{name}" is not a readable .npz without pickle ({error})')

    wanted = [field.name for field in fields(GoldenVectors)]
    if sorted(arrays) != sorted(wanted):
        return refuse(f'holds arrays {sorted(arrays)}', f'write exactly {wanted}')
    n, m = (np.atleast_1d(arrays[key]).shape[0] for key in ('image', 'actions'))
    image, horizon = manifest.image, manifest.planner.horizon
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        'image': (np.uint8, (n, image.height, image.width, 3)),
        'proprioception': (np.float32, (n, manifest.proprioception.size)),
        'latent': (np.float32, (n, manifest.latent.size)),
        'goal': (np.float32, (n, manifest.latent.goal_size)),
        'actions': (np.float32, (m, horizon, manifest.action.size)),
        'latents': (np.float32, (m, horizon, manifest.latent.size)),
    }
    for key, (dtype, shape) in expected.items():
        array = arrays[key]
        if array.dtype != dtype or array.shape != shape or 0 in shape:
            return refuse(f'"{key}" is {array.dtype} {list(array.shape)} where the manifest asks '
                          f'for {np.dtype(dtype)} {list(shape)}, none of them 0')
        if not np.isfinite(array).all():
            return refuse(f'"{key}" holds NaN or infinity')
    return GoldenVectors(**arrays)
