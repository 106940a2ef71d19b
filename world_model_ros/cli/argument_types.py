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
"""What the commands take for a number or a name on their command line."""

from __future__ import annotations

import argparse
import math
import re


def count(text: str) -> int:
    """Return a whole number, at least 1; raises ArgumentTypeError."""
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'{number} is too few: at least 1')
    return number


def seed(text: str) -> int:
    """Return a seed of any generator; raises ArgumentTypeError."""
    number = _whole(text)
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f'{number} is no seed: 0 or a positive number')
    return number


def seconds(text: str) -> float:
    """Return a time above 0, perhaps without end (inf); raises ArgumentTypeError."""
    try:
        time = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds') from None
    if not time > 0:
        raise argparse.ArgumentTypeError(f'{text} is no time: seconds above 0')
    return time


def finite_seconds(text: str) -> float:
    """Return a time above 0 that ends; raises ArgumentTypeError."""
    time = seconds(text)
    if not math.isfinite(time):
        raise argparse.ArgumentTypeError(f'{text} has no end: a number of seconds')
    return time


def topic(text: str) -> str:
    """Return the name of a topic, as ROS allows it; raises ArgumentTypeError."""
    if not re.fullmatch(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', text, re.ASCII):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no name of a topic: letters, digits and underscores between slashes, '
            'such as camera/image_raw')
    return text


def camera_topic(text: str) -> str:
    """Return TOPIC or CAMERA:=TOPIC; raises ArgumentTypeError."""
    topic(text.rpartition(':=')[2])
    return text


def namespace(text: str) -> str:
    """Return a namespace, '' for none; raises ArgumentTypeError."""
    if text.strip('/'):
        topic(text.strip('/'))
    return text


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number') from None
