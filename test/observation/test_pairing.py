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


@given(stamps=st.lists(st.integers(0, 1000), min_size=1, unique=True).map(sorted),
       wanted=st.integers(-100, 1100), tolerance=st.integers(0, 200))
def test_the_nearest_item_is_found_if_it_is_near_enough(
    stamps: list[int], wanted: int, tolerance: int,
) -> None:
    buffer: StampedBuffer[int] = StampedBuffer(len(stamps))
    for stamp in stamps:
        buffer.add(stamp, stamp)
    found = buffer.nearest(wanted, tolerance)
    distance = min(abs(stamp - wanted) for stamp in stamps)
    if distance <= tolerance:
        assert found is not None and abs(found - wanted) == distance
    else:
        assert found is None


def test_what_came_before_the_clock_was_set_back_is_forgotten() -> None:
    buffer: StampedBuffer[str] = StampedBuffer(10)
    buffer.add(1000, 'before')
    buffer.add(10, 'after')
    assert buffer.nearest(1000, 5) is None
    assert buffer.nearest(12, 5) == 'after'


def test_only_the_newest_are_kept() -> None:
    buffer: StampedBuffer[int] = StampedBuffer(3)
    for stamp in range(10):
        buffer.add(stamp, stamp)
    assert buffer.nearest(0, 6) is None
    assert buffer.nearest(7, 0) == 7
