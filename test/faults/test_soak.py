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
"""A minute of benchmarks/soak.py: memory stays flat, and nothing that was sent gets lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

from soak import SAMPLING, Starvation, longer_than_queues

ROOT = Path(__file__).parents[2]


def test_for_a_minute_memory_stays_flat_and_as_much_is_received_as_was_published(
    tmp_path: Path
) -> None:
    path = tmp_path / 'soak.json'
    done = subprocess.run(
        [sys.executable, 'benchmarks/soak.py', '--minutes', '1', '--json', str(path)],
        cwd=ROOT, check=False, text=True, timeout=180, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert path.is_file(), done.stdout
    report = json.loads(path.read_text(encoding='utf-8'))
    print({key: value for key, value in report.items() if key != 'series'})
    for name, memory in report['memory_mb'].items():
        assert memory['deviation'] <= 0.03, (name, memory)
    # Queues are as long as a machine that does much else may keep a process waiting. What they can
    # not hold beyond that may be lost: as much as was sent in that time, and nothing without it.
    for what, count in report['counts'].items():
        lost = count['published'] - count['received']
        rate = count['published'] / report['duration_s']
        assert 0 <= lost <= rate * count['receiver_starved_s'], (what, count)
    # 30 Hz, 100 Hz, 10 Hz: the load that the figures are about, while the machine ran. Late ticks
    # are not judged here, where other processes may have the processor.
    ran = report['duration_s'] - max(each['seconds'] for each in report['machine_stood_still'])
    counts = {what: count['published'] / ran for what, count in report['counts'].items()}
    assert counts['images'] > 25 and counts['joint states, by controller'] > 90
    assert counts['proposals'] > 7 and counts['commands'] > 80


def starved(waits: Sequence[float]) -> float:
    """Return what a thread counts for that waited for these shares of the time between looks."""
    starvation, total = Starvation(), 0
    for look, wait in enumerate([0.0, *waits]):
        total += round(1e9 * SAMPLING * wait)
        starvation.add(round(1e9 * SAMPLING * look), {'1': total, '2': 0})
    return starvation.seconds()


def test_many_short_waits_are_no_long_one() -> None:
    assert starved([0.5] * 500) == 0.0
    assert starved([1.0, 0.0] * 250) == 0.0


def test_a_wait_counts_in_whole_also_if_the_kernel_tells_of_it_when_it_is_over() -> None:
    assert starved([0.1, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1]) == pytest.approx(5 * SAMPLING, rel=0.05)
    assert starved([0.1, 0.0, 0.0, 0.0, 0.0, 5.0, 0.1]) == pytest.approx(5 * SAMPLING, rel=0.05)
    assert starved([0.9] * 10) == pytest.approx(10 * SAMPLING, rel=0.05)
    assert starved([1.0, 1.0, 1.0, 0.0]) == 0.0, 'the queue lasts as long'


def test_threads_that_wait_at_the_same_time_count_once() -> None:
    starvation = Starvation()
    for look, wait in enumerate([0.0, 0.0, 0.2]):
        total = round(1e9 * wait)
        starvation.add(look * 1_000_000_000, {'1': total, '2': total // 2})
    assert starvation.seconds() == pytest.approx(0.2)


def test_of_what_the_machine_stood_still_only_what_outlasts_queues_excuses_lost_messages() -> None:
    milliseconds = np.array([[0, 60], [100, 200], [300, 370], [400, 550]])
    assert longer_than_queues(milliseconds * 1_000_000) == pytest.approx(0.25)
    assert longer_than_queues(np.empty((0, 2), np.int64)) == 0.0
