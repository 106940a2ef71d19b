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

import pytest
from dds import Graph, values
from lifecycle_msgs.msg import Transition
from rclpy.action import ActionClient

from world_model_interfaces.action import ReachGoal
from world_model_ros.bringup.endings import MISCONFIGURED
from world_model_ros.bringup.endings import STUCK as ENDED_BY_ITS_ALARM

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

STUCK = """
import time
from world_model_ros.nodes import process

process.LEAVE_WITHIN = 1.0

class Stuck(process.ManagedNode):
    def __init__(self):
        super().__init__('stuck')
        self.create_timer(0.05, self.wait_for_ever)

    def wait_for_ever(self):
        print('stuck', flush=True)
        time.sleep(1000.0)

raise SystemExit(process.run_node(Stuck))
"""

SLOW = """
import time
from world_model_ros.nodes.process import ManagedNode, run_node

class Slow(ManagedNode):
    def __init__(self):
        super().__init__('slow')

    def configure(self):
        time.sleep(4.0)

raise SystemExit(run_node(Slow, ['--ros-args', '-p', 'autostart:=true']))
"""

WORKER = """
from rclpy.action import ActionServer
from world_model_interfaces.action import ReachGoal
from world_model_ros.nodes.process import ManagedNode, run_node

class Worker(ManagedNode):
    def __init__(self):
        super().__init__('worker')
        self.handles = []
        self.server = ActionServer(
            self, ReachGoal, 'work', self.deliver, handle_accepted_callback=self.handles.append)

    def deactivate(self):
        for handle in self.handles:
            handle.execute()

    def deliver(self, handle):
        handle.abort()
        return ReachGoal.Result(reason='the work was given up')

raise SystemExit(run_node(Worker, ['--ros-args', '-p', 'autostart:=true']))
"""


def spawn(graph: Graph, folder: Path, code: str) -> subprocess.Popen[bytes]:
    with open(folder / 'clumsy.output', 'wb') as output:
        process = subprocess.Popen(
            [sys.executable, '-c', code], stdout=output, stderr=output,
            env={**os.environ, 'ROS_DOMAIN_ID': str(graph.domain)})
    process.args = 'clumsy'
    graph.processes.append(process)
    return process


def test_an_exception_in_a_callback_is_shown_and_counted_and_the_process_lives(
    tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        process = spawn(graph, tmp_path, NODE.format(stuck=False))
        health = graph.diagnostics()
        graph.wait_for(lambda: int(values(health('clumsy: lifecycle')).get(
            'callback_errors', 0)) > 3, 20, 'several exceptions in /diagnostics')
        assert 'a bug that nobody knew of' in health('clumsy: lifecycle').message
        assert 'Traceback' in graph.output(process)
        # Shut down by a lifecycle manager, it waits for its process to be ended.
        assert graph.transition('clumsy', Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
        assert graph.end(process) == 0, graph.output(process)[-2000:]


def test_a_node_that_takes_long_to_configure_says_so_all_the_while(tmp_path: Path) -> None:
    with Graph(tmp_path) as graph:
        health, told = graph.diagnostics(), []

        def is_active() -> bool:
            if (status := health('slow: lifecycle')) is not None and status not in told:
                told.append(status)
            return bool(told) and told[-1].message == 'active'

        process = spawn(graph, tmp_path, SLOW)
        graph.wait_for(is_active, 20, 'the active node')
        assert len([one for one in told if one.message.startswith('configuring for ')]) >= 2
        assert values(told[0])['state'] == 'configuring'
        assert graph.end(process) == 0, graph.output(process)[-2000:]


def test_a_thread_that_never_ends_does_not_keep_a_process_from_ending_cleanly(
    tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        process = spawn(graph, tmp_path, NODE.format(stuck=True))
        graph.wait_until('clumsy', 'unconfigured')
        assert graph.end(process, signal.SIGTERM, within=5) == 0


def test_a_callback_that_never_returns_keeps_no_process_from_ending_and_the_log_says_where_it_was(
    tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        process = spawn(graph, tmp_path, STUCK)
        graph.wait_for(lambda: 'stuck' in graph.output(process), 20, 'the callback')
        assert graph.end(process, within=5) == ENDED_BY_ITS_ALARM
        assert 'in wait_for_ever' in graph.output(process)


@pytest.mark.parametrize('executable, name, given, wanted', [
    ('controller', 'control_rate', 100, "'100' of type 'INTEGER', expecting type 'DOUBLE'"),
    ('world_model', 'max_skew', 1, "'1' of type 'INTEGER', expecting type 'DOUBLE'"),
    ('world_model', 'plan_rate', -1.0, 'out of range Min: 0.1, Max: 100.0, value: -1.0'),
    ('simulator', 'autostart', 'yes please', "'yes please' of type 'STRING', expecting"),
    ('demo_director', 'episodes', 2.0, "'2.0' of type 'DOUBLE', expecting type 'INTEGER'")])
def test_a_parameter_that_no_node_can_have_is_named_in_the_last_line_of_its_log(
    tmp_path: Path, executable: str, name: str, given: object, wanted: str,
) -> None:
    with Graph(tmp_path) as graph:
        process = graph.spawn(executable, parameters={name: given})
        graph.wait_for(lambda: process.poll() is not None, 20, 'it to end')
        last = graph.output(process).strip().splitlines()[-1]
        assert name in last and wanted in last and 'start it again' in last
        assert process.returncode == MISCONFIGURED and 'Traceback' not in graph.output(process)


def test_who_waits_for_an_action_gets_its_result_when_the_node_is_told_to_end(
    tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        process = spawn(graph, tmp_path, WORKER)
        client = ActionClient(graph.node, ReachGoal, 'work')
        graph.wait_for(client.server_is_ready, 20, 'the action')
        graph.wait_until_active('worker')
        accepted = client.send_goal_async(ReachGoal.Goal())
        graph.wait_for(accepted.done, 10, 'the goal to be accepted')
        ended = accepted.result().get_result_async()
        graph.listen_for(0.3)  # for the request of the result to arrive
        assert not ended.done()
        assert graph.end(process) == 0
        graph.wait_for(ended.done, 2, 'the result')
        assert ended.result().result.reason == 'the work was given up'
        client.destroy()
