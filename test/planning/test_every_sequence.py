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
"""Of very many sequences and plans, none is outside the bounds, not finite, or worse than before.

`WMROS_SEQUENCES=1000000 pytest test/planning/test_every_sequence.py` looks at a million.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import pytest
from toy_bundle import HORIZON, SAMPLERS, VELOCITY_LIMIT, write_toy_bundle

from world_model_ros.bundle import PlannerSettings
from world_model_ros.inference import Context, Scores, WorldModel, golden_start
from world_model_ros.planning import Planner, WarmStart

Array = np.ndarray[Any, Any]
SEQUENCES = int(os.environ.get('WMROS_SEQUENCES', '100000'))
LOWER = np.array([-VELOCITY_LIMIT, 0.1], np.float32)
UPPER = np.array([1.4, VELOCITY_LIMIT], np.float32)


class Watched:
    """A model that looks at every sequence it is asked about, and fails for some of them.

    Costs of a third of the sequences become NaN, infinity or minus infinity: what a cost graph may
    give, and what no plan may be chosen for.
    """

    def __init__(self, model: WorldModel) -> None:
        self._model = model
        self.seen = 0
        self.scored: list[tuple[Array, Array]] = []

    @property
    def bundle(self) -> Any:
        return self._model.bundle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def score(self, context: Context, goal: Array | None, actions: Array,
              residuals: bool = False) -> Scores:
        assert np.isfinite(actions).all()
        assert (actions >= LOWER).all()
        assert (actions <= UPPER).all()
        self.seen += len(actions)
        scores = self._model.score(context, goal, actions, residuals)
        costs = scores.costs.copy()
        # By the sequence itself, so that the same one always fails.
        fate = np.abs(actions[:, -1, 0] * 997).astype(int) % 9
        for value, number in ((0, math.nan), (1, math.inf), (2, -math.inf)):
            costs[fate == value] = number
        self.scored.append((actions, costs))
        return scores._replace(costs=costs)


@pytest.fixture(scope='module', params=[None, 1.1], ids=['sound graph', 'graph that gives NaN'])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> WorldModel:
    def bounded(manifest: dict[str, Any]) -> None:
        # The second cannot stand still: 0 is outside its bounds.
        manifest['action'].update(lower=LOWER.astype(float).tolist(), dead_band=[0.2, 0.0],
                                  upper=UPPER.astype(float).tolist())

    return WorldModel(write_toy_bundle(
        tmp_path_factory.mktemp('toy'), bounded, nan_above=request.param))


@pytest.mark.parametrize('refinement', [None, {'rounds': 3, 'knots': (0, 1, 3, 6)}],
                         ids=['search', 'search and refinement'])
@pytest.mark.parametrize('sampler', list(SAMPLERS))
@pytest.mark.filterwarnings('error')
def test_no_sequence_leaves_the_bounds_and_no_plan_is_worse_than_its_warm_start(
    model: WorldModel, sampler: str, refinement: dict[str, Any] | None,
) -> None:
    watched = Watched(model)
    defaults = model.manifest.planner.model_dump()
    settings = PlannerSettings.model_validate({
        **defaults, **SAMPLERS[sampler], 'samples': 512, 'elites': 32, 'sigma': (3.0, 3.0),
        'refinement': refinement})
    planner = Planner(watched, settings)  # type: ignore[arg-type]
    context, goal = golden_start(model.bundle)
    generator = np.random.default_rng(0)
    seed, warm = 0, None
    while watched.seen < SEQUENCES // (4 * len(SAMPLERS)):
        watched.scored.clear()
        seed += 1
        plan = planner.plan(context, goal, warm_start=warm, seed=seed, deadline=math.inf)
        costs = np.concatenate([costs for _, costs in watched.scored])
        finite = costs[np.isfinite(costs)]
        assert plan.cost == (finite.min() if finite.size else np.inf)
        first = watched.scored[0][1][0]
        assert not math.isfinite(first) or plan.cost <= first
        assert np.isfinite(plan.warm_start.elites).all()
        assert (plan.actions >= LOWER).all()
        assert (plan.actions <= UPPER).all()
        if finite.size:
            assert np.isfinite(plan.latents).all()
        # The next one starts from this plan, from chaos beyond the bounds, or from nothing.
        chaos = generator.normal(0, 5, (4, HORIZON, 2)).astype(np.float32)
        warm = (plan.warm_start.after(0.13, 0.1), WarmStart(chaos[0], chaos[1:]), None)[seed % 3]


@pytest.mark.parametrize('number', [math.nan, math.inf])
def test_a_warm_start_that_is_not_finite_is_refused_by_name(
    model: WorldModel, number: float,
) -> None:
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    rows = np.zeros((HORIZON, 2), np.float32)
    rows[3, 1] = number
    for broken, words in (
        ({'warm_start': WarmStart(rows, rows[None][:0])}, 'the warm start: NaN'),
        ({'warm_start': WarmStart(rows[:3].repeat(6, 0), rows[None])},
         r'the warm start: shape \[18, 2\]'),
        ({'warm_start': WarmStart(np.zeros_like(rows), rows[None])},
         'elites of the warm start: NaN'),
        ({'committed': rows[:5]}, 'committed rows: NaN'),
        ({'committed': rows[:, :1]}, r'committed rows: shape \[16, 1\], the plan needs \[any, 2\]'),
    ):
        with pytest.raises(ValueError, match=words):
            planner.plan(context, goal, seed=0, deadline=math.inf, **broken)
