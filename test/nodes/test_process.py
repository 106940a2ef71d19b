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

"""What every node process does whatever its callbacks do."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from dds import Graph, values

NODE = """
import threading
from world_model_ros.nodes.process import ManagedNode, run_node

class Clumsy(ManagedNode):
    def __init__(self):
        super().__init__('clumsy')
        self.create_timer(0.05, self.stumble)
        if {stuck}:
            threading.Thread(target=threading.Event().wait, daemon=True).start()

    def stumble(self):
        raise KeyError('a bug that nobody knew of')

raise SystemExit(run_node(Clumsy))
"""


def spawn(graph: Graph, folder: Path, stuck: bool) -> subprocess.Popen[bytes]:
    with open(folder / 'clumsy.output', 'wb') as output:
        process = subprocess.Popen(
            [sys.executable, '-c', NODE.format(stuck=stuck)], stdout=output, stderr=output,
            env={**os.environ, 'ROS_DOMAIN_ID': str(graph.domain)})
    process.args = 'clumsy'
    graph.processes.append(process)
    return process


def test_an_exception_in_a_callback_is_shown_and_counted_and_the_process_lives(
    tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        process = spawn(graph, tmp_path, stuck=False)
        health = graph.diagnostics()
        graph.wait_for(lambda: int(values(health('clumsy: lifecycle')).get(
            'callback_errors', 0)) > 3, 20, 'several exceptions in /diagnostics')
        assert 'a bug that nobody knew of' in health('clumsy: lifecycle').message
        assert 'Traceback' in graph.output(process)
        assert graph.end(process) == 0


def test_a_thread_that_never_ends_does_not_keep_a_process_from_ending_cleanly(
    tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        process = spawn(graph, tmp_path, stuck=True)
        graph.wait_until('clumsy', 'unconfigured')
        assert graph.end(process, signal.SIGTERM, within=5) == 0
