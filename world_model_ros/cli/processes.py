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

"""Child processes that never outlive their parent, whatever ends it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PATIENCE = ((signal.SIGINT, 5.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))
"""What is sent to children that are to end, and for how many seconds it may take effect."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP came. Like KeyboardInterrupt, nobody catches it by accident."""


@dataclass(frozen=True)
class Child:
    """A process that was started, and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = 12) -> str:
        """Return the last lines of the output."""
        text = self.log.read_text(encoding='utf-8', errors='replace')
        return '\n'.join(text.splitlines()[-lines:])


class Children:
    """A context in which processes are started, and at whose end all of them have ended.

    Each gets a session of its own, so that Ctrl-C reaches only this process, which then ends them
    in order. Should this process be killed outright, the kernel sends them SIGTERM (Linux).
    """

    def __init__(self) -> None:
        self._children: list[Child] = []
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Children:
        for number in (signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, _raise_terminated)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # From here on nothing may stop the stopping.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._handlers.setdefault(number, signal.getsignal(number))
            signal.signal(number, signal.SIG_IGN)
        try:
            self.stop()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> Child:
        """Start `command`; its output goes to `log`."""
        with log.open('wb') as output:
            process = subprocess.Popen(
                command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
                # Safe without other threads, of which this program has none.
                preexec_fn=_die_with_parent if sys.platform == 'linux' else None)  # noqa: PLW1509
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def ended(self) -> list[Child]:
        """Return those that have ended."""
        return [child for child in self._children if child.process.poll() is not None]

    def stop(self) -> None:
        """End all of them: politely, then firmly, then by force."""
        for number, patience in _PATIENCE:
            for child in self._children:
                _signal_group(child, number)
            deadline = time.monotonic() + patience
            while self._running() and time.monotonic() < deadline:
                time.sleep(0.02)
            if not self._running():
                break
        for child in self._children:
            _signal_group(child, signal.SIGKILL, even_if_ended=True)  # grandchildren

    def _running(self) -> list[Child]:
        return [child for child in self._children if child.process.poll() is None]


def _signal_group(child: Child, number: int, *, even_if_ended: bool = False) -> None:
    if child.process.poll() is None or even_if_ended:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.process.pid, number)


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated(signal.Signals(number).name)


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == 'linux' else None


def _die_with_parent() -> None:
    assert _libc is not None
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
