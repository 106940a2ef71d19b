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

from world_model_ros.monitor import ActionLog, Foresight, judge

STEP = 10**8  # ns: model steps of 0.1 s


def exact(state: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """A world in which position is the sum of velocities."""
    return state + 0.1 * actions.sum(0)


def distance(expected: np.ndarray, seen: np.ndarray) -> float:
    return float(np.abs(expected - seen).max())


def foresight(steps: int = 3, imagine: object = exact) -> Foresight[np.ndarray]:
    return Foresight(
        imagine, distance, step_duration=0.1, rows_per_step=1, steps=steps)  # type: ignore


def moving(log: ActionLog, velocity: float, until: int) -> None:
    log.add(0, 0.1, np.full((until, 1), velocity, np.float32), effective=0)


def position(stamp: int, velocity: float) -> np.ndarray:
    return np.array([velocity * stamp / 1e9])


def test_a_model_that_foresees_what_happens_is_not_surprised() -> None:
    log, judged = ActionLog(60.0), foresight()
    moving(log, 0.5, 100)
    errors = []
    for frame in range(60):  # 30 Hz, which is no multiple of the model's 10 Hz
        stamp = frame * 33_333_333
        latent = position(stamp, 0.5)
        if (found := judged.see(stamp, latent, latent, log)) is not None:
            errors.append(found)
    assert 15 <= len(errors) <= 20
    full = [found for found in errors if np.isfinite(found).all()]
    assert len(full) > 12
    assert max(found.max() for found in full) < 1e-6


def test_errors_grow_with_the_steps_over_which_a_worse_model_looks_ahead() -> None:
    log = ActionLog(60.0)
    moving(log, 0.5, 100)
    judged = foresight(imagine=lambda state, actions: state + 0.2 * actions.sum(0))
    errors = None
    for step in range(6):
        latent = position(step * STEP, 0.5)
        errors = judged.see(step * STEP, latent, latent, log)
    np.testing.assert_allclose(errors, [0.05, 0.10, 0.15], rtol=1e-5)


def test_nothing_is_judged_where_the_robot_was_asked_for_nothing_or_no_picture_came() -> None:
    log, judged = ActionLog(60.0), foresight()
    latent = np.zeros(1)
    for step in range(5):
        assert judged.see(step * STEP, latent, latent, log) is None
    log.add(4 * STEP, 0.1, np.zeros((20, 1), np.float32), effective=4 * STEP)
    found = judged.see(5 * STEP, latent, latent, log)
    assert found is not None and found[0] == 0 and math.isnan(found[1])
    # The picture of step 6 was lost.
    found = judged.see(7 * STEP, latent, latent, log)
    assert found is not None and math.isnan(found[0]) and found[1] == 0 and found[2] == 0


def test_what_was_seen_while_the_model_failed_is_judged_by_as_any_other() -> None:
    log, failing = ActionLog(60.0), True
    moving(log, 0.5, 100)

    def imagine(state: np.ndarray, actions: np.ndarray) -> np.ndarray:
        if failing:
            raise RuntimeError('interrupted')
        return exact(state, actions)

    judged = foresight(steps=1, imagine=imagine)
    assert judged.see(0, position(0, 0.5), position(0, 0.5), log) is None
    with pytest.raises(RuntimeError):
        judged.see(STEP, position(STEP, 0.5), position(STEP, 0.5), log)
    failing = False
    found = judged.see(2 * STEP, position(2 * STEP, 0.5), position(2 * STEP, 0.5), log)
    assert found == pytest.approx(0.0, abs=1e-6)


def test_a_clock_that_was_set_back_is_no_surprise() -> None:
    log, judged = ActionLog(60.0), foresight()
    moving(log, 1.0, 100)
    for step in range(20, 30):
        latent = position(step * STEP, 1.0)
        judged.see(step * STEP, latent, latent, log)
    found = [judged.see(step * STEP, position(step * STEP, 1.0), position(step * STEP, 1.0), log)
             for step in range(4)]
    assert found[0] is None
    assert found[-1] is not None and found[-1] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(('errors', 'score', 'threshold', 'verdict'), [
    ([0.1], 0.1, 0.2, False),
    ([0.3], 0.3, 0.2, True),
    ([0.1, 0.3], 0.2, 0.4, False),
    ([0.1, math.nan], 0.1, 0.2, False),  # the robot has moved for one step only
    ([0.5, 0.5, 0.5], 0.5, math.nan, None),  # further ahead than was calibrated
    ([math.nan, 0.1], 0.1, math.nan, None),  # a picture was missing
])
def test_a_score_is_judged_by_the_threshold_of_as_many_steps_or_not_at_all(
    errors: list[float], score: float, threshold: float, verdict: bool | None,
) -> None:
    found = judge(np.array(errors, np.float32), [0.2, 0.4])
    assert found.score == pytest.approx(score)
    assert found.threshold == pytest.approx(threshold, nan_ok=True)
    assert found.is_surprise is verdict


def test_without_calibration_nothing_is_judged() -> None:
    assert judge(np.array([9.0], np.float32), ()).is_surprise is None
