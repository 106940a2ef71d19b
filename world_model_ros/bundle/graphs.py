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
"""The ONNX graphs of a bundle and how the runtime must call them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_model_ros.bundle.fields import FileName, Names, PositiveInt, Section, Size, fault


class Graph(Section):
    """An ONNX file."""

    file: FileName
    """Path relative to the bundle's folder."""


class GoalEncoder(Graph):
    """Encodes a goal picture. Without this graph the encoder does, and goals are whole latents."""

    parts: Names
    """Parts of the latent that the goal holds, one after the other along the last axis."""
    proprioception: bool
    """Whether it takes the proprioception at the goal, too."""


class MarkovRollout(Graph):
    """Imagines the whole horizon in one call, from one latent."""

    kind: Literal['markov']
    """The next latent follows from the last one and the action alone."""

    @property
    def history(self) -> int:
        """Observed latents that a rollout starts from."""
        return 1


class WindowRollout(Graph):
    """Imagines the whole horizon in one call, from the last `length` latents."""

    kind: Literal['window']
    """The next latent follows from a window of latents and actions."""
    length: Annotated[int, Field(ge=2, le=64)]
    """Latents in the window [model steps]."""

    @property
    def history(self) -> int:
        """Observed latents that a rollout starts from."""
        return self.length


class MarkovPredictor(MarkovRollout):
    """Predicts one model step from one latent; the runtime loops."""


class WindowPredictor(WindowRollout):
    """Predicts one model step from the last latents, at most `length`; the runtime loops."""


class GrowingPredictor(Graph):
    """Predicts one model step from a context that grows with the rollout; the runtime loops."""

    kind: Literal['growing']
    """The next latent follows from all latents since the rollout's start."""
    length: Annotated[PositiveInt, Field(le=256)]
    """Most latents that the graph takes; beyond, the oldest drop out [model steps]."""
    history: PositiveInt
    """Observed latents that a rollout starts from [model steps]; 1 is the newest alone."""

    @model_validator(mode='after')
    def _room(self) -> Self:
        if self.history > self.length:
            raise fault('history', f'{self.history} is more than length {self.length}',
                        'choose history <= length')
        return self


class RecurrentPredictor(Graph):
    """Predicts one model step and carries state tensors; the runtime loops.

    The graph takes `state.NAME` and gives `next.NAME` for each name. States are zero when the robot
    starts to observe, and move on with each observed latent and the action that followed it.
    """

    kind: Literal['recurrent']
    """The next latent follows from the last one, the action and the state tensors."""
    states: Annotated[
        dict[Annotated[str, Field(pattern='^[A-Za-z_][A-Za-z0-9_]*$')],
             Annotated[tuple[Size, ...], Field(min_length=1, max_length=3)]],
        Field(min_length=1)]
    """Shape of each state tensor, float32, without the batch axis."""

    @property
    def history(self) -> int:
        """Observed latents that a rollout starts from."""
        return 1


Rollout = Annotated[MarkovRollout | WindowRollout, Field(discriminator='kind')]
Predictor = Annotated[
    MarkovPredictor | WindowPredictor | GrowingPredictor | RecurrentPredictor,
    Field(discriminator='kind')]


class Graphs(Section):
    """Which graphs there are: an encoder, a rollout or a predictor, and what the cost needs."""

    encoder: Graph
    """An observation's latent."""
    goal_encoder: GoalEncoder | None = None
    """A goal picture's part of a latent; absent: the encoder gives goals."""
    rollout: Rollout | None = None
    """The whole horizon in one call; a bundle has this or `predictor`."""
    predictor: Predictor | None = None
    """One model step; a bundle has this or `rollout`."""
    reward: Graph | None = None
    """Reward of an action in a latent; for the cost's objective `return`."""
    value: Graph | None = None
    """Value of a latent behind the horizon; for the cost's objective `return`."""
    policy: Graph | None = None
    """An action for a latent, as a first guess."""

    @model_validator(mode='after')
    def _one_dynamics(self) -> Self:
        if (self.rollout is None) == (self.predictor is None):
            many = 'both' if self.rollout else 'neither'
            raise fault('rollout', f'and predictor: {many} given', 'give one of them: a rollout '
                        'where the whole horizon exports as one graph, else a predictor')
        return self

    @property
    def dynamics(
        self,
    ) -> (MarkovRollout | WindowRollout | MarkovPredictor | WindowPredictor | GrowingPredictor
          | RecurrentPredictor):
        """The rollout or predictor, whichever there is."""
        dynamics = self.rollout or self.predictor
        assert dynamics is not None
        return dynamics

    def present(self) -> Iterator[tuple[str, Graph]]:
        """Name and entry of each graph that there is."""
        for name in type(self).model_fields:
            if (graph := getattr(self, name)) is not None:
                yield name, graph
