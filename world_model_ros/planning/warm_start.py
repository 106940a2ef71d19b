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
"""What one plan leaves to the next: its actions and the best others, moved on in time.

All memory that planning has is in this value, which the caller keeps: a planner that remembered by
itself could not be replayed from a recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class WarmStart:
    """An earlier plan and its runners-up, in physical units; H counts rows, not model steps.

    actions: float32 [H, A], the plan
    elites: float32 [E, H, A], other sequences from which the next search may start; E may be 0
    """

    actions: Float
    elites: Float

    def after(self, elapsed: float, step_duration: float) -> WarmStart:
        """What is left after `elapsed` seconds of rows that are held for `step_duration` each.

        What is over drops out, the end is held. A fraction of a step mixes neighbouring rows, which
        keeps their integral.
        """
        steps = max(elapsed / step_duration, 0.0)
        return WarmStart(_shifted(self.actions, steps), _shifted(self.elites, steps))


def _shifted(actions: Float, steps: float) -> Float:
    """Actions [..., H, A] from row `steps` on, which need not be a whole number."""
    last = actions.shape[-2] - 1
    whole = min(int(min(steps, last)), last)
    fraction = np.float32(min(steps, last) - whole)
    rows = np.minimum(np.arange(last + 1) + whole, last)
    following = np.minimum(rows + 1, last)
    shifted: Float = ((1 - fraction) * actions.take(rows, axis=-2)
                      + fraction * actions.take(following, axis=-2))
    return shifted
