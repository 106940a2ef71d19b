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
"""How fast is a graph in ONNX Runtime, in OpenVINO and in torch, on this machine?

Every engine gets the same graph with the same weights and the same inputs in one run: the encoder
and the rollout of models/reach at the planner's batch, and a predictor of LeWM's size (18 M
with its encoder) that imagines 300 plans of 5 steps and gives their costs. Rounds interleave the
engines, so that a disturbance hits all of them. Then the time from the start of a process to the
first latent, and what `auto` makes of what was measured. Needs the train extra and, for its
column, openvino.

    python benchmarks/inference.py --threads 2 --json inference.json
    python benchmarks/inference.py --bundle models/reach --bundle my_bundle --skip-lewm
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from world_model_ros.bundle import load_bundle
from world_model_ros.inference.first_latent import time_to_first_latent
from world_model_ros.inference.measure import measure_all
from world_model_ros.inference.measurements import machine, write_measurements
from world_model_ros.inference.providers import RuntimeSettings, available, choose, precisions
from world_model_ros.inference.sessions import Backend, open_session
from world_model_ros.learning.model import Sizes, WorldModel

REACH = Path(__file__).parents[1] / 'models' / 'reach'
SEED = 20260101
# LeWM's published sizes: 192 numbers a latent, six blocks of 16 heads of 64, window of 3 frames,
# blocks of 5 two-dimensional actions, 300 candidates of 5 model steps.
WIDTH, DEPTH, HEADS, HEAD, HIDDEN, WINDOW = 192, 6, 16, 64, 2048, 3
CANDIDATES, HORIZON, ACTION = 300, 5, 10

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Case:
    """One graph to time: the ONNX bytes, the torch module of the same weights, the inputs."""

    name: str
    graph: bytes
    module: nn.Module
    feeds: Feeds


@dataclass(frozen=True)
class Row:
    """What one engine did: milliseconds a call, and the deviation from torch's largest number."""

    graph: str
    engine: str
    threads: int
    load_ms: float
    median_ms: float
    best_ms: float
    deviation: float


class Block(nn.Module):
    """A transformer block whose scale, shift and gates follow from the action (AdaLN)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.second = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.before_attention = nn.LayerNorm(WIDTH)
        self.before_hidden = nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * HEADS * HEAD, bias=False)
        self.out = nn.Linear(HEADS * HEAD, WIDTH)
        self.hidden = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(WIDTH, 6 * WIDTH))

    def forward(self, frames: Tensor, actions: Tensor) -> Tensor:
        """Frames [B, T, 192] under action embeddings [B, T, 192]."""
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(actions).chunk(6, -1)
        inputs = self.before_attention(self.first(frames) * (1 + scale) + shift)
        batch, length, _ = inputs.shape
        q, k, v = self.qkv(inputs).view(batch, length, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        frames = frames + gate * self.out(mixed.transpose(1, 2).reshape(batch, length, -1))
        inputs = self.before_hidden(self.second(frames) * (1 + scale2) + shift2)
        changed: Tensor = frames + gate2 * self.hidden(inputs)
        return changed


class LeWMSize(nn.Module):
    """Latent [B, 192] and actions [B, 5, 10] to each plan's cost [B] against goal [B, 192].

    The random initial weights make every action matter, which LeWM's own (all zero) would not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, WINDOW, WIDTH) * 0.02)
        self.action = nn.Sequential(
            nn.Linear(ACTION, 4 * WIDTH), nn.SiLU(), nn.Linear(4 * WIDTH, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.project = nn.Sequential(
            nn.Linear(WIDTH, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.GELU(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, latent: Tensor, actions: Tensor, goal: Tensor) -> Tensor:
        """Imagine and judge."""
        given = self.action(actions)
        frames = [latent]
        for step in range(HORIZON):
            first = max(0, step + 1 - WINDOW)
            window = torch.stack(frames[first:], 1)
            window = window + self.position[:, :window.shape[1]]
            for block in self.blocks:
                window = block(window, given[:, first:step + 1])
            frames.append(self.project(self.norm(window[:, -1])))
        return (frames[-1] - goal).square().sum(-1)


class Encoder(nn.Module):
    """The encoder of models/reach as it was exported."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, proprioception: Tensor) -> Tensor:
        """As the graph."""
        return self.model.encode(image, proprioception)


class Rollout(nn.Module):
    """The rollout of models/reach as it was exported."""

    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor, actions: Tensor) -> Tensor:
        """As the graph."""
        return self.model.rollout(latent, actions)


def reach_cases() -> list[Case]:
    """The shipped graphs, and torch with the weights that stand in them."""
    graphs = {name: (REACH / f'{name}.onnx').read_bytes() for name in ('encoder', 'rollout')}
    weights = {tensor.name.removeprefix('model.'): torch.from_numpy(numpy_helper.to_array(tensor)
                                                                    .copy())
               for graph in graphs.values()
               for tensor in onnx.load_from_string(graph).graph.initializer
               if tensor.name.startswith('model.')}
    bundle = load_bundle(REACH)
    planner, random = bundle.manifest.planner, np.random.default_rng(SEED)
    model = WorldModel(Sizes()).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith(('anchor', 'inverse')) for name in missing)
    batch = planner.samples
    image = random.integers(0, 256, (1, 96, 96, 3), np.uint8)
    state = random.normal(size=(1, 4)).astype(np.float32)
    latent = random.normal(size=(batch, 12)).astype(np.float32)
    actions = random.normal(size=(batch, planner.horizon, 2)).astype(np.float32)
    return [
        Case('reach encoder, batch 1', graphs['encoder'], Encoder(model),
             {'image': image, 'proprioception': state}),
        Case(f'reach rollout, {batch} x {planner.horizon}', graphs['rollout'], Rollout(model),
             {'latent': latent, 'actions': actions}),
    ]


def lewm_case() -> Case:
    """Export the predictor of LeWM's size."""
    torch.manual_seed(SEED)
    module = LeWMSize().eval()
    inputs = {'latent': torch.randn(CANDIDATES, WIDTH),
              'actions': torch.randn(CANDIDATES, HORIZON, ACTION),
              'goal': torch.randn(CANDIDATES, WIDTH)}
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            module, tuple(inputs.values()), dynamo=True, opset_version=20, verbose=False,
            input_names=list(inputs), output_names=['cost'],
            dynamic_shapes=({0: torch.export.Dim('batch')},) * 3)
    assert program is not None
    parameters = sum(parameter.numel() for parameter in module.parameters()) / 1e6
    return Case(f'LeWM size ({parameters:.1f} M), {CANDIDATES} x {HORIZON} + cost',
                program.model_proto.SerializeToString(), module,
                {name: tensor.numpy() for name, tensor in inputs.items()})


def compare(case: Case, threads: int, seconds: float) -> list[Row]:
    """Time all engines on one graph, round by round, for about that many seconds."""
    engines: dict[str, Callable[[], NDArray[Any]]] = {}
    loads: dict[str, float] = {}
    tensors = {name: torch.from_numpy(value) for name, value in case.feeds.items()}

    def in_torch() -> NDArray[Any]:
        with torch.inference_mode():
            return np.asarray(case.module(**tensors).numpy())

    engines['torch'], loads['torch'] = in_torch, 0.0
    for provider in available():
        for precision in precisions(provider):
            started = time.perf_counter()
            session = open_session(case.graph, case.name,
                                   Backend(provider, precision, threads, 'benchmark', None))
            name = ' '.join(['onnxruntime'] * (provider != 'openvino') + [provider, precision])
            loads[name] = time.perf_counter() - started
            engines[name] = lambda session=session: session.run(case.feeds)[0]
    expected = in_torch()
    deviation = {name: float(np.abs(engine() - expected).max() / np.abs(expected).max())
                 for name, engine in engines.items()}
    times: dict[str, list[float]] = {name: [] for name in engines}
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline or len(times['torch']) < 5:
        for name, engine in engines.items():
            started = time.perf_counter()
            engine()
            times[name].append(time.perf_counter() - started)
    return [Row(case.name, name, threads, loads[name] * 1e3, statistics.median(taken) * 1e3,
                min(taken) * 1e3, deviation[name]) for name, taken in times.items()]


def follow(folder: Path, threads: int) -> dict[str, Any]:
    """Measure a bundle as `wmros check --prebuild` does, and see what `auto` makes of it."""
    bundle = load_bundle(folder)
    with tempfile.TemporaryDirectory() as cache:
        settings = RuntimeSettings(threads=threads, cache=Path(cache))
        before = choose(bundle.digest, settings)
        measured = measure_all(bundle, settings)
        write_measurements(Path(cache), bundle.digest, measured)
        chosen = choose(bundle.digest, settings)
        sound = [one for one in measured if not one.refused]
        fastest = min(sound, key=lambda one: one.plan_ms)
        follows = (chosen.provider, chosen.precision) == (fastest.provider, fastest.precision)
        # The same the other way round: were the slowest the fastest, it would be chosen.
        slowest = max(sound, key=lambda one: one.plan_ms)
        write_measurements(Path(cache), bundle.digest, [
            one if one is not slowest else one.model_copy(update={'plan_ms': fastest.plan_ms / 2})
            for one in measured])
        turned = choose(bundle.digest, settings)
        follows = follows and (turned.provider, turned.precision) == (slowest.provider,
                                                                      slowest.precision)
    return {'bundle': bundle.manifest.model.name, 'unmeasured': before.provider,
            'measured': [one.model_dump() for one in measured],
            'auto': f'{chosen.provider} {chosen.precision}', 'follows': follows}


def processor_seconds() -> float:
    """Processor time of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_rows(rows: list[Row]) -> None:
    """Print one graph's table, each engine beside ONNX Runtime on the CPU."""
    base = next(row.median_ms for row in rows if row.engine == 'onnxruntime cpu float32')
    print(f'\n{rows[0].graph}, {rows[0].threads} thread(s)\n'
          f'  {"engine":26s}{"median":>10s}{"best":>10s}{"ratio":>8s}{"load":>10s}'
          f'{"deviation":>12s}')
    for row in rows:
        print(f'  {row.engine:26s}{row.median_ms:7.2f} ms{row.best_ms:7.2f} ms'
              f'{row.median_ms / base:8.2f}{row.load_ms:7.0f} ms{row.deviation:12.1e}', flush=True)


def main() -> int:
    """Run what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--seconds', type=float, default=15.0, help='for each graph')
    parser.add_argument('--bundle', type=Path, action='append', help='also measure these bundles')
    parser.add_argument('--skip-lewm', action='store_true')
    parser.add_argument('--json', type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(', '.join(f'{key} {value}' for key, value in machine().items() if value),
          f', torch {torch.__version__}', sep='')
    cases = reach_cases() + ([] if args.skip_lewm else [lewm_case()])
    rows = []
    for case in cases:
        rows += (compared := compare(case, args.threads, args.seconds))
        print_rows(compared)
    spent = processor_seconds()
    starts = [time_to_first_latent(REACH) for _ in range(5)]
    spent = (processor_seconds() - spent) / len(starts)
    seconds = statistics.median(start.seconds for start in starts)
    print(f'\nprocess start to first latent of models/reach: median {seconds:.2f} s, worst '
          f'{max(start.seconds for start in starts):.2f} s of {len(starts)}, {spent:.2f} s of '
          f'processor time (< 2 s asked for), torch loaded: {any(start.torch for start in starts)}')
    followed = [follow(folder, args.threads) for folder in [REACH, *(args.bundle or [])]]
    for one in followed:
        print(f'\nauto on {one["bundle"]}: {one["unmeasured"]} before, {one["auto"]} after '
              f'measuring; follows the measurement: {one["follows"]}')
        for line in one['measured']:
            print(f'  {line["provider"]:10s}{line["precision"]:10s}{line["plan_ms"]:8.1f} ms a plan'
                  f'  {line["refused"]}')
    if args.json:
        args.json.write_text(json.dumps({
            'machine': machine(), 'torch': torch.__version__, 'rows': [asdict(r) for r in rows],
            'first_latent_s': [start.seconds for start in starts],
            'first_latent_processor_s': spent, 'auto': followed}, indent=1))
    fine = seconds < 2 and all(one['follows'] for one in followed)
    return 0 if fine else 1


if __name__ == '__main__':
    sys.exit(main())
