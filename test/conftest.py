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

What nodes leave behind, logs for one, goes to a folder of the session, which goes with it unless a
test failed. There lies no measurement of an earlier ``wmros check --prebuild`` either, by which
``auto`` would choose what it runs.

What cannot be collected was not run, which is no test that failed: ``make test`` runs those again.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from shared_memory import clean_shared_memory

signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault('MUJOCO_GL', 'egl')


HOMES = {'ROS_HOME': 'ros', 'ROS_LOG_DIR': 'ros/log', 'XDG_CACHE_HOME': 'cache'}
LEFT_BEHIND = pytest.StashKey[Path]()
NOT_COLLECTED: list[str] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    if hasattr(session.config, 'workerinput'):
        return  # of pytest-xdist: a worker inherits what the session that started it has set
    clean_shared_memory()
    folder = Path(tempfile.mkdtemp(prefix='wmros_tests_'))
    session.config.stash[LEFT_BEHIND] = folder
    for name, home in HOMES.items():
        (folder / home).mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(folder / home)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        NOT_COLLECTED.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if NOT_COLLECTED:  # with pytest-xdist, in one of its workers alone, too
        session.exitstatus = pytest.ExitCode.INTERRUPTED
    folder = session.config.stash.get(LEFT_BEHIND, None)
    succeeded = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    if folder is not None and succeeded:
        shutil.rmtree(folder, ignore_errors=True)  # a process that is just ending may still write


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    folder = config.stash.get(LEFT_BEHIND, None)
    if folder is not None and folder.exists():
        terminalreporter.write_line(f'logs of the nodes are in {folder}')
