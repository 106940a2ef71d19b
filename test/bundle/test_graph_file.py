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
"""Graphs are read, proven and looked at before a runtime sees them, and never kept in memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from toy_bundle import write_toy_bundle

from world_model_ros.bundle import BundleError, load_bundle, write_manifest
from world_model_ros.bundle.graph_file import GraphFileError, external_extents
from world_model_ros.inference import WorldModel


def one_tensor(tensor: onnx.TensorProto) -> bytes:
    return helper.make_model(helper.make_graph([], 'g', [], [], [tensor])).SerializeToString()


def with_external_data(folder: Path, location: str = 'weights.bin') -> None:
    """Move the encoder's weights into a file beside it and write the manifest again."""
    write_toy_bundle(folder)
    onnx.save(onnx.load(folder / 'encoder.onnx'), folder / 'encoder.onnx',
              save_as_external_data=True, location=location, size_threshold=0)
    manifest = yaml.safe_load((folder / 'bundle.yaml').read_text())
    del manifest['files'], manifest['schema_version']
    write_manifest(folder, manifest)


def test_tensors_may_lie_in_a_listed_file_of_the_bundle(tmp_path: Path) -> None:
    with_external_data(tmp_path)
    bundle = load_bundle(tmp_path)
    assert 'weights.bin' in bundle.manifest.files
    content = bundle.read_graph('encoder')
    assert content.external == {'weights.bin': (tmp_path / 'weights.bin').read_bytes()}
    assert bundle.size > len(content.model) + len(content.external['weights.bin'])
    assert max(WorldModel(bundle).golden_errors.values()) < 1e-5


def change_manifest(folder: Path, change: Any) -> None:
    data = yaml.safe_load((folder / 'bundle.yaml').read_text())
    change(data)
    (folder / 'bundle.yaml').write_text(yaml.safe_dump(data))


def test_a_file_of_tensors_without_a_digest_is_refused(tmp_path: Path) -> None:
    with_external_data(tmp_path)
    change_manifest(tmp_path, lambda data: data['files'].pop('weights.bin'))
    with pytest.raises(BundleError, match=r'graphs\.encoder\.file.*not in "files"'):
        load_bundle(tmp_path)


def test_a_file_of_tensors_that_is_too_short_is_refused(tmp_path: Path) -> None:
    with_external_data(tmp_path)
    short = (tmp_path / 'weights.bin').read_bytes()[:-4]
    (tmp_path / 'weights.bin').write_bytes(short)
    digest = hashlib.sha256(short).hexdigest()
    change_manifest(tmp_path, lambda data: data['files'].update({'weights.bin': digest}))
    with pytest.raises(BundleError, match=r'graphs\.encoder\.file.*up to byte'):
        load_bundle(tmp_path)


@pytest.mark.parametrize('location', ['/etc/passwd', '../weights.bin', 'a/../weights.bin', ''])
def test_a_path_to_tensors_that_is_not_plain_is_refused(tmp_path: Path, location: str) -> None:
    with_external_data(tmp_path)
    model = onnx.load(tmp_path / 'encoder.onnx', load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == 'location':
                entry.value = location
    content = model.SerializeToString()
    (tmp_path / 'encoder.onnx').write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    change_manifest(tmp_path, lambda data: data['files'].update({'encoder.onnx': digest}))
    with pytest.raises(BundleError, match=r'graphs\.encoder\.file.*not a plain path'):
        load_bundle(tmp_path)


def test_a_graph_that_changed_after_the_bundle_was_loaded_is_refused_when_it_is_opened(
    tmp_path: Path,
) -> None:
    bundle = write_toy_bundle(tmp_path)
    (tmp_path / 'rollout.onnx').write_bytes((tmp_path / 'encoder.onnx').read_bytes())
    with pytest.raises(BundleError, match=r'files\.rollout\.onnx.*changed after export'):
        WorldModel(bundle)


def test_an_open_model_keeps_no_copy_of_its_graphs(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path)
    model = onnx.load(tmp_path / 'encoder.onnx')
    next(node for node in model.graph.node if node.output[0] == 'latent').output[0] = 'plain'
    table = np.zeros((2**19, 6), np.float32)  # 12 MiB, whose rows are looked up and added
    model.graph.initializer.append(numpy_helper.from_array(table, 'table'))
    model.graph.node.extend([
        helper.make_node('ArgMax', ['plain'], ['index'], axis=1, keepdims=0),
        helper.make_node('Gather', ['table', 'index'], ['row'], axis=0),
        helper.make_node('Add', ['plain', 'row'], ['latent'])])
    onnx.save(model, tmp_path / 'encoder.onnx')
    manifest = yaml.safe_load((tmp_path / 'bundle.yaml').read_text())
    del manifest['files'], manifest['schema_version']
    write_manifest(tmp_path, manifest)
    tracemalloc.start()
    try:
        bundle = load_bundle(tmp_path)
        assert bundle.size > 12 * 2**20
        opened = WorldModel(bundle)
        kept = tracemalloc.get_traced_memory()[0] / 2**20
    finally:
        tracemalloc.stop()
    assert opened.golden_errors
    assert kept < 2


def test_a_tensor_that_claims_more_than_the_file_has_is_refused() -> None:
    tensor = numpy_helper.from_array(np.zeros(8, np.float32), 'bomb')
    tensor.dims[0] = 2**40
    with pytest.raises(GraphFileError, match=r'"bomb" claims 1099511627776 elements, of which 8'):
        external_extents(one_tensor(tensor))


def test_a_sparse_tensor_which_unfolds_to_any_size_is_refused() -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), 'v')
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64), 'i'),
                                       [2**40])
    graph = helper.make_graph([], 'g', [], [])
    graph.sparse_initializer.append(sparse)
    with pytest.raises(GraphFileError, match='sparse'):
        external_extents(helper.make_model(graph).SerializeToString())


TYPES = [getattr(TensorProto, name) for name in (
    'FLOAT', 'UINT8', 'INT8', 'UINT16', 'INT16', 'INT32', 'INT64', 'BOOL', 'FLOAT16', 'DOUBLE',
    'UINT32', 'UINT64', 'COMPLEX64', 'BFLOAT16', 'INT4', 'UINT4')]


@settings(deadline=None)
@given(kind=st.sampled_from(TYPES), raw=st.booleans(),
       shape=st.lists(st.integers(0, 5), max_size=3))
def test_every_kind_of_sound_tensor_passes(kind: int, raw: bool, shape: list[int]) -> None:
    count = int(np.prod(shape))
    values: Any = np.ones(count, helper.tensor_dtype_to_np_dtype(kind))
    if raw:
        size = (count * (4 if kind in (TensorProto.INT4, TensorProto.UINT4) else
                         values.dtype.itemsize * 8) + 7) // 8
        values = bytes(size)
    tensor = helper.make_tensor('t', kind, shape, values, raw=raw)
    assert external_extents(one_tensor(tensor)) == {}


def test_a_tensor_of_texts_passes() -> None:
    tensor = helper.make_tensor('t', TensorProto.STRING, [2], [b'', b'long enough'])
    assert external_extents(one_tensor(tensor)) == {}
