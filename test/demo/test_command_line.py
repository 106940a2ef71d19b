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
"""The command line answers at once, and says in one line what is wrong."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dds import Graph

from world_model_ros.cli import demo, probes
from world_model_ros.cli.main import main
from world_model_ros.demo import graph


def wmros(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'world_model_ros.cli.main', *words], cwd=cwd, text=True,
        capture_output=True, timeout=60, check=False,
        env={**os.environ, 'PYTHONPATH': str(Path(__file__).parents[2])})


def test_help_lists_the_commands_with_examples() -> None:
    answer = wmros('--help')
    assert answer.returncode == 0
    for word in ('demo', 'check', 'train', 'examples:'):
        assert word in answer.stdout


def test_without_a_command_the_overview_is_shown() -> None:
    answer = wmros()
    assert answer.returncode == 2
    assert 'examples:' in answer.stdout


def test_a_demo_that_failed_on_a_busy_machine_says_so() -> None:
    report = {'episodes': 5, 'success_rate': 0.4, 'limit_violations': 0,
              'observation_to_proposal_ms': {'p50': 60.0, 'p99': 758.0}}
    asked = argparse.Namespace(episodes=5, minimum_success=0.6)
    failed, why = demo.complaints(report, asked)
    assert '0.40' in failed and '0.76 s' in why and '0.22 s' in why and 'busy' in why
    for usual in (90.0, None):
        report['observation_to_proposal_ms'] = {'p50': usual, 'p99': usual}
        assert demo.complaints(report, asked) == [failed]
    assert demo.complaints({**report, 'success_rate': 0.6}, asked) == []


def test_an_unknown_command_is_named() -> None:
    answer = wmros('fly')
    assert answer.returncode == 2
    assert "'fly'" in answer.stderr.splitlines()[-1]


def test_the_overview_and_the_demo_load_neither_torch_nor_ros() -> None:
    script = ('import sys; from world_model_ros.cli import main, demo\n'
              'print([m for m in ("torch", "rclpy", "mujoco", "numpy") if m in sys.modules])')
    loaded = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                            cwd=Path(__file__).parents[2], check=True).stdout
    assert 'torch' not in loaded and 'rclpy' not in loaded and 'mujoco' not in loaded


@pytest.mark.parametrize(('words', 'complaint'), [
    (['--episodes', '0'], '0 is too few'),
    (['--episodes', 'many'], "'many' is not a whole number"),
    (['--seed', '-1'], '-1 is no seed'),
    (['--minimum-success', '2'], "'2' is not a share"),
    (['--bundle', 'nowhere'], 'nowhere holds no bundle.yaml'),
    (['--out', '/proc/nowhere'], 'cannot write to /proc'),
    (['--json', '/'], 'name a file'),
])
def test_what_is_wrong_with_an_option_is_said_in_one_line(
    tmp_path: Path, words: list[str], complaint: str
) -> None:
    answer = wmros('demo', *words, cwd=tmp_path)
    assert answer.returncode in (1, 2)
    assert complaint in answer.stderr.splitlines()[-1]
    assert answer.stderr.splitlines()[-1].startswith('wmros demo: ')
    assert 'Traceback' not in answer.stderr


def test_no_free_domain_is_an_error_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv('ROS_DOMAIN_ID', raising=False)
    monkeypatch.setattr(probes, '_is_free', lambda port: False)
    assert main(['demo', '--out', str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        'wmros demo: every ROS domain of this machine is taken: end nodes that nobody needs\n')


def test_the_demo_does_not_start_where_somebody_else_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Graph(tmp_path) as robot:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(robot.domain))
        assert main(['demo', '--out', str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f'wmros demo: somebody on this machine is in ROS domain {robot.domain}, perhaps a robot: '
        'unset ROS_DOMAIN_ID, and the demo takes a domain of its own\n')


def test_the_parameters_name_only_nodes_of_the_graph() -> None:
    names = {node.name for node in (*graph.ROBOT, graph.DIRECTOR)}
    sections = [line.split('/**/')[1].rstrip(':') for line in
                graph.parameters_file().read_text(encoding='utf-8').splitlines()
                if line.startswith('/**/')]
    assert set(sections) == names
