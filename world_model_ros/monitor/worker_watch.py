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

"""What a worker thread is doing, kept so that another thread can tell that it hangs or fails."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class WorkerWatch:
    """
    The state of one worker thread: what it is inside of and since when, and its last failure.

    The worker writes, anyone reads: every attribute is replaced as a whole, so no lock is needed.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` gives seconds; the one that judges passes times of the same clock."""
        self.name = name
        self.failures = 0
        self.problem = ''
        self._clock = clock
        self._inside: tuple[str, float] | None = None

    @contextmanager
    def inside(self, task: str) -> Iterator[None]:
        """Note that the worker is busy with ``task``, which may never return."""
        self._inside = (task, self._clock())
        try:
            yield
        finally:
            self._inside = None

    def failed(self, problem: str) -> None:
        """Note a failure; it counts as the worker's state until ``succeeded``."""
        self.failures += 1
        self.problem = problem

    def succeeded(self) -> None:
        """Note that the worker did what it is there for."""
        self.problem = ''

    def inside_of(self) -> tuple[str, float]:
        """What the worker is inside of and for how long [s]; nothing and 0 outside."""
        inside = self._inside
        return ('', 0.0) if inside is None else (inside[0], self._clock() - inside[1])

    def trouble(self, hung_after: float) -> str:
        """Why the worker is of no use now: hung for longer than ``hung_after`` [s], or failing."""
        task, seconds = self.inside_of()
        if seconds > hung_after:
            return (f'the model is hung: {task} has taken {seconds:.1f} s so far. Load it again '
                    '(~/load_model), restart the node, or raise hung_after if it is that slow')
        return self.problem
