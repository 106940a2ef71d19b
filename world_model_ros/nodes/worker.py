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

"""Threads that work off the newest item and cannot be ended by what they meet."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Generic, TypeAlias, TypeVar

from world_model_ros.monitor import WorkerWatch
from world_model_ros.nodes.newest import Newest

Item = TypeVar('Item')

_PATIENCE = 3.0  # s that threads may take to come back from interrupted models
_ASK_AGAIN = 0.05  # s
_LOG_PERIOD = 5.0  # s between tracebacks of one type of exception


Stop: TypeAlias = 'tuple[Worker[Any], Callable[[], None]]'
"""A worker that is to end, and what interrupts the model that it may be inside of."""


def stop_all(stops: Iterable[Stop]) -> list[str]:
    """
    End threads, interrupting their models until these let them go, all within one patience.

    Returns the names of those that have to be left behind: each has a closed box and publishes
    nothing.
    """
    running, deadline = list(stops), monotonic() + _PATIENCE
    for worker, _ in running:
        worker.release()
    while running := [stop for stop in running if not stop[0].is_gone(_ASK_AGAIN)]:
        if monotonic() > deadline:
            break
        for _, interrupt in running:
            interrupt()
    return [worker.name for worker, _ in running]


class Worker(Generic[Item]):
    """One thread; whatever ``work`` raises is reported, and the next item is taken."""

    def __init__(
        self, watch: WorkerWatch, work: Callable[[Item], None],
        on_error: Callable[[str], object],
    ) -> None:
        """
        Prepare a stopped worker.

        :param watch: told of failures; ``work`` tells it what it is inside of
        :param work: called with one item after the other, in the worker's thread
        :param on_error: called with the traceback of what ``work`` did not expect; not for each of
            many in a row that are of one type
        """
        self.name = watch.name
        self._watch, self._work, self._on_error = watch, work, on_error
        self._thread: threading.Thread | None = None
        self._logged: dict[type, float] = {}
        self.box: Newest[Item] = Newest()
        self.box.close()

    def start(self) -> None:
        """Begin to work; raises RuntimeError while an abandoned thread is still in the model."""
        if self._thread is not None:
            self._thread.join(_ASK_AGAIN)  # released just now
        if self._thread is not None and self._thread.is_alive():
            raise RuntimeError(
                f'the {self._watch.name} thread is still stuck inside the model: restart the node')
        self.box.open()
        # A daemon, so that one that never comes back does not keep the process from ending.
        self._thread = threading.Thread(
            target=self._run, args=(self.box,), name=self._watch.name, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """End the thread without waiting for it."""
        self.box.close()

    def is_gone(self, within: float) -> bool:
        """Whether a released thread has ended, waiting for that at most ``within`` s."""
        if self._thread is None:
            return True
        self._thread.join(within)
        return not self._thread.is_alive()

    def _run(self, box: Newest[Item]) -> None:
        while (item := box.take()) is not None:
            try:
                self._work(item)
            except Exception as error:  # the border: one bad item must not end the thread
                self._watch.failed(f'unexpected {type(error).__name__} in {self._watch.name}: '
                                   f'{error}. The log has the traceback: please report it')
                now, kind = monotonic(), type(error)
                if now - self._logged.get(kind, -_LOG_PERIOD) >= _LOG_PERIOD:
                    self._logged[kind] = now
                    self._on_error(traceback.format_exc())
