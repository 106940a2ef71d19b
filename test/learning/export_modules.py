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
"""Small modules of every kind that `wmros export module` takes, and a robot file for them."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 6
STATES = 4  # two joints' positions and velocities

ROBOT: dict[str, dict[str, Any]] = {
    'model': {'name': 'mine', 'version': '1.0.0', 'license': 'MIT'},
    'action': {
        'kind': 'joint_velocity', 'names': ['shoulder', 'elbow'], 'units': ['rad/s', 'rad/s'],
        'lower': [-1.5, -1.0], 'upper': [1.5, 1.0], 'step_duration': 0.1, 'rows_per_step': 2,
        'normalization': {'mean': [0.1, -0.2], 'std': [0.8, 0.6]},
    },
    'image': {'width': 24, 'height': 16, 'crop': 'none', 'interpolation': 'area'},
    'goal': {'reached': 0.1},
    'planner': {'horizon': 3},
}
PROPRIOCEPTION = {
    'joints': ['shoulder', 'elbow'], 'fields': ['position', 'velocity'],
    'normalization': {'mean': [0.0, 0.3, 0.0, 0.0], 'std': [1.2, 1.1, 0.8, 0.7]},
}
STEP = 4  # two actions of two numbers


def _seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3
        parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    return module


def _padded(frames: Tensor) -> Tensor:
    """As docs/export.md has it for a window of three."""
    return torch.cat([frames[:, :1], frames[:, :1], frames], 1)[:, -3:]


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, stride=4)
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(8)
        self.out = nn.Linear(8, WIDTH)
        _seeded(self)

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2) / 255.0
        features = self.drop(functional.relu(self.conv(pixels)).mean((2, 3)))
        return self.out(self.norm(features))


class TwoCameras(Encoder):
    """Sees with two cameras, of which the second counts less."""

    def forward(self, image: Tensor) -> Tensor:
        first, second = image.unbind(1)
        return super().forward(first) + 0.3 * super().forward(second)


class StateEncoder(Encoder):
    def forward(self, image: Tensor, proprioception: Tensor) -> Tensor:
        return super().forward(image) + proprioception.mean(-1, keepdim=True)


class StateFirstEncoder(StateEncoder):
    def forward(self, proprioception: Tensor, image: Tensor) -> Tensor:
        return super().forward(image, proprioception)


class BlindEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(STATES, WIDTH)
        _seeded(self)

    def forward(self, proprioception: Tensor) -> Tensor:
        return self.out(proprioception)


class MarkovPredictor(nn.Module):
    def __init__(self, extra: int = 0) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH + STEP + extra, WIDTH)
        _seeded(self)

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        return latent + torch.tanh(self.mix(torch.cat([latent, action], -1)))


class MarkovRollout(MarkovPredictor):
    def forward(self, latent: Tensor, actions: Tensor) -> Tensor:
        latents = []
        for action in actions.unbind(1):
            latent = super().forward(latent, action)
            latents.append(latent)
        return torch.stack(latents, 1)


class WindowPredictor(nn.Module):
    window = 3

    def __init__(self, extra: int = 0) -> None:
        super().__init__()
        self.gru = nn.Linear(WIDTH + STEP + extra, WIDTH)
        _seeded(self)

    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        # Later frames weigh more, so that neither their order nor their number is indifferent.
        frames = torch.tanh(self.gru(torch.cat([context, actions], -1)))
        weights = torch.softmax(torch.arange(context.shape[1], dtype=torch.float32), 0)
        return context[:, -1] + (weights[None, :, None] * frames).sum(1)


class WindowStatesPredictor(WindowPredictor):
    def __init__(self) -> None:
        super().__init__(STATES)

    def forward(self, context: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        return super().forward(context, torch.cat([actions, states], -1))


class RecurrentPredictor(nn.Module):
    states: ClassVar = {'memory': (5,)}

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(WIDTH + STEP, 5)
        self.out = nn.Linear(5, WIDTH)
        _seeded(self)

    def forward(
        self, latent: Tensor, action: Tensor, state_memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        memory = self.cell(torch.cat([latent, action], -1), state_memory)
        return latent + self.out(memory), memory


class MemoryBeforeActionPredictor(RecurrentPredictor):
    def forward(
        self, latent: Tensor, state_memory: Tensor, action: Tensor
    ) -> tuple[Tensor, Tensor]:
        return super().forward(latent, action, state_memory)


class RecurrentRollout(RecurrentPredictor):
    def forward(
        self, latent: Tensor, actions: Tensor, state_memory: Tensor
    ) -> tuple[Tensor, Tensor]:
        return super().forward(latent, actions[:, 0], state_memory)


class OneFramePredictor(MarkovPredictor):
    longest = 1

    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        return super().forward(context[:, -1], actions[:, -1])


class Misnamed(nn.Module):
    def forward(self, z: Tensor, a: Tensor) -> Tensor:
        return z + a.sum(-1, keepdim=True)


class TwoPictures(Encoder):
    """Sees a clip of two pictures, of which the older counts less."""

    def forward(self, image: Tensor) -> Tensor:
        older, newer = image.unbind(-4)
        return super().forward(newer) + 0.3 * super().forward(older)


class AllFramesPredictor(WindowPredictor):
    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        return context + torch.tanh(self.gru(torch.cat([context, actions], -1)))


class FullWindowPredictor(WindowPredictor):
    """Needs its three latents from the first."""

    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        older, old, newest = context.unbind(1)
        return super().forward(newest[:, None], actions[:, -1:]) + 0.1 * (older - old)


class PaddingPredictor(FullWindowPredictor):
    """Needs its three latents, too, and pads."""

    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        return super().forward(_padded(context), _padded(actions))


class MiscountedPredictor(WindowPredictor):
    """Fails on a context of any length."""

    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        return super().forward(context, actions[..., 1:])


class OneStepPredictor(MarkovPredictor):
    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        return super().forward(latent, action)[:, None]


class NarrowPredictor(MarkovPredictor):
    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        return super().forward(latent, action)[:, :4]


class NamingPredictor(MarkovPredictor):
    def forward(self, latent: Tensor, action: Tensor) -> dict[str, Tensor]:
        return {'next_latent': super().forward(latent, action)}


class SilentPredictor(MarkovPredictor):
    def forward(self, latent: Tensor, action: Tensor) -> tuple[()]:
        return ()


class TupleEncoder(Encoder):
    def forward(self, image: Tensor) -> tuple[Tensor]:
        return (super().forward(image),)


class TwiceEncoder(Encoder):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(image), super().forward(image)


class TupleWindowPredictor(WindowPredictor):
    def forward(self, context: Tensor, actions: Tensor) -> tuple[Tensor]:
        return (super().forward(context, actions),)


class TupleRollout(MarkovRollout):
    def forward(self, latent: Tensor, actions: Tensor) -> tuple[Tensor]:
        return (super().forward(latent, actions),)


class OneStepRollout(MarkovRollout):
    def forward(self, latent: Tensor, actions: Tensor) -> Tensor:
        return super().forward(latent, actions[:, :1])


class ForgetfulPredictor(RecurrentPredictor):
    def forward(self, latent: Tensor, action: Tensor, state_memory: Tensor) -> Tensor:
        return super().forward(latent, action, state_memory)[0]


class UnshapedMemoryPredictor(RecurrentPredictor):
    states: ClassVar = {'memory': 5}


class UnnamedMemoryPredictor(RecurrentPredictor):
    states: ClassVar = ['memory']


class PartsPredictor(MarkovPredictor):
    parts: ClassVar = {'visual': (0, 4), 'joints': (4, 6)}


class ListedPartsPredictor(MarkovPredictor):
    parts: ClassVar = ['visual', 'joints']


class WidePartsPredictor(MarkovPredictor):
    parts: ClassVar = {'visual': (0, 64)}
