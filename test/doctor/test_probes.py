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
"""Probes of the doctor run where no robot hears them, and say what to do where they can not."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from world_model_ros.cli import argument_types, middleware, probes
from world_model_ros.cli.main import main


def test_a_domain_that_somebody_uses_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    ninth = range(7400 + 250 * 9, 7400 + 250 * 10)
    monkeypatch.setattr(probes, '_is_free', lambda port: port in ninth)
    assert probes.free_domain() == 9


def test_test_images_without_a_free_domain_end_in_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, '_is_free', lambda port: False)
    with pytest.raises(probes.ProbeError, match=r'every ROS domain .* Cure: end nodes'):
        middleware.try_images()


def test_the_middleware_is_examined_without_the_demo() -> None:
    script = ('import sys; from world_model_ros.cli import middleware\n'
              'print("world_model_ros.cli.demo" in sys.modules, "rich" in sys.modules)')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          check=True, timeout=60)
    assert done.stdout.split() == ['False', 'False']


def test_test_images_need_no_keys_which_are_for_the_domain_of_the_robot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('ROS_SECURITY_ENABLE', 'true')
    monkeypatch.setenv('ROS_SECURITY_STRATEGY', 'Enforce')
    assert middleware.try_images().sent


@pytest.mark.parametrize('command', [['doctor'], ['check', 'bundle']])
@pytest.mark.parametrize(('option', 'value', 'complaint'), [
    ('--image-topic', 'bad topic', "'bad topic' is no name of a topic"),
    ('--image-topic', 'wrist:=/1st/image', "'/1st/image' is no name of a topic"),
    ('--joint-topic', 'joint_states/', "'joint_states/' is no name of a topic"),
    ('--pose-topic', '', "'' is no name of a topic"),
    ('--listen', 'nan', 'nan is no time'), ('--listen', '-1', '-1 is no time'),
    ('--listen', 'inf', 'inf has no end')])
def test_what_can_not_be_listened_to_is_told_before_anything_is_asked_of_ros(
    command: list[str], option: str, value: str, complaint: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, f'{option}={value}'])
    assert ended.value.code == 2
    assert f'argument {option}: {complaint}' in capsys.readouterr().err


@pytest.mark.parametrize('given', ['', '/', 'left', '/left', 'a/b/'])
def test_a_namespace_is_taken_with_and_without_slashes(given: str) -> None:
    assert argument_types.namespace(given) == given
    with pytest.raises(argparse.ArgumentTypeError, match='no name of a topic'):
        argument_types.namespace(f'{given} bad')


def test_only_a_machine_without_ros_is_told_to_source_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    for error, cure in (('ImportError', 'source ROS 2'), ('RuntimeError', 'see that message')):
        (tmp_path / 'rclpy.py').write_text(f'raise {error}("no")')
        with pytest.raises(probes.ProbeError, match=f'cannot listen: {error}: no. Cure: {cure}'):
            probes.run_probe('topic_probe', [], 1.0)
