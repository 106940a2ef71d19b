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
"""A batch takes no more memory than the manifest allows, whatever the runtime needs inside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from small_models import KINDS, small_manifest, write_small_bundle

from world_model_ros.bundle import PlannerSettings, write_manifest
from world_model_ros.inference.memory import MIB, sequences_within


def planner(**change: Any) -> PlannerSettings:
    data = small_manifest(KINDS['markov'])['planner'] | change
    return PlannerSettings.model_validate(
        {key: tuple(it) if isinstance(it, list) else it for key, it in data.items()})


class Machine:
    """A process whose arena grows by so much for each sequence, with noise, and never shrinks."""

    def __init__(self, workspace: float, noise: float = 0.0) -> None:
        self.workspace, self.noise, self.held, self.batches = workspace, noise, 0.0, [0]

    def imagine(self, count: int) -> None:
        self.batches.append(count)
        self.held = max(self.held, count * self.workspace)

    def resident(self) -> int:
        return round((500 + self.held + self.noise * len(self.batches)) * MIB)


@settings(deadline=None)
@given(workspace=st.floats(0.001, 3000), memory=st.integers(8, 8192),
       samples=st.integers(4, 1000), tensors=st.integers(100, 50 * MIB))
def test_what_a_batch_really_needs_stays_within_the_budget(
    workspace: float, memory: int, samples: int, tensors: int,
) -> None:
    machine = Machine(workspace)
    size = sequences_within(planner(memory=memory, samples=samples), tensors, machine.imagine,
                            machine.resident)
    used = min(size, samples)
    assert size >= 1
    if used > 1:
        # Growth below 64 MiB is not clear, and the last batch measured has half of them at least.
        assert used * (workspace + tensors / MIB) <= memory + 2 * (64 + workspace)
    # Nor does finding out go far beyond it: a batch is at most twice one that was fine.
    assert max(machine.batches) == 1 or max(machine.batches) * workspace <= max(
        130 + 4 * workspace, 2 * memory)


def test_a_model_that_is_small_inside_is_limited_by_its_tensors_alone() -> None:
    machine = Machine(0.01, noise=1.0)
    assert sequences_within(planner(memory=64), MIB // 4, machine.imagine, machine.resident) == 256


def test_the_size_found_is_the_same_whatever_else_grows_a_little() -> None:
    sizes = {sequences_within(planner(memory=512, samples=300), 1000, machine.imagine,
                              machine.resident)
             for machine in (Machine(33, noise) for noise in (0, 0.5, 2, 5))}
    assert sizes == {8}


def test_a_manifest_that_says_it_is_believed_and_nothing_is_measured() -> None:
    machine = Machine(1.0)
    settings = planner(memory=64, workspace=7.5)
    assert sequences_within(settings, MIB // 2, machine.imagine, machine.resident) == 8
    assert machine.batches == [0]


_MEASURE = """
import sys, numpy as np
from pathlib import Path
from world_model_ros.bundle import load_bundle
from world_model_ros.inference import WorldModel, golden_start
from world_model_ros.inference.memory import resident_bytes
model = WorldModel(load_bundle(Path(sys.argv[1])))
context, goal = golden_start(model.bundle)
actions = np.resize(model.bundle.golden.actions, (80, *model.bundle.golden.actions.shape[1:]))
before = resident_bytes()
model.score(context, goal, actions)
peak = int(next(line.split()[1] for line in open('/proc/self/status') if 'VmHWM' in line))
print(model.chunk_size(), (resident_bytes() - before) // 2**20, peak // 1024)
"""


def test_a_graph_that_needs_megabytes_for_each_sequence_is_run_in_small_batches(
    tmp_path: Path,
) -> None:
    """8 MiB of activations for a latent of 24 bytes; 80 at once would take 640 MiB and more."""
    write_small_bundle(tmp_path, KINDS['markov'])
    model = onnx.load(tmp_path / 'dynamics.onnx')
    node = next(node for node in model.graph.node if 'next_latent' in node.output)
    node.output[0] = 'plain'
    wide = np.full((6, 2**20), 1e-12, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(wide, 'wide'))
    model.graph.node.extend([
        helper.make_node('MatMul', ['plain', 'wide'], ['unfolded']),
        helper.make_node('Tanh', ['unfolded'], ['squashed']),
        helper.make_node('ReduceMean', ['squashed'], ['little'], axes=[1], keepdims=1),
        helper.make_node('Add', ['plain', 'little'], ['next_latent'])])
    onnx.save(model, tmp_path / 'dynamics.onnx')
    manifest = yaml.safe_load((tmp_path / 'bundle.yaml').read_text())
    del manifest['files'], manifest['schema_version']
    manifest['planner'].update(memory=128, samples=80)
    write_manifest(tmp_path, manifest)
    done = subprocess.run([sys.executable, '-c', _MEASURE, str(tmp_path)], capture_output=True,
                          text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    chunk, growth, peak = map(int, done.stdout.split())
    assert 1 < chunk <= 16
    assert growth <= 128
    assert peak < 128 + 400  # interpreter, libraries, 24 MiB of weights and their copies
