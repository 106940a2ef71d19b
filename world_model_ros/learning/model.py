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
"""The world model of the demo: a joint-embedding predictive architecture (JEPA).

A latent is the image's embedding followed by the normalised joint state; a goal picture addresses
the first part. The predictor is Markov, because joint velocities are in the state, and adds to it:
s' = s + W (s, a) + MLP(s, a). It never draws a pixel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Sizes:
    """Dimensions of the model.

    image: side of the square picture [pixels]
    goal: numbers of its embedding, G
    joints: numbers of an action
    hidden: units of each hidden layer of the predictor
    """

    image: int = 96
    goal: int = 8
    joints: int = 2
    hidden: int = 128

    @property
    def proprioception(self) -> int:
        """Positions and velocities of all joints."""
        return 2 * self.joints

    @property
    def latent(self) -> int:
        """Image part and proprioceptive part."""
        return self.goal + self.proprioception


class ImageEncoder(nn.Module):
    """Picture uint8 `[B, h, w, 3]` to embedding `[B, G]`."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()

        side = sizes.image // 16
        # The first layer leaps: at full resolution it would cost more than all that follows. No
        # batch normalisation: the pictures of a batch come from few episodes, and what its mean
        # and variance vary by was the largest error of the embedding. SIGReg keeps scale and
        # offset in place.
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, kernel_size=8, stride=4, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * side * side, 128),
            nn.ReLU(),
            nn.Linear(128, sizes.goal),
        )

    def forward(self, image: Tensor) -> Tensor:
        pixels = image.permute(0, 3, 1, 2).to(torch.float32) / 255.0 - 0.5
        return self.embed(pixels)

    def embed(self, pixels: Tensor) -> Tensor:
        """Embed float pixels `[B, 3, h, w]` that are already centred."""
        embedding: Tensor = self.layers(pixels)
        return embedding


class Predictor(nn.Module):
    """One step: latent `[B, D]` and normalised action `[B, A]` to the next latent `[B, D]`.

    The linear part takes the integration of velocities off the network, which has enough to do with
    what the drives and the joint stops bend.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        inputs = sizes.latent + sizes.joints
        last = nn.Linear(sizes.hidden, sizes.latent)
        self.linear = nn.Linear(inputs, sizes.latent, bias=False)
        self.layers = nn.Sequential(
            nn.Linear(inputs, sizes.hidden),
            nn.ReLU(),
            nn.Linear(sizes.hidden, sizes.hidden),
            nn.ReLU(),
            last,
        )
        # Before it has learned anything, the model says that nothing changes.
        for zero in (self.linear.weight, last.weight, last.bias):
            nn.init.zeros_(zero)

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        both = torch.cat([latent, action], dim=-1)
        changed: Tensor = latent + self.linear(both) + self.layers(both)
        return changed


class WorldModel(nn.Module):
    """Encoder, predictor, and the two heads that exist for training alone."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.image_encoder = ImageEncoder(sizes)
        self.predictor = Predictor(sizes)
        self.anchor = nn.Linear(sizes.goal, sizes.joints)
        self.inverse = nn.Sequential(
            nn.Linear(2 * sizes.goal, 64), nn.SiLU(), nn.Linear(64, sizes.joints)
        )

    def encode(self, image: Tensor, proprioception: Tensor) -> Tensor:
        """Return latents `[B, D]` of pictures and normalised joint states `[B, P]`."""
        return torch.cat([self.image_encoder(image), proprioception], dim=-1)

    def rollout(self, latent: Tensor, actions: Tensor) -> Tensor:
        """Imagine `[B, H, D]` from `latent [B, D]` under normalised `actions [B, H, A]`."""
        latents = []
        for action in actions.unbind(dim=1):
            latent = self.predictor(latent, action)
            latents.append(latent)
        return torch.stack(latents, dim=1)
