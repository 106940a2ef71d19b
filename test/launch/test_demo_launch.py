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
"""The launch file brings up the demo's graph, in any namespace, and ends with its director.

It needs launch, launch_ros and launch_testing, which come with a ROS 2 distribution and are on no
package index; elsewhere ``test_demo_run.py`` runs the same graph.
"""

import json
import os
import tempfile
import unittest
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
    """Return one episode of the demo in a namespace of its own."""
    out = Path(tempfile.mkdtemp(dir=os.environ['ROS_LOG_DIR']))
    demo = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(LAUNCH_FILE)),
        launch_arguments={'namespace': 'cell_1', 'episodes': '1', 'seed': '3',
                          'out': str(out)}.items())
    return LaunchDescription([
        SetEnvironmentVariable('ROS_DOMAIN_ID', str(free_domain())),
        SetEnvironmentVariable('ROS_LOG_DIR', str(out)),
        demo, launch_testing.actions.ReadyToTest()]), {'out': out}


class TestWhileItRuns(unittest.TestCase):
    """The run itself."""

    def test_the_director_comes_to_its_end(self, proc_info) -> None:
        """One episode takes 8 s."""
        proc_info.assertWaitForShutdown(process='demo_director', timeout=90)


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """What the run leaves behind."""

    def test_every_node_ends_cleanly(self, proc_info) -> None:
        """SIGINT is how launch ends processes."""
        launch_testing.asserts.assertExitCodes(proc_info)
        self.assertEqual(
            sorted(name.rpartition('-')[0] for name in proc_info.process_names()),
            ['controller', 'demo_director', 'simulator', 'world_model'])

    def test_report_and_film_are_there(self, out: Path) -> None:
        """A frame may be replaced by the next one while a busy machine does not run its reader."""
        report = json.loads((out / 'report.json').read_text(encoding='utf-8'))
        self.assertEqual(report['episodes'], 1)
        self.assertEqual(report['limit_violations'], 0)
        self.assertGreater(report['proposals'], 0)
        self.assertGreaterEqual(
            report['frames']['received'], 0.95 * report['frames']['published'])
        self.assertTrue(os.path.getsize(out / 'demo.gif') > 0)
