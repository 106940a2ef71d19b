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

"""What is usual is measured on data, and what is not is seen: with a robot that slips as told."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from small_models import KINDS, Reference, write_small_bundle
from toy_bundle import STEP, VELOCITY_LIMIT, toy_image, write_toy_bundle

from world_model_ros.bundle import Bundle, load_bundle
from world_model_ros.cli.main import main
from world_model_ros.inference import Context, WorldModel
from world_model_ros.learning.calibration import (
    STEPS,
    CalibrationError,
    Experience,
    calibrate,
    read_experience,
    write,
)
from world_model_ros.planning import Planner

SLIP = 0.01  # rad per model step, of joint 0


def experience(episodes: int = 6, steps: int = 20, slip: ArrayLike = SLIP) -> Experience:
    """Episodes of a robot whose joint 0 always moves by `slip` further than it was asked to.

    slip: of all episodes, or one for each
    """
    chance = np.random.default_rng(0)
    return driven(chance.uniform(-VELOCITY_LIMIT, VELOCITY_LIMIT, (episodes, steps, 2)), slip)


def driven(actions: NDArray[np.float64], slip: ArrayLike = SLIP) -> Experience:
    """Episodes of this robot under actions [E, T, 2]."""
    episodes = len(actions)
    moved = STEP * actions
    moved[..., 0] += np.reshape(slip, (-1, 1))
    positions = np.concatenate([np.zeros((episodes, 1, 2)), np.cumsum(moved, 1)], 1)
    velocities = np.concatenate([np.zeros((episodes, 1, 2)), actions], 1)
    images: NDArray[np.uint8] = np.stack([
        np.stack([toy_image(position) for position in episode]) for episode in positions])
    return Experience({'': images}, np.concatenate([positions, velocities], 2).astype(np.float32),
                      actions.astype(np.float32))


@pytest.fixture(scope='module')
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_toy_bundle(tmp_path_factory.mktemp('bundle'))


def test_thresholds_of_surprise_are_what_the_robot_usually_does_otherwise(bundle: Bundle) -> None:
    found = calibrate(bundle, experience(), plans=4)
    # Expectations of k steps ago are off by k slips; the score is the mean over 1 to n steps.
    expected = [SLIP * (count + 1) / 2 for count in range(1, STEPS + 1)]
    np.testing.assert_allclose(found.threshold, expected, rtol=0.1)
    assert found.surprised < 0.05
    assert found.scores == sum(3 * (21 - count) for count in range(1, STEPS + 1))


def test_what_is_unusual_is_counted_in_episodes_that_did_not_give_the_thresholds(
    bundle: Bundle,
) -> None:
    slips = np.tile([SLIP, 2 * SLIP], 3)
    one, other = (calibrate(bundle, experience(slip=each), plans=4)
                  for each in (slips, slips[::-1]))
    np.testing.assert_allclose(np.divide(other.threshold, one.threshold), 2.0, rtol=0.1)
    assert one.surprised > 0.95
    assert other.surprised == 0.0


def test_a_goal_that_was_reached_is_within_reach_and_another_world_is_not(bundle: Bundle) -> None:
    found = calibrate(bundle, experience(), plans=40)
    assert found.reachable is not None
    assert bundle.manifest.goal is not None
    # 16 steps of 0.15 rad lead further than 20 random ones: plans end at the goal.
    assert bundle.manifest.goal.reached <= found.reachable < 0.3
    assert found.goals == 20
    assert found.refused <= 0.1


def test_a_goal_beyond_the_horizon_does_not_say_where_goals_within_it_end(bundle: Bundle) -> None:
    there = np.full((6, 60, 2), 0.9 * VELOCITY_LIMIT)
    there[:, 20:] *= -1  # 2.7 rad there, and 5.4 rad back: twice what 16 steps reach
    found = calibrate(bundle, driven(there, slip=0.0), plans=40)
    assert found.reachable is not None
    assert found.reachable < 0.3


def test_a_goal_is_in_reach_of_plans_that_take_no_longer_than_the_robots(bundle: Bundle) -> None:
    enough, hasty = (calibrate(bundle, experience(), plans=40, deadline=deadline).reachable
                     for deadline in (math.inf, 1e-9))
    assert enough is not None
    assert hasty is not None
    assert hasty > 2 * enough  # with time for one sequence, plans stand still


def test_the_last_look_counts_whatever_the_step_lasts(tmp_path: Path) -> None:
    kind, steps = KINDS['markov'], STEPS + 1
    known = Reference(kind)
    images, states, actions = (np.stack(arrays) for arrays in zip(*(
        (known.images(steps + 1, seed), known.states(steps + 1, seed),
         known.actions(1, steps, seed)[0]) for seed in range(4)), strict=True))
    counts = []
    for name, duration in (('tenth', 0.1), ('thirtieth', 1 / 30)):  # of which two rows are a step
        bundle = write_small_bundle(
            tmp_path / name, kind,
            lambda manifest, duration=duration: manifest['action'].update(step_duration=duration))
        counts.append(calibrate(bundle, Experience({'': images}, states, actions), plans=2).scores)
    assert counts[0] == counts[1]


def test_a_goal_is_encoded_with_the_state_from_which_the_robot_sets_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, looks = KINDS['markov'], STEPS + 2
    known, encoded = Reference(kind), []
    images, states, actions = (np.stack(arrays) for arrays in zip(*(
        (known.images(looks, seed), known.states(looks, seed),
         known.actions(1, looks - 1, seed)[0]) for seed in range(4)), strict=True))

    def encode_goal(model: WorldModel, image: Any, state: Any) -> Any:
        encoded.append([
            [at for at, one in enumerate(of.reshape(-1, *it.shape)) if np.array_equal(one, it)]
            for of, it in ((images, image), (states, state))])
        return model.encode(image, state)

    monkeypatch.setattr(WorldModel, 'encode_goal', encode_goal)
    calibrate(write_small_bundle(tmp_path, kind), Experience({'': images}, states, actions), 20)
    for (end,), (start,) in encoded[-20:]:  # those before prove the bundle
        assert start < end and start // looks == end // looks


def test_plans_begin_where_the_robot_was_last_told_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, looks, told = replace(KINDS['markov'], rule=None, action='joint_position'), STEPS + 2, []
    known, plan = Reference(kind), Planner.plan
    images, actions = (np.stack(arrays) for arrays in zip(*(
        (known.images(looks, seed), known.actions(1, looks - 1, seed)[0])
        for seed in range(4)), strict=True))

    def noted(planner: Planner, context: Context, goal: Any, **how: Any) -> Any:
        told.append((context.latent, how['setpoint']))
        return plan(planner, context, goal, **how)

    monkeypatch.setattr(Planner, 'plan', noted)
    bundle = write_small_bundle(tmp_path, kind)
    calibrate(bundle, Experience({'': images}, None, actions), 20)
    model = WorldModel(bundle)
    latents = np.array([[model.encode(image, None) for image in episode] for episode in images])
    for latent, setpoint in told:
        ((episode, look),) = np.argwhere((latents == latent).all(2))
        if look:
            np.testing.assert_array_equal(setpoint, actions[episode, look * kind.rows - 1])
        else:
            assert setpoint is None
    assert any(setpoint is not None for _, setpoint in told)


def test_each_of_several_cameras_has_an_array_of_its_own(tmp_path: Path, bundle: Bundle) -> None:
    both = write_toy_bundle(tmp_path / 'both', cameras=('left', 'right'))
    one = experience()
    half = one.images[''].shape[3] // 2
    left, right = one.images[''].copy(), one.images[''].copy()
    left[..., half:, :] = right[..., :half, :] = 0  # each joint is in one picture only
    # The right camera's pictures are twice as large.
    seen = {'images_left': left, 'images_right': right.repeat(2, axis=2).repeat(2, axis=3)}
    np.savez(tmp_path / 'data.npz', **seen, proprioception=one.proprioception,
             actions=one.actions)
    found = calibrate(both, read_experience(tmp_path / 'data.npz', both.manifest), plans=4)
    assert found == calibrate(bundle, one, plans=4)
    np.savez(tmp_path / 'less.npz', images_left=left, proprioception=one.proprioception,
             actions=one.actions)
    with pytest.raises(CalibrationError, match='images_right: the data have none'):
        calibrate(both, read_experience(tmp_path / 'less.npz', both.manifest))


def test_pictures_of_which_nobody_knows_what_they_show_do_not_calibrate_a_field_of_view(
    tmp_path: Path, bundle: Bundle,
) -> None:
    def with_field(manifest: dict[str, Any]) -> None:
        manifest['image']['fields_of_view'] = [{'horizontal': 0.7, 'vertical': 0.7}]

    known = write_toy_bundle(tmp_path, with_field)
    fitted = experience()  # in the size of the model: cut as the node cuts them
    assert calibrate(known, fitted, plans=4) == calibrate(bundle, fitted, plans=4)
    raw = replace(fitted, images={'': fitted.images[''].repeat(2, axis=2).repeat(2, axis=3)})
    assert calibrate(bundle, raw, plans=4) == calibrate(bundle, fitted, plans=4)
    with pytest.raises(CalibrationError, match=r'images are 64x64, and toy knows its field of view '
                                               r'.* cut like that, 32x32'):
        calibrate(known, raw)


def test_the_numbers_become_part_of_the_bundle_and_nothing_else_changes(tmp_path: Path) -> None:
    before = write_toy_bundle(tmp_path / 'toy')
    found = calibrate(before, experience(), plans=4)
    after = write(before, found)
    assert after.manifest.surprise is not None
    assert after.manifest.goal is not None
    assert after.manifest.surprise.threshold == found.threshold
    assert after.manifest.goal.reachable == found.reachable
    assert after.digest != before.digest
    plain = after.manifest.model_copy(update={
        'surprise': None, 'goal': after.manifest.goal.model_copy(update={'reachable': None})})
    assert plain == before.manifest
    assert calibrate(after, experience(), plans=4) == found  # and again is the same


def test_the_command_reads_recorded_episodes_and_tells_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_toy_bundle(tmp_path / 'toy')
    data = experience()
    np.savez(tmp_path / 'data.npz', images=data.images[''], proprioception=data.proprioception,
             actions=data.actions)
    words = ['calibrate', str(tmp_path / 'toy'), '--data', str(tmp_path / 'data.npz')]
    digest = load_bundle(tmp_path / 'toy').digest
    assert main([*words, '--dry-run']) == 0
    assert 'goal.reachable' in capsys.readouterr().out
    assert load_bundle(tmp_path / 'toy').digest == digest
    assert main(words) == 0
    written = load_bundle(tmp_path / 'toy')
    assert written.manifest.surprise is not None
    assert written.digest[:12] in capsys.readouterr().out


@pytest.mark.parametrize(('change', 'said'), [
    ({'images': {}}, 'images: the data have none'),
    ({'proprioception': None}, 'proprioception: the data have none'),
    ({'actions': np.zeros((6, 20, 3), np.float32)}, r'actions are \[6, 20, 3\], not \[6, 20, 2\]'),
    ({'actions': np.full((6, 20, 2), np.nan, np.float32)}, 'actions hold NaN'),
    ({'actions': np.zeros((6, 19, 2), np.float32)}, r'proprioception are \[6, 21, 4\], not \[6, 2'),
    ({'images': {'': np.zeros((6, 21, 32, 32), np.uint8)}}, 'images must be uint8 RGB'),
])
def test_data_that_do_not_fit_the_bundle_are_refused_by_name(
    bundle: Bundle, change: dict[str, Any], said: str
) -> None:
    whole = experience()
    arrays: dict[str, Any] = {'images': whole.images, 'proprioception': whole.proprioception,
              'actions': whole.actions}
    with pytest.raises(CalibrationError, match=said):
        calibrate(bundle, Experience(**{**arrays, **change}))


def test_few_or_short_episodes_calibrate_nothing(bundle: Bundle) -> None:
    for few in (experience(episodes=3), experience(steps=STEPS)):
        with pytest.raises(CalibrationError, match='too few'):
            calibrate(bundle, few)


@pytest.mark.parametrize('words', [['--simulate', '0'], ['--simulate', '9', '--seed', '-1'],
                                   ['--simulate', '9', '--deadline', '0'],
                                   ['--simulate', '9', '--deadline', 'nan']])
def test_numbers_that_make_no_episodes_or_plans_are_refused_by_the_command(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit, match='2'):
        main(['calibrate', 'models/reach', *words])
    assert f'argument {words[-2]}: {words[-1]} is' in capsys.readouterr().err


def test_a_file_that_is_no_data_is_refused_in_words(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / 'text.npz').write_text('no archive')
    np.savez(tmp_path / 'other.npz', rows=np.zeros(3))
    np.savez(tmp_path / 'pickle.npz', actions=np.array([{}], object))
    np.savez_compressed(tmp_path / 'whole.npz', actions=np.arange(999.0))
    whole = (tmp_path / 'whole.npz').read_bytes()
    (tmp_path / 'cut.npz').write_bytes(whole[:300])
    (tmp_path / 'scrambled.npz').write_bytes(whole[:90] + bytes(40) + whole[130:])
    (tmp_path / 'empty.npz').touch()
    for name, said in (('text', r'no \.npz'), ('other', 'lacks the array "actions"'),
                       ('pickle', r'no \.npz'), ('missing', r'no \.npz'), ('cut', r'no \.npz'),
                       ('scrambled', r'no \.npz'), ('empty', r'no \.npz')):
        with pytest.raises(CalibrationError, match=said):
            read_experience(tmp_path / f'{name}.npz', bundle.manifest)
