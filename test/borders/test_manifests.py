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

"""A manifest is a stranger's text: none with a fault is taken, and none hangs or runs code."""

import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hostile import Defect, storm

from world_model_ros.bundle import BundleError, Manifest, load_bundle
from world_model_ros.bundle.action import ActionContract
from world_model_ros.bundle.inputs import ImageContract
from world_model_ros.bundle.latent import Latent
from world_model_ros.bundle.load import _validate, parse_manifest
from world_model_ros.bundle.manifest import Golden, Identity
from world_model_ros.bundle.planner_settings import PlannerSettings
from world_model_ros.resources import resource

PATH = Path('bundle')
LONGEST = 10.0  # s of computing that one refusal may take; a busy machine does not lengthen it
FAMILIES = [
    resource('models/reach/bundle.yaml'),
    *sorted((Path(__file__).parents[1] / 'bundle' / 'families').glob('*.yaml')),
]
SOUND = [yaml.safe_load(file.read_text()) for file in FAMILIES]
SECTIONS = {
    (): Manifest, ('model',): Identity, ('action',): ActionContract, ('image',): ImageContract,
    ('latent',): Latent, ('planner',): PlannerSettings, ('golden',): Golden,
}
FREE = {('files',), ('action', 'frozen'), ('latent', 'parts')}  # mappings with keys of any name
POSITIVE = {'width', 'height', 'frames', 'horizon', 'samples', 'iterations', 'elites', 'memory',
            'step_duration', 'rows_per_step', 'tolerance', 'std', 'sigma', 'sigma_min'}


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every entry below a manifest's node."""
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


PLACES = [list(places(manifest)) for manifest in SOUND]
REQUIRED = [(*section, name) for section, kind in SECTIONS.items()
            for name, field in kind.model_fields.items() if field.is_required()]


def look_up(manifest: dict[str, Any], path: tuple[Any, ...]) -> Any:
    node: Any = manifest
    for key in path:
        node = node[key]
    return node


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def misfit(random: Random, value: Any) -> Any:
    """Return something that is not of the type of ``value``, nor convertible to it."""
    numbers = (math.nan, math.inf, -math.inf)
    others: tuple[Any, ...] = (nested(random.randint(1, 60)), {'__class__': 'x'}, {1: 2}, b'x')
    if isinstance(value, str):
        return random.choice((0, -1, 1.5, True, [], ['x'], *numbers, *others))
    if isinstance(value, bool):
        return random.choice(('x', 'true ', 2, 1.5, [], *others))
    if isinstance(value, int | float):
        return random.choice(('', 'x', '1', '1e3', 'nan', True, [], [1], *numbers, *others))
    if isinstance(value, list):
        return random.choice(('x', 1, 1.5, True, {'a': 1}, *numbers, b'x'))
    return random.choice(('x', 1, 1.5, True, [1], [], *numbers, b'x'))


def hostile_values(random: Random) -> Defect:
    """One manifest of a published family with one entry that is wrong."""
    at = random.randrange(len(SOUND))
    manifest = copy.deepcopy(SOUND[at])
    defect = random.choice(('removed', 'retyped', 'retyped', 'retyped', 'nothing', 'unknown key',
                            'not positive', 'digest', 'path', 'version'))
    if defect in ('removed', 'nothing'):
        present = [path for path in REQUIRED if path[0] in manifest and path in PLACES[at]]
        *section, key = random.choice(present)
        parent = look_up(manifest, tuple(section))
        if defect == 'removed':
            del parent[key]
        else:
            parent[key] = None
    elif defect == 'retyped':
        *section, key = random.choice(PLACES[at])
        parent = look_up(manifest, tuple(section))
        parent[key] = misfit(random, parent[key])
    elif defect == 'unknown key':
        section = random.choice([s for s in SECTIONS if s not in FREE and
                                 isinstance(look_up_or_none(manifest, s), dict)])
        key = random.choice(('', ' ', '$ref', '__class__', 'x' * 5000, 'Name', 'schema', '\u202e'))
        look_up(manifest, section)[key] = random.choice((1, 'x', None, nested(50)))
    elif defect == 'not positive':
        path = random.choice([p for p in PLACES[at] if POSITIVE & set(p[-2:]) and
                              isinstance(look_up(manifest, p), int | float)])
        look_up(manifest, path[:-1])[path[-1]] = random.choice((0, -1, -1e9, -0.0, 10**400))
    elif defect == 'digest':
        name = random.choice(list(manifest['files']))
        manifest['files'][name] = random.choice(('', 'a' * 63, 'A' * 64, 'a' * 65, 'g' * 64,
                                                 'a' * 64 + '\n'))
    elif defect == 'path':
        path = random.choice(('/etc/passwd', '../x', 'a/../../x', './x', 'a//b', 'x\0', '', '..',
                              'a\\b', '/'))
        if random.random() < 0.5:
            manifest['files'][path] = 'a' * 64
        else:
            manifest['golden']['file'] = path
    elif defect == 'version':
        manifest['schema_version'] = random.choice((0, 2, -1, 10**30, 1.0, '1', True, None, [1]))
    return defect, manifest


def look_up_or_none(manifest: dict[str, Any], path: tuple[Any, ...]) -> Any:
    try:
        return look_up(manifest, path)
    except KeyError:
        return None


def one_line(error: BundleError) -> str:
    return ' '.join(str(error).split())[:900]


def test_the_sound_manifests_are_taken_so_that_it_is_the_defect_that_is_refused() -> None:
    for manifest, file in zip(SOUND, FAMILIES, strict=True):
        assert _validate(PATH, manifest).model.name == manifest['model']['name']
        assert parse_manifest(PATH, file.read_bytes()).model.name == manifest['model']['name']


def test_no_manifest_with_a_wrong_entry_is_taken() -> None:
    def refusal(manifest: dict[str, Any]) -> str:
        try:
            _validate(PATH, manifest)
        except BundleError as error:
            return one_line(error)
        return ''

    storm('manifest values', hostile_values, refusal)


MARKER = 'wmros-was-here'
TAGS = ('!!python/object/apply:os.system ["touch {}"]',
        '!!python/object/new:os.system ["touch {}"]', '!!python/name:os.system',
        '!!python/module:os', '!!python/object:object {{}}',
        '!!python/tuple [1, 2]', '!include /etc/passwd', '!<tag:yaml.org,2002:python/none> x',
        '!!timestamp x', '!!binary x', '!!set [x]', '!!omap x', '!!int x', '!!float x')
WHOLE = {
    'empty': b'', 'nothing': b'~\n', 'a list': b'- 1\n- 2\n', 'a text': b'hello\n',
    'two documents': b'schema_version: 1\n---\nschema_version: 1\n',
    'not UTF-8': b'schema_version: 1\nmodel: \xff\xfe\xfa\n', 'UTF-16': 'a: 1'.encode('utf-16'),
    'lone surrogate': b'a: "\\ud800"\n', 'NUL': b'schema_version: 1\0\n',
    'tab': b'schema_version:\t\t1\n\tmodel: 1\n', 'unclosed': b'a: [1, {b: "c\n',
    'alias bomb': b'a: &a [x,x,x,x,x,x,x,x,x]\n' + b''.join(
        b'%c: &%c [%s]\n' % (97 + i, 97 + i, b','.join([b'*%c' % (96 + i)] * 9))
        for i in range(1, 20)),
    'endless alias': b'a: &a [*a]\n', 'merge key': b'a: &a {b: 1}\nc: {<<: *a}\n',
    'repeated key': b'schema_version: 1\nschema_version: 1\n',
    'list as key': b'? [a, b]\n: 1\n', 'mapping as key': b'? {a: b}\n: 1\n',
    'nested lists': b'[' * 100_000, 'nested mappings': b'{a: ' * 30_000,
    'nested blocks': b''.join(b' ' * i + b'a:\n' for i in range(450)),
    'directive': b'%YAML 9.9\n---\na: 1\n', 'unknown directive': b'%FOO bar\n---\n%',
    'too large': b'a: ' + b'x' * 2**20,
    'many keys': b'{' + b','.join(b'k%d: 1' % i for i in range(12_000)) + b'}',
    'base 60': b'schema_version: ' + b'1' + b':0' * 60_000,
    'huge decimal': b'schema_version: ' + b'9' * 100_000,
    'huge hexadecimal': b'schema_version: 0x' + b'f' * 100_000,
    'huge binary': b'schema_version: 0b' + b'1' * 100_000,
    'many anchors': b''.join(b'- &a%d x\n' % i for i in range(8_000)),
    'long plain': b'schema_version: ' + b'1_' * 60_000,
}
SOUND_TEXT = FAMILIES[0].read_text()


def hostile_text(random: Random) -> Defect:
    """A line of a sound manifest becomes an attack on what reads it."""
    lines = SOUND_TEXT.splitlines()
    # Mostly the first line: the reader stops there, which is a hundred times faster.
    at = 0 if random.random() < 0.8 else random.choice([
        i for i, line in enumerate(lines)
        if ': ' in line and not line.startswith(' ') and '{' not in line])
    key = lines[at].split(':')[0]
    defect = random.choice(('tag', 'alias', 'anchor loop', 'repeated', 'control character',
                            'encoding', 'nesting', 'hexadecimal', 'indentation', 'unclosed'))
    text = {
        'tag': random.choice(TAGS).format(MARKER), 'alias': '*unknown', 'anchor loop': '&x [*x]',
        'repeated': f'1\n{key}: 1', 'control character': f'"a{chr(random.randrange(1, 9))}b"',
        'encoding': '\udcff', 'nesting': '[' * random.randint(50, 150),
        'hexadecimal': '0x' + 'f' * random.randint(5000, 20_000), 'indentation': '1\n   x: : 1',
        'unclosed': random.choice(('"x', "'x", '{a', '[a', '{a: ]', '!<', '&')),
    }[defect]
    lines[at] = f'{key}: {text}'
    return defect, '\n'.join(lines).encode('utf-8', 'surrogateescape')


def parse(text: bytes) -> str:
    started = time.process_time()
    try:
        parse_manifest(PATH, text)
    except BundleError as error:
        assert time.process_time() - started < LONGEST
        return one_line(error)
    return ''


@pytest.mark.parametrize('attack', WHOLE)
def test_no_text_that_attacks_its_reader_is_a_manifest(attack: str, tmp_path: Path) -> None:
    (tmp_path / 'bundle.yaml').write_bytes(WHOLE[attack])
    started = time.process_time()
    with pytest.raises(BundleError):
        load_bundle(tmp_path)
    assert time.process_time() - started < LONGEST


def test_no_manifest_with_an_attack_in_it_is_taken_and_no_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    storm('manifest text', hostile_text, parse, batch=20)
    assert not list(tmp_path.iterdir()), 'a tag ran a command'
