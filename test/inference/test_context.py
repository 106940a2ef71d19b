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
"""Contexts hold what the model needs, whatever the camera's rhythm; nothing here knows ROS."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import KINDS, Kind, Reference, write_small_bundle

from world_model_ros.bundle.load import parse_manifest
from world_model_ros.inference import Context, ContextBuffer, FrameStack, WorldModel
from world_model_ros.inference.context import SpacedHistory, known_at, unseen_steps

Array = np.ndarray[Any, Any]
MS = 1_000_000


@pytest.fixture(scope='module')
def window(tmp_path_factory: pytest.TempPathFactory) -> WorldModel:
    """Three latents half a second apart, five rows of 0.1 s between them."""
    return WorldModel(write_small_bundle(tmp_path_factory.mktemp('w'), KINDS['window rollout']))


@pytest.fixture(scope='module')
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> WorldModel:
    return WorldModel(write_small_bundle(tmp_path_factory.mktemp('r'), KINDS['recurrent']))


def latent(index: int) -> Array:
    return np.full(6, index, np.float32)


def state(index: int) -> Array:
    return np.full(6, 10 + index, np.float32)


def executed(start: int, end: int, count: int) -> Array:
    """Rows that tell their own beginning [s], and count as asked for."""
    begins = np.linspace(start, end, count, endpoint=False) / 1e9
    return np.stack([begins, begins], axis=1).astype(np.float32)


def nothing(start: int, end: int, count: int) -> None:
    """No plan is known."""


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rate=st.sampled_from([2.0, 2.4, 3.0, 5.0, 10.0, 30.0]))
def test_latents_are_a_model_step_apart_at_any_rate_and_jitter(
    window: WorldModel, data: st.DataObject, rate: float,
) -> None:
    buffer = ContextBuffer(window.manifest, window)
    jitter = data.draw(st.lists(st.floats(-0.09, 0.09), min_size=40, max_size=40))
    period = 1 / rate
    stamps: list[int] = []
    for index, shift in enumerate(jitter):
        stamps.append(round((100 + (index + shift) * period) * 1e9))
        context = buffer.add(stamps[-1], latent(index), state(index), executed)
        chosen = [stamps[int(it[0])] / 1e9 for it in context.latents]
        assert chosen[-1] == stamps[-1] / 1e9
        gaps = np.diff(chosen)
        assert len(chosen) <= 3
        off = np.abs(chosen[-1] - np.array(chosen)[::-1] - 0.5 * np.arange(len(chosen)))
        assert (off < 0.25).all()
        assert (gaps > 0).all()
        if stamps[-1] - stamps[0] > 1.3e9:
            assert len(chosen) == 3
            assert (gaps > 0.2).all()
            # Half a period at most, and what jitter adds; none at the model's own rate.
            assert (off <= (0.18 if rate == 2.0 else 0.68) * period + 1e-6).all()
        assert buffer.length == len(chosen)
        np.testing.assert_array_equal(
            context.proprioception, context.latents + 10)
        assert context.past_actions.shape == (5 * (len(chosen) - 1), 2)
        if len(chosen) > 1:
            # The rows lie between the latents that were chosen.
            begins = context.past_actions[::5, 0]
            np.testing.assert_allclose(begins, chosen[:-1], rtol=1e-6)


def test_the_context_begins_after_what_nobody_knows(window: WorldModel) -> None:
    buffer = ContextBuffer(window.manifest, window)

    def known_late(start: int, end: int, count: int) -> Array | None:
        return executed(start, end, count) if start >= 500 * MS else None

    for index in range(3):
        context = buffer.add((1 + index * 500) * MS, latent(index), None, known_late)
    assert [int(it[0]) for it in context.latents] == [1, 2]
    assert context.proprioception is None
    assert len(buffer.add(2000 * MS, latent(4), None, nothing).latents) == 1


def test_a_gap_in_the_camera_ends_the_context(window: WorldModel) -> None:
    buffer = ContextBuffer(window.manifest, window)
    for stamp in (0, 500, 1000):
        full = buffer.add((1 + stamp) * MS, latent(stamp), None, executed)
    assert len(full.latents) == 3
    assert len(buffer.add(1801 * MS, latent(9), None, executed).latents) == 1


def test_a_picture_lost_by_a_camera_as_fast_as_the_model_ends_the_context(
    window: WorldModel,
) -> None:
    buffer = ContextBuffer(window.manifest, window)
    lengths = []
    for index in (0, 1, 2, 4, 5, 6):
        buffer.add((1 + index * 500) * MS, latent(index), None, executed)
        lengths.append(buffer.length)
    assert lengths == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize(('rate', 'step'), [(15.0, 0.1), (30.0, 0.05), (6.0, 0.25), (12.0, 0.1),
                                            (30.0, 1 / 30), (14.9, 1 / 15), (1000.0, 0.1)])
def test_every_camera_as_fast_as_the_model_fills_a_history_with_different_pictures(
    rate: float, step: float,
) -> None:
    history: SpacedHistory[int] = SpacedHistory(8, step)
    for index in range(round(9 * step * rate) + 2):
        history.add(round(index / rate * 1e9), index)
    found = [index for _, index in history.spaced()]
    assert len(found) == 8 == known_at(rate, 8, step)
    assert (np.diff(found) > 0).all()


def test_no_picture_stands_in_two_places() -> None:
    """Half a step away from both, whatever is said of a tie."""
    history: SpacedHistory[int] = SpacedHistory(4, 0.1)
    for stamp in (0, 150, 300):
        history.add(stamp * MS, stamp)
    assert history.spaced() == [(300 * MS, 300)]
    assert [known_at(rate, 4, 0.1) for rate in (5.0, 7.0, 9.0, 10.0, 1e9)] == [1, 2, 4, 4, 4]


def test_a_clock_that_is_set_back_starts_afresh(window: WorldModel) -> None:
    buffer = ContextBuffer(window.manifest, window)
    buffer.add(500 * MS, latent(0), None, executed)
    assert len(buffer.add(1000 * MS, latent(1), None, executed).latents) == 2
    assert len(buffer.add(400 * MS, latent(2), None, executed).latents) == 1
    assert len(buffer.add(900 * MS, latent(3), None, executed).latents) == 2
    buffer.clear()
    assert buffer.length == 0
    assert len(buffer.add(1400 * MS, latent(3), None, executed).latents) == 1


def test_what_is_kept_does_not_grow(window: WorldModel) -> None:
    history: SpacedHistory[int] = SpacedHistory(3, 0.5)
    for index in range(1000):
        history.add(index * 33 * MS, index)
        assert len(history._items) <= 1.25 / 0.033 + 2


@pytest.mark.parametrize('rate', [10.0, 30.0])
def test_recurrent_states_hold_every_whole_step_since_the_first_observation(
    recurrent: WorldModel, rate: float,
) -> None:
    reference = Reference(KINDS['recurrent'])
    buffer = ContextBuffer(recurrent.manifest, recurrent)
    generator = np.random.default_rng(3)
    per_step = round(rate * 0.1)
    memory, before = np.zeros(3), None
    for index in range(6 * per_step):
        seen = generator.normal(size=6).astype(np.float32)
        stamp = round(index / rate * 1e9)
        context = buffer.add(stamp, seen, None, executed)
        if index % per_step == 0:
            if before is not None:
                rows = executed(round((index - per_step) / rate * 1e9), stamp, 1)
                _, following = reference.rollout([before], np.empty((0, 2)), None, rows, memory)
                assert following is not None
                memory = following
            before = seen
            np.testing.assert_allclose(context.states['memory'], memory, atol=1e-5)
        np.testing.assert_array_equal(context.latent, seen)


@pytest.mark.parametrize('rate', [0.6, 1.1, 3.0, 8.0, 12.0, 15.0, 25.0])
def test_recurrent_states_keep_the_models_rhythm_whatever_the_cameras_is(
    recurrent: WorldModel, rate: float,
) -> None:
    class Counter:
        def advance(self, context: Context, actions: Array) -> Context:
            return replace(context, states={
                'memory': context.states.get('memory', np.zeros(3)) + len(actions)})

    buffer = ContextBuffer(recurrent.manifest, Counter())
    for index in range(200):
        context = buffer.add(round(index / rate * 1e9), latent(1), None, executed)
        if index:
            assert abs(context.states['memory'][0] - 10 * index / rate) <= 1.0
            assert buffer.memory == pytest.approx(index / rate)


def test_a_recurrent_model_forgets_after_two_seconds_without_pictures(
    recurrent: WorldModel,
) -> None:
    buffer = ContextBuffer(recurrent.manifest, recurrent)
    buffer.add(0, latent(1), None, executed)
    later = buffer.add(100 * MS, latent(1), None, executed)
    assert np.abs(later.states['memory']).max() > 0 and buffer.memory == 0.1
    gone = buffer.add(2200 * MS, latent(1), None, executed)
    np.testing.assert_array_equal(gone.states['memory'], np.zeros(3))
    assert buffer.memory == 0.0
    idle = buffer.add(2300 * MS, latent(1), None, nothing)
    assert np.abs(idle.states['memory']).max() > 0


def test_what_a_fast_model_imagines_before_an_observation_is_bounded(
    recurrent: WorldModel,
) -> None:
    fast = recurrent.manifest.action.model_copy(update={'step_duration': 0.002})
    assert unseen_steps(recurrent.manifest.model_copy(update={'action': fast})) == 64
    assert unseen_steps(recurrent.manifest) == 20


def test_recurrent_states_go_on_where_a_slow_camera_leaves_more_steps_than_a_plan_has(
    recurrent: WorldModel,
) -> None:
    reference, seen = Reference(KINDS['recurrent']), latent(1) / 10
    buffer = ContextBuffer(recurrent.manifest, recurrent)
    buffer.add(0, seen, None, executed)
    context = buffer.add(1000 * MS, seen, None, executed)  # ten steps, a plan has four
    rows = executed(0, 1000 * MS, 10)
    _, memory = reference.rollout([seen], np.empty((0, 2)), None, rows, np.zeros(3))
    np.testing.assert_allclose(context.states['memory'], memory, atol=1e-5)
    assert buffer.memory == 1.0


@pytest.mark.parametrize('gap', [(0, 1), (4, 6), (9, 10), (0, 10)])
def test_a_gap_in_what_was_executed_leaves_the_rest_of_a_slow_cameras_time_in_memory(
    recurrent: WorldModel, gap: tuple[int, int],
) -> None:
    reference, seen = Reference(KINDS['recurrent']), latent(1) / 10
    unknown = range(*gap)

    def partly(start: int, end: int, count: int) -> Array | None:
        asked = range(start // (100 * MS), -(-end // (100 * MS)))
        return None if set(asked) & set(unknown) else executed(start, end, count)

    buffer = ContextBuffer(recurrent.manifest, recurrent)
    buffer.add(0, seen, None, partly)
    context = buffer.add(1000 * MS, seen, None, partly)
    rows = executed(0, 1000 * MS, 10)
    # A velocity goes on where it is known what it was.
    rows[gap[0]:gap[1]] = rows[gap[0] - 1] if gap[0] else 0.0
    _, memory = reference.rollout([seen], np.empty((0, 2)), None, rows, np.zeros(3))
    np.testing.assert_allclose(context.states['memory'], memory, atol=1e-5)


def test_positions_that_a_model_does_not_read_stay_where_they_were_last_told_to_be(
    tmp_path: Path,
) -> None:
    kind = replace(KINDS['recurrent'], action='joint_position')
    manifest = write_small_bundle(tmp_path, kind).manifest
    told: list[Array] = []

    class Told:
        def advance(self, context: Context, actions: Array) -> Context:
            told.extend(actions)
            return context

    buffer = ContextBuffer(manifest, Told())
    for index, known in enumerate((executed, executed, nothing, nothing)):
        buffer.add(index * 100 * MS, latent(1), None, known)
    (last, *gap) = told
    np.testing.assert_array_equal(gap, [last, last])


def test_a_context_is_ready_to_imagine_from(window: WorldModel) -> None:
    buffer = ContextBuffer(window.manifest, window)
    reference = Reference(KINDS['window rollout'])
    context: Context | None = None
    for index in range(3):
        image, known = reference.images(1, index)[0], reference.states(1, index)[0]
        context = buffer.add((1 + index * 500) * MS, window.encode(image, known), known, executed)
    assert context is not None
    assert window.imagine(context, reference.actions(2)).shape == (2, 4, 6)


def test_frames_are_stacked_a_model_step_apart_with_the_oldest_repeated(tmp_path: Path) -> None:
    write_small_bundle(tmp_path, Kind(rows=2))
    data = yaml.safe_load((tmp_path / 'bundle.yaml').read_text())
    data['image']['frames'] = 4
    manifest = parse_manifest(tmp_path, yaml.safe_dump(data).encode())
    stack = FrameStack(manifest)
    picture = np.zeros((6, 6, 3), np.uint8)
    seen = [stack.add(1 + index * 100 * MS, picture + index)[:, 0, 0, 0].tolist()
            for index in range(8)]
    assert seen[0] == [0, 0, 0, 0]
    assert seen[2] == [0, 0, 0, 2]
    assert seen[7] == [1, 3, 5, 7]
    stack.clear()
    assert stack.add(900 * MS, picture + 9)[:, 0, 0, 0].tolist() == [9] * 4


def test_a_camera_half_as_fast_again_as_the_model_shows_motion_in_stacked_frames(
    tmp_path: Path,
) -> None:
    write_small_bundle(tmp_path, Kind())
    data = yaml.safe_load((tmp_path / 'bundle.yaml').read_text())
    data['image']['frames'] = 3
    stack = FrameStack(parse_manifest(tmp_path, yaml.safe_dump(data).encode()))
    picture = np.zeros((6, 6, 3), np.uint8)
    seen = [stack.add(round(index / 15 * 1e9), picture + index)[:, 0, 0, 0].tolist()
            for index in range(7)][-1]
    assert seen in ([3, 4, 6], [3, 5, 6])


def test_frames_of_several_cameras_are_stacked_within_each_camera(tmp_path: Path) -> None:
    write_small_bundle(tmp_path, Kind())
    data = yaml.safe_load((tmp_path / 'bundle.yaml').read_text())
    data['image'].update(frames=3, cameras=['left', 'right'])
    stack = FrameStack(parse_manifest(tmp_path, yaml.safe_dump(data).encode()))
    pictures = np.zeros((2, 6, 6, 3), np.uint8)
    pictures[1] = 100
    seen = [stack.add(1 + index * 100 * MS, pictures + index) for index in range(3)][-1]
    assert seen.shape == (2, 3, 6, 6, 3)
    assert seen[:, :, 0, 0, 0].tolist() == [[0, 1, 2], [100, 101, 102]]
    assert stack.still(pictures)[:, :, 0, 0, 0].tolist() == [[0] * 3, [100] * 3]


def test_one_frame_is_the_picture_itself(window: WorldModel) -> None:
    picture = np.zeros((6, 6, 3), np.uint8)
    assert FrameStack(window.manifest).add(0, picture) is picture
