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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from world_model_ros.learning.export.checkpoint import load_state, read_tensors
from world_model_ros.learning.export.graphs import (
    ExportError,
    GraphSource,
    example_context,
    example_pictures,
    outputs_of,
)
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
_FEWER = ('. context holds 1 to {} latents, fewer at first: pad inside forward, or write a '
          'rollout, forward(self, context, past_actions, actions), which always gets a full window')


def build_from_paths(
    encoder: str, predictor: str, goal_encoder: str | None, checkpoint: Path | None, trust: bool,
    *, horizon: int, image: Mapping[str, Any] | None, step_size: int, proprioception: int,
) -> ModelSource:
    """Make, fill and describe modules given by import path; raises ExportError.

    `image`: width, height and perhaps cameras and frames that the robot file gives; `step_size`:
    numbers in one model step; `proprioception`: numbers in the robot file's state, 0 for none.
    `checkpoint` holds `state_dict()`s by the names encoder, predictor and goal_encoder.
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
    parts = _parts(predictor, latent.shape[-1])
    graphs = {'encoder': encoder}
    entries: dict[str, dict[str, Any]] = {graph: entry}
    source_part = next(iter(parts))
    if goal_encoder is not None:
        wanted = _encoder_inputs(goal_encoder.eval(), 'goal_encoder', image, proprioception)
        graphs['goal_encoder'] = GraphSource(goal_encoder, wanted, ['goal'])
        start, stop = parts[source_part]
        _check_outputs('goal_encoder', goal_encoder, wanted,
                       {'goal': (*latent.shape[:-1], stop - start)},
                       f': return the part {source_part} of the latent')
        entries['goal_encoder'] = {'parts': [source_part],
                                   'proprioception': 'proprioception' in wanted}
    graphs[graph] = source
    distance = {'source': source_part, 'metric': 'l2', 'reduction': 'mean'}
    return ModelSource(
        identity={'source': origin}, image=image, proprioception=proprioception, rule=asked,
        step_size=step_size,
        latent={'shape': list(latent.shape[1:]),
                'parts': {name: {'start': start, 'stop': stop}
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
                          '[B, H, W, 3], with cameras or frames [B, cameras, frames, H, W, 3]), '
                          'proprioception (float32 [B, P], normalised), or both')
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
            frames = (image['frames'],) if image.get('frames', 1) > 1 else ()
            found['image'] = example_pictures(
                (*cameras, *frames, image['height'], image['width'], 3), generator)
        else:
            if not proprioception:
                raise ExportError(f'{name}: takes proprioception: describe it in the robot file '
                                  '(proprioception: joints, fields, normalization)')
            found['proprioception'] = torch.randn(2, proprioception, generator=generator)
    return found


def _latent(encoder: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    outputs = _call('encoder', encoder, inputs)
    match outputs:
        case [Tensor(ndim=2 | 3 | 4) as latent] if len(latent) == 2:
            return latent
    raise ExportError(f'encoder: gives {_said(_shapes(outputs))} for 2 observations: it must give '
                      'one tensor [B, D], [B, tokens, D] or [B, rows, columns, D]')


def _call(name: str, module: nn.Module, inputs: Mapping[str, Tensor], cure: str = '') -> list[Any]:
    try:
        return outputs_of(module, *inputs.values())
    except Exception as error:
        shapes = {key: tuple(value.shape) for key, value in inputs.items()}
        raise ExportError(f'{name}: fails on {shapes}: {error}{cure}') from error


def _check_outputs(
    name: str, module: nn.Module, inputs: Mapping[str, Tensor],
    wanted: Mapping[str, tuple[int, ...]], cure: str = '', failing: str = '',
) -> None:
    """Call a module and hold what it gives against shapes by name; raises ExportError.

    What to do about it is said by `cure`, and by `failing` where the call itself fails.
    """
    found = _shapes(_call(name, module, inputs, failing))
    if found != list(wanted.values()):
        right = ', '.join(f'{output} {shape}' for output, shape in wanted.items())
        latent = next(iter(wanted.values()))
        if found and isinstance(found[0], tuple) and (*found[0][:1], *found[0][2:]) == latent:
            cure = ': return the last frame alone'
        raise ExportError(f'{name}: gives {_said(found)}, it must give {right}{cure}')


def _shapes(outputs: Iterable[Any]) -> list[tuple[int, ...] | str]:
    """Shapes of tensors; of anything else, the type's name."""
    return [tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            for output in outputs]


def _said(shapes: Iterable[tuple[int, ...] | str]) -> str:
    return ', '.join(str(shape) for shape in shapes) or 'nothing'


def _parts(predictor: nn.Module, width: int) -> dict[str, tuple[int, int]]:
    """Ranges of the latent's last axis by name; raises ExportError."""
    parts = getattr(predictor, 'parts', None) or {'all': (0, width)}
    try:
        ranges = {str(name): (int(start), int(stop)) for name, (start, stop) in parts.items()}
    except (AttributeError, TypeError, ValueError):
        ranges = {}
    if not ranges or not all(0 <= start < stop <= width for start, stop in ranges.values()):
        raise ExportError(f'predictor: self.parts is {parts!r}: give ranges of 0 to {width}, the '
                          f"latent's last axis, by name, {{'visual': (0, {width})}} say")
    return ranges


def _state_shapes(module: nn.Module, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of a recurrent predictor's states, without the batch axis; raises ExportError."""
    given = getattr(module, 'states', {})
    try:
        shapes = {name: tuple(int(size) for size in shape) for name, shape in given.items()}
    except (AttributeError, TypeError, ValueError):
        shapes = {}
    if set(shapes) != set(names) or not all(size > 0 for size in sum(shapes.values(), ())):
        said = ', '.join(f'"{name}": (size,)' for name in names)
        raise ExportError(f'predictor: self.states is {given!r}: write self.states = {{{said}}}, '
                          'the shapes of the states that forward takes, without the batch axis')
    return shapes


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

    before = window - 1 if kind == 'window' and graph == 'rollout' else 0
    examples = {
        'latent': latent, 'action': random(step_size),
        'context': example_context(latent, window, generator),
        'past_actions': random(max(1, before), step_size),
        'actions': random(horizon if graph == 'rollout' else window, step_size),
        'proprioception': random(max(1, proprioception)),
        'states': random(before + horizon if graph == 'rollout' else window,
                         max(1, proprioception)),
    }
    inputs = {name: examples[name] for name in plain}
    entry: dict[str, Any] = {'kind': kind}
    outputs = ['latents' if graph == 'rollout' else 'next_latent']
    wanted = {outputs[0]: (2, horizon, *latent.shape[1:]) if graph == 'rollout'
              else tuple(latent.shape)}
    if states:
        shapes = _state_shapes(module, states)
        entry = {'kind': 'recurrent', 'states': {name: list(shapes[name]) for name in states}}
        inputs |= {f'state.{name}': random(*shapes[name]) for name in states}
        outputs += [f'next.{name}' for name in states]
        wanted |= {f'next_{name}': (2, *shapes[name]) for name in states}
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
    _check_outputs(graph, module, inputs, wanted)
    if dynamic:
        first = {name: value[:, :1] for name, value in inputs.items()}
        _check_outputs(graph, module, first, wanted, failing=_FEWER.format(window))
        # Traced with a number of frames that is neither 1 nor, if longer, the window.
        inputs = {name: value[:, :2] for name, value in inputs.items()}
    return graph, GraphSource(module, inputs, outputs, frames=dynamic), entry, rule


def _arguments(module: nn.Module) -> list[str]:
    return [name for name, parameter in inspect.signature(module.forward).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)]
