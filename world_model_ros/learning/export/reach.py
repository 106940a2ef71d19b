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
"""Exports the demo's own model, whose data set is at hand for golden vectors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from world_model_ros.bundle import Bundle
from world_model_ros.learning.dataset import Episodes
from world_model_ros.learning.export.assemble import (
    draft_manifest,
    golden_vectors,
    write_bundle,
    write_graphs,
)
from world_model_ros.learning.export.graphs import GraphSource
from world_model_ros.learning.export.reference import Reference
from world_model_ros.learning.model import WorldModel
from world_model_ros.learning.train import Contract

_PICTURES = 4
_SEQUENCES = 8


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


def export_reach(
    model: WorldModel,
    episodes: Episodes,
    contract: Contract,
    manifest: Mapping[str, Any],
    folder: Path,
) -> Bundle:
    """Write the bundle to `folder` and return it as a robot would load it.

    `manifest` lacks `graphs` and `golden`, which are filled in here. `episodes` give the golden
    vectors. The rollout's horizon is the planner's. Raises ExportError or BundleError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    horizon = int(manifest['planner']['horizon'])
    images = np.ascontiguousarray(episodes.images[:_PICTURES, 0])
    states = np.ascontiguousarray(episodes.proprioception[:_PICTURES, 0])
    actions = np.ascontiguousarray(episodes.actions[:_SEQUENCES, :horizon])
    seen = {
        'image': torch.from_numpy(images),
        'proprioception': contract.normalize_proprioception(states),
    }
    encoder = _Encoder(model).eval()
    with torch.no_grad():
        latent = encoder(*seen.values())[:1].expand(len(actions), -1)
    graphs = {
        'encoder': GraphSource(encoder, seen, ['latent']),
        'goal_encoder': GraphSource(model.image_encoder, {'image': seen['image']}, ['goal']),
        'rollout': GraphSource(
            _Rollout(model),
            {'latent': latent, 'actions': contract.normalize_action(actions)},
            ['latents'],
        ),
    }
    entries: dict[str, Any] = {
        'encoder': {'file': 'encoder.onnx'},
        'goal_encoder': {
            'file': 'goal_encoder.onnx',
            'parts': ['goal'],
            'proprioception': False,
        },
        'rollout': {'file': 'rollout.onnx', 'kind': 'markov'},
    }
    sections = {**manifest, 'graphs': entries}
    checked = draft_manifest(folder, sections)
    write_graphs(graphs, folder, report=lambda _: None)
    golden = golden_vectors(Reference(graphs, checked), checked, images, states, None, actions)
    return write_bundle(folder, sections, golden)
