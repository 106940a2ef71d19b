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
"""Writes ``docs/bundle.schema.json`` and ``docs/bundle.md`` from the manifest's own code.

    .venv/bin/python tools/bundle_reference.py

What a field means stands beside the field, in ``world_model_ros/bundle``; examples are the
manifests that the tests load. A test fails when either document is not what this writes.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import markup
import yaml

from world_model_ros.bundle import GoldenVectors, Manifest, manifest

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / 'docs' / 'bundle.schema.json'
PAGE = ROOT / 'docs' / 'bundle.md'
FAMILIES = ROOT / 'test' / 'bundle' / 'families'

FAMILY_NAMES = {
    'lewm': 'LeWM (and PLDM)', 'dino_wm': 'DINO-WM', 'vjepa2_ac': 'V-JEPA 2-AC',
    'tdmpc2': 'TD-MPC2', 'eb_jepa': 'eb_jepa', 'joints': 'A model of your own',
}

INTRODUCTION = """\
# The bundle: what a model is to a robot

A bundle is a folder: ONNX graphs, golden vectors and one manifest, `bundle.yaml`, with every number
that a robot needs and that the graphs cannot say. A new robot or a new model is a new manifest, not
new code.

Nothing in it has a silent default. An unknown key, a missing number, a bound the wrong way round, a
file that is not the one that was exported, a graph that does not fit: each is refused with the
field's name and the cure, before anything moves. What may be absent is a thing that the model does
not have.

```sh
wmros check models/reach          # its contract, its soundness, its speed here
```

An editor that knows JSON Schema completes and checks a manifest whose first line is

```yaml
# yaml-language-server: $schema=/path/to/docs/bundle.schema.json
```

with the path to [bundle.schema.json](bundle.schema.json) in your copy of this repository. The
schema says which keys there are and what each may be; that lists are equally long, names refer to
what exists and bounds are in order is checked when a bundle is loaded.

*This page and the schema are written by `tools/bundle_reference.py` from `world_model_ros/bundle`;
change the fields' descriptions there.*
"""

FILES = """\
## The files

- Paths are relative to the folder, without `..`, and no link may lead out of it.
- `files` lists the sha256 of every file. What is read is what was hashed: a file that changes later
  is refused. `world_model_ros.bundle.write_manifest` fills this section in.
- Tensors too large for one graph (ONNX stops at 2 GB) may lie in files beside it ("external data"),
  if `files` lists those, too.
- Golden vectors are a `.npz` without pickle. They are run each time the bundle is opened: if this
  machine does not compute what the exporter recorded, the bundle is refused. A wrong colour order
  or other statistics show here, not on the robot.
- `model.license` is shown by `wmros check`, which warns of licences that forbid commercial use.
"""

GRAPHS_TITLE = """\
## The graphs' inputs and outputs
"""

GOLDEN_TITLE = """\
## The golden vectors

Arrays of `golden.file`, as the exporter recorded them:
"""

EXAMPLES_TITLE = """\
## One example for each family

Digests and the numbers of data statistics are placeholders; a real bundle has its own. The tests
load each of these.
"""


def schema() -> dict[str, Any]:
    """Return the JSON schema of `bundle.yaml`."""
    return {'$schema': 'https://json-schema.org/draft/2020-12/schema',
            **Manifest.model_json_schema(), 'title': 'bundle.yaml of world_model_ros'}


def page() -> str:
    """Return the reference page."""
    whole = schema()
    parts = [INTRODUCTION, *_sections(whole), FILES, GRAPHS_TITLE, _tensors(), GOLDEN_TITLE,
             _golden(), EXAMPLES_TITLE, *_examples()]
    return markup.page(parts)


def _sections(whole: Mapping[str, Any]) -> Iterator[str]:
    yield '## The manifest\n\n' + _table(whole, whole)
    said: set[str] = set()
    for name, entry in whole['properties'].items():
        for definition in _models(whole, entry):
            yield from _section(whole, name, definition, said)


def _section(
    whole: Mapping[str, Any], path: str, model: Mapping[str, Any], said: set[str],
) -> Iterator[str]:
    """One table for a section, and one for each section inside of it that is not `said` yet."""
    first = model['properties'].get('rule') or model['properties'].get('kind') or model[
        'properties'].get('objective') or {}
    words = [first['const']] if 'const' in first else first.get('enum', [])
    which = f' ({", ".join(words)})' if words and _has_variants(whole, path) else ''
    yield f'### `{path}`{which}\n\n{_paragraphs(model["description"])}\n\n{_table(whole, model)}'
    for name, entry in model['properties'].items():
        for inner in _models(whole, entry):
            # A graph that is nothing but a file needs no table.
            if inner['title'] not in said and set(inner['properties']) - {'file'}:
                said.add(inner['title'])
                yield from _section(whole, f'{path}.{name}', inner, said)


def _has_variants(whole: Mapping[str, Any], path: str) -> bool:
    entry: Mapping[str, Any] = whole
    for name in path.split('.'):
        models = _models(whole, entry) if entry is not whole else [entry]
        entry = next(model['properties'][name] for model in models if name in model['properties'])
    return len(_models(whole, entry)) > 1


def _models(whole: Mapping[str, Any], entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Sections that a field, or the entries of a field, may be."""
    if '$ref' in entry:
        return [whole['$defs'][entry['$ref'].rsplit('/', 1)[1]]]
    inner = [*entry.get('anyOf', []), *entry.get('oneOf', [])]
    inner += [entry[key] for key in ('items', 'additionalProperties')
              if isinstance(entry.get(key), dict)]
    return [model for one in inner for model in _models(whole, one)]


def _table(whole: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    rows = []
    for name, entry in model['properties'].items():
        absent = '' if name in model['required'] else ', or absent'
        meaning = markup.one_line(entry.get('description', ''))
        if not meaning:
            meaning = ' '.join(m['description'].split('\n\n')[0].replace('\n', ' ')
                               for m in _models(whole, entry)[:1])
        rows.append([f'`{name}`', f'{_kind(whole, entry)}{absent}', meaning])
    return markup.table(['field', 'what', 'meaning'], rows)


def _kind(whole: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """What a field may hold, in a few words."""
    if '$ref' in entry:
        return 'section'
    if 'const' in entry:
        return f'`{entry["const"]}`'
    if 'enum' in entry:
        return ' | '.join(f'`{value}`' for value in entry['enum'])
    for key in ('anyOf', 'oneOf'):
        if key in entry:
            kinds = [_kind(whole, one) for one in entry[key] if one.get('type') != 'null']
            return ' | '.join(dict.fromkeys(kinds))
    kind = entry.get('type')
    if kind == 'array':
        return _array(whole, entry)
    if kind == 'object':
        inner = entry.get('additionalProperties')
        return f'name: {_kind(whole, inner)}' if isinstance(inner, dict) else 'section'
    names = {'string': 'text', 'integer': 'integer', 'number': 'number', 'boolean': 'true or false'}
    if entry.get('pattern') == '^[0-9a-f]{64}$':
        return 'sha256'
    return names[str(kind)] + _range(entry)


def _array(whole: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    if 'prefixItems' in entry:
        return f'{len(entry["prefixItems"])} numbers'
    inner = _kind(whole, entry['items'])
    most = f', at most {entry["maxItems"]}' if 'maxItems' in entry else ''
    return f'list of {inner}{most}'


def _range(entry: Mapping[str, Any]) -> str:
    low = (f'> {entry["exclusiveMinimum"]:g}' if 'exclusiveMinimum' in entry
           else f'>= {entry["minimum"]:g}' if 'minimum' in entry else '')
    high = (f'< {entry["exclusiveMaximum"]:g}' if 'exclusiveMaximum' in entry
            else f'<= {entry["maximum"]}' if 'maximum' in entry else '')
    bounds = ', '.join(filter(None, (low, high)))
    return f' {bounds}' if bounds else ''


def _paragraphs(text: str) -> str:
    return '\n\n'.join(' '.join(one.split()) for one in text.split('\n\n'))


def _tensors() -> str:
    """The table in the docstring of `bundle.manifest`, with the words around it."""
    text = inspect.getdoc(manifest) or ''
    return text[text.index('Graphs take and give'):]


def _golden() -> str:
    text = inspect.getdoc(GoldenVectors) or ''
    rows = [[f'`{name}`', markup.one_line(what)]
            for name, what in re.findall(r'^(\w+): (.+(?:\n    .+)*)$', text, re.MULTILINE)]
    lead = re.search(r'The rollout starts from.*?(?=\n\n)', text, re.DOTALL)
    words = ' '.join((lead[0] if lead else '').split()).removesuffix(' Shapes as in `manifest`:')
    return f'{markup.table(["array", "type and shape"], rows)}\n\n{words}'


def _examples() -> Iterator[str]:
    files = {file.stem: file for file in FAMILIES.glob('*.yaml')}
    for stem in sorted(files, key=lambda stem: (list(FAMILY_NAMES).index(stem)
                                                if stem in FAMILY_NAMES else 99, stem)):
        text = files[stem].read_text()
        comment, body = text.split('\n', 1)
        yaml.safe_load(body)
        yield (f'### {FAMILY_NAMES.get(stem, stem)}\n\n{comment.removeprefix("# ")}\n\n'
               f'```yaml\n{body.strip()}\n```')


def main() -> None:
    """Write both documents."""
    SCHEMA.write_text(json.dumps(schema(), indent=2) + '\n')
    PAGE.write_text(page())


if __name__ == '__main__':
    main()
