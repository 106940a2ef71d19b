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
"""`--write-docs`: put what this run measures into docs/reliability.md.

A run that passes need not have judged every fault: how many it did not is told at its end.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption('--write-docs', action='store_true',
                     help='write the results of test/faults into docs/reliability.md')


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report.nodeid for report in terminalreporter.stats.get('skipped', [])
               if 'faults/test_faults.py' in report.nodeid]
    if skipped:
        terminalreporter.section(f'{len(skipped)} faults not judged; the short summary says why')
        for fault in skipped:
            terminalreporter.write_line(fault)
