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
"""LeWM and PLDM of stable-worldmodel: one vector per picture, a predictor over a window of three.

LeWM: Maes et al., 2026 (le-wm.github.io); PLDM: Sobal et al., 2025. Both classes have the same
parts, and both plan with the squared error of the last latent.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from world_model_ros.learning.export.graphs import (
    ExportError,
    GraphSource,
    example_context,
    example_pictures,
)
from world_model_ros.learning.export.pixels import Pixels
from world_model_ros.learning.export.source import ModelSource

PLANNER: dict[str, Any] = {'horizon': 5, 'samples': 300, 'iterations': 30, 'elites': 30}


class Encoder(nn.Module):
    """Picture uint8 `[B, H, W, 3]` to latent `[B, D]`."""

    def __init__(self, model: Any, pixels: Pixels) -> None:
        super().__init__()
        self.pixels = pixels
        self.model: Any = model

    def forward(self, image: Tensor) -> Tensor:
        encoded: Tensor = self.model.encode({'pixels': self.pixels(image)[:, None]})['emb']
        return encoded[:, 0]


class Predictor(nn.Module):
    """`context [B, T, D]`, `actions [B, T, K]` to `next_latent [B, D]`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        predicted = self.model.predictor(context, self.model.action_encoder(actions))
        # As the model's own `predict`, but for the last position alone.
        projected: Tensor = self.model.pred_proj(predicted[:, -1])
        return projected


def build(model: Any, name: str, pixels: Pixels) -> ModelSource:
    """Graphs of a LeWM or PLDM; raises ExportError if the model lacks their parts."""
    try:
        window = int(model.predictor.num_frames)
        width = int(model.predictor.output_dim)
        step_size = int(model.action_encoder.input_dim)
        side = int(model.encoder.config.image_size)
    except AttributeError as error:
        raise ExportError(f'{name}: {error}: the model is not built as in stable-worldmodel 0.1.1; '
                          'export it with "wmros export module"') from error
    generator = torch.Generator().manual_seed(0)
    image = example_pictures((side, side, 3), generator)
    encoder = Encoder(model, pixels).eval()
    with torch.no_grad():
        latent = encoder(image)
    frames = min(2, window)
    context = example_context(latent, frames, generator)
    actions = torch.randn(2, frames, step_size, generator=generator)
    distance = {'source': 'all', 'metric': 'squared_l2', 'reduction': 'sum'}
    return ModelSource(
        identity={'source': f'stable-worldmodel, {type(model).__name__}'},
        image={'width': side, 'height': side},
        proprioception=0, rule='none', step_size=step_size,
        latent={'shape': [width], 'parts': {'all': {'start': 0, 'stop': width}}},
        graphs={
            'encoder': GraphSource(encoder, {'image': image}, ['latent']),
            'predictor': GraphSource(
                Predictor(model), {'context': context, 'actions': actions}, ['next_latent'],
                frames={'context': window, 'actions': window}),
        },
        entries={'predictor': {'kind': 'window', 'length': window}},
        cost={'objective': 'goal', 'terms': [{**distance, 'steps': 'last', 'weight': 1.0}]},
        goal=distance, planner=PLANNER,
    )
