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
"""Training makes a model that has learned something, and a bundle that a robot can load."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='needs the train extra')
pytest.importorskip('onnxscript', reason='needs the train extra')

from world_model_ros.bundle import Bundle, load_bundle  # noqa: E402
from world_model_ros.inference import WorldModel as Runtime  # noqa: E402
from world_model_ros.learning import dataset  # noqa: E402
from world_model_ros.learning.export import export_reach  # noqa: E402
from world_model_ros.learning.losses import sigreg  # noqa: E402
from world_model_ros.learning.model import Sizes, WorldModel  # noqa: E402
from world_model_ros.learning.reach import (  # noqa: E402
    image_contract,
    joint_contract,
    manifest_of,
    reached_distance,
)
from world_model_ros.learning.train import Refinement, TrainingSettings, train  # noqa: E402
from world_model_ros.simulation import ArmSimulation  # noqa: E402

SETTINGS = TrainingSettings(
    steps=200,
    windows=16,
    learning_rate=1e-2,
    refinements=(Refinement(60, 64, 1, 5e-3), Refinement(30, 16, 32, 2e-3)),
    sizes=Sizes(image=32, hidden=32),
)


@pytest.fixture(scope='module')
def episodes() -> dataset.Episodes:
    return dataset.collect(12, image_contract(32), seed=3, processes=2)


@pytest.fixture(scope='module')
def trained(episodes: dataset.Episodes) -> tuple[WorldModel, dict[str, list[float]]]:
    return train(episodes, joint_contract(ArmSimulation()), SETTINGS, seed=5)


@pytest.fixture(scope='module')
def bundle(
    trained: tuple[WorldModel, dict[str, list[float]]],
    episodes: dataset.Episodes,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bundle:
    model, arm = trained[0], ArmSimulation()
    contract = joint_contract(arm)
    reached = reached_distance(model, arm, episodes)
    manifest = manifest_of(model, arm, image_contract(32), contract, reached, seed=5)
    return export_reach(model, episodes, contract, manifest, tmp_path_factory.mktemp('bundle'))


def test_the_data_show_the_arm_all_over_its_range_and_inside_its_limits(
    episodes: dataset.Episodes,
) -> None:
    limits = ArmSimulation().limits
    positions = episodes.positions.reshape(-1, 2)
    assert np.all(positions >= limits.lower - 1e-6) and np.all(positions <= limits.upper + 1e-6)
    assert np.all(np.ptp(positions, axis=0) > 0.8 * (limits.upper - limits.lower))
    assert np.all(np.abs(episodes.actions) <= limits.velocity + 1e-6)
    assert np.ptp(episodes.actions) > 2.5
    # Velocities are those of the motion that was seen, in radians.
    moved = np.diff(episodes.positions, axis=1) / dataset.STEP_DURATION
    mean = 0.5 * (episodes.velocities[:, 1:] + episodes.velocities[:, :-1])
    assert np.median(np.abs(moved - mean)) < 0.05


def test_equal_seeds_give_equal_data_whatever_the_number_of_processes(
    episodes: dataset.Episodes,
) -> None:
    again = dataset.collect(3, image_contract(32), seed=3, processes=1)
    np.testing.assert_array_equal(again.actions, episodes.actions[:3])
    np.testing.assert_array_equal(again.positions, episodes.positions[:3])
    np.testing.assert_array_equal(again.images, episodes.images[:3])


def test_actions_hold_their_value_for_a_while_and_include_rest() -> None:
    actions = dataset.random_actions(np.random.default_rng(0), 2000, np.array([1.5, 1.5]))
    assert np.abs(actions).max() == 1.5
    assert 0.1 < (actions == 0).mean() < 0.4
    assert 0.5 < (np.diff(actions, axis=0) == 0).mean() < 0.9


def test_training_lowers_every_loss_that_it_minimises(
    trained: tuple[WorldModel, dict[str, list[float]]],
) -> None:
    shares = {'prediction': 0.3, 'regularization': 0.7, 'inverse': 1.0, 'anchor': 0.3,
              'refined over 1': 0.9, 'refined over 32': 1.0}
    assert shares.keys() == trained[1].keys()
    for name, share in shares.items():
        values = trained[1][name]
        assert np.mean(values[-10:]) < share * np.mean(values[:10]), name
    assert all(math.isfinite(value) for values in trained[1].values() for value in values)


def test_embeddings_do_not_collapse(
    trained: tuple[WorldModel, dict[str, list[float]]], episodes: dataset.Episodes
) -> None:
    with torch.no_grad():
        embedding = trained[0].image_encoder(torch.from_numpy(episodes.images[:, 0]))
    assert embedding.std(dim=0).mean() > 0.2


def test_the_exported_bundle_loads_and_passes_its_golden_vectors(bundle: Bundle) -> None:
    loaded = load_bundle(bundle.path)
    assert loaded.digest == bundle.digest
    assert max(Runtime(loaded).golden_errors.values()) < 1e-4


@pytest.mark.parametrize('batch', [1, 5])
def test_the_robot_computes_what_training_computed(
    bundle: Bundle,
    trained: tuple[WorldModel, dict[str, list[float]]],
    episodes: dataset.Episodes,
    batch: int,
) -> None:
    model, runtime, contract = trained[0], Runtime(bundle), joint_contract(ArmSimulation())
    image, state = episodes.images[5, 7], episodes.proprioception[5, 7]
    actions = np.ascontiguousarray(episodes.actions[:batch, :32])
    latent = runtime.encode(image, state)
    with torch.no_grad():
        expected = model.encode(
            torch.from_numpy(image[None]), contract.normalize_proprioception(state[None])
        )
        imagined = model.rollout(
            expected.expand(batch, -1), contract.normalize_action(actions)
        )
    np.testing.assert_allclose(latent, expected[0].numpy(), atol=1e-4)
    dreamt = runtime.imagine(runtime.context(latent, state), actions)
    np.testing.assert_allclose(dreamt, imagined.numpy(), atol=1e-3)
    np.testing.assert_allclose(runtime.encode_goal(image), latent[: model.sizes.goal], atol=1e-5)


def test_sigreg_is_small_for_a_gaussian_and_large_for_a_collapse() -> None:
    torch.manual_seed(0)
    gaussian = torch.randn(500, 4)
    flat = torch.cat([gaussian[:, :1].expand(-1, 4)], dim=1)
    assert sigreg(gaussian) < 1.5
    assert sigreg(flat) > 10 * sigreg(gaussian)
    assert sigreg(torch.zeros(500, 4)) > 10 * sigreg(gaussian)


def test_the_shipped_model_is_small_and_sound() -> None:
    folder = Path(__file__).parents[2] / 'models' / 'reach'
    bundle = load_bundle(folder)
    Runtime(bundle)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6
    assert bundle.manifest.action.names == ArmSimulation().joints
