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

"""Shows at the end of the run how much each border was sent and refused."""

from typing import Any

import borders_tally
import pytest


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, 'workeroutput'):  # of pytest-xdist: each worker tells its share
        session.config.workeroutput['hostile'] = (borders_tally.refused, borders_tally.remarks)


@pytest.hookimpl(optionalhook=True)  # where pytest-xdist is installed
def pytest_testnodedown(node: Any) -> None:
    refused, remarks = getattr(node, 'workeroutput', {}).get('hostile', ({}, {}))
    for border, cases in refused.items():
        borders_tally.count(border, cases, remarks.get(border, ''))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := borders_tally.table():
        terminalreporter.section('hostile messages judged and refused, by border')
        for line in lines:
            terminalreporter.write_line(line)
