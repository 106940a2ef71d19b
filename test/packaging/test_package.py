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

"""What the package promises to those who build, install and start it."""

import ast
import configparser
import importlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_prefix, get_package_share_directory

from world_model_ros.cli.extras import missing

ROOT = Path(__file__).parents[2]

# rosdep's name for what the index calls otherwise (rosdistro, rosdep/python.yaml).
KEYS = {
    'mujoco': 'python3-mujoco-pip',
    'numpy': 'python3-numpy',
    'onnxruntime': 'python3-onnxruntime-pip',
    'opencv-python-headless': 'python3-opencv',
    'pillow': 'python3-pil',
    'pydantic': 'python3-pydantic',
    'pyyaml': 'python3-yaml',
    'rich': 'python3-rich',
}


def names(requirements: str) -> list[str]:
    """Return what a requirements file or a part of one asks for, lower case."""
    return [match.lower() for match in re.findall(r'(?m)^([A-Za-z0-9_.-]+)', requirements)]


def depends(package: Path) -> set[str]:
    """Return what a package.xml needs at run time."""
    root = ElementTree.parse(package).getroot()
    return {str(element.text) for element in root if element.tag in ('depend', 'exec_depend')}


def runtime() -> list[str]:
    """Return what the nodes, the simulator and the demo need: two paragraphs of demo.in."""
    return names('\n'.join((ROOT / 'requirements/demo.in').read_text().split('\n\n')[:2]))


def imported(*folders: str) -> set[str]:
    """Return the packages that the code in folders imports, by their top-level names."""
    trees = [ast.parse(file.read_text()) for folder in folders
             for file in (ROOT / folder).rglob('*.py')]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {name.partition('.')[0] for node in nodes for name in (
        [alias.name for alias in node.names] if isinstance(node, ast.Import) else
        [node.module or ''] if isinstance(node, ast.ImportFrom) else [])}


def test_package_xml_names_a_rosdep_key_for_all_that_nodes_simulator_and_commands_need() -> None:
    assert set(runtime()) == set(KEYS)
    assert {KEYS[name] for name in runtime()} == {
        key for key in depends(ROOT / 'package.xml') if key.startswith('python3-')}


def test_package_xml_names_every_ros_package_that_the_nodes_and_launch_files_import() -> None:
    python = {'cv2', 'mujoco', 'numpy', 'pydantic', 'rich', 'world_model_ros', 'yaml'}
    ros = imported('world_model_ros/nodes', 'world_model_ros/bringup', 'launch') - set(
        sys.stdlib_module_names) - python
    assert 'sensor_msgs' in ros
    assert not ros - depends(ROOT / 'package.xml')


def test_the_wheels_bring_every_ros_package_that_package_xml_needs() -> None:
    not_on_the_index = {'launch', 'launch_ros', 'ros2launch', 'ros2bag',
                        'rosbag2_storage_default_plugins', 'world_model_interfaces'}
    locked = names((ROOT / 'requirements/ros.txt').read_text())
    needed = depends(ROOT / 'package.xml') | depends(
        ROOT / 'world_model_interfaces/package.xml') - {'rosidl_default_runtime'}
    for name in needed - not_on_the_index:
        assert name.startswith('python3-') or f'ros-{name.replace("_", "-")}' in locked, name


@pytest.mark.parametrize('layer', ['ros', 'demo', 'test', 'train'])
def test_every_locked_package_has_one_version_and_a_hash(layer: str) -> None:
    lock = (ROOT / 'requirements' / f'{layer}.txt').read_text()
    blocks = re.split(r'\n(?=[a-z])', lock.split('\n', 2)[2])
    for block in blocks:
        assert re.match(r'[a-z0-9._-]+==\S+ .*\\\n', block), block.splitlines()[0]
        assert '--hash=sha256:' in block, block.splitlines()[0]
    asked = names((ROOT / 'requirements' / f'{layer}.in').read_text())
    assert set(asked) <= set(names(lock))


def test_locks_agree_on_versions() -> None:
    versions: dict[str, str] = {}
    for lock in sorted((ROOT / 'requirements').glob('*.txt')):
        for name, version in re.findall(r'(?m)^(\S+)==(\S+)', lock.read_text()):
            assert versions.setdefault(name, version) == version, f'{name} in {lock.name}'


def test_the_demo_installs_no_torch() -> None:
    for layer in ('ros', 'demo'):
        assert 'torch' not in names((ROOT / 'requirements' / f'{layer}.txt').read_text())


@pytest.mark.parametrize('package', ['world_model_ros', 'world_model_interfaces'])
def test_ros_tools_find_the_package(package: str) -> None:
    assert (Path(get_package_prefix(package)) / 'share' / package).is_dir()
    assert (Path(get_package_share_directory(package)) / 'package.xml').is_file()


def test_the_share_directory_holds_what_the_demo_needs() -> None:
    share = Path(get_package_share_directory('world_model_ros'))
    for name in ('config/demo.yaml', 'launch/demo.launch.py', 'models/reach/bundle.yaml'):
        assert (share / name).is_file(), name
    assert list(share.glob('description/*.urdf'))


@pytest.mark.parametrize('name', ['controller', 'demo_director', 'simulator', 'wmros',
                                  'world_model'])
def test_an_executable_is_installed_and_starts_at_main(name: str) -> None:
    point, = (point for point in entry_points(group='console_scripts', name=name))
    assert callable(getattr(importlib.import_module(point.module), point.attr))


def test_colcon_puts_executables_where_ros2_run_looks() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg')
    assert config['develop']['script_dir'] == '$base/lib/world_model_ros'
    assert config['install']['install_scripts'] == '$base/lib/world_model_ros'


@pytest.fixture(scope='module')
def extras() -> dict[str, list[str]]:
    """What pip installs with each extra."""
    shown = subprocess.run(
        [sys.executable, '-c', 'import runpy, setuptools\n'
         'setuptools.setup = lambda **given: print(given["extras_require"])\n'
         'runpy.run_path("setup.py")'], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, list[str]] = ast.literal_eval(shown.stdout)
    return found


def test_colcon_test_runs_the_tests_with_pytest(extras: dict[str, list[str]]) -> None:
    assert 'pytest' in extras['test']


def test_pip_installs_what_the_nodes_import_on_a_machine_without_rosdep(
    extras: dict[str, list[str]],
) -> None:
    demo = (ROOT / 'requirements/demo.in').read_text().split('\n\n')[0]
    assert extras['robot'] == [line for line in demo.splitlines() if not line.startswith('#')]


def test_a_command_that_lacks_packages_says_where_they_come_from(
    extras: dict[str, list[str]],
) -> None:
    asked = re.search(r"pip install '(.*)\[(.*)\]', or python3 (\S+) train",
                      missing('wmros export', 'torch', 'train'))
    assert asked is not None
    checkout, extra, tool = asked.groups()
    assert Path(checkout, 'setup.py').is_file() and Path(tool).is_file()
    assert 'torch' in extras[extra]


def test_pip_installs_all_that_training_and_export_import(extras: dict[str, list[str]]) -> None:
    modules = {'opencv-python-headless': 'cv2', 'pyyaml': 'yaml', 'pillow': 'pil'}
    brought = {modules.get(name, name) for extra in ('train', 'sim', 'export')
               for name in names('\n'.join(extras[extra]))}
    # h5py is asked for where a data set is one; stable-worldmodel where a checkpoint is its.
    needed = {name.lower() for name in imported(
        'world_model_ros/learning', 'world_model_ros/bundle', 'world_model_ros/inference')} - set(
        sys.stdlib_module_names) - {'world_model_ros', 'pydantic_core', 'h5py', 'stable_worldmodel'}
    assert 'torch' in needed
    assert not needed - brought


def test_both_packages_have_one_version() -> None:
    found = {ElementTree.parse(path).findtext('version')
             for path in (ROOT / 'package.xml', ROOT / 'world_model_interfaces/package.xml')}
    version = subprocess.run([sys.executable, 'setup.py', '--version'], cwd=ROOT, check=True,
                             stdout=subprocess.PIPE, text=True).stdout.split()[-1]
    module = importlib.import_module('world_model_ros')
    assert found == {version} == {module.__version__}


def test_every_interface_file_is_compiled() -> None:
    interfaces = ROOT / 'world_model_interfaces'
    files = {str(path.relative_to(interfaces)) for kind in ('msg', 'srv', 'action')
             for path in interfaces.glob(f'{kind}/*.{kind}')}
    listed = re.findall(r'(?m)^\s+((?:msg|srv|action)/\S+)$',
                        (interfaces / 'CMakeLists.txt').read_text())
    assert set(listed) == files
