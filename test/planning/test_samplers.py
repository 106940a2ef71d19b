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
"""Each sampler goes where sequences are cheap, keeps what it should, and never trusts a failure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_bundle import SAMPLERS, toy_manifest

from world_model_ros.bundle import PlannerSettings
from world_model_ros.planning.samplers import PathIntegral, Sampler, coloured, sampler

Array = np.ndarray[Any, Any]
LOWER, UPPER = np.array([-1.0, -0.5], np.float32), np.array([0.8, 1.0], np.float32)
TARGET = np.array([[0.5, -0.4], [0.2, 0.9], [-0.7, 0.0], [-0.9, 0.3]], np.float32)


def with_settings(name: str, **changes: Any) -> PlannerSettings:
    return PlannerSettings.model_validate({
        **toy_manifest()['planner'], 'knots': (0, 2, 4, 8), 'sigma': (0.6, 0.6),
        'sigma_min': (0.02, 0.02), **SAMPLERS[name], **changes})


def search(name: str, seed: int = 0, **changes: Any) -> Sampler:
    return sampler(with_settings(name, **changes), np.zeros((4, 2), np.float32), LOWER, UPPER,
                   np.random.Generator(np.random.PCG64(seed)))


def cost(knots: Array) -> Array:
    return np.square(knots - TARGET).sum((1, 2))


@pytest.fixture(params=list(SAMPLERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_search_goes_to_the_cheapest_sequence(name: str) -> None:
    found = search(name)
    for _ in range(12):
        knots = found.sample(200)
        found.refit(knots, cost(knots))
    np.testing.assert_allclose(found.mean, TARGET, atol=0.1)


def test_samples_stay_within_the_bounds_and_depend_on_the_seed_alone(name: str) -> None:
    first, same, other = (search(name, seed, sigma=(3.0, 3.0)) for seed in (1, 1, 2))
    knots = first.sample(500)
    assert (knots >= LOWER).all()
    assert (knots <= UPPER).all()
    assert knots.dtype == np.float32
    assert knots.tobytes() == same.sample(500).tobytes()
    assert knots.tobytes() != other.sample(500).tobytes()


def test_a_refit_ignores_failures_and_stays_where_all_fail(name: str) -> None:
    found = search(name)
    knots = found.sample(100)
    found.refit(knots, np.full(100, np.inf, np.float32))
    np.testing.assert_array_equal(found.mean, np.zeros((4, 2)))
    costs = cost(knots)
    costs[:50] = np.inf
    found.refit(knots, costs.astype(np.float32))
    alone = search(name)
    alone.refit(knots[50:], cost(knots[50:]))
    np.testing.assert_allclose(found.mean, alone.mean, atol=1e-6)
    assert np.isfinite(found.sample(100)).all()


def test_a_refit_of_few_sequences_still_chooses(name: str) -> None:
    alike = {'temperature': 1e6} if name == 'mppi' else {}
    found = search(name, momentum=0.0, elites=8, **alike)
    knots = found.sample(4)
    found.refit(knots, np.array([3, 1, 4, 2], np.float32))
    np.testing.assert_allclose(found.mean, knots[[1, 3]].mean(0), atol=1e-5)


def test_icem_keeps_its_cheapest_for_the_next_iteration_and_the_next_plan() -> None:
    found = search('icem')
    knots = found.sample(100)
    found.refit(knots, cost(knots))
    best = knots[np.argsort(cost(knots))[:3]]
    np.testing.assert_array_equal(found.elites, best)
    dear = found.sample(50)
    found.refit(dear, np.full(50, 1e3, np.float32))
    np.testing.assert_array_equal(found.elites, best)


@pytest.mark.parametrize('name', ['cem', 'mppi'])
def test_the_others_leave_nothing_but_the_plan(name: str) -> None:
    found = search(name)
    knots = found.sample(100)
    found.refit(knots, cost(knots))
    assert found.elites.shape == (0, 4, 2)


def test_the_population_of_icem_decays_to_twice_the_elites() -> None:
    found = with_settings('icem', decay=2.0, samples=64, elites=8)
    assert [found.population(i) for i in range(5)] == [64, 32, 16, 16, 16]
    assert [with_settings('cem').population(i) for i in range(3)] == [64] * 3


def test_mppi_weights_its_elites_by_the_formula() -> None:
    found = search('mppi', momentum=0.0, temperature=0.5, elites=2, sigma_min=(1e-6, 1e-6))
    knots = np.stack([np.full((4, 2), value, np.float32) for value in (0.1, 0.5, 0.3, 0.7)])
    found.refit(knots, np.array([2.0, 1.0, 9.0, 1.5], np.float32))
    weights = np.exp(-np.array([0.0, 0.5]) / 0.5)
    weights /= weights.sum()
    mean = weights @ [0.5, 0.7]
    np.testing.assert_allclose(found.mean, np.full((4, 2), mean), rtol=1e-5)
    assert isinstance(found, PathIntegral)
    spread = math.sqrt(weights @ np.square([0.5 - mean, 0.7 - mean]))
    np.testing.assert_allclose(found._sigma, np.full((4, 2), spread), rtol=1e-4)


@pytest.mark.parametrize(('temperature', 'expected'), [(1e-4, 0.5), (1e4, 0.6)])
def test_a_cold_mppi_takes_the_best_and_a_hot_one_the_mean(
    temperature: float, expected: float,
) -> None:
    found = search('mppi', momentum=0.0, temperature=temperature, elites=2)
    knots = np.stack([np.full((4, 2), value, np.float32) for value in (0.5, 0.7, 0.1, 0.2)])
    found.refit(knots, np.array([1.0, 1.5, 9.0, 8.0], np.float32))
    np.testing.assert_allclose(found.mean, np.full((4, 2), expected), atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(exponent=st.floats(0, 4), steps=st.lists(st.integers(1, 12), max_size=12))
def test_coloured_noise_has_unit_variance_at_every_knot(exponent: float, steps: list[int]) -> None:
    knots = tuple(np.cumsum([0, *steps]).tolist())
    factor = coloured(exponent, knots)
    np.testing.assert_allclose(np.diag(factor @ factor.T), 1, atol=1e-4)


def test_white_noise_is_left_as_it_is() -> None:
    np.testing.assert_allclose(coloured(0.0, (0, 2, 4, 8)), np.eye(4), atol=1e-5)


@pytest.mark.parametrize('exponent', [0.5, 1.0, 2.0])
def test_the_power_of_coloured_noise_falls_with_the_frequency_as_asked(exponent: float) -> None:
    rows = 128
    factor = coloured(exponent, tuple(range(rows)))
    noise = factor @ np.random.default_rng(0).standard_normal((rows, 2000))
    # A Hann window, or what leaks from low frequencies covers the high ones.
    power = np.square(np.abs(np.fft.rfft(noise * np.hanning(rows)[:, None], axis=0))).mean(1)
    band = np.arange(4, 48)
    slope = np.polyfit(np.log(band), np.log(power[band]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.15)


def test_knots_close_in_time_are_alike_however_they_are_spread() -> None:
    factor = coloured(2.0, (0, 1, 16))
    correlation = factor @ factor.T
    assert correlation[0, 1] > 0.85
    assert correlation[0, 1] > correlation[1, 2] > correlation[0, 2]


@pytest.mark.parametrize(('changes', 'word'), [
    ({'sampler': 'icem'}, 'noise_exponent'), ({'sampler': 'mppi'}, 'temperature'),
    ({'temperature': 1.0}, 'temperature'), ({'decay': 1.2}, 'decay'),
    ({**SAMPLERS['icem'], 'kept_elites': 9}, 'kept_elites'),
])
def test_settings_that_do_not_belong_to_the_sampler_are_refused_by_name(
    changes: dict[str, Any], word: str,
) -> None:
    with pytest.raises(ValueError, match=word):
        with_settings('cem', **changes)
