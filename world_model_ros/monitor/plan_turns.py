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

"""Which observations a plan is due for, by their stamps: so a recording gives the same plans."""

_EARLY = 5_000_000  # ns; images come with jitter: one that is so early is not left out


class PlanTurns:
    """A period between plans, kept on the average. Times in ns."""

    def __init__(self) -> None:
        self._due = 0

    def restart(self) -> None:
        """Let a plan be due at once."""
        self._due = 0

    def take(self, stamp: int, period: int) -> bool:
        """Whether a plan is due for the observation at ``stamp``; then the next one is not yet."""
        if stamp < self._due - period - _EARLY:  # before the last plan: the clock was set back
            self._due = 0
        if stamp < self._due - _EARLY:
            return False
        self._due = max(self._due, stamp - period // 2) + period
        return True
