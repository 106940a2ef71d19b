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
"""Turns a trained model into a bundle: graphs for ONNX Runtime, golden vectors and the manifest."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from world_model_ros.bundle import Bundle, GoldenVectors, write_manifest
from world_model_ros.learning.dataset import Episodes
from world_model_ros.learning.model import WorldModel
from world_model_ros.learning.train import Contract

_OPSET = 20
_GOLDEN_PICTURES = 4
_GOLDEN_SEQUENCES = 8


class _Encoder(nn.Module):
    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor, proprioception: Tensor) -> Tensor:
        return self.model.encode(image, proprioception)


class _Rollout(nn.Module):
    def __init__(self, model: WorldModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, latent: Tensor, actions: Tensor) -> Tensor:
        return self.model.rollout(latent, actions)


def export(
    model: WorldModel,
    episodes: Episodes,
    contract: Contract,
    manifest: Mapping[str, Any],
    folder: Path,
) -> Bundle:
    """Write the bundle to `folder` and return it as a robot would load it.

    `manifest` lacks `graphs` and `golden`, which are filled in here. `episodes` give the golden
    vectors. The rollout's horizon is the planner's. Raises BundleError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = model.eval()
    horizon = int(manifest['planner']['horizon'])
    golden = _golden(model, episodes, contract, horizon)
    assert golden.image is not None
    assert golden.proprioception is not None
    image = torch.from_numpy(golden.image)
    state = contract.normalize_proprioception(golden.proprioception)
    actions = contract.normalize_action(golden.actions)
    latent = torch.from_numpy(golden.latent)[:1].expand(len(actions), -1)
    graphs: list[tuple[str, nn.Module, dict[str, Tensor], str]] = [
        ('encoder', _Encoder(model), {'image': image, 'proprioception': state}, 'latent'),
        ('goal_encoder', model.image_encoder, {'image': image}, 'goal'),
        ('rollout', _Rollout(model), {'latent': latent, 'actions': actions}, 'latents'),
    ]
    for name, module, inputs, output in graphs:
        _write_graph(module.eval(), inputs, output, folder / f'{name}.onnx')
    golden.save(folder / 'golden.npz')
    return write_manifest(
        folder,
        {
            **manifest,
            'graphs': {
                'encoder': {'file': 'encoder.onnx'},
                'goal_encoder': {
                    'file': 'goal_encoder.onnx',
                    'parts': ['goal'],
                    'proprioception': False,
                },
                'rollout': {'file': 'rollout.onnx', 'kind': 'markov'},
            },
            'golden': {'file': 'golden.npz', 'tolerance': 1e-4},
        },
    )


@torch.no_grad()
def _golden(
    model: WorldModel, episodes: Episodes, contract: Contract, horizon: int
) -> GoldenVectors:
    image = np.ascontiguousarray(episodes.images[:_GOLDEN_PICTURES, 0])
    proprioception = np.ascontiguousarray(episodes.proprioception[:_GOLDEN_PICTURES, 0])
    actions = np.ascontiguousarray(episodes.actions[:_GOLDEN_SEQUENCES, :horizon])
    state = contract.normalize_proprioception(proprioception)
    latent = model.encode(torch.from_numpy(image), state)
    start = latent[:1].expand(len(actions), -1)
    latents = _numpy(model.rollout(start, contract.normalize_action(actions)))
    goal = _numpy(model.image_encoder(torch.from_numpy(image)))
    distances = np.linalg.norm(latents[..., : goal.shape[1]] - goal[-1], axis=-1)
    return GoldenVectors(
        image=image,
        proprioception=proprioception,
        latent=_numpy(latent),
        goal=goal,
        actions=actions,
        latents=latents,
        costs=distances.mean(1) + distances[:, -1],
    )


def _write_graph(module: nn.Module, inputs: dict[str, Tensor], output: str, path: Path) -> None:
    batch = torch.export.Dim('batch')
    # The exporter reports its own progress and its use of its own deprecated parts.
    logging.getLogger('torch.onnx').setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.numpy(), np.float32)
