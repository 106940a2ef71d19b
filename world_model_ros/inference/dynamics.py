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
"""Imagination: one small class for each way in which a bundle predicts the next latents.

All take a context and normalised actions of B sequences, and yield blocks of latents [B, h, *S],
oldest first: the whole horizon at once where one graph imagines it, one step at a time where the
runtime loops, so that whoever adds up costs never needs all latents of all sequences.

Where the runtime loops, what sequences have in common is imagined once: the steps that a robot is
committed to, or those before the one action in which the sequences of a refinement differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Manifest
from world_model_ros.bundle.graphs import (
    GrowingPredictor,
    MarkovPredictor,
    MarkovRollout,
    RecurrentPredictor,
    WindowPredictor,
    WindowRollout,
)
from world_model_ros.inference.context import Context
from world_model_ros.inference.interface import state_size
from world_model_ros.inference.open_graphs import OpenGraphs

Float = NDArray[np.float32]
Index = NDArray[np.intp] | slice
FLOAT_BYTES = 4

_ALL = slice(None)


@dataclass(frozen=True)
class Start:
    """Normalised beginning of a rollout of B sequences from T observations.

    latents: [T, *S]
    past: [T - 1, K], the actions between them
    past_states: [T - 1, P], of the observations before the last, if the graph takes states
    states: [B, H + 1, P], before each step and after the last, if the graph takes states
    recurrent: state tensors [*shape] by name
    """

    latents: Float
    past: Float
    past_states: Float | None
    states: Float | None
    recurrent: Mapping[str, Float]


class Dynamics(Protocol):
    """Imagines what actions lead to."""

    def blocks(self, start: Start, actions: Float) -> Iterator[Float]:
        """Latents [B, h, *S] after actions [B, H, K], in blocks that add up to H steps."""

    def bytes_per_sequence(self, steps: int) -> int:
        """Memory that the tensors of one sequence of so many steps take at their most."""


def dynamics_of(manifest: Manifest, graphs: OpenGraphs) -> Dynamics:
    """The way in which a bundle predicts."""
    dynamics = manifest.graphs.dynamics
    if manifest.graphs.rollout is not None:
        if isinstance(dynamics, WindowRollout):
            return WindowRolloutGraph(manifest, graphs, dynamics.length)
        return MarkovRolloutGraph(manifest, graphs)
    if isinstance(dynamics, WindowPredictor | GrowingPredictor):
        return ContextLoop(manifest, graphs, dynamics.length)
    if isinstance(dynamics, RecurrentPredictor):
        return StepLoop(manifest, graphs, dynamics.states)
    assert isinstance(dynamics, MarkovRollout | MarkovPredictor)
    return StepLoop(manifest, graphs, {})


def _repeat(value: Float, batch: int) -> Float:
    """The same for each of the batch, without a copy."""
    return np.broadcast_to(value, (batch, *value.shape))


class MarkovRolloutGraph:
    """One call imagines the horizon from one latent."""

    def __init__(self, manifest: Manifest, graphs: OpenGraphs) -> None:
        self._graphs = graphs
        self._size = manifest.latent.size

    def blocks(self, start: Start, actions: Float) -> Iterator[Float]:
        """See `Dynamics`."""
        batch, steps = actions.shape[:2]
        feeds = {'latent': _repeat(start.latents[-1], batch), 'actions': actions}
        if start.states is not None:
            feeds['states'] = start.states[:, :steps]
        yield self._graphs.run('rollout', feeds)['latents']

    def bytes_per_sequence(self, steps: int) -> int:
        """Start, horizon, and differences of the horizon to the goal."""
        return FLOAT_BYTES * self._size * (1 + 2 * steps)


class WindowRolloutGraph:
    """One call imagines the horizon from a full window.

    While fewer latents were observed, the oldest is repeated, as if the robot had stood still.
    """

    def __init__(self, manifest: Manifest, graphs: OpenGraphs, length: int) -> None:
        self._graphs, self._length = graphs, length
        self._size = manifest.latent.size

    def blocks(self, start: Start, actions: Float) -> Iterator[Float]:
        """See `Dynamics`; `start` holds `length` observations."""
        batch, steps = actions.shape[:2]
        feeds = {'context': _repeat(start.latents, batch), 'actions': actions,
                 'past_actions': _repeat(start.past, batch)}
        if start.states is not None and start.past_states is not None:
            feeds['states'] = np.concatenate(
                [_repeat(start.past_states, batch), start.states[:, :steps]], axis=1)
        yield self._graphs.run('rollout', feeds)['latents']

    def bytes_per_sequence(self, steps: int) -> int:
        """Window, horizon, and differences of the horizon to the goal."""
        return FLOAT_BYTES * self._size * (self._length + 2 * steps)


class ContextLoop:
    """Predicts step by step from the latents so far, at most `length` of them.

    Contexts are put together in NumPy, also where the graph computes in another memory: ONNX
    Runtime joins no tensors outside of graphs.
    """

    def __init__(self, manifest: Manifest, graphs: OpenGraphs, length: int) -> None:
        self._graphs, self._length = graphs, length
        self._size, self._history = manifest.latent.size, manifest.history

    def blocks(self, start: Start, actions: Float) -> Iterator[Float]:
        """See `Dynamics`."""
        batch, steps = actions.shape[:2]
        observed = len(start.latents)
        context = start.latents[None]
        rows = np.concatenate([_repeat(start.past, batch), actions], axis=1)
        states = None
        if start.states is not None and start.past_states is not None:
            states = np.concatenate([_repeat(start.past_states, batch), start.states], axis=1)
        for step, (before, example, which) in enumerate(beginnings(actions)):
            context = context[before]
            end = observed + step
            window = slice(end - context.shape[1], end)
            feeds = {'context': context, 'actions': rows[example, window]}
            if states is not None:
                feeds['states'] = states[example, window]
            latents = self._graphs.run('predictor', feeds)['next_latent'][:, None]
            yield latents[which]
            if step + 1 < steps:
                kept = min(context.shape[1], self._length - 1)
                context = np.concatenate([context[:, context.shape[1] - kept:], latents], axis=1)

    def bytes_per_sequence(self, steps: int) -> int:
        """Two contexts while one is made from the other, the step, and its difference."""
        longest = min(self._length, self._history + steps - 1)
        return FLOAT_BYTES * self._size * (2 * longest + 2)


class StepLoop:
    """Predicts step by step from the last latent and the state tensors, of which there may be none.

    Where the graph computes in another memory than NumPy's, latent and states stay there from step
    to step, and only what is yielded is fetched.
    """

    def __init__(
        self, manifest: Manifest, graphs: OpenGraphs, shapes: Mapping[str, tuple[int, ...]],
        bound: bool | None = None,
    ) -> None:
        """`bound` overrides whether tensors stay on the device, which any provider can do."""
        self._graphs = graphs
        self._bound = graphs.on_device('predictor') if bound is None else bound
        self._names = tuple(shapes)
        self._numbers = manifest.latent.size + sum(int(np.prod(s)) for s in shapes.values())
        self._takes_state = state_size(manifest) > 0

    def blocks(self, start: Start, actions: Float) -> Iterator[Float]:
        """See `Dynamics`."""
        for values, which in self._steps(start, actions):
            yield _fetched(values['next_latent'])[which, None]

    def _steps(self, start: Start, actions: Float) -> Iterator[tuple[Mapping[str, Any], Index]]:
        """Outputs of each step, arrays or tensors on the device, and which of them a sequence has.

        What is on the device is not taken apart there: each sequence is imagined on its own.
        """
        run = self._graphs.run_bound if self._bound else self._graphs.run
        carried: dict[str, Any] = {'latent': start.latents[-1][None]}
        carried |= {f'state.{name}': start.recurrent[name][None] for name in self._names}
        parting = _apart(actions) if self._bound else beginnings(actions)
        for step, (before, example, which) in enumerate(parting):
            feeds = {name: value if before is _ALL else value[before]
                     for name, value in carried.items()}
            feeds['action'] = actions[example, step]
            if self._takes_state and start.states is not None:
                feeds['proprioception'] = start.states[example, step]
            values: Mapping[str, Any] = run('predictor', feeds)
            yield values, which
            carried = {'latent': values['next_latent'],
                       **{f'state.{name}': values[f'next.{name}'] for name in self._names}}

    def path(self, start: Start, actions: Float) -> tuple[Float, dict[str, Float]]:
        """Latents [H, *S] of one sequence of actions [1, H, K], and state tensors behind them."""
        latents: list[Float] = []
        values: Mapping[str, Any] = {}
        for values, _ in self._steps(start, actions):
            latents.append(_fetched(values['next_latent'])[0])
        return np.stack(latents), {
            name: _fetched(values[f'next.{name}'])[0] for name in self._names}

    def bytes_per_sequence(self, steps: int) -> int:
        """Latent and states before and after a step, and the difference to the goal."""
        return FLOAT_BYTES * 3 * self._numbers


def beginnings(actions: Float) -> Iterator[tuple[Index, Index, Index]]:
    """What sequences [B, H, K] have in common, for each step.

    Of each of the n different beginnings up to the step: where it is among those of the step before
    (one, before the first), and a sequence that begins so; and which of them each of the B has.
    """
    batch, steps = actions.shape[:2]
    which = np.zeros(batch, np.intp)
    for step in range(steps):
        # Equal to the last bit.
        seen = np.ascontiguousarray(actions[:, :step + 1]).reshape(batch, -1)
        keys = seen.view(np.dtype((np.void, seen.strides[0]))).ravel()
        _, example, now = np.unique(keys, return_index=True, return_inverse=True)
        if len(example) == batch:  # for good
            yield which, _ALL, _ALL
            yield from [(_ALL, _ALL, _ALL)] * (steps - step - 1)
            return
        yield which[example], example, now
        which = now


def _apart(actions: Float) -> Iterator[tuple[Index, Index, Index]]:
    """As `beginnings`, of sequences that have nothing in common."""
    yield np.zeros(len(actions), np.intp), _ALL, _ALL
    for _ in range(1, actions.shape[1]):
        yield _ALL, _ALL, _ALL


def _fetched(value: Any) -> Float:
    fetched: Float = value if isinstance(value, np.ndarray) else value.numpy()
    return fetched


def window_of(context: Context, length: int, idle: Float, rows_per_step: int) -> Context:
    """A context of exactly `length` observations: the oldest repeated, or the newest alone."""
    missing = length - len(context.latents)
    if missing == 0:
        return context
    if missing < 0:
        drop = -missing
        state = context.proprioception
        return Context(context.latents[drop:], context.past_actions[drop * rows_per_step:],
                       None if state is None else state[drop:], context.states)

    def padded(values: Float) -> Float:
        return np.concatenate([np.repeat(values[:1], missing, axis=0), values])

    past = np.concatenate([np.tile(idle, (missing * rows_per_step, 1)), context.past_actions])
    state = context.proprioception
    return Context(padded(context.latents), past.astype(np.float32, copy=False),
                   None if state is None else padded(state), context.states)
