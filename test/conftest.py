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

"""
What holds for all tests.

Whatever started them may ignore SIGINT, as shells do for jobs in the background, and every process
that a test starts would inherit that and not end when it is told to.

MuJoCo looks once, when it is imported, at what it is to draw with. A test may import it before
``simulation`` does, which says so, and tests behind it in the same process would draw nothing.
"""

import os
import signal

import pytest
from shared_memory import clean_shared_memory

signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault('MUJOCO_GL', 'egl')


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, 'workerinput'):  # once, not in each of pytest-xdist's workers
        clean_shared_memory()
