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
"""Whatever ends the parent, its children end too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from world_model_ros.cli.processes import Child, Children, Terminated

STUBBORN = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print('up', flush=True)
time.sleep(60)
"""
OBEDIENT = "print('up', flush=True); import time; time.sleep(60)"


def start(children: Children, code: str, folder: Path) -> Child:
    return children.start('a', [sys.executable, '-c', code], os.environ, folder / 'a.log')


def wait_until_up(log: Path) -> None:
    deadline = time.monotonic() + 10
    while not (log.exists() and 'up' in log.read_text()):
        assert time.monotonic() < deadline, 'the child did not start'
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def test_children_end_with_the_context(tmp_path: Path) -> None:
    with Children() as children:
        child = start(children, OBEDIENT, tmp_path)
        wait_until_up(child.log)
        assert not children.ended()
    assert child.process.returncode in {-signal.SIGINT, 1}


def test_children_that_ignore_signals_are_ended_by_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('world_model_ros.cli.processes._PATIENCE', (
        (signal.SIGINT, 0.1), (signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0)))
    with Children() as children:
        child = start(children, STUBBORN, tmp_path)
        wait_until_up(child.log)
    assert child.process.returncode == -signal.SIGKILL


def test_children_end_when_the_parent_is_terminated(tmp_path: Path) -> None:
    with pytest.raises(Terminated, match='SIGTERM'), Children() as children:
        child = start(children, OBEDIENT, tmp_path)
        wait_until_up(child.log)
        signal.raise_signal(signal.SIGTERM)
    assert child.process.poll() is not None


@pytest.mark.skipif(sys.platform != 'linux', reason='a Linux feature')
def test_children_end_when_the_parent_is_killed_outright(tmp_path: Path) -> None:
    log = tmp_path / 'child.log'
    script = (
        'import os, sys, time; from pathlib import Path\n'
        'from world_model_ros.cli.processes import Children\n'
        'with Children() as children:\n'
        f'    child = children.start("a", [sys.executable, "-c", {OBEDIENT!r}], os.environ,'
        f' Path({str(log)!r}))\n'
        '    print(child.process.pid, flush=True)\n'
        '    time.sleep(60)\n')
    parent = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until_up(log)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while is_running(pid):
        assert time.monotonic() < deadline, 'the child outlived its parent'
        time.sleep(0.01)


def test_a_childs_last_words_are_kept(tmp_path: Path) -> None:
    code = "for n in range(40): print('line', n)"
    with Children() as children:
        child = start(children, code, tmp_path)
        child.process.wait(10)
        assert children.ended() == [child]
    assert child.tail(2) == 'line 38\nline 39'
