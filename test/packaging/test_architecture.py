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

"""The houses' walls: which code may know which library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ('world_model_ros', 'test', 'tools', 'launch', 'benchmarks')
                 for path in (ROOT / folder).rglob('*.py'))
HEADER = (ROOT / 'setup.py').read_text().split('\n"""')[0].strip()


HEAVY = ('torch', 'mujoco', 'matplotlib', 'onnx', 'world_model_ros.learning',
         'world_model_ros.simulation')
OF_MODELS = ('onnxruntime', 'pydantic', 'cv2', 'world_model_ros.bundle',
             'world_model_ros.inference')


@pytest.mark.parametrize(('node', 'heavy'), [
    ('world_model', HEAVY), ('controller', (*HEAVY, *OF_MODELS)),
])
def test_a_robots_node_loads_no_library_that_it_does_not_use(
    node: str, heavy: tuple[str, ...],
) -> None:
    program = (f'import sys, world_model_ros.nodes.{node}; '
               f'print([name for name in {heavy!r} if name in sys.modules])')
    done = subprocess.run([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True,
                          check=True, timeout=60)
    assert done.stdout.strip() == '[]'


def test_a_robots_node_imports_where_torch_mujoco_and_matplotlib_are_missing() -> None:
    program = """
import sys
for name in ('torch', 'mujoco', 'matplotlib', 'onnx', 'rich', 'PIL'):
    sys.modules[name] = None
import world_model_ros.nodes.controller, world_model_ros.nodes.world_model
"""
    subprocess.run([sys.executable, '-c', program], check=True, timeout=60)


def test_a_nodes_numpy_does_its_algebra_in_one_thread() -> None:
    program = """
import os, sys
import world_model_ros.nodes
assert 'numpy' not in sys.modules  # or else it has its threads already
print(os.environ['OPENBLAS_NUM_THREADS'])
"""
    done = subprocess.run([sys.executable, '-c', program], stdout=subprocess.PIPE, text=True,
                          check=True, timeout=60)
    assert done.stdout.strip() == '1'


def test_every_node_can_be_imported_where_rclpys_classes_take_no_types_as_on_jazzy() -> None:
    program = """
import importlib, pkgutil, sys
import rclpy.action, rclpy.client, rclpy.parameter, rclpy.publisher, rclpy.service
import rclpy.experimental, rclpy.lifecycle, rclpy.subscription, rclpy.task
import world_model_ros.nodes as nodes
for module in (rclpy.client, rclpy.parameter, rclpy.publisher, rclpy.service, rclpy.subscription,
               rclpy.task, rclpy.action.client, rclpy.action.server):
    for kind in vars(module).values():
        if isinstance(kind, type) and kind.__module__ == module.__name__:
            kind.__class_getitem__ = None
for module in pkgutil.iter_modules(nodes.__path__):
    importlib.import_module(f'world_model_ros.nodes.{module.name}')
"""
    subprocess.run([sys.executable, '-c', program], check=True, timeout=60)


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_source_file_carries_the_licence(path: Path) -> None:
    assert path.read_text().startswith(HEADER)


def test_import_contracts_hold() -> None:
    done = subprocess.run([str(Path(sys.executable).with_name('lint-imports')), '--no-cache'],
                          cwd=ROOT, env=dict(os.environ, NO_COLOR='1'), check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    assert done.returncode == 0, done.stdout
