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
"""Which families there are, and how each is read from what the user has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from world_model_ros.learning.export import dino_wm, joint_embedding, module, tdmpc2, vjepa2
from world_model_ros.learning.export.checkpoint import load_stable_worldmodel
from world_model_ros.learning.export.graphs import ExportError
from world_model_ros.learning.export.pixels import Pixels
from world_model_ros.learning.export.robot import HORIZON, Robot
from world_model_ros.learning.export.source import ModelSource, with_state_for_encoder

T = TypeVar('T')

_NORMALIZED_AS_TRAINED = ('lewm', 'pldm', 'dino-wm', 'tdmpc2')
"""Families whose pixels are normalised by what the user chose for the training."""
_ASSUMED_PIXELS = (
    "pixels: normalised with ImageNet's mean and std, since the robot file does not say: if the "
    'training had others, write them into image.normalization')


@dataclass(frozen=True)
class Request:
    """What the command line names; which of it a family takes, its parser says."""

    checkpoint: Path | None = None
    trust: bool = False
    repo: Path | None = None
    encoder: str | None = None
    predictor: str | None = None
    goal_encoder: str | None = None


def build(family: str, request: Request, robot: Robot) -> ModelSource:
    """Read a model of one of `FAMILIES`; raises ExportError."""
    if 'normalization' in robot.sections.get('image', {}) and family not in _NORMALIZED_AS_TRAINED:
        raise ExportError('image.normalization: '
                          + ('your encoder takes uint8 and normalises itself' if family == 'module'
                             else 'the published weights fix it') + ': leave it out')
    source = with_state_for_encoder(FAMILIES[family](request, robot))
    if family in _NORMALIZED_AS_TRAINED and source.image is not None and not robot.pixels:
        source = replace(source, note=_ASSUMED_PIXELS)
    return source


def _joint_embedding(kind: str) -> Callable[[Request, Robot], ModelSource]:
    def read(request: Request, robot: Robot) -> ModelSource:
        path = _needed(request.checkpoint, '--checkpoint')
        model = load_stable_worldmodel(path, kind, request.trust)
        return joint_embedding.build(model, path.name, _pixels(robot))
    return read


def _dino_wm(request: Request, robot: Robot) -> ModelSource:
    path = _needed(request.checkpoint, '--checkpoint')
    model = load_stable_worldmodel(path, 'prejepa', request.trust)
    return dino_wm.build(model, path.name, _pixels(robot))


def _tdmpc2(request: Request, robot: Robot) -> ModelSource:
    path = _needed(request.checkpoint, '--checkpoint')
    model = load_stable_worldmodel(path, 'tdmpc2', request.trust)
    return tdmpc2.build(model, path.name, _pixels(robot), robot.horizon)


def _vjepa2(request: Request, robot: Robot) -> ModelSource:
    folder = _needed(request.checkpoint, '--checkpoint')
    graph, side, latent = vjepa2.encoder_source(vjepa2.read_encoder(folder))
    source = module.describe(
        graph, latent, module.make(_needed(request.predictor, '--predictor')), goal_encoder=None,
        horizon=robot.horizon or HORIZON, image={'width': side, 'height': side},
        step_size=robot.step_size, proprioception=robot.state_size,
        origin=f'V-JEPA 2 ({folder.name}) and {request.predictor}')
    return replace(source, note=vjepa2.TOKENS)


def _vjepa2_ac(request: Request, robot: Robot) -> ModelSource:
    return vjepa2.build_ac(_needed(request.repo, '--repo'),
                           _needed(request.checkpoint, '--checkpoint'), request.trust)


def _module(request: Request, robot: Robot) -> ModelSource:
    return module.build_from_paths(
        _needed(request.encoder, '--encoder'), _needed(request.predictor, '--predictor'),
        request.goal_encoder, request.checkpoint, request.trust,
        horizon=robot.horizon or HORIZON, image=robot.picture, step_size=robot.step_size,
        proprioception=robot.state_size)


def _pixels(robot: Robot) -> Pixels:
    return Pixels(**(robot.pixels or {}))


def _needed(value: T | None, option: str) -> T:
    if value is None:
        raise ExportError(f'give {option}')
    return value


FAMILIES: dict[str, Callable[[Request, Robot], ModelSource]] = {
    'lewm': _joint_embedding('lewm'),
    'pldm': _joint_embedding('pldm'),
    'dino-wm': _dino_wm,
    'tdmpc2': _tdmpc2,
    'vjepa2': _vjepa2,
    'vjepa2-ac': _vjepa2_ac,
    'module': _module,
}
