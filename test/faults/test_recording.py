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
"""What judges the robot can itself be wrong: it finds what is there, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.cell import shipped_numbers
from faults.recording import NANOSECONDS, Recording, braking_since, check_limits
from faults.trial import joints_stale, observation_late

NUMBERS = shipped_numbers()
LIMITS = NUMBERS.limits
TICK = NANOSECONDS // 100
START = 1_000 * NANOSECONDS


def record(path: Path, lines: list[list[Any]]) -> Recording:
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines), encoding='utf-8')
    recording = Recording(path)
    recording.read()
    return recording


def commands(
    velocities: list[Any], jitter: tuple[int, ...] = (0,), publisher: str = 'controller'
) -> list[list[Any]]:
    return [['command', START + tick * TICK + jitter[tick % len(jitter)], 0, tick, publisher,
             velocity] for tick, velocity in enumerate(velocities)]


def ramp(ticks: int, rate: float) -> list[list[float]]:
    """Return velocities that grow by `rate` rad/s² and shrink again."""
    rising = [rate * TICK / NANOSECONDS * tick for tick in range(ticks)]
    return [[speed, -speed] for speed in [*rising, *reversed(rising)]]


def count(recording: Recording, **options: Any) -> int:
    return check_limits(recording, LIMITS, 0, START * 2, **options).count


def test_a_ramp_at_the_acceleration_limit_is_inside_limits_however_late_it_was_sent(
    tmp_path: Path
) -> None:
    for jitter in ((0,), (0, 4_000_000), (0, 9_900_000, 0, 0), (9_000_000, 0, 5_000_000)):
        recording = record(tmp_path / 'r', commands(ramp(18, 8.0), jitter))
        found = check_limits(recording, LIMITS, 0, START * 2)
        assert (found.count, found.checked) == (0, 36), (jitter, found.examples)


def test_a_ramp_a_fifth_steeper_than_allowed_is_found(tmp_path: Path) -> None:
    assert count(record(tmp_path / 'r', commands(ramp(14, 9.6)))) > 0


def test_a_jump_is_found(tmp_path: Path) -> None:
    assert count(record(tmp_path / 'r', commands([[0.0, 0.0]] * 9 + [[0.2, 0.0]] * 9))) > 0


@pytest.mark.parametrize('velocity', [[1.501, 0.0], [0.0, -1.6], ['nan', 0.0], ['inf', 0.0], [0.0]])
def test_a_velocity_that_no_joint_may_have_is_found(tmp_path: Path, velocity: list[Any]) -> None:
    assert count(record(tmp_path / 'r', commands([velocity]))) > 0


def test_what_a_saboteur_sent_is_left_out_and_only_that(tmp_path: Path) -> None:
    lines = commands([[0.0, 0.0]] * 20) + commands([[9.0, 9.0]] * 20, publisher='rogue')
    recording = record(tmp_path / 'r', sorted(lines, key=lambda line: line[1]))
    assert count(recording, rogues=['rogue']) == 0
    assert count(recording) == 20


def test_a_setpoint_and_a_robot_beyond_the_end_of_a_joint_are_found(tmp_path: Path) -> None:
    end = float(LIMITS.upper[0])
    state = ['state', START, 0, 1, '', START, 0, '', '', 0, [end + 0.001, 0.0], [0.0, 0.0],
             False, '', 0, 0]
    robot = ['robot', START, 0, 1, '', START, [end + 0.01, 0.0], [0.0, 0.0]]
    assert count(record(tmp_path / 'r', [state])) == 1
    assert count(record(tmp_path / 'r', [robot])) == 1


def test_braking_begins_with_the_last_setpoint_that_was_not_slower_than_the_one_before(
    tmp_path: Path
) -> None:
    speeds = [0.5, 1.0, 1.0, 1.0, 0.6, 0.2, 0.0, 0.0]
    recording = record(tmp_path / 'r', commands([[speed, -speed] for speed in speeds]))
    assert braking_since(recording.lines('command')) == (START + 3 * TICK, START + 6 * TICK)
    still_moving = record(tmp_path / 'r', commands([[speed, 0.0] for speed in speeds[:6]]))
    assert braking_since(still_moving.lines('command')) is None


def test_an_observation_is_late_from_its_own_stamp_on_and_a_late_plan_does_not_mend_that(
    tmp_path: Path
) -> None:
    def proposal(stamp: float, delay: float) -> list[Any]:
        return ['proposal', START + round((stamp + delay) * NANOSECONDS), 0, 1, '',
                START + round(stamp * NANOSECONDS), 'plan', 'digest']

    lines = [proposal(0.0, 0.05), proposal(0.1, 0.05), proposal(0.2, 0.6)]
    recording = record(tmp_path / 'r', lines)
    late = observation_late(recording, NUMBERS, START + round(0.12 * NANOSECONDS))
    assert late == START + round((0.1 + NUMBERS.late_after) * NANOSECONDS)


def test_joint_states_are_stale_when_their_stamps_stand(tmp_path: Path) -> None:
    lines = [['joints', START + tick * TICK, 0, tick, '', START + min(tick, 10) * TICK,
              [0.0, 0.0], [0.0, 0.0]] for tick in range(60)]
    stale = joints_stale(record(tmp_path / 'r', lines), NUMBERS, START + 10 * TICK)
    assert stale == START + 10 * TICK + round(NUMBERS.joint_state_timeout * NANOSECONDS)


def test_the_time_that_the_kernel_kept_a_node_waiting_is_that_of_its_worst_thread(
    tmp_path: Path
) -> None:
    lines = [['wait', START + tick * 2 * TICK, 0, None, '', {
        'controller': {'1': tick * 3_000_000, '2': tick * 1_000_000},
        'relay': {'9': tick * 2_000_000}}] for tick in range(20)]
    recording = record(tmp_path / 'r', lines)
    span = START + 4 * TICK, START + 10 * TICK
    assert recording.waited(*span) == pytest.approx(4 * 0.003)
    assert recording.waited(*span, ('controller', 'relay')) == pytest.approx(4 * 0.005)


def test_the_limits_are_those_of_the_urdf_and_of_the_shipped_parameters() -> None:
    assert LIMITS.names == ('shoulder', 'elbow')
    np.testing.assert_array_equal(LIMITS.velocity, [1.5, 1.5])
    np.testing.assert_array_equal(LIMITS.acceleration, [8.0, 8.0])
    np.testing.assert_array_equal(LIMITS.upper, [2.6, 2.4])
