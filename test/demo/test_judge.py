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
"""The judge counts what breaks a limit, and nothing else."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.demo.judge import (
    EpisodeResult,
    LimitWatch,
    RunRecord,
    WireLimits,
    percentiles,
    read_wire_limits,
    settled_after,
)

URDF = Path(__file__).parents[2] / 'description' / 'reach_arm.urdf'
LIMITS = WireLimits(('a', 'b'), np.array([-2.0, -1.0]), np.array([2.0, 1.0]), np.array([1.5, 1.0]),
                    np.array([8.0, 8.0]))
TICK = 0.01


def watch_velocities(velocities: list[float]) -> LimitWatch:
    watch = LimitWatch(LIMITS)
    for tick, velocity in enumerate(velocities):
        watch.setpoint(tick * TICK, ('a', 'b'), (0.0, 0.0), (velocity, 0.0))
    return watch


def test_limits_are_read_from_the_urdf_without_the_controllers_help() -> None:
    limits = read_wire_limits(URDF, 8.0)
    assert limits.names == ('shoulder', 'elbow')
    assert np.all(limits.lower < 0) and np.all(limits.upper > 0) and np.all(limits.velocity > 0)


def test_a_urdf_without_moving_joints_is_refused(tmp_path: Path) -> None:
    urdf = tmp_path / 'rock.urdf'
    urdf.write_text('<robot name="rock"><link name="rock"/></robot>')
    with pytest.raises(ValueError, match='no moving joint'):
        read_wire_limits(urdf, 8.0)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60))
def test_velocities_that_change_within_the_limit_are_no_violation(steps: list[float]) -> None:
    velocities = np.clip(np.cumsum(np.array(steps) * 8.0 * TICK), -1.5, 1.5)
    assert watch_velocities(velocities.tolist()).violations == 0


@given(st.floats(1.3, 4.0))
def test_a_ramp_that_is_too_steep_is_found(excess: float) -> None:
    ramp = np.minimum(np.arange(30) * 8.0 * excess * TICK, 1.5)
    watch = watch_velocities(ramp.tolist())
    assert watch.by_kind().keys() == {'a acceleration'}
    assert watch.violations > 0


def test_stamps_that_jitter_hide_no_steady_excess() -> None:
    chance = np.random.default_rng(0)
    watch = LimitWatch(LIMITS)
    for tick in range(15):
        time = tick * TICK + float(chance.uniform(-1e-3, 1e-3))
        watch.setpoint(time, ('a', 'b'), (0.0, 0.0), (1.1 * 8.0 * tick * TICK, 0.0))
    assert watch.violations > 0
    assert watch.worst_acceleration == pytest.approx(8.8, rel=0.05)


@given(st.sampled_from([math.nan, math.inf, -math.inf, 1.6, -1.6]))
def test_a_velocity_that_is_not_allowed_counts_on_either_wire(velocity: float) -> None:
    watch = LimitWatch(LIMITS)
    watch.command((velocity, 0.0))
    assert watch.by_kind() == {'a velocity': 1}
    watch = watch_velocities([velocity])
    assert watch.by_kind()['a velocity'] == 1


@given(st.sampled_from([math.nan, 1.01, -1.01]))
def test_a_position_outside_the_range_counts(position: float) -> None:
    watch = LimitWatch(LIMITS)
    watch.setpoint(0.0, ('a', 'b'), (0.0, position), (0.0, 0.0))
    assert watch.by_kind() == {'b position': 1}


def test_commands_for_other_joints_count() -> None:
    watch = LimitWatch(LIMITS)
    watch.setpoint(0.0, ('b', 'a'), (0.0, 0.0), (0.0, 0.0))
    watch.command((0.0,))
    assert watch.violations == 2


def test_a_tip_that_leaves_again_has_not_arrived() -> None:
    times = np.arange(6.0)
    assert settled_after(times, np.array([9, 2, 9, 2, 1, 1.0]), 3.0) == 3.0
    assert settled_after(times, np.array([9, 2, 2, 2, 2, 9.0]), 3.0) is None
    assert settled_after(times, np.array([1, 2, 2, 2, 2, 1.0]), 3.0) == 0.0


def test_the_report_has_the_promised_keys_and_is_json_even_when_nothing_was_measured() -> None:
    record = RunRecord(seed=3, startup=1.234)
    record.episodes.append(EpisodeResult(1, [0.1, 0.2], 0.4, 0.012, True, 3.1, 80))
    report = json.loads(json.dumps(record.report(), allow_nan=False))
    assert list(report)[:10] == [
        'episodes', 'success_rate', 'final_error_m', 'plan_ms', 'observation_to_proposal_ms',
        'observation_to_command_ms', 'frames', 'proposals', 'limit_violations', 'startup_s']
    assert report['final_error_m'] == {'p50': 0.012, 'p90': 0.012}
    assert report['plan_ms'] == {'p50': None, 'p99': None}


def test_percentiles_are_of_the_values_in_the_unit_asked_for() -> None:
    assert percentiles([0.001 * n for n in range(101)], (50, 99), scale=1e3) == {
        'p50': 50.0, 'p99': 99.0}
