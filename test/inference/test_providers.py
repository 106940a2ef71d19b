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
"""A graph runs on exactly the provider that was asked for, and `auto` is what was measured."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from world_model_ros.inference import measurements
from world_model_ros.inference.measurements import (
    Measurement,
    read_measurements,
    write_measurements,
)
from world_model_ros.inference.providers import (
    ProviderError,
    RuntimeSettings,
    available,
    choose,
    precisions,
)
from world_model_ros.inference.sessions import (
    Backend,
    InterruptedRunError,
    Provider,
    RunError,
    announcing,
    open_session,
    provider_options,
)

DIGEST = '0' * 64
HERE: tuple[Provider, ...] = tuple(p for p in ('cpu', 'openvino') if p in available())
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec('openvino') is None, reason='openvino is not installed')


def backend(provider: Provider, engines: Path | None = None) -> Backend:
    return Backend(provider, 'float32', 1, 'as set', engines)


def graph(steps: int = 2, size: int = 4) -> bytes:
    """`after` [batch, size] = `before` times one orthogonal matrix, `steps` times."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]
    names = ['before', *(f'step{k}' for k in range(1, steps)), 'after']
    nodes = [helper.make_node('MatMul', [a, 'turn'], [b])
             for a, b in itertools.pairwise(names)]
    shape = ['batch', size]
    model = helper.make_model(helper.make_graph(
        nodes, 'turn', [helper.make_tensor_value_info('before', TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info('after', TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(turn.astype(np.float32), 'turn')]),
        opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def turned(before: np.ndarray, steps: int = 2) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    return before @ np.linalg.matrix_power(turn, steps)


@pytest.mark.parametrize('provider', HERE)
def test_every_provider_here_computes_the_same(provider: Provider) -> None:
    session = open_session(graph(), 'turn.onnx', backend(provider))
    before = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    (after,) = session.run({'before': before})
    np.testing.assert_allclose(after, turned(before), atol=1e-5)
    (tensor,) = session.inputs
    assert (tensor.name, tensor.dtype, tensor.shape[1]) == ('before', 'float32', 4)
    assert not isinstance(tensor.shape[0], int)


@pytest.mark.parametrize('provider', HERE)
def test_outputs_that_stay_on_the_device_feed_the_next_step(provider: Provider) -> None:
    session = open_session(graph(), 'turn.onnx', backend(provider))
    before = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    value = session.run_bound({'before': before})['after']
    for _ in range(3):
        value = session.run_bound({'before': value})['after']
    np.testing.assert_allclose(value.numpy(), turned(before, 8), atol=1e-5)


@pytest.mark.parametrize('provider', HERE)
def test_results_of_one_call_are_not_overwritten_by_the_next(provider: Provider) -> None:
    session = open_session(graph(), 'turn.onnx', backend(provider))
    first = session.run({'before': np.ones((1, 4), np.float32)})[0]
    kept = first.copy()
    session.run({'before': np.zeros((1, 4), np.float32)})
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize('provider', HERE)
def test_a_run_is_ended_from_another_thread_and_the_session_lives_on(provider: Provider) -> None:
    session = open_session(graph(steps=200, size=1024), 'turn.onnx', backend(provider))
    feeds = {'before': np.ones((1024, 1024), np.float32)}
    started = time.monotonic()
    threading.Timer(0.2, session.interrupt).start()
    with pytest.raises(InterruptedRunError):
        session.run(feeds)
    # A run that came to its end would not raise; the bound is for a busy machine.
    assert 0.2 <= time.monotonic() - started < 20
    with pytest.raises(InterruptedRunError):
        session.run(feeds)
    session.resume()
    assert np.isfinite(session.run({'before': np.ones((1, 1024), np.float32)})[0]).all()


@pytest.mark.parametrize('provider', HERE)
def test_a_failing_run_and_a_broken_graph_are_reported_as_what_they_are(provider: Provider) -> None:
    session = open_session(graph(), 'turn.onnx', backend(provider))
    with pytest.raises(RunError):
        session.run({'before': np.ones((1, 5), np.float32)})
    with pytest.raises(ProviderError, match=r'"turn\.onnx" does not load .* Cure: '):
        open_session(graph()[:-40], 'turn.onnx', backend(provider))


def test_weights_beside_the_graph_are_taken_from_memory() -> None:
    model = onnx.load_from_string(graph())
    tensor = model.graph.initializer[0]
    weights = tensor.raw_data
    tensor.ClearField('raw_data')
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (('location', 'weights.bin'), ('offset', '0'), ('length', str(len(weights)))):
        tensor.external_data.add(key=key, value=value)
    session = open_session(model.SerializeToString(), 'turn.onnx', backend('cpu'),
                           external={'weights.bin': weights})
    before = np.eye(4, dtype=np.float32)
    np.testing.assert_allclose(session.run({'before': before})[0], turned(before), atol=1e-5)
    if 'openvino' in HERE:
        with pytest.raises(ProviderError, match='choose provider cpu'):
            open_session(model.SerializeToString(), 'turn.onnx', backend('openvino'),
                         external={'weights.bin': weights})


@pytest.mark.parametrize('provider', [p for p in ('cuda', 'tensorrt', 'openvino')
                                      if p not in available()])
def test_a_provider_that_is_not_installed_is_refused_with_what_to_install(
    tmp_path: Path, provider: Provider,
) -> None:
    with pytest.raises(ProviderError, match=r'not installed .*Cure: .*install '):
        choose(DIGEST, RuntimeSettings(provider, cache=tmp_path))


def test_a_precision_that_is_not_there_is_refused_rather_than_replaced(tmp_path: Path) -> None:
    lacking = [(provider, precision) for provider in HERE
               for precision in ('float16', 'bfloat16') if precision not in precisions(provider)]
    assert ('cpu', 'bfloat16') in lacking
    for provider, precision in lacking:
        with pytest.raises(ProviderError, match=f'does not compute in {precision}'):
            choose(DIGEST, RuntimeSettings(provider, precision, cache=tmp_path))


@pytest.mark.parametrize('settings', [{'provider': 'gpu'}, {'precision': 'int4'}, {'threads': -1}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ProviderError, match='Cure: choose '):
        RuntimeSettings(**settings)  # type: ignore[arg-type]


def test_auto_without_a_measurement_is_the_cpu_and_says_how_to_measure(tmp_path: Path) -> None:
    chosen = choose(DIGEST, RuntimeSettings(cache=tmp_path))
    assert (chosen.provider, chosen.precision, chosen.threads) == ('cpu', 'float32', 1)
    assert 'only one' in chosen.reason or '--prebuild' in chosen.reason


def measured(provider: Provider, plan_ms: float, **more: object) -> Measurement:
    return Measurement.model_validate(
        {'provider': provider, 'precision': 'float32', 'threads': 1, 'plan_ms': plan_ms, **more})


@needs_openvino
@pytest.mark.parametrize(('openvino_ms', 'expected'), [(5.0, 'openvino'), (20.0, 'cpu')])
def test_auto_follows_the_measurement(
    tmp_path: Path, openvino_ms: float, expected: Provider,
) -> None:
    write_measurements(tmp_path, DIGEST, [measured('cpu', 10.0), measured('openvino', openvino_ms)])
    chosen = choose(DIGEST, RuntimeSettings(cache=tmp_path))
    assert chosen.provider == expected
    assert 'fastest here' in chosen.reason
    facts = chosen.describe()
    assert facts['provider'] == expected
    assert facts['threads'] == '1'


@needs_openvino
def test_what_failed_the_golden_vectors_is_never_chosen(tmp_path: Path) -> None:
    write_measurements(tmp_path, DIGEST, [
        measured('cpu', 10.0), measured('openvino', 1.0, refused='golden vectors differ')])
    assert choose(DIGEST, RuntimeSettings(cache=tmp_path)).provider == 'cpu'


def test_threads_are_measured_when_they_are_left_open_and_kept_when_set(tmp_path: Path) -> None:
    write_measurements(tmp_path, DIGEST, [
        measured('cpu', 10.0), measured('cpu', 6.0, threads=2)])
    assert choose(DIGEST, RuntimeSettings('cpu', threads=0, cache=tmp_path)).threads == 2
    assert choose(DIGEST, RuntimeSettings('cpu', threads=1, cache=tmp_path)).threads == 1


def test_measurements_of_other_bundles_machines_and_versions_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_measurements(tmp_path, DIGEST, [measured('cpu', 10.0)])
    assert read_measurements(tmp_path, DIGEST) == (measured('cpu', 10.0),)
    assert not read_measurements(tmp_path, '1' * 64)
    newer = {**measurements.machine(), 'onnxruntime': '99.0'}
    with monkeypatch.context() as context:
        context.setattr(measurements, 'machine', lambda: newer)
        assert not read_measurements(tmp_path, DIGEST)


def test_a_fall_back_to_the_cpu_is_warned_of_with_what_has_changed_since_the_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = {**measurements.machine(), 'graphics cards': ''}
    here.pop('tensorrt', None)
    then = {**here, 'graphics cards': 'NVIDIA H200', 'tensorrt': '9.9'}
    long_ago = {**then, 'processor': 'PDP-11'}
    for machine, best in ((long_ago, 'cuda'), (then, 'tensorrt')):
        monkeypatch.setattr(measurements, 'machine', lambda machine=machine: machine)
        write_measurements(tmp_path, DIGEST, [measured('cpu', 10.0), measured(best, 1.0)])
    monkeypatch.setattr(measurements, 'machine', lambda: here)
    chosen = choose(DIGEST, RuntimeSettings(cache=tmp_path))
    assert chosen.provider == 'cpu'
    changes = 'graphics cards was NVIDIA H200 and is none; tensorrt was 9.9 and is none'
    assert changes in chosen.describe()['chosen']
    assert chosen.warning is not None
    text = str(chosen.warning)
    assert 'warning: provider: tensorrt float32 was measured to be the fastest' in text
    assert changes in text
    assert 'runs on cpu float32' in text
    assert 'wmros check --prebuild' in text
    write_measurements(tmp_path, DIGEST, [measured('cpu', 10.0)])
    assert choose(DIGEST, RuntimeSettings(cache=tmp_path)).warning is None


@pytest.mark.parametrize('newest', ['processor', 'usable cores'])
def test_of_the_outdated_measurements_that_fit_the_newest_of_the_nearest_counts(
    newest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = measurements.machine()

    def measured_elsewhere(time: int, way: Measurement, *changed: str) -> None:
        there = {**here, **dict.fromkeys(changed, 'another')}
        monkeypatch.setattr(measurements, 'machine', lambda: there)
        os.utime(write_measurements(tmp_path, DIGEST, [way]), (time, time))

    for changed in ('processor', 'usable cores'):
        measured_elsewhere(1 + (changed == newest), measured('cuda', 1.0), changed)
    measured_elsewhere(3, measured('cuda', 1.0, refused='differs'), 'graphics cards')
    measured_elsewhere(4, measured('cuda', 1.0), 'processor', 'usable cores')
    monkeypatch.setattr(measurements, 'machine', lambda: here)
    warning = choose(DIGEST, RuntimeSettings(cache=tmp_path)).warning
    assert warning is not None
    assert f'as {newest} was another and is {here[newest]}' in warning.problem


@pytest.mark.parametrize(('threads', 'is_warned'), [(0, True), (1, False)])
def test_a_change_after_which_the_same_is_chosen_is_not_warned_of(
    threads: int, is_warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = {**measurements.machine(), 'usable cores': '64'}
    with monkeypatch.context() as context:
        context.setattr(measurements, 'machine', lambda: more)
        write_measurements(tmp_path, DIGEST, [
            measured('cpu', 10.0), measured('cpu', 6.0, threads=2)])
    chosen = choose(DIGEST, RuntimeSettings('cpu', threads=threads, cache=tmp_path))
    assert chosen.threads == 1
    assert (chosen.warning is not None) == is_warned


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=80) | st.text(max_size=80).map(str.encode) | st.lists(
    st.fixed_dictionaries({}, optional={
        'provider': st.sampled_from(['cpu', 'gpu']), 'precision': st.just('float32'),
        'threads': st.integers(), 'plan_ms': st.floats() | st.text(max_size=3),
        'clamp': st.booleans()}), max_size=2).map(lambda found: json.dumps(found).encode()))
def test_a_file_of_measurements_is_sound_or_counts_as_none(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        write_measurements(cache, DIGEST, [measured('cpu', 10.0)]).write_bytes(content)
        for one in read_measurements(cache, DIGEST):
            assert one.threads > 0
            assert one.plan_ms >= 0
        chosen = choose(DIGEST, RuntimeSettings(threads=0, cache=cache))
    assert (chosen.provider, chosen.precision) == ('cpu', 'float32')


@needs_openvino
def test_compiled_engines_are_kept_where_nobody_else_may_write(tmp_path: Path) -> None:
    engines = tmp_path / 'cache' / 'engines'
    open_session(graph(), 'turn.onnx', backend('openvino', engines))
    assert list(engines.glob('*.blob'))
    assert engines.stat().st_mode & 0o077 == 0
    (tmp_path / 'file').touch()
    with pytest.raises(ProviderError, match='a folder that this user may write to'):
        open_session(graph(), 'turn.onnx', backend('openvino', tmp_path / 'file' / 'engines'))
    engines.chmod(0o777)
    with pytest.raises(ProviderError, match=r'others may write .*chmod 700'):
        open_session(graph(), 'turn.onnx', backend('openvino', engines))


def test_nvidia_s_providers_keep_float32_exact_and_their_engines_in_the_cache(
    tmp_path: Path,
) -> None:
    assert provider_options(backend('cuda'))['use_tf32'] == '0'
    options = provider_options(backend('tensorrt', tmp_path))
    assert options['trt_fp16_enable'] == options['trt_bf16_enable'] == '0'
    assert options['trt_engine_cache_enable'] == '1'
    assert options['trt_engine_cache_path'] == str(tmp_path)
    half = Backend('tensorrt', 'float16', 1, 'as set', None)
    assert provider_options(half) == {'trt_fp16_enable': '1', 'trt_bf16_enable': '0'}


def test_a_long_build_says_that_it_goes_on() -> None:
    heard = threading.Event()
    said: list[str] = []

    def progress(words: str) -> None:
        said.append(words)
        heard.set()

    with announcing(progress, 'building rollout.onnx for tensorrt', every=0.02):
        assert heard.wait(10)
    assert said[0].startswith('building rollout.onnx for tensorrt: 0 s so far')
    assert 'took' in said[-1]
