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
"""What a check has to say: one finding for each thing that a person should know or do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Grade(IntEnum):
    """How much a finding matters."""

    NOTE = 0
    """Worth reading."""
    WARNING = 1
    """It works, and something is not as it should be."""
    UNFIT = 2
    """It does not work here as it is."""


@dataclass(frozen=True)
class Finding:
    """One thing found; `about` names the field, topic or setting that it is about."""

    grade: Grade
    about: str
    problem: str
    cure: str

    def __str__(self) -> str:
        """One line for a person."""
        return f'{self.grade.name.lower()}: {self.about}: {self.problem}. Cure: {self.cure}.'
