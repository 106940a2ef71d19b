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
"""Gauss-Newton steps: what they find, what they cost, and what they do where they cannot help."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_models import HORIZON, KINDS, write_small_bundle
from toy_bundle import write_toy_bundle

from world_model_ros.bundle import BundleError, PlannerSettings
from world_model_ros.bundle.planner_settings import Refinement
from world_model_ros.inference import JointTarget, WorldModel, golden_start
from world_model_ros.inference.costs import rooted
from world_model_ros.planning import Planner
from world_model_ros.planning.refinement import least_squares, reweighted

Array = np.ndarray[Any, Any]
NEVER = math.inf
WITH_GOAL = [name for name, kind in KINDS.items() if kind.discount is None]


def searching(model: WorldModel, **changes: object) -> Planner:
    manifest = model.manifest.planner.model_dump()
    return Planner(model, PlannerSettings.model_validate_json(json.dumps({**manifest, **changes})))


def refining(model: WorldModel, rounds: int = 2, **changes: object) -> Planner:
    rows = HORIZON * model.manifest.action.rows_per_step
    return searching(model, refinement={'rounds': rounds, 'knots': list(range(rows))}, **changes)


@pytest.mark.parametrize('name', WITH_GOAL)
def test_a_refined_plan_is_cheaper_than_what_a_longer_search_finds(
    tmp_path: Path, name: str,
) -> None:
    model = WorldModel(write_small_bundle(tmp_path, KINDS[name]))
    context, goal = golden_start(model.bundle)
    refined = refining(model, rounds=3, samples=100, iterations=3, elites=10)
    search = searching(model, samples=100, iterations=10, elites=10)
    found = [planner.plan(context, goal, seed=3, deadline=NEVER) for planner in (refined, search)]
    assert found[0].cost < found[1].cost
    assert found[0].samples < found[1].samples
    assert (found[0].actions >= np.array(model.manifest.action.lower)).all()
    assert (found[0].actions <= np.array(model.manifest.action.upper)).all()
    for joint, value in KINDS[name].frozen.items():
        column = found[0].actions[:, model.manifest.action.names.index(joint)]
        np.testing.assert_array_equal(column, np.full(len(column), value, np.float32))


def test_plans_toward_joint_targets_are_refined_too(tmp_path: Path) -> None:
    model = WorldModel(write_small_bundle(tmp_path, KINDS['recurrent, joints integrated']))
    context, _ = golden_start(model.bundle)
    assert context.proprioception is not None
    at = context.proprioception[-1][[0, 2]]
    target = JointTarget(('a', 'c'), tuple(float(value) for value in at + 0.3))
    searched = searching(model, samples=16, iterations=1).plan(
        context, target, seed=0, deadline=NEVER)
    refined = refining(model, samples=16, iterations=1).plan(
        context, target, seed=0, deadline=NEVER)
    assert refined.cost < 0.9 * searched.cost


@pytest.mark.parametrize('committed', [0, 3, HORIZON])
def test_a_round_changes_nothing_that_is_committed(tmp_path: Path, committed: int) -> None:
    model = WorldModel(write_small_bundle(tmp_path, KINDS['markov rollout']))
    context, goal = golden_start(model.bundle)
    rows = model.bundle.golden.actions[0][:committed]
    plan = refining(model).plan(context, goal, committed=rows, seed=0, deadline=NEVER)
    np.testing.assert_array_equal(plan.actions[:committed], rows)


def test_a_round_imagines_one_sequence_for_each_action_and_twelve_for_its_steps(
    tmp_path: Path,
) -> None:
    model = WorldModel(write_small_bundle(tmp_path, KINDS['markov rollout']))
    context, goal = golden_start(model.bundle)
    plans = [refining(model, rounds=rounds).plan(context, goal, seed=0, deadline=NEVER)
             for rounds in (1, 2)]
    assert plans[0].samples == 32 * 3 + (1 + HORIZON * 2 + 12)
    assert plans[1].samples - plans[0].samples == HORIZON * 2 + 12
    refinement = Refinement(rounds=2, knots=tuple(range(HORIZON)))
    assert refinement.sequences(2) == plans[1].samples - 32 * 3


def test_a_dead_band_does_not_keep_a_plan_from_leaving_it(tmp_path: Path) -> None:
    def banded(manifest: dict[str, Any]) -> None:
        manifest['action']['dead_band'] = [0.1, 0.1]

    model = WorldModel(write_small_bundle(tmp_path, KINDS['markov rollout'], banded))
    context, goal = golden_start(model.bundle)
    plan = refining(model, samples=4, elites=2, iterations=1, sigma=[1e-4] * 2,
                    sigma_min=[1e-4] * 2).plan(context, goal, seed=0, deadline=NEVER)
    assert np.abs(plan.actions).max() > 0.1
    assert ((plan.actions == 0) | (np.abs(plan.actions) >= 0.1)).all()


def test_a_model_whose_slopes_are_no_numbers_leaves_the_plan_of_the_search(
    tmp_path: Path,
) -> None:
    model = WorldModel(write_toy_bundle(tmp_path))
    _, goal = golden_start(model.bundle)
    context = model.context(np.full(6, np.nan, np.float32))
    plan = searching(model, refinement={'rounds': 2, 'knots': [0, 2]}).plan(
        context, goal, seed=0, deadline=NEVER)
    assert plan.cost == math.inf
    assert np.isfinite(plan.actions).all()


@pytest.mark.parametrize(('kind', 'knots', 'message'), [
    ('markov rollout', [0, HORIZON], 'planner.refinement.knots'),
    ('markov rollout', [1, 2], 'do not ascend from 0'),
    ('markov with a return', [0, 1], 'planner.refinement: is not for the cost objective return'),
])
def test_a_refinement_that_cannot_be_is_refused_by_name(
    tmp_path: Path, kind: str, knots: list[int], message: str,
) -> None:
    def refined(manifest: dict[str, Any]) -> None:
        manifest['planner']['refinement'] = {'rounds': 2, 'knots': knots}

    with pytest.raises(BundleError, match=message):
        write_small_bundle(tmp_path, KINDS[kind], refined)


@pytest.mark.parametrize('size', [1, 2, 4])
def test_a_full_step_ends_where_lengths_that_follow_actions_linearly_are_zero(size: int) -> None:
    generator = np.random.default_rng(size)
    matrix, wanted = generator.normal(size=(6, 8)), generator.uniform(-1, 1, 6)

    def residuals(actions: Array) -> Array:
        differences = ((actions - wanted) @ matrix).reshape(-1, size).astype(np.float32)
        return rooted(differences).ravel()

    still = np.zeros(6)
    slopes = np.array([residuals(still + 1e-3 * one) - residuals(still - 1e-3 * one)
                       for one in np.eye(6)], np.float32) / 2e-3
    bounds = np.full(6, -9.0, np.float32), np.full(6, 9.0, np.float32)
    roots = ((0, 8, size),)
    step, = least_squares(*reweighted(slopes, residuals(still), roots), *bounds, np.array([1e-6]))
    np.testing.assert_allclose(step, wanted, atol=0.02)
    bent, = least_squares(slopes, residuals(still), *bounds, np.array([1e-6]))
    assert np.square(residuals(bent)).sum() > 0.5 * np.square(residuals(still)).sum(), 'it bends'


@settings(max_examples=200, deadline=None)
@given(numbers=arrays(np.float32, (6, 9), elements=st.floats(-3, 3, width=32)),
       residuals=arrays(np.float32, 9, elements=st.floats(-3, 3, width=32)),
       lower=arrays(np.float32, 6, elements=st.floats(-2, 0, width=32)),
       upper=arrays(np.float32, 6, elements=st.floats(0, 2, width=32)))
def test_steps_are_the_bounded_least_squares_that_scipy_finds(
    numbers: Array, residuals: Array, lower: Array, upper: Array,
) -> None:
    """In value, to a fiftieth of what there is to gain: where it is flat steps may differ."""
    dampings = np.array([0.01, 0.1, 1.0])
    steps = least_squares(numbers, residuals, lower, upper, dampings)
    assert (steps >= lower).all()
    assert (steps <= upper).all()
    curvature = float(np.square(numbers, dtype=np.float64).sum()) / len(numbers)
    for step, damping in zip(steps, dampings, strict=True):
        rows = np.vstack([numbers.T, math.sqrt(damping * curvature) * np.eye(6)])
        wanted = np.concatenate([-residuals, np.zeros(6)])
        best = scipy.optimize.lsq_linear(
            rows, wanted, (lower - 1e-9, upper + 1e-9), method='bvls').x
        nothing, ours, theirs = (
            float(np.square(rows @ it - wanted).sum()) for it in (np.zeros(6), step, best))
        assert ours - theirs <= 0.02 * (nothing - theirs) + 1e-4
