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
"""How long to wait before a process that ended is started again."""

from dataclasses import dataclass, field


@dataclass
class BackOff:
    """Delays that double from `first` to `longest`, and begin anew after `calm`; all in seconds.

    A process that dies at once, every time, must not keep a core busy with its starts; one that
    fails once a day is to be back at once.
    """

    first: float
    longest: float = 10.0
    calm: float = 30.0
    _next: float = field(default=0.0, init=False)

    def after(self, lifetime: float) -> float:
        """Return how long to wait [s] after the process lived for `lifetime` [s]."""
        if lifetime >= self.calm or self._next == 0.0:
            self._next = self.first
        delay, self._next = self._next, min(2.0 * self._next, self.longest)
        return delay
