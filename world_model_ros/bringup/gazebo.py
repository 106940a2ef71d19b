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
"""The demo robot as Gazebo needs it.

MuJoCo, Gazebo, the controller and robot_state_publisher read one URDF. What only Gazebo understands
stands in a file of its own and is put into the text here, since neither a path of this machine nor
a simulator's plugin belongs into a robot's description.
"""

from pathlib import Path
from xml.etree import ElementTree

_PLACEHOLDER = 'CONTROLLERS'


def gazebo_description(urdf: str, extension: str, controllers: Path) -> str:
    """Return `urdf` with the elements of `extension`, another <robot>, appended.

    `controllers` is ros2_control's parameter file, which the extension's plugin is to read.

    Raises ValueError if the two are not of one robot or the extension names no parameter file.
    """
    robot, added = ElementTree.fromstring(urdf), ElementTree.fromstring(extension)
    if robot.get('name') != added.get('name'):
        raise ValueError(f'the description is of {robot.get("name")}, its extension for Gazebo of '
                         f'{added.get("name")}: use the two that belong together')
    parameters = [element for element in added.iter('parameters') if element.text == _PLACEHOLDER]
    if not parameters:
        raise ValueError(f'no <parameters>{_PLACEHOLDER}</parameters> in the extension for Gazebo: '
                         'its plugin would run without controllers')
    for element in parameters:
        element.text = str(controllers)
    robot.extend(added)
    return ElementTree.tostring(robot, encoding='unicode')
