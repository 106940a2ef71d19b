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
"""What each graph must take and give: the table in `bundle.manifest`, as tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from world_model_ros.bundle import Fault, ImageNormalization, Manifest
from world_model_ros.bundle.graphs import GrowingPredictor, RecurrentPredictor
from world_model_ros.inference.sessions import Tensor

Size = int | str


def expected_tensors(manifest: Manifest) -> dict[str, tuple[list[Tensor], list[Tensor]]]:
    """Inputs and outputs of each graph that the manifest names; sizes that are text are dynamic."""
    latent, step = manifest.latent.shape, manifest.action.step_size
    one_latent = _tensor('latent', *latent)
    one_action = _tensor('action', step)
    tensors = {
        'encoder': (_observation(manifest, manifest.proprioception is not None), [one_latent]),
        'reward': ([one_latent, one_action], [_tensor('reward')]),
        'value': ([one_latent], [_tensor('value')]),
        'policy': ([one_latent], [one_action]),
    }
    graphs = manifest.graphs
    if graphs.goal_encoder:
        tensors['goal_encoder'] = (_observation(manifest, graphs.goal_encoder.proprioception),
                                   [_tensor('goal', *manifest.goal_shape)])
    if graphs.rollout:
        tensors['rollout'] = _rollout(manifest)
    if graphs.predictor:
        tensors['predictor'] = _predictor(manifest)
    return {name: tensors[name] for name, _ in graphs.present()}


def compare(
    name: str, actual: Mapping[str, Sequence[Tensor]], expected: Mapping[str, Sequence[Tensor]],
) -> list[Fault]:
    """Faults of a graph, by role (input, output): other names, types or sizes than expected.

    A graph may leave sizes open that the manifest fixes, not the other way round.
    """
    field, faults = f'graphs.{name}.file', []
    for role, wanted in expected.items():
        found = {tensor.name: tensor for tensor in actual[role]}
        names = [tensor.name for tensor in wanted]
        if sorted(found) != sorted(names):
            faults.append(Fault(field, f'has {role}s {list(found)}',
                                f'export it with {role}s named {names}'))
            continue
        for want in wanted:
            tensor = found[want.name]
            if tensor.dtype != want.dtype or not _fits(tensor.shape, want.shape):
                faults.append(Fault(
                    field, f'{role} "{want.name}" is {_text(tensor)} where the manifest says '
                    f'{_text(want)}', 'correct the manifest or export the graph again, with '
                    'dynamic sizes where names stand'))
    return faults


def describe(tensors: Sequence[Tensor]) -> str:
    """Names, types and shapes in one line."""
    return ', '.join(f'{tensor.name} {_text(tensor)}' for tensor in tensors)


def _text(tensor: Tensor) -> str:
    return f'{tensor.dtype} [{", ".join(str(size) for size in tensor.shape)}]'


def _fits(actual: Sequence[int | str | None], wanted: Sequence[int | str | None]) -> bool:
    return len(actual) == len(wanted) and all(
        not isinstance(size, int) or size == want
        for size, want in zip(actual, wanted, strict=True))


def _tensor(name: str, *shape: Size) -> Tensor:
    return Tensor(name, 'float32', ('batch', *shape))


def _observation(manifest: Manifest, with_proprioception: bool) -> list[Tensor]:
    tensors = []
    if (image := manifest.image) is not None:
        shape: tuple[Size, ...] = ('batch', *image.shape)
        dtype = 'uint8'
        if isinstance(image.normalization, ImageNormalization):
            dtype = 'float32'
            if image.normalization.layout == 'nchw':
                shape = (*shape[:-3], shape[-1], *shape[-3:-1])
        tensors.append(Tensor('image', dtype, shape))
    if with_proprioception and manifest.proprioception is not None:
        tensors.append(_tensor('proprioception', manifest.proprioception.size))
    return tensors


def _rollout(manifest: Manifest) -> tuple[list[Tensor], list[Tensor]]:
    latent, step = manifest.latent.shape, manifest.action.step_size
    horizon, history = manifest.planner.horizon, manifest.history
    if history == 1:
        inputs = [_tensor('latent', *latent)]
    else:
        inputs = [_tensor('context', history, *latent),
                  _tensor('past_actions', history - 1, step)]
    inputs.append(_tensor('actions', horizon, step))
    if size := state_size(manifest):
        inputs.append(_tensor('states', history - 1 + horizon, size))
    return inputs, [_tensor('latents', horizon, *latent)]


def _predictor(manifest: Manifest) -> tuple[list[Tensor], list[Tensor]]:
    latent, step, size = manifest.latent.shape, manifest.action.step_size, state_size(manifest)
    predictor = manifest.graphs.predictor
    outputs = [_tensor('next_latent', *latent)]
    if predictor and (isinstance(predictor, GrowingPredictor) or predictor.kind == 'window'):
        inputs = [_tensor('context', 'time', *latent), _tensor('actions', 'time', step)]
        if size:
            inputs.append(_tensor('states', 'time', size))
        return inputs, outputs
    inputs = [_tensor('latent', *latent), _tensor('action', step)]
    if size:
        inputs.append(_tensor('proprioception', size))
    if isinstance(predictor, RecurrentPredictor):
        inputs += [_tensor(f'state.{name}', *shape) for name, shape in predictor.states.items()]
        outputs += [_tensor(f'next.{name}', *shape) for name, shape in predictor.states.items()]
    return inputs, outputs


def state_size(manifest: Manifest) -> int:
    """Numbers of the proprioception that rollout or predictor take, P; 0 if they take none."""
    state = manifest.proprioception
    return state.size if state is not None and state.is_input else 0
