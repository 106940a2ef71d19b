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
"""What an exporter knows of a model before any robot is in sight: the common form of all families.

A family's module builds a `ModelSource` from a checkpoint; `robot` adds what no checkpoint knows;
`assemble` writes the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from world_model_ros.learning.export.graphs import GraphSource


@dataclass(frozen=True)
class ModelSource:
    """Graphs in torch and the manifest's sections that follow from the model."""

    identity: Mapping[str, str]
    """What is known of `model`: its source."""
    image: Mapping[str, Any] | None
    """Width and height, and what else the model fixes; None for a model without pictures."""
    proprioception: int
    """Numbers that the encoder or the predictor take, P; 0 for none."""
    rule: str
    """How the proprioception goes on in a rollout; `ask` if the model leaves that open."""
    step_size: int
    """Numbers in one model step, K."""
    latent: Mapping[str, Any]
    """Shape and parts."""
    graphs: Mapping[str, GraphSource]
    """By their names in the manifest."""
    entries: Mapping[str, Mapping[str, Any]]
    """Manifest keys of a graph beside its file, such as the kind of a rollout."""
    cost: Mapping[str, Any]
    """The manifest's section."""
    goal: Mapping[str, Any] | None
    """Distance in which goals are measured, without `reached`; None for returns."""
    planner: Mapping[str, Any]
    """Published settings of the search."""
    action: Mapping[str, Any] = field(default_factory=dict)
    """What the family fixes of the action contract (V-JEPA 2-AC: nearly all)."""
    largest_action: float | None = None
    """Largest normalised action that the model knows (TD-MPC2: 1)."""
    note: str = ''
    """A line of the export's report: what whoever made a part of the model should know."""


class StateIgnored(nn.Module):
    """An encoder that is handed the robot's state and looks at the picture alone."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor, proprioception: Tensor) -> Tensor:
        latent: Tensor = self.encoder(image)
        return latent


def with_state_for_encoder(source: ModelSource) -> ModelSource:
    """Give the encoder the state as an input where only the predictor looks at it.

    All encoders of models that know a state are called in one way.
    """
    encoder = source.graphs['encoder']
    if not source.proprioception or 'proprioception' in encoder.inputs:
        return source
    state = torch.zeros(len(encoder.inputs['image']), source.proprioception)
    taking = GraphSource(StateIgnored(encoder.module).eval(),
                         {**encoder.inputs, 'proprioception': state}, encoder.outputs)
    return replace(source, graphs={**source.graphs, 'encoder': taking})
