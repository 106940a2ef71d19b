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
"""Chunk boundaries on the wire, in short; ``benchmarks/chunk_boundaries.py`` does a thousand."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / 'benchmarks' / 'chunk_boundaries.py'


def test_no_boundary_between_plans_that_disagree_shows_in_the_setpoints(tmp_path: Path) -> None:
    report = tmp_path / 'report.json'
    run = subprocess.run(
        [sys.executable, str(BENCHMARK), '--boundaries', '20', '--json', str(report)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads(report.read_text())
    assert figures['boundaries'] >= 20
    assert figures['largest_velocity_step'] > 0.0, 'the robot moved'
    assert figures['worst_velocity_ratio'] <= 1.0
    assert figures['worst_position_ratio'] <= 1.0
    assert figures['setpoints_outside_limits'] == figures['commands_unlike_their_state'] == 0
