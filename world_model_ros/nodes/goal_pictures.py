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
Goals as pictures: ``goal_image`` and, for a model that names its cameras, ``NAME/goal_image``.

A goal of several pictures is complete when one of each camera has come since the last goal, stamped
like pictures that are seen together. A picture without its companions changes nothing. The action
``reach_goal`` has room for one picture: what it wants beside that waits here for the pictures.

Goal pictures are latched: the middleware hands the newest one out again to each new subscription.
A process that takes the place of one that died goes on with it. In one that has listened before,
another model or another configuration would set the robot off toward what somebody wanted once, or
before the robot was stopped. A message's time of writing would tell, but rclpy 9.1's EventsExecutor
cannot (a callback that takes the message's info ends in a SystemError). So what comes at once to a
subscription that is opened later is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import qos_policy_name_from_kind
from sensor_msgs.msg import CompressedImage, Image

from world_model_ros.nodes.border import Border
from world_model_ros.nodes.cameras import ImageMessage
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.goals import GoalRequest, Goals
from world_model_ros.nodes.qos import LATCHED

TOPIC = 'goal_image'
_HANDED_OUT = 2.0  # s within which a new subscription has been given what is latched


class GoalPictures:
    """Subscribes to goals, and asks for those that are complete; in the executor's thread."""

    def __init__(
        self, node: Node, border: Border, goals: Goals, max_skew: Callable[[], float],
        cameras: tuple[str, ...], takes_latched: bool,
    ) -> None:
        """
        Take goals for a model that sees with ``cameras``.

        :param max_skew: gives the largest distance between two cameras' pictures [s]
        :param takes_latched: whether one that was published before is a goal; later, none is
        """
        self._node, self._border, self._goals, self._max_skew = node, border, goals, max_skew
        self._takes_latched = takes_latched
        self._cameras: tuple[str, ...] = ()
        self._came: dict[str, ImageMessage] = {}
        self._awaiting: GoalRequest | None = None
        self._always = self._listen('')
        self._destroy: list[Callable[[], object]] = []
        self.serve(cameras)
        self._takes_latched = False

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras whose pictures make a goal together; none where one picture is a goal."""
        return self._cameras

    def complete(self, request: GoalRequest) -> None:
        """Ask for a goal as soon as its last wish, a picture of each camera, has come from now on.

        A picture that came before is none of it.
        """
        self._awaiting, self._came = request, {}
        self._node.get_logger().info(f'reach_goal awaits goal pictures on {self._topics()}')

    def withdraw(self) -> None:
        """Forget a request that still awaits its pictures: they are a goal by themselves again."""
        self._awaiting = None

    def halt(self) -> None:
        """The robot was stopped: a picture that awaits its companions is no part of a goal."""
        self._awaiting, self._came = None, {}

    def awaited(self) -> str:
        """What a request still awaits, in words."""
        return '' if self._awaiting is None else f'no goal pictures came on {self._topics()}'

    def serve(self, cameras: tuple[str, ...]) -> None:
        """Take goals for a model that sees with these cameras."""
        cameras = tuple(camera for camera in cameras if camera)
        if cameras != self._cameras:
            self._leave()
            self._cameras = cameras
            self._destroy = [it for camera in cameras for it in self._listen(camera)]

    def destroy(self) -> None:
        """Leave all topics."""
        self._leave()
        for destroy in self._always:
            destroy()

    def _leave(self) -> None:
        if (request := self._awaiting) is not None:
            self._awaiting = None
            request.refuse('another model took over before the goal pictures came: its goals are '
                           'other pictures')
        self._came, self._cameras = {}, ()
        for destroy in self._destroy:
            destroy()
        self._destroy = []

    def _topics(self) -> str:
        return ' and '.join(f'{camera}/{TOPIC}' for camera in self._cameras)

    def _listen(self, camera: str) -> list[Callable[[], object]]:
        topic = f'{camera}/{TOPIC}' if camera else TOPIC
        beneath = f'{self._node.resolve_topic_name(topic)}/compressed'
        take = partial(self._on_picture, camera)

        def incompatible(event: QoSRequestedIncompatibleQoSInfo) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self._goals.refuse(
                f'a publisher on {topic} offers too little ({policy}): goals are latched, publish '
                'them reliably and with transient local durability (as "ros2 topic pub" does)')

        events = SubscriptionEventCallbacks(incompatible_qos=incompatible)
        return [partial(self._node.destroy_subscription, subscription) for subscription in (
            self._border.subscribe(Image, topic, take, LATCHED, event_callbacks=events,
                                   admits=self._gate(topic)),
            self._border.subscribe(CompressedImage, f'{topic}/compressed', take, LATCHED,
                                   event_callbacks=events, at=beneath,
                                   admits=self._gate(beneath)))]

    def _gate(self, topic: str) -> Callable[[bytes], bool]:
        since = monotonic()
        until = since if self._takes_latched else since + _HANDED_OUT

        def admits(data: bytes) -> bool:
            if monotonic() >= until:
                return True
            self._node.get_logger().warning(
                f'a goal picture on {topic} came as soon as it was listened to, so it may be an '
                'old one that is latched there, and is left out: publish it again if it is meant')
            return False

        return admits

    def _on_picture(self, camera: str, message: ImageMessage) -> None:
        if reason := self._goals.closed:
            self._goals.refuse(reason)
            return
        if not camera:
            self._goals.request(GoalRequest(({'': message},)))
            return
        if camera not in self._cameras:
            return
        self._came[camera] = message
        stamps = {it: to_nanoseconds(came.header.stamp) for it, came in self._came.items()}
        limit = self._max_skew()
        late = max(stamps.values()) - round(limit * NANOSECONDS)
        old = [it for it, stamp in stamps.items() if stamp < late]
        for it in old:
            del self._came[it]
        if old:
            newest = max(stamps, key=lambda it: stamps[it])
            self._goals.refuse(
                f'the goal pictures of {" and ".join(old)} are older than that of {newest} by more '
                f'than max_camera_skew ({limit * 1e3:g} ms): stamp pictures alike that belong '
                'together')
        if len(self._came) == len(self._cameras):
            pictures = {it: self._came[it] for it in self._cameras}
            request = self._awaiting or GoalRequest(())
            self._came, self._awaiting = {}, None
            self._goals.request(replace(request, wishes=(*request.wishes, pictures)))
        else:
            missing = [it for it in self._cameras if it not in self._came]
            self._node.get_logger().info(
                f'a goal picture of {camera} came; those of {" and ".join(missing)} are awaited')
