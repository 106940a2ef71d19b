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
# Fast DDS' defaults lose most images larger than one datagram; with these none were lost and the
# median latency fell from 2.9 to 1.6 ms. Whatever the user has set wins.
FAST_DDS_TRANSPORTS = 'LARGE_DATA?max_msg_size=4MB&sockets_size=4MB&non_blocking=true'


def discovery_profile() -> dict[str, str]:
    """Return the environment variable that names config/fastdds.xml; nothing if the user set it.

    By default a participant announces itself five times in half a second and then every 3 s: on a
    busy machine, that is how long two nodes may overlook each other.
    """
    fast_dds = 'FASTRTPS' if os.environ.get('ROS_DISTRO') == 'jazzy' else 'FASTDDS'
    name = f'{fast_dds}_DEFAULT_PROFILES_FILE'
    return {} if name in os.environ else {name: str(resource('config/fastdds.xml'))}
