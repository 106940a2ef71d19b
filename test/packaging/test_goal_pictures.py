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
"""`docs/examples/goal.py take` says in a sentence why it takes no picture."""

from __future__ import annotations

import array
import sys
from pathlib import Path

import pytest
from dds import Graph
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

GOAL = Path(__file__).parents[2] / 'docs' / 'examples' / 'goal.py'


@pytest.mark.parametrize(('name', 'encoding', 'size', 'said'), [
    ('there.png', 'rgb8', 3, 'there.png: 4x2'),
    ('there', 'rgb8', 3, 'the file name needs an image extension, such as there.png'),
    ('there.txt', 'rgb8', 3, 'the file name needs an image extension, such as there.png'),
    ('there.png', '32FC1', 4, 'take a topic of colour pictures')])
def test_a_goal_is_taken_or_one_sentence_says_why_not(
    name: str, encoding: str, size: int, said: str, tmp_path: Path,
) -> None:
    picture = Image(width=4, height=2, step=4 * size, encoding=encoding,
                    data=array.array('B', bytes(8 * size)))
    with Graph(tmp_path) as graph:
        camera = graph.publisher(Image, 'camera/image_raw', qos_profile_sensor_data)
        taking = graph.start('goal', [sys.executable, str(GOAL), 'take', str(tmp_path / name)])
        with graph.every(0.05, lambda: camera.publish(picture)):
            graph.wait_for(lambda: taking.poll() is not None, 20.0, 'the end of goal.py')
        assert said in graph.output(taking) and 'Traceback' not in graph.output(taking)
        assert (tmp_path / name).exists() == (taking.returncode == 0) == said.endswith('4x2')
