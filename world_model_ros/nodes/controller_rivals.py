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
Who else proposes plans or commands the robot, by what the middleware knows of the graph.

Two models send a robot to and fro between two goals, two controllers push it through each other's
limits. But a process that was killed stays on the graph until DDS gives it up, up to 20 s later: a
``world_model`` that was started again is not its own rival. So publishers of one node are one, as
long as no more heartbeats come than one model sends. For commands each one counts: whoever starts
after a death is never told of the dead.
"""

from __future__ import annotations

from rclpy.node import Node

from world_model_ros.payload import few

_BEATS = 30.0  # 1/s, more than one model sends
_UNKNOWN = '_NODE_NAME_UNKNOWN_'  # a publisher whose node has not been heard of yet


class Rivals:
    """Looks for others on the topics of a controller, given by their full names."""

    def __init__(self, node: Node, command: str, proposal: str, heartbeat: str) -> None:
        self._node = node
        self._command, self._proposal, self._heartbeat = command, proposal, heartbeat

    def proposing(self, beats: float) -> str:
        """Say who proposes where only one should; '' if all is well. ``beats`` per second come."""
        for topic in (self._proposal, self._heartbeat):
            if self._node.count_publishers(topic) > 1:
                names = self._names(topic)
                known = {name for name in names if not name.endswith(_UNKNOWN)}
                if len(known) > 1 or (topic == self._heartbeat and beats > _BEATS):
                    return (f'{few(names)} publish on {topic}: let one world_model propose at '
                            'a time; one that was killed is forgotten within 20 s')
        return ''

    def commanding(self) -> str:
        """Say who commands the robot besides this node; '' if nobody does."""
        if self._node.count_publishers(self._command) <= 1:
            return ''
        others = self._names(self._command)
        own = self._node.get_fully_qualified_name()
        if own in others:
            others.remove(own)
        return (f'{few(others)} may command the robot on {self._command}, too: end it, or let '
                'it command another topic')

    def _names(self, topic: str) -> list[str]:
        return sorted(
            f'{end.node_namespace.rstrip("/")}/{end.node_name}'
            for end in self._node.get_publishers_info_by_topic(topic))
