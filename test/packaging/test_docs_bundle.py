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
"""docs/bundle.md and docs/bundle.schema.json say what the code reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import bundle_reference
import pytest

from world_model_ros.bundle import Manifest
from world_model_ros.bundle.load import parse_manifest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'bundle.md').read_text()
EXAMPLES = re.findall(r'```yaml\n(schema_version: .*?)```', PAGE, re.DOTALL)


def test_the_reference_page_and_the_schema_are_what_the_code_says() -> None:
    stale = 'run .venv/bin/python tools/bundle_reference.py'
    assert bundle_reference.page() == PAGE, stale
    schema = json.loads((ROOT / 'docs' / 'bundle.schema.json').read_text())
    assert bundle_reference.schema() == schema, stale


def test_there_is_an_example_of_every_family() -> None:
    assert len(EXAMPLES) >= 6
    for family in ('LeWM', 'PLDM', 'DINO-WM', 'V-JEPA 2-AC', 'TD-MPC2', 'eb_jepa'):
        assert re.search(rf'^### .*{family}', PAGE, re.MULTILINE)


@pytest.mark.parametrize('example', EXAMPLES, ids=lambda text: text.split('name: ', 1)[1][:7])
def test_every_example_is_a_manifest_that_is_read(tmp_path: Path, example: str) -> None:
    assert parse_manifest(tmp_path, example.encode()).model.name in example


def test_every_field_of_the_manifest_has_a_line_on_the_page() -> None:
    sections: dict[str, Any] = Manifest.model_json_schema()['$defs']
    fields = {(name, field) for name, section in sections.items()
              for field in section['properties']}
    assert len(fields) > 60
    # A graph that is nothing but a file is explained in the line that names it.
    missing = [field for name, field in fields if f'| `{field}` |' not in PAGE and name != 'Graph']
    assert not missing
