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
"""Controller and world model come back when they are killed, but not when a person ends them.

Needs launch_testing, which comes with a ROS 2 distribution.
"""

import os
import signal
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('launch_testing', reason='launch_testing comes with a ROS 2 distribution')
pytest.importorskip('launch_ros', reason='launch_ros comes with a ROS 2 distribution')

import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription
from world_model_ros.cli.probes import free_domain

LAUNCH_FILE = Path(__file__).parents[2] / 'launch' / 'demo.launch.py'


@pytest.mark.launch_test
@launch_testing.markers.keep_alive
def generate_test_description() -> tuple[LaunchDescription, dict[str, Any]]:
    """Return a demo that outlasts the test, however long its nodes take to come back."""
    domain, out = free_domain(), tempfile.mkdtemp(dir=os.environ['ROS_LOG_DIR'])
    demo = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH_FILE)),
        launch_arguments={'episodes': '100', 'seed': '3', 'out': out}.items())
    return LaunchDescription([
        SetEnvironmentVariable('ROS_DOMAIN_ID', str(domain)),
        SetEnvironmentVariable('ROS_LOG_DIR', out),
        demo, launch_testing.actions.ReadyToTest()]), {'domain': domain}


class TestKills(unittest.TestCase):
    """Each node is killed once, in the middle of its work."""

    def test_what_is_killed_comes_back_and_says_that_it_works(
        self, proc_output, domain: int,
    ) -> None:
        """The controller logs the model that may propose, the model its identity."""
        for node, sign in (('controller', 'may propose'), ('world_model', 'digest')):
            wait_for(lambda n=node, s=sign: said(proc_output, n, s) == 1, f'{node} to start')
            os.kill(pid_of(node, domain), signal.SIGKILL)
            wait_for(lambda n=node, s=sign: said(proc_output, n, s) == 2, f'{node} to come back')
        # Whoever ends one by hand means it: it is not among those of TestAfterwards once more.
        os.kill(pid_of('controller', domain), signal.SIGTERM)
        wait_for(lambda: not runs('controller', domain), 'the controller to end')
        time.sleep(1.0)  # longer than the delay before it would be started again


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """What the run leaves behind."""

    def test_only_the_killed_processes_ended_badly(self, proc_info) -> None:
        """Two nodes ran twice; the director was interrupted (130) before its last goal."""
        codes = sorted((name.rpartition('-')[0], proc_info[name].returncode)
                       for name in proc_info.process_names())
        self.assertEqual(codes, [
            ('controller', -9), ('controller', 0), ('demo_director', 130), ('simulator', 0),
            ('world_model', -9), ('world_model', 0)])


def said(proc_output, node: str, sign: str) -> int:
    """Return how many processes of a node have said something."""
    return sum(sign in b''.join(line.text for line in proc_output[name]).decode()
               for name in proc_output.process_names() if name.startswith(f'{node}-'))


def pid_of(node: str, domain: int) -> int:
    """Return the process that runs a node on a ROS domain."""
    for entry in Path('/proc').iterdir():
        try:
            command = (entry / 'cmdline').read_bytes().split(b'\0')
            environment = (entry / 'environ').read_bytes().split(b'\0')
        except (OSError, ValueError):
            continue
        if f'__node:={node}'.encode() in command and (
                f'ROS_DOMAIN_ID={domain}'.encode() in environment):
            return int(entry.name)
    raise AssertionError(f'{node} does not run')


def runs(node: str, domain: int) -> bool:
    """Return whether a process runs a node on a ROS domain."""
    try:
        return bool(pid_of(node, domain))
    except AssertionError:
        return False


def wait_for(condition: Callable[[], bool], what: str, within: float = 30.0) -> None:
    """Poll until the condition holds, or fail saying what was waited for."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f'waited {within:g} s in vain for {what}')
        time.sleep(0.05)
