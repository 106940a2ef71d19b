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
"""
An ``Image`` message as it lies in the bytes that came: no pixel is copied.

rclpy copies a message twice to make Python objects of it, which for a picture of 0.9 MB takes as
long as the encoder of a small model. The layout is that of the CDR standard (OMG DDSI-RTPS 2.3,
10.2): numbers are aligned to their size, text has its length before it and a zero behind it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

# Plain CDR, versions 1 and 2, little-endian: of numbers up to 4 bytes they make the same.
_LITTLE_ENDIAN = (b'\x00\x01', b'\x00\x07')
_ENCAPSULATION = 4  # bytes, from which alignment counts


@dataclass(frozen=True)
class ImageView:
    """The fields of ``sensor_msgs/Image``; ``data`` keeps the message's bytes alive."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview


def view_image(message: bytes) -> Image | ImageView:
    """Return what serialized bytes hold, a copy only if their layout is another; or ValueError."""
    if message[:2] not in _LITTLE_ENDIAN:
        copied: Image = deserialize_message(message, Image)
        return copied
    body = memoryview(message)[_ENCAPSULATION:]
    try:
        seconds, nanoseconds = struct.unpack_from('<iI', body, 0)
        frame_id, at = _text(body, 8)
        at = _aligned(at)
        height, width = struct.unpack_from('<II', body, at)
        encoding, at = _text(body, at + 8)
        is_bigendian = body[at]
        at = _aligned(at + 1)
        step, size = struct.unpack_from('<II', body, at)
    except (struct.error, IndexError) as error:
        raise ValueError(f'the message ends too early: {error}') from error
    data = body[at + 8:at + 8 + size]
    if len(data) != size:
        raise ValueError(f'the message ends after {len(data)} of {size} bytes of pixels')
    stamp = Time(sec=seconds, nanosec=nanoseconds)
    return ImageView(Header(stamp=stamp, frame_id=frame_id), height, width, encoding,
                     is_bigendian, step, data)


def _aligned(at: int) -> int:
    """The next place for a number of four bytes."""
    return -(-at // 4) * 4


def _text(body: memoryview, at: int) -> tuple[str, int]:
    """The text at a place, and where it ends."""
    (length,) = struct.unpack_from('<I', body, at)
    begin, end = at + 4, at + 4 + length
    if end > len(body):
        raise ValueError(f'the message ends inside a text of {length} bytes')
    return bytes(body[begin:max(end - 1, begin)]).decode(errors='replace'), end
