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
"""What a topic that a model reads is called between the commands and their probes.

`joint_states`, `pose`, `image` and `camera_info`; the last two are `image.CAMERA` and
`camera_info.CAMERA` where a bundle names its cameras.
"""

from __future__ import annotations

TOPICS = {'image': 'camera/image_raw', 'joint_states': 'joint_states', 'pose': 'pose'}
"""Where `robot.launch.py` and the commands look for what a model reads, if nobody says where."""


def name_of(kind: str, camera: str) -> str:
    """What a topic that carries `kind` of a camera, '' for one without a name, is called."""
    return f'{kind}.{camera}' if camera else kind


def kind_of(name: str) -> str:
    """What the topic of this name carries, whichever camera it is of."""
    return name.partition('.')[0]


def camera_of(name: str) -> str:
    """The camera that the topic of this name is of; empty for one without a name."""
    return name.partition('.')[2]
