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

"""Turns the ROS-free health reports of ``monitor/`` into ``/diagnostics`` messages."""

from __future__ import annotations

from collections.abc import Sequence

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import Header

from world_model_ros.monitor import Health


def to_diagnostic_array(stamp: Time, node: Node, reports: Sequence[Health]) -> DiagnosticArray:
    """
    Return one status per aspect, named ``<node>: <aspect>`` as diagnostic_updater does.

    The node with its namespace: to viewers, what has one name is one thing.
    """
    path = node.get_fully_qualified_name()
    return DiagnosticArray(header=Header(stamp=stamp), status=[
        DiagnosticStatus(
            level=bytes([report.level]),
            name=f'{path[1:]}: {report.aspect}',
            message=report.message,
            hardware_id=path,
            values=[KeyValue(key=key, value=value) for key, value in report.values.items()])
        for report in reports])
