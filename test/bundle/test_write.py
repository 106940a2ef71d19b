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
"""Exporters write bundles through one function, which writes nothing that loading would refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_bundle import toy_golden, toy_manifest, write_toy_bundle

from world_model_ros.bundle import BundleError, load_bundle, write_manifest


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    written = write_toy_bundle(tmp_path)
    read = load_bundle(tmp_path)
    assert read.digest == written.digest
    assert read.manifest == written.manifest
    assert read.manifest.action.names == ('shoulder', 'elbow')
    assert set(read.manifest.files) == {
        'encoder.onnx', 'goal_encoder.onnx', 'rollout.onnx', 'golden.npz'}


def test_writing_the_same_bundle_twice_gives_the_same_digest(tmp_path: Path) -> None:
    first, second = write_toy_bundle(tmp_path / 'a'), write_toy_bundle(tmp_path / 'b')
    assert {k: v for k, v in first.manifest.files.items() if k != 'golden.npz'} == {
        k: v for k, v in second.manifest.files.items() if k != 'golden.npz'}


def test_a_manifest_is_not_written_before_its_files(tmp_path: Path) -> None:
    toy_golden().save(tmp_path / 'golden.npz')
    with pytest.raises(BundleError, match=r'encoder\.onnx.*write the graphs'):
        write_manifest(tmp_path, toy_manifest())
    assert not (tmp_path / 'bundle.yaml').exists()


def test_a_wrong_number_is_refused_when_the_exporter_writes_it(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r'planner\.momentum'):
        write_toy_bundle(tmp_path, lambda manifest: manifest['planner'].update(momentum=1.0))
    assert not (tmp_path / 'bundle.yaml').exists()


def test_a_manifest_that_may_not_be_written_is_an_error_of_the_bundle(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path)
    (tmp_path / 'bundle.yaml').unlink()
    (tmp_path / 'bundle.yaml').mkdir()
    with pytest.raises(BundleError, match=r'bundle\.yaml: cannot be written'):
        write_manifest(tmp_path, toy_manifest())


def test_numbers_with_exponents_read_as_yaml_1_2_has_them(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path)
    file = tmp_path / 'bundle.yaml'
    file.write_text(file.read_text().replace('tolerance: 0.0001', 'tolerance: 1e-4'))
    assert load_bundle(tmp_path).manifest.golden.tolerance == 1e-4


def test_a_version_that_looks_like_a_date_is_a_text(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path, lambda manifest: manifest['model'].update(version='VERSION'))
    file = tmp_path / 'bundle.yaml'
    text = file.read_text()
    for version in ('2024-05-01', '2024-13-45'):
        file.write_text(text.replace('VERSION', version))
        assert load_bundle(tmp_path).manifest.model.version == version
