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

"""What goes wrong while a node works: counted, logged without flooding, shown in diagnostics."""

from __future__ import annotations

from time import monotonic
from typing import Protocol

from world_model_ros.monitor import Counters

_LOG_PERIOD = 5.0  # s between log lines about the same thing


class Logger(Protocol):
    """The part of rclpy's logger that is needed here."""

    def warning(self, message: str) -> object:
        """Log."""


class Troubles:
    """Counts by kind, and the newest reason as a headline until something goes well."""

    def __init__(self, counts: Counters, logger: Logger) -> None:
        self._counts, self._logger = counts, logger
        self._logged: dict[str, float] = {}
        self.headline = ''

    def note(self, kind: str, text: str) -> None:
        """Count one of ``kind``; ``text`` says what is wrong and what to do."""
        self._counts.add(kind)
        self.headline = text
        now = monotonic()
        if now - self._logged.get(kind, -_LOG_PERIOD) >= _LOG_PERIOD:
            self._logged[kind] = now
            self._logger.warning(text)

    def over(self) -> None:
        """Note that it works again."""
        self.headline = ''
