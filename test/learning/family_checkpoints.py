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
"""Checkpoints as stable-worldmodel writes them, at the sizes of its training scripts.

Weights are random, but not as a new model has them: AdaLN-zero begins with gates at zero, so a new
LeWM ignores its actions and any two exports of it agree. Here every matrix is drawn so that each
input matters, and batch statistics are not those of a standard normal.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from world_model_ros.learning.export.checkpoint import model_of

_WM = 'stable_worldmodel.wm'


def joint_embedding(kind: str) -> dict[str, Any]:
    """config.json of scripts/train/{lewm,pldm}.py: ViT-Ti/14 at 224 pixels, five 2-D actions."""
    module = f'{_WM}.{kind}.module'
    norm = {'_target_': 'torch.nn.BatchNorm1d', '_partial_': True}
    head = {'_target_': f'{module}.MLP', 'input_dim': 192, 'output_dim': 192, 'hidden_dim': 2048,
            'norm_fn': norm}
    return {
        '_target_': {'lewm': f'{_WM}.lewm.LeWM', 'pldm': f'{_WM}.pldm.pldm.PLDM'}[kind],
        'encoder': {'_target_': 'stable_pretraining.backbone.utils.vit_hf', 'size': 'tiny',
                    'patch_size': 14, 'image_size': 224, 'pretrained': False,
                    'use_mask_token': False},
        'predictor': {'_target_': f'{module}.Predictor', 'num_frames': 3, 'input_dim': 192,
                      'hidden_dim': 192, 'output_dim': 192, 'depth': 6, 'heads': 16,
                      'mlp_dim': 2048, 'dim_head': 64, 'dropout': 0.1, 'emb_dropout': 0.0},
        'action_encoder': {'_target_': f'{module}.Embedder', 'input_dim': 10, 'emb_dim': 192},
        'projector': head, 'pred_proj': head,
    }


def dino_wm(patches: int, depth: int) -> dict[str, Any]:
    """config.json of scripts/train/prejepa.py: DINOv2 ViT-S/14, a predictor of `depth` blocks."""
    module = f'{_WM}.prejepa.module'
    return {
        '_target_': f'{_WM}.PreJEPA', 'history_size': 3, 'num_pred': 1,
        'interpolate_pos_encoding': True,
        'encoder': {'_target_': f'{module}.create_backbone', 'name': 'dinov2_small'},
        'predictor': {'_target_': f'{module}.CausalPredictor', 'num_patches': patches,
                      'num_frames': 3, 'dim': 404, 'depth': depth, 'heads': 16, 'mlp_dim': 2048,
                      'dim_head': 64, 'dropout': 0.1, 'emb_dropout': 0.0},
        'extra_encoders': {'_target_': 'torch.nn.ModuleDict', 'modules': {
            key: {'_target_': f'{module}.Embedder', 'in_chans': size, 'emb_dim': 10}
            for key, size in (('proprio', 4), ('action', 10))}},
    }


def tdmpc2(encoding: dict[str, int]) -> dict[str, Any]:
    """config.json of scripts/train/tdmpc2.py, with these encoders and two actions."""
    return {
        '_target_': f'{_WM}.tdmpc2.TDMPC2', '_recursive_': False,
        'cfg': {
            'image_size': 64, 'action_dim': 2,
            'extra_dims': {'action': 2, **dict.fromkeys(set(encoding) - {'pixels'}, 4)},
            'wm': {'horizon': 5, 'mlp_dim': 384, 'enc_dim': 256, 'simnorm_dim': 8, 'num_q': 5,
                   'tau': 0.01, 'discount': 0.99, 'uncertainty_penalty': 0.5, 'num_bins': 101,
                   'vmin': -6, 'vmax': 2, 'encoding': encoding},
        },
    }


def write(folder: Path, config: dict[str, Any]) -> Path:
    """Write config.json and weights.pt as `save_pretrained` does; return the folder."""
    folder.mkdir(parents=True)
    model = model_of(config)
    disturb(model)
    torch.save(model.state_dict(), folder / 'weights.pt')
    (folder / 'config.json').write_text(json.dumps(config))
    return folder


def disturb(model: nn.Module) -> None:
    """Draw all matrices and batch statistics anew, so that every input matters."""
    generator = torch.Generator().manual_seed(0)

    def normal(shape: torch.Size, scale: float) -> torch.Tensor:
        return scale * torch.randn(shape, generator=generator)

    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            positions = 'pos' in name or 'token' in name
            scale = 0.02 if positions else parameter[0].numel() ** -0.5
            parameter.data = normal(parameter.shape, scale)
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            buffer.copy_(normal(buffer.shape, 0.1))
        elif name.endswith('running_var'):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
