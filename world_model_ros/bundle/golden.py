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
import math
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle.errors import Fault
from world_model_ros.bundle.manifest import Manifest
from world_model_ros.payload import few, shorten

_MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class GoldenVectors:
    """What the model gave where it was exported; units are physical, latents are the model's own.

    The rollout starts from the first `history` observations (1, the window's length, or that of a
    growing predictor; recurrent states are zero), oldest first. Shapes as in `manifest`:

    image: uint8 [n, *image.shape], RGB, if the model sees any
    proprioception: float32 [n, P], if the model knows it
    latent: float32 [n, *S], of `image` and `proprioception`
    goal: float32 [n, *G], of the same, if the cost is a distance to a goal
    past_actions: float32 [(history - 1) * rows_per_step, A], executed between those observations,
        if history > 1
    actions: float32 [m, H * rows_per_step, A]
    latents: float32 [m, H, *S], imagined
    costs: float32 [m], of the sequences, toward `goal[-1]` if there is one
    policy: float32 [n, rows_per_step, A], the policy's action in each latent, if there is one
    """

    latent: NDArray[np.float32]
    actions: NDArray[np.float32]
    latents: NDArray[np.float32]
    costs: NDArray[np.float32]
    image: NDArray[np.uint8] | None = None
    proprioception: NDArray[np.float32] | None = None
    goal: NDArray[np.float32] | None = None
    past_actions: NDArray[np.float32] | None = None
    policy: NDArray[np.float32] | None = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Those that there are, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in found.items() if array is not None}

    def save(self, path: Path) -> None:
        """Write a compressed `.npz`."""
        arrays: dict[str, Any] = self.arrays()
        np.savez_compressed(path, **arrays)


def _expected(manifest: Manifest, n: int, m: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Type and shape of each array, for n observations and m sequences."""
    action, planner, latent = manifest.action, manifest.planner, manifest.latent.shape
    expected: dict[str, tuple[type, tuple[int, ...]]] = {
        'latent': (np.float32, (n, *latent)),
        'actions': (np.float32, (m, planner.horizon * action.rows_per_step, action.size)),
        'latents': (np.float32, (m, planner.horizon, *latent)),
        'costs': (np.float32, (m,)),
    }
    if manifest.image is not None:
        expected['image'] = (np.uint8, (n, *manifest.image.shape))
    if manifest.proprioception is not None:
        expected['proprioception'] = (np.float32, (n, manifest.proprioception.size))
    if manifest.has_goal:
        expected['goal'] = (np.float32, (n, *manifest.goal_shape))
    if manifest.history > 1:
        rows = (manifest.history - 1) * action.rows_per_step
        expected['past_actions'] = (np.float32, (rows, action.size))
    if manifest.graphs.policy is not None:
        expected['policy'] = (np.float32, (n, action.rows_per_step, action.size))
    return expected


def read_golden(content: bytes, manifest: Manifest) -> GoldenVectors | Fault:
    """Read a `.npz`'s bytes, without pickle, and check them against the manifest."""
    name = manifest.golden.file

    def refuse(problem: str, cure: str = 'export the bundle again') -> Fault:
        return Fault('golden.file', problem, cure)

    try:
        arrays = _unpack(content)
    except _TooLargeError as error:
        return refuse(f'"{name}" unpacks to {error.args[0] / 2**20:.0f} MiB',
                      f'keep golden vectors below {_MAX_BYTES // 2**20} MiB')
    except Exception as error:  # the border: what zipfile and NumPy raise is open-ended
        problem = shorten(f'{type(error).__name__}: {error}', 200)
        return refuse(f'"{name}" is not a readable .npz without pickle ({problem})')

    n, m = (np.atleast_1d(arrays.get(key, np.empty(0))).shape[0] for key in ('latent', 'actions'))
    expected = _expected(manifest, n, m)
    if sorted(arrays) != sorted(expected):
        return refuse(f'holds arrays {few(sorted(arrays), 20)}',
                      f'write exactly {sorted(expected)}')
    for key, (dtype, shape) in expected.items():
        array = arrays[key]
        if array.dtype != dtype or array.shape != shape or 0 in shape:
            return refuse(f'"{key}" is {array.dtype} {list(array.shape)} where the manifest asks '
                          f'for {np.dtype(dtype)} {list(shape)}, none of them 0')
        if not np.isfinite(array).all():
            return refuse(f'"{key}" holds NaN or infinity')
    if n < manifest.history:
        return refuse(f'holds {n} observations where a rollout starts from {manifest.history}')
    costs = arrays['costs']
    if np.ptp(costs) <= 2 * manifest.golden.tolerance * np.abs(costs).max():
        return refuse(f'"costs" of all sequences agree within the tolerance ({costs.min():g} to '
                      f'{costs.max():g}): actions do not matter to this model, or the sequences '
                      'are alike', 'export with different sequences and a model that is trained')
    return GoldenVectors(**arrays)


class _TooLargeError(ValueError):
    """Holds the number of bytes that an archive unpacks to."""


def _unpack(content: bytes) -> dict[str, NDArray[Any]]:
    """Unpack an archive of arrays; nothing is allocated that the archive does not hold."""
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > _MAX_BYTES:
            raise _TooLargeError(size)
        for entry in entries:
            # The archive may claim less than is packed: zipfile reads no more than it claims.
            stream = io.BytesIO(archive.read(entry))
            version = np.lib.format.read_magic(stream)
            if version != (1, 0):
                raise ValueError(f'{shorten(entry.filename)} is of .npy version {version}')
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            claimed = math.prod(shape) * dtype.itemsize
            if dtype.hasobject or min(shape, default=0) < 0 or (
                    stream.tell() + claimed != entry.file_size):
                raise ValueError(f'{shorten(entry.filename)} says {shape} of {dtype}, and holds '
                                 f'{entry.file_size - stream.tell()} bytes')
            stream.seek(0)
            arrays[entry.filename.removesuffix('.npy')] = np.lib.format.read_array(
                stream, allow_pickle=False)
    return arrays
