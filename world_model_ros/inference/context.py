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
"""What a rollout starts from: the last latents, what was done between them, the robot's state.

A `Context` never changes; it can be handed to another thread, kept, and imagined from again.
`ContextBuffer` makes one from each observation that a node encodes, whatever the camera's rate.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Manifest, Proprioception
from world_model_ros.bundle.graphs import RecurrentPredictor

Float = NDArray[np.float32]
Item = TypeVar('Item')

# Time [s] and model steps without an observation over which recurrent states go on, by actions
# alone: a camera at 1 Hz that loses a picture; and every step takes its time before an observation
# is encoded. A plan's length they go on in any case, as its search has them do.
_UNSEEN, _UNSEEN_STEPS = 2.0, 64
# Stamps [ns] of the beginning and end, and a count: the mean action in each of so many equal parts
# of that time [count, A] in physical units, or None where nothing is known.
ExecutedRows = Callable[[int, int, int], Float | None]


@dataclass(frozen=True)
class Context:
    """Where imagination starts; physical units, oldest first.

    latents: float32 [T, *S], one model step apart; the last is now. T is at most the model's
        history, and less where less was observed
    past_actions: float32 [(T - 1) * rows_per_step, A], executed between them
    proprioception: float32 [T, P], or None where the model knows none
    states: the recurrent predictor's tensors, float32, without batch axis
    """

    latents: Float
    past_actions: Float
    proprioception: Float | None = None
    states: Mapping[str, Float] = field(default_factory=dict)

    @property
    def latent(self) -> Float:
        """The latent of now, [*S]."""
        newest: Float = self.latents[-1]
        return newest


def first_context(
    manifest: Manifest, latent: Float, proprioception: Float | None = None,
) -> Context:
    """The context of one observation with nothing before it: latent [*S], proprioception [P]."""
    predictor = manifest.graphs.predictor
    states = predictor.states if isinstance(predictor, RecurrentPredictor) else {}
    return Context(
        latent[None], np.empty((0, manifest.action.size), np.float32),
        None if proprioception is None else proprioception[None],
        {name: np.zeros(shape, np.float32) for name, shape in states.items()})


def idle_row(
    manifest: Manifest, proprioception: Float | None, setpoint: Float | None = None,
) -> Float:
    """The row [A] that asks the robot to stay as it is, in physical units.

    Zero for velocities and changes; for joint positions those of the joint state [P], where the
    model knows it, or else where the robot was last told to be [A], or else the data's mean.
    """
    action, state = manifest.action, manifest.proprioception
    row = np.zeros(action.size, np.float32)
    if action.kind == 'joint_position':
        row = np.array(action.normalization.mean if setpoint is None else setpoint, np.float32)
        if (proprioception is not None and isinstance(state, Proprioception)
                and 'position' in state.fields):
            offset = state.fields.index('position') * len(state.joints)
            for index, name in enumerate(action.names):
                if name in state.joints:
                    row[index] = proprioception[offset + state.joints.index(name)]
    for name, value in action.frozen.items():
        row[action.names.index(name)] = value
    return row


class SpacedHistory(Generic[Item]):
    """Items by stamp [ns], found again one model step apart although they come with jitter."""

    def __init__(self, count: int, step: float) -> None:
        """Keep what `count` items `step` seconds apart may need."""
        self._step = round(step * 1e9)
        self._count = count
        self._items: deque[tuple[int, Item]] = deque()

    def add(self, stamp: int, item: Item) -> None:
        """Add the newest item; a stamp that is not newer starts afresh, as after a clock reset."""
        if self._items and stamp <= self._items[-1][0]:
            self._items.clear()
        self._items.append((stamp, item))
        # Half a step more than the oldest that can be asked for.
        oldest = stamp - round((self._count - 0.5) * self._step)
        while self._items[0][0] < oldest:
            self._items.popleft()

    def spaced(self) -> list[tuple[int, Item]]:
        """At most `count` items, oldest first, ending with the newest.

        Each is the nearest to a whole number of steps before the newest, and less than half a step
        away from it; it ends where there is none.
        """
        newest = self._items[-1][0]
        found = [self._items[-1]]
        for back in range(1, self._count):
            wanted = newest - back * self._step
            nearest = min(self._items, key=lambda entry: abs(entry[0] - wanted))
            # With a picture for each step or more there is one, unless it was lost; and none is so
            # near to two places.
            if 2 * abs(nearest[0] - wanted) >= self._step:
                break
            found.append(nearest)
        return found[::-1]

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()


def known_at(rate: float, count: int, step: float) -> int:
    """How many of `count` items `step` seconds apart are known where `rate` come in a second."""
    history: SpacedHistory[None] = SpacedHistory(count, step)
    rate = min(rate, 4 / step)  # at twice the model's rate, all are known
    for index in range(math.ceil(count * step * rate) + 1):
        history.add(round(index / rate * 1e9), None)
    return len(history.spaced())


class FrameStack:
    """The last pictures as an observation of `image.frames` of them."""

    def __init__(self, manifest: Manifest) -> None:
        """Take the numbers of a manifest; raises ValueError if the model sees no pictures."""
        if manifest.image is None:
            raise ValueError('the model sees no pictures')
        self._frames = manifest.image.frames
        self._history: SpacedHistory[NDArray[np.uint8]] = SpacedHistory(
            self._frames, manifest.action.model_step)

    def add(self, stamp: int, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the encoder takes of a picture [(cameras,) height, width, 3] and those before it.

        One frame is the picture itself; more are [(cameras,) frames, height, width, 3], oldest
        first, with the oldest repeated as long as there are fewer.
        """
        if self._frames == 1:
            return picture
        self._history.add(stamp, picture)
        pictures = [picture for _, picture in self._history.spaced()]
        return np.stack([pictures[0]] * (self._frames - len(pictures)) + pictures, axis=-4)

    def still(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """What the encoder takes of a picture of a world that stands still, such as a goal."""
        return picture if self._frames == 1 else np.stack([picture] * self._frames, axis=-4)

    def clear(self) -> None:
        """Forget everything: the camera was away, or it is another one."""
        self._history.clear()


class Advancing(Protocol):
    """What a recurrent model's buffer needs of `WorldModel`."""

    def advance(self, context: Context, actions: Float) -> Context:
        """Move a context on by actions [k * rows_per_step, A] without an observation."""


def unseen_steps(manifest: Manifest) -> int:
    """Model steps without an observation over which recurrent states go on: more, and they end."""
    unseen = min(round(_UNSEEN / manifest.action.model_step), _UNSEEN_STEPS)
    return max(manifest.planner.horizon, unseen)


class ContextBuffer:
    """Makes a context of each observation from those before it. One thread; no clock of its own.

    length: latents of the last context, at most the model's history; 0 where there is none
    memory: how far the last context's recurrent states go back [s]; None where there are none
    """

    def __init__(self, manifest: Manifest, model: Advancing) -> None:
        """`model` moves recurrent states on."""
        self.length = 0
        self.memory: float | None = None
        self._manifest, self._model = manifest, model
        self._rows = manifest.action.rows_per_step
        self._step = round(manifest.action.model_step * 1e9)
        self._history: SpacedHistory[Context] = SpacedHistory(
            manifest.history, manifest.action.model_step)
        self._recurrent = isinstance(manifest.graphs.predictor, RecurrentPredictor)
        # The newest observation up to which recurrent states have come, the model's own time of
        # these (whole steps since the first, so that its rhythm is kept), and their context.
        self._anchor: tuple[int, int, Context] | None = None
        self._told: Float | None = None  # the last row known to have been executed
        self._first = self._newest = 0

    def add(
        self, stamp: int, latent: Float, proprioception: Float | None, executed: ExecutedRows,
    ) -> Context:
        """The context of an observation: stamp [ns], latent [*S], proprioception [P].

        `executed` says what the robot was asked to do between two stamps. Where it does not know,
        the context begins after that, and recurrent states go on with what was known last. A stamp
        that is not newer than the last one starts afresh.
        """
        first = first_context(self._manifest, latent, proprioception)
        context = (self._recur(stamp, first, executed) if self._recurrent
                   else self._look_back(stamp, first, executed))
        self.length = len(context.latents)
        return context

    def clear(self) -> None:
        """Forget everything: another robot, another episode, a pause."""
        self._history.clear()
        self._anchor = self._told = None
        self.length, self.memory = 0, None

    def _look_back(self, stamp: int, first: Context, executed: ExecutedRows) -> Context:
        """Put the observations before this one in front of it, as far back as they are known."""
        self._history.add(stamp, first)
        observations = self._history.spaced()
        past: list[Float] = []
        known = len(observations) - 1
        while known > 0:
            rows = executed(observations[known - 1][0], observations[known][0], self._rows)
            if rows is None:
                break
            past.insert(0, rows)
            known -= 1
        seen = [context for _, context in observations[known:]]
        states = [it.proprioception for it in seen if it.proprioception is not None]
        return Context(
            np.concatenate([it.latents for it in seen]),
            np.concatenate([first.past_actions, *past]).astype(np.float32, copy=False),
            np.concatenate(states) if states else None)

    def _recur(self, stamp: int, first: Context, executed: ExecutedRows) -> Context:
        """Carry recurrent states from the anchor to this observation, in whole model steps."""
        if self._anchor is not None and stamp <= self._newest:
            self._anchor = None
        self._newest = stamp
        if self._anchor is None:
            return self._begin(stamp, first)
        then, due, before = self._anchor
        steps = round((stamp - due) / self._step)
        if steps > unseen_steps(self._manifest):
            return self._begin(stamp, first)  # too long ago to tell
        self.memory = (stamp - self._first) / 1e9
        if steps == 0:
            return _with_states(first, before.states)
        rows = self._executed(then, stamp, steps, before, executed)
        most = self._manifest.planner.horizon * self._rows
        for begin in range(0, len(rows), most):
            before = self._model.advance(before, rows[begin:begin + most])
        context = _with_states(first, before.states)
        # An early one leaves this to the next, unless the camera is slow: steps would add up.
        if steps > 1 or stamp >= due + steps * self._step - self._step // 4:
            self._anchor = (stamp, due + steps * self._step, context)
        return context

    def _executed(
        self, then: int, stamp: int, steps: int, before: Context, executed: ExecutedRows,
    ) -> Float:
        """Rows [steps * rows_per_step, A] between two stamps, each step asked for by itself.

        Where nobody knows, the row before goes on; before the first that is known, the robot stays.
        """
        state = None if before.proprioception is None else before.proprioception[-1]
        row = idle_row(self._manifest, state, self._told)
        bounds = [then + (stamp - then) * step // steps for step in range(steps + 1)]
        parts: list[Float] = []
        for begin, end in pairwise(bounds):
            part = executed(begin, end, self._rows)
            if part is None:
                part = np.tile(row, (self._rows, 1))
            else:
                self._told = part[-1]
            row = part[-1]
            parts.append(part)
        return np.concatenate(parts)

    def _begin(self, stamp: int, first: Context) -> Context:
        """Let recurrent states begin with this observation."""
        self._anchor, self._first, self.memory = (stamp, stamp, first), stamp, 0.0
        return first


def _with_states(context: Context, states: Mapping[str, Any]) -> Context:
    return Context(context.latents, context.past_actions, context.proprioception, states)
