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
"""Probes: processes that listen and speak for this package's commands, which run without ROS."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any


class ProbeError(RuntimeError):
    """Nothing can be found out this way; `cure` says what to do."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(f'{problem}. Cure: {cure}.')
        self.problem = problem
        self.cure = cure


def run_probe(
    name: str, options: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a probe of `world_model_ros.nodes` and return what it found; raises ProbeError.

    It is expected to end soon after `seconds`.
    """
    command = [sys.executable, '-m', f'world_model_ros.nodes.{name}', *options]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=seconds + 60,
                              env={**(os.environ if environment is None else environment)})
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f'the probe did not end within {error.timeout:.0f} s',
                         'leave this machine less to do, and see "uptime"') from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise ProbeError(
            f'cannot listen: {last}', 'source ROS 2, or use the environment that "make demo" sets '
            'up' if last.startswith(('ImportError', 'ModuleNotFoundError'))
            else 'see that message, which is of ROS or of its middleware')
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def free_domain() -> int:
    """Return a ROS domain in which no participant of this machine is; raises ProbeError.

    A participant binds the UDP ports that its domain gives it (DDSI-RTPS 9.6.1: 7400 + 250 d for
    multicast, + 10 and + 12 for the first two participants), so a domain whose ports can be bound
    is free. Up to 101 the ports stay below Linux's ephemeral ones. 0 is everybody's default.
    """
    domains = list(range(1, 102))
    random.shuffle(domains)
    for domain in domains:
        if _is_unused(domain):
            return domain
    raise ProbeError('every ROS domain of this machine is taken', 'end nodes that nobody needs')


def domain_for_demo() -> int:
    """Return ROS_DOMAIN_ID, or a free domain where it is unset; raises ProbeError.

    Nobody of this machine may be in it: the demo's controller would command a robot there, and its
    camera, joints and goals would be taken for the robot's.
    """
    given = os.environ.get('ROS_DOMAIN_ID')
    if not given:
        return free_domain()
    if not given.isdecimal():
        raise ProbeError(f'ROS_DOMAIN_ID is {given!r}', 'set it to a whole number, or unset it')
    if not _is_unused(int(given)):
        raise ProbeError(f'somebody on this machine is in ROS domain {given}, perhaps a robot',
                         'unset ROS_DOMAIN_ID, and the demo takes a domain of its own')
    return int(given)


def _is_unused(domain: int) -> bool:
    return all(_is_free(7400 + 250 * domain + offset) for offset in (0, 10, 12))


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', port))
        except OSError:
            return False
    return True
