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

"""A letterbox for one topic: arrivals cost microseconds, and the owner reads when it has time.

An executor's queue is served in order and grows without end. When every message is decoded and
judged as it arrives, a flood of them holds up whatever waits behind: 1,000 refused proposals per
second kept timers waiting for seconds on a busy machine. Here an arrival only stores its bytes, and
the oldest give way to the newest.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile

from world_model_ros.nodes.border import decode

Message = TypeVar('Message')


class Inbox(Generic[Message]):
    """The newest ``size`` messages of ``topic``; for one thread.

    ``received`` counts all that came, ``dropped`` those that gave way to newer ones unread.
    """

    def __init__(
        self, node: Node, kind: type[Message], topic: str, qos: QoSProfile, size: int,
        event_callbacks: SubscriptionEventCallbacks | None = None,
    ) -> None:
        self.topic = topic
        self.received = self.dropped = 0
        self._kind = kind
        self._letters: deque[bytes] = deque(maxlen=size)
        self.subscription: Any = node.create_subscription(
            kind, topic, self._store, qos, raw=True, event_callbacks=event_callbacks)

    def take(self) -> Message | None:
        """Return the oldest message, or None; raise BorderError if it is too large or is none."""
        return decode(self._letters.popleft(), self._kind, self.topic) if self._letters else None

    def _store(self, data: bytes) -> None:
        self.received += 1
        self.dropped += len(self._letters) == self._letters.maxlen
        self._letters.append(data)
