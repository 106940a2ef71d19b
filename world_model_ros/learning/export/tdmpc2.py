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
"""TD-MPC2 of stable-worldmodel: no goal, but a reward, a value and a policy (Hansen et al., 2024).

A plan is worth the discounted rewards along the horizon plus the value of where it ends. The value
graph asks the policy for an action there and holds the ensemble's doubt against it, as the
package's own planner does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from world_model_ros.learning.export.graphs import ExportError, GraphSource, example_pictures
from world_model_ros.learning.export.pixels import Pixels
from world_model_ros.learning.export.source import ModelSource

# The authors' config.yaml. Its temperature of 0.5 multiplies returns; here it divides costs.
PLANNER: dict[str, Any] = {
    'sampler': 'mppi', 'temperature': 2.0, 'samples': 512, 'iterations': 6, 'elites': 64,
    'policy_samples': 24, 'sigma': 2.0, 'sigma_min': 0.05, 'momentum': 0.0}


class Encoder(nn.Module):
    """Picture uint8 `[B, H, W, 3]` and/or state `[B, P]` to SimNorm latent `[B, D]`."""

    def __init__(self, model: Any, states: dict[str, int], pixels: Pixels) -> None:
        super().__init__()
        self.pixels = pixels
        self.model: Any = model
        self.states = states

    def forward(self, image: Tensor | None, proprioception: Tensor | None = None) -> Tensor:
        seen: dict[str, Tensor] = {}
        if image is not None:
            seen['pixels'] = self.pixels(image)
        if proprioception is not None:
            parts = proprioception.split(list(self.states.values()), dim=-1)
            seen.update(zip(self.states, parts, strict=True))
        encoded: Tensor = self.model.encode(seen)
        return encoded


class StateEncoder(nn.Module):
    """State `[B, P]` to latent `[B, D]`, for models without pictures."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, proprioception: Tensor) -> Tensor:
        encoded: Tensor = self.encoder(None, proprioception)
        return encoded


class Rollout(nn.Module):
    """`latent [B, D]` and `actions [B, H, A]` to `latents [B, H, D]`."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.dynamics: Any = model.dynamics

    def forward(self, latent: Tensor, actions: Tensor) -> Tensor:
        latents = []
        for action in actions.unbind(dim=1):
            latent = self.dynamics(torch.cat([latent, action], dim=-1))
            latents.append(latent)
        return torch.stack(latents, dim=1)


class _TwoHot(nn.Module):
    """Logits over bins of symlog values to numbers (Hafner et al., 2023, eq. 9 and 10)."""

    bins: Tensor

    def __init__(self, settings: Any) -> None:
        super().__init__()
        self.register_buffer(
            'bins', torch.linspace(settings.wm.vmin, settings.wm.vmax, settings.wm.num_bins))

    def forward(self, logits: Tensor) -> Tensor:
        symlog = (logits.softmax(dim=-1) * self.bins).sum(dim=-1)
        return symlog.sign() * (symlog.abs().exp() - 1.0)


class Reward(nn.Module):
    """`latent [B, D]` and `action [B, A]` to the expected `reward [B]`."""

    def __init__(self, model: Any, settings: Any) -> None:
        super().__init__()
        self.head: Any = model.reward
        self.number = _TwoHot(settings)

    def forward(self, latent: Tensor, action: Tensor) -> Tensor:
        reward: Tensor = self.number(self.head(torch.cat([latent, action], dim=-1)))
        return reward


class Policy(nn.Module):
    """`latent [B, D]` to the policy's mean `action [B, A]`, inside [-1, 1]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.head: Any = model.pi

    def forward(self, latent: Tensor) -> Tensor:
        mean: Tensor = self.head(latent).chunk(2, dim=-1)[0]
        return mean.tanh()


class Value(nn.Module):
    """`latent [B, D]` to a `value [B]` that the ensemble's disagreement lowers."""

    def __init__(self, model: Any, settings: Any) -> None:
        super().__init__()
        self.policy = Policy(model)
        self.critics: Any = model.qs
        self.number = _TwoHot(settings)
        self.penalty = float(settings.wm.get('uncertainty_penalty', 0.5))

    def forward(self, latent: Tensor) -> Tensor:
        both = torch.cat([latent, self.policy(latent)], dim=-1)
        values = torch.stack([self.number(critic(both)) for critic in self.critics])
        mean = values.mean(dim=0)
        # Bessel's correction, as torch.std has it; written out because exporters differ in it.
        spread = ((values - mean) ** 2).sum(dim=0) / max(1, len(self.critics) - 1)
        value: Tensor = mean - self.penalty * mean.abs() * spread.sqrt()
        return value


def build(model: Any, name: str, pixels: Pixels, horizon: int | None) -> ModelSource:
    """Graphs of a TD-MPC2; the horizon is the one that it was trained with, unless given."""
    try:
        settings: Any = model.cfg
        encoding = list(settings.wm.encoding)
        actions, width = int(settings.action_dim), int(model.latent_dim)
        steps = int(horizon or settings.wm.horizon)
        discount = float(settings.wm.get('discount', 0.99))
        pictures = 'pixels' in encoding
        side = int(settings.image_size) if pictures else 0
        # The model walks over its own encoders, in their order.
        states = {key: int(settings.extra_dims[key]) for key in model.extra_encoders}
    except (AttributeError, KeyError) as error:
        raise ExportError(f'{name}: {error}: the model is not built as in stable-worldmodel 0.1.1; '
                          'export it with "wmros export module"') from error
    generator = torch.Generator().manual_seed(0)
    inputs: dict[str, Tensor] = {}
    if pictures:
        inputs['image'] = example_pictures((side, side, 3), generator)
    if states:
        inputs['proprioception'] = torch.randn(2, sum(states.values()), generator=generator)
    encoder: nn.Module = Encoder(model, states, pixels)
    if not pictures:
        encoder = StateEncoder(encoder)
    encoder = encoder.eval()
    with torch.no_grad():
        latent = encoder(*inputs.values())
    plan = torch.rand(2, steps, actions, generator=generator) * 2 - 1
    one = {'latent': latent, 'action': plan[:, 0]}
    return ModelSource(
        identity={'source': f'stable-worldmodel, {type(model).__name__}'},
        image={'width': side, 'height': side} if pictures else None,
        proprioception=sum(states.values()), rule='none', step_size=actions,
        latent={'shape': [width], 'parts': {'all': {'start': 0, 'stop': width}}},
        graphs={
            'encoder': GraphSource(encoder, inputs, ['latent']),
            'rollout': GraphSource(
                Rollout(model), {'latent': latent, 'actions': plan}, ['latents']),
            'reward': GraphSource(Reward(model, settings), one, ['reward']),
            'value': GraphSource(Value(model, settings), {'latent': latent}, ['value']),
            'policy': GraphSource(Policy(model), {'latent': latent}, ['action']),
        },
        entries={'rollout': {'kind': 'markov'}},
        cost={'objective': 'return', 'discount': discount},
        goal=None, planner={**PLANNER, 'horizon': steps}, largest_action=1.0,
    )
