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
The controller's emergency stop, as far as the world model hears of it.

A stop ends the goal, and after a reset nothing moves for what was asked for before it. Goal
pictures are latched: the middleware hands the same one out again to each new subscription. So those
that came before a stop ended are remembered, longer than the node stays configured. They are told
by their bytes: the time of writing would be better, but rclpy 9.1's EventsExecutor cannot tell it
(a callback that takes the message's info ends in a SystemError).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from time import monotonic

from world_model_interfaces.msg import ControllerState
from world_model_ros import payload
from world_model_ros.nodes.convert import to_nanoseconds

_PICTURES = 256  # of goals, that are remembered
_LATCHED = 2.0  # s within which a new subscription has been handed what was published before


class RobotStop:
    """Whether the robot is stopped, and which goal pictures a stop has made void."""

    def __init__(self) -> None:
        self.reason = ''  # why no goal is taken now; empty if one is
        self.since = 0  # stamp of the newest stop [ns], 0 before the first: no other has the same
        self._seen: deque[bytes] = deque(maxlen=_PICTURES)
        self._void: deque[bytes] = deque(maxlen=_PICTURES)

    def note(self, state: ControllerState) -> bool:
        """Note what a controller says; return whether a stop begins."""
        if not state.stopped:
            self.reason = ''
            return False
        if self.reason:
            return False
        why = payload.shorten(state.stop_reason, payload.NAME_LENGTH) or 'no reason given'
        self.reason = f'the robot was stopped: {why}; set the goal again after ~/reset'
        self.since = max(to_nanoseconds(state.header.stamp), self.since + 1)
        self._void.extend(self._seen)
        self._seen.clear()
        return True

    def forget(self) -> None:
        """Nobody is listened to any more: whether a stop lasts is not known."""
        self.reason = ''

    def gate(self) -> Callable[[bytes], bool]:
        """
        Return what a new subscription to goal pictures is to ask about each message [bytes].

        It says whether to look at it: what a stop has made void comes once more, and at once, from
        a publisher that still holds it. The same bytes after that were sent again on purpose.
        """
        until, held = monotonic() + _LATCHED, set(self._void)

        def admits(data: bytes) -> bool:
            picture = hashlib.sha256(data).digest()
            if picture in held and monotonic() < until:
                held.remove(picture)
                return False
            (self._void if self.reason else self._seen).append(picture)
            return True

        return admits
