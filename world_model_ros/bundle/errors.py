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
"""How a bad bundle is refused: each fault names the field, what is wrong with it, and the cure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from world_model_ros.payload import shorten


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a bundle; `field` is a dotted path such as `action.lower`."""

    field: str
    problem: str
    cure: str

    def __str__(self) -> str:
        """One line for a person."""
        # Field and problem quote a stranger's text.
        return shorten(f'{self.field}: {self.problem}. Cure: {self.cure}.', 1000)


class BundleError(Exception):
    """A bundle is refused. The text lists every fault found, each with field and cure."""

    def __init__(self, path: Path, faults: Iterable[Fault]) -> None:
        """Refuse the bundle in folder `path`."""
        self.path = path
        self.faults = tuple(faults)
        lines = [f'bundle {path} refused:'] + [f'  {fault}' for fault in self.faults]
        super().__init__('\n'.join(lines))
