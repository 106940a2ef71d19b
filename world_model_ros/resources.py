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

"""Where the files are that the package ships beside its code: configurations, robots, models."""

import os
import sys
from pathlib import Path


def resource(relative: str) -> Path:
    """Return a file or folder that the package ships, in the source tree or where it is installed.

    :raises FileNotFoundError: it is in neither
    """
    prefixes = [*os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep), sys.prefix]
    roots = [Path(__file__).resolve().parents[1],
             *(Path(prefix) / 'share' / 'world_model_ros' for prefix in prefixes if prefix)]
    for root in roots:
        if (root / relative).exists():
            return root / relative
    raise FileNotFoundError(
        f'{relative} is in none of {", ".join(map(str, roots))}: source the workspace in which '
        'world_model_ros was built')
