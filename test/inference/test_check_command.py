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
"""`wmros check` reports what a person must know, ends with the right code, and names cures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dds import Graph
from toy_bundle import toy_golden, toy_manifest, write_toy_bundle

from world_model_ros.bundle import load_bundle, write_manifest
from world_model_ros.cli.main import main
from world_model_ros.findings import Finding, Grade
from world_model_ros.inference import RuntimeSettings, WorldModel, measurements
from world_model_ros.inference.first_latent import time_to_first_latent
from world_model_ros.inference.measure import measure_all, measure_speed
from world_model_ros.inference.measurements import (
    Measurement,
    read_measurements,
    write_measurements,
)
from world_model_ros.inference.providers import available, choose
from world_model_ros.inference.report import Report, describe_bundle, describe_model

Capture = pytest.CaptureFixture[str]
RATE = 10.0  # Hz
FAMILIES = Path(__file__).parents[1] / 'bundle' / 'families'


def change(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def apply(data: dict[str, Any]) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value
    return apply


def test_a_sound_bundle_gets_a_full_report(tmp_path: Path, capsys: Capture) -> None:
    bundle = write_toy_bundle(tmp_path)
    assert main(['check', str(tmp_path), '--deadline', '5']) == 0
    report = capsys.readouterr().out
    for part in ('toy 1.0.0', 'Apache-2.0', bundle.digest, 'shoulder -1.5 to 1.5 rad/s',
                 '32x32 rgb', 'position and velocity of shoulder, elbow',
                 'latent float32 [batch, 6], actions float32', 'encoder       deviation ',
                 'rollout       deviation ', 'cost          deviation ', 'the cheapest first',
                 'without torch', 'iterations: 4 at', 'provider      cpu', 'Verdict: fit'):
        assert part in report, part
    assert '\x1b' not in report  # reads without colour


def test_a_damaged_bundle_ends_with_code_1_field_and_cure(tmp_path: Path, capsys: Capture) -> None:
    write_toy_bundle(tmp_path)
    (tmp_path / 'encoder.onnx').write_bytes(b'')
    assert main(['check', str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert 'files.encoder.onnx: sha256' in error
    assert 'Cure: copy the bundle again' in error


@pytest.mark.parametrize(('name', 'warned'), [
    ('CC-BY-NC-4.0', True), ('cc-by-nc-sa-4.0', True), ('PolyForm-Noncommercial-1.0.0', True),
    ('FAIR Noncommercial Research License', True), ('Apache-2.0', False), ('MIT', False),
    ('NCSA', False), ('CC-BY-4.0', False), ('BSD-3-Clause', False),
])
def test_a_licence_that_forbids_commerce_is_flagged(
    tmp_path: Path, name: str, warned: bool,
) -> None:
    bundle = write_toy_bundle(tmp_path, change('model', 'license', value=name))
    findings = describe_bundle(bundle).findings
    assert [finding.about for finding in findings] == ['model.license'] * warned


@pytest.mark.parametrize(('kind', 'read', 'unread'), [
    ('joint_position', ['shoulder', 'elbow'], ''),
    ('joint_position', ['shoulder', 'wheel'], '"elbow"'),
    ('joint_velocity', ['shoulder', 'wheel'], ''),
])
def test_positions_that_are_planned_and_not_read_are_named(
    tmp_path: Path, kind: str, read: list[str], unread: str,
) -> None:
    def contract(data: dict[str, Any]) -> None:
        data['action'].update(kind=kind, units=['rad' if 'position' in kind else 'rad/s'] * 2)
        data['proprioception']['joints'] = read

    findings = describe_bundle(write_toy_bundle(tmp_path, contract)).findings
    assert [finding.grade for finding in findings] == [Grade.NOTE] * bool(unread)
    assert all(unread in finding.problem for finding in findings)


def test_a_plan_that_does_not_fit_the_deadline_is_said_before_the_robot_waits_for_it(
    tmp_path: Path,
) -> None:
    model = WorldModel(write_toy_bundle(tmp_path))
    tight = describe_model(model, RATE, deadline=1e-6, seconds=0.1)
    assert not tight.fit
    assert 'raise plan_deadline' in '\n'.join(tight.lines())
    assert describe_model(model, RATE, deadline=0.7, seconds=0.1).findings == []


@pytest.mark.parametrize(('rate', 'over'), [(10.0, []), (0.7, ['planner.horizon'])])
def test_plans_that_are_over_before_the_next_ones_come_are_named(
    tmp_path: Path, rate: float, over: list[str],
) -> None:
    model = WorldModel(write_toy_bundle(tmp_path))  # plans 1.6 s
    findings = describe_model(model, rate, deadline=0.5, seconds=0.1).findings
    assert [finding.about for finding in findings] == over


def test_a_plan_too_long_for_its_rate_is_judged_by_the_rate_that_there_is_time_for(
    tmp_path: Path, capsys: Capture,
) -> None:
    write_toy_bundle(tmp_path)  # plans 1.6 s
    assert main(['check', str(tmp_path), '--deadline', '0.8']) == 0
    assert 'the next one comes up to 1.6' in capsys.readouterr().out
    assert main(['check', str(tmp_path), '--deadline', '0.7']) == 0
    assert 'will brake' not in capsys.readouterr().out


def test_a_slow_model_is_timed_on_a_part_of_the_batch_and_it_says_so(tmp_path: Path) -> None:
    model = WorldModel(write_toy_bundle(tmp_path))
    assert measure_speed(model, seconds=1e-6).estimated
    assert not measure_speed(model, seconds=1.0).estimated
    report = '\n'.join(describe_model(model, RATE, deadline=1.0, seconds=1e-6).lines())
    assert '64 x 16 steps about' in report


@pytest.mark.parametrize('seconds', [0.001, 100.0])
def test_what_a_call_costs_whatever_its_size_is_not_multiplied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float,
) -> None:
    now = 0.0

    def taking(fixed: float, each: float) -> WorldModel:
        model = WorldModel(bundle)

        def score(_context: object, _goal: object, actions: np.ndarray[Any, Any]) -> None:
            nonlocal now
            now += fixed + each * len(actions)

        monkeypatch.setattr(model, 'score', score)
        return model

    bundle = write_toy_bundle(tmp_path, change('planner', 'samples', value=300))
    monkeypatch.setattr('world_model_ros.inference.measure.time',
                        SimpleNamespace(perf_counter=lambda: now))
    graphics, processor = taking(0.012, 2e-5), taking(0.0, 1.2e-3)
    speed = measure_speed(graphics, seconds)
    assert speed.score_ms == pytest.approx(18.0)
    assert speed.plan_ms == pytest.approx(18.0 * (4 * 300 + 1) / 300)
    assert measure_speed(processor, seconds).score_ms == pytest.approx(360.0)


def test_another_ranking_of_the_golden_sequences_is_said(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path)
    golden = toy_golden()
    # The last sequence is the first once more, recorded as cheaper by less than the tolerance.
    golden = replace(
        golden, actions=np.concatenate([golden.actions, golden.actions[:1]]),
        latents=np.concatenate([golden.latents, golden.latents[:1]]),
        costs=np.concatenate([golden.costs, golden.costs[:1] * np.float32(1 - 1e-5)]))
    golden.save(tmp_path / 'golden.npz')
    model = WorldModel(write_manifest(tmp_path, toy_manifest()))
    (finding,) = describe_model(model, RATE, deadline=0.7, seconds=0.1).findings
    assert 'ranked otherwise' in finding.problem


def test_a_provider_that_is_not_there_is_refused_with_what_to_install(
    tmp_path: Path, capsys: Capture,
) -> None:
    write_toy_bundle(tmp_path)
    missing = next(one for one in ('tensorrt', 'cuda', 'openvino') if one not in available())
    assert main(['check', str(tmp_path), '--provider', missing]) == 1
    error = capsys.readouterr().err
    assert f'provider {missing} is not installed' in error
    assert 'Cure: install' in error


def test_prebuild_measures_what_is_installed_and_auto_follows(
    tmp_path: Path, capsys: Capture,
) -> None:
    bundle, cache = write_toy_bundle(tmp_path / 'bundle'), tmp_path / 'cache'
    assert main(['check', str(tmp_path / 'bundle'), '--prebuild', '--cache', str(cache),
                 '--deadline', '5']) == 0
    said = capsys.readouterr()
    measured = read_measurements(cache, bundle.digest)
    assert {one.provider for one in measured} == set(available())
    assert not any(one.refused for one in measured)
    fastest = min(measured, key=lambda one: one.plan_ms)
    chosen = choose(bundle.digest, RuntimeSettings(cache=cache))
    assert (chosen.provider, chosen.precision) == (fastest.provider, fastest.precision)
    assert f'provider      {fastest.provider}' in said.out
    assert 'fastest here' in said.out
    assert str(cache) in said.out
    assert 'opening cpu float32' in said.err
    # What the next process runs on is what was chosen.
    assert WorldModel(bundle, RuntimeSettings(cache=cache)).backend.provider == fastest.provider


def test_a_model_that_is_slower_since_the_machine_changed_is_fit_with_a_warning(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle, cache = write_toy_bundle(tmp_path / 'bundle'), tmp_path / 'cache'
    here = {**measurements.machine(), 'graphics cards': ''}
    then = {**here, 'graphics cards': 'NVIDIA H200'}
    monkeypatch.setattr(measurements, 'machine', lambda: then)
    write_measurements(cache, bundle.digest, [Measurement(
        provider='cuda', precision='float32', threads=1, plan_ms=1.0)])
    monkeypatch.setattr(measurements, 'machine', lambda: here)
    assert main(['check', str(tmp_path / 'bundle'), '--cache', str(cache), '--deadline', '5']) == 0
    said = capsys.readouterr().out
    assert 'warning: provider: cuda float32 was measured to be the fastest' in said
    assert 'graphics cards was NVIDIA H200 and is none' in said
    assert 'Verdict: fit, with' in said


def test_what_fails_the_golden_vectors_is_measured_as_out_of_the_question(tmp_path: Path) -> None:
    write_toy_bundle(tmp_path)
    # No float32 arithmetic agrees with itself to 1e-12 once the sums are taken in another order.
    manifest = tmp_path / 'bundle.yaml'
    manifest.write_text(manifest.read_text().replace('tolerance: 0.0001', 'tolerance: 1.0e-12'))
    measured = measure_all(load_bundle(tmp_path), RuntimeSettings(cache=tmp_path), seconds=0.05)
    assert measured
    assert all('differs from the golden vectors' in one.refused for one in measured)


def test_the_robots_side_gives_its_first_latent_without_torch() -> None:
    reach = Path(__file__).parents[2] / 'models' / 'reach'
    first = time_to_first_latent(reach)
    assert not first.torch
    with pytest.raises(RuntimeError, match=r'bundle\.yaml: not found'):
        time_to_first_latent(reach.parent)


def test_topics_without_a_robot_make_a_bundle_unfit(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_toy_bundle(tmp_path / 'bundle')
    with Graph(tmp_path) as graph:
        monkeypatch.setenv('ROS_DOMAIN_ID', str(graph.domain))
        assert main(['check', str(tmp_path / 'bundle'), '--deadline', '5', '--against-topics',
                     '--image-topic', '/eye', '--listen', '1']) == 1
    report = capsys.readouterr().out
    assert 'unfit: /eye: nobody publishes there' in report
    assert 'unfit: /joint_states: nobody publishes there' in report
    assert 'Verdict: unfit, for 2 reasons' in report


def test_the_worst_comes_first_and_the_verdict_last() -> None:
    report = Report(findings=[Finding(Grade.WARNING, 'a', 'b', 'c'),
                              Finding(Grade.UNFIT, 'd', 'e', 'f')])
    assert [line.strip() for line in report.lines()] == [
        'To do', 'unfit: d: e. Cure: f.', 'warning: a: b. Cure: c.', 'Verdict: unfit, for 1 reason']
