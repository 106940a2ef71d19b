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
"""DINO-WM of stable-worldmodel ("PreJEPA"): a frozen encoder's patch tokens and the robot's state.

Zhou et al., 2024 (arXiv 2411.04983). The state's embedding is repeated on every patch and predicted
with it. The action's embedding is no part of the latent here: it belongs to what is asked, not to
what is seen, so the predictor's graph appends it.
"""

from __future__ import annotations

from math import isqrt
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

PLANNER: dict[str, Any] = {'samples': 300, 'iterations': 30, 'elites': 30}


class Encoder(nn.Module):
    """Picture uint8 `[B, H, W, 3]` (and state `[B, P]`) to tokens `[B, patches, D]`."""

    def __init__(self, model: Any, states: dict[str, int], pixels: Pixels) -> None:
        super().__init__()
        self.pixels = pixels
        self.model: Any = model
        self.states = states

    def forward(self, image: Tensor, proprioception: Tensor | None = None) -> Tensor:
        seen = {'pixels': self.pixels(image)[:, None]}
        if proprioception is not None:
            parts = proprioception.split(list(self.states.values()), dim=-1)
            seen.update(zip(self.states, (part[:, None] for part in parts), strict=True))
        encoded: Tensor = self.model.encode(seen, emb_keys=list(self.states))['emb']
        return encoded[:, 0]


class GoalEncoder(nn.Module):
    """Goal picture uint8 `[B, H, W, 3]` to the tokens' visual part `[B, patches, V]`."""

    def __init__(self, model: Any, pixels: Pixels) -> None:
        super().__init__()
        self.encoder = Encoder(model, {}, pixels)

    def forward(self, image: Tensor) -> Tensor:
        goal: Tensor = self.encoder(image)
        return goal


class Predictor(nn.Module):
    """`context [B, T, patches, D]` and `actions [B, T, K]` to the next `latent [B, patches, D]`."""

    def __init__(self, model: Any, action_start: int, action_width: int) -> None:
        super().__init__()
        self.model: Any = model
        self.start, self.width = action_start, action_width

    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        embedded = self.model.extra_encoders['action'](actions)
        tiled = embedded[:, :, None].expand(-1, -1, context.shape[2], -1)
        before, after = context[..., :self.start], context[..., self.start:]
        predicted = self.model.predict(torch.cat([before, tiled, after], dim=-1))[:, -1]
        return torch.cat(
            [predicted[..., :self.start], predicted[..., self.start + self.width:]], dim=-1)


def build(model: Any, name: str, pixels: Pixels) -> ModelSource:
    """Graphs of a DINO-WM; raises ExportError if the model lacks its parts."""
    try:
        encoders = dict(model.extra_encoders.items())
        action = encoders['action']
        patches, longest = int(model.predictor.num_patches), int(model.predictor.num_frames)
        window = int(model.history_size)  # with which the package plans
        width = int(model.predictor.pos_embedding.shape[-1])
        patch = int(model.backbone.config.patch_size)
    except (AttributeError, KeyError) as error:
        raise ExportError(f'{name}: {error}: only image backbones cut into patches and an encoder '
                          'named "action" are understood; export others with "wmros export module"'
                          ) from error
    if window > longest:
        raise ExportError(f'{name}: history_size is {window}, and the predictor takes {longest} '
                          'frames at most: correct config.json')
    rows = isqrt(patches)
    if rows * rows != patches:
        raise ExportError(f'{name}: {patches} patches are no square picture: video backbones are '
                          'not understood; export the model with "wmros export module"')
    side = rows * patch
    states = {key: int(encoder.in_chans) for key, encoder in encoders.items() if key != 'action'}
    widths = {key: int(encoder.emb_dim) for key, encoder in encoders.items()}
    visual = width - sum(widths.values())
    latent_width = width - widths['action']
    keys = list(encoders)
    action_start = visual + sum(widths[key] for key in keys[:keys.index('action')])
    parts = {'visual': {'start': 0, 'stop': visual}}
    start = visual
    for key in states:
        parts[key] = {'start': start, 'stop': start + widths[key]}
        start += widths[key]

    generator = torch.Generator().manual_seed(0)
    image = example_pictures((side, side, 3), generator)
    inputs = {'image': image}
    if states:
        inputs['proprioception'] = torch.randn(2, sum(states.values()), generator=generator)
    encoder = Encoder(model, states, pixels).eval()
    with torch.no_grad():
        latent = encoder(*inputs.values())
    frames = min(2, window)
    context = example_context(latent, frames, generator)
    actions = torch.randn(2, frames, int(action.in_chans), generator=generator)
    distance = {'source': 'visual', 'metric': 'squared_l2', 'reduction': 'mean'}
    return ModelSource(
        identity={'source': f'stable-worldmodel, {type(model).__name__} (DINO-WM)'},
        image={'width': side, 'height': side},
        proprioception=sum(states.values()), rule='predicted' if states else 'none',
        step_size=int(action.in_chans),
        latent={'shape': [patches, latent_width], 'parts': parts},
        graphs={
            'encoder': GraphSource(encoder, inputs, ['latent']),
            'goal_encoder': GraphSource(GoalEncoder(model, pixels), {'image': image}, ['goal']),
            'predictor': GraphSource(
                Predictor(model, action_start, widths['action']),
                {'context': context, 'actions': actions}, ['next_latent'],
                frames={'context': window, 'actions': window}),
        },
        entries={'goal_encoder': {'parts': ['visual'], 'proprioception': False},
                 'predictor': {'kind': 'window', 'length': window}},
        cost={'objective': 'goal', 'terms': [{**distance, 'steps': 'last', 'weight': 1.0}]},
        goal=distance, planner=PLANNER,
    )
