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
"""The simulated arm: it moves as a robot does, and its camera shows where it is."""

import itertools
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from world_model_ros.simulation import ArmSimulation, CommandError, description_path
from world_model_ros.simulation.drive import ACCELERATION, WATCHDOG

UPPER_ARM, FOREARM, HEIGHT = 0.27, 0.23, 0.11


@pytest.fixture(scope='module')
def arm() -> Iterator[ArmSimulation]:
    arm = ArmSimulation()
    yield arm
    arm.close()


def forward_kinematics(shoulder: float, elbow: float) -> list[float]:
    """Where the tip of a planar two-link arm is, from the textbook."""
    return [
        UPPER_ARM * math.cos(shoulder) + FOREARM * math.cos(shoulder + elbow),
        UPPER_ARM * math.sin(shoulder) + FOREARM * math.sin(shoulder + elbow),
        HEIGHT,
    ]


def drive(arm: ArmSimulation, velocity: list[float], duration: float) -> np.ndarray:
    """Command a velocity every 10 ms; return joint positions and velocities `[T, 2, J]`."""
    seen = []
    for _ in range(round(duration / 0.01)):
        arm.command_velocity(velocity)
        arm.step(0.01)
        seen.append([arm.positions, arm.velocities])
    return np.array(seen)


@settings(deadline=None)
@given(st.floats(-2.6, 2.6), st.floats(-2.4, 2.4))
def test_the_tip_is_where_the_textbook_says(shoulder: float, elbow: float) -> None:
    expected = forward_kinematics(shoulder, elbow)
    np.testing.assert_allclose(_shared().tip_at([shoulder, elbow]), expected, atol=1e-9)


def test_the_tip_follows_the_joints_as_they_move(arm: ArmSimulation) -> None:
    arm.reset([0.3, -0.4])
    drive(arm, [1.0, -0.5], 0.5)
    np.testing.assert_allclose(arm.tip(), forward_kinematics(*arm.positions), atol=1e-9)


def test_an_arm_with_a_joint_more_or_whose_range_leaves_zero_out_starts_at_rest_and_moves(
    tmp_path: Path,
) -> None:
    urdf = description_path().read_text(encoding='utf-8')
    file = tmp_path / 'other.urdf'
    file.write_text(urdf.replace('lower="-2.4" upper="2.4"', 'lower="0.2" upper="2.4"').replace(
        '</robot>', """
        <joint name="wrist" type="revolute"><parent link="forearm"/><child link="hand"/>
          <origin xyz="0.2 0 0.05"/><axis xyz="0 0 1"/>
          <limit lower="-1" upper="1" velocity="1" effort="3"/></joint>
        <link name="hand"><inertial><mass value="0.1"/>
          <inertia ixx="0.001" ixy="0" ixz="0" iyy="0.001" iyz="0" izz="0.001"/></inertial></link>
        </robot>"""))
    arm = ArmSimulation(file)
    assert arm.joints == ('shoulder', 'elbow', 'wrist')
    assert arm.positions.tolist() == [0.0, 0.2, 0.0]
    drive(arm, [0.0, 0.3, -0.3], 1.0)
    np.testing.assert_allclose(arm.positions, [0.0, 0.47, -0.27], atol=0.05)


def test_a_joint_turns_through_its_whole_range_in_radians(arm: ArmSimulation) -> None:
    for joint, sign in itertools.product(range(2), (-1, 1)):
        arm.reset([0.0, 0.0])
        velocity = [0.0, 0.0]
        velocity[joint] = sign * 1.5
        drive(arm, velocity, 2.5)
        limit = (arm.limits.upper if sign > 0 else arm.limits.lower)[joint]
        assert arm.positions[joint] == pytest.approx(limit, abs=0.01)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(0.05, 0.6)), min_size=2, max_size=6
    )
)
def test_no_command_drives_a_joint_out_of_its_limits(
    commands: list[tuple[float, float, float]],
) -> None:
    arm = _shared()
    arm.reset([0.0, 0.0])
    seen = np.concatenate([drive(arm, [a, b], duration) for a, b, duration in commands])
    positions, velocities = seen[:, 0], seen[:, 1]
    assert np.all(positions >= arm.limits.lower) and np.all(positions <= arm.limits.upper)
    assert np.all(np.abs(velocities) <= 1.02 * arm.limits.velocity)
    changes = np.abs(np.diff(velocities, axis=0)) / 0.01
    # The setpoint never ramps faster; the links push each other while both speed up.
    assert changes.max() <= 1.5 * ACCELERATION


def test_the_drive_reaches_the_commanded_velocity_and_holds_it(arm: ArmSimulation) -> None:
    arm.reset([-1.0, 0.0])
    seen = drive(arm, [1.0, -0.7], 1.0)
    np.testing.assert_allclose(seen[-50:, 1], [[1.0, -0.7]] * 50, atol=0.01)


def test_the_arm_comes_to_rest_when_commands_stop(arm: ArmSimulation) -> None:
    arm.reset([0.0, 0.0])
    drive(arm, [1.5, 1.5], 0.5)
    arm.step(WATCHDOG - 0.02)
    assert np.all(arm.velocities > 1.4)
    arm.step(1.5 / ACCELERATION + 0.1)
    np.testing.assert_allclose(arm.velocities, 0.0, atol=1e-3)
    rest = arm.positions
    arm.step(1.0)
    np.testing.assert_allclose(arm.positions, rest, atol=1e-4)


@pytest.mark.parametrize(
    'command, reason',
    [([1.0], '2 joints'), ([1.0, 2.0, 3.0], '2 joints'), ([math.nan, 0.0], 'not finite')],
)
def test_a_malformed_velocity_is_refused_and_moves_nothing(
    arm: ArmSimulation, command: list[float], reason: str
) -> None:
    arm.reset([0.5, 0.5])
    with pytest.raises(CommandError, match=reason):
        arm.command_velocity(command)
    arm.step(0.2)
    np.testing.assert_allclose(arm.positions, [0.5, 0.5], atol=1e-6)


def test_equal_commands_give_equal_motion_and_pictures() -> None:
    ends = []
    for _ in range(2):
        arm = ArmSimulation()
        drive(arm, [1.2, -0.8], 0.7)
        ends.append((arm.positions, arm.render()))
        arm.close()
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    np.testing.assert_array_equal(ends[0][1], ends[1][1])


def test_a_picture_of_another_posture_leaves_the_arm_where_it_is(arm: ArmSimulation) -> None:
    arm.reset([0.2, 0.3])
    before = arm.render()
    other = arm.render_at([-1.0, 1.0])
    np.testing.assert_array_equal(arm.render(), before)
    np.testing.assert_array_equal(arm.positions, [0.2, 0.3])
    assert np.any(other != before)
    np.testing.assert_array_equal(arm.render_at([0.2, 0.3]), before)


def test_no_two_postures_look_alike(arm: ArmSimulation) -> None:
    postures = list(itertools.product(np.linspace(-2.6, 2.6, 9), np.linspace(-2.4, 2.4, 9)))
    pictures = np.array(
        [cv2.resize(arm.render_at(q), (80, 60), interpolation=cv2.INTER_AREA) for q in postures],
        np.int16,
    )
    for one, two in itertools.combinations(range(len(postures)), 2):
        assert np.abs(pictures[one] - pictures[two]).max() > 40, (postures[one], postures[two])


def test_the_marker_is_where_the_camera_model_projects_the_tip(arm: ArmSimulation) -> None:
    camera = arm.intrinsics
    for posture in ([0.0, 0.0], [1.0, -0.8], [-2.2, 1.5]):
        picture = arm.render_at(posture).astype(int)
        green = picture[..., 1] - np.maximum(picture[..., 0], picture[..., 2])
        rows, columns = np.nonzero(green > 60)
        x, y, _ = arm.tip_at(posture)
        depth = 1.2 - HEIGHT - 0.015  # to the upper face of the marker
        u = camera.cx + camera.fx * -y / depth
        v = camera.cy + camera.fy * -x / depth
        assert columns.mean() == pytest.approx(u, abs=1.0)
        assert rows.mean() == pytest.approx(v, abs=1.0)


def test_a_picture_takes_milliseconds(arm: ArmSimulation) -> None:
    arm.render()
    times = []
    for _ in range(20):
        started = time.process_time()
        arm.render()
        times.append(time.process_time() - started)
    assert min(times) < 0.02


def test_every_moving_link_has_mass_and_an_inertia_that_a_body_can_have() -> None:
    text = description_path().read_text(encoding='utf-8')
    found = re.findall(r'<inertia ixx="([\d.]+)".*?iyy="([\d.]+)".*?izz="([\d.]+)"', text)
    assert len(found) >= 5
    for values in found:
        a, b, c = sorted(map(float, values))
        assert a > 0 and a + b >= c * 0.999


def test_a_description_without_limits_is_refused_with_the_joint_named(tmp_path: Path) -> None:
    text = description_path().read_text(encoding='utf-8')
    broken = tmp_path / 'broken.urdf'
    broken.write_text(re.sub(r'<limit lower="-2.4"[^>]*>', '', text), encoding='utf-8')
    with pytest.raises(ValueError, match="'elbow'"):
        ArmSimulation(broken)


def _shared() -> ArmSimulation:
    if not _ARMS:
        _ARMS.append(ArmSimulation())
    return _ARMS[0]


_ARMS: list[ArmSimulation] = []
