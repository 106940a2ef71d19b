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

import math

import numpy as np
import pytest

from world_model_ros.monitor import (
    Activity,
    Arrivals,
    FrozenPicture,
    JointMotion,
    Sight,
    WorkerWatch,
    assess,
    overdue_after,
)


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def picture(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, np.uint8)


def at(position: float, velocity: float | None = None) -> dict[str, JointMotion]:
    return {'elbow': JointMotion(position, velocity), 'wrist': JointMotion(0.0, 0.0)}


def test_an_equal_picture_while_a_joint_moves_is_evidence_and_a_still_scene_is_not() -> None:
    frozen = FrozenPicture()
    for frame in range(100):  # an encoder that is noisy, in position and speed
        noise = 0.001 * (-1) ** frame
        assert frozen.motion(frame / 30, picture(7), at(0.5 + noise, noise * 30)) < 0.003
    for frame in range(11):
        moved = frozen.motion((100 + frame) / 30, picture(7), at(0.5 + 0.03 * frame, 0.9))
    assert moved == pytest.approx(0.3, abs=0.002)
    for frame in range(11):  # it comes back to where it was: the camera is frozen all the same
        moved = frozen.motion((111 + frame) / 30, picture(7), at(0.8 - 0.03 * frame, -0.9))
    assert moved == pytest.approx(0.3, abs=0.002)
    assert frozen.motion(122 / 30, picture(8), at(0.5, 0.0)) == 0.0


def test_joint_states_that_jump_without_speed_say_nothing_about_the_camera() -> None:
    frozen = FrozenPicture()
    for frame in range(50):  # two drivers that contradict each other, both at rest
        assert frozen.motion(frame / 30, picture(7), at(0.5 * (frame % 2), 0.0)) == 0.0
    for frame in range(50):  # one that reports no speed and catches up
        assert frozen.motion(2 + frame / 30, picture(9), at(0.0 if frame < 9 else 0.19)) == 0.0
    for frame in range(50):
        moved = frozen.motion(4 + frame / 30, picture(11), at(0.01 * frame))
    assert moved == pytest.approx(0.49)


def test_one_changed_byte_is_a_new_picture_and_joints_without_a_number_are_no_motion() -> None:
    frozen = FrozenPicture()
    frozen.motion(0.0, picture(7), at(0.0))
    assert frozen.motion(0.1, picture(7), {'elbow': JointMotion(math.nan, 1.0)}) == 0.0
    assert frozen.motion(0.2, picture(7), {'other': JointMotion(9.0, 9.0)}) == 0.0
    changed = picture(7)
    changed[3, 3, 2] = 8
    assert frozen.motion(0.3, changed, at(0.3)) == 0.0
    assert frozen.motion(0.4, picture(7)[:2], at(0.4)) == 0.0  # another size


def test_arrivals_are_overdue_after_as_many_periods_of_the_slowest() -> None:
    images, usable = Arrivals(), Arrivals()
    assert overdue_after(5, images, usable) == 0.5
    for tick in range(10):
        images.tick(tick / 30)
    assert overdue_after(5, images, usable) == pytest.approx(5 / 30)
    for tick in range(3):
        usable.tick(float(tick))
    assert overdue_after(5, images, usable) == pytest.approx(5.0)
    fast = Arrivals()
    for tick in range(10):
        fast.tick(tick / 1000)
    assert overdue_after(5, fast) == 0.1
    assert usable.age(10.0) == 8.0
    usable.restart()
    usable.tick(50.0)
    assert usable.period() == 1.0  # the pause was no interval


def test_a_clock_that_is_set_back_makes_no_interval_between_arrivals() -> None:
    plans = Arrivals()
    plans.tick(10.0)
    plans.tick(9.95)
    assert math.isnan(plans.period())
    plans.tick(10.05)
    assert plans.period() == pytest.approx(0.1)


def test_a_worker_hangs_when_it_is_inside_the_model_for_too_long() -> None:
    time = Time()
    watch = WorkerWatch('plan', time)
    assert not watch.trouble(1.0)
    with watch.inside('planning'):
        time.now += 0.9
        assert not watch.trouble(1.0)
        time.now += 0.4
        assert watch.trouble(1.0).startswith('the model is hung: planning has taken 1.3 s')
    assert not watch.trouble(1.0)
    watch.failed('NaN')
    assert watch.trouble(1.0) == 'NaN' and watch.failures == 1
    watch.succeeded()
    assert not watch.trouble(1.0) and watch.failures == 1


def test_the_gravest_state_of_the_model_is_what_it_does() -> None:
    sees = Sight(0.01, 0.2, '')
    blind = Sight(0.3, 0.2, 'no image for 0.3 s')
    watch = WorkerWatch('observe')
    assert assess([watch], 1.0, sees, '') == (
        Activity.IDLE, 'no goal: publish a picture of one or send one to reach_goal')
    assert assess([watch], 1.0, sees, 'pursuing goal a') == (
        Activity.PLANNING, 'pursuing goal a')
    assert assess([watch], 1.0, blind, 'pursuing goal a') == (
        Activity.BLIND, 'no image for 0.3 s')
    # A single bad picture between good ones does not make it blind.
    assert assess([watch], 1.0, Sight(0.1, 0.2, 'cut short'), '')[0] is Activity.IDLE
    watch.failed('the encoder gave NaN')
    assert assess([watch], 1.0, blind, '') == (Activity.FAILED, 'the encoder gave NaN')


def test_activities_have_the_numbers_of_the_message() -> None:
    interfaces = pytest.importorskip('world_model_interfaces.msg')
    assert {activity.name: int(activity) for activity in Activity} == {
        name: getattr(interfaces.Heartbeat, name) for name in (
            'IDLE', 'PLANNING', 'BLIND', 'FAILED')}
