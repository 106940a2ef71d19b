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
"""Your own model: two torch modules given by import path, `package.module:factory`.

The names of `forward`'s arguments say what a module is, in the words of the table of graphs in
docs/bundle.md; sizes are found by calling it. A factory is anything that returns the module when
called without arguments: a function, or the class itself.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from world_model_ros.learning.export.checkpoint import load_state, read_tensors
from world_model_ros.learning.export.graphs import ExportError, GraphSource
from world_model_ros.learning.export.source import ModelSource

# Arguments of a predictor's or rollout's forward: graph, kind.
_DYNAMICS: dict[tuple[str, ...], tuple[str, str]] = {
    ('latent', 'action'): ('predictor', 'markov'),
    ('latent', 'action', 'proprioception'): ('predictor', 'markov'),
    ('context', 'actions'): ('predictor', 'window'),
    ('context', 'actions', 'states'): ('predictor', 'window'),
    ('latent', 'actions'): ('rollout', 'markov'),
    ('latent', 'actions', 'states'): ('rollout', 'markov'),
    ('context', 'past_actions', 'actions'): ('rollout', 'window'),
    ('context', 'past_actions', 'actions', 'states'): ('rollout', 'window'),
}


def build_from_paths(
    encoder: str, predictor: str, goal_encoder: str | None, checkpoint: Path | None, trust: bool,
    *, horizon: int, image: Mapping[str, Any] | None, step_size: int, proprioception: int,
) -> ModelSource:
    """Make, fill and describe modules given by import path; raises ExportError.

    `image`: width, height and perhaps cameras that the robot file gives; `step_size`: numbers in
    one model step; `proprioception`: numbers in the robot file's state, 0 for none. `checkpoint`
    holds `state_dict()`s by the names encoder, predictor and goal_encoder.
    """
    modules = {'encoder': make(encoder), 'predictor': make(predictor)}
    if goal_encoder:
        modules['goal_encoder'] = make(goal_encoder)
    if checkpoint is not None:
        tensors = read_tensors(checkpoint, trust)
        for name, module in modules.items():
            if not isinstance(tensors, Mapping) or name not in tensors:
                raise ExportError(f'{checkpoint}: lacks "{name}": save a dict of state_dict()s, '
                                  f'{{{", ".join(f"{key!r}: ..." for key in modules)}}}, or let '
                                  'the factories load their weights and leave --checkpoint out')
            load_state(module, tensors[name], f'{checkpoint}, {name}')
    return build(modules, horizon=horizon, image=image, step_size=step_size,
                 proprioception=proprioception, origin=f'{encoder} and {predictor}')


def make(path: str) -> nn.Module:
    """Import `package.module:factory`, call it, and return the module; raises ExportError."""
    module_name, _, name = path.partition(':')
    if not name:
        raise ExportError(f'"{path}": write package.module:factory')
    if '' not in sys.path:
        sys.path.insert(0, '')  # as "python -m" has it: a module in this folder is found
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ExportError(f'"{path}": {error}. Is it installed, or in this folder?') from error
    made = factory() if callable(factory) and not isinstance(factory, nn.Module) else factory
    if not isinstance(made, nn.Module):
        raise ExportError(f'"{path}": gave a {type(made).__name__}, not a torch.nn.Module')
    return made.float()


def build(
    modules: Mapping[str, nn.Module], *, horizon: int, image: Mapping[str, Any] | None,
    step_size: int, proprioception: int, origin: str,
) -> ModelSource:
    """Describe an encoder and a predictor (or rollout) by what their `forward` takes and gives."""
    encoder = modules['encoder'].eval()
    inputs = _encoder_inputs(encoder, 'encoder', image, proprioception)
    latent = _latent(encoder, inputs)
    return describe(
        GraphSource(encoder, inputs, ['latent']), latent, modules['predictor'],
        goal_encoder=modules.get('goal_encoder'), horizon=horizon, image=image,
        step_size=step_size, proprioception=proprioception, origin=origin)


def describe(
    encoder: GraphSource, latent: Tensor, predictor: nn.Module, *, goal_encoder: nn.Module | None,
    horizon: int, image: Mapping[str, Any] | None, step_size: int, proprioception: int, origin: str,
) -> ModelSource:
    """A model of any encoder with a predictor or rollout that follows the table of graphs."""
    graph, source, entry, rule = _dynamics(
        predictor.eval(), latent, horizon, step_size, proprioception)
    asked = 'none' if rule == 'none' and not proprioception else 'ask'
    parts = getattr(predictor, 'parts', None) or {'all': (0, latent.shape[-1])}
    graphs = {'encoder': encoder}
    entries: dict[str, dict[str, Any]] = {graph: entry}
    source_part = next(iter(parts))
    if goal_encoder is not None:
        wanted = _encoder_inputs(goal_encoder.eval(), 'goal_encoder', image, proprioception)
        graphs['goal_encoder'] = GraphSource(goal_encoder, wanted, ['goal'])
        entries['goal_encoder'] = {'parts': [source_part],
                                   'proprioception': 'proprioception' in wanted}
    graphs[graph] = source
    distance = {'source': source_part, 'metric': 'l2', 'reduction': 'mean'}
    return ModelSource(
        identity={'source': origin}, image=image, proprioception=proprioception, rule=asked,
        step_size=step_size,
        latent={'shape': list(latent.shape[1:]),
                'parts': {name: {'start': int(start), 'stop': int(stop)}
                          for name, (start, stop) in parts.items()}},
        graphs=graphs, entries=entries,
        cost={'objective': 'goal', 'terms': [{**distance, 'steps': 'last', 'weight': 1.0}]},
        goal=distance, planner={})


def _encoder_inputs(
    module: nn.Module, name: str, image: Mapping[str, Any] | None, proprioception: int
) -> dict[str, Tensor]:
    names = _arguments(module)
    if not names or not set(names) <= {'image', 'proprioception'}:
        raise ExportError(f'{name}: forward takes {names}: name its arguments image (uint8 '
                          '[B, H, W, 3], or [B, cameras, H, W, 3]), proprioception (float32 '
                          '[B, P], normalised), or both')
    if image is not None and 'image' not in names:
        raise ExportError(f'{name}: forward takes no image: leave the section image out of the '
                          'robot file, or give forward one more argument, image')
    generator = torch.Generator().manual_seed(0)
    found = {}
    for argument in names:
        if argument == 'image':
            if image is None:
                raise ExportError('the encoder takes pictures: say their size in the robot file, '
                                  'image: {width: ..., height: ..., crop: center_square, '
                                  'interpolation: area}')
            cameras = (len(image['cameras']),) if 'cameras' in image else ()
            found['image'] = torch.randint(
                0, 256, (2, *cameras, int(image['height']), int(image['width']), 3),
                generator=generator, dtype=torch.uint8)
        else:
            if not proprioception:
                raise ExportError(f'{name}: takes proprioception: describe it in the robot file '
                                  '(proprioception: joints, fields, normalization)')
            found['proprioception'] = torch.randn(2, proprioception, generator=generator)
    return found


def _latent(encoder: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    with torch.no_grad():
        try:
            latent = encoder(*inputs.values())
        except Exception as error:
            shapes = {key: tuple(value.shape) for key, value in inputs.items()}
            raise ExportError(f'encoder: fails on {shapes}: {error}') from error
    if not isinstance(latent, Tensor) or latent.ndim < 2 or latent.ndim > 4 or len(latent) != 2:
        what = tuple(latent.shape) if isinstance(latent, Tensor) else type(latent).__name__
        raise ExportError(f'encoder: gives {what} for 2 observations: it must give one tensor '
                          '[B, D], [B, tokens, D] or [B, rows, columns, D]')
    return latent


def _dynamics(
    module: nn.Module, latent: Tensor, horizon: int, step_size: int, proprioception: int
) -> tuple[str, GraphSource, dict[str, Any], str]:
    """Name, source and manifest entry of the graph, and whether it takes the state."""
    names = tuple(_arguments(module))
    states = {name.removeprefix('state_'): name for name in names if name.startswith('state_')}
    plain = tuple(name for name in names if name not in states.values())
    graph, kind = _DYNAMICS.get(plain, ('', ''))
    if not graph or names != (*plain, *states.values()) or (
            states and (graph, kind) != ('predictor', 'markov')):
        known = '\n  '.join(f'forward(self, {", ".join(known)})' for known in _DYNAMICS)
        raise ExportError(f'predictor: forward takes {list(names)}. Its arguments, in this order, '
                          f'say what it is; write one of\n  {known}\n  forward(self, latent, '
                          'action, state_NAME, ...), perhaps with proprioception after action, '
                          'which returns (next_latent, next_NAME, ...)')
    window = int(getattr(module, 'window', 0))
    growing = int(getattr(module, 'longest', 0))
    if kind == 'window' and graph == 'predictor' and growing:
        kind, window = 'growing', growing
    if kind != 'markov' and window < 2:
        raise ExportError('predictor: takes a context: say how long, self.window = 3 for the last '
                          "three latents, or self.longest = 8 for all since the rollout's start; "
                          'one that takes a single latent is forward(self, latent, action)')
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(2, *shape, generator=generator)

    context = window if graph == 'rollout' else min(2, window)
    before = window - 1 if kind == 'window' and graph == 'rollout' else 0
    frames = latent[:, None] + 0.1 * random(context, *latent.shape[1:])
    examples = {
        'latent': latent, 'action': random(step_size), 'context': frames,
        'past_actions': random(max(1, before), step_size),
        'actions': random(horizon if graph == 'rollout' else context, step_size),
        'proprioception': random(max(1, proprioception)),
        'states': random(before + horizon if graph == 'rollout' else context,
                         max(1, proprioception)),
    }
    inputs = {name: examples[name] for name in plain}
    entry: dict[str, Any] = {'kind': kind}
    outputs = ['latents' if graph == 'rollout' else 'next_latent']
    if states:
        shapes = dict(getattr(module, 'states', {}))
        if sorted(shapes) != sorted(states):
            raise ExportError(f'predictor: takes the states {sorted(states)}: say their shapes, '
                              'self.states = {"NAME": (size,), ...}')
        entry = {'kind': 'recurrent', 'states': {name: list(shapes[name]) for name in states}}
        inputs |= {f'state.{name}': random(*shapes[name]) for name in states}
        outputs += [f'next.{name}' for name in states]
    elif kind == 'growing':
        entry |= {'length': window, 'history': 1}
    elif kind == 'window':
        entry['length'] = window
    dynamic = {name: window for name in plain
               if graph == 'predictor' and name in ('context', 'actions', 'states')}
    rule = 'ask' if {'states', 'proprioception'} & set(plain) else 'none'
    if rule == 'ask' and not proprioception:
        raise ExportError("predictor: takes the robot's state: describe it in the robot file "
                          '(proprioception: rule, joints, fields, normalization)')
    return graph, GraphSource(module, inputs, outputs, frames=dynamic), entry, rule


def _arguments(module: nn.Module) -> list[str]:
    return [name for name, parameter in inspect.signature(module.forward).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)]
