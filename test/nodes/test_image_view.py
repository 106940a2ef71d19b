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
"""Pictures are read from the bytes that came, as rclpy would read them."""

import array

import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from world_model_ros.nodes.image_view import ImageView, view_image

FIELDS = ('header', 'height', 'width', 'encoding', 'is_bigendian', 'step')
TEXT = st.text(st.characters(exclude_characters='\0', exclude_categories=('Cs',)), max_size=20)
UNSIGNED = st.integers(0, 2**32 - 1)
IMAGES = st.builds(
    lambda seconds, nanoseconds, frame_id, pixels, **rest: Image(
        header=Header(stamp=Time(sec=seconds, nanosec=nanoseconds), frame_id=frame_id),
        data=array.array('B', pixels), **rest),
    seconds=st.integers(-2**31, 2**31 - 1), nanoseconds=UNSIGNED, frame_id=TEXT, height=UNSIGNED,
    width=UNSIGNED, encoding=TEXT, is_bigendian=st.integers(0, 255), step=UNSIGNED,
    pixels=st.binary(max_size=64))


@given(IMAGES)
def test_a_view_has_the_fields_of_the_message(image: Image) -> None:
    view = view_image(serialize_message(image))
    assert isinstance(view, ImageView)
    assert [getattr(view, name) for name in FIELDS] == [getattr(image, name) for name in FIELDS]
    assert bytes(view.data) == image.data.tobytes()


@given(IMAGES.filter(lambda image: len(image.data) > 3), st.data())
def test_bytes_that_end_too_early_are_refused(image: Image, data: st.DataObject) -> None:
    message = serialize_message(image)
    padding = 3  # at most, behind the pixels
    cut = data.draw(st.integers(4, len(message) - padding - 1))
    with pytest.raises(ValueError, match='ends'):
        view_image(message[:cut])


@given(st.binary(max_size=80).map(lambda rest: b'\x00\x01\x00\x00' + rest))
def test_bytes_that_are_no_picture_are_refused_or_read_as_rclpy_does(message: bytes) -> None:
    try:
        view = view_image(message)
    except ValueError:
        return
    theirs = deserialize_message(message, Image)
    assert (view.height, view.width, view.step) == (theirs.height, theirs.width, theirs.step)
    assert bytes(view.data) == theirs.data.tobytes()


def test_a_big_endian_message_is_read_as_well() -> None:
    message = (b'\x00\x00\x00\x00' + (7).to_bytes(4) + (8).to_bytes(4) + (2).to_bytes(4) + b'a\x00'
               + b'\x00\x00' + (1).to_bytes(4) + (2).to_bytes(4) + (6).to_bytes(4) + b'mono8\x00'
               + b'\x00' + b'\x00' + (2).to_bytes(4) + (2).to_bytes(4) + b'xy')
    picture = view_image(message)
    assert (picture.header.stamp.sec, picture.header.frame_id) == (7, 'a')
    assert (picture.height, picture.width, picture.encoding, picture.step) == (1, 2, 'mono8', 2)
    assert bytes(picture.data) == b'xy'
