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
"""The planner drives every kind of bundle: blocks of rows, frozen numbers, dead bands, no goal."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import HORIZON, KINDS, POSE, Reference, write_small_bundle

from world_model_ros.bundle import BundleError, PlannerSettings
from world_model_ros.inference import Context, JointTarget, Scores, WorldModel, golden_start
from world_model_ros.planning import Plan, Planner, WarmStart
from world_model_ros.planning.sequences import Sequences

Array = np.ndarray[Any, Any]
NEVER = math.inf


@pytest.fixture(scope='module', params=list(KINDS))
def planned(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
) -> tuple[WorldModel, Reference, Plan, Plan]:
    """A model, and two plans with one seed from its golden start."""
    kind = KINDS[request.param]
    model = WorldModel(write_small_bundle(tmp_path_factory.mktemp('small'), kind))
    context, goal = golden_start(model.bundle)
    plans = [Planner(model, model.manifest.planner).plan(context, goal, seed=4, deadline=NEVER)
             for _ in range(2)]
    return model, Reference(kind), plans[0], plans[1]


Planned = tuple[WorldModel, Reference, Plan, Plan]


def test_a_plan_has_a_row_for_each_control_step_and_a_latent_for_each_model_step(
    planned: Planned,
) -> None:
    model, reference, plan, _ = planned
    rows = HORIZON * reference.kind.rows
    assert plan.actions.shape == (rows, len(reference.kind.names))
    assert plan.latents.shape == (HORIZON, *reference.kind.shape)
    assert plan.step_costs.shape == (HORIZON,)
    assert (plan.actions >= np.array(model.manifest.action.lower)).all()
    assert (plan.actions <= np.array(model.manifest.action.upper)).all()


def test_a_plan_costs_what_the_reference_says_and_less_than_standing_still(
    planned: Planned,
) -> None:
    model, reference, plan, _ = planned
    context, goal = golden_start(model.bundle)
    states = None if context.proprioception is None else list(context.proprioception)
    still = np.tile(model.idle(context), (len(plan.actions), 1))

    def cost(rows: Array) -> float:
        imagined = reference.rollout(list(context.latents), context.past_actions, states, rows)[0]
        return reference.cost(context.latent, goal, rows, imagined)

    assert plan.cost == pytest.approx(cost(plan.actions), rel=1e-4, abs=1e-5)
    assert plan.cost < cost(still)


def test_one_seed_gives_one_plan_to_the_byte(planned: Planned) -> None:
    _, _, first, second = planned
    assert first.actions.tobytes() == second.actions.tobytes()
    assert first.latents.tobytes() == second.latents.tobytes()


def test_a_plan_may_be_shorter_than_what_the_model_imagines(planned: Planned) -> None:
    model, reference, _, _ = planned
    settings = PlannerSettings.model_validate({
        **model.manifest.planner.model_dump(), 'horizon': 2, 'knots': (0, 1)})
    context, goal = golden_start(model.bundle)
    plan = Planner(model, settings).plan(context, goal, seed=0, deadline=NEVER)
    assert plan.actions.shape == (2 * reference.kind.rows, len(reference.kind.names))
    assert plan.latents.shape == (2, *reference.kind.shape)
    states = None if context.proprioception is None else list(context.proprioception)
    imagined = reference.rollout(
        list(context.latents), context.past_actions, states, plan.actions)[0]
    expected = reference.cost(context.latent, goal, plan.actions, imagined)
    assert plan.cost == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_frozen_numbers_keep_their_value_in_every_row(planned: Planned) -> None:
    model, reference, plan, _ = planned
    for name, value in reference.kind.frozen.items():
        column = plan.actions[:, model.manifest.action.names.index(name)]
        np.testing.assert_array_equal(column, np.full(len(column), value, np.float32))
    assert np.ptp(plan.actions[:, list(model.manifest.action.driven)], axis=0).min() > 0


def test_a_plan_without_goal_seeks_the_return_and_has_no_distance(planned: Planned) -> None:
    model, reference, plan, _ = planned
    if reference.kind.discount is None:
        assert plan.goal_distance > 0
        assert plan.step_costs[0] > 0
    else:
        assert math.isnan(plan.goal_distance)
        _, goal = golden_start(model.bundle)
        assert goal is None


def test_numbers_in_the_dead_band_are_planned_as_nothing(tmp_path: Path) -> None:
    def banded(manifest: dict[str, Any]) -> None:
        manifest['action']['dead_band'] = [0.4, 0.0]

    model = WorldModel(write_small_bundle(tmp_path, KINDS['markov'], banded))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    rows = np.concatenate([
        planner.plan(context, goal, seed=seed, deadline=NEVER).actions for seed in range(8)])
    assert ((rows[:, 0] == 0) | (np.abs(rows[:, 0]) >= 0.4)).all()
    assert (rows[:, 0] == 0).any()
    assert ((np.abs(rows[:, 1]) < 0.4) & (rows[:, 1] != 0)).any()


def test_a_warm_start_between_two_rows_is_planned_out_of_the_dead_band(tmp_path: Path) -> None:
    def banded(manifest: dict[str, Any]) -> None:
        manifest['action']['dead_band'] = [0.4, 0.0]

    model = WorldModel(write_small_bundle(tmp_path, KINDS['markov'], banded))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    rows = np.zeros((HORIZON * KINDS['markov'].rows, 2), np.float32)
    rows[::2] = 0.5
    warm = WarmStart(rows, np.empty((0, *rows.shape), np.float32)).after(0.5, 1.0)
    np.testing.assert_allclose(warm.actions[:4], np.full((4, 2), 0.25))
    committed = warm.actions[:1]
    plan = planner.plan(context, goal, committed=committed, warm_start=warm, seed=0,
                        deadline=-NEVER)
    assert plan.samples == 1
    np.testing.assert_array_equal(plan.actions[:1], committed)
    np.testing.assert_array_equal(plan.actions[1:, 0], np.zeros(len(rows) - 1))
    np.testing.assert_array_equal(plan.actions[1:, 1], warm.actions[1:, 1])


@pytest.mark.parametrize(('size', 'frozen'), [(4, 5), (3, 4), (2, 0), (5, 6), (1, 0)])
def test_any_beginning_of_a_constant_grid_has_each_value_of_each_number_equally_often(
    tmp_path: Path, size: int, frozen: int,
) -> None:
    kind = replace(KINDS['growing'], frozen=dict.fromkeys(POSE[:frozen], 0.0))
    bundle = write_small_bundle(tmp_path, kind)
    manifest = bundle.manifest
    grid = Sequences(manifest, manifest.planner).constant_grid(size)[:, 0]
    driven = grid[:, frozen:]
    assert len({it.tobytes() for it in driven}) == len(grid) == size ** (len(POSE) - frozen)
    for count in range(1, len(driven) + 1):
        for column in driven.T:
            found = [int((column[:count] == value).sum()) for value in np.unique(column)]
            assert max(found) - min(found) <= 1


def watch_scores(model: WorldModel, monkeypatch: pytest.MonkeyPatch) -> list[Array]:
    """Return a list to which each batch of sequences that the model scores is added."""
    tried: list[Array] = []
    score = model.score

    def watched(context: Context, goal: Array | None, *asked: Any) -> Scores:
        tried.append(asked[0])
        return score(context, goal, *asked)

    monkeypatch.setattr(model, 'score', watched)
    return tried


def test_a_small_population_tries_constant_actions_of_both_directions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gridded(manifest: dict[str, Any]) -> None:
        manifest['planner'].update(
            constant_grid=3, samples=32, iterations=1, sigma=[1e-3] * 2, sigma_min=[1e-3] * 2)

    model = WorldModel(write_small_bundle(tmp_path, KINDS['markov rollout'], gridded))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    rows = np.zeros((HORIZON, 2), np.float32)
    warm = WarmStart(rows, np.stack([rows] * 4))
    tried = watch_scores(model, monkeypatch)
    planner.plan(context, goal, warm_start=warm, seed=0, deadline=NEVER)
    constant = tried[0][np.ptp(tried[0], axis=1).max(1) < 1e-6][:, 0]
    np.testing.assert_allclose(constant.min(0), model.manifest.action.lower, rtol=1e-5)
    np.testing.assert_allclose(constant.max(0), model.manifest.action.upper, rtol=1e-5)


def test_a_constant_grid_varies_only_what_is_not_frozen(tmp_path: Path) -> None:
    def gridded(manifest: dict[str, Any]) -> None:
        manifest['planner'].update(constant_grid=3, samples=100, iterations=1)

    model = WorldModel(write_small_bundle(tmp_path, KINDS['growing'], gridded))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    plan = planner.plan(context, goal, seed=0, deadline=NEVER)
    frozen = [3, 4, 5]
    np.testing.assert_allclose(plan.actions[:, frozen], np.tile([0, 0, 0.1], (HORIZON, 1)))


def test_positions_are_planned_from_where_the_joints_are(tmp_path: Path) -> None:
    kind = KINDS['growing beyond its length']
    model = WorldModel(write_small_bundle(tmp_path, kind))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    plan = planner.plan(context, goal, seed=0, deadline=-NEVER)
    assert plan.samples == 1
    np.testing.assert_allclose(
        plan.actions, np.tile(model.idle(context), (HORIZON, 1)), atol=1e-6)


def test_positions_that_the_model_does_not_read_are_planned_from_where_they_were_told_to_be(
    tmp_path: Path,
) -> None:
    kind = replace(KINDS['recurrent'], action='joint_position')
    model = WorldModel(write_small_bundle(tmp_path, kind))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    setpoint = np.array([-0.9, 1.2], np.float32)
    plan = planner.plan(context, goal, setpoint=setpoint, seed=0, deadline=-NEVER)
    np.testing.assert_array_equal(plan.actions, np.tile(setpoint, (HORIZON, 1)))


def test_a_robot_outside_the_bounds_is_led_back_inside(tmp_path: Path) -> None:
    model = WorldModel(write_small_bundle(tmp_path, KINDS['growing beyond its length']))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    outside = np.tile(np.array([1.7, -1.2], np.float32), (2, 1))
    plan = planner.plan(context, goal, committed=outside, seed=0, deadline=NEVER)
    np.testing.assert_array_equal(plan.actions[:2], [[1.5, -1.0]] * 2)
    assert plan.actions.min() >= -1.0 and plan.actions.max() <= 1.5


TARGET = JointTarget(('a', 'c'), (0.3, 0.3))


def test_toward_joints_the_model_imagines_what_is_chosen_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = WorldModel(write_small_bundle(tmp_path, KINDS['recurrent, joints integrated']))
    planner = Planner(model, model.manifest.planner)
    context, _ = golden_start(model.bundle)
    graphs, batches = model._graphs, []

    def run(name: str, feeds: dict[str, Array], run: Any = graphs.run) -> Any:
        batches.append(len(feeds['action']))
        return run(name, feeds)

    monkeypatch.setattr(graphs, 'run', run)
    plan = planner.plan(context, TARGET, seed=0, deadline=NEVER)
    assert batches == [1] * HORIZON
    np.testing.assert_array_equal(plan.latents, model.imagine(context, plan.actions[None])[0])


def test_plans_toward_joints_and_toward_pictures_keep_their_deadlines_by_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = WorldModel(write_small_bundle(tmp_path, KINDS['recurrent, joints integrated']))
    now = 0.0

    def score(context: Context, goal: Array | JointTarget, actions: Array,
              residuals: bool = False, score: Any = model.score) -> Scores:
        nonlocal now
        now += (1e-6 if isinstance(goal, JointTarget) else 1e-3) * len(actions)
        scores: Scores = score(context, goal, actions, residuals)
        return scores

    def imagine(context: Context, actions: Array, imagine: Any = model.imagine) -> Array:
        nonlocal now
        now += 1e-3 * len(actions)
        imagined: Array = imagine(context, actions)
        return imagined

    monkeypatch.setattr(model, 'score', score)
    monkeypatch.setattr(model, 'imagine', imagine)
    planner = Planner(model, model.manifest.planner, clock=lambda: now)
    context, goal = golden_start(model.bundle)
    counts = []
    for _ in range(3):
        for target in (TARGET, goal):
            deadline = now + 0.015
            plan = planner.plan(context, target, seed=0, deadline=deadline)
            assert now <= deadline + 1e-9
            counts.append(plan.samples)
    assert counts[2::2] == [3 * 32 + 1] * 2  # all that the settings ask for
    assert max(counts[1::2]) < 15


def test_committed_rows_may_end_within_a_model_step(tmp_path: Path) -> None:
    kind = KINDS['window']
    model = WorldModel(write_small_bundle(tmp_path, kind))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    committed = Reference(kind).actions(1, seed=3)[0, :7]
    plan = planner.plan(context, goal, committed=committed, seed=0, deadline=NEVER)
    np.testing.assert_array_equal(plan.actions[:7], committed)


def of_policy(reference: Reference, model: WorldModel) -> Array:
    """What the policy of the small model drives from the golden start: the reference's numbers."""
    context, _ = golden_start(model.bundle)
    action, latent, rows = model.manifest.action, context.latent, []
    for _ in range(HORIZON):
        row = np.tanh(latent.ravel() @ reference.weights.policy).reshape(1, -1)
        row = row * action.normalization.std + action.normalization.mean
        rows.append(np.clip(row[0], action.lower, action.upper))
        latent = reference.rollout([latent], np.empty((0, 2)), None, rows[-1][None])[0][-1]
    return np.array(rows, np.float32)


RETURN = 'markov with a return'


@pytest.mark.parametrize('samples', [None, 1, 6])
def test_the_search_tries_what_the_policy_drives_and_others_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, samples: int | None,
) -> None:
    def seeded(manifest: dict[str, Any]) -> None:
        # A knot for every row, and a search that hardly leaves where it starts.
        manifest['planner'].update(
            sigma=[1e-3] * 2, sigma_min=[1e-3] * 2, knots=[0, 1, 2, 3], interpolation='hold')
        if samples:
            manifest['planner'].update(policy_samples=samples)

    model = WorldModel(write_small_bundle(tmp_path, KINDS[RETURN], seeded))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    tried = watch_scores(model, monkeypatch)
    planner.plan(context, goal, seed=0, deadline=NEVER)
    rows = of_policy(Reference(KINDS[RETURN]), model)
    for batch in tried[1:3]:  # they compete in every refit
        assert (np.abs(batch - rows).max((1, 2)) < 1e-6).any() == bool(samples)
    away = np.abs(tried[0] - rows).max((1, 2))
    alike = np.sort(away[away < 0.02])
    assert len(alike) == (samples or 0)
    assert not samples or alike[0] < 1e-6
    assert not samples or samples == 1 or alike[-1] > 1e-4


def test_a_policy_goes_on_from_what_is_committed(tmp_path: Path) -> None:
    def seeded(manifest: dict[str, Any]) -> None:
        manifest['planner'].update(policy_samples=3)

    model = WorldModel(write_small_bundle(tmp_path, KINDS[RETURN], seeded))
    context, goal = golden_start(model.bundle)
    committed = np.array([[0.4, -0.3], [0.2, 0.9]], np.float32)
    plan = Planner(model, model.manifest.planner).plan(
        context, goal, committed=committed, seed=0, deadline=NEVER)
    np.testing.assert_array_equal(plan.actions[:2], committed)


def test_policy_samples_without_a_policy_are_refused(tmp_path: Path) -> None:
    def seeded(manifest: dict[str, Any]) -> None:
        manifest['planner'].update(policy_samples=3)

    with pytest.raises(BundleError, match='no policy'):
        write_small_bundle(tmp_path, KINDS['markov'], seeded)


def test_one_action_for_each_model_step_is_planned_with_knots_at_the_steps(tmp_path: Path) -> None:
    kind = KINDS['markov rollout, joints integrated']

    def repeated(manifest: dict[str, Any]) -> None:
        first = [step * kind.rows for step in range(HORIZON)]
        manifest['planner'].update(knots=first, interpolation='hold')

    model = WorldModel(write_small_bundle(tmp_path, kind, repeated))
    context, goal = golden_start(model.bundle)
    plan = Planner(model, model.manifest.planner).plan(context, goal, seed=0, deadline=NEVER)
    steps = plan.actions.reshape(HORIZON, kind.rows, -1)
    np.testing.assert_array_equal(steps, np.repeat(steps[:, :1], kind.rows, axis=1))
    assert np.ptp(steps[:, 0], axis=0).min() > 0


@pytest.mark.parametrize('decided', [1, 2, 3, 4, 5])
def test_one_action_for_each_model_step_is_planned_behind_what_is_committed_as_well(
    tmp_path: Path, decided: int,
) -> None:
    kind = KINDS['markov rollout, joints integrated']

    def repeated(manifest: dict[str, Any]) -> None:
        first = [step * kind.rows for step in range(HORIZON)]
        manifest['planner'].update(knots=first, interpolation='hold', refinement={
            'rounds': 1, 'knots': first})

    model = WorldModel(write_small_bundle(tmp_path, kind, repeated))
    context, goal = golden_start(model.bundle)
    committed = Reference(kind).actions(1, seed=3)[0, :decided]
    plan = Planner(model, model.manifest.planner).plan(
        context, goal, committed=committed, seed=0, deadline=NEVER)
    np.testing.assert_array_equal(plan.actions[:decided], committed)
    changed = decided + 1 + np.flatnonzero(np.diff(plan.actions[decided:], axis=0).any(1))
    assert len(changed) and not (changed % kind.rows).any()


@pytest.mark.parametrize('name', ['markov rollout', 'markov'])
def test_a_plan_is_no_worse_than_any_elite_that_it_starts_from(tmp_path: Path, name: str) -> None:
    def kept(manifest: dict[str, Any]) -> None:
        rows = HORIZON * KINDS[name].rows
        manifest['planner'].update(
            sampler='icem', noise_exponent=1.0, decay=1.2, kept_elites=3, iterations=1,
            sigma=[1e-3] * 2, sigma_min=[1e-3] * 2, knots=list(range(rows)), interpolation='hold')

    model = WorldModel(write_small_bundle(tmp_path, KINDS[name], kept))
    planner = Planner(model, model.manifest.planner)
    context, goal = golden_start(model.bundle)
    wide = PlannerSettings.model_validate({
        **model.manifest.planner.model_dump(), 'sigma': (0.8, 0.8), 'iterations': 4})
    good = Planner(model, wide).plan(context, goal, seed=0, deadline=NEVER)
    assert good.warm_start.elites.shape == (3, *good.actions.shape)
    still = np.tile(model.idle(context), (len(good.actions), 1))
    elites = np.concatenate([still[None], good.warm_start.elites])
    cold = planner.plan(context, goal, seed=1, deadline=NEVER)
    warm = planner.plan(context, goal, warm_start=WarmStart(still, elites), seed=1, deadline=NEVER)
    cheapest = float(model.score(context, goal, elites).costs.min())
    assert cheapest < cold.cost
    assert warm.cost <= cheapest + 1e-4
