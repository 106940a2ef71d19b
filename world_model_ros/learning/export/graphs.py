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
"""From a torch module to an ONNX graph that computes the same, or an error that says why not.

A module on its way out can go wrong silently: dropout left on, batch statistics instead of trained
ones, a batch size or a branch frozen into the graph. So every graph is exported in evaluation mode
only, must give equal outputs twice, and is compared in ONNX Runtime with torch on other numbers and
another batch size than those it was traced with.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

OPSET = 20
TOLERANCE = 1e-5
"""Largest difference between torch and ONNX Runtime, relative to the largest number of a tensor."""

_ONE_FILE = 1_900_000_000  # bytes of weights; a protobuf file ends at 2 GiB
_RANDOM_OPERATORS = {'RandomNormal', 'RandomNormalLike', 'RandomUniform', 'RandomUniformLike',
                     'Bernoulli', 'Multinomial'}


class ExportError(Exception):
    """A model cannot be exported; the text says what is wrong and what to do."""


@dataclass(frozen=True)
class GraphSource:
    """A module and the tensors by which it is traced.

    `inputs`: examples by name, in the order of `forward`, batch first (at least 2).
    `frames`: inputs whose second dimension is the number of frames, dynamic from 1 to the given
    maximum; the example holds at least 2 of them.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    frames: Mapping[str, int] = field(default_factory=dict)


def example_pictures(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Two observations by which an encoder is traced: noise, uint8 `[2, *shape]`."""
    return torch.randint(0, 256, (2, *shape), generator=generator, dtype=torch.uint8)


def example_context(latent: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Contexts `[B, frames, *S]` about latents `[B, *S]`: each frame is one, a little disturbed."""
    shape = (len(latent), frames, *latent.shape[1:])
    return latent[:, None] + 0.1 * torch.randn(shape, generator=generator)


@dataclass(frozen=True)
class Parity:
    """What the comparison of one graph with torch found."""

    graph: str
    error: float
    size: int
    seconds: float

    def __str__(self) -> str:
        """One line for the exporter's report."""
        return (f'{self.graph}: {self.size / 2**20:.1f} MiB, relative error {self.error:.1e}, '
                f'{self.seconds:.1f} s')


def write_graph(name: str, source: GraphSource, folder: Path) -> Parity:
    """Write `folder/NAME.onnx` and compare it with torch; raises ExportError.

    Weights of 1.9 GB and more go to `NAME.onnx.data` beside it, which protobuf demands.
    """
    started = time.monotonic()
    module = evaluation(name, source.module)
    expected = _run_twice(name, module, source.inputs)
    path = folder / f'{name}.onnx'
    weight = sum(t.numel() * t.element_size()
                 for t in (*module.parameters(), *module.buffers()))
    _export(name, module, source, path, external=weight > _ONE_FILE)
    data = path.with_name(path.name + '.data')
    size = path.stat().st_size + (data.stat().st_size if data.exists() else 0)
    session = _open(name, path)
    error = max(_compare(name, session, source.inputs, expected), _compare_anew(
        name, module, session, source))
    return Parity(name, error, size, time.monotonic() - started)


def evaluation(name: str, module: nn.Module) -> nn.Module:
    """Return the module with dropout off, trained batch statistics and no gradients."""
    module = module.eval().requires_grad_(False)
    training = [path or type(part).__name__ for path, part in module.named_modules()
                if part.training]
    if training:
        raise ExportError(f'{name}: {", ".join(training[:3])} stays in training mode although '
                          'eval() was called: let its train() pass the mode on')
    return module


@torch.no_grad()
def outputs_of(module: nn.Module, *inputs: Tensor) -> list[Any]:
    """What a module gives, as a list; some give a tuple even of a single tensor."""
    given = module(*inputs)
    return list(given) if isinstance(given, tuple | list) else [given]


def run(module: nn.Module, inputs: Mapping[str, Tensor]) -> list[NDArray[np.float32]]:
    """Outputs of a module as NumPy arrays."""
    return [_numpy(tensor) for tensor in outputs_of(module, *inputs.values())]


def relative_error(actual: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest difference, relative to the largest expected number; infinite for NaN or a shape."""
    if actual.shape != expected.shape or not np.isfinite(actual).all():
        return float('inf')
    return float(np.abs(actual - expected).max() / np.abs(expected).max().clip(1e-6))


def _run_twice(
    name: str, module: nn.Module, inputs: Mapping[str, Tensor]
) -> list[NDArray[np.float32]]:
    try:
        first, second = run(module, inputs), run(module, inputs)
    except Exception as error:
        shapes = {key: tuple(value.shape) for key, value in inputs.items()}
        raise ExportError(f'{name}: torch itself fails on inputs {shapes}: {error}') from error
    if not all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)):
        raise ExportError(f'{name}: gives different outputs for equal inputs: something random is '
                          'left on (dropout? sampling?); make forward deterministic in eval mode')
    for values in first:
        if not np.isfinite(values).all():
            raise ExportError(f'{name}: gives NaN or infinity in torch: check the checkpoint')
    return first


def _export(
    name: str, module: nn.Module, source: GraphSource, path: Path, *, external: bool
) -> None:
    batch = torch.export.Dim('batch')
    frames = {key: torch.export.Dim('frames', min=1, max=most)
              for key, most in source.frames.items()}
    shared = next(iter(frames.values()), None)
    shapes = tuple({0: batch, 1: shared} if key in frames else {0: batch} for key in source.inputs)
    # The exporter reports its own progress and its use of its own deprecated parts.
    loggers = [logging.getLogger(logger) for logger in ('torch.onnx', 'torch.export', 'onnxscript')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            program = torch.onnx.export(
                module, tuple(source.inputs.values()), dynamo=True, opset_version=OPSET,
                input_names=list(source.inputs), output_names=list(source.outputs),
                dynamic_shapes=shapes, verbose=False)
    except Exception as error:
        raise ExportError(f'{name}: torch.onnx.export refuses it: {_first_lines(error)}') from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    assert program is not None
    operators = {node.op_type for node in program.model.graph}
    if operators & _RANDOM_OPERATORS:
        raise ExportError(f'{name}: the graph draws random numbers '
                          f'({", ".join(sorted(operators & _RANDOM_OPERATORS))}): a robot must '
                          'repeat its plans; take the sampling out of forward')
    for old in (path, path.with_name(path.name + '.data')):
        old.unlink(missing_ok=True)
    program.save(str(path), external_data=external)


def _open(name: str, path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=['CPUExecutionProvider'])
    except Exception as error:  # the runtime's exceptions share no base class
        raise ExportError(f'{name}: ONNX Runtime {onnxruntime.__version__} does not load the '
                          f'graph: {_first_lines(error)}') from error


def _compare_anew(name: str, module: nn.Module, session: Any, source: GraphSource) -> float:
    """Other numbers, another batch size and other numbers of frames than in the trace."""
    generator = torch.Generator().manual_seed(1)
    worst = 0.0
    counts = [1, *sorted({min(3, most) for most in source.frames.values()})]
    for batch, frames in zip((1, 3), (counts[0], counts[-1]), strict=True):
        inputs = {key: _other(value, batch, frames if key in source.frames else None, generator)
                  for key, value in source.inputs.items()}
        worst = max(worst, _compare(name, session, inputs, _run_twice(name, module, inputs)))
    return worst


def _other(value: Tensor, batch: int, frames: int | None, generator: torch.Generator) -> Tensor:
    """Numbers of the same kind and range: rows of the example, shuffled and, if real, disturbed."""
    rows = value[torch.arange(batch) % len(value)].flip(0).clone()
    if frames is not None:
        rows = rows[:, torch.arange(frames) % rows.shape[1]].clone()
    if value.dtype == torch.uint8:
        return torch.randint(0, 256, rows.shape, generator=generator, dtype=torch.uint8)
    noise = torch.randn(rows.shape, generator=generator, dtype=torch.float32)
    return rows + 0.1 * float(value.std()) * noise


def _compare(
    name: str, session: Any, inputs: Mapping[str, Tensor], expected: list[NDArray[np.float32]]
) -> float:
    try:
        actual = session.run(None, {key: value.numpy() for key, value in inputs.items()})
    except Exception as error:
        shapes = {key: tuple(value.shape) for key, value in inputs.items()}
        raise ExportError(f'{name}: the graph fails in ONNX Runtime on inputs {shapes}: '
                          f'{_first_lines(error)}') from error
    worst = max(relative_error(a, e) for a, e in zip(actual, expected, strict=True))
    if not worst <= TOLERANCE:
        raise ExportError(f'{name}: the graph differs from torch by {worst:.1e} of the largest '
                          f'number, {TOLERANCE:.0e} is allowed: a branch or a size was frozen '
                          'while tracing, or the model runs in reduced precision (call .float())')
    return worst


def _first_lines(error: Exception) -> str:
    text = ' '.join(str(error).split())
    return text if len(text) < 600 else f'{text[:600]} ...'


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy(), np.float32)
