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
The first border that a message meets: its size and its encoding, before Python objects are made.

rclpy turns a message into Python objects before it asks anyone. A proposal with 500,000 names or a
tensor of 40 MB held the controller's thread for 70 to 150 ms that way, which is 7 to 15 setpoints,
and bytes that are no message vanish without a word. ``Border.subscribe`` takes the bytes, looks at
their number, decodes them, and says what it refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from geometry_msgs.msg import PoseStamped
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

from world_model_interfaces.msg import ActionProposal, ControllerState, Heartbeat, ModelInfo
from world_model_ros import payload
from world_model_ros.monitor import Counters

Message = TypeVar('Message')

# Lengths, alignment, headers and numbers beside the sequences that the sizes below count.
_FIXED = 1024
_NAMES = payload.JOINTS * (payload.NAME_LENGTH + 8)
_DOUBLES = payload.JOINTS * 8

# The largest that a message of each type may be on the wire, in bytes.
LARGEST: dict[type, int] = {
    Image: payload.IMAGE_BYTES + 2 * payload.NAME_LENGTH + _FIXED,
    CompressedImage: payload.COMPRESSED_IMAGE_BYTES + 2 * payload.NAME_LENGTH + _FIXED,
    CameraInfo: 64 * 8 + 2 * payload.NAME_LENGTH + _FIXED,  # lens models have up to 14 numbers
    PoseStamped: payload.NAME_LENGTH + _FIXED,
    JointState: _NAMES + 3 * _DOUBLES + payload.NAME_LENGTH + _FIXED,
    ActionProposal: (payload.PLAN_ROWS * payload.JOINTS * 4 + _NAMES + 4 * payload.NAME_LENGTH
                     + _FIXED),
    ModelInfo: 2 * _NAMES + 2 * _DOUBLES + 5 * payload.NAME_LENGTH + _FIXED,
    ControllerState: (2 * payload.TEXT_LENGTH + payload.NAME_LENGTH + _NAMES + 2 * _DOUBLES
                      + _FIXED),
    Heartbeat: payload.TEXT_LENGTH + 2 * payload.NAME_LENGTH + _FIXED,
}


class BorderError(ValueError):
    """Bytes that are not taken for a message; ``reason`` is oversized or malformed."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def decode(
    data: bytes, kind: type[Message], topic: str,
    read: Callable[[bytes], Message] | None = None,
) -> Message:
    """
    Return the message of type ``kind`` that ``data``, from ``topic``, holds, as ``read`` finds it.

    Raises ``BorderError`` when there are more bytes than ``LARGEST`` allows, or they are no such
    message.
    """
    if len(data) > LARGEST[kind]:
        raise BorderError('oversized', f'{topic}: a message of {len(data)} bytes is refused, '
                          f'{LARGEST[kind]} are the most: who publishes there?')
    try:
        message: Message = read(data) if read else deserialize_message(data, kind)
    except Exception as error:  # ValueError, or RMWError, which rclpy does not export
        raise BorderError('malformed', f'{topic}: {len(data)} bytes are no {kind.__name__}: is the '
                          'publisher built with the same message definitions?') from error
    return message


class Border:
    """
    Subscribes for a node, and counts per topic what is not even decoded.

    Counters are named ``<topic>_oversized`` and ``<topic>_malformed``; ``refused(topic, text)`` is
    called with a text for a person.
    """

    def __init__(self, node: Node, refused: Callable[[str, str], None]) -> None:
        self._node, self._refused = node, refused
        self.counts = Counters()

    def subscribe(
        self,
        kind: type[Message],
        topic: str,
        callback: Callable[[Message], None],
        qos: QoSProfile,
        event_callbacks: SubscriptionEventCallbacks | None = None,
        at: str | None = None,
        read: Callable[[bytes], Message] | None = None,
        admits: Callable[[bytes], bool] = lambda data: True,
    ) -> Subscription[Any]:
        """
        Subscribe to ``topic``: ``callback`` gets sound messages of type ``kind``.

        ``at`` is where it is to be found if its place follows from that of another topic, ``read``
        what makes a message of bytes if not rclpy. ``admits`` is asked first whether a message is
        to be looked at.
        """
        for reason in ('oversized', 'malformed'):
            self.counts.add(f'{topic}_{reason}', 0)

        def receive(data: bytes) -> None:
            if not admits(data):
                return
            try:
                message = decode(data, kind, topic, read)
            except BorderError as error:
                self.counts.add(f'{topic}_{error.reason}')
                self._refused(topic, str(error))
            else:
                callback(message)

        return self._node.create_subscription(
            kind, at or topic, receive, qos, raw=True, event_callbacks=event_callbacks)
