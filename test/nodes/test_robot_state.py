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

"""Joint states wait for the picture of their moment, whatever the stamps of others are."""

from types import SimpleNamespace
from typing import Any

import pytest
from rclpy.logging import get_logger
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from world_model_ros.monitor import Counters
from world_model_ros.nodes.convert import to_stamp
from world_model_ros.nodes.robot_state import RobotStates
from world_model_ros.nodes.troubles import Troubles

S = 10**9
MS = 10**6
MODEL: Any = SimpleNamespace(
    joints=('a',), reads_joints=True, reads_pose=False, occasion=Image,
    shares_joints=lambda joints: True, check_joints=lambda joints: None)


class Bench:
    """Joint states at 100 Hz, one after the other, by a clock that they set."""

    def __init__(self) -> None:
        self.now = 0
        clock: Any = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now))
        self.counts = Counters(
            'joint_states_received', 'joint_states_refused', 'joint_states_of_others', 'unpaired')
        self.troubles = Troubles(self.counts, get_logger('test'))
        self.states = RobotStates(clock, self.counts, self.troubles)

    def receive(self, stamp: int) -> bool:
        return self.states.store_joints(
            JointState(header=Header(stamp=to_stamp(stamp)), name=['a'], position=[0.0]), [MODEL])

    def run(self, start: int, end: int) -> None:
        for self.now in range(start, end, 10 * MS):
            assert self.receive(self.now)


@pytest.mark.parametrize('ahead', [0.3, 0.7, 2.0, 5.0, 10.0])
def test_a_joint_state_from_the_future_takes_no_picture_its_own(ahead: float) -> None:
    bench = Bench()
    bench.run(100 * S, 102 * S)
    kept = bench.receive(bench.now + round(ahead * S))
    assert bench.states.at(bench.now - 200 * MS, 0.02, MODEL) is not None
    bench.run(102 * S, 102 * S + 50 * MS)
    assert bench.states.at(bench.now - 200 * MS, 0.02, MODEL) is not None
    assert kept == (bench.counts['joint_states_refused'] == 0)


@pytest.mark.parametrize('behind', [0.5, 1.5, 3.0, 9.0, 20.0])
def test_joint_states_of_a_second_driver_that_is_behind_take_nothing_from_those_of_the_first(
    behind: float,
) -> None:
    bench = Bench()
    for second in range(100, 103):
        bench.run(second * S, (second + 1) * S)
        bench.receive(bench.now - round(behind * S))
        assert bench.states.at(bench.now - 200 * MS, 0.02, MODEL) is not None


def test_what_came_before_the_clock_was_set_back_is_forgotten() -> None:
    bench = Bench()
    bench.run(100 * S, 102 * S)
    bench.run(98 * S, 98 * S + 100 * MS)
    assert bench.states.at(101 * S, 0.02, MODEL) is None
    assert bench.states.at(bench.now, 0.02, MODEL) is not None


def test_who_stamps_ahead_of_all_others_is_told_that_the_clocks_differ() -> None:
    bench = Bench()
    bench.now = 100 * S
    assert not bench.receive(105 * S)
    assert bench.states.at(100 * S, 0.02, MODEL) is None
    assert bench.troubles.headline.startswith('joint state is 5.0 s ahead of this node: the clock '
                                              'of the publisher of "joint_states" differs')
