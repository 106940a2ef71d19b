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
"""How much memory the runtime takes for each imagined sequence, which no formula says.

What attention keeps inside a graph can be twenty times what goes in and out of it: a planner that
counts tensors alone asks for 10 GB where it means to take half a gigabyte. So the bundle's own
graphs are run in a fresh process, which is what a robot will have, and its peak is read.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from world_model_ros.learning.export.graphs import ExportError

_FEW = 16  # sequences of large latents; twice as many are imagined at once
_SECONDS = 600
_PROBE = f"""
import resource, sys
from pathlib import Path
import numpy as np
from world_model_ros.bundle import load_bundle
from world_model_ros.inference import RuntimeSettings, WorldModel, golden_start
bundle = load_bundle(Path(sys.argv[1]))
model = WorldModel(bundle, RuntimeSettings(provider='cpu'))
start, goal = golden_start(bundle)
actions = bundle.golden.actions
# Of small latents a planner's batch: fewer would hide behind the encoder's own peak.
samples, size = bundle.manifest.planner.samples, bundle.manifest.latent.size
wanted = max({_FEW}, min(samples // 2, 2**18 // size))
few = max(1, min(wanted, model.chunk_size() // 2))
peaks = []
for count in (few, 2 * few):
    model.score(start, goal, np.resize(actions, (count, *actions.shape[1:])))
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(max(0.0, (peaks[1] - peaks[0]) / 1024 / few))
"""


def measure_workspace(bundle: Path) -> float:
    """MiB per sequence that the CPU runtime takes beyond the tensors; raises ExportError."""
    try:
        done = subprocess.run(
            [sys.executable, '-c', _PROBE, str(bundle)], check=False, text=True, timeout=_SECONDS,
            stdin=subprocess.DEVNULL, capture_output=True)
    except subprocess.TimeoutExpired as error:
        raise ExportError('imagining a few dozen sequences takes more than ten minutes on this '
                          'machine: give planner.workspace in the robot file (MiB per sequence)'
                          ) from error
    if done.returncode:
        last = done.stderr.strip().rpartition('bundle.errors.BundleError: ')[2]
        raise ExportError(f'the bundle does not run: {last or done.returncode}')
    return round(float(done.stdout.split()[-1]), 2)
