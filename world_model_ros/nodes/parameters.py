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

"""Short forms for parameter descriptors, so that ``ros2 param describe`` always has an answer."""

from __future__ import annotations

from collections.abc import Mapping

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from world_model_ros.bringup.declaration import Declaration


def declare(node: Node, declared: Mapping[str, Declaration]) -> None:
    """Declare these parameters of a node."""
    for name, one in declared.items():
        if isinstance(one.default, float):
            words = real(one.description, one.low, one.high)
        elif isinstance(one.default, int):
            words = whole(one.description, int(one.low), int(one.high))
        else:
            words = text(one.description)
        node.declare_parameter(name, one.default, words)


def text(description: str) -> ParameterDescriptor:
    """Describe a parameter that is read when the node is configured."""
    return ParameterDescriptor(description=description)


def real(description: str, low: float, high: float) -> ParameterDescriptor:
    """Describe a floating-point parameter with its range, both ends included."""
    return ParameterDescriptor(
        description=description,
        floating_point_range=[FloatingPointRange(from_value=low, to_value=high)])


def whole(description: str, low: int, high: int) -> ParameterDescriptor:
    """Describe an integer parameter with its range, both ends included."""
    return ParameterDescriptor(
        description=description, integer_range=[IntegerRange(from_value=low, to_value=high)])
