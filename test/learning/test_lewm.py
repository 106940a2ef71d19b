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
"""The benchmark's LeWM: what matters of its training beside the figures it ends at.

Needs the packages of requirements/export.in.
"""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='needs the train extra')
pytest.importorskip('onnxscript', reason='needs the train extra')
pytest.importorskip('transformers', reason='needs requirements/export.in')
if any(importlib.util.find_spec(name) is None for name in ('stable_worldmodel', 'einops')):
    pytest.skip('needs requirements/export.in: stable-worldmodel and einops',
                allow_module_level=True)

from world_model_ros.learning import lewm  # noqa: E402
from world_model_ros.learning.export import ExportError  # noqa: E402
from world_model_ros.learning.lewm_bundle import evaluate  # noqa: E402

RECIPE = lewm.Recipe(episodes=2, held_out=0, stages=(
    lewm.Stage('part of the patches', patches=16, steps=2, windows=2, horizon=1,
               learning_rate=1e-3),
    lewm.Stage('predictor', patches=0, steps=3, windows=2, horizon=1, learning_rate=1e-3),
    lewm.Stage('rollouts', patches=0, steps=2, windows=2, horizon=5, learning_rate=1e-3)))


@pytest.fixture(scope='module')
def experience() -> lewm.Experience:
    torch.manual_seed(1)
    return lewm.Experience(torch.randint(256, (2, 9, lewm.SIDE, lewm.SIDE, 3), dtype=torch.uint8),
                           torch.randn(2, 9, 2), torch.randn(2, 8, 2 * lewm.ROWS))


def trained(folder: Path, experience: lewm.Experience) -> dict[str, torch.Tensor]:
    run = lewm.Training(folder, RECIPE, seed=4, joints=2)
    run.run(experience)
    return run.model.state_dict()


def test_a_training_that_was_cut_off_goes_on_to_the_same_weights(
    tmp_path: Path, experience: lewm.Experience, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    whole = trained(tmp_path / 'whole', experience)
    assert sum(tensor.numel() for tensor in whole.values() if tensor.is_floating_point()) > 18e6

    monkeypatch.setattr(lewm, '_SAVE_EVERY', 0.0)
    losses, schedule = [], lewm._schedule

    def cut(step: int, steps: int) -> float:
        losses.append(step)
        if len(losses) in (2, 5):
            raise KeyboardInterrupt
        return schedule(step, steps)

    monkeypatch.setattr(lewm, '_schedule', cut)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / 'cut', experience)
    resumed = trained(tmp_path / 'cut', experience)
    assert losses == [0, 1, 1, 0, 1, 1, 2, 0, 1]
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)

    with pytest.raises(ExportError, match=r'cut belongs to another recipe or seed'):
        lewm.Training(tmp_path / 'cut', RECIPE, seed=5, joints=2)
    # A run that begins anew reuses nothing: its encoder and its episodes are others.
    assert (tmp_path / 'cut' / 'embeddings.npy').is_file()
    (tmp_path / 'cut' / 'training.pt').unlink()
    lewm.Training(tmp_path / 'cut', RECIPE, seed=5, joints=2)
    assert not list((tmp_path / 'cut').glob('*.npy'))
    np.save(tmp_path / 'cut' / 'images.npy', np.zeros(3))  # collected before the first update
    lewm.Training(tmp_path / 'cut', RECIPE, seed=5, joints=2)
    assert (tmp_path / 'cut' / 'images.npy').is_file()


def test_an_encoder_that_sees_all_patches_is_the_one_that_stable_worldmodel_plans_with(
    tmp_path: Path, experience: lewm.Experience
) -> None:
    run = lewm.Training(tmp_path / 'new', RECIPE, seed=4, joints=2)
    ours = run.embed(experience.pictures[:1, :2])
    with torch.no_grad():
        seen = run.encoder.pixels(experience.pictures[0, :2])[None]
        theirs = run.model.encode({'pixels': seen})['emb']
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_angles_that_are_linear_in_latents_are_found_to_be_though_few_episodes_were_held_out(
) -> None:
    torch.manual_seed(0)
    linear = torch.randn(lewm.WIDTH, 2)

    def seen(episodes: int) -> lewm.Experience:
        latents = torch.randn(episodes, 9, lewm.WIDTH)
        return lewm.Experience(latents, latents @ linear, torch.randn(episodes, 8, 2 * lewm.ROWS))

    model = SimpleNamespace(action_encoder=lambda actions: actions,
                            predict=lambda window, actions: window)
    run: Any = SimpleNamespace(embeddings=lambda experience: experience.pictures,
                               embed=lambda pictures: pictures, model=model,
                               progress=lewm.Progress())
    found = evaluate(run, seen(180), seen(20), np.ones(2, np.float32))
    assert found.angle_r2 > 0.999
