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
"""The launch files' arguments lead every topic to where it is said to be."""

import pytest

from world_model_ros.bringup.launch_arguments import ROBOT, robot_remappings


def given(**values: str) -> dict[str, str]:
    return {**{name: str(argument.default) for name, argument in ROBOT.items()}, **values}


def test_the_cameras_of_a_model_that_names_them_are_remapped_one_by_one() -> None:
    plain = robot_remappings(given())['world_model']
    named = robot_remappings(given(cameras='shelf:=/top/color wrist:=hand/image_rect'))
    assert named['world_model'] == {
        **plain, 'shelf/image_raw': '/top/color', 'wrist/image_raw': 'hand/image_rect'}


@pytest.mark.parametrize('word', ['shelf', ':=/top', 'shelf:='])
def test_a_camera_without_name_or_topic_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match='is not NAME:=TOPIC'):
        robot_remappings(given(cameras=f'wrist:=/hand {word}'))
