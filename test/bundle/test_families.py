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
"""One manifest for each family of world models; what does not belong together is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from world_model_ros.bundle import BundleError, DistanceCost, Manifest, PoseProprioception
from world_model_ros.bundle.load import parse_manifest

FAMILIES = Path(__file__).parent / 'families'
NAMES = sorted(file.stem for file in FAMILIES.glob('*.yaml'))
REACH = Path(__file__).parents[2] / 'models' / 'reach' / 'bundle.yaml'

Data = dict[str, Any]


def read(name: str) -> Manifest:
    return parse_manifest(FAMILIES, (FAMILIES / f'{name}.yaml').read_bytes())


def test_every_published_family_has_a_manifest() -> None:
    assert NAMES == ['dino_wm', 'eb_jepa', 'joints', 'lewm', 'tdmpc2', 'vjepa2_ac']
    for name in NAMES:
        read(name)
    assert parse_manifest(REACH.parent, REACH.read_bytes()).model.name == 'reach'


def test_lewm_takes_five_rows_at_once_and_a_window_of_three() -> None:
    manifest = read('lewm')
    assert (manifest.action.step_size, manifest.history) == (10, 3)
    assert manifest.action.model_step == pytest.approx(0.5)
    assert manifest.goal_shape == (192,)


def test_dino_wm_weighs_what_it_sees_and_the_joints_apart() -> None:
    manifest = read('dino_wm')
    assert isinstance(manifest.cost, DistanceCost)
    assert [term.source for term in manifest.cost.terms] == ['visual', 'proprioception']
    assert manifest.goal_indices('proprioception') == slice(384, 394)
    assert manifest.latent.size == 196 * 404


def test_tdmpc2_has_neither_camera_nor_goal() -> None:
    manifest = read('tdmpc2')
    assert manifest.image is None
    assert not manifest.has_goal
    assert {name for name, _ in manifest.graphs.present()} == {
        'encoder', 'predictor', 'reward', 'value', 'policy'}


def test_vjepa2_ac_freezes_rotation_and_gripper_and_integrates_the_pose() -> None:
    manifest = read('vjepa2_ac')
    assert [manifest.action.names[i] for i in manifest.action.driven] == [
        'linear.x', 'linear.y', 'linear.z']
    assert isinstance(manifest.proprioception, PoseProprioception)
    assert manifest.proprioception.size == 7
    assert manifest.history == 1


def test_a_goal_holds_only_the_parts_that_the_goal_encoder_gives() -> None:
    manifest = read('joints')
    assert manifest.goal_shape == (8, 8, 48)
    assert manifest.image is not None
    assert manifest.image.shape == (2, 2, 96, 128, 3)  # cameras, frames


def pose_without_gripper(data: Data) -> None:
    del data['proprioception']['gripper']
    data['proprioception']['normalization'] = {'mean': [0.0] * 6, 'std': [1.0] * 6}


def both_dynamics(data: Data) -> None:
    data['graphs']['rollout'] = {'file': 'predictor.onnx', 'kind': 'markov'}


MISFITS: dict[str, tuple[str, Callable[[Data], object], str, str]] = {
    'a window for a markov rollout': (
        'joints', lambda d: d['graphs']['rollout'].update(length=3), 'graphs.rollout.length',
        'remove it'),
    'a window without length': (
        'lewm', lambda d: d['graphs']['predictor'].pop('length'), 'graphs.predictor.length',
        'add it'),
    'a growing rollout': (
        'joints', lambda d: d['graphs']['rollout'].update(kind='growing'), 'graphs.rollout.kind',
        'correct the value'),
    'no kind': ('lewm', lambda d: d['graphs']['predictor'].pop('kind'), 'graphs.predictor.kind',
                'add it'),
    'recurrent without states': (
        'eb_jepa', lambda d: d['graphs']['predictor'].pop('states'), 'graphs.predictor.states',
        'add it'),
    'more history than context': (
        'vjepa2_ac', lambda d: d['graphs']['predictor'].update(history=9),
        'graphs.predictor.history', 'history <= length'),
    'rollout and predictor': ('tdmpc2', both_dynamics, 'graphs.rollout', 'give one of them'),
    'neither rollout nor predictor': (
        'lewm', lambda d: d['graphs'].pop('predictor'), 'graphs.rollout', 'give one of them'),
    'sees nothing': ('tdmpc2', lambda d: d.pop('proprioception'), 'image', 'at least one'),
    'joint fields for a pose': (
        'vjepa2_ac', lambda d: d['proprioception'].update(fields=['position']),
        'proprioception.fields', 'remove it'),
    'a pose without its frame': (
        'vjepa2_ac', lambda d: d['proprioception'].pop('frame'), 'proprioception.frame', 'add it'),
    'a pose in another frame': (
        'vjepa2_ac', lambda d: d['proprioception'].update(frame='world'), 'proprioception.frame',
        'one frame'),
    'one camera with a name': (
        'joints', lambda d: d['image'].update(cameras=['shelf']), 'image.cameras', 'needs no name'),
    'two cameras of one name': (
        'joints', lambda d: d['image'].update(cameras=['shelf', 'shelf']), 'image.cameras',
        'name each once'),
    'a camera whose name is no topic': (
        'joints', lambda d: d['image'].update(cameras=['shelf', 'left hand']), 'image.cameras',
        'single underscores'),
    'fields of view of fewer cameras': (
        'joints', lambda d: d['image']['fields_of_view'].pop(), 'image.fields_of_view',
        'one entry for each of the 2'),
    'a field of view in degrees': (
        'joints', lambda d: d['image']['fields_of_view'][0].update(horizontal=60.0),
        'image.fields_of_view.0.horizontal', 'correct the value'),
    'a gripper that the pose lacks': (
        'vjepa2_ac', pose_without_gripper, 'proprioception.rule', 'with names'),
    'a gripper that does not move': (
        'vjepa2_ac', lambda d: d['proprioception']['gripper'].update(open=0.0),
        'proprioception.gripper.closed', 'closed gripper'),
    'a pose moved by joints': (
        'joints', lambda d: d.update(proprioception={
            'rule': 'integrate_pose', 'frame': 'base', 'link': 'tip',
            'normalization': {'mean': [0.0] * 6, 'std': [1.0] * 6}}),
        'proprioception.rule', 'use pose_delta or twist'),
    'joints moved by actions of others': (
        'joints', lambda d: d['action'].update(names=['lift', 'shoulder', 'wrist']),
        'proprioception.rule', 'another rule'),
    'joints without positions to integrate': (
        'joints', lambda d: d['proprioception'].update(
            fields=['velocity'], normalization={'mean': [0.0] * 3, 'std': [1.0] * 3}),
        'proprioception.fields', 'add position'),
    'a twist without frame': ('lewm', lambda d: d['action'].pop('frame'), 'action.frame', 'name'),
    'a frame for joints': (
        'tdmpc2', lambda d: d['action'].update(frame='base'), 'action.frame', 'none for joints'),
    'a joint in a twist': (
        'lewm', lambda d: d['action'].update(names=['linear.x', 'elbow']), 'action.names', 'use'),
    'degrees': ('tdmpc2', lambda d: d['action'].update(units=['deg/s', 'rad/s']),
                'action.units.0', 'correct the value'),
    'a unit of another kind': (
        'tdmpc2', lambda d: d['action'].update(units=['rad', 'rad/s']), 'action.units', 'rad/s'),
    'an unknown frozen name': (
        'vjepa2_ac', lambda d: d['action']['frozen'].update(wrist=0.0), 'action.frozen',
        'correct the name'),
    'frozen out of bounds': (
        'vjepa2_ac', lambda d: d['action']['frozen'].update({'angular.x': 1.0}), 'action.frozen',
        'between lower and upper'),
    'all frozen': ('lewm', lambda d: d['action'].update(frozen={'linear.x': 0.0, 'linear.y': 0.0}),
                   'action.frozen', 'leave one name out'),
    'a dead band as wide as the bounds': (
        'lewm', lambda d: d['action'].update(dead_band=[0.2, 0.0]), 'action.dead_band', '0 for no'),
    'a cost over an unknown part': (
        'dino_wm', lambda d: d['cost']['terms'][1].update(source='joints'), 'cost.terms.1.source',
        'choose from'),
    'a cost over a part that goals lack': (
        'joints', lambda d: d['cost']['terms'][1].update(source='arm'), 'cost.terms.1.source',
        'choose from'),
    'terms for a return': (
        'tdmpc2', lambda d: d['cost'].update(terms=[]), 'cost.terms', 'remove it'),
    'a return without value': (
        'tdmpc2', lambda d: d['graphs'].pop('value'), 'graphs.value', 'export it'),
    'a reward beside a goal': (
        'lewm', lambda d: d['graphs'].update(reward={'file': 'predictor.onnx'}), 'graphs.reward',
        'remove it'),
    'a goal beside a return': (
        'tdmpc2', lambda d: d.update(goal={'source': 'all', 'metric': 'l2', 'reduction': 'sum',
                                           'reached': 1.0}), 'goal', 'remove it'),
    'no goal': ('lewm', lambda d: d.pop('goal'), 'goal', 'at which distance'),
    'a goal encoder of an unknown part': (
        'joints', lambda d: d['graphs']['goal_encoder'].update(parts=['sky']),
        'graphs.goal_encoder.parts', 'choose from'),
    'a goal encoder that wants the joints of a blind model': (
        'lewm', lambda d: d['graphs'].update(goal_encoder={
            'file': 'encoder.onnx', 'parts': ['all'], 'proprioception': True}),
        'graphs.goal_encoder.proprioception', 'false'),
    'a plan of more rows than the controller takes': (
        'lewm', lambda d: d['planner'].update(horizon=256), 'planner.horizon', 'horizon <= 200'),
    'knots beyond the rows': (
        'lewm', lambda d: d['planner'].update(knots=[0, 25]), 'planner.knots', 'stay below 25'),
    'a grid that no batch holds': (
        'vjepa2_ac', lambda d: d['planner'].update(constant_grid=9), 'planner.constant_grid',
        'coarser'),
    'a latent of four axes': (
        'joints', lambda d: d['latent'].update(shape=[2, 8, 8, 64]), 'latent.shape', 'correct'),
    'half a normalisation': (
        'dino_wm', lambda d: d['image']['normalization'].pop('layout'),
        'image.normalization.layout', 'add it'),
    'a normalisation that is a word': (
        'dino_wm', lambda d: d['image'].update(normalization='imagenet'), 'image.normalization',
        'correct the value'),
    'a file without digest': (
        'vjepa2_ac', lambda d: d['files'].pop('golden.npz'), 'files', 'write_manifest'),
}


@pytest.mark.parametrize('misfit', MISFITS)
def test_what_does_not_belong_together_is_refused_naming_field_and_cure(misfit: str) -> None:
    family, change, field, cure = MISFITS[misfit]
    data = copy.deepcopy(yaml.safe_load((FAMILIES / f'{family}.yaml').read_text()))
    change(data)
    with pytest.raises(BundleError) as error:
        parse_manifest(FAMILIES, yaml.safe_dump(data).encode())
    [fault] = error.value.faults
    assert fault.field == field
    assert cure in fault.cure


def test_every_field_of_the_schema_is_described() -> None:
    schema = Manifest.model_json_schema()
    lacking = [f'{name}.{field}' for name, section in schema['$defs'].items()
               for field, entry in section.get('properties', {}).items()
               if not entry.get('description')]
    assert not lacking
