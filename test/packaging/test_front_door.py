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

"""The front door refuses a machine that lacks something in one line that says what to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ('Makefile', 'requirements', 'resource', 'tools', 'world_model_interfaces', 'package.xml',
         'setup.cfg', 'setup.py')


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone in which nothing has been set up."""
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    return tmp_path


def knock(clone: Path, *, path: Path, prologue: str = '') -> str:
    """Knock at the door with only the programs in ``path``; return the line of the refusal."""
    program = f"""
import runpy, sys
{prologue}
sys.argv = ['prepare.py', 'demo']
runpy.run_path({str(clone / 'tools/prepare.py')!r}, run_name='__main__')
"""
    environment = {'PATH': str(path), 'HOME': str(path),
                   **{name: os.environ[name] for name in
                      ('LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE') if name in os.environ}}
    done = subprocess.run([sys.executable, '-c', program], env=environment, text=True, timeout=60,
                          capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    line, = done.stderr.splitlines()
    assert line.startswith('prepare: ')
    assert not (clone / '.venv').exists()
    return line


@pytest.fixture
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for PATH, empty."""
    return tmp_path_factory.mktemp('bin')


NO_OTHER_PYTHON = """
import os.path, pathlib
pathlib.Path.glob = lambda *a, **k: iter(())
import subprocess
real = subprocess.run
def run(command, **options):
    if command[0].startswith(('/usr/', '/opt/')):
        raise FileNotFoundError(command[0])
    return real(command, **options)
subprocess.run = run
"""


def test_without_python_3_11_it_says_what_to_install(clone: Path, programs: Path) -> None:
    old = programs / 'python3.11'
    old.write_text('#!/bin/sh\nexit 127\n')  # as a pyenv shim without a version behind it does
    old.chmod(0o755)
    line = knock(clone, path=programs, prologue=NO_OTHER_PYTHON)
    assert 'CPython 3.11' in line and 'apt install python3.11-venv' in line


def test_without_pythons_headers_it_says_what_to_install(clone: Path, programs: Path) -> None:
    bare = programs / 'python3.11'
    bare.write_text('#!/bin/sh\necho no headers\n')
    bare.chmod(0o755)
    line = knock(clone, path=programs, prologue=NO_OTHER_PYTHON)
    assert 'python3.11-dev' in line


def test_without_a_compiler_it_says_what_to_install(clone: Path, programs: Path) -> None:
    python = Path(sys.base_prefix) / 'bin/python3.11'
    if not python.exists():
        pytest.skip('needs CPython 3.11')
    (programs / 'python3.11').symlink_to(python)
    line = knock(clone, path=programs)
    assert 'compiler' in line and 'build-essential' in line


def test_on_another_machine_than_x86_64_it_asks_for_ros(clone: Path, programs: Path) -> None:
    line = knock(clone, path=programs,
                 prologue='import platform; platform.machine = lambda: "aarch64"')
    assert 'aarch64' in line and 'ROS 2 Jazzy' in line


def test_in_a_path_with_spaces_it_says_so(clone: Path, programs: Path) -> None:
    room = clone / 'my robots'
    room.mkdir()
    shutil.copytree(clone / 'tools', room / 'tools')
    line = knock(room, path=programs)
    assert 'spaces' in line


def test_make_without_any_python_says_what_to_install(clone: Path, programs: Path) -> None:
    (programs / 'sh').symlink_to('/bin/sh')
    done = subprocess.run([shutil.which('make') or 'make', 'demo'], cwd=clone, check=False,
                          env={'PATH': str(programs)}, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode
    assert 'needs CPython 3.11' in done.stdout


def test_a_second_set_up_has_nothing_to_do() -> None:
    if not (ROOT / '.venv/stamps/rendering').exists():
        pytest.skip('this environment was not made by tools/prepare.py')
    done = subprocess.run([sys.executable, 'tools/prepare.py', 'demo'], cwd=ROOT, check=True,
                          stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.stdout == 'prepare: .venv is ready\n'
