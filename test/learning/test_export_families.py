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
"""Published models, exported: the runtime chooses what each package's own planner cost chooses.

Costs are asked of the packages' own `get_cost` (stable-worldmodel) or written out against the
original modules (V-JEPA 2), so a mistake in the exporter's wrappers shows. Needs the packages of
requirements/export.in; `WMROS_VJEPA2` names a checkout of facebookresearch/vjepa2.
"""

import importlib
import importlib.util
import json
import os
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip('torch', reason='needs the train extra')
pytest.importorskip('onnxscript', reason='needs the train extra')
transformers = pytest.importorskip('transformers', reason='needs requirements/export.in')

import family_checkpoints  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from world_model_ros.bundle import Bundle  # noqa: E402
from world_model_ros.inference import Context, WorldModel  # noqa: E402
from world_model_ros.learning.export import (  # noqa: E402
    ExportError,
    Request,
    assemble,
    build,
    dino_wm,
    read_robot,
    verify,
)
from world_model_ros.learning.export.checkpoint import load_stable_worldmodel  # noqa: E402
from world_model_ros.learning.export.examples import example_inputs  # noqa: E402
from world_model_ros.learning.export.graphs import relative_error  # noqa: E402
from world_model_ros.learning.export.pixels import Pixels  # noqa: E402
from world_model_ros.planning import Planner  # noqa: E402

Float = NDArray[np.float32]
CANDIDATES, ELITES = 300, 30

stable_worldmodel = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ('stable_worldmodel', 'einops')),
    reason='needs requirements/export.in: stable-worldmodel and einops')

ACTION: dict[str, Any] = {
    'kind': 'joint_velocity', 'names': ['shoulder', 'elbow'], 'units': ['rad/s', 'rad/s'],
    'lower': [-1.5, -1.5], 'upper': [1.5, 1.5], 'step_duration': 0.1,
    'normalization': {'mean': [0.02, -0.01], 'std': [0.7, 0.6]},
}
STATE: dict[str, Any] = {
    'joints': ['shoulder', 'elbow'], 'fields': ['position', 'velocity'],
    'normalization': {'mean': [0.1, 0.0, 0.0, 0.0], 'std': [1.2, 1.0, 0.7, 0.6]},
}


def robot_file(folder: Path, **sections: dict[str, Any]) -> Path:
    whole = {'model': {'name': 'test', 'version': '1.0.0', 'license': 'MIT'}, 'action': ACTION,
             'image': {'crop': 'center_square', 'interpolation': 'area'},
             'goal': {'reached': 0.5}, **sections}
    path = folder / 'robot.yaml'
    path.write_text(json.dumps({name: section for name, section in whole.items() if section}))
    return path


def exported(family: str, folder: Path, robot: Path, **request: Any) -> Bundle:
    known = read_robot(robot, None)
    source = build(family, Request(**request), known)
    return assemble(source, known, folder / 'bundle', print)


@pytest.fixture(autouse=True)
def _few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """For torch: the tests compare all of them with the original."""
    monkeypatch.setattr(verify, 'CANDIDATES', 30)


def normalized(bundle: Bundle, actions: Float) -> Tensor:
    """Physical rows [..., H R, A] as the model's steps [..., H, K]."""
    normal = bundle.manifest.action.normalization
    rows = (actions - np.array(normal.mean)) / np.array(normal.std)
    return torch.from_numpy(rows.reshape(*actions.shape[:-2], -1,
                                         bundle.manifest.action.step_size).astype(np.float32))


def assert_same_choice(actual: Float, expected: Float, spread: float = 1e-3) -> None:
    """The figures that the issue asks for: 30 elites of 300, relative error 1e-5."""
    error = relative_error(actual, expected)
    shared = set(np.argsort(actual)[:ELITES]) & set(np.argsort(expected)[:ELITES])
    print(f'{len(shared)} of {ELITES} elites, relative error of the costs {error:.1e}, '
          f'spread {np.ptp(expected) / np.abs(expected).max():.2f}')
    assert len(actual) == CANDIDATES
    assert len(shared) == ELITES
    assert error <= 1e-5
    # Costs that hardly differ would agree whatever the actions are.
    assert np.ptp(expected) > spread * np.abs(expected).max()


IMAGENET = {'mean': [0.485, 0.456, 0.406], 'std': [0.229, 0.224, 0.225]}


def pixels(images: NDArray[np.uint8], normal: dict[str, list[float]] = IMAGENET) -> Tensor:
    """Pictures [n, h, w, 3] as training preprocesses them, [n, 3, h, w]."""
    mean, std = torch.tensor(normal['mean']), torch.tensor(normal['std'])
    return ((torch.from_numpy(images) / 255.0 - mean) / std).permute(0, 3, 1, 2)


@stable_worldmodel
@pytest.mark.parametrize('kind', ['lewm', 'pldm'])
def test_a_joint_embedding_model_of_18_million_weights_chooses_as_its_own_planner(
    tmp_path: Path, kind: str
) -> None:
    checkpoint = family_checkpoints.write(tmp_path / kind, family_checkpoints.joint_embedding(kind))
    bundle = exported(kind, tmp_path, robot_file(tmp_path), checkpoint=checkpoint)
    manifest = bundle.manifest
    assert (manifest.action.rows_per_step, manifest.history) == (5, 3)
    assert manifest.latent.shape == (192,)

    images, _, past, actions = example_inputs(manifest, CANDIDATES)
    model = load_stable_worldmodel(checkpoint, kind, trust=False).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == 18_034_478
    runtime = WorldModel(bundle)
    latents = np.stack([runtime.encode(image, None) for image in images])
    scored = runtime.score(Context(latents[:3], past), runtime.encode_goal(images[3]), actions)

    seen = pixels(images)[None, None]
    rows = np.concatenate([np.broadcast_to(past, (CANDIDATES, *past.shape)), actions], 1)
    info = {'pixels': seen[:, :, :3].expand(1, CANDIDATES, -1, -1, -1, -1),
            'goal': seen[:, :, 3:].expand(1, CANDIDATES, -1, -1, -1, -1),
            'action': torch.zeros(1, CANDIDATES, 1, 10)}
    with torch.no_grad():
        expected = model.get_cost(info, normalized(bundle, rows)[None])[0].numpy()
        embedded = model.encode({'pixels': seen[0]})['emb'][0].numpy()
    assert relative_error(latents, embedded) <= 1e-5
    assert_same_choice(scored.costs, expected)


@stable_worldmodel
@pytest.mark.parametrize('family', ['pldm', 'dino-wm', 'tdmpc2'])
def test_pixels_are_normalised_as_the_robot_file_says_or_the_report_says_what_is_assumed(
    tmp_path: Path, family: str
) -> None:
    config, kind, state = {
        'pldm': (family_checkpoints.joint_embedding('pldm'), 'pldm', {}),
        'dino-wm': (family_checkpoints.dino_wm(patches=4, depth=1), 'prejepa', STATE),
        'tdmpc2': (family_checkpoints.tdmpc2({'pixels': 256}), 'tdmpc2', {}),
    }[family]
    checkpoint = family_checkpoints.write(tmp_path / family, config)
    normal = {'mean': [0.5, 0.4, 0.3], 'std': [1.0, 0.5, 0.25]}
    path = robot_file(tmp_path, proprioception=state, image={'normalization': normal})
    source = build(family, Request(checkpoint=checkpoint), read_robot(path, None))
    assert not source.note
    images = np.random.default_rng(0).integers(0, 256, (1, *source.graphs['encoder'].inputs[
        'image'].shape[1:]), np.uint8)
    seen = pixels(images, normal)
    model = load_stable_worldmodel(checkpoint, kind, trust=False).eval()
    with torch.no_grad():
        for name in {'encoder', 'goal_encoder'} & set(source.graphs):
            graph = source.graphs[name]
            inputs = [torch.from_numpy(images), torch.zeros(1, 4)][:len(graph.inputs)]
            latent = graph.module.eval()(*inputs)
            if family == 'tdmpc2':
                expected = model.encode({'pixels': seen})
            elif family == 'pldm':
                expected = model.encode({'pixels': seen[:, None]})['emb'][:, 0]
            else:
                expected = model.encode({'pixels': seen[:, None]}, emb_keys=[])['emb'][:, 0]
            assert relative_error(latent[..., :expected.shape[-1]].numpy(), expected.numpy()) < 1e-5
    assumed = build(family, Request(checkpoint=checkpoint), read_robot(robot_file(
        tmp_path, proprioception=state), None))
    assert "ImageNet's mean and std, since the robot file does not say" in assumed.note


@stable_worldmodel
def test_dino_wm_chooses_as_its_own_planner(tmp_path: Path) -> None:
    checkpoint = family_checkpoints.write(
        tmp_path / 'dino', family_checkpoints.dino_wm(patches=49, depth=2))
    robot = robot_file(tmp_path, proprioception=STATE, planner={'horizon': 4})
    bundle = exported('dino-wm', tmp_path, robot, checkpoint=checkpoint)
    manifest = bundle.manifest
    assert manifest.latent.shape == (49, 394)
    assert manifest.image is not None
    assert manifest.image.width == 98

    images, states, _, actions = example_inputs(manifest, CANDIDATES)
    runtime = WorldModel(bundle)
    latent = runtime.encode(images[0], states[0])
    start = runtime.context(latent, states[0])  # one picture: the window fills while imagining
    scored = runtime.score(start, runtime.encode_goal(images[1]), actions)

    model = load_stable_worldmodel(checkpoint, 'prejepa', trust=False).eval()
    seen = pixels(images)[None, None]
    normal = STATE['normalization']
    state = torch.from_numpy(
        ((states - np.array(normal['mean'])) / np.array(normal['std'])).astype(np.float32))
    info = {
        'pixels': seen[:, :, :1].expand(1, CANDIDATES, -1, -1, -1, -1),
        'goal': seen[:, :, 1:2].expand(1, CANDIDATES, -1, -1, -1, -1),
        'proprio': state[None, None, :1].expand(1, CANDIDATES, -1, -1),
        'goal_proprio': state[None, None, 1:2].expand(1, CANDIDATES, -1, -1),
        'action': torch.zeros(1, CANDIDATES, 1, 10),
    }
    with torch.no_grad():
        model.get_cost(info, normalized(bundle, actions)[None])
    difference = info['predicted_pixels_emb'][0, :, -1] - info['pixels_goal_emb'][0, :, 0]
    assert_same_choice(scored.costs, (difference**2).mean((1, 2)).numpy())


@stable_worldmodel
def test_dino_wm_looks_back_as_far_as_the_package_plans_with(tmp_path: Path) -> None:
    config = family_checkpoints.dino_wm(patches=4, depth=1)
    checkpoint = family_checkpoints.write(tmp_path / 'dino', {**config, 'history_size': 2})
    model = load_stable_worldmodel(checkpoint, 'prejepa', trust=False).eval()
    assert dino_wm.build(model, 'dino', Pixels()).entries['predictor']['length'] == 2
    model.history_size = 4
    with pytest.raises(ExportError, match='history_size is 4, and the predictor takes 3'):
        dino_wm.build(model, 'dino', Pixels())


@stable_worldmodel
@pytest.mark.parametrize('encoding', [{'pixels': 256, 'proprio': 128}, {'state': 128}],
                         ids=['pixels and state', 'state'])
def test_tdmpc2_chooses_as_its_own_planner(tmp_path: Path, encoding: dict[str, int]) -> None:
    checkpoint = family_checkpoints.write(tmp_path / 'td', family_checkpoints.tdmpc2(encoding))
    action = {**ACTION, 'normalization': {'mean': [0.0, 0.0], 'std': [1.5, 1.5]}}
    robot = robot_file(tmp_path, action=action, goal={}, proprioception=STATE,
                       **({} if 'pixels' in encoding else {'image': {}}))
    bundle = exported('tdmpc2', tmp_path, robot, checkpoint=checkpoint)
    assert (bundle.manifest.image is None) == ('pixels' not in encoding)

    images, states, _, actions = example_inputs(bundle.manifest, CANDIDATES)
    runtime = WorldModel(bundle)
    latent = runtime.encode(None if images is None else images[0], states[0])
    scored = runtime.score(runtime.context(latent, states[0]), None, actions)

    model = load_stable_worldmodel(checkpoint, 'tdmpc2', trust=False).eval()
    normal = STATE['normalization']
    state = torch.from_numpy(
        ((states[:1] - np.array(normal['mean'])) / np.array(normal['std'])).astype(np.float32))
    info = {next(key for key in encoding if key != 'pixels'): state}
    if images is not None:
        info['pixels'] = pixels(images[:1])
    with torch.no_grad():
        expected = model.get_cost(info, normalized(bundle, actions)[None])[0].numpy()
        guesses, dreamt = [], model.encode(info)
        for _ in range(bundle.manifest.planner.horizon):
            guesses.append(model.pi(dreamt).chunk(2, -1)[0].tanh())
            dreamt = model.dynamics(torch.cat([dreamt, guesses[-1]], -1))
        guessed = model.get_cost(info, torch.stack(guesses, 1)[None]).item()
    assert_same_choice(scored.costs, expected)
    np.testing.assert_allclose(runtime.policy(latent)[0], 1.5 * guesses[0][0], atol=1e-5)

    # The published search: it begins with what the policy drives.
    settings = bundle.manifest.planner
    assert (settings.sampler, settings.temperature, settings.policy_samples) == ('mppi', 2.0, 24)
    plan = Planner(runtime, settings).plan(
        runtime.context(latent, states[0]), None, seed=0, deadline=time.monotonic() + 3600.0)
    assert plan.iterations == 6
    assert plan.cost <= guessed + 1e-5
    assert plan.cost < expected.min()


@stable_worldmodel
def test_bounds_that_tdmpc2_has_never_seen_are_refused(tmp_path: Path) -> None:
    checkpoint = family_checkpoints.write(
        tmp_path / 'td', family_checkpoints.tdmpc2({'state': 128}))
    robot = robot_file(tmp_path, goal={}, image={}, proprioception=STATE)  # std 0.7, bounds 1.5
    with pytest.raises(Exception, match=r'bounds of shoulder are .* knows -1 to 1 only'):
        exported('tdmpc2', tmp_path, robot, checkpoint=checkpoint)


class TokenPredictor(nn.Module):
    """Over the tokens of a V-JEPA 2 of width 1024: mixes in the sum of all actions so far."""

    longest = 4

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)  # whoever makes one makes the same
        self.action = nn.Linear(2, 1024)
        self.mix = nn.Linear(1024, 1024)
        family_checkpoints.disturb(self)

    def forward(self, context: Tensor, actions: Tensor) -> Tensor:
        moved = self.mix(context[:, -1] + self.action(actions).sum(1)[:, None])
        return functional.layer_norm(context.mean(1) + torch.tanh(moved), (1024,))


def test_the_encoder_of_v_jepa_2_with_a_predictor_of_ones_own(tmp_path: Path) -> None:
    config = transformers.VJEPA2Config(num_hidden_layers=2, pred_num_hidden_layers=1)
    original = transformers.VJEPA2Model(config).eval()
    original.save_pretrained(tmp_path / 'vjepa2')
    robot = robot_file(tmp_path, planner={'horizon': 2, 'memory': 512})
    bundle = exported('vjepa2', tmp_path, robot, checkpoint=tmp_path / 'vjepa2',
                      predictor=f'{__name__}:TokenPredictor')
    images, _, _, actions = example_inputs(bundle.manifest, CANDIDATES)
    runtime = WorldModel(bundle)
    latent = runtime.encode(images[0], None)
    goal = runtime.encode_goal(images[1])
    scored = runtime.score(runtime.context(latent), goal, actions)

    with torch.no_grad():
        clip = pixels(images)[:, None].expand(-1, 2, -1, -1, -1)
        tokens = original(pixel_values_videos=clip, skip_predictor=True).last_hidden_state
        tokens = functional.layer_norm(tokens, (1024,))
        predictor, steps = TokenPredictor(), normalized(bundle, actions)
        costs = []
        for part in steps.split(50):
            frames = tokens[:1].expand(len(part), -1, -1)[:, None]
            for step in range(2):
                frames = torch.cat([frames, predictor(frames, part[:, :step + 1])[:, None]], 1)
            costs.append((frames[:, -1] - tokens[1]).norm(dim=-1).mean(1))
    assert relative_error(latent, tokens[0].numpy()) <= 1e-5
    assert_same_choice(scored.costs, torch.cat(costs).numpy())


class TokenRollout(nn.Module):
    """Over the tokens of a V-JEPA 2 of width 32, the whole horizon in one call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.action = nn.Linear(2, 32)

    def forward(self, latent: Tensor, actions: Tensor) -> Tensor:
        return latent[:, None] + torch.tanh(self.action(actions)).cumsum(1)[:, :, None]


def test_a_rollout_behind_v_jepa_2_imagines_as_far_as_its_manifest_plans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = transformers.VJEPA2Config(
        hidden_size=32, num_attention_heads=2, num_hidden_layers=1, pred_num_hidden_layers=1,
        pred_hidden_size=24, pred_num_attention_heads=2, crop_size=64)
    transformers.VJEPA2Model(config).save_pretrained(tmp_path / 'vjepa2')
    bundle = exported('vjepa2', tmp_path, robot_file(tmp_path), checkpoint=tmp_path / 'vjepa2',
                      predictor=f'{__name__}:TokenRollout')  # the robot file has no horizon
    assert bundle.golden.latents.shape[1] == bundle.manifest.planner.horizon == 5
    assert 'normalised to mean 0 and deviation 1' in capsys.readouterr().out


@contextmanager
def unmended(repo: Path) -> Iterator[tuple[Any, Any]]:
    """The modules as they are in the checkout, without what the exporter mends."""
    layers = types.ModuleType('timm.models.layers')
    layers.drop_path = None
    added = {'timm': types.ModuleType('timm'), 'timm.models': types.ModuleType('timm.models'),
             'timm.models.layers': layers}
    sys.modules.update(added)
    sys.path.insert(0, str(repo))
    try:
        yield (importlib.import_module('src.models.vision_transformer'),
               importlib.import_module('src.models.ac_predictor'))
    finally:
        sys.path.remove(str(repo))
        for name in list(sys.modules):
            if name in added or name.split('.')[0] == 'src':
                del sys.modules[name]


@pytest.mark.skipif('WMROS_VJEPA2' not in os.environ,
                    reason='needs WMROS_VJEPA2, a checkout of facebookresearch/vjepa2')
def test_v_jepa_2_ac_chooses_as_its_own_modules(tmp_path: Path) -> None:
    repo = Path(os.environ['WMROS_VJEPA2'])
    with unmended(repo) as (vision, conditioned):
        size: dict[str, Any] = {'img_size': (256, 256), 'patch_size': 16, 'num_frames': 64,
                                'tubelet_size': 2}
        encoder = vision.VisionTransformer(
            **size, embed_dim=1408, depth=1, num_heads=22, mlp_ratio=48 / 11, qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6), use_rope=True, uniform_power=False).eval()
        # 192 of 1024 wide: 300 candidates take 1 TFLOP, and 13 at full width.
        predictor = conditioned.vit_ac_predictor(
            **size, embed_dim=1408, predictor_embed_dim=192, depth=2).eval()
    family_checkpoints.disturb(encoder)
    family_checkpoints.disturb(predictor)
    # Centimetres must matter to weights that no robot has taught: one action token among 256 of a
    # picture does only where attention is sharp and weighs much.
    predictor.action_encoder.weight.data *= 100.0
    predictor.state_encoder.weight.data *= 10.0
    for block in predictor.predictor_blocks:
        block.attn.qkv.weight.data *= 2.0
        block.attn.proj.weight.data *= 6.0
    torch.save({'encoder': {f'module.backbone.{k}': v for k, v in encoder.state_dict().items()},
                'predictor': {f'module.{k}': v for k, v in predictor.state_dict().items()}},
               tmp_path / 'ac.pt')
    bound = [0.075] * 3 + [0.1] * 3 + [0.75]
    robot = robot_file(
        tmp_path, action={'frame': 'base', 'lower': [-b for b in bound], 'upper': bound},
        proprioception={'frame': 'base', 'link': 'hand',
                        'gripper': {'joint': 'finger', 'open': 0.04, 'closed': 0.0}})
    bundle = exported('vjepa2-ac', tmp_path, robot, repo=repo, checkpoint=tmp_path / 'ac.pt')

    assert bundle.manifest.planner.horizon == 2  # as published; each step adds a frame of tokens

    images, states, _, actions = example_inputs(bundle.manifest, CANDIDATES)
    runtime = WorldModel(bundle)
    latent = runtime.encode(images[0], states[0])
    goal = runtime.encode_goal(images[1], states[1])
    scored = runtime.score(runtime.context(latent, states[0]), goal, actions)

    # As notebooks/utils of the checkout: tokens normalised, poses added up, L1 of the last frame.
    with torch.no_grad():
        clip = Pixels()(torch.from_numpy(images))[:, :, None].repeat(1, 1, 2, 1, 1)
        tokens = functional.layer_norm(encoder(clip), (1408,))
        costs = []
        for part in torch.from_numpy(actions).split(25):
            frames = tokens[:1].repeat(len(part), 1, 1)
            pose = torch.from_numpy(states[:1]).repeat(len(part), 1)
            poses = pose[:, None]
            for step in range(2):
                after = predictor(frames, part[:, :step + 1], poses)[:, -256:]
                frames = torch.cat([frames, functional.layer_norm(after, (1408,))], 1)
                # Rotations are frozen at 0, so angles stay what they are.
                pose = pose + part[:, step]
                pose[:, 6] = pose[:, 6].clamp(0, 1)
                poses = torch.cat([poses, pose[:, None]], 1)
            costs.append((frames[:, -256:] - tokens[1]).abs().mean((1, 2)))
    assert not actions[..., 3:6].any()
    assert relative_error(latent, tokens[0].numpy()) <= 1e-5
    assert_same_choice(scored.costs, torch.cat(costs).numpy(), spread=2e-4)
