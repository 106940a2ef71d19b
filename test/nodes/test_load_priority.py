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
"""A model that loads leaves the processor to the one that drives the robot."""

import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toy_bundle import write_toy_bundle

from world_model_ros.inference import RuntimeSettings, WorldModel
from world_model_ros.nodes import loaded_model
from world_model_ros.nodes.load_model import give_way
from world_model_ros.nodes.loaded_model import LoadedModel


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux has priorities of threads')
def test_a_thread_that_gives_way_leaves_the_others_as_they_are() -> None:
    found = []

    def load() -> None:
        before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        give_way()
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) - before)

    mine = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    assert found[0] > 0 or mine >= 10
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == mine


@pytest.mark.parametrize(('threads', 'order'), [
    (1, ['give way', 'open', 'give way']),
    (2, ['open', 'give way']),  # threads that the runtime starts would stay slow for ever
])
def test_a_model_gives_way_as_soon_as_that_slows_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, order: list[str],
) -> None:
    done = []

    class Watched(WorldModel):
        def __init__(self, *arguments: object) -> None:
            done.append('open')
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loaded_model, 'WorldModel', Watched)
    bundle = write_toy_bundle(tmp_path)
    settings = RuntimeSettings(provider='cpu', threads=threads, cache=tmp_path / 'cache')
    LoadedModel(bundle.path, settings, lambda _: None, lambda: done.append('give way')).close()
    assert done == order


@pytest.mark.parametrize('shadow', [False, True])
def test_plans_that_are_over_too_early_are_no_matter_of_a_model_that_makes_none(
    tmp_path: Path, shadow: bool,
) -> None:
    numbers = {'plan_rate': 0.7, 'plan_deadline': 0.5}  # plans are 1.6 s long
    parameters: Any = SimpleNamespace(
        runtime=lambda: RuntimeSettings(provider='cpu', cache=tmp_path / 'cache'),
        check=lambda ahead: None, real=numbers.__getitem__)
    warnings: list[str] = []
    logger: Any = SimpleNamespace(info=lambda text: None, warning=warnings.append)
    path = write_toy_bundle(tmp_path).path
    loaded_model.load_fit(path, parameters, logger, shadow=shadow).close()
    assert ['will brake between plans' in warning for warning in warnings] == [True] * (not shadow)
