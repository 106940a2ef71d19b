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
"""How one plan follows the other in time, and whether the first lasts until the second is there."""

from __future__ import annotations

import math
from collections.abc import Iterator

from world_model_ros.bundle import Manifest
from world_model_ros.findings import Finding, Grade

_OBSERVATION = 0.03  # s: from one to the next, as of a camera at 30 Hz


def next_plan_after(rate: float, deadline: float, encoding: float | None) -> float:
    """From the observation behind a plan to the arrival of the next plan, at most [s].

    `rate`: plans per second, at most; `deadline` and `encoding`: seconds for a plan and for an
    observation, of which None, where nobody has measured it, counts as none at all.
    """
    making = deadline + (encoding or 0.0)
    return max(1.0 / rate, making) + _OBSERVATION + making


def timing(rate: float, deadline: float, encoding: float | None) -> str:
    """The same numbers in words."""
    observing = ('encodings not measured' if encoding is None else
                 f'{encoding:.2f} s for an encoding')
    return f'at most {rate:g} plans a second, {deadline:g} s for each, {observing}'


def judge_length(
    manifest: Manifest, rate: float, deadline: float, encoding: float | None,
) -> Iterator[Finding]:
    """Yield whether plans are over before the next ones come; numbers as in `next_plan_after`."""
    if math.isinf(deadline):  # of an export: who plans with it is not known
        return
    length = manifest.planner.horizon * manifest.action.model_step
    needed = next_plan_after(rate, deadline, encoding)
    if length <= needed:
        yield Finding(
            Grade.WARNING, 'planner.horizon', f'a plan is over {length:g} s after its observation, '
            f'and the next one comes up to {needed:.2f} s after it '
            f'({timing(rate, deadline, encoding)}): the robot will brake between plans',
            'raise planner.horizon in the bundle (wmros export) or plan_rate, or lower '
            'plan_deadline')
