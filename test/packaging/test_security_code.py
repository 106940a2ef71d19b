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

"""No code is loaded from a bundle or a message, and SECURITY.md says the numbers of the code."""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx import TensorProto, helper
from toy_bundle import write_toy_bundle

from world_model_ros import payload
from world_model_ros.bundle import load_bundle
from world_model_ros.inference import WorldModel

ROOT = Path(__file__).parents[2]
# learning/ runs where models are made, on one's own files.
SOURCES = sorted(file for file in (ROOT / 'world_model_ros').rglob('*.py')
                 if 'learning' not in file.parts)
# What turns bytes or texts into code, or a shell's command.
MODULES = {'pickle', 'cPickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve', 'runpy',
           'code'}
CALLS = {'eval', 'exec', 'compile', '__import__', 'os.system', 'os.popen', 'torch.load',
         'torch.jit.load', 'yaml.unsafe_load', 'yaml.full_load', 'np.fromregex', 'np.memmap'}


def dotted(node: ast.expr) -> str:
    """``np.load`` of the expression that says so; what is no such name is ''."""
    if isinstance(node, ast.Attribute):
        return f'{dotted(node.value)}.{node.attr}'
    return node.id if isinstance(node, ast.Name) else ''


def doors(tree: ast.AST) -> Iterator[str]:
    """What of a module lets code in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or '']
            yield from (f'import {name}' for name in names if name.split('.')[0] in MODULES)
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        given = {word.arg: word.value for word in node.keywords}
        if name in CALLS or name.endswith('.register_custom_ops_library'):
            yield f'{name}()'
        if name == 'np.load' and ast.unparse(given.get('allow_pickle', ast.Constant(1))) != 'False':
            yield 'np.load() without allow_pickle=False'
        if name == 'yaml.load' and not ast.unparse(given.get('Loader', ast.Constant(''))).endswith(
                ('SafeLoader', '_StrictLoader')):
            yield 'yaml.load() with a loader that makes objects'
        if name.endswith('CDLL') and not all(isinstance(item, ast.Constant) for item in node.args):
            yield f'{name}() of a library that is not named here'
        if ast.unparse(given.get('shell', ast.Constant(False))) != 'False':
            yield f'{name}(shell=...)'


@pytest.mark.parametrize('code', [
    'import pickle', 'from pickle import loads', 'eval(text)', 'os.system(text)', 'np.load(file)',
    'np.load(file, allow_pickle=True)', 'yaml.load(text, Loader=yaml.Loader)', 'torch.load(file)',
    'subprocess.run(text, shell=True)', 'ctypes.CDLL(path)',
    'options.register_custom_ops_library(path)'])
def test_the_search_finds_what_lets_code_in(code: str) -> None:
    assert list(doors(ast.parse(code)))


@pytest.mark.parametrize('source', SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_of_the_robots_side_makes_code_of_data(source: Path) -> None:
    found = list(doors(ast.parse(source.read_text(encoding='utf-8'))))
    assert not found, f'{source}: {found}'


def test_a_graph_with_an_operator_of_its_own_does_not_load(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node('Evil', ['latent'], ['made'], domain='com.example'),
         helper.make_node('Identity', ['made'], ['latents'])], 'g',
        [helper.make_tensor_value_info('latent', TensorProto.FLOAT, ['batch', 6]),
         helper.make_tensor_value_info('actions', TensorProto.FLOAT, ['batch', 'horizon', 2])],
        [helper.make_tensor_value_info('latents', TensorProto.FLOAT, ['batch', 'horizon', 6])])
    model = helper.make_model(graph, opset_imports=[
        helper.make_opsetid('', 17), helper.make_opsetid('com.example', 1)], ir_version=9)
    folder = write_toy_bundle(tmp_path / 'toy').path
    old, new = (folder / 'rollout.onnx').read_bytes(), model.SerializeToString()
    (folder / 'rollout.onnx').write_bytes(new)
    manifest = (folder / 'bundle.yaml').read_text()
    (folder / 'bundle.yaml').write_text(manifest.replace(digest(old), digest(new)))
    with pytest.raises(Exception, match=r'(?s)rollout.*Evil|Evil.*rollout'):
        WorldModel(load_bundle(folder))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_security_md_gives_the_sizes_that_the_code_keeps() -> None:
    text = (ROOT / 'SECURITY.md').read_text()
    for number in (payload.JOINTS, payload.PLAN_ROWS, payload.TENSOR_NUMBERS,
                   payload.TENSOR_DIMENSIONS, payload.NAME_LENGTH, payload.TEXT_LENGTH):
        assert f'{number:,}' in text
    assert payload.IMAGE_PIXELS == 7680 * 4320 and '7680 x 4320 pixels' in text
    assert f'{payload.IMAGE_BYTES / 1e6:.1f} MB' in text
    assert f'compressed {payload.COMPRESSED_IMAGE_BYTES // 2**20} MiB' in text
