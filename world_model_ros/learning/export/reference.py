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
"""Torch's answer: what golden vectors record and the runtime is measured against.

Everything here is computed by the modules themselves and by arithmetic written for this purpose, so
that a mistake of the runtime (an action paired with the wrong frame, a pose turned the wrong way)
shows as a difference.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_model_ros.bundle import ActionContract, Manifest
from world_model_ros.bundle.graphs import (
    GrowingPredictor,
    WindowPredictor,
)
from world_model_ros.bundle.inputs import PoseProprioception
from world_model_ros.bundle.latent import Distance, DistanceCost, ReturnCost
from world_model_ros.learning.export.graphs import GraphSource, outputs_of

Float = NDArray[np.float32]


class Reference:
    """A model in torch that speaks physical units, as the runtime does."""

    def __init__(self, graphs: Mapping[str, GraphSource], manifest: Manifest) -> None:
        """`manifest` is the one that the bundle will have."""
        self._modules = {name: source.module.eval() for name, source in graphs.items()}
        self._inputs = {name: tuple(source.inputs) for name, source in graphs.items()}
        self._manifest = manifest

    def encode(self, image: NDArray[np.uint8] | None, proprioception: Float | None) -> Float:
        """Latents [n, *S] of pictures uint8 [n, h, w, 3] and states [n, P] in physical units."""
        return self._encode('encoder', image, proprioception)

    def encode_goal(self, image: NDArray[np.uint8] | None, proprioception: Float | None) -> Float:
        """Goals [n, *G]."""
        encoder = self._manifest.graphs.goal_encoder
        if encoder is None:
            return self._encode('encoder', image, proprioception)
        return self._encode('goal_encoder', image,
                            proprioception if encoder.proprioception else None)

    @torch.no_grad()
    def policy(self, latent: Float) -> Float:
        """Actions [n, rows, A] in physical units for latents [n, *S]."""
        action = self._manifest.action
        normalized = self._modules['policy'](torch.from_numpy(latent)).numpy()
        mean, std = _affine(action)
        rows = normalized.reshape(len(latent), action.rows_per_step, action.size)
        physical: Float = (rows * std + mean).astype(np.float32)
        return physical

    @torch.no_grad()
    def imagine(
        self, context: Float, past_actions: Float | None, actions: Float,
        proprioception: Float | None,
    ) -> Float:
        """Latents [m, H, *S] after each model step.

        context: [history, *S], oldest first; past_actions: [(history - 1) R, A] between them;
        actions: [m, H R, A]; proprioception: [history, P]. All numbers physical.
        """
        manifest, count = self._manifest, len(actions)
        dynamics = manifest.graphs.dynamics
        past = (np.zeros((0, actions.shape[-1]), np.float32) if past_actions is None
                else past_actions)
        plan = self._steps(actions)
        before = self._steps(np.broadcast_to(past, (count, *past.shape)))
        frames = torch.from_numpy(context).expand(count, *context.shape)
        states = self.states(proprioception, actions)
        if manifest.graphs.rollout is not None:
            module = self._modules['rollout']
            inputs = ([frames[:, -1], plan] if dynamics.kind == 'markov'
                      else [frames, before, plan])
            if states is not None:
                inputs.append(states[:, :-1])
            return _numpy(outputs_of(module, *inputs)[0])
        return self._loop(frames, before, plan, states)

    def costs(self, context: Float, goal: Float | None, latents: Float, actions: Float) -> Float:
        """Costs [m] of imagined latents [m, H, *S] toward a goal [*G], or of their return."""
        cost = self._manifest.cost
        if isinstance(cost, ReturnCost):
            return self._negative_return(cost, context[-1], latents, self._steps(actions))
        assert isinstance(cost, DistanceCost)
        assert goal is not None
        total = np.zeros(len(latents))
        for term in cost.terms:
            steps = _distance(self._manifest, term, latents, goal)
            reduced = {'last': steps[:, -1], 'mean': steps.mean(1), 'all': steps.sum(1)}
            total += term.weight * reduced[term.steps]
        return total.astype(np.float32)

    def states(self, observed: Float | None, actions: Float) -> Tensor | None:
        """States before each model step and after the last, normalised: [m, history + H, P].

        observed: [history, P] and actions: [m, H R, A] in physical units. None where rollouts take
        no state.
        """
        proprioception = self._manifest.proprioception
        if proprioception is None or not proprioception.is_input:
            return None
        assert observed is not None
        action = self._manifest.action
        state = np.repeat(observed[None, -1].astype(np.float64), len(actions), 0)
        states = [np.broadcast_to(row, state.shape) for row in observed.astype(np.float64)]
        for index in range(actions.shape[1]):
            row = actions[:, index].astype(np.float64)
            if isinstance(proprioception, PoseProprioception):
                state = _move_pose(state, row, action)
            elif proprioception.rule == 'integrate_joints':
                state = _move_joints(state, row, action, proprioception.joints,
                                     proprioception.fields)
            if (index + 1) % action.rows_per_step == 0:
                states.append(state)
        return self._normalized_state(np.stack(states, 1))

    @torch.no_grad()
    def _encode(
        self, graph: str, image: NDArray[np.uint8] | None, proprioception: Float | None
    ) -> Float:
        seen = {}
        if image is not None:
            seen['image'] = torch.from_numpy(image)
        if proprioception is not None:
            seen['proprioception'] = self._normalized_state(proprioception)
        inputs = [seen[name].split(1) for name in self._inputs[graph]]
        # One by one: a picture's latent must not depend on its neighbours in the batch.
        outputs = [outputs_of(self._modules[graph], *row)[0] for row in zip(*inputs, strict=True)]
        return _numpy(torch.cat(outputs))

    def _loop(self, frames: Tensor, before: Tensor, plan: Tensor, states: Tensor | None) -> Float:
        dynamics, module = self._manifest.graphs.dynamics, self._modules['predictor']
        latents = list(frames.unbind(1))
        observed = len(latents)
        actions = [*before.unbind(1), *plan.unbind(1)]
        carried = ([torch.zeros(len(frames), *shape) for shape in dynamics.states.values()]
                   if dynamics.kind == 'recurrent' else [])
        for step in range(plan.shape[1]):
            now = observed + step
            if dynamics.kind in ('markov', 'recurrent'):
                inputs = [latents[-1], actions[now - 1]]
                if states is not None:
                    inputs.append(states[:, now - 1])
            else:
                assert isinstance(dynamics, WindowPredictor | GrowingPredictor)
                first = max(0, now - dynamics.length)
                inputs = [torch.stack(latents[first:], 1), torch.stack(actions[first:now], 1)]
                if states is not None:
                    inputs.append(states[:, first:now])
            predicted, *carried = outputs_of(module, *inputs, *carried)
            latents.append(predicted)
        return _numpy(torch.stack(latents[observed:], 1))

    @torch.no_grad()
    def _negative_return(
        self, cost: ReturnCost, start: Float, latents: Float, plan: Tensor
    ) -> Float:
        total = torch.zeros(len(latents), dtype=torch.float64)
        before = torch.from_numpy(start).expand(len(latents), *start.shape)
        for step in range(plan.shape[1]):
            reward = self._modules['reward'](before, plan[:, step])
            total += cost.discount ** step * reward.double()
            before = torch.from_numpy(latents[:, step])
        total += cost.discount ** plan.shape[1] * self._modules['value'](before).double()
        return -_numpy(total)

    def _steps(self, actions: Float) -> Tensor:
        """Physical rows [m, H R, A] as the model's steps [m, H, K]."""
        action = self._manifest.action
        mean, std = _affine(action)
        rows = torch.from_numpy(((actions - mean) / std).astype(np.float32))
        return rows.reshape(len(actions), -1, action.step_size)

    def _normalized_state(self, state: NDArray[np.floating]) -> Tensor:
        proprioception = self._manifest.proprioception
        assert proprioception is not None
        mean, std = (np.array(part) for part in (proprioception.normalization.mean,
                                                 proprioception.normalization.std))
        return torch.from_numpy(((state - mean) / std).astype(np.float32))


def _distance(manifest: Manifest, term: Distance, latents: Float, goal: Float) -> Float:
    """Distances [m, H] in double precision."""
    part = latents[..., manifest.latent.parts[term.source].indices].astype(np.float64)
    wanted = goal[..., manifest.goal_indices(term.source)].astype(np.float64)
    difference = part - wanted
    if term.metric in ('l1', 'squared_l2'):
        entries = np.abs(difference) if term.metric == 'l1' else difference**2
        axes = tuple(range(2, entries.ndim))
    else:
        if term.metric == 'l2':
            entries = np.sqrt((difference**2).sum(-1))
        else:
            lengths = np.linalg.norm(part, axis=-1) * np.linalg.norm(wanted, axis=-1)
            entries = 1.0 - (part * wanted).sum(-1) / lengths
        axes = tuple(range(2, entries.ndim))
    if not axes:
        return np.asarray(entries)
    return np.asarray(entries.mean(axes) if term.reduction == 'mean' else entries.sum(axes))


def _move_joints(
    state: NDArray[np.float64], row: NDArray[np.float64], action: ActionContract,
    joints: tuple[str, ...], fields: tuple[str, ...],
) -> NDArray[np.float64]:
    moved = state.copy()
    if 'velocity' in fields:
        start = fields.index('velocity') * len(joints)
        moved[:, start:start + len(joints)] = 0.0  # joints that nothing drives stand still
    for column, name in enumerate(action.names):
        position = fields.index('position') * len(joints) + joints.index(name)
        before = state[:, position]
        if action.kind == 'joint_position':
            moved[:, position] = row[:, column]
        elif action.kind == 'joint_delta':
            moved[:, position] = before + row[:, column]
        else:
            moved[:, position] = before + row[:, column] * action.step_duration
        if 'velocity' in fields:
            velocity = fields.index('velocity') * len(joints) + joints.index(name)
            moved[:, velocity] = (moved[:, position] - before) / action.step_duration
    return moved


def _move_pose(
    pose: NDArray[np.float64], row: NDArray[np.float64], action: ActionContract
) -> NDArray[np.float64]:
    """V-JEPA 2-AC's convention: the rotation multiplies from the left, the rest adds up."""
    delta = row * action.step_duration if action.kind == 'twist' else row
    turn = _turn(delta[:, 3:6]) if action.kind == 'twist' else _rotation(delta[:, 3:6])
    moved = pose + delta
    turned = turn @ _rotation(pose[:, 3:6])
    moved[:, 3] = np.arctan2(turned[:, 2, 1], turned[:, 2, 2])
    moved[:, 4] = np.arcsin(np.clip(-turned[:, 2, 0], -1.0, 1.0))
    moved[:, 5] = np.arctan2(turned[:, 1, 0], turned[:, 0, 0])
    moved[:, 6:] = np.clip(moved[:, 6:], 0.0, 1.0)
    return moved


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices [m, 3, 3] of extrinsic rotations [m, 3] about x, then y, then z."""
    matrices = []
    for axis in range(3):
        cosine, sine = np.cos(angles[:, axis]), np.sin(angles[:, axis])
        matrix = np.tile(np.eye(3), (len(angles), 1, 1))
        after, last = (axis + 1) % 3, (axis + 2) % 3
        matrix[:, after, after] = matrix[:, last, last] = cosine
        matrix[:, after, last], matrix[:, last, after] = -sine, sine
        matrices.append(matrix)
    return matrices[2] @ matrices[1] @ matrices[0]


def _turn(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrices [m, 3, 3] of rotations about axes [m, 3] by their lengths, by series."""
    skew = np.zeros((len(vectors), 3, 3))
    x, y, z = vectors.T
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -z, y, -x
    skew -= skew.transpose(0, 2, 1)
    total = term = np.tile(np.eye(3), (len(vectors), 1, 1))
    for order in range(1, 25):
        term = term @ skew / order
        total = total + term
    return total


def _affine(action: ActionContract) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.array(action.normalization.mean), np.array(action.normalization.std)


def _numpy(tensor: Tensor) -> Float:
    return np.ascontiguousarray(tensor.numpy(), np.float32)
