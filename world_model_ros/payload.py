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

"""The most that anything from the network may be, in one place.

A robot needs far less than any of these numbers; a message beyond them is a mistake or an attack,
and is refused before its content is looked at: no time or memory is spent in proportion to what a
sender sends or claims. ``nodes/border.py`` applies the sizes on the wire, and the functions that
read a message's content apply the rest, so that both hold without the other.

Everything here is a number of something: bytes, pixels, entries or characters.
"""

from collections.abc import Iterable
from itertools import islice

# A picture: 8K UHD as RGB or 16-bit grey fits.
IMAGE_PIXELS = 7680 * 4320
IMAGE_BYTES = 3 * IMAGE_PIXELS
# A picture that is compressed: JPEG and PNG of that size are far smaller.
COMPRESSED_IMAGE_BYTES = 32 * 2**20

# Joints of one joint state or action; humanoids with hands have about 80.
JOINTS = 256
# Names of joints, frames, plans, models; digests have 64.
NAME_LENGTH = 256
# Anything that a person reads or a path; Linux' own limit of a path is 4096.
TEXT_LENGTH = 4096

# Rows of a plan.
PLAN_ROWS = 1000
# Numbers of a latent or a plan: 256 tokens of 1408 (V-JEPA 2) ten times over.
TENSOR_NUMBERS = 2**22
# Dimensions of a tensor.
TENSOR_DIMENSIONS = 8


def shorten(text: str, length: int = 80) -> str:
    """Return a stranger's text as one line of at most ``length`` characters, fit for a log."""
    # No more than what is shown is looked at.
    head = ''.join(char if char.isprintable() else '?' for char in text[:length])
    return head if len(text) <= length else f'{head[:length - 3]}...'


def few(names: Iterable[str], most: int = 6) -> str:
    """Return the first of a stranger's names, quoted, for an error message."""
    first = [shorten(name, 40) for name in islice(names, most + 1)]
    listed = ', '.join(f'"{name}"' for name in first[:most])
    return f'{listed}, ...' if len(first) > most else listed or 'none'
