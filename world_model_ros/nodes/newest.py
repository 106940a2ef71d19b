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

"""The one-place mailbox between threads: nothing queues, the newest wins."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar('T')


class Newest(Generic[T]):
    """Holds the last item put until it is taken."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._item: T | None = None
        self._closed = False

    def put(self, item: T) -> T | None:
        """Put an item in; return the one that nobody had taken yet, if any."""
        with self._condition:
            replaced, self._item = self._item, item
            self._condition.notify()
            return replaced

    def poll(self) -> T | None:
        """Take the item if there is one; never wait."""
        with self._condition:
            item, self._item = self._item, None
            return item

    def take(self) -> T | None:
        """Wait for an item and take it; None once the mailbox is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._closed or self._item is not None)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def open(self) -> None:
        """Let ``take`` wait again, with nothing in the box."""
        with self._condition:
            self._closed, self._item = False, None

    def close(self) -> None:
        """Wake whoever waits in ``take`` for good."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
