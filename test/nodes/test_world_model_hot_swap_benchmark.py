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

"""The benchmark of hot swapping, in a short version: no verdict on a machine that others use."""

import json
import subprocess
import sys
from pathlib import Path


def test_five_swaps_under_load_mix_no_proposal_and_leave_the_robot_planning(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parents[2] / 'benchmarks' / 'hot_swap.py'
    file = tmp_path / 'hot_swap.json'
    run = subprocess.run(
        [sys.executable, str(script), '--swaps', '5', '--calm', '1', '--dwell', '0.3',
         '--json', str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert file.exists(), run.stderr
    report = json.loads(file.read_text(encoding='utf-8'))
    assert report['verdicts']['mixed'], report['mixed']
    assert report['changes'] == report['swaps'] == 5
    assert report['with_their_latent'] > 0.9 * report['proposals']
    # Ten plan periods: a pause, if nothing else slowed the machine down.
    assert report['gap_ms']['swapping']['longest'] < 1000
    # A bundle of 2 MB: three models' worth would be ten times that.
    assert report['memory_mb']['at_last'] - report['memory_mb']['at_first'] < 30
