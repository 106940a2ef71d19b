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
"""A damaged bundle is refused with a message that names the field and the cure."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from toy_bundle import toy_golden, write_toy_bundle

from world_model_ros.bundle import BundleError, load_bundle
from world_model_ros.bundle.graph_file import GraphFileError, external_extents
from world_model_ros.inference import WorldModel

Damage = Callable[[Path], None]


@pytest.fixture(scope='session')
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('bundle')
    write_toy_bundle(folder)
    return folder


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / 'bundle'))


def test_a_sound_bundle_loads_and_reproduces_its_golden_vectors(bundle: Path) -> None:
    model = WorldModel(load_bundle(bundle))
    assert max(model.golden_errors.values()) < 1e-5


def test_the_digest_covers_the_manifest_and_through_it_every_file(bundle: Path) -> None:
    text = (bundle / 'bundle.yaml').read_bytes()
    loaded = load_bundle(bundle)
    assert loaded.digest == hashlib.sha256(text).hexdigest()
    for name, digest in loaded.manifest.files.items():
        assert digest == hashlib.sha256((bundle / name).read_bytes()).hexdigest()


def edit(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """Damage the manifest."""
    def damage(folder: Path) -> None:
        file = folder / 'bundle.yaml'
        data = yaml.safe_load(file.read_text())
        change(data)
        file.write_text(yaml.safe_dump(data))
    return damage


def put(*path: str, value: object) -> Damage:
    """Set one entry of the manifest."""
    def change(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value
    return edit(change)


def drop(*path: str) -> Damage:
    """Remove one entry of the manifest."""
    def change(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]
    return edit(change)


def text(old: str, new: str) -> Damage:
    def damage(folder: Path) -> None:
        file = folder / 'bundle.yaml'
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))
    return damage


def sign(folder: Path, name: str) -> None:
    """Make the manifest vouch for the file as it is now: the digest will not catch the damage."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    put('files', name, value=digest)(folder)


def flip_byte(folder: Path) -> None:
    content = bytearray((folder / 'rollout.onnx').read_bytes())
    content[len(content) // 2] ^= 1
    (folder / 'rollout.onnx').write_bytes(content)


def garbage_graph(folder: Path) -> None:
    (folder / 'encoder.onnx').write_bytes(b'version https://git-lfs.github.com/spec/v1\n')
    sign(folder, 'encoder.onnx')


def external_data(folder: Path) -> None:
    model = onnx.load(folder / 'encoder.onnx')
    onnx.save(model, folder / 'encoder.onnx', save_as_external_data=True, location='weights.bin',
              size_threshold=0)
    sign(folder, 'encoder.onnx')


def external_data_in_a_branch(folder: Path) -> None:
    model = onnx.load(folder / 'encoder.onnx')
    tensor = model.graph.initializer[0]
    tensor.ClearField('raw_data')
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='../../etc/passwd')
    constant = onnx.helper.make_node('Constant', [], ['w'], value=tensor)
    branch = onnx.helper.make_graph([constant], 'branch', [], [])
    node = onnx.helper.make_node('If', ['c'], ['o'], then_branch=branch, else_branch=branch)
    graph = onnx.helper.make_graph([node], 'outer', [], [])
    (folder / 'encoder.onnx').write_bytes(onnx.helper.make_model(graph).SerializeToString())
    sign(folder, 'encoder.onnx')


def link_outside(folder: Path) -> None:
    outside = folder.parent / 'rollout.onnx'
    (folder / 'rollout.onnx').rename(outside)
    (folder / 'rollout.onnx').symlink_to(outside)


def golden(**replace: np.ndarray) -> Damage:
    def damage(folder: Path) -> None:
        arrays = {**toy_golden().arrays(), **replace}
        np.savez(folder / 'golden.npz', **arrays)
        sign(folder, 'golden.npz')
    return damage


def pickled_golden(folder: Path) -> None:
    np.savez(folder / 'golden.npz', image=np.array([{'not': 'numbers'}], object))
    sign(folder, 'golden.npz')


def bomb(folder: Path) -> None:
    with (
        zipfile.ZipFile(folder / 'golden.npz', 'w', zipfile.ZIP_DEFLATED,
                        compresslevel=1) as archive,
        archive.open('image.npy', 'w') as member,
    ):
        for _ in range(257):
            member.write(bytes(2**20))
    sign(folder, 'golden.npz')


def nested_names(folder: Path) -> None:
    file = folder / 'bundle.yaml'
    data = yaml.safe_load(file.read_text())
    data['files'] = {('../' + k if k == 'rollout.onnx' else k): v for k, v in data['files'].items()}
    data['graphs']['rollout']['file'] = '../rollout.onnx'
    file.write_text(yaml.safe_dump(data))
    shutil.copy(folder / 'rollout.onnx', folder.parent / 'rollout.onnx')


def swapped_graphs(folder: Path) -> None:
    data = yaml.safe_load((folder / 'bundle.yaml').read_text())
    data['graphs']['goal_encoder']['file'] = 'encoder.onnx'
    (folder / 'bundle.yaml').write_text(yaml.safe_dump(data))


def rebuilt(change: Callable[[onnx.ModelProto], None]) -> Damage:
    """Change the rollout graph and sign it: only what it says about itself can give it away."""
    def damage(folder: Path) -> None:
        model = onnx.load(folder / 'rollout.onnx')
        change(model)
        (folder / 'rollout.onnx').write_bytes(model.SerializeToString())
        sign(folder, 'rollout.onnx')
    return damage


def custom_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(onnx.helper.make_opsetid('com.acme', 1))
    model.graph.node[0].domain = 'com.acme'
    model.graph.node[0].op_type = 'Phone'


def future_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


def claimed_tensor(model: onnx.ModelProto) -> None:
    """40 bytes that say they are a terabyte."""
    model.graph.initializer[0].dims[:] = [2**38]


def unfolding_constant(model: onnx.ModelProto) -> None:
    """A node that asks for 4 TB as soon as the graph is optimised."""
    shape = onnx.numpy_helper.from_array(np.array([2**40], np.int64), 'vast')
    model.graph.initializer.append(shape)
    model.graph.node.extend([
        onnx.helper.make_node('ConstantOfShape', ['vast'], ['desert']),
        onnx.helper.make_node('ReduceMax', ['desert'], ['grain'], keepdims=0),
        onnx.helper.make_node('Add', ['buried', 'grain'], ['latents'])])
    next(node for node in model.graph.node if 'latents' in node.output).output[0] = 'buried'


def instead(name: str, make: Callable[[Path], object]) -> Damage:
    """Put something that is no file where a file is expected."""
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)
    return damage


def swapped_colours(folder: Path) -> None:
    golden(image=toy_golden().image * np.array([1, 0, 0], np.uint8))(folder)
    WorldModel(load_bundle(folder))  # it is sound so far: the toy sees red alone
    put('image', 'color', value='bgr')(folder)


def nested(folder: Path) -> None:
    (folder / 'bundle.yaml').write_text('schema_version: 1\nmodel: ' + '[' * 1000 + ']' * 1000)


DAMAGES: dict[str, tuple[Damage, str, str]] = {
    'no manifest': (lambda f: (f / 'bundle.yaml').unlink(), 'bundle.yaml', 'give the folder'),
    'not YAML': (text('model:', 'model: ]'), 'bundle.yaml', 'correct the file'),
    'empty manifest': (lambda f: (f / 'bundle.yaml').write_text(''),
                       'bundle.yaml', 'schema_version'),
    'key twice': (text('latent:', 'model: {}\nlatent:'), 'model', 'correct the file'),
    'alias': (text('model:', 'other: &a [1]\nthird: *a\nmodel:'), 'aliases', 'correct the file'),
    'newer schema': (put('schema_version', value=2), 'schema_version', 'update world_model_ros'),
    'no schema version': (drop('schema_version'), 'schema_version', 'set schema_version: 1'),
    'unknown key': (put('action', 'clamp', value=True), 'action.clamp', 'remove it'),
    'bounds missing': (drop('action', 'lower'), 'action.lower', 'add it'),
    'bounds inverted': (put('action', 'lower', value=[2.0, -1.5]), 'action.lower', 'lower < upper'),
    'bounds too short': (put('action', 'upper', value=[1.5]), 'action.upper', 'one entry for each'),
    'infinite bound': (put('action', 'upper', value=[1.5, float('inf')]),
                       'action.upper.1', 'finite'),
    'NaN in a norm': (put('action', 'normalization', 'mean', value=[0.0, float('nan')]),
                      'action.normalization.mean.1', 'finite'),
    'zero deviation': (put('proprioception', 'normalization', 'std', value=[1.0, 1.0, 0.0, 1.0]),
                       'proprioception.normalization.std.2', 'correct the value'),
    'number as text': (put('action', 'step_duration', value='0.1'), 'action.step_duration',
                       'correct the value'),
    'unknown kind': (put('action', 'kind', value='torque'), 'action.kind', 'correct the value'),
    'joint missing': (put('proprioception', 'joints', value=['shoulder']),
                      'proprioception.normalization.mean', 'one entry for each'),
    'joint twice': (put('action', 'names', value=['elbow', 'elbow']), 'action.names', 'once'),
    'stretched crop': (put('image', 'width', value=64), 'image.crop', 'width equal to height'),
    'goals out of reach where they are reached': (
        put('goal', 'reachable', value=0.001), 'goal.reachable', 'wmros calibrate'),
    'no surprise ever': (put('surprise', value={'threshold': []}), 'surprise.threshold', 'correct'),
    'surprise below nothing': (put('surprise', value={'threshold': [0.1, 0.0]}),
                               'surprise.threshold.1', 'correct'),
    'goal outside the latent': (put('latent', 'parts', 'goal', 'stop', value=9),
                                'latent.parts.goal', 'stop <= 6'),
    'knots beyond the horizon': (put('planner', 'knots', value=[0, 16]), 'planner.knots', 'below'),
    'more elites than samples': (put('planner', 'elites', value=65), 'planner.elites', '<='),
    'sigma for one joint': (edit(lambda d: d['planner'].update(sigma=[0.6], sigma_min=[0.1])),
                            'planner.sigma', 'one entry for each'),
    'digest missing': (drop('files', 'rollout.onnx'), 'files', 'write_manifest'),
    'file missing': (lambda f: (f / 'golden.npz').unlink(), 'files.golden.npz', 'copy the whole'),
    'byte flipped': (flip_byte, 'files.rollout.onnx', 'copy the bundle again'),
    'path upwards': (nested_names, 'graphs.rollout.file', 'without ".."'),
    'absolute path': (put('golden', 'file', value='/etc/passwd'), 'golden.file', 'leading "/"'),
    'link outside': (link_outside, 'files.rollout.onnx', 'replace the link'),
    'not a graph': (garbage_graph, 'graphs.encoder.file', 'export'),
    'external data': (external_data, 'graphs.encoder.file', 'weights inside'),
    'external data in a branch': (external_data_in_a_branch,
                                  'graphs.encoder.file', 'weights inside'),
    'pickle': (pickled_golden, 'golden.file', 'export the bundle again'),
    'zip bomb': (bomb, 'golden.file', 'below 256 MiB'),
    'golden vectors of another horizon': (
        golden(actions=np.zeros((3, 8, 2), np.float32)), 'golden.file', 'export'),
    'NaN in the golden vectors': (
        golden(goal=np.full((2, 2), np.nan, np.float32)), 'golden.file', 'export'),
    'graphs swapped': (swapped_graphs, 'graphs.goal_encoder.file', 'export it with inputs'),
    'latent of another size': (
        edit(lambda d: d['latent']['parts']['goal'].update(stop=3)),
        'golden.file', 'export'),
    'wrong colour order': (
        golden(image=toy_golden().image * np.array([0, 1, 1], np.uint8)),
        'graphs.encoder', 'colour order'),
    'manifest says bgr where the model learned rgb': (
        swapped_colours, 'graphs.encoder', 'colour order'),
    'other statistics of actions': (
        put('action', 'normalization', 'std', value=[1.0, 1.0]), 'graphs.rollout', 'normalisation'),
    'other statistics of the joints': (
        put('proprioception', 'normalization', 'mean', value=[0.0, 0.5, 0.0, 0.0]),
        'graphs.encoder', 'normalisation'),
    'degrees': (put('action', 'units', value=['deg/s', 'deg/s']), 'action.units.0', 'correct'),
    'cost of another weight': (
        edit(lambda d: d['cost']['terms'][0].update(weight=3.0)), 'cost', 'golden'),
    'custom operator': (rebuilt(custom_operator), 'graphs.rollout.file', 'without custom'),
    'opset from the future': (rebuilt(future_opset), 'graphs.rollout.file', 'older opset'),
    'tensor that claims a terabyte': (rebuilt(claimed_tensor), 'graphs.rollout.file', 'export'),
    'constant that unfolds': (rebuilt(unfolding_constant), 'graphs.rollout.file', 'export'),
    'pipe in place of a graph': (instead('rollout.onnx', os.mkfifo), 'files.rollout.onnx', 'copy'),
    'folder in place of a graph': (
        instead('rollout.onnx', Path.mkdir), 'files.rollout.onnx', 'copy'),
    'device in place of golden vectors': (
        instead('golden.npz', lambda p: p.symlink_to('/dev/zero')), 'files.golden.npz', 'link'),
    'pipe in place of the manifest': (instead('bundle.yaml', os.mkfifo), 'bundle.yaml', 'folder'),
    'endless manifest': (instead('bundle.yaml', lambda p: p.symlink_to('/dev/zero')),
                         'bundle.yaml', 'folder'),
    'link in a circle': (instead('golden.npz', lambda p: p.symlink_to(p)),
                         'files.golden.npz', 'replace the link'),
    'Python object': (text('model:', 'model: !!python/object/apply:os.abort []\nother:'),
                      'bundle.yaml', 'correct the file'),
    'two documents': (text('latent:', '---\nlatent:'), 'bundle.yaml', 'correct the file'),
    'brackets without end': (nested, 'bundle.yaml', 'correct the file'),
    'key twice, further in': (text('lower:', 'lower: [-9.0, -9.0]\n  lower:'), 'lower', 'correct'),
    'yes for a number': (put('action', 'step_duration', value=True), 'action.step_duration',
                         'correct the value'),
    'digest cut short': (put('files', 'golden.npz', value='abc'), 'files.golden.npz',
                         'write_manifest'),
    'path of another system': (put('golden', 'file', value='..\\golden.npz'), 'golden.file',
                               'relative'),
    'other weights': (
        golden(latents=toy_golden().latents * np.float32(1.01)), 'graphs.rollout', 'one export'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_bundle_is_refused_naming_field_and_cure(bundle: Path, damage: str) -> None:
    apply, field, cure = DAMAGES[damage]
    apply(bundle)
    with pytest.raises(BundleError) as error:
        WorldModel(load_bundle(bundle))
    message = str(error.value)
    assert field in message
    assert 'Cure: ' in message
    assert cure in message
    assert str(bundle) in message


@pytest.mark.parametrize('name', ['bundle.yaml', 'rollout.onnx', 'golden.npz'])
def test_a_file_that_may_not_be_read_is_refused_with_the_reason(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    read = Path.open

    def forbidden(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == name:
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return read(path, *args, **options)

    monkeypatch.setattr(Path, 'open', forbidden)  # root, who may run this test, may read it all
    with pytest.raises(BundleError, match=rf'{name}: cannot be read \(Permission denied\)'):
        load_bundle(bundle)


def test_every_fault_of_a_manifest_is_named_at_once(bundle: Path) -> None:
    put('action', 'kind', value='torque')(bundle)
    put('goal', 'reached', value=-1.0)(bundle)
    drop('model', 'license')(bundle)
    with pytest.raises(BundleError) as error:
        load_bundle(bundle)
    fields = {fault.field for fault in error.value.faults}
    assert fields == {'action.kind', 'goal.reached', 'model.license'}


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, 500), value=st.integers(0, 255) | st.none())
def test_the_search_for_external_data_survives_a_graph_cut_or_scrambled_anywhere(
    sound: Path, position: int, value: int | None,
) -> None:
    content = bytearray((sound / 'rollout.onnx').read_bytes())
    if value is None:
        del content[position:]
    else:
        content[position] = value
    with contextlib.suppress(GraphFileError):
        external_extents(bytes(content))


_YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (st.lists(inner, max_size=3)
                   | st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8)


@settings(max_examples=48, deadline=None)
@given(section=st.sampled_from(['model', 'files', 'action', 'image', 'proprioception', 'latent',
                                'graphs', 'cost', 'goal', 'surprise', 'planner',
                                'golden']), value=_YAML)
def test_a_section_of_any_other_content_is_refused_by_name(
    sound: Path, section: str, value: object,
) -> None:
    assume(section != 'surprise' or value is not None)  # a model may lack it; left empty, it does
    original = (sound / 'bundle.yaml').read_text()
    try:
        put(section, value=value)(sound)
        with pytest.raises(BundleError, match=section):
            load_bundle(sound)
    finally:
        (sound / 'bundle.yaml').write_text(original)
