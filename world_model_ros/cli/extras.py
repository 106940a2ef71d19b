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
"""Where the packages come from that a command needs and a robot does not have."""

from __future__ import annotations

from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]


def missing(command: str, package: str | None, extras: str) -> str:
    """Return one line that says how to install what `command` misses.

    This package is on no index: what pip is given is the checkout, this one if this is one.
    """
    checkout = _CHECKOUT if (_CHECKOUT / 'setup.py').is_file() else Path('/path/to/world_model_ros')
    return (f"{command} needs {package}: pip install '{checkout}[{extras}]', or python3 "
            f'{checkout}/tools/prepare.py train, which makes {checkout}/.venv')
