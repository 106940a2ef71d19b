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
"""Every fault of the table, on real processes over real DDS, judged by an independent recorder.

`--write-docs` puts what this run measured into docs/reliability.md.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.cell import Cell
from faults.results import write_table
from faults.spoiled import spoil
from faults.table import FAULTS
from faults.trial import Fault, Result, try_fault

from world_model_ros.demo import graph as demo_graph

PAGE = Path(__file__).parents[2] / 'docs' / 'reliability.md'
HANG = 2.5  # s
ATTEMPTS = 3  # where the machine did not run the nodes that plan


class Cells:
    """The running cell; another one when a fault needs another kind, or has broken this one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._stack = ExitStack()
        self._cell: Cell | None = None
        self._simulated_time = False
        self.results: list[Result] = []

    def get(self, simulated_time: bool) -> Cell:
        if self._cell is None or self._simulated_time != simulated_time:
            self.discard()
            self._count += 1
            folder = self._folder / f'cell{self._count}'
            folder.mkdir()
            bundle = spoil(demo_graph.default_bundle(), folder / 'bundle', HANG)
            large = spoil(demo_graph.default_bundle(), folder / 'large', HANG, ballast=64 << 20)
            cell = Cell(folder, bundle, large, simulated_time=simulated_time)
            self._stack.enter_context(small_disk(cell.logs))
            self._cell = self._stack.enter_context(cell)
            self._simulated_time = simulated_time
        return self._cell

    def discard(self) -> None:
        self._cell = None
        self._stack.close()


class small_disk:  # noqa: N801
    """A disk of 256 kB at a path, for as long as the context lasts; where one may be mounted."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._path.mkdir(exist_ok=True)
        done = subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', str(self._path)], check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._mounted = done.returncode == 0

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            subprocess.run(['umount', '-l', str(self._path)], check=True)


@pytest.fixture(scope='module')
def cells(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Cells]:
    cells = Cells(tmp_path_factory.mktemp('faults'))
    try:
        yield cells
    finally:
        cells.discard()
    # The option is unknown where pytest was not started for this folder.
    if request.config.getoption('--write-docs', default=False):
        write_table(cells.results, len(FAULTS), PAGE)


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.name.replace(' ', '_'))
def test_the_robot_survives_the_fault(cells: Cells, fault: Fault) -> None:
    if reason := fault.missing():
        pytest.skip(reason)
    try:
        for _ in range(ATTEMPTS):
            result = try_fault(cells.get(fault.simulated_time), fault)
            if result.stuck:
                cells.discard()  # nobody knows what state it is in
            if result.stuck or not result.starved:
                break
    except BaseException as error:
        cells.discard()  # the next fault begins with a cell that works
        cells.results.append(Result(fault, wrong=[str(error).partition('\n')[0]]))
        raise
    print(result.summary())
    if result.starved:
        pytest.skip(f'this machine did not run the nodes: {result.complaints}')
    cells.results.append(result)
    if result.wrong:
        cells.discard()  # what ended does not come back
    # The Makefile knows these words: such a failure is not tried once more.
    assert not result.wrong, '\n'.join(['wrong on any machine:', *result.complaints])
    assert not result.late, '\n'.join(result.complaints)
