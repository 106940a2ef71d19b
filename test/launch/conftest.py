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
"""The replay needs `rosbags`; a launch test that skips itself takes its whole folder with it."""

import importlib.util

collect_ignore = [] if importlib.util.find_spec('rosbags') else ['test_replay_launch.py']


def pytest_report_header() -> str | None:
    """Say what is left out."""
    return 'replay.launch.py is not tested: pip install rosbags' if collect_ignore else None
