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
"""Does the runtime choose what torch would choose? The last question before a bundle is done.

Small errors of single tensors say little; what drives a robot is which of the imagined sequences
are the best. So the written bundle scores random candidates in the runtime, torch scores the same,
and the elites of both must be the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from world_model_ros.bundle import Bundle
from world_model_ros.inference import WorldModel, golden_start
from world_model_ros.learning.export.examples import example_inputs
from world_model_ros.learning.export.graphs import TOLERANCE, ExportError, relative_error
from world_model_ros.learning.export.reference import Reference

CANDIDATES = 300
_BUDGET = 120.0  # seconds for torch's part
_CHUNK = 50  # candidates that torch imagines at once,
_LATENTS = 2_000_000  # less if their latents hold more numbers than this: attention multiplies them


@dataclass(frozen=True)
class Agreement:
    """How torch and the runtime rank the same candidates."""

    candidates: int
    elites: int
    shared: int
    error: float
    seconds: float

    def __str__(self) -> str:
        """One line for the exporter's report."""
        return (f'ranking: {self.shared} of the best {self.elites} of {self.candidates} candidates '
                f"are torch's, relative error of the costs {self.error:.1e}, "
                f'{self.seconds:.1f} s')


def compare_ranking(bundle: Bundle, reference: Reference) -> Agreement:
    """Score random candidates in torch and in the runtime; raises ExportError if they disagree.

    300 candidates, of which 30 are elites, or a tenth of as many as torch imagines in two minutes.
    """
    started = time.monotonic()
    golden, manifest = bundle.golden, bundle.manifest
    history = manifest.history
    start, goal = golden_start(bundle)
    states = None if golden.proprioception is None else golden.proprioception[:history]
    count = _affordable(reference, bundle)
    actions = example_inputs(manifest, count)[3]
    size = int(np.clip(_LATENTS // manifest.latent.size, 1, _CHUNK))
    expected = np.concatenate([
        reference.costs(start.latents, goal,
                        reference.imagine(start.latents, golden.past_actions, part, states), part)
        for part in np.array_split(actions, -(-count // size))])
    model = WorldModel(bundle)
    try:
        actual = model.score(start, goal, actions).costs
    finally:
        model.close()
    elites = max(1, count // 10)
    shared = len(set(np.argsort(actual)[:elites]) & set(np.argsort(expected)[:elites]))
    agreement = Agreement(count, elites, shared, relative_error(actual, expected),
                          time.monotonic() - started)
    if shared != elites or not agreement.error <= TOLERANCE:
        raise ExportError(f'the runtime does not choose what torch chooses: {agreement}, '
                          f'{TOLERANCE:.0e} is allowed. Either the graphs compute something else, '
                          'or actions hardly matter to this model (is it trained?)')
    return agreement


def _affordable(reference: Reference, bundle: Bundle) -> int:
    golden, history = bundle.golden, bundle.manifest.history
    states = None if golden.proprioception is None else golden.proprioception[:history]
    started = time.monotonic()
    reference.imagine(golden.latent[:history], golden.past_actions, golden.actions, states)
    seconds = (time.monotonic() - started) / len(golden.actions)
    return int(np.clip(_BUDGET / max(seconds, 1e-6), 10, CANDIDATES))
