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

"""Arrays travel as messages and come back as they were, or are refused."""

import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from world_model_interfaces.msg import Tensor
from world_model_ros.nodes.convert import from_tensor, to_nanoseconds, to_stamp, to_tensor

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=5), elements=FINITE))
def test_an_array_comes_back_from_a_tensor_as_it_was(values: np.ndarray) -> None:
    np.testing.assert_array_equal(from_tensor(to_tensor(values)), values)


@given(shape=st.lists(st.integers(0, 6), max_size=3), size=st.integers(0, 20))
def test_a_tensor_whose_shape_and_data_disagree_is_refused(shape: list[int], size: int) -> None:
    tensor = Tensor(shape=array.array('I', shape), data=array.array('f', [0.0] * size))
    if shape and np.prod(shape) == size:
        assert from_tensor(tensor).shape == tuple(shape)
    else:
        with pytest.raises(ValueError, match='product of shape'):
            from_tensor(tensor)


def test_a_tensor_whose_sizes_multiply_beyond_64_bits_is_refused() -> None:
    # As int64 the product is 0, which is how many numbers there are.
    with pytest.raises(ValueError, match='product of shape'):
        from_tensor(Tensor(shape=array.array('I', [2**31, 2**31, 4])))


@pytest.mark.parametrize('number', [np.nan, np.inf, -np.inf])
def test_a_tensor_with_a_number_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match='NaN or infinity'):
        from_tensor(Tensor(shape=array.array('I', [2]), data=array.array('f', [0.0, number])))


@given(st.integers(0, 2**31 * 10**9 - 1))
def test_stamps_keep_their_nanoseconds(nanoseconds: int) -> None:
    assert to_nanoseconds(to_stamp(nanoseconds)) == nanoseconds
