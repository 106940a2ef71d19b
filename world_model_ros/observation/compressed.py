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


"""JPEG and PNG, as ``sensor_msgs/CompressedImage`` carries them, to pixels."""

import cv2
import numpy as np

from world_model_ros import payload
from world_model_ros.observation.image import ImageError, UInt8Array, check_size

_PNG = b'\x89PNG\r\n\x1a\n'
_ENDS = (b'IEND\xaeB`\x82', b'\xff\xd9')  # the last bytes of a PNG and of a JPEG
# Start-of-frame markers of JPEG (ITU-T T.81, table B.1): all C0 to CF but DHT, JPG and DAC.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def decode_compressed(data: bytes) -> UInt8Array:
    """
    Return the pixels of a ``sensor_msgs/CompressedImage``, JPEG or PNG, as RGB, uint8 [H, W, 3].

    What the bytes are is read from them; the message's ``format`` differs from camera to camera.
    The size that their header claims is held against ``payload`` before anything is unpacked.

    Raises ``ImageError`` when the bytes are no such picture or it is too large.
    """
    if len(data) > payload.COMPRESSED_IMAGE_BYTES:
        raise ImageError(f'compressed image has {len(data)} bytes, '
                         f'{payload.COMPRESSED_IMAGE_BYTES} are the most')
    content = bytes(data)
    width, height = _png_size(content) or _jpeg_size(content) or (0, 0)
    if not width or not height:
        raise ImageError(f'compressed image of {len(data)} bytes is no whole JPEG or PNG: set the '
                         'format of the image transport to one of them')
    check_size(width, height, len(data))
    try:
        bgr = cv2.imdecode(np.frombuffer(content, np.uint8),
                           cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageError(f'compressed image is damaged: {payload.shorten(str(error))}') from error
    # A decoder that stops in the middle leaves the rest grey, and says so by nothing but its end.
    if bgr is None or bgr.shape[:2] != (height, width) or not content.rstrip(b'\0').endswith(_ENDS):
        raise ImageError(f'compressed image of {width}x{height} pixels is damaged or cut short: '
                         'look at the connection to the camera')
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def _png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a PNG claims; None if it is none."""
    if data[:8] != _PNG or data[12:16] != b'IHDR':
        return None
    at = 8
    while data[at + 4:at + 8] != b'IEND':
        # OpenCV allocates what a chunk claims before it looks whether so much is there.
        at += 12 + int.from_bytes(data[at:at + 4], 'big')
        if at + 12 > len(data):
            return None
    return int.from_bytes(data[16:20], 'big'), int.from_bytes(data[20:24], 'big')


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that the first frame of a JPEG claims; None if it is none."""
    if data[:2] != b'\xff\xd8':
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:  # fill byte
            at += 1
        elif data[at + 1] in _FRAMES:
            return (int.from_bytes(data[at + 7:at + 9], 'big'),
                    int.from_bytes(data[at + 5:at + 7], 'big'))
        else:
            at += 2 + max(int.from_bytes(data[at + 2:at + 4], 'big'), 2)
    return None
