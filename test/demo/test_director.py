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
"""What the demo's director says when its run cannot go on."""

from types import SimpleNamespace

import pytest

from world_model_ros.nodes.demo_director import DemoDirector, RunError


@pytest.mark.parametrize(('error', 'text'), [
    (RunError('the simulator refused: see its log'), 'the simulator refused: see its log'),
    (KeyError('tip'), "KeyError: 'tip'"),
])
def test_an_error_is_logged_once_and_told_with_its_type_where_it_was_unexpected(
    error: Exception, text: str,
) -> None:
    logged: list[str] = []
    told: list[tuple[str, str]] = []

    def perform() -> None:
        raise error

    director = SimpleNamespace(
        _perform=perform, _simulation=None, _stop=SimpleNamespace(is_set=lambda: True),
        _tell=lambda event, message: told.append((event, message)),
        get_logger=lambda: SimpleNamespace(error=logged.append))
    DemoDirector._run(director)  # type: ignore[arg-type]
    assert (logged, told) == ([text], [('failed', text)])
