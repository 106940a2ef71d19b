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
"""How long from the start of a process until a bundle has given its first latent?

    python -m world_model_ros.inference.first_latent BUNDLE

does what a robot's node does at start (read, check, open, prove, encode) and prints one line of
JSON; `time_to_first_latent` starts that in a fresh process and takes the time from outside, so that
the interpreter and the imports count.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from world_model_ros.bundle import load_bundle
from world_model_ros.inference.model import WorldModel
from world_model_ros.inference.providers import RuntimeSettings

_PATIENCE = 10.0  # s to end in, once it has spoken or failed


@dataclass(frozen=True)
class FirstLatent:
    """Seconds from the start of the process to its first latent, and whether it loaded torch."""

    seconds: float
    torch: bool


def time_to_first_latent(bundle: Path, settings: RuntimeSettings | None = None) -> FirstLatent:
    """Start a process of its own and time it; raises RuntimeError if it refuses the bundle."""
    words = {key: str(value) if isinstance(value, Path) else value
             for key, value in asdict(settings or RuntimeSettings()).items()}
    command = [sys.executable, '-m', 'world_model_ros.inference.first_latent', str(bundle),
               json.dumps(words)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        seconds = time.perf_counter() - started
        _, errors = process.communicate(timeout=_PATIENCE)
    if process.returncode:
        raise RuntimeError(errors.strip())
    return FirstLatent(seconds, bool(json.loads(said)['torch']))


def main(bundle: Path, settings: RuntimeSettings) -> None:
    """Encode the first golden observation."""
    opened = load_bundle(bundle)
    model = WorldModel(opened, settings)
    golden = opened.golden
    model.encode(None if golden.image is None else golden.image[0],
                 None if golden.proprioception is None else golden.proprioception[0])
    print(json.dumps({'torch': 'torch' in sys.modules}), flush=True)


if __name__ == '__main__':
    words = json.loads(sys.argv[2])
    folder = words.pop('cache')
    main(Path(sys.argv[1]), RuntimeSettings(**words, cache=Path(folder) if folder else None))
