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

"""What a parameter is called, means and may be, apart from the node that has it."""

from __future__ import annotations

import math
from dataclasses import dataclass

Value = bool | int | float | str | list[str]


@dataclass(frozen=True)
class Declaration:
    """One parameter; a value is of the type of `default` and, if a number, from `low` to `high`."""

    default: Value
    description: str
    low: float = -math.inf
    high: float = math.inf
