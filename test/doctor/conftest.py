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
"""One running robot for each file of tests of the doctor: it takes seconds to start."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dds import Graph
from doctor_robot import BUFFERS, Robot

from world_model_ros.cli import middleware
from world_model_ros.cli.main import main


@pytest.fixture(scope='module')
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    folder = tmp_path_factory.mktemp('doctor')
    with Graph(folder) as graph:
        os.environ['ROS_DOMAIN_ID'] = str(graph.domain)
        try:
            yield Robot(folder, graph)
        finally:
            del os.environ['ROS_DOMAIN_ID']


@pytest.fixture(scope='module')
def delivery(robot: Robot) -> middleware.Delivery:
    """What became of test images, measured once for each file: it takes four seconds."""
    return middleware.try_images({middleware.TRANSPORTS: BUFFERS, middleware.RANGE: 'SUBNET'})


@pytest.fixture
def doctor(
    delivery: middleware.Delivery, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setattr(middleware, 'try_images', lambda: delivery)

    def examine(*words: str | Path) -> tuple[int, str]:
        code = main(['doctor', *map(str, words)])
        return code, capsys.readouterr().out

    return examine
