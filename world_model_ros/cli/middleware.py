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
lose most of them without a word. The test runs in a ROS domain of its own that does not leave this
machine, so that a robot's network does not carry it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS, discovery_profile
from world_model_ros.cli.demo import free_domain
from world_model_ros.cli.topics import ProbeError, run_probe
from world_model_ros.inference.findings import Finding, Grade

_COUNT = 60
_DURATION = 5.0  # s: 70 images at 30 Hz, and two processes that start
_FEW = 0.02  # share of images whose loss a busy machine explains

_CURES = {
    'rmw_fastrtps_cpp': f"export {TRANSPORTS}='{FAST_DDS_TRANSPORTS}' where the camera's driver is "
                        "started (this package's nodes set it themselves)",
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
    environment = {
        **os.environ, **discovery_profile(), **(extra or {}),
        'ROS_DOMAIN_ID': str(free_domain()), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    found: dict[str, Any] = run_probe(
        'image_probe', ['--count', str(_COUNT)], _DURATION, environment)
    if not found['matched']:
        raise ProbeError(f'two processes of this machine do not find each other by {found["rmw"]}')
    return Delivery(found['rmw'], found['sent'], found['received'], found['p50_ms'])


def judge_images(here: Delivery) -> Iterator[Finding]:
    """Yield what is wrong, having tried whether the cure is one."""
    if here.lost <= 0.0:
        return
    cure = _CURES.get(here.rmw, f'see how {here.rmw} is set up for messages of a megabyte')
    about = f'{TRANSPORTS}={os.environ.get(TRANSPORTS, "(unset)")}'
    problem = f'of 640x480 images at 30 Hz, {here}'
    if here.rmw != 'rmw_fastrtps_cpp':
        yield Finding(_grade(here), here.rmw, problem, cure)
    elif (cured := try_images({TRANSPORTS: FAST_DDS_TRANSPORTS})).lost < here.lost:
        yield Finding(_grade(here), about, problem, f'{cure}: tried just now, {cured}')
    else:
        yield Finding(_grade(here), about, f'{problem}; with {FAST_DDS_TRANSPORTS}, {cured}',
                      'leave this machine less to do, and see "uptime"')


def _grade(here: Delivery) -> Grade:
    return Grade.WARNING if here.lost <= _FEW else Grade.UNFIT
