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
"""The planner: reproducible, inside the bounds, never worse than what it was given, and in time."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_bundle import HORIZON, STEP, VELOCITY_LIMIT, toy_image, write_toy_bundle

from world_model_ros.bundle import PlannerSettings
from world_model_ros.inference import Context, Scores, WorldModel
from world_model_ros.planning import Plan, Planner, WarmStart
from world_model_ros.planning.sequences import Sequences

Array = np.ndarray[Any, Any]
NEVER = math.inf


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> WorldModel:
    return WorldModel(write_toy_bundle(tmp_path_factory.mktemp('toy')))


@pytest.fixture(scope='module')
def failing_model(tmp_path_factory: pytest.TempPathFactory) -> WorldModel:
    """Imagines NaN for sequences that drive joint 0 faster than 1.1 rad/s."""
    return WorldModel(write_toy_bundle(tmp_path_factory.mktemp('nan'), nan_above=1.1))


REFINED = {'rounds': 2, 'knots': tuple(range(HORIZON))}


@pytest.fixture(scope='module', params=[None, REFINED], ids=['search', 'search and refinement'])
def planner(request: pytest.FixtureRequest, model: WorldModel) -> Planner:
    return Planner(model, with_settings(model, refinement=request.param))


def with_settings(model: WorldModel, **changes: object) -> PlannerSettings:
    return PlannerSettings.model_validate(
        {**model.bundle.manifest.planner.model_dump(), **changes})


def at(model: WorldModel, position: tuple[float, float]) -> Context:
    return model.context(
        model.encode(toy_image(position), np.array([*position, 0, 0], np.float32)))


def goal(model: WorldModel, position: tuple[float, float]) -> Array:
    return model.encode_goal(toy_image(position))


def plan_cost(model: WorldModel, context: Context, target: Array, actions: Array) -> float:
    """Cost from the formula: the mean over the horizon plus the last step."""
    imagined = model.imagine(context, actions[None])[0, :, :2]
    distances = np.linalg.norm(imagined - target, axis=1)
    return float(distances.mean() + distances[-1])


def actions_of(seed: int, rows: int = HORIZON) -> Array:
    generator = np.random.default_rng(seed)
    return generator.uniform(-VELOCITY_LIMIT, VELOCITY_LIMIT, (rows, 2)).astype(np.float32)


def warm_start_of(seed: int) -> WarmStart:
    return WarmStart(actions_of(seed), np.stack([actions_of(seed + i) for i in (1, 2)]))


angles = st.tuples(st.floats(-2, 2), st.floats(-2, 2))


def test_a_plan_goes_where_the_picture_shows(model: WorldModel, planner: Planner) -> None:
    ends = []
    for seed in range(9):
        plan = planner.plan(
            at(model, (0.4, -0.3)), goal(model, (-0.5, 0.6)), seed=seed, deadline=NEVER)
        ends.append(np.array([0.4, -0.3]) + STEP * plan.actions.sum(0))
    np.testing.assert_allclose(np.median(ends, axis=0), [-0.5, 0.6], atol=0.05)
    assert plan.goal_distance == pytest.approx(math.hypot(0.9, 0.9), abs=1e-2)
    np.testing.assert_allclose(
        plan.step_costs, np.linalg.norm(plan.latents[:, :2] - goal(model, (-0.5, 0.6)), axis=1),
        atol=1e-6)


def test_replanning_from_each_new_state_settles_at_the_goal_without_chatter(
    model: WorldModel, planner: Planner,
) -> None:
    position, target, warm = np.array([1.2, -1.0]), goal(model, (-0.4, 0.8)), None
    ways = []
    for step in range(40):
        plan = planner.plan(at(model, tuple(position)), target, warm_start=warm, seed=step,
                            deadline=NEVER)
        position = position + STEP * plan.actions[0]
        ways.append(STEP * float(np.abs(plan.actions[0]).max()))
        warm = plan.warm_start.after(STEP, STEP)
    np.testing.assert_allclose(position, [-0.4, 0.8], atol=0.005)
    assert max(ways[-10:]) < 0.005


@settings(max_examples=40, deadline=None)
@given(start=angles, target=angles, seed=st.integers(0, 2**63), rows=st.integers(0, HORIZON),
       warm=st.none() | st.integers(0, 100))
def test_a_plan_is_inside_the_bounds_keeps_committed_rows_and_never_loses_to_its_warm_start(
    model: WorldModel, planner: Planner, start: tuple[float, float], target: tuple[float, float],
    seed: int, rows: int, warm: int | None,
) -> None:
    context, wanted = at(model, start), goal(model, target)
    committed = actions_of(7, rows)
    warm_start = None if warm is None else warm_start_of(warm)
    plan = planner.plan(context, wanted, committed=committed, warm_start=warm_start, seed=seed,
                        deadline=NEVER)
    assert plan.actions.shape == (HORIZON, 2)
    assert np.isfinite(plan.actions).all()
    assert (np.abs(plan.actions) <= VELOCITY_LIMIT).all()
    np.testing.assert_array_equal(plan.actions[:rows], committed)
    np.testing.assert_allclose(
        plan.cost, plan_cost(model, context, wanted, plan.actions), rtol=1e-4)
    rest = np.zeros((HORIZON, 2), np.float32) if warm_start is None else warm_start.actions
    followed = np.concatenate([committed, rest[rows:]])
    assert plan.cost <= plan_cost(model, context, wanted, followed) * (1 + 1e-5)


def same(a: Plan, b: Plan) -> bool:
    return (a.actions.tobytes(), a.latents.tobytes(), a.cost, a.samples) == (
        b.actions.tobytes(), b.latents.tobytes(), b.cost, b.samples)


@pytest.mark.parametrize('refinement', [None, REFINED])
def test_one_seed_gives_one_plan_to_the_byte_whatever_was_planned_before(
    model: WorldModel, refinement: dict[str, Any] | None,
) -> None:
    context, target = at(model, (0.3, 0.3)), goal(model, (-1.0, 0.5))
    settings = with_settings(model, refinement=refinement)
    first, second = (Planner(model, settings) for _ in range(2))
    second.plan(at(model, (1.0, 1.0)), target, seed=3, deadline=NEVER)
    plans = [planner.plan(context, target, warm_start=warm_start_of(1), seed=seed, deadline=NEVER)
             for planner, seed in ((first, 5), (second, 5), (first, 6))]
    assert same(plans[0], plans[1])
    assert not same(plans[0], plans[2])


def test_bounds_that_float32_cannot_hold_are_rounded_inwards(tmp_path: Path) -> None:
    def narrow(manifest: dict[str, Any]) -> None:
        manifest['action'].update(lower=[-0.7, 0.1], upper=[0.1, 0.7])

    model = WorldModel(write_toy_bundle(tmp_path, narrow))
    planner = Planner(model, model.bundle.manifest.planner)
    plan = planner.plan(at(model, (0, 0)), goal(model, (2.0, -2.0)), seed=0, deadline=NEVER)
    values = plan.actions.astype(np.float64)
    assert (values >= [-0.7, 0.1]).all()
    assert (values <= [0.1, 0.7]).all()


@pytest.mark.parametrize('interpolation', ['hold', 'linear'])
def test_actions_change_at_knots_only(model: WorldModel, interpolation: str) -> None:
    planner = Planner(model, with_settings(model, interpolation=interpolation))
    plan = planner.plan(at(model, (1.0, 0.0)), goal(model, (0.0, 1.0)), seed=0, deadline=NEVER)
    knots = [0, 2, 4, 8]
    change = np.diff(plan.actions, axis=0)
    if interpolation == 'linear':
        change = np.diff(change, axis=0)
    changing = {int(i) + 1 for i in np.flatnonzero(np.abs(change).max(1) > 1e-5)}
    assert changing <= set(knots)


@pytest.mark.parametrize('refinement', [None, REFINED])
def test_a_model_that_fails_for_some_sequences_still_gives_a_finite_plan(
    failing_model: WorldModel, refinement: dict[str, Any] | None,
) -> None:
    model = failing_model
    planner = Planner(model, with_settings(model, refinement=refinement))
    plan = planner.plan(at(model, (0.0, 0.0)), goal(model, (2.9, 0.0)), seed=0, deadline=NEVER)
    assert math.isfinite(plan.cost)
    assert np.isfinite(plan.latents).all()
    assert plan.actions[:, 0].max() <= 1.1
    assert plan.step_costs[-1] < plan.goal_distance


@pytest.mark.parametrize('refinement', [None, REFINED])
def test_a_model_that_fails_for_every_sequence_leaves_the_warm_start_and_says_so(
    failing_model: WorldModel, refinement: dict[str, Any] | None,
) -> None:
    model = failing_model
    planner = Planner(model, with_settings(model, refinement=refinement))
    context = model.context(np.full(6, np.nan, np.float32))
    warm = warm_start_of(3)
    plan = planner.plan(context, goal(model, (0.0, 0.0)), warm_start=warm, seed=0, deadline=NEVER)
    assert plan.cost == math.inf
    np.testing.assert_array_equal(plan.actions, warm.actions)


@dataclass
class SlowModel:
    """A model on a machine where it takes time to imagine, and to judge; `now` is its clock."""

    model: WorldModel
    per_sample: float
    per_distance: float = 0.0
    now: float = 0.0

    @property
    def bundle(self) -> Any:
        return self.model.bundle

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def score(self, context: Context, target: Array, actions: Array,
              residuals: bool = False) -> Scores:
        self.now += self.per_sample * len(actions)
        return self.model.score(context, target, actions, residuals)

    def imagine(self, context: Context, actions: Array) -> Array:
        self.now += self.per_sample * len(actions)
        return self.model.imagine(context, actions)

    def goal_distance(self, context: Context, target: Array) -> float:
        self.now += self.per_distance
        return self.model.goal_distance(context, target)


@pytest.mark.parametrize('refinement', [None, REFINED])
@pytest.mark.parametrize('fraction', [0.05, 0.3, 0.6, 1.5, 3.0, 10.0])
def test_a_plan_shrinks_to_keep_its_deadline(
    model: WorldModel, fraction: float, refinement: dict[str, Any] | None,
) -> None:
    slow = SlowModel(model, per_sample=0.001)
    settings = with_settings(model, refinement=refinement)
    planner = Planner(slow, settings, clock=lambda: slow.now)  # type: ignore[arg-type]
    batch = 0.001 * settings.samples
    started = slow.now
    plan = planner.plan(at(model, (1.0, 0.0)), goal(model, (0.0, 1.0)), seed=0,
                        deadline=started + fraction * batch)
    assert slow.now <= started + fraction * batch + 1e-9
    assert plan.samples == round((slow.now - started) / 0.001)
    assert plan.samples >= 0.9 * min(fraction, 1) * settings.samples - 1
    assert plan.planning_time == pytest.approx(slow.now - started)


def test_a_deadline_that_is_over_still_gives_the_warm_start(model: WorldModel) -> None:
    slow = SlowModel(model, per_sample=0.001)
    planner = Planner(slow, model.bundle.manifest.planner,  # type: ignore[arg-type]
                      clock=lambda: slow.now)
    warm = warm_start_of(2)
    plan = planner.plan(at(model, (1.0, 0.0)), goal(model, (0.0, 1.0)), warm_start=warm, seed=0,
                        deadline=slow.now - 1.0)
    assert plan.samples == 1
    np.testing.assert_array_equal(plan.actions, warm.actions)


def test_a_machine_that_slows_down_makes_the_next_batch_smaller_not_later(
    model: WorldModel,
) -> None:
    slow = SlowModel(model, per_sample=0.001)
    settings = model.bundle.manifest.planner
    planner = Planner(slow, settings, clock=lambda: slow.now)  # type: ignore[arg-type]
    slow.per_sample = 0.004
    context, target = at(model, (1.0, 0.0)), goal(model, (0.0, 1.0))
    planner.plan(context, target, seed=0, deadline=slow.now + 0.1)
    started = slow.now
    plan = planner.plan(context, target, seed=0, deadline=started + 0.1)
    assert slow.now <= started + 0.1 + 1e-9
    assert plan.samples <= 25


@pytest.mark.parametrize('refinement', [None, REFINED])
@pytest.mark.parametrize(('per_batch', 'per_distance'), [(0.01, 0.0), (0.0, 0.01), (0.01, 0.01)])
def test_from_the_second_plan_on_what_is_not_imagining_is_no_reason_to_be_late(
    model: WorldModel, monkeypatch: pytest.MonkeyPatch, refinement: dict[str, Any] | None,
    per_batch: float, per_distance: float,
) -> None:
    slow = SlowModel(model, per_sample=0.001, per_distance=per_distance)
    moved = Sequences.moved

    def made(*arguments: Any) -> Array:  # once for each batch of the search
        slow.now += per_batch
        return moved(*arguments)

    monkeypatch.setattr(Sequences, 'moved', made)
    planner = Planner(slow, with_settings(model, refinement=refinement),  # type: ignore[arg-type]
                      clock=lambda: slow.now)
    context, target = at(model, (1.0, 0.0)), goal(model, (0.0, 1.0))
    late = []
    for seed in range(5):
        deadline = slow.now + 0.1
        plan = planner.plan(context, target, seed=seed, deadline=deadline)
        late.append(slow.now - deadline)
        assert plan.samples > 40
    assert max(late[1:]) <= 1e-9, late


def test_a_stall_does_not_spoil_the_plans_behind_it(model: WorldModel) -> None:
    slow = SlowModel(model, per_sample=0.001)
    planner = Planner(slow, model.bundle.manifest.planner,  # type: ignore[arg-type]
                      clock=lambda: slow.now)
    context, target = at(model, (1.0, 0.0)), goal(model, (0.0, 1.0))

    def plan_within(seconds: float) -> Plan:
        return planner.plan(context, target, seed=0, deadline=slow.now + seconds)

    calm = plan_within(10.0)
    slow.per_sample = 0.1
    plan_within(0.1)
    slow.per_sample = 0.001
    # Within one plan what fits is found again, and far deadlines are no matter of the machine.
    plan_within(0.1)
    assert plan_within(0.1).samples > 80
    slow.per_sample = 0.1
    plan_within(0.1)
    slow.per_sample = 0.001
    assert same(plan_within(10.0), calm)


def test_a_plan_tells_the_time_and_the_samples_it_took(model: WorldModel) -> None:
    planner = Planner(model, model.bundle.manifest.planner)
    started = time.monotonic()
    plan = planner.plan(at(model, (1.0, 0.0)), goal(model, (0.0, 1.0)), seed=0,
                        deadline=started + 5.0)
    assert 0 < plan.planning_time <= time.monotonic() - started
    assert plan.samples == 4 * 64 + 1
    assert plan.iterations == 4


@pytest.mark.parametrize('changes', [
    {}, {'decay': 1.5}, {'decay': 2.0, 'refinement': {'rounds': 2, 'knots': (0, 4, 8)}},
])
def test_the_settings_say_how_many_sequences_a_plan_imagines_that_has_the_time(
    model: WorldModel, changes: dict[str, Any],
) -> None:
    known = with_settings(model, **{'sampler': 'icem', 'noise_exponent': 1.0, 'decay': 1.0,
                                    'kept_elites': 3, **changes})
    plan = Planner(model, known).plan(
        at(model, (1.0, 0.0)), goal(model, (0.0, 1.0)), seed=0, deadline=NEVER)
    assert plan.samples == known.sequences(2)
