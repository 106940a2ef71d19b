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
"""V-JEPA 2 (Assran et al., 2025), and V-JEPA 2-AC from a checkout of its own repository.

The encoder takes clips whose frames it joins in pairs (tubelets). A robot has one picture, so each
is doubled, as V-JEPA 2-AC was trained to expect. Its tokens are normalised one by one, of the
encoder's output as of the predictor's, because planning compares the two.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_model_ros.bundle.action import CARTESIAN_UNITS
from world_model_ros.learning.export.checkpoint import load_state, read_tensors, state_of
from world_model_ros.learning.export.graphs import (
    ExportError,
    GraphSource,
    example_context,
    example_pictures,
)
from world_model_ros.learning.export.pixels import Pixels
from world_model_ros.learning.export.source import ModelSource

FRAMES = 8  # that the predictor's graph takes at most; its mask grows with their square
PLANNER: dict[str, Any] = {
    'horizon': 2, 'samples': 400, 'iterations': 10, 'elites': 10, 'momentum': 0.15,
    'memory': 2048, 'sigma': [0.05] * 6 + [1.0], 'sigma_min': [0.005] * 6 + [0.05]}
TOKENS = ('predictor: it is given the tokens of one picture, doubled to a clip of two frames, each '
          'normalised to mean 0 and deviation 1: it has to be trained on such, and to give such')
DISTANCE = {'source': 'tokens', 'metric': 'l1', 'reduction': 'mean'}
_CARTESIAN = tuple(CARTESIAN_UNITS)
_SIDE = 256  # pixels; what V-JEPA 2-AC was trained with
_HEADS = {1024: 16, 1280: 16, 1408: 22}  # by width: ViT-L, ViT-H, ViT-g


class Encoder(nn.Module):
    """Picture uint8 `[B, H, W, 3]` to normalised tokens `[B, N, D]`.

    `channels_first`: whether the clip is `[B, 3, T, H, W]` (the authors') or `[B, T, 3, H, W]`
    (`transformers`).
    """

    def __init__(self, model: nn.Module, tubelet: int, *, channels_first: bool) -> None:
        super().__init__()
        self.pixels = Pixels()
        self.model: Any = model
        self.tubelet = tubelet
        self.time = 2 if channels_first else 1

    def forward(self, image: Tensor) -> Tensor:
        clip = self.pixels(image).unsqueeze(self.time)
        clip = torch.cat([clip] * self.tubelet, dim=self.time)
        tokens = self.model(clip)
        tokens = getattr(tokens, 'last_hidden_state', tokens)
        return functional.layer_norm(tokens, (tokens.shape[-1],))


class Predictor(nn.Module):
    """`context [B, T, N, D]`, `actions [B, T, 7]`, `states [B, T, 7]` to the next `[B, N, D]`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model

    def forward(self, context: Tensor, actions: Tensor, states: Tensor) -> Tensor:
        tokens = self.model(context.flatten(1, 2), actions, states)[:, -context.shape[2]:]
        return functional.layer_norm(tokens, (tokens.shape[-1],))


def read_encoder(folder: Path) -> nn.Module:
    """V-JEPA 2 as `transformers` saves it (config.json and safetensors); raises ExportError."""
    try:
        import transformers  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        raise ExportError('needs transformers: pip install transformers') from error
    if not (folder / 'config.json').is_file():
        raise ExportError(f'{folder}: give the folder of a V-JEPA 2 of transformers, which holds '
                          'config.json and model.safetensors ("hf download '
                          'facebook/vjepa2-vitl-fpc64-256 --local-dir FOLDER")')
    try:
        model = transformers.VJEPA2Model.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32,
            attn_implementation='sdpa')
    except (OSError, ValueError, RuntimeError) as error:
        raise ExportError(f'{folder}: {" ".join(str(error).split())}') from error
    encoder: nn.Module = model.encoder
    return encoder


def encoder_source(encoder: nn.Module) -> tuple[GraphSource, int, Tensor]:
    """Graph of a V-JEPA 2 encoder of `transformers`, the picture's side and example latents."""
    config: Any = encoder.config
    side = int(config.crop_size)
    module = Encoder(encoder, int(config.tubelet_size), channels_first=False).eval()
    image = example_pictures((side, side, 3), torch.Generator().manual_seed(0))
    with torch.no_grad():
        latent = module(image)
    return GraphSource(module, {'image': image}, ['latent']), side, latent


def build_ac(repo: Path, checkpoint: Path, trust: bool) -> ModelSource:
    """Encoder and predictor of V-JEPA 2-AC from a checkout; raises ExportError.

    `checkpoint` is `vjepa2-ac-vitg.pt` or another with the same parts: depths and widths follow
    from the weights.
    """
    tensors = read_tensors(checkpoint, trust)
    parts: list[dict[str, Tensor]] = []
    for part in ('encoder', 'predictor'):
        if not isinstance(tensors, dict) or part not in tensors:
            raise ExportError(f'{checkpoint}: lacks "{part}": give vjepa2-ac-vitg.pt')
        parts.append({key.replace('module.', '').replace('backbone.', ''): value
                      for key, value in state_of(tensors[part], f'{checkpoint}, {part}').items()})
    seen, dreamt = parts
    seen.pop('pos_embed', None)  # RoPE took the place of a table that the file still holds
    side = _SIDE
    with _checkout(repo) as (vision, conditioned):
        common: dict[str, Any] = {
            'img_size': (side, side), 'patch_size': 16, 'num_frames': 64, 'tubelet_size': 2,
            'norm_layer': partial(nn.LayerNorm, eps=1e-6), 'qkv_bias': True, 'use_rope': True}
        try:
            width, hidden = (int(seen[f'blocks.0.{key}'].shape[0])
                             for key in ('norm1.weight', 'mlp.fc1.weight'))
            inner, dreamt_hidden = (int(dreamt[f'predictor_blocks.0.{key}'].shape[0])
                                    for key in ('norm1.weight', 'mlp.fc1.weight'))
            seer = vision.VisionTransformer(
                embed_dim=width, depth=_depth(seen), num_heads=_HEADS[width],
                mlp_ratio=hidden / width, use_sdpa=True, uniform_power=False, **common)
            dreamer = conditioned.VisionTransformerPredictorAC(
                embed_dim=width, predictor_embed_dim=inner, depth=_depth(dreamt), num_heads=16,
                mlp_ratio=dreamt_hidden / inner, **common)
        except KeyError as error:
            raise ExportError(f'{checkpoint}: {error} is missing, or no width of a V-JEPA 2: give '
                              'vjepa2-ac-vitg.pt') from error
        load_state(seer, seen, f'{checkpoint}, encoder')
        load_state(dreamer, dreamt, f'{checkpoint}, predictor')
    tokens = (side // 16) ** 2
    # The mask is block-causal, so a part of it is the mask of fewer frames.
    dreamer.attn_mask = dreamer.attn_mask[:FRAMES * (tokens + 2), :FRAMES * (tokens + 2)].clone()

    generator = torch.Generator().manual_seed(0)
    image = example_pictures((side, side, 3), generator)
    encoder = Encoder(seer, 2, channels_first=True).eval()
    with torch.no_grad():
        latent = encoder(image)
    context = example_context(latent, 2, generator)
    actions = 0.05 * torch.randn(2, 2, len(_CARTESIAN), generator=generator)
    states = torch.rand(2, 2, len(_CARTESIAN), generator=generator)
    frames = dict.fromkeys(('context', 'actions', 'states'), FRAMES)
    return ModelSource(
        identity={'source': 'facebookresearch/vjepa2, V-JEPA 2-AC'},
        image={'width': side, 'height': side},
        proprioception=len(_CARTESIAN), rule='integrate_pose', step_size=len(_CARTESIAN),
        latent={'shape': [tokens, width], 'parts': {'tokens': {'start': 0, 'stop': width}}},
        graphs={
            'encoder': GraphSource(encoder, {'image': image}, ['latent']),
            'predictor': GraphSource(
                Predictor(dreamer),
                {'context': context, 'actions': actions, 'states': states}, ['next_latent'],
                frames=frames),
        },
        entries={'predictor': {'kind': 'growing', 'length': FRAMES, 'history': 1}},
        cost={'objective': 'goal', 'terms': [{**DISTANCE, 'steps': 'last', 'weight': 1.0}]},
        goal=DISTANCE, planner=PLANNER,
        # DROID, of which it has seen 62 hours: deltas of the gripper's pose at 4 Hz, as they are.
        action={
            'kind': 'pose_delta', 'names': list(_CARTESIAN),
            'units': [unit for unit, _ in CARTESIAN_UNITS.values()], 'step_duration': 0.25,
            'normalization': {'mean': [0.0] * 7, 'std': [1.0] * 7},
            'frozen': {'angular.x': 0.0, 'angular.y': 0.0, 'angular.z': 0.0},
            'dead_band': [0.0] * 6 + [0.25],
        },
    )


@contextmanager
def _checkout(repo: Path) -> Iterator[tuple[Any, Any]]:
    """The modules of a checkout's encoder and predictor, with what hinders their export mended.

    Nothing in the checkout changes. Its package is called `src`, so it is on the path for as long
    as this lasts; its one use of timm, stochastic depth, has no part in evaluation.
    """
    if not (repo / 'src' / 'models' / 'ac_predictor.py').is_file():
        raise ExportError(f'{repo}: no checkout of facebookresearch/vjepa2: git clone it and give '
                          'its folder to --repo')
    present = {name for name in sys.modules if name == 'src' or name.startswith('src.')}
    if present:
        raise ExportError('a package called "src" is loaded already: run the export on its own')
    stand_ins = {}
    try:
        importlib.import_module('timm.models.layers')
    except Exception:  # absent, or without the torchvision that it wants
        layers = types.ModuleType('timm.models.layers')
        layers.drop_path = _no_stochastic_depth  # type: ignore[attr-defined]
        stand_ins = {'timm': types.ModuleType('timm'), 'timm.models': types.ModuleType('models'),
                     'timm.models.layers': layers}
    sys.modules.update(stand_ins)
    sys.path.insert(0, str(repo.resolve()))
    try:
        blocks: Any = importlib.import_module('src.models.utils.modules')
        blocks.rotate_queries_or_keys = rotate
        # int() would freeze the number of frames into the graph.
        blocks.int = lambda number: number if isinstance(number, torch.SymInt) else int(number)
        yield (importlib.import_module('src.models.vision_transformer'),
               importlib.import_module('src.models.ac_predictor'))
    except ImportError as error:
        raise ExportError(f'{repo}: {error}: pip install it, or check the checkout') from error
    finally:
        sys.path.remove(str(repo.resolve()))
        for name in [*stand_ins, *sys.modules]:
            if name in stand_ins or name == 'src' or name.startswith('src.'):
                sys.modules.pop(name, None)


def rotate(x: Tensor, pos: Tensor) -> Tensor:
    """Rotary embedding of `x [B, heads, N, D]` at positions `pos [N]`, as V-JEPA 2 trained it.

    Frequencies run over the half width and are repeated as a block, not pair by pair: the trained
    weights expect it. Positions take the type of `x`, and no axis is squeezed away: these two are
    what the checkout's own function cannot be exported for.
    """
    half = x.shape[-1] // 2
    frequency = 1.0 / 10000 ** (torch.arange(half, dtype=x.dtype, device=x.device) / half)
    angle = pos.to(x.dtype).unsqueeze(-1) * frequency
    sine = torch.cat([angle.sin()] * 2, dim=-1)
    cosine = torch.cat([angle.cos()] * 2, dim=-1)
    first, second = x.unflatten(-1, (-1, 2)).unbind(dim=-1)
    turned = torch.stack((-second, first), dim=-1).flatten(-2)
    return x * cosine + turned * sine


def _no_stochastic_depth(x: Tensor, drop_prob: float = 0.0, training: bool = False) -> Tensor:
    if training and drop_prob:
        raise ExportError('stochastic depth needs timm; the exporter only evaluates')
    return x


def _depth(state: dict[str, Tensor]) -> int:
    return 1 + max(int(key.split('.')[1]) for key in state if 'blocks.' in key)
