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
"""Every kind of bundle imagines and judges as an independent reference does, in any chunks."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from small_models import HORIZON, KINDS, STEP, Kind, Reference, write_small_bundle

from world_model_ros.bundle import BundleError, write_manifest
from world_model_ros.inference import (
    Context,
    InferenceError,
    JointTarget,
    WorldModel,
    golden_start,
)
from world_model_ros.inference.dynamics import StepLoop, beginnings

Array = np.ndarray[Any, Any]
Small = tuple[WorldModel, Reference]
KIND_NAMES = list(KINDS)


@pytest.fixture(scope='module')
def smalls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Small]:
    folder = tmp_path_factory.mktemp('small')
    return {name: (WorldModel(write_small_bundle(folder / str(i), kind)), Reference(kind))
            for i, (name, kind) in enumerate(KINDS.items())}


@pytest.fixture(params=KIND_NAMES)
def small(request: pytest.FixtureRequest, smalls: dict[str, Small]) -> Small:
    return smalls[request.param]


def observed(reference: Reference, count: int, seed: int) -> tuple[Context, Array | None]:
    """A context of so many observations, and a goal."""
    kind = reference.kind
    images = reference.images(count + 1, seed) if kind.image else [None] * (count + 1)
    states = reference.states(count + 1, seed) if kind.rule else None
    pairs = list(zip(images, [None] * (count + 1) if states is None else states, strict=True))
    latents = np.array([reference.encode(*it) for it in pairs[:count]], np.float32)
    past = reference.actions(1, count - 1, seed + 1)[0]
    goal = (None if kind.discount is not None
            else np.asarray(reference.goal(*pairs[-1]), np.float32))
    memory = {'memory': np.zeros(3, np.float32)} if kind.predictor == 'recurrent' else {}
    return Context(latents, past, None if states is None else states[:count], memory), goal


def imagined(reference: Reference, context: Context, rows: Array) -> list[Array]:
    return reference.rollout(list(context.latents), context.past_actions,
                             None if context.proprioception is None
                             else list(context.proprioception), rows)[0]


def close(actual: Array, expected: Any) -> None:
    expected = np.asarray(expected)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_model_reproduces_golden_vectors_that_its_graphs_did_not_make(small: Small) -> None:
    assert max(small[0].golden_errors.values()) < 2e-6


def test_observations_and_goals_are_encoded_as_the_manifest_says(small: Small) -> None:
    model, reference = small
    kind = reference.kind
    image = reference.images(1, 5)[0] if kind.image else None
    state = reference.states(1, 5)[0] if kind.rule else None
    close(model.encode(image, state), reference.encode(image, state))
    if kind.discount is None:
        goal = model.encode_goal(image, state)
        close(goal, reference.goal(image, state))
        assert goal.shape == model.manifest.goal_shape
        seen = np.asarray(reference.encode(image, None if kind.goal_parts else state), np.float32)
        close(model.goal_of(seen), goal)


def test_imagined_latents_are_those_of_the_reference(small: Small) -> None:
    model, reference = small
    context, _ = observed(reference, max(1, reference.kind.history), seed=20)
    actions = reference.actions(7, seed=21)
    latents = model.imagine(context, actions)
    assert latents.shape == (7, HORIZON, *reference.kind.shape)
    assert latents.dtype == np.float32
    close(latents, [imagined(reference, context, rows) for rows in actions])


@pytest.mark.parametrize('steps', [1, HORIZON - 1])
def test_fewer_steps_than_the_horizon_are_imagined_alike(small: Small, steps: int) -> None:
    model, reference = small
    context, _ = observed(reference, max(1, reference.kind.history), seed=30)
    rows = reference.actions(2, steps, seed=31)
    close(model.imagine(context, rows), [imagined(reference, context, it) for it in rows])


def test_what_sequences_have_in_common_changes_nothing_of_what_they_lead_to(small: Small) -> None:
    model, reference = small
    context, _ = observed(reference, max(1, reference.kind.history), seed=32)
    actions = reference.actions(9, seed=33)
    rows = reference.kind.rows
    actions[1:6, :rows] = actions[0, :rows]
    actions[2:4, :-1] = actions[0, :-1]
    actions[7] = actions[4]
    close(model.imagine(context, actions), [imagined(reference, context, it) for it in actions])


def test_a_loop_imagines_once_what_sequences_have_in_common(
    smalls: dict[str, Small], monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ('window', 'growing with twists', 'markov', 'recurrent, joints integrated'):
        model, reference = smalls[name]
        context, _ = observed(reference, max(1, reference.kind.history), seed=34)
        actions = np.repeat(reference.actions(1, seed=35), 1 + HORIZON, axis=0)
        for step in range(HORIZON):  # one that differs from each step on
            actions[1 + step, step * reference.kind.rows] += 0.01
        sizes: list[int] = []
        run = model._graphs.run

        def counted(graph: str, feeds: dict[str, Any], run: Any = run, sizes: list[int] = sizes,
                    ) -> dict[str, Any]:
            sizes.append(len(next(iter(feeds.values()))))
            return dict(run(graph, feeds))

        monkeypatch.setattr(model._graphs, 'run', counted)
        model.imagine(context, actions)
        assert sizes == [2 + step for step in range(HORIZON)]


@given(arrays(np.float32, array_shapes(min_dims=3, max_dims=3, max_side=6),
              elements=st.sampled_from([0.0, 1.0])))
def test_beginnings_are_told_apart_by_every_number_so_far(actions: Array) -> None:
    last = np.zeros(len(actions), int)
    every = np.arange(len(actions))
    steps = list(beginnings(actions))
    assert len(steps) == actions.shape[1]
    for step, (before, example, which) in enumerate(steps):
        so_far = actions[:, :step + 1]
        now = every[which]
        np.testing.assert_array_equal(so_far[example][now], so_far)
        assert len(so_far[example]) == len({it.tobytes() for it in so_far})
        np.testing.assert_array_equal(np.arange(last.max() + 1)[before][now], last)
        last = now


def test_the_thirty_best_of_300_sequences_are_those_of_the_reference(small: Small) -> None:
    model, reference = small
    context, goal = observed(reference, max(1, reference.kind.history), seed=40)
    actions = reference.actions(300, seed=41)
    costs, steps, latents, *_ = model.score(context, goal, actions)
    expected = [reference.cost(context.latent, goal, rows, imagined(reference, context, rows))
                for rows in actions]
    close(costs, expected)
    assert steps.shape == (300, HORIZON)
    if reference.kind.dynamics == 'rollout':
        assert latents is not None
        close(latents, imagined(reference, context, actions[int(np.argmin(costs))]))
    else:
        assert latents is None
    assert list(np.argsort(costs, kind='stable')[:30]) == list(
        np.argsort(expected, kind='stable')[:30])


@pytest.mark.parametrize('name', [name for name, kind in KINDS.items() if kind.discount is None])
def test_the_goal_distance_of_each_step_is_the_first_terms(
    smalls: dict[str, Small], name: str,
) -> None:
    model, reference = smalls[name]
    context, goal = observed(reference, max(1, reference.kind.history), seed=45)
    assert goal is not None
    actions = reference.actions(3, seed=46)
    steps = model.score(context, goal, actions).steps
    source, metric, reduction = reference.kind.terms[0][:3]
    expected = [[reference.distance(latent, goal, source, metric, reduction)
                 for latent in imagined(reference, context, rows)] for rows in actions]
    close(steps, expected)
    close(model.distance(model.imagine(context, actions), goal), expected)


@pytest.mark.parametrize('name', [name for name, kind in KINDS.items() if kind.discount is None])
def test_squares_of_the_residuals_add_up_to_the_costs(
    smalls: dict[str, Small], name: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, reference = smalls[name]
    context, goal = observed(reference, max(1, reference.kind.history), seed=47)
    actions = reference.actions(20, seed=48)
    for size in (100, 7):
        monkeypatch.setattr(model, 'chunk_size', lambda size=size: size)
        scores = model.score(context, goal, actions, residuals=True)
        assert scores.residuals is not None
        close(np.square(scores.residuals).sum(1), scores.costs)
        terms = model.manifest.cost.terms
        assert len(scores.roots) == sum(term.metric in ('l1', 'l2') for term in terms)
        for begin, end, numbers in scores.roots:
            assert 0 <= begin < end <= scores.residuals.shape[1]
            assert (end - begin) % numbers == 0
    assert model.score(context, goal, actions).residuals is None


def test_squares_of_a_joint_targets_residuals_add_up_to_the_costs(
    smalls: dict[str, Small],
) -> None:
    model, reference = smalls['recurrent, joints integrated']
    context, _ = observed(reference, 1, seed=47)
    target = JointTarget(('a', 'c'), (0.3, -0.2))
    scores = model.score(context, target, reference.actions(20, seed=48), residuals=True)
    assert scores.residuals is not None
    close(np.square(scores.residuals).sum(1), scores.costs)


def test_a_return_has_no_residuals(smalls: dict[str, Small]) -> None:
    model, reference = smalls['markov with a return']
    context, goal = observed(reference, 1, seed=47)
    assert model.score(context, goal, reference.actions(3), residuals=True).residuals is None


def test_the_size_of_chunks_does_not_change_what_sequences_are_worth(
    small: Small, monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, reference = small
    context, goal = observed(reference, max(1, reference.kind.history), seed=50)
    actions = reference.actions(100, seed=51)
    whole, latents = model.score(context, goal, actions), model.imagine(context, actions)
    for size in (1, 7, 99):
        monkeypatch.setattr(model, 'chunk_size', lambda size=size: size)
        parts = model.score(context, goal, actions)
        np.testing.assert_allclose(parts.costs, whole.costs, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(parts.steps, whole.steps, rtol=1e-5, atol=1e-6)
        if whole.latents is not None and parts.latents is not None:
            np.testing.assert_allclose(parts.latents, whole.latents, atol=1e-6)
        np.testing.assert_allclose(model.imagine(context, actions), latents, atol=1e-6)
        np.testing.assert_array_equal(np.argsort(parts.costs)[:30], np.argsort(whole.costs)[:30])


def test_a_window_that_is_not_full_yet_continues_a_robot_that_stood_still(
    smalls: dict[str, Small],
) -> None:
    for name in ('window rollout', 'window rollout, state held'):
        model, reference = smalls[name]
        length = reference.kind.length
        context, _ = observed(reference, 1, seed=60)
        rows = reference.actions(2, seed=61)
        still = np.zeros(((length - 1) * reference.kind.rows, 2))
        states = None if context.proprioception is None else [*context.proprioception] * length
        close(model.imagine(context, rows), [
            reference.rollout([context.latent] * length, still, states, it)[0] for it in rows])


def test_a_predictor_of_a_window_starts_with_what_there_is(smalls: dict[str, Small]) -> None:
    for name in ('window', 'growing beyond its length', 'growing with twists'):
        model, reference = smalls[name]
        for count in range(1, reference.kind.history + 1):
            context, _ = observed(reference, count, seed=70 + count)
            rows = reference.actions(2, seed=71)
            close(model.imagine(context, rows), [imagined(reference, context, it) for it in rows])


def test_a_context_rolled_through_committed_actions_goes_on_as_if_they_were_imagined(
    small: Small,
) -> None:
    model, reference = small
    kind = reference.kind
    context, _ = observed(reference, max(1, kind.history), seed=80)
    rows = reference.actions(1, seed=81)[0]
    done = 2 * kind.rows
    later = model.advance(context, rows[:done])
    assert len(later.latents) <= kind.history
    close(later.latent, imagined(reference, context, rows)[1])
    if kind.predictor != 'growing':  # which forgets what is beyond its observed history
        whole = model.imagine(context, rows[None])[0]
        close(model.imagine(later, rows[None, done:])[0], whole[2:])


def test_recurrent_states_move_on_with_what_was_done(smalls: dict[str, Small]) -> None:
    for name in ('recurrent', 'recurrent, joints integrated'):
        model, reference = smalls[name]
        context, _ = observed(reference, 1, seed=90)
        rows = reference.actions(1, 3, seed=91)[0]
        states = None if context.proprioception is None else [*context.proprioception]
        memory = reference.rollout([context.latent], context.past_actions, states, rows)[1]
        close(model.advance(context, rows).states['memory'], memory)


def test_a_context_moves_on_with_one_call_of_the_predictor_for_each_step(
    smalls: dict[str, Small], monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ('markov', 'recurrent', 'recurrent, joints integrated', 'window'):
        model, reference = smalls[name]
        context, _ = observed(reference, max(1, reference.kind.history), seed=92)
        calls: list[str] = []
        run = model._graphs.run

        def counted(graph: str, feeds: Any, run: Any = run, calls: list[str] = calls) -> Any:
            calls.append(graph)
            return run(graph, feeds)

        monkeypatch.setattr(model._graphs, 'run', counted)
        model.advance(context, reference.actions(1, 3, seed=93)[0])
        assert calls == ['predictor'] * 3


def test_plans_may_be_shorter_than_what_a_graph_imagines(small: Small) -> None:
    model, reference = small
    context, goal = observed(reference, max(1, reference.kind.history), seed=94)
    for steps in range(1, HORIZON):
        actions = reference.actions(5, steps, seed=95)
        scores = model.score(context, goal, actions)
        expected = [reference.cost(context.latent, goal, rows, imagined(reference, context, rows))
                    for rows in actions]
        close(scores.costs, expected)
        assert scores.steps.shape == (5, steps)
        if scores.latents is not None:
            close(scores.latents, imagined(reference, context, actions[int(np.argmin(expected))]))


def test_a_loop_that_leaves_tensors_where_they_are_gives_the_same(
    smalls: dict[str, Small],
) -> None:
    for name in ('markov', 'markov with a return', 'recurrent', 'recurrent, joints integrated'):
        model, reference = smalls[name]
        predictor = model.manifest.graphs.predictor
        assert predictor is not None
        shapes = getattr(predictor, 'states', {})
        context, _ = observed(reference, 1, seed=100)
        start, steps = model._start(context, reference.actions(20, seed=101))
        free, bound = (StepLoop(model.manifest, model._graphs, shapes, bound=bound)
                       for bound in (False, True))
        np.testing.assert_array_equal(*(
            np.concatenate(list(loop.blocks(start, steps)), axis=1) for loop in (free, bound)))
        one = model._start(context, reference.actions(1, seed=102))
        (latents, states), (again, kept) = (loop.path(*one) for loop in (free, bound))
        np.testing.assert_array_equal(latents, again)
        assert states.keys() == kept.keys() == shapes.keys()
        for state in shapes:
            np.testing.assert_array_equal(states[state], kept[state])


def big(folder: Path, memory: int) -> tuple[WorldModel, Reference]:
    kind = Kind('predictor', 'growing', 3, 1, shape=(16, 40), parts={'all': (0, 40)})
    bundle = write_small_bundle(folder, kind, lambda m: m['planner'].update(memory=memory))
    return WorldModel(bundle), Reference(kind)


def test_scoring_keeps_to_the_memory_that_the_manifest_allows(tmp_path: Path) -> None:
    model, reference = big(tmp_path, memory=1)
    context, goal = observed(reference, 1, seed=1)
    actions = reference.actions(1000, seed=2)
    all_latents = 1000 * HORIZON * 16 * 40 * 4 / 2**20
    assert all_latents > 9
    assert 1 < model.chunk_size() < 100
    model.score(context, goal, actions[:1])
    tracemalloc.start()
    try:
        model.score(context, goal, actions)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < 1.5


def test_a_chunk_holds_as_many_sequences_as_fit_into_memory(tmp_path: Path) -> None:
    kind = Kind('predictor', 'growing', 2, 1, shape=(32, 8), parts={'all': (0, 8)})
    model = WorldModel(write_small_bundle(tmp_path, kind))
    # Two contexts of two latents, the step and its difference to the goal.
    per_sequence = 32 * 8 * 4 * (2 * 2 + 2)
    assert model.chunk_size() == pytest.approx(64 * 2**20 / per_sequence, rel=0.02)


def test_the_runtimes_own_buffers_count_where_they_were_measured(tmp_path: Path) -> None:
    bundle = write_small_bundle(tmp_path, KINDS['window'],
                                lambda manifest: manifest['planner'].update(workspace=6.0))
    assert WorldModel(bundle).chunk_size() == 10


@pytest.fixture
def long_call(tmp_path: Path) -> Iterator[tuple[WorldModel, threading.Thread, list[Any]]]:
    """A model in the middle of scoring for many seconds, in another thread."""
    model, reference = big(tmp_path, memory=4)
    context, goal = observed(reference, 1, seed=1)
    actions = reference.actions(100_000, seed=2)
    raised: list[Any] = []

    def run() -> None:
        try:
            model.score(context, goal, actions)
        except InferenceError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 20
    while not model._graphs._calls and time.monotonic() < deadline:
        thread.join(0.005)
    yield model, thread, raised
    model.interrupt()
    thread.join(20)


def test_an_interrupted_call_raises_and_later_calls_work(
    long_call: tuple[WorldModel, threading.Thread, list[Any]],
) -> None:
    model, thread, raised = long_call
    started = time.monotonic()
    model.interrupt()
    thread.join(20)
    assert not thread.is_alive()
    assert time.monotonic() - started < 5
    assert 'interrupted' in str(raised[0])
    context, goal = golden_start(model.bundle)
    assert np.isfinite(model.score(context, goal, model.bundle.golden.actions).costs).all()


def test_interrupting_an_idle_model_changes_nothing(smalls: dict[str, Small]) -> None:
    model, _ = smalls['growing']
    model.interrupt()
    context, goal = golden_start(model.bundle)
    model.score(context, goal, model.bundle.golden.actions)


def test_a_closed_model_ends_its_calls_and_takes_no_more(
    long_call: tuple[WorldModel, threading.Thread, list[Any]],
) -> None:
    model, thread, raised = long_call
    model.close()
    thread.join(20)
    assert not thread.is_alive()
    assert 'interrupted' in str(raised[0])
    with pytest.raises(InferenceError, match='closed'):
        model.encode(model.bundle.golden.image[0], None)  # type: ignore[index]


def test_inputs_that_do_not_fit_are_refused_with_what_would(smalls: dict[str, Small]) -> None:
    model, reference = smalls['window']
    context, goal = golden_start(model.bundle)
    rows = reference.actions(2)
    with pytest.raises(InferenceError, match=r'whole model steps of 5 rows, at most 20'):
        model.score(context, goal, rows[:, :7])
    with pytest.raises(InferenceError, match='whole model steps'):
        model.imagine(context, np.concatenate([rows, rows], axis=1))
    with pytest.raises(InferenceError, match='whole model steps'):
        model.score(context, goal, rows[:0])
    for wrong in (rows[0, :7], np.concatenate([rows[0], rows[0]]), rows[0, :0]):
        with pytest.raises(InferenceError, match='whole model steps'):
            model.advance(context, wrong)
    for wrong in (None, np.zeros(3, np.float32), np.full(model.manifest.goal_shape, np.nan)):
        with pytest.raises(InferenceError, match=r'goal must be \[4, 5\] finite'):
            model.score(context, wrong, rows)
    with pytest.raises(InferenceError, match='image is missing'):
        model.encode(None, reference.states(1)[0])
    with pytest.raises(InferenceError, match='proprioception is missing'):
        model.encode(reference.images(1)[0], None)
    markov, its = smalls['markov']
    with pytest.raises(InferenceError, match='lacks the proprioception'):
        markov.imagine(markov.context(golden_start(markov.bundle)[0].latent), its.actions(1))
    with pytest.raises(InferenceError, match='no policy'):
        model.policy(context.latent)


def test_a_model_with_a_return_has_no_goals(smalls: dict[str, Small]) -> None:
    model, reference = smalls['markov with a return']
    context, goal = golden_start(model.bundle)
    assert goal is None
    with pytest.raises(InferenceError, match='no goals'):
        model.score(context, np.zeros(6, np.float32), reference.actions(2))
    with pytest.raises(InferenceError, match='no goals'):
        model.encode_goal(None, reference.states(1)[0])
    with pytest.raises(InferenceError, match='no goals'):
        model.distance(context.latent, context.latent)
    assert model.deviation(context.latent, context.latent + 0.5) == pytest.approx(0.5)


def test_a_predictor_that_fixes_the_length_of_its_context_is_refused(tmp_path: Path) -> None:
    write_small_bundle(tmp_path, KINDS['window'])
    model = onnx.load(tmp_path / 'dynamics.onnx')
    for tensor in model.graph.input:
        tensor.type.tensor_type.shape.dim[1].dim_value = 3
    onnx.save(model, tmp_path / 'dynamics.onnx')
    manifest = yaml.safe_load((tmp_path / 'bundle.yaml').read_text())
    del manifest['files'], manifest['schema_version']
    bundle = write_manifest(tmp_path, manifest)
    with pytest.raises(BundleError, match=r'graphs\.predictor\.file.*"context" is float32 '
                       r'\[N, 3, 4, 5\].*\[batch, time, 4, 5\].*dynamic sizes'):
        WorldModel(bundle)


def test_idle_is_where_the_joints_are_for_positions_and_nothing_for_velocities(
    smalls: dict[str, Small],
) -> None:
    model, _ = smalls['growing beyond its length']
    context, _ = golden_start(model.bundle)
    assert context.proprioception is not None
    position = dict(zip(('a', 'b', 'c'), context.proprioception[-1][:3], strict=True))
    here = [position['c'], position['a']]
    np.testing.assert_array_equal(model.idle(context), here)
    told = np.array([0.7, 0.8], np.float32)  # and sags, say
    np.testing.assert_array_equal(model.idle(context, told), here)
    frozen, _ = smalls['growing']
    np.testing.assert_allclose(
        frozen.idle(golden_start(frozen.bundle)[0]), [0, 0, 0, 0, 0, 0.1, 0])
    assert STEP * frozen.manifest.action.rows_per_step == frozen.manifest.action.model_step
