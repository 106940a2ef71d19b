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
"""Trains the world model on recorded experience: prediction in latent space, nothing is redrawn.

Two stages. First encoder and predictor learn together, which is what shapes the latent space. Then
the encoder is frozen, every picture is embedded once, and the predictor alone goes on over long
rollouts: without pictures to encode that costs next to nothing, and a plan is only as good as its
far end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from world_model_ros.bundle import Normalization
from world_model_ros.learning.dataset import Episodes
from world_model_ros.learning.losses import rollout_loss, sigreg
from world_model_ros.learning.model import Sizes, WorldModel


@dataclass(frozen=True)
class Refinement:
    """A stage in which the encoder stands still and the predictor learns from embedded pictures.

    steps: of the optimiser, with `windows` windows of `horizon` actions in each
    learning_rate: the highest of its schedule
    """

    steps: int
    windows: int
    horizon: int
    learning_rate: float


@dataclass(frozen=True)
class TrainingSettings:
    """Every number that shapes a training run.

    steps: of the optimiser, with `windows` windows of `horizon` actions in each
    pairs: of neighbouring pictures that are looked at in each window
    learning_rate: the highest of its schedule
    weight_...: factors of the losses beside the prediction's, but for AdamW's weight_decay
    brightness: largest change of a picture's brightness, as a fraction of it
    """

    steps: int = 2500
    windows: int = 32
    horizon: int = 16
    pairs: int = 2
    learning_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    weight_regularization: float = 0.02
    weight_inverse: float = 0.3
    weight_anchor: float = 1.0
    brightness: float = 0.15
    # Single steps first: they are cheap enough to see all data many times, which rollouts alone
    # never make up for. On equal time, they leave a third of the joint error after 3.2 s.
    refinements: tuple[Refinement, ...] = (
        Refinement(steps=4000, windows=2048, horizon=1, learning_rate=5e-3),
        Refinement(steps=1500, windows=128, horizon=32, learning_rate=2.5e-3),
    )
    sizes: Sizes = field(default_factory=Sizes)


@dataclass(frozen=True)
class Contract:
    """How physical numbers become the model's: `(physical - mean) / std`."""

    proprioception: Normalization
    action: Normalization

    def normalize_proprioception(self, values: NDArray[np.float32]) -> Tensor:
        """Return joint states `[..., P]` as the model sees them."""
        return _normalize(values, self.proprioception)

    def normalize_action(self, values: NDArray[np.float32]) -> Tensor:
        """Return actions `[..., A]` as the model sees them."""
        return _normalize(values, self.action)


def train(
    episodes: Episodes, contract: Contract, settings: TrainingSettings, seed: int
) -> tuple[WorldModel, dict[str, list[float]]]:
    """Return the trained model, in evaluation mode, and the loss curves by name."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    model = WorldModel(settings.sizes)
    images = torch.from_numpy(episodes.images)
    proprioception = contract.normalize_proprioception(episodes.proprioception)
    actions = contract.normalize_action(episodes.actions)
    curves: dict[str, list[float]] = {}

    def record(losses: dict[str, Tensor], progress: Any) -> None:
        for name, loss in losses.items():
            curves.setdefault(name, []).append(loss.item())
        progress.set_postfix({name: f'{curves[name][-1]:.4f}' for name in losses})

    model.train()
    advance = _optimizer(model, settings.steps, settings.learning_rate, settings.weight_decay)
    progress = tqdm(range(settings.steps), 'training', unit='step')
    for _ in progress:
        losses = _losses(
            model, _sample(generator, images, proprioception, actions, settings), settings
        )
        advance(
            losses['prediction']
            + settings.weight_regularization * losses['regularization']
            + settings.weight_inverse * losses['inverse']
            + settings.weight_anchor * losses['anchor']
        )
        record(losses, progress)

    model.eval()
    latents = torch.cat([embed(model, episodes.images), proprioception], dim=-1)
    for stage in settings.refinements:
        advance = _optimizer(
            model.predictor, stage.steps, stage.learning_rate, settings.weight_decay
        )
        span = torch.arange(stage.horizon + 1)
        progress = tqdm(range(stage.steps), f'refining over {stage.horizon}', unit='step')
        for _ in progress:
            chosen, start = _windows(generator, actions, stage.windows, stage.horizon)
            truth = latents[chosen, start + span]
            imagined = model.rollout(truth[:, 0], actions[chosen, start + span[:-1]])
            loss = rollout_loss(imagined, truth[:, 1:])
            advance(loss)
            record({f'refined over {stage.horizon}': loss}, progress)
    return model, curves


@torch.no_grad()
def embed(model: WorldModel, images: NDArray[np.uint8]) -> Tensor:
    """Return embeddings `[..., G]` of pictures `[..., h, w, 3]`."""
    flat = torch.from_numpy(images.reshape(-1, *images.shape[-3:]))
    parts = [model.image_encoder(part) for part in flat.split(256)]
    return torch.cat(parts).view(*images.shape[:-3], -1)


def _optimizer(
    module: nn.Module, steps: int, learning_rate: float, weight_decay: float
) -> Callable[[Tensor], None]:
    """Return a function that follows a loss by one step of AdamW on a one-cycle schedule."""
    parameters = list(module.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=0.15
    )

    def advance(loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()

    return advance


def _windows(
    generator: np.random.Generator, actions: Tensor, count: int, horizon: int
) -> tuple[Tensor, Tensor]:
    """Return episodes and first steps `[count, 1]` of random windows of `horizon` actions."""
    episodes, length = actions.shape[:2]
    chosen = generator.integers(episodes, size=(count, 1))
    start = generator.integers(length - horizon + 1, size=(count, 1))
    return torch.from_numpy(chosen), torch.from_numpy(start)


@dataclass(frozen=True)
class _Batch:
    """B windows of H actions; pictures at steps 0 and `steps [S]`, pairs of neighbours."""

    pixels: Tensor  # [B, 1 + S, 3, h, w] in -0.5..0.5
    proprioception: Tensor  # [B, H + 1, P]
    actions: Tensor  # [B, H, A]
    steps: Tensor  # [S]


def _sample(
    generator: np.random.Generator,
    images: Tensor,
    proprioception: Tensor,
    actions: Tensor,
    settings: TrainingSettings,
) -> _Batch:
    horizon = settings.horizon
    chosen, start = _windows(generator, actions, settings.windows, horizon)
    # Encoding pictures costs nearly all the time: a few steps of each window are looked at, from
    # the near future (the first pair) to the whole horizon.
    first = np.concatenate([[1], generator.integers(1, horizon, size=settings.pairs - 1)])
    steps = torch.from_numpy(np.stack([first, first + 1], axis=1).reshape(-1))
    looked = torch.cat([torch.zeros(1, dtype=steps.dtype), steps])
    span = torch.arange(horizon + 1)
    pixels = images[chosen, start + looked].permute(0, 1, 4, 2, 3).to(torch.float32) / 255.0 - 0.5
    # A camera's exposure and white balance drift.
    gain = 1 + settings.brightness * (2 * torch.rand(settings.windows, 1, 1, 1, 1) - 1)
    tint = 1 + 0.3 * settings.brightness * (2 * torch.rand(settings.windows, 1, 3, 1, 1) - 1)
    pixels = (pixels + 0.5) * gain * tint - 0.5
    return _Batch(
        pixels,
        proprioception[chosen, start + span],
        actions[chosen, start + span[:-1]],
        steps,
    )


def _losses(model: WorldModel, batch: _Batch, settings: TrainingSettings) -> dict[str, Tensor]:
    sizes = settings.sizes
    windows, looked = batch.pixels.shape[:2]
    flat = model.image_encoder.embed(batch.pixels.flatten(0, 1))
    embedding = flat.view(windows, looked, sizes.goal)
    state = torch.cat([embedding[:, 0], batch.proprioception[:, 0]], dim=-1)
    imagined = model.rollout(state, batch.actions)
    at = batch.steps - 1  # imagined[:, k] is the state after action k
    prediction = rollout_loss(imagined[:, at, : sizes.goal], embedding[:, 1:])
    joints = rollout_loss(imagined[..., sizes.goal :], batch.proprioception[:, 1:])
    before, after = embedding[:, 1::2], embedding[:, 2::2]
    inverse = model.inverse(torch.cat([before, after], dim=-1))
    pose = torch.cat(
        [batch.proprioception[:, :1], batch.proprioception[:, batch.steps]], dim=1
    )[..., : sizes.joints]
    return {
        'prediction': prediction + joints,
        'regularization': sigreg(flat),
        'inverse': rollout_loss(inverse, batch.actions[:, batch.steps[::2]]),
        'anchor': rollout_loss(model.anchor(embedding), pose),
    }


def _normalize(values: NDArray[np.float32], numbers: Normalization) -> Tensor:
    mean = np.asarray(numbers.mean, np.float32)
    std = np.asarray(numbers.std, np.float32)
    return torch.from_numpy((values - mean) / std)
