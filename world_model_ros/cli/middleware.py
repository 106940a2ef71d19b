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
"""Whether DDS brings camera images from one process to another here, tried with real ones.

Images are far larger than a datagram, and what a middleware does with them by default differs: some
lose most of them without a word. The test runs between two processes of this machine, in a ROS
domain of its own, so that no robot hears it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS, discovery_profile
from world_model_ros.cli.probes import ProbeError, free_domain, run_probe
from world_model_ros.findings import Finding, Grade

RANGE = 'ROS_AUTOMATIC_DISCOVERY_RANGE'
_COUNT = 30
_DURATION = 4.0  # s: 40 images at 30 Hz, and two processes that start
_FEW = 0.04  # share of images whose loss a busy machine explains

_CURE = (f"export {TRANSPORTS}='{FAST_DDS_TRANSPORTS}' where the camera's driver is started (this "
         "package's nodes set it themselves)")
_OTHERS = {
    'rmw_cyclonedds_cpp': 'raise the socket buffers (sysctl net.core.rmem_max=16777216) and set '
                          "SocketReceiveBufferSize min='16MB' in the file of CYCLONEDDS_URI",
    'rmw_zenoh_cpp': 'see whether the router runs (ros2 run rmw_zenoh_cpp rmw_zenohd)',
}


@dataclass(frozen=True)
class Delivery:
    """What became of test images: how many of those sent came, and how late [ms]."""

    rmw: str
    sent: int
    received: int
    p50_ms: float | None

    def __str__(self) -> str:
        """In a few words."""
        if not self.received:
            return f'0 of {self.sent} images came'
        return f'{self.received} of {self.sent} images came, p50 {self.p50_ms:.1f} ms'

    @property
    def lost(self) -> float:
        """Share of images that did not come."""
        return 1.0 - self.received / self.sent


def try_images(extra: Mapping[str, str] | None = None) -> Delivery:
    """Send images between two processes of this environment, changed by `extra`.

    Raises ProbeError if they can not be started or do not find each other.
    """
    environment = {**os.environ, **discovery_profile(), **(extra or {}),
                   # The robot's keys hold in the robot's domain alone.
                   'ROS_DOMAIN_ID': str(free_domain()), 'ROS_SECURITY_ENABLE': 'false'}
    found: dict[str, Any] = run_probe(
        'image_probe', ['--count', str(_COUNT)], _DURATION, environment)
    if not found['matched']:
        raise ProbeError(
            f'two processes of this machine do not find each other by {found["rmw"]}',
            'see whether a firewall or a missing loopback multicast (ip link set lo multicast on) '
            'is in the way')
    return Delivery(found['rmw'], found['sent'], found['received'], found['p50_ms'])


def judge_images(here: Delivery) -> Iterator[Finding]:
    """Yield what is wrong, having tried, where that works, whether the cure is one."""
    given, local = os.environ.get(TRANSPORTS, ''), os.environ.get(RANGE) == 'LOCALHOST'
    if given.startswith('LARGE_DATA') and not local:
        yield Finding(Grade.NOTE, f'{TRANSPORTS}={given}', 'nodes that do not have it are not '
                      'found, and do not find those that have',
                      f'set it for every node, or {TRANSPORTS}={FAST_DDS_TRANSPORTS!r} for some')
    if here.lost <= 0.0:
        return
    grade = Grade.WARNING if here.lost <= _FEW else Grade.UNFIT
    problem = f'of 640x480 images at 30 Hz, {here}'
    if here.rmw != 'rmw_fastrtps_cpp':
        yield Finding(grade, here.rmw, problem, _OTHERS.get(
            here.rmw, f'see how {here.rmw} is set up for messages of a megabyte'))
        return
    about, cure = f'{TRANSPORTS}={given or "(unset)"}', _CURE
    if local:
        # rmw_fastrtps then makes its own transports: shared memory for half a megabyte, and UDP.
        about = f'{RANGE}=LOCALHOST'
        cure = (f'unset {RANGE}, which keeps Fast DDS from {TRANSPORTS} (a ROS_DOMAIN_ID of your '
                f'own keeps robots apart), and {_CURE}')
    try:
        cured = try_images({TRANSPORTS: FAST_DDS_TRANSPORTS, RANGE: 'SUBNET'})
    except ProbeError as error:
        yield Finding(grade, about, problem,
                      f'{cure} (could not be tried: {error.problem}; {error.cure})')
        return
    if cured.lost < here.lost:
        yield Finding(grade, about, problem, f'{cure}: tried just now, {cured}')
    else:
        yield Finding(grade, about, f'{problem}; with {FAST_DDS_TRANSPORTS}, {cured}',
                      'leave this machine less to do, and see "uptime"')
