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
"""The robot's state follows from the actions as SciPy has it, for many sequences at once."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import KINDS, Kind, Reference, small_manifest, write_small_bundle

from world_model_ros.bundle import Manifest
from world_model_ros.inference.integration import integration


def manifest_of(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return write_small_bundle(tmp_path_factory.mktemp('small'), kind).manifest


@pytest.mark.parametrize('name', [name for name, kind in KINDS.items() if kind.takes_state])
def test_states_follow_from_actions_as_in_the_reference(
    name: str, tmp_path_factory: pytest.TempPathFactory,
) -> None:
    kind = KINDS[name]
    reference = Reference(kind)
    integrate = integration(manifest_of(kind, tmp_path_factory))
    assert integrate is not None

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 10**6))
    def check(seed: int) -> None:
        state = reference.states(1, seed)[0]
        rows = reference.actions(5, 3, seed)
        states = integrate(state, rows)
        assert states.shape == (5, 4, kind.state_size)
        for sequence, expected in zip(rows, states, strict=True):
            known = np.asarray(state, float)
            np.testing.assert_allclose(expected[0], known, atol=1e-7)
            steps = sequence.reshape(3, kind.rows, -1)
            for step, after in zip(steps, expected[1:], strict=True):
                known = reference.later_state(known, step)
                np.testing.assert_allclose(after, known, atol=1e-6)

    check()


def test_the_gripper_stays_between_open_and_closed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    integrate = integration(manifest_of(KINDS['growing'], tmp_path_factory))
    assert integrate is not None
    rows = np.zeros((2, 3, 7), np.float32)
    rows[0, :, 6], rows[1, :, 6] = 0.7, -0.7
    poses = integrate(np.array([0, 0, 0, 0, 0, 0, 0.5]), rows)
    np.testing.assert_allclose(poses[0, :, 6], [0.5, 1, 1, 1])
    np.testing.assert_allclose(poses[1, :, 6], [0.5, 0, 0, 0])


def test_nothing_is_integrated_for_a_state_that_the_model_predicts(tmp_path: Path) -> None:
    assert small_manifest(KINDS['window'])['proprioception']['rule'] == 'predicted'
    assert integration(write_small_bundle(tmp_path, KINDS['window']).manifest) is None


def test_eight_hundred_candidates_take_milliseconds(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    integrate = integration(manifest_of(KINDS['growing'], tmp_path_factory))
    assert integrate is not None
    rows = Reference(KINDS['growing']).actions(800, 2)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        integrate(np.zeros(7), rows)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.02  # 1.5 ms on an idle core; SciPy one by one takes 72 ms
