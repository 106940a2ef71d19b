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

"""docs/reference says what the running nodes, the launch files and the commands say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_reference_page_is_what_the_running_nodes_and_the_commands_say() -> None:
    done = subprocess.run(
        [sys.executable, 'tools/ros_reference.py', '--check'], cwd=ROOT, text=True, timeout=120,
        capture_output=True, check=False)
    assert done.returncode == 0, f'{done.stdout}{done.stderr}'
