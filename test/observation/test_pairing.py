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

"""An image is paired with the joint state of its own moment."""

from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.observation import StampedBuffer

S = 10**9


def buffer_of(*stamps: int, span: int = 2 * S, most: int = 100) -> StampedBuffer[int]:
    buffer: StampedBuffer[int] = StampedBuffer(span, most)
    for stamp in stamps:
        buffer.add(stamp, stamp)
    return buffer


@given(stamps=st.lists(st.integers(0, 1000), min_size=1, max_size=100, unique=True),
       wanted=st.integers(-100, 1100), tolerance=st.integers(0, 200))
def test_the_nearest_item_is_found_if_it_is_near_enough_in_whatever_order_they_come(
    stamps: list[int], wanted: int, tolerance: int,
) -> None:
    found = buffer_of(*stamps).nearest(wanted, tolerance)
    distance = min(abs(stamp - wanted) for stamp in stamps)
    if distance <= tolerance:
        assert found is not None and abs(found - wanted) == distance
    else:
        assert found is None


def test_an_item_that_is_too_old_is_left_out_and_takes_nothing_from_the_others() -> None:
    buffer = buffer_of(9 * S, 10 * S, 7 * S)
    assert [buffer.nearest(stamp * S, 5) for stamp in (7, 9, 10)] == [None, 9 * S, 10 * S]


def test_a_repeated_or_late_item_takes_nothing_from_the_others() -> None:
    buffer: StampedBuffer[str] = StampedBuffer(2 * S, 100)
    for stamp, item in ((1 * S, 'a'), (2 * S, 'b'), (2 * S, 'b again'), (3 * S // 2, 'late')):
        buffer.add(stamp, item)
    assert [buffer.nearest(stamp, 0) for stamp in (1 * S, 3 * S // 2, 2 * S)] == [
        'a', 'late', 'b again']


def test_only_those_of_the_last_time_are_kept_however_fast_they_come() -> None:
    for rate in (100, 1000):
        buffer = buffer_of(*range(0, 5 * S, S // rate), most=10_000)
        assert buffer.nearest(3 * S, 0) == 3 * S
        assert buffer.nearest(2 * S, S // 2) is None


def test_no_more_than_so_many_are_kept() -> None:
    buffer = buffer_of(*range(10), most=3)
    assert buffer.nearest(0, 6) is None
    assert buffer.nearest(7, 0) == 7
