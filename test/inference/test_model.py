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
"""The runtime gives what the bundle promises, in physical units, and refuses the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_bundle import HORIZON, STEP, toy_image, write_toy_bundle

from world_model_ros.bundle import BundleError
from world_model_ros.inference import InferenceError, WorldModel


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> WorldModel:
    return WorldModel(write_toy_bundle(tmp_path_factory.mktemp('toy')))


def state(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_latent_holds_what_the_picture_shows_and_the_normalised_joint_state(
    model: WorldModel,
) -> None:
    latent = model.encode(toy_image([0.5, -0.25]), state(0.1, 0.2, 1.0, -1.0))
    assert latent.dtype == np.float32
    np.testing.assert_allclose(latent, [0.5, -0.25, 0.1, 0.2, 0.5, -0.5], atol=1e-3)


def test_a_goal_picture_addresses_the_goal_part_of_the_latent(model: WorldModel) -> None:
    image = toy_image([1.0, -2.0])
    part = model.bundle.manifest.latent.parts['goal'].indices
    np.testing.assert_allclose(
        model.encode_goal(image), model.encode(image, state(0, 0, 0, 0))[part], atol=1e-6)


def test_a_rollout_takes_physical_actions_and_each_sequence_counts_for_itself(
    model: WorldModel,
) -> None:
    latent = model.encode(toy_image([0.0, 0.0]), state(0, 0, 0, 0))
    actions = np.random.default_rng(0).uniform(-1.5, 1.5, (5, HORIZON, 2)).astype(np.float32)
    context = model.context(latent)
    latents = model.imagine(context, actions)
    assert latents.shape == (5, HORIZON, 6)
    np.testing.assert_allclose(latents[:, :, 2:4], STEP * np.cumsum(actions, 1), atol=1e-5)
    np.testing.assert_array_equal(model.imagine(context, actions[2:3])[0], latents[2])


@pytest.mark.parametrize('image', [
    np.zeros((32, 30, 3), np.uint8),
    np.zeros((32, 32), np.uint8),
    np.zeros((32, 32, 3), np.float32),
])
def test_an_image_of_another_shape_or_type_is_refused(model: WorldModel, image: np.ndarray) -> None:
    with pytest.raises(InferenceError, match=r'takes uint8 \[32, 32, 3\]'):
        model.encode(image, state(0, 0, 0, 0))
    with pytest.raises(InferenceError, match='preprocess it'):
        model.encode_goal(image)


@pytest.mark.parametrize('values', [(0.0, 0.0), (0.0, 0.0, float('nan'), 0.0),
                                    (0.0, float('inf'), 0.0, 0.0)])
def test_a_joint_state_that_is_short_or_not_finite_is_refused(
    model: WorldModel, values: tuple[float, ...],
) -> None:
    with pytest.raises(InferenceError, match='check the joint state'):
        model.encode(toy_image([0, 0]), state(*values))


def test_a_horizon_that_the_graph_cannot_take_is_refused_when_the_model_is_loaded(
    tmp_path: Path,
) -> None:
    bundle = write_toy_bundle(tmp_path, horizon_in_graph=8)
    with pytest.raises(BundleError, match=r'graphs\.rollout\.file.*"actions".*export the graph'):
        WorldModel(bundle)


def test_each_graph_is_described_with_types_and_shapes(model: WorldModel) -> None:
    encoder, goal_encoder, rollout = model.describe()
    assert 'image uint8 [batch, 32, 32, 3]' in encoder
    assert '-> goal float32 [batch, 2]' in goal_encoder
    assert 'actions float32 [batch, horizon, 2]' in rollout
