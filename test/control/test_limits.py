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
"""Limits come from URDF and YAML, the tighter one wins, and nothing unclear gets through."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.control import JointLimits, LimitsError, limits_from_urdf, tighter

URDF = """<?xml version="1.0"?>
<robot name="r">
  <link name="a"/><link name="b"/><link name="c"/><link name="d"/>
  <joint name="shoulder" type="revolute">
    <limit lower="-2.5" upper="2.0" velocity="1.5" effort="1"/>
  </joint>
  <joint name="slide" type="prismatic"><limit upper="0.4" velocity="0.2" effort="1"/></joint>
  <joint name="wheel" type="continuous"><limit velocity="3" effort="1"/></joint>
  <joint name="weld" type="fixed"/>
  <joint name="mirror" type="revolute">
    <limit lower="-1" upper="1" velocity="1" effort="1"/><mimic joint="shoulder"/>
  </joint>
  <joint name="free" type="revolute"/>
  <joint name="slow" type="revolute"><limit lower="-1" upper="1" effort="1"/></joint>
  <joint name="text" type="revolute">
    <limit lower="-1" upper="one" velocity="1" effort="1"/>
  </joint>
  <joint name="infinite" type="revolute">
    <limit lower="-1" upper="inf" velocity="1" effort="1"/>
  </joint>
  <joint name="inverted" type="revolute">
    <limit lower="1" upper="-1" velocity="1" effort="1"/>
  </joint>
  <joint name="still" type="revolute">
    <limit lower="-1" upper="1" velocity="0" effort="1"/>
  </joint>
</robot>
"""
BRISK = JointLimits(acceleration=8.0)


def test_the_urdf_gives_position_and_velocity_and_yaml_the_acceleration() -> None:
    urdf = limits_from_urdf(URDF, ['slide', 'shoulder'])
    limits = tighter(['slide', 'shoulder'], urdf, {'slide': BRISK, 'shoulder': BRISK})
    assert limits.names == ('slide', 'shoulder')
    np.testing.assert_array_equal(limits.lower, [0.0, -2.5])
    np.testing.assert_array_equal(limits.upper, [0.4, 2.0])
    np.testing.assert_array_equal(limits.velocity, [0.2, 1.5])
    np.testing.assert_array_equal(limits.acceleration, [8.0, 8.0])
    assert limits.stopping_time() == pytest.approx(1.5 / 8.0)


@given(st.lists(st.tuples(*[st.floats(0.1, 10.0)] * 4), min_size=1, max_size=4))
def test_the_tighter_limit_wins_whichever_source_it_comes_from(
    numbers: list[tuple[float, float, float, float]],
) -> None:
    sources = [{'j': JointLimits(-lower, upper, v, a)} for lower, upper, v, a in numbers]
    limits = tighter(['j'], *sources)
    low, high, velocity, acceleration = np.array(numbers).min(axis=0)
    assert limits.lower[0] == -low
    assert limits.upper[0] == high
    assert limits.velocity[0] == velocity
    assert limits.acceleration[0] == acceleration


@pytest.mark.parametrize(
    ('joint', 'complaint'),
    [
        ('absent', 'absent is not in the robot description, which has: free, infinite'),
        ('weld', 'weld is fixed'),
        ('mirror', 'mirror mimics another joint'),
        ('free', 'free has no <limit>'),
        ('slow', 'slow has no velocity limit'),
        ('text', 'text: upper limit "one" is not a finite number'),
        ('infinite', 'infinite: upper limit "inf" is not a finite number'),
        ('inverted', 'inverted: position limits are empty or inverted, from 1 to -1'),
        ('still', 'still: max_velocity 0 must be above zero'),
        ('wheel', 'wheel has no finite min_position: set joint_limits.wheel.min_position'),
        ('shoulder', 'shoulder has no finite max_acceleration: set joint_limits.shoulder'),
    ],
)
def test_a_joint_that_can_not_be_driven_is_named_with_the_cure(joint: str, complaint: str) -> None:
    extra = {} if joint == 'shoulder' else {joint: BRISK}
    with pytest.raises(LimitsError, match=complaint):
        tighter([joint], limits_from_urdf(URDF, [joint]), extra)


def test_a_continuous_joint_is_driven_inside_the_range_that_yaml_gives() -> None:
    yaml = {'wheel': JointLimits(-6.0, 6.0, acceleration=2.0)}
    limits = tighter(['wheel'], limits_from_urdf(URDF, ['wheel']), yaml)
    assert (limits.lower[0], limits.upper[0], limits.velocity[0]) == (-6.0, 6.0, 3.0)


def test_a_limit_that_is_not_a_number_is_refused_from_yaml_too() -> None:
    for bad in (JointLimits(lower=math.nan), JointLimits(acceleration=math.nan)):
        with pytest.raises(LimitsError, match='not a number'):
            tighter(['slide'], limits_from_urdf(URDF, ['slide']), {'slide': BRISK}, {'slide': bad})


def test_no_joints_or_a_joint_twice_is_refused() -> None:
    with pytest.raises(LimitsError, match='set the parameter joints'):
        tighter([])
    with pytest.raises(LimitsError, match='slide is named twice'):
        tighter(['slide', 'slide'])


def test_a_description_that_is_no_xml_is_refused() -> None:
    with pytest.raises(LimitsError, match='not its xacro'):
        limits_from_urdf('$(find robot)/robot.urdf', ['shoulder'])
