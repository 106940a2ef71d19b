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
"""`wmros check` tells a sound bundle from a damaged one, in words and in its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_bundle import write_toy_bundle

from world_model_ros.cli.main import main


def test_a_sound_bundle_gets_a_full_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    bundle = write_toy_bundle(tmp_path)
    assert main(['check', str(tmp_path)]) == 0
    report = capsys.readouterr().out
    for part in ('toy 1.0.0', 'Apache-2.0', bundle.digest, 'shoulder -1.5 to 1.5', '32x32 rgb',
                 'rollout: latent float32', 'encoder: error', 'speed here', 'sound'):
        assert part in report


def test_a_damaged_bundle_ends_with_code_1_field_and_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    write_toy_bundle(tmp_path)
    (tmp_path / 'encoder.onnx').write_bytes(b'')
    assert main(['check', str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert 'files.encoder.onnx: sha256' in error
    assert 'Cure: copy the bundle again' in error
