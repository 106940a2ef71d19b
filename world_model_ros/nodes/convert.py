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

"""Between arrays and messages, without Python lists of numbers on the way (they cost 20 ms)."""

from __future__ import annotations

import array
import math

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time

from world_model_interfaces.msg import Tensor
from world_model_ros import payload

NANOSECONDS = 1_000_000_000


def to_tensor(values: npt.NDArray[np.floating]) -> Tensor:
    """Return an array of any shape as a row-major float32 message."""
    data = array.array('f')
    data.frombytes(np.ascontiguousarray(values, np.float32).tobytes())
    return Tensor(shape=array.array('I', values.shape), data=data)


def from_tensor(tensor: Tensor) -> npt.NDArray[np.float32]:
    """
    Return the array that a message holds.

    Raises ValueError when shape and data disagree, there is more of them than ``payload`` allows,
    or a number is not finite.
    """
    count = len(tensor.data)
    if len(tensor.shape) > payload.TENSOR_DIMENSIONS or count > payload.TENSOR_NUMBERS:
        raise ValueError(f'tensor has {len(tensor.shape)} dimensions and {count} numbers: '
                         f'{payload.TENSOR_DIMENSIONS} and {payload.TENSOR_NUMBERS} are the most')
    shape = tuple(int(size) for size in tensor.shape)
    # math.prod, because NumPy's wraps around: [2**31, 2**31, 4] would have no numbers.
    if not shape or math.prod(shape) != count:
        raise ValueError(f'tensor of shape {list(shape)} holds {count} numbers: '
                         'data must have as many as the product of shape')
    data = np.frombuffer(tensor.data, np.float32)
    if not np.isfinite(data).all():
        raise ValueError('tensor holds NaN or infinity: look at who computed it')
    return data.reshape(shape)


def to_nanoseconds(stamp: Time) -> int:
    """Return a message's stamp in nanoseconds."""
    return int(stamp.sec) * NANOSECONDS + int(stamp.nanosec)


def to_stamp(nanoseconds: int) -> Time:
    """Return nanoseconds as a message's stamp."""
    return Time(sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS)
