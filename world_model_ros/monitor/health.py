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
"""One aspect of a node's health, in words that a person can act on."""

from dataclasses import dataclass, field
from enum import IntEnum


class Level(IntEnum):
    """Severity, numbered as ``diagnostic_msgs/DiagnosticStatus`` numbers it."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Health:
    """The state of one aspect (``observation``, ``ladder``, ...) of a node.

    ``message`` says what is the matter and, above OK, what to do about it. ``values`` are the
    numbers behind it, as text, in the order in which they are shown.
    """

    aspect: str
    level: Level
    message: str
    values: dict[str, str] = field(default_factory=dict)
