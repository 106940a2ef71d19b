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

"""Goals whose camera shows something else than they were encoded for."""

from pathlib import Path

import numpy as np
import pytest
from rclpy.logging import get_logger
from sensor_msgs.msg import JointState
from toy_bundle import JOINTS, toy_image, write_toy_bundle
from world_model_robot import picture

from world_model_ros.inference import RuntimeSettings
from world_model_ros.monitor import Counters, Level
from world_model_ros.nodes.goals import GoalRequest, Goals, Route, Wish
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.robot_state import RobotMoment
from world_model_ros.nodes.robot_stop import RobotStop
from world_model_ros.observation import Picture

SMALL = toy_image([0.1, 0.2])
LARGE = np.kron(SMALL, np.ones((2, 2, 1), np.uint8))
ROBOT = RobotMoment(JointState(name=list(JOINTS), position=[0.1, 0.2], velocity=[0.0, 0.0]), None)


@pytest.mark.parametrize('wish, reason', [
    ({'': picture([0.6, -0.4])},
     'goal picture is 32x32, the camera 64x64: use a picture that this camera took'),
    (np.array([0.6, -0.4], np.float32), '')])
def test_a_goal_picture_is_dropped_where_the_camera_comes_back_with_another_size(
    tmp_path: Path, wish: Wish, reason: str,
) -> None:
    write_toy_bundle(tmp_path)
    model = LoadedModel(tmp_path, RuntimeSettings(provider='cpu'), lambda text: None)
    counts = Counters('goals_accepted', 'goals_abandoned', 'goals_refused')
    goals, routes = Goals(counts, get_logger('test'), RobotStop()), list[Route]()
    goals.request(GoalRequest((wish,), accept=routes.append))
    for seen in (SMALL, SMALL, LARGE):
        assert goals.purpose
        goals.consider({'': Picture(seen)}, model, ROBOT)
    model.close()
    assert counts['goals_abandoned'] == bool(reason)
    assert bool(goals.purpose) is not bool(reason)
    if reason:
        assert goals.progress_on(routes[0]) is None
        assert reason in goals.why_lost(routes[0]) and reason in goals.health().message
        assert goals.health().level is Level.ERROR
