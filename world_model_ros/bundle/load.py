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
"""Opens a bundle, or refuses it with every fault named.

Order matters: the manifest is checked first, then each file's path, then its digest, and only then
is what a file holds looked at. A graph of a refused bundle is never handed to a runtime.

Graphs may have gigabytes, so a bundle keeps none in memory. Each is read once here, to prove its
digest and to look at what its tensors claim, and once again by `Bundle.read_graph`, which proves
the digest of exactly the bytes that it gives: what changes on disk in between is refused, and what
changes after that was never going to be read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from world_model_ros.bundle.errors import BundleError, Fault
from world_model_ros.bundle.fields import is_plain_path
from world_model_ros.bundle.golden import GoldenVectors, read_golden
from world_model_ros.bundle.graph_file import GraphFileError, external_extents
from world_model_ros.bundle.manifest import SCHEMA_VERSION, Manifest
from world_model_ros.bundle.strict_yaml import read_yaml

MANIFEST_NAME = 'bundle.yaml'
_MAX_MANIFEST_KIB = 128  # half a second's work for the parser; manifests have 4 KiB


@dataclass(frozen=True)
class GraphContent:
    """A graph's bytes, and those of the files that its tensors lie in, as the graph names them."""

    model: bytes
    external: Mapping[str, bytes]


@dataclass(frozen=True)
class Bundle:
    """A model that passed its checks.

    `digest` is the sha256 of the manifest, which holds the sha256 of each file: it identifies the
    model to the byte. `external` names, by graph file, what other files its tensors are in, as the
    graph writes them. `size` is that of all graphs with their external data, in bytes.
    """

    path: Path
    manifest: Manifest
    digest: str
    golden: GoldenVectors
    external: Mapping[str, Collection[str]]
    size: int

    def read_graph(self, name: str) -> GraphContent:
        """Content of a graph by its name in the manifest, proven to be what was checked.

        The caller should drop it once the graph is open. Raises BundleError if a file changed.
        """
        file = getattr(self.manifest.graphs, name).file
        model = self._read(file)
        external = {location: self._read(_beside(file, location))
                    for location in self.external[file]}
        return GraphContent(model, external)

    def _read(self, file: str) -> bytes:
        content, fault = _prove(self.path, file, self.manifest.files[file])
        if fault:
            raise BundleError(self.path, [fault])
        return content


def load_bundle(path: Path) -> Bundle:
    """Read and check the bundle in folder `path`; raises BundleError with field and cure."""
    path = Path(path)
    text = _read_manifest(path)
    manifest = parse_manifest(path, text)
    graphs = {graph.file: f'graphs.{name}.file' for name, graph in manifest.graphs.present()}
    faults: list[Fault] = []
    unsound: list[Fault] = []
    sizes: dict[str, int] = {}
    extents: dict[str, dict[str, int]] = {}
    golden_content = b''
    for file, digest in manifest.files.items():
        whole = file in graphs or file == manifest.golden.file
        content, fault = _prove(path, file, digest, keep=whole)
        if fault:
            faults.append(fault)
            continue
        sizes[file] = (path / file).stat().st_size
        if file == manifest.golden.file:
            golden_content = content
        if file in graphs:
            try:
                extents[file] = external_extents(content)
            except GraphFileError as error:
                unsound.append(Fault(graphs[file], f'"{file}" is not a sound ONNX graph ({error})',
                                     'export the graph again'))
        del content
    if faults:
        raise BundleError(path, faults)
    for file, wanted in extents.items():
        unsound += _external_faults(graphs[file], file, wanted, sizes)
    golden = read_golden(golden_content, manifest)
    if isinstance(golden, Fault):
        unsound.append(golden)
    if unsound or isinstance(golden, Fault):
        raise BundleError(path, unsound)
    size = sum(sizes.values()) - sizes[manifest.golden.file]
    return Bundle(path, manifest, hashlib.sha256(text).hexdigest(), golden, extents, size)


def load_manifest(path: Path) -> Manifest:
    """Read the manifest alone of the bundle in folder `path`: nothing that it lists is looked at.

    Raises BundleError with field and cure.
    """
    path = Path(path)
    return parse_manifest(path, _read_manifest(path))


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> Bundle:
    """Complete a manifest and write it to folder `path`, which holds the graphs and golden vectors.

    `manifest` has the sections of `manifest.Manifest` as plain mappings, without `schema_version`
    and `files`: both are filled in. The result is loaded, so a bundle that was written can be read.
    Raises BundleError.
    """
    path = Path(path)
    draft = {'schema_version': SCHEMA_VERSION, **manifest}
    graphs = [entry['file'] for entry in draft.get('graphs', {}).values()
              if isinstance(entry, Mapping) and isinstance(entry.get('file'), str)]
    names = [*graphs, draft.get('golden', {}).get('file')]
    digests: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not (path / name).is_file():
            raise BundleError(path, [Fault('files', f'"{name}" is not in the folder',
                                           'write the graphs and golden vectors first')])
        digests[name] = _digest(path / name)
        for beside in _external_files(path, name) if name in graphs else ():
            digests[beside] = _digest(path / beside)
    draft['files'] = digests
    checked = _validate(path, draft)
    data = checked.model_dump(mode='json', exclude_none=True)
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100)
    try:
        (path / MANIFEST_NAME).write_text(text, encoding='utf-8')
    except OSError as error:
        raise BundleError(path, [Fault(MANIFEST_NAME, f'cannot be written ({error.strerror})',
                                       'make the folder yours, or copy it')]) from error
    return load_bundle(path)


def _read_manifest(path: Path) -> bytes:
    file = path / MANIFEST_NAME
    try:
        if not file.is_file():
            raise BundleError(path, [Fault(MANIFEST_NAME, 'not found',
                                           'give the folder of a bundle, which holds bundle.yaml')])
        if file.stat().st_size > 1024 * _MAX_MANIFEST_KIB:
            raise BundleError(path, [Fault(MANIFEST_NAME, f'larger than {_MAX_MANIFEST_KIB} KiB',
                                           'keep tensors in the graphs and golden vectors')])
        return file.read_bytes()
    except OSError as error:
        raise BundleError(path, [_unreadable(MANIFEST_NAME, error)]) from error


def parse_manifest(path: Path, text: bytes) -> Manifest:
    """Check the text of a manifest alone; `path` is what messages call it. Raises BundleError."""
    try:
        data = read_yaml(text)
    except ValueError as error:
        problem = ' '.join(str(error).split())
        raise BundleError(path, [Fault(MANIFEST_NAME, f'is not valid YAML: {problem}',
                                       'correct the file there')]) from error
    if not isinstance(data, dict):
        raise BundleError(path, [Fault(MANIFEST_NAME, 'holds no mapping',
                                       'start with schema_version: 1')])
    version = data.get('schema_version')
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(path, [Fault('schema_version', f'{version} is newer than '
                                       f'{SCHEMA_VERSION}, the newest that this release reads',
                                       'update world_model_ros, or export for this release')])
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise BundleError(path, [Fault('schema_version', f'is {version!r}',
                                       f'set schema_version: {SCHEMA_VERSION}')])
    return _validate(path, data)


def _validate(path: Path, data: Mapping[str, Any]) -> Manifest:
    try:
        return Manifest.model_validate(_tuples(dict(data)))
    except ValidationError as error:
        raise BundleError(path, [_fault(detail, data) for detail in error.errors()]) from error


def _prove(
    path: Path, name: str, expected: str, *, keep: bool = True,
) -> tuple[bytes, Fault | None]:
    """Bytes of a listed file (none unless `keep`) if its digest is right, else what is wrong."""
    field = f'files.{name}'
    try:
        file = (path / name).resolve()
    except (OSError, RuntimeError):  # the latter up to Python 3.12
        return b'', Fault(field, 'is a link that leads in a circle', 'replace the link by the file')
    if not file.is_relative_to(path.resolve()):
        return b'', Fault(field, 'leads out of the bundle through a link',
                          'replace the link by the file')
    try:
        if not file.is_file():
            return b'', Fault(field, 'the file is missing', 'copy the whole bundle folder again')
        content = file.read_bytes() if keep else b''
        digest = hashlib.sha256(content).hexdigest() if keep else _digest(file)
    except OSError as error:
        return b'', _unreadable(field, error)
    if digest != expected:
        return b'', Fault(field, f'sha256 is {digest[:12]}…, not {expected[:12]}…: the file '
                          'changed after export (or is a Git LFS pointer)',
                          'copy the bundle again from where it was exported')
    return content, None


def _unreadable(field: str, error: OSError) -> Fault:
    return Fault(field, f'cannot be read ({error.strerror})',
                 'let the user who runs this read the folder and its files, or copy them again')


def _digest(file: Path) -> str:
    with file.open('rb') as stream:
        return hashlib.file_digest(stream, 'sha256').hexdigest()


def _beside(graph: str, location: str) -> str:
    """Path in the bundle of a file that a graph names relative to its own folder."""
    return str(PurePosixPath(graph).parent / location)


def _external_faults(
    field: str, graph: str, extents: Mapping[str, int], sizes: Mapping[str, int],
) -> Iterator[Fault]:
    for location, end in extents.items():
        what = f'"{graph}" keeps tensors in "{location}" (external data)'
        if not location or not is_plain_path(location):
            yield Fault(field, f'{what}, which is not a plain path inside the bundle',
                        'export it again with all weights inside the graph or beside it')
        elif (file := _beside(graph, location)) not in sizes:
            yield Fault(field, f'{what}, whose digest is not in "files"',
                        'export it again with all weights inside the graph, or write the manifest '
                        'with world_model_ros.bundle.write_manifest')
        elif sizes[file] < end:
            yield Fault(field, f'{what} up to byte {end}, the file has {sizes[file]}',
                        'export the graph again')


def _external_files(path: Path, graph: str) -> Iterator[str]:
    """Files that hold tensors of a graph; what is wrong with a graph is left to loading it."""
    try:
        extents = external_extents((path / graph).read_bytes())
    except GraphFileError:
        return
    for location in extents:
        file = _beside(graph, location)
        if location and is_plain_path(location) and (path / file).is_file():
            yield file


def _tuples(value: Any) -> Any:
    """YAML knows lists only, strict pydantic wants tuples."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    return value


_CURES = {
    'extra_forbidden': 'remove it or correct its spelling',
    'missing': 'add it; world_model_ros/bundle/manifest.py shows a complete manifest',
    'union_tag_not_found': 'add it; world_model_ros/bundle/manifest.py shows a complete manifest',
    'finite_number': 'give a finite number',
    'string_pattern_mismatch': 'write the manifest with world_model_ros.bundle.write_manifest',
}


def _fault(detail: ErrorDetails, data: Mapping[str, Any]) -> Fault:
    field = _field(detail, data)
    context = detail.get('ctx', {})
    if detail['type'] == 'fault':
        field = '.'.join(part for part in (field, str(context['field'])) if part)
        return Fault(field or MANIFEST_NAME, str(context['problem']), str(context['cure']))
    problem = detail['msg'][0].lower() + detail['msg'][1:]
    if detail['type'] == 'extra_forbidden':
        problem = 'this key is unknown'
    elif detail['type'] == 'missing':
        problem = 'is missing'
    elif detail['type'] == 'union_tag_not_found':
        field, problem = f'{field}.{context["discriminator"].strip(chr(39))}', 'is missing'
    elif detail['type'] == 'union_tag_invalid':
        field = f'{field}.{context["discriminator"].strip(chr(39))}'
        problem = f'is {_short(context["tag"])}, not one of {context["expected_tags"]}'
    else:
        problem += f' (it is {_short(detail["input"])})'
    return Fault(field, problem, _CURES.get(detail['type'], 'correct the value'))


def _field(detail: ErrorDetails, data: Any) -> str:
    """Dotted path of what the file's author wrote; pydantic adds the names of union members."""
    parts, last = [], len(detail['loc']) - 1
    for index, part in enumerate(detail['loc']):
        there = isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        there = there or (isinstance(data, Mapping) and part in data)
        if there:
            data = data[part]
        elif part == '[key]' or index < last or detail['type'] != 'missing':
            continue
        parts.append(str(part))
    return '.'.join(parts)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
