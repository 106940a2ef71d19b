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
"""What Fast DDS must be told, to carry images and to let nodes that start together meet at once."""

import os

from world_model_ros.resources import resource

TRANSPORTS = 'FASTDDS_BUILTIN_TRANSPORTS'
# By default an image shares 512 KiB of shared memory with all others, and one that does not fit is
# lost: of 20 images of 0.9 MB one came, with these buffers all 20, and all of up to 15 MB
# (docs/multi_machine.md). Nodes with and without this setting match. (With LARGE_DATA, which
# carries images too, they do not: it leaves the discovery of topics to TCP, which others do not
# speak.) Where discovery is limited to LOCALHOST, rmw_fastrtps makes its own transports, and it has
# no effect. Whatever the user has set wins.
FAST_DDS_TRANSPORTS = 'DEFAULT?sockets_size=16MB'


def discovery_profile() -> dict[str, str]:
    """Return the environment variable that names config/fastdds.xml; nothing if the user set it.

    By default a participant announces itself five times in half a second and then every 3 s: on a
    busy machine, that is how long two nodes may overlook each other.
    """
    fast_dds = 'FASTRTPS' if os.environ.get('ROS_DISTRO') == 'jazzy' else 'FASTDDS'
    name = f'{fast_dds}_DEFAULT_PROFILES_FILE'
    return {} if name in os.environ else {name: str(resource('config/fastdds.xml'))}
