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
"""Whether control ticks come when they are due."""

# A tick this late is one that a robot may notice.
LATE = 0.005  # s


class TickMonitor:
    """Counts ticks, those that are late, and the worst lateness since construction.

    A tick is due one period after the one before was due; one that is a whole period late or more
    makes the next due one period after it came, as timers do that skip what they missed.
    """

    def __init__(self, period: float) -> None:
        self.count = 0
        self.late = 0
        self.worst = 0.0  # s
        self._period = period
        self._due: float | None = None

    def tick(self, now: float) -> None:
        """Note a tick at ``now`` [s, steady]."""
        lateness = 0.0 if self._due is None else max(now - self._due, 0.0)
        self.count += 1
        self.late += lateness > LATE
        self.worst = max(self.worst, lateness)
        self._due = (
            now + self._period
            if self._due is None or lateness >= self._period
            else self._due + self._period
        )

    def values(self) -> dict[str, str]:
        """Return the counts as the key-values of a diagnostics aspect."""
        return {
            'ticks': str(self.count),
            'ticks_over_5_ms_late': str(self.late),
            'worst_lateness_ms': f'{1e3 * self.worst:.1f}',
        }
