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
"""What killed processes leave of Fast DDS's shared memory: tests kill many, and nobody else cleans.

A day of tests left 3 GB. Worse, who finds the port of a dead process holds up all others for a
second while it makes sure, and their patience with each other ends after one.
"""

import contextlib
import fcntl
import time
from pathlib import Path

_STARTING = 60.0  # s: a process creates its lock's file before it locks it


def clean_shared_memory(folder: Path = Path('/dev/shm')) -> None:
    """Remove the segments and ports whose owner is dead, as `fastdds shm clean` does."""
    for path in folder.glob('fastdds_*_el'):
        with contextlib.suppress(OSError), path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while the owner lives
            if time.time() - path.stat().st_mtime > _STARTING:
                name = path.name.removesuffix('_el')
                for left in (name, f'sem.{name}_mutex', path.name):
                    (folder / left).unlink(missing_ok=True)
