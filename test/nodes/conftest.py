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
"""Fixtures of the tests of node processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import world_model_robot
from controller_robot import Robot, start
from dds import Graph


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def begin(stack: ExitStack, tmp_path: Path) -> Callable[..., tuple[Robot, Any]]:
    """Return a function that starts an active controller with a robot and a model around it."""
    return partial(start, stack, tmp_path)


@pytest.fixture
def robot(graph: Graph) -> Iterator[world_model_robot.Robot]:
    """A robot in front of the world_model that a module's fixture `graph` runs."""
    robot = world_model_robot.Robot(graph)
    with graph.every(0.05, robot.publish):
        yield robot


@pytest.fixture
def pulse(graph: Graph) -> world_model_robot.Pulse:
    """The heartbeat of the world_model that a module's fixture `graph` runs."""
    return world_model_robot.Pulse(graph)
