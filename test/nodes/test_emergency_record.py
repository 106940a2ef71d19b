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

"""An emergency stop on disk: it is there before the stop is answered, whatever the disk is like."""

import os
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from dds import Graph

from world_model_ros.nodes.emergency_record import StopRecord, stop_file_of


def keep(record: StopRecord, reason: str, goals: Sequence[str] = ()) -> int:
    """Keep a stop; return how often it looked after the robot meanwhile."""
    ticks: list[None] = []
    record.keep(reason, goals, lambda: ticks.append(None), 0.01)
    return len(ticks)


def test_a_stop_is_read_back_with_its_reason_and_time_until_it_is_deleted(tmp_path: Path) -> None:
    file = tmp_path / 'ros' / 'world_model_ros' / 'hall.domain_0.left.controller.stop'
    record = StopRecord(file)
    assert record.read() is None and record.delete() == ''
    long = 'Rauch "überall" \\ 煙' * 400
    many = tuple(f'{number} ' + '\x01煙' * 126 for number in range(64))
    two = ('picture.18c0', 'other')
    for reason, goals in (('smoke', ()), (long, two), ('', ('',)), ('', many)):
        keep(record, reason, goals)
        assert record.problem == ''
        left = StopRecord(file).read()
        assert left is not None and left.reason.startswith(f'{reason} (since 20')
        assert left.goals == goals
    assert [entry.name for entry in file.parent.iterdir()] == [file.name], 'nothing is left over'
    assert record.delete() == '' and StopRecord(file).read() is None


@pytest.mark.parametrize('goals', ['', ', "goals": []'])
def test_a_file_without_a_goal_is_read_all_the_same(tmp_path: Path, goals: str) -> None:
    file = tmp_path / 'controller.stop'
    file.write_text(f'{{"reason": "smoke", "since": "2026-01-01"{goals}}}')
    left = StopRecord(file).read()
    assert left is not None and left.reason.startswith('smoke') and left.goals == ()


@pytest.mark.parametrize(
    'content', [b'', b'{"reason": "smoke"', b'[]', b'{}', b'\xff', b'0' * 10**6])
def test_a_damaged_file_is_a_stop_all_the_same_and_a_reset_removes_it(
    tmp_path: Path, content: bytes,
) -> None:
    file = tmp_path / 'controller.stop'
    file.write_bytes(content)
    record = StopRecord(file)
    left = record.read()
    assert left is not None and 'was stopped, but cannot be read' in left.reason
    assert record.delete() == '' and record.read() is None


def test_a_stop_that_cannot_be_written_says_so_and_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('no folder')
    record = StopRecord(tmp_path / 'file' / 'controller.stop')
    keep(record, 'smoke')
    assert 'cannot be written (File exists)' in record.problem
    assert record.read() is None and record.delete() == '' and record.problem == ''


def test_a_slow_disk_holds_up_neither_the_ticks_nor_the_answer_and_a_reset_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    goes_on = threading.Event()
    sync = os.fsync

    def slow(handle: int) -> None:
        goes_on.wait(10.0)
        sync(handle)

    monkeypatch.setattr(os, 'fsync', slow)
    file = tmp_path / 'controller.stop'
    record = StopRecord(file)
    assert keep(record, 'smoke') > 20
    assert 'has not stored it' in record.problem
    assert record.delete() == ''
    writers = [thread for thread in threading.enumerate() if thread.daemon and thread.is_alive()]
    goes_on.set()
    for writer in writers:
        writer.join(5.0)
    assert record.read() is None and not list(tmp_path.iterdir())


def test_machines_that_share_a_home_do_not_reset_each_others_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Graph(tmp_path) as graph:
        def record_on(machine: str) -> StopRecord:
            monkeypatch.setattr(socket, 'gethostname', lambda: machine)
            return StopRecord(stop_file_of(graph.node))

        keep(record_on('left'), 'smoke')
        right = record_on('right')
        assert right.read() is None and right.delete() == ''
        left = record_on('left')
        assert left.read() is not None
        assert left.delete() == '' and left.read() is None
