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
"""A bundle at work: the one place that knows graphs, normalisation and sessions.

The rest of the program speaks physical units and NumPy. A model that does not do here what it did
where it was exported is refused when it is loaded, not when the robot moves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Bundle, BundleError, DistanceCost, Fault, ReturnCost
from world_model_ros.bundle.graphs import WindowRollout
from world_model_ros.inference.context import Context, first_context, idle_row
from world_model_ros.inference.costs import (
    DistanceTally,
    ReturnTally,
    Scores,
    Tally,
    check_goal,
    measure,
)
from world_model_ros.inference.dynamics import (
    FLOAT_BYTES,
    Start,
    StepLoop,
    dynamics_of,
    window_of,
)
from world_model_ros.inference.errors import InferenceError
from world_model_ros.inference.integration import integration
from world_model_ros.inference.joint_target import (
    JointTarget,
    check_joint_target,
    joint_distance,
    joint_scores,
)
from world_model_ros.inference.memory import resident_bytes, sequences_within
from world_model_ros.inference.open_graphs import OpenGraphs
from world_model_ros.inference.proof import golden_sequences, golden_start, prove
from world_model_ros.inference.providers import RuntimeSettings, choose
from world_model_ros.inference.sessions import Progress, ProviderError, announcing
from world_model_ros.inference.units import ActionUnits, Affine, image_for_graph

Float = NDArray[np.float32]


class WorldModel:
    """Encodes observations and goals, imagines what actions lead to, and says what that costs.

    Actions are rows [N, h * rows_per_step, A] in physical units everywhere. Calls may come from
    several threads; `interrupt` ends them.
    """

    def __init__(
        self, bundle: Bundle, settings: RuntimeSettings | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        """Open the graphs, compare them with the manifest and run the golden vectors.

        `progress` is told what takes long. Raises BundleError.
        """
        self.bundle = bundle
        self.manifest = manifest = bundle.manifest
        try:
            self.backend = choose(bundle.digest, settings or RuntimeSettings())
        except ProviderError as error:
            fault = Fault('provider', error.problem, error.cure)
            raise BundleError(bundle.path, [fault]) from error
        self._graphs = OpenGraphs(bundle, self.backend, progress)
        self._dynamics = dynamics_of(manifest, self._graphs)
        self._actions = ActionUnits(manifest.action)
        state = manifest.proprioception
        self._state_units = Affine(state.normalization) if state else None
        self._integrate = integration(manifest)
        self._goal_distance = measure(manifest, manifest.goal) if manifest.goal else None
        self._chunk = self._fit_memory()
        self.golden_errors = prove(self)
        if self.backend.provider != 'cpu':
            with announcing(progress, "warming up at the planner's batch size"):
                self._warm_up()

    def encode(self, image: NDArray[np.uint8] | None, proprioception: Float | None) -> Float:
        """Latent [*S] of an observation.

        image: uint8 RGB of shape `image.shape`, cropped and resized as the bundle says; None if the
            model sees none
        proprioception: float32 [P], ordered as the bundle says; None if the model knows none
        Raises InferenceError for a wrong shape or type, or numbers that are not finite.
        """
        has_state = self.manifest.proprioception is not None
        return self._encode('encoder', 'latent', image, proprioception, has_state)

    def encode_goal(
        self, image: NDArray[np.uint8] | None, proprioception: Float | None = None,
    ) -> Float:
        """Goal [*G] of an observation there; arguments as in `encode`.

        The proprioception at the goal is needed only where the bundle's goal encoder takes it.
        """
        if not self.manifest.has_goal:
            raise InferenceError(f'{self.manifest.model.name} has no goals: its cost is a return')
        encoder = self.manifest.graphs.goal_encoder
        if encoder is None:
            return self.encode(image, proprioception)
        return self._encode('goal_encoder', 'goal', image, proprioception, encoder.proprioception)

    def context(self, latent: Float, proprioception: Float | None = None) -> Context:
        """The context of one observation with nothing before it; see `ContextBuffer` for more."""
        return first_context(self.manifest, latent, proprioception)

    def score(
        self, context: Context, goal: Float | JointTarget | None, actions: Float,
        residuals: bool = False,
    ) -> Scores:
        """Costs of imagined action sequences [N, H * rows_per_step, A], toward a goal [*G].

        Imagined in chunks that keep to the manifest's memory, whose latents are not kept; toward a
        joint target nothing is imagined. Failed sequences cost infinity. `residuals` asks for what
        the costs are made of. Raises InferenceError.
        """
        if isinstance(goal, JointTarget):
            self.check_joint_target(goal)
        else:
            check_goal(self.manifest, goal)
        with self._graphs.call():
            chunks = [self._score_chunk(context, goal, part, residuals)
                      for part in self._chunks(actions)]
        if len(chunks) == 1:
            return chunks[0]
        cheapest = min(chunks, key=lambda chunk: float(chunk.costs.min()))
        found = [chunk.residuals for chunk in chunks if chunk.residuals is not None]
        return Scores(np.concatenate([chunk.costs for chunk in chunks]),
                      np.concatenate([chunk.steps for chunk in chunks]), cheapest.latents,
                      np.concatenate(found) if found else None, cheapest.roots)

    def imagine(self, context: Context, actions: Float) -> Float:
        """Latents [N, h, *S] after each model step of action sequences [N, h * rows_per_step, A].

        h is at most the planner's horizon. The result is not checked for NaN: whoever looks at
        the sequences decides what a failed one is worth. Raises InferenceError.
        """
        with self._graphs.call():
            return np.concatenate([
                self._imagined(context, part) for part in self._chunks(actions)])

    def advance(self, context: Context, actions: Float) -> Context:
        """Move a context on by actions [h * rows_per_step, A], without an observation.

        The planner's way over what the robot is already committed to. h is at most the planner's
        horizon. Raises InferenceError.
        """
        self._check(actions[None])
        states: dict[str, Float] = {}
        with self._graphs.call():
            if isinstance(self._dynamics, StepLoop):
                imagined, states = self._dynamics.path(*self._start(context, actions[None]))
            else:
                imagined = self._imagined(context, actions[None])[0]
        later = None
        if context.proprioception is not None:
            later = np.repeat(context.proprioception[-1:], len(imagined), axis=0)
            if self._integrate is not None:
                later = self._integrate(context.proprioception[-1], actions[None])[0, 1:].astype(
                    np.float32)
            later = np.concatenate([context.proprioception, later])
        moved = Context(np.concatenate([context.latents, imagined]),
                        np.concatenate([context.past_actions, actions]), later, states)
        if len(moved.latents) <= self.manifest.history:
            return moved
        return window_of(moved, self.manifest.history, actions[-1],
                         self.manifest.action.rows_per_step)

    def distance(self, latents: Float, goal: Float) -> Float:
        """Goal distance [...] of latents [..., *S], in the units of `goal.reached`."""
        if self._goal_distance is None:
            raise InferenceError(f'{self.manifest.model.name} has no goals: its cost is a return')
        return self._goal_distance(latents, goal)

    def goal_distance(self, context: Context, goal: Float | JointTarget) -> float:
        """How far a context is from a goal [*G]: see `distance`; from a joint target: rad or m."""
        if not isinstance(goal, JointTarget):
            return float(self.distance(context.latent, goal))
        if context.proprioception is None:
            raise InferenceError('the context lacks the joints that a joint target is about')
        return float(joint_distance(self.manifest, goal, context.proprioception[-1]))

    def check_joint_target(self, target: JointTarget) -> None:
        """Raise InferenceError, with the reason, for a target that no plan can lead to."""
        check_joint_target(self.manifest, target)

    def goal_of(self, latent: Float) -> Float:
        """The goal [*G] that a latent [*S] would be."""
        if self.manifest.graphs.goal_encoder is None:
            return latent
        parts = self.manifest.latent.parts
        return np.concatenate([latent[..., parts[name].indices]
                               for name in self.manifest.goal_parts], axis=-1)

    def deviation(self, expected: Float, seen: Float) -> float:
        """How far two latents [*S] are apart: the goal's distance, or the root mean square."""
        if self._goal_distance is None:
            return math.sqrt(float(np.mean(np.square(expected - seen))))
        return float(self.distance(expected, self.goal_of(seen)))

    def idle(self, context: Context, setpoint: Float | None = None) -> Float:
        """The row [A] that asks the robot to stay as it is: see `idle_row`."""
        state = context.proprioception
        return idle_row(self.manifest, None if state is None else state[-1], setpoint)

    def policy(self, latent: Float) -> Float:
        """The policy's rows [rows_per_step, A] in a latent [*S], in physical units."""
        if 'policy' not in self._graphs:
            raise InferenceError(f'{self.manifest.model.name} has no policy')
        with self._graphs.call():
            step = self._graphs.run('policy', {'latent': latent[None]})['action']
        return self._actions.to_rows(_finite('policy', step))

    def chunk_size(self) -> int:
        """Sequences imagined at once within the manifest's memory, at least 1."""
        return self._chunk

    def interrupt(self) -> None:
        """Make running calls raise InferenceError; safe from any thread.

        Calls that begin after they have ended are not affected.
        """
        self._graphs.interrupt()

    def close(self) -> None:
        """End running calls and let go of the graphs' memory; later calls raise InferenceError."""
        self._graphs.close()

    def describe(self) -> list[str]:
        """One line for each graph: its name, inputs and outputs with types and shapes."""
        return self._graphs.describe()

    def _encode(
        self, graph: str, output: str, image: NDArray[np.uint8] | None,
        proprioception: Float | None, takes_state: bool,
    ) -> Float:
        feeds = {}
        if (contract := self.manifest.image) is not None:
            if image is None or image.dtype != np.uint8 or image.shape != contract.shape:
                what = 'missing' if image is None else f'{image.dtype} {list(image.shape)}'
                raise InferenceError(f'image is {what}, the model takes uint8 '
                                     f'{list(contract.shape)}: preprocess it as the bundle says')
            feeds['image'] = image_for_graph(image, contract)[None]
        if takes_state:
            assert self._state_units is not None
            feeds['proprioception'] = self._state_units.normalize(
                self._checked_state(proprioception))[None]
        with self._graphs.call():
            return _finite(graph, self._graphs.run(graph, feeds)[output][0])

    def _checked_state(self, proprioception: Float | None) -> Float:
        state = self.manifest.proprioception
        assert state is not None
        if proprioception is None:
            raise InferenceError(f'proprioception is missing, the model takes {state.size} numbers')
        if proprioception.shape != (state.size,) or not np.isfinite(proprioception).all():
            raise InferenceError(f'proprioception {proprioception.tolist()} is not {state.size} '
                                 'finite numbers: check the joint state')
        return proprioception

    def _score_chunk(
        self, context: Context, goal: Float | JointTarget | None, actions: Float,
        residuals: bool = False,
    ) -> Scores:
        if isinstance(goal, JointTarget):
            if context.proprioception is None or self._integrate is None:
                raise InferenceError('the context lacks the joints that a joint target is about')
            states = self._integrate(context.proprioception[-1], actions)[:, 1:]
            return joint_scores(self.manifest, goal, states, residuals)
        tally = self._tally(context, goal, residuals)
        horizon = actions.shape[1] // self.manifest.action.rows_per_step
        whole: Float | None = None
        for steps, block in self._blocks(context, actions):
            tally.add(steps, block)
            whole = block if block.shape[1] == horizon else None
        costs, distances = tally.scores()
        latents = None if whole is None else whole[int(np.argmin(costs))].copy()
        scores = Scores(costs, distances, latents)
        return tally.with_residuals(scores) if residuals else scores

    def _check(self, actions: Float) -> None:
        """Refuse actions [N, h * rows_per_step, A] of another length than can be imagined."""
        rows = self.manifest.planner.horizon * self.manifest.action.rows_per_step
        count, length = len(actions), actions.shape[1]
        if not count or not 0 < length <= rows or length % self.manifest.action.rows_per_step:
            raise InferenceError(f'actions {list(actions.shape)} are not whole model steps of '
                                 f'{self.manifest.action.rows_per_step} rows, at most {rows}')

    def _chunks(self, actions: Float) -> Iterator[Float]:
        self._check(actions)
        size = self.chunk_size()
        for first in range(0, len(actions), size):
            yield actions[first:first + size]

    def _imagined(self, context: Context, actions: Float) -> Float:
        return np.concatenate([block for _, block in self._blocks(context, actions)], axis=1)

    def _blocks(self, context: Context, actions: Float) -> Iterator[tuple[Float, Float]]:
        """Normalised actions [B, h, K] of the next steps and latents [B, h, *S] behind them.

        What a rollout graph imagines beyond actions that are shorter than its horizon is left out.
        """
        start, steps = self._start(context, actions)
        done, horizon = 0, actions.shape[1] // self.manifest.action.rows_per_step
        for imagined in self._dynamics.blocks(start, steps):
            block = imagined[:, :horizon - done]
            yield steps[:, done:done + block.shape[1]], block
            done += block.shape[1]

    def _tally(self, context: Context, goal: Float | None, residuals: bool) -> Tally:
        cost = self.manifest.cost
        if isinstance(cost, DistanceCost):
            assert goal is not None
            return DistanceTally(self.manifest, cost, goal, residuals)
        assert isinstance(cost, ReturnCost)
        return ReturnTally(cost, self._graphs, context.latent)

    def _start(self, context: Context, actions: Float) -> tuple[Start, Float]:
        """Normalised start of a rollout and its steps [B, H, K].

        A rollout graph takes a full window and a full horizon: both are padded.
        """
        action = self.manifest.action
        state = context.proprioception
        if self.manifest.graphs.rollout is not None:
            missing = self.manifest.planner.horizon * action.rows_per_step - actions.shape[1]
            if missing:
                held = np.repeat(actions[:, -1:], missing, axis=1)
                actions = np.concatenate([actions, held], axis=1)
        if isinstance(self.manifest.graphs.rollout, WindowRollout):
            oldest = idle_row(self.manifest, None if state is None else state[0])
            context = window_of(context, self.manifest.history, oldest, action.rows_per_step)
            state = context.proprioception
        past_states = states = None
        if self._integrate is not None:
            assert self._state_units is not None
            if state is None:
                raise InferenceError('the context lacks the proprioception that rollouts take')
            past_states = self._state_units.normalize(state[:-1])
            states = self._state_units.normalize(self._integrate(state[-1], actions))
        start = Start(context.latents.astype(np.float32, copy=False),
                       self._actions.to_steps(context.past_actions), past_states, states,
                       dict(context.states))
        return start, self._actions.to_steps(actions)

    def _fit_memory(self) -> int:
        """Sequences of a batch; a model that fails here is left to its proof."""
        planner = self.manifest.planner
        tensors = self._dynamics.bytes_per_sequence(planner.horizon)
        tensors += FLOAT_BYTES * 2 * planner.horizon * self.manifest.action.step_size
        if planner.refinement is not None and isinstance(self.manifest.cost, DistanceCost):
            # Residuals, how they follow the actions, and what secants add to that.
            last = all(term.steps == 'last' for term in self.manifest.cost.terms)
            steps = 1 if last else planner.horizon
            tensors += FLOAT_BYTES * 3 * self.manifest.latent.size * steps
        context, goal = golden_start(self.bundle)

        def imagine(count: int) -> None:
            with self._graphs.call():
                self._score_chunk(context, goal, golden_sequences(self.bundle, count))

        try:
            return sequences_within(planner, tensors, imagine, resident_bytes)
        except InferenceError:
            return 1

    def _warm_up(self) -> None:
        """Run a plan's batch once: some providers compile for each size."""
        self.score(*golden_start(self.bundle),
                   golden_sequences(self.bundle, self.manifest.planner.samples))


def _finite(graph: str, values: Float) -> Float:
    if not np.isfinite(values).all():
        raise InferenceError(f'the {graph} gave NaN or infinity: check the model')
    return values
