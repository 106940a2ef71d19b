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
"""Trains a LeWM of its published size on the arm, on a processor if need be, in minutes.

The architecture is stable-worldmodel's own (LeWM: Maes et al., 2026), so that its planner and ours
can plan with the same weights. The recipe is made for haste, which is all it is for:

1. Encoder and predictor together, LeWM's loss (one-step prediction and SIGReg), and the linear head
   to the joint angles that `models/reach` has as well. The encoder sees a fifth of the patches
   (PatchDropout: Liu et al., 2023, arXiv:2208.07220), most of them where a picture differs from
   the batch's mean, that is where the arm is: a picture costs a fifth. Then a few steps with all.
2. The predictor alone on embeddings that stand still: single steps, then rollouts of the planner's
   horizon. Every position of every window is taught, as LeWM does: a robot starts with one latent,
   so the first position must predict as well as the last.

Training goes on where it was cut off. All randomness is torch's global generator, which is saved.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from world_model_ros.learning.export.checkpoint import model_of
from world_model_ros.learning.export.graphs import ExportError
from world_model_ros.learning.export.pixels import Pixels
from world_model_ros.learning.losses import rollout_loss, sigreg

SIDE = 224
"""Pixels of the square picture."""

WIDTH = 192
"""Numbers of a latent."""

WINDOW = 3
"""Latents that the predictor looks back on."""

ROWS = 5
"""Actions that one model step takes, concatenated."""

_PATCH = 14
_SAVE_EVERY = 60.0  # seconds


@dataclass(frozen=True)
class Stage:
    """A part of training.

    patches: how many the encoder sees of each picture; 0: it stands still, and so do embeddings
    steps, windows: updates, and windows of an update
    horizon: model steps that are imagined from a window; 1 is how LeWM is trained
    """

    name: str
    patches: int
    steps: int
    windows: int
    horizon: int
    learning_rate: float


@dataclass(frozen=True)
class Recipe:
    """Every number that shapes the model."""

    episodes: int = 180
    held_out: int = 20
    stages: tuple[Stage, ...] = (
        Stage('telling patches', 48, 160, 8, 1, 8e-4),
        Stage('all patches', 256, 8, 8, 1, 2e-4),
        Stage('predictor', 0, 300, 48, 1, 5e-4),
        Stage('rollouts', 0, 120, 24, 5, 2e-4),
    )
    weight_regularization: float = 0.9
    weight_anchor: float = 1.0
    weight_decay: float = 1e-3


@dataclass(frozen=True)
class Experience:
    """What is learned from: E episodes of F pictures, one model step apart.

    pictures: uint8 [E, F, h, w, 3]; poses: [E, F, J] and actions: [E, F - 1, ROWS x J], normalised
    """

    pictures: Tensor
    poses: Tensor
    actions: Tensor

    def windows(self, count: int, frames: int) -> tuple[Tensor, Tensor]:
        """Episodes and first frames [count, 1] of random windows of `frames`."""
        episodes, length = self.poses.shape[:2]
        return (torch.randint(episodes, (count, 1)),
                torch.randint(length - frames + 1, (count, 1)))


@dataclass
class Progress:
    """Where training stands: what has been done, and what it showed."""

    stage: int = 0
    step: int = 0
    seconds: float = 0.0
    curves: dict[str, list[float]] = field(default_factory=dict)


def configuration(joints: int) -> dict[str, Any]:
    """config.json of a LeWM, in the form and sizes of stable-worldmodel's training script."""
    part = 'stable_worldmodel.wm.lewm'
    head = {'_target_': f'{part}.module.MLP', 'input_dim': WIDTH, 'output_dim': WIDTH,
            'hidden_dim': 2048, 'norm_fn': {'_target_': 'torch.nn.BatchNorm1d', '_partial_': True}}
    return {
        '_target_': f'{part}.LeWM',
        'encoder': {'_target_': 'stable_pretraining.backbone.utils.vit_hf', 'size': 'tiny',
                    'patch_size': _PATCH, 'image_size': SIDE, 'pretrained': False,
                    'use_mask_token': False},
        'predictor': {'_target_': f'{part}.module.Predictor', 'num_frames': WINDOW,
                      'input_dim': WIDTH, 'hidden_dim': WIDTH, 'output_dim': WIDTH, 'depth': 6,
                      'heads': 16, 'dim_head': 64, 'mlp_dim': 2048, 'dropout': 0.1,
                      'emb_dropout': 0.0},
        'action_encoder': {'_target_': f'{part}.module.Embedder', 'input_dim': ROWS * joints,
                           'emb_dim': WIDTH},
        'projector': head, 'pred_proj': head,
    }


class Encoder(nn.Module):
    """The model's encoder, which can be shown a part of the patches."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.pixels = Pixels()
        self.model: Any = model

    def forward(self, pictures: Tensor, patches: int | None = None) -> Tensor:
        """Latents [B, D] of pictures uint8 [B, h, w, 3].

        Of each, `patches` are seen: two thirds are those that differ most from the mean picture,
        the others are drawn. All, if it is absent.
        """
        vit = self.model.encoder
        pixels = self.pixels(pictures)
        tokens = vit.embeddings(pixels)
        count = tokens.shape[1] - 1
        if patches is not None and patches < count:
            differing = (pixels - pixels.mean(0)).abs().mean(1, keepdim=True)
            told = functional.avg_pool2d(differing, _PATCH).flatten(1)
            chance = torch.rand(len(tokens), count)
            chance.scatter_(1, told.topk(2 * patches // 3).indices, 2.0)
            kept = chance.topk(patches).indices.unsqueeze(-1)
            seen = tokens[:, 1:].gather(1, kept.expand(-1, -1, tokens.shape[-1]))
            tokens = torch.cat([tokens[:, :1], seen], dim=1)
        for layer in vit.layers:
            tokens = layer(tokens, None)
        latents: Tensor = self.model.projector(vit.layernorm(tokens)[:, 0])
        return latents


def rollout(model: Any, context: Tensor, actions: Tensor) -> Tensor:
    """Imagine from `context` [B, WINDOW, D] under `actions` [B, WINDOW - 1 + H, K].

    Returns [B, H, WINDOW, D]: of each window, what every position predicts to follow it. The last
    one is imagined further.
    """
    embedded = model.action_encoder(actions)
    latents = list(context.unbind(dim=1))
    predicted = []
    for step in range(actions.shape[1] - WINDOW + 1):
        window = torch.stack(latents[step:], dim=1)
        predicted.append(model.predict(window, embedded[:, step:step + WINDOW]))
        latents.append(predicted[-1][:, -1])
    return torch.stack(predicted, dim=1)


class Training:
    """One training run and its folder, from which it can be taken up again."""

    def __init__(self, folder: Path, recipe: Recipe, seed: int, joints: int) -> None:
        """Begin in `folder`, or go on with what lies there; raises ExportError if it is another.

        What is kept beside it, `*.npy`, belongs to the run whose `training.pt` is there.
        """
        torch.manual_seed(seed)
        self.folder, self.recipe = folder, recipe
        model: Any = model_of(configuration(joints))
        model.encoder.embeddings.position_embeddings.data[0, 1:] = _waves(SIDE // _PATCH)
        self.model = model
        self.anchor = nn.Linear(WIDTH, joints)
        self.encoder = Encoder(self.model)
        self.progress = Progress()
        self._optimizer: torch.optim.Optimizer | None = None
        self._optimizer_state: dict[str, Any] | None = None  # of the run that is taken up again
        self._saved = time.monotonic()
        self._identity = json.dumps({'recipe': asdict(recipe), 'seed': seed, 'joints': joints})
        self._state = folder / 'training.pt'
        folder.mkdir(parents=True, exist_ok=True)
        if self._state.is_file():
            self._resume()
        else:
            for left in folder.glob('*.npy'):
                left.unlink()
            self._save()

    def run(self, experience: Experience) -> None:
        """Go through all stages that are left; afterwards the model is in evaluation mode."""
        for index, stage in enumerate(self.recipe.stages):
            if index < self.progress.stage:
                continue
            latents = None if stage.patches else self.embeddings(experience)
            self._train(stage, experience, latents)
            self.progress.stage, self.progress.step = index + 1, 0
            self._optimizer = None
            self._save()
        self.model.eval()

    @torch.no_grad()
    def embed(self, pictures: Tensor) -> Tensor:
        """Latents [..., D] of pictures uint8 [..., h, w, 3]."""
        self.model.eval()
        flat = pictures.flatten(0, -4)
        parts = [self.encoder(part) for part in tqdm(
            flat.split(16), 'embedding', unit='batch', mininterval=10)]
        return torch.cat(parts).view(*pictures.shape[:-3], WIDTH)

    def write_checkpoint(self) -> None:
        """Write weights.pt and config.json as stable-worldmodel's `save_pretrained` does."""
        torch.save(self.model.state_dict(), self.folder / 'weights.pt')
        joints = self.model.action_encoder.input_dim // ROWS
        (self.folder / 'config.json').write_text(json.dumps(configuration(joints), indent=1))

    def _train(self, stage: Stage, experience: Experience, latents: Tensor | None) -> None:
        self.model.train()
        trained: list[nn.Module] = [self.model, self.anchor]
        if latents is not None:
            # The encoder's batch statistics stand still as well.
            self.model.encoder.eval()
            self.model.projector.eval()
            trained = [self.model.predictor, self.model.action_encoder, self.model.pred_proj]
        parameters = [weight for module in trained for weight in module.parameters()]
        optimizer = torch.optim.AdamW(parameters, weight_decay=self.recipe.weight_decay)
        if self._optimizer_state is not None:
            optimizer.load_state_dict(self._optimizer_state)
            self._optimizer_state = None
        self._optimizer = optimizer
        progress = tqdm(range(self.progress.step, stage.steps), stage.name, stage.steps,
                        initial=self.progress.step, unit='step', mininterval=10)
        for step in progress:
            started = time.monotonic()
            for group in optimizer.param_groups:
                group['lr'] = stage.learning_rate * _schedule(step, stage.steps)
            losses = (self._joint_losses(stage, experience) if latents is None
                      else self._predictor_losses(stage, experience, latents))
            loss = torch.stack(list(losses.values())).sum()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            self.progress.step = step + 1
            self.progress.seconds += time.monotonic() - started
            for name, value in losses.items():
                self.progress.curves.setdefault(name, []).append(value.item())
            progress.set_postfix({name: f'{value.item():.4f}' for name, value in losses.items()},
                                 refresh=False)
            if time.monotonic() - self._saved > _SAVE_EVERY:
                self._save()

    def _joint_losses(self, stage: Stage, experience: Experience) -> dict[str, Tensor]:
        """LeWM's losses and the anchor's, each with its weight."""
        episode, first = experience.windows(stage.windows, WINDOW + 1)
        frames = first + torch.arange(WINDOW + 1)
        pictures = experience.pictures[episode, frames].flatten(0, 1)
        latents = self.encoder(pictures, stage.patches)
        window = latents.view(stage.windows, WINDOW + 1, WIDTH)
        action = self.model.action_encoder(experience.actions[episode, frames[:, :-1]])
        predicted = self.model.predict(window[:, :-1], action)
        return {
            'prediction': rollout_loss(predicted, window[:, 1:]),
            'regularization': self.recipe.weight_regularization * sigreg(latents),
            'anchor': self.recipe.weight_anchor * rollout_loss(
                self.anchor(window), experience.poses[episode, frames]),
        }

    def _predictor_losses(
        self, stage: Stage, experience: Experience, latents: Tensor
    ) -> dict[str, Tensor]:
        length = WINDOW + stage.horizon
        episode, first = experience.windows(stage.windows, length)
        frames = first + torch.arange(length)
        truth = latents[episode, frames]
        actions = experience.actions[episode, frames[:, :-1]]
        follows = truth[:, 1:].unfold(1, WINDOW, 1).transpose(2, 3)  # [B, H, WINDOW, D]
        predicted = rollout(self.model, truth[:, :WINDOW], actions)
        return {f'refined over {stage.horizon}': rollout_loss(predicted, follows)}

    def embeddings(self, experience: Experience) -> Tensor:
        """Latents [E, F, D] of all that is learned from, kept in the folder: they take minutes."""
        file = self.folder / 'embeddings.npy'
        if file.is_file():
            return torch.from_numpy(np.load(file))
        latents = self.embed(experience.pictures)
        partial = file.with_suffix('.partial.npy')
        np.save(partial, latents.numpy())
        os.replace(partial, file)
        return latents

    def _save(self) -> None:
        state: Mapping[str, Any] = {
            'identity': self._identity, 'progress': asdict(self.progress),
            'model': self.model.state_dict(), 'anchor': self.anchor.state_dict(),
            'optimizer': None if self._optimizer is None else self._optimizer.state_dict(),
            'random': torch.get_rng_state(),
        }
        partial = self._state.with_suffix('.partial')
        torch.save(state, partial)
        os.replace(partial, self._state)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        state = torch.load(self._state, map_location='cpu', weights_only=True)
        if state['identity'] != self._identity:
            raise ExportError(f'{self.folder} belongs to another recipe or seed: give another '
                              '--out, or remove the folder')
        self.model.load_state_dict(state['model'])
        self.anchor.load_state_dict(state['anchor'])
        torch.set_rng_state(state['random'])
        self.progress = Progress(**state['progress'])
        self._optimizer_state = state['optimizer']


def _waves(side: int) -> Tensor:
    """Where each patch is, [side * side, WIDTH]: sines and cosines of both coordinates.

    What the positions' embeddings begin with (Beyer et al., 2022, arXiv:2205.01580): from noise,
    where the arm is would have to be learned before anything else.
    """
    frequencies = 1e4 ** -torch.linspace(0, 1, WIDTH // 4)
    phases = torch.arange(side).unsqueeze(1) * frequencies
    waves = torch.cat([phases.sin(), phases.cos()], dim=1)  # [side, WIDTH / 2]
    rows = waves.unsqueeze(1).expand(-1, side, -1)
    columns = waves.unsqueeze(0).expand(side, -1, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def _schedule(step: int, steps: int) -> float:
    """Share of the learning rate: a tenth to warm up, then half a cosine to a hundredth."""
    warm = max(1, steps // 10)
    falling = 0.5 * (1 + math.cos(math.pi * step / steps))
    return min(1.0, (step + 1) / warm) * max(falling, 0.01)
