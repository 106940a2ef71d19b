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

"""A controller whose parameters change while its process lives."""

import math
from collections.abc import Callable
from typing import Any

from controller_robot import Robot
from dds import values
from lifecycle_msgs.msg import Transition


def test_a_controller_is_given_fewer_joints_as_its_complaint_says(
    begin: Callable[..., tuple[Robot, Any]],
) -> None:
    robot, process = begin(idle=True, autostart=False, active=False)
    graph = robot.graph
    assert graph.transition('controller', Transition.TRANSITION_CONFIGURE)
    assert graph.transition('controller', Transition.TRANSITION_CLEANUP)
    assert graph.set_parameter('controller', 'joints', ['shoulder']).successful
    assert not graph.transition('controller', Transition.TRANSITION_CONFIGURE)
    limit = 'joint_limits.elbow.max_acceleration'
    graph.wait_for(
        lambda: f'{limit} is no limit' in getattr(
            robot.diagnostic('controller: lifecycle'), 'message', ''), 5, 'the complaint')
    assert 'set it to .inf' in robot.diagnostic('controller: lifecycle').message
    assert graph.set_parameter('controller', limit, math.inf).successful
    assert graph.transition('controller', Transition.TRANSITION_CONFIGURE)
    graph.wait_for(lambda: list(values(robot.diagnostic('controller: limits'))) == ['shoulder'],
                   5, 'the limits of the shoulder alone')
    assert graph.end(process) == 0
