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
The emergency stop on disk, so that a controller that dies and comes back is still stopped.

The file is there as long as the stop is latched, in the folder that ROS keeps its own files in
(``$ROS_HOME``, else ``~/.ros``), one for each controller of each ROS domain and machine: machines
may share a home, and who resets one robot must not free another.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rclpy.node import Node

_PATIENCE = 1.0  # s that a disk gets until the stop is answered
_LARGEST = 1_000_000  # bytes: a reason and goals in JSON, whatever their characters are


def stop_file_of(node: Node) -> Path:
    """Return where the stop of this node is kept; raises RuntimeError where there is no home."""
    home = os.environ.get('ROS_HOME')
    folder = Path(home) if home else Path.home() / '.ros'
    # Names in ROS have no dots.
    name = node.get_fully_qualified_name().strip('/').replace('/', '.')
    # Not /etc/machine-id: images share it, and without a disk of its own it is new at each boot.
    domain, host = node.context.get_domain_id(), socket.gethostname()
    return folder.expanduser() / 'world_model_ros' / f'{host}.domain_{domain}.{name}.stop'


@dataclass(frozen=True)
class Left:
    """What a process left behind: why it was stopped, and the goals that it had pursued."""

    reason: str
    goals: tuple[str, ...] = ()


class StopRecord:
    """What is on disk of an emergency stop.

    ``problem`` says why a stop that is latched would not outlive this process; empty if it would.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.problem = ''
        self._lock = threading.Lock()
        self._wanted = 0  # the newest stop that is to be on disk; 0: none

    def read(self) -> Left | None:
        """Return what is left of a controller that was stopped when its process ended.

        A file that cannot be read is a stop all the same.
        """
        try:
            with self.file.open('rb') as file:
                content = json.loads(file.read(_LARGEST))
            reason, since = str(content['reason']), str(content['since'])
            goals = tuple(str(goal) for goal in content.get('goals', ()))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # the border: whatever is wrong with it, somebody stopped it
            return Left(f'{self.file} says that it was stopped, but cannot be read '
                        f'({type(error).__name__}: {error})')
        return Left(f'{reason} (since {since}, before this process began)',
                    goals)

    def keep(
        self, reason: str, goals: Sequence[str], meanwhile: Callable[[], None], pause: float,
    ) -> None:
        """Write the stop to disk, calling ``meanwhile`` every ``pause`` seconds until it is there.

        ``goals`` are what was pursued. A disk may take a second for what a robot that brakes cannot
        wait for.
        """
        self._wanted += 1
        self.problem = f'the disk has not stored it in {self.file} within {_PATIENCE:g} s'
        writer = threading.Thread(
            target=self._write, args=(reason, goals, self._wanted), daemon=True)
        writer.start()
        deadline = time.monotonic() + _PATIENCE
        while writer.is_alive() and time.monotonic() < deadline:
            writer.join(pause)
            meanwhile()

    def delete(self) -> str:
        """Remove the file; return why it is still there, or ''."""
        self._wanted += 1
        self.problem = ''
        try:
            with self._lock:
                self.file.unlink(missing_ok=True)
        except NotADirectoryError:
            pass
        except OSError as error:
            return f'{self.file} cannot be deleted ({error.strerror})'
        return ''

    def _write(self, reason: str, goals: Sequence[str], number: int) -> None:
        new = self.file.with_suffix(f'.{os.getpid()}-{number}')
        since = datetime.now().astimezone().isoformat(sep=' ', timespec='seconds')
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with new.open('w', encoding='utf-8') as file:
                json.dump({'reason': reason, 'since': since, 'goals': goals}, file,
                          ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            with self._lock:  # against a reset: what it deletes must not come back
                if number != self._wanted:
                    new.unlink()
                    return
                new.replace(self.file)
            _store_names(self.file.parent)
            problem = ''
        except OSError as error:
            problem = f'{self.file} cannot be written ({error.strerror})'
        if number == self._wanted:
            self.problem = problem


def _store_names(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
