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
"""A graph, opened on one backend: ONNX Runtime's CPU, CUDA or TensorRT provider, or OpenVINO.

A graph is opened on exactly what was asked for, or refused with what to install: ONNX Runtime alone
would fall back to the CPU with a warning, and a robot would be ten times slower for no visible
reason. Whichever runtime it is, a run can be ended from another thread.

OpenVINO stands beside ONNX Runtime, in the `openvino` package: `onnxruntime-openvino` replaces the
`onnxruntime` import and lags behind it, and the plug-in `onnxruntime-ep-openvino` knows Intel's
processors only.
"""

from __future__ import annotations

import _thread
import contextlib
import importlib
import io
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnxruntime import OrtValue

from world_model_ros.findings import Finding

Provider = Literal['tensorrt', 'cuda', 'openvino', 'cpu']
Precision = Literal['float32', 'float16', 'bfloat16']
Progress = Callable[[str], None]

ORT_NAMES = {'tensorrt': 'TensorrtExecutionProvider', 'cuda': 'CUDAExecutionProvider',
              'cpu': 'CPUExecutionProvider'}
INSTALL = {
    'tensorrt': "install onnxruntime-gpu in place of onnxruntime, and NVIDIA's TensorRT and CUDA "
                'libraries (pip install "onnxruntime-gpu[cuda,cudnn]" "tensorrt-cu13<11")',
    'cuda': "install onnxruntime-gpu in place of onnxruntime, and NVIDIA's CUDA and cuDNN "
            'libraries (pip install "onnxruntime-gpu[cuda,cudnn]")',
    'openvino': 'pip install openvino',
}
_REPORT_EVERY = 5.0  # s between two words of progress


class ProviderError(RuntimeError):
    """A provider that is not here or does not take a graph; `cure` says what to do."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(f'{problem}. Cure: {cure}.')
        self.problem = problem
        self.cure = cure


class RunError(RuntimeError):
    """A graph that failed while it ran."""


class InterruptedRunError(RunError):
    """A run that `Session.interrupt` ended."""


class Tensor(NamedTuple):
    """An input or output of a graph; a dimension that is no int is dynamic."""

    name: str
    dtype: str  # as NumPy names it, where NumPy has it
    shape: tuple[int | str | None, ...]


class Session(Protocol):
    """A graph, opened. Several threads may run it at once."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    on_device: bool
    """Whether tensors live in another memory than NumPy's: then `run_bound` saves copies."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Outputs, in the graph's order; raises RunError."""

    def run_bound(self, feeds: Mapping[str, NDArray[Any] | OrtValue]) -> dict[str, OrtValue]:
        """Outputs by name, left where the session computes; `.numpy()` fetches one."""

    def interrupt(self) -> None:
        """Make all calls, running or to come, raise InterruptedRunError until `resume`."""

    def resume(self) -> None:
        """Take calls again after `interrupt`."""


@dataclass(frozen=True)
class Backend:
    """What the graphs of one bundle run on, and why."""

    provider: Provider
    precision: Precision
    threads: int
    reason: str
    engines: Path | None  # folder of compiled engines; None: nowhere to keep them
    warning: Finding | None = None  # where it was chosen for want of something better

    def describe(self) -> dict[str, str]:
        """Facts for logs and diagnostics."""
        facts = {'provider': self.provider, 'precision': self.precision,
                 'threads': str(self.threads), 'chosen': self.reason,
                 'onnxruntime': str(onnxruntime.__version__)}
        if self.provider in ('tensorrt', 'openvino'):
            facts['engine cache'] = str(self.engines or 'none')
        return facts


def open_session(
    graph: bytes, name: str, backend: Backend, *, external: Mapping[str, bytes] | None = None,
    progress: Progress = lambda _: None,
) -> Session:
    """Open a serialised ONNX model on exactly this backend.

    `name` is what messages call it; `external` are the files of its external tensors, by the
    location that the graph names. A build that takes longer than a few seconds reports to
    `progress`, from another thread. Raises ProviderError.
    """
    with announcing(progress, f'building {name} for {backend.provider}'):
        if backend.provider == 'openvino':
            if external:
                raise ProviderError(f'"{name}" keeps tensors in other files, which OpenVINO would '
                                    "have to read past the bundle's digests",
                                    'choose provider cpu, or export it with all weights inside')
            return _OpenVino(graph, name, backend)
        return _OnnxRuntime(graph, name, backend, external or {})


@contextlib.contextmanager
def announcing(progress: Progress, what: str, every: float = _REPORT_EVERY) -> Iterator[None]:
    """While the block runs, tell every few seconds what is going on and for how long already."""
    done = threading.Event()
    started = time.monotonic()

    def elapsed() -> str:
        return f'{time.monotonic() - started:.0f} s'

    def tell() -> None:
        while not done.wait(every):
            progress(f'{what}: {elapsed()} so far')

    # Not threading.Thread: its start() waits for the new thread, and that for ever if the memory is
    # gone with which it was to begin.
    _thread.start_new_thread(tell, ())
    try:
        yield
    finally:
        done.set()
    if time.monotonic() - started >= every:
        progress(f'{what}: took {elapsed()}')


def session_options(threads: int) -> Any:
    """Options of an ONNX Runtime session that shares its cores with a controller."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads that spin take the core from the controller next door.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    return options


def provider_options(backend: Backend) -> dict[str, str]:
    """Options of ONNX Runtime's execution provider (onnxruntime.ai/docs/execution-providers)."""
    if backend.provider == 'cuda':
        # TensorFloat-32, on by default, keeps 10 bits of a float32 product. The exhaustive search
        # for convolutions would run again for every new batch size, in the middle of a plan.
        return {'use_tf32': '0', 'cudnn_conv_algo_search': 'HEURISTIC'}
    if backend.provider == 'tensorrt':
        options = {'trt_fp16_enable': str(int(backend.precision == 'float16')),
                   'trt_bf16_enable': str(int(backend.precision == 'bfloat16'))}
        if backend.engines:
            folder = str(backend.engines)
            options |= {'trt_engine_cache_enable': '1', 'trt_engine_cache_path': folder,
                        'trt_timing_cache_enable': '1', 'trt_timing_cache_path': folder}
        return options
    return {}


def openvino_core() -> Any:
    """OpenVINO, imported only now; raises ImportError."""
    return importlib.import_module('openvino').Core()


def _engine_folder(backend: Backend) -> Path | None:
    """Make the folder of compiled engines, which are code: nobody else may write there."""
    folder = backend.engines
    if folder is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise ProviderError(f'no engine cache can be kept ({error})',
                            'set the cache to a folder that this user may write to') from error
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise ProviderError(f'others may write to the engine cache {folder}',
                            'make it yours (chown) and close it to others (chmod 700)')
    return folder


def _text(error: Exception) -> str:
    return ' '.join(str(error).split())


class _Calls:
    """The calls that are running, each with what ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, Callable[[], None]] = {}
        self._interrupted = False

    @contextlib.contextmanager
    def call(self, end: Callable[[], None]) -> Iterator[None]:
        key = id(end)
        with self._lock:
            if self._interrupted:
                raise InterruptedRunError('interrupted')
            self._running[key] = end
        try:
            yield
        except Exception as error:  # the runtimes' exceptions share no base class
            if self._interrupted:
                raise InterruptedRunError('interrupted') from error
            raise RunError(_text(error)) from error
        finally:
            with self._lock:
                del self._running[key]

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            for end in self._running.values():
                end()

    def resume(self) -> None:
        self._interrupted = False


class _OnnxRuntime:
    """A graph in ONNX Runtime."""

    def __init__(
        self, graph: bytes, name: str, backend: Backend, external: Mapping[str, bytes],
    ) -> None:
        wanted = ORT_NAMES[backend.provider]
        if backend.provider == 'tensorrt':
            _engine_folder(backend)
        if backend.provider != 'cpu':
            _find_cuda()
        options = session_options(backend.threads)
        try:
            if external:
                options.add_external_initializers_from_files_in_memory(
                    list(external), list(external.values()), list(map(len, external.values())))
            self._session = _session(graph, options, _chain(backend))
        except Exception as error:  # the runtime's exceptions share no base class
            if backend.provider != 'cpu' and _opens_on_cpu(graph, options):
                raise ProviderError(f'{backend.provider} does not start ({_text(error)})',
                                    INSTALL[backend.provider]) from error
            raise ProviderError(
                f'"{name}" does not load in ONNX Runtime {onnxruntime.__version__} on '
                f'{backend.provider} ({_text(error)})',
                'export it for an older opset and without custom operators, or update onnxruntime'
            ) from error
        if self._session.get_providers()[0] != wanted:
            raise ProviderError(f'ONNX Runtime fell back from {backend.provider} to '
                                f'{self._session.get_providers()[0]}', INSTALL[backend.provider])
        self._session.disable_fallback()
        self._device = 'cpu' if backend.provider == 'cpu' else 'cuda'
        self.on_device = self._device != 'cpu'
        self._calls = _Calls()
        self.inputs = tuple(map(_ort_tensor, self._session.get_inputs()))
        self.outputs = tuple(map(_ort_tensor, self._session.get_outputs()))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        options = onnxruntime.RunOptions()
        with self._calls.call(lambda: setattr(options, 'terminate', True)):
            return list(self._session.run(None, dict(feeds), options))

    def run_bound(self, feeds: Mapping[str, NDArray[Any] | OrtValue]) -> dict[str, OrtValue]:
        options = onnxruntime.RunOptions()
        binding = self._session.io_binding()
        with self._calls.call(lambda: setattr(options, 'terminate', True)):
            for name, value in feeds.items():
                if isinstance(value, OrtValue):
                    binding.bind_ortvalue_input(name, value)
                else:
                    binding.bind_cpu_input(name, value)
            for tensor in self.outputs:
                binding.bind_output(tensor.name, self._device)
            self._session.run_with_iobinding(binding, options)
            values = binding.get_outputs()
        return {tensor.name: value for tensor, value in zip(self.outputs, values, strict=True)}

    def interrupt(self) -> None:
        self._calls.interrupt()

    def resume(self) -> None:
        self._calls.resume()


def _session(graph: bytes, options: Any, providers: list[Any]) -> Any:
    """Open a graph from a file that is in memory alone.

    From bytes, ONNX Runtime parses with Python's lock held: with 240 MB all threads stood for 1.1
    s on a busy machine, where they now stand for 0.1 to 0.3 s. It would keep the bytes, too.
    """
    with os.fdopen(os.memfd_create('graph'), 'wb') as file:
        file.write(graph)
        file.flush()
        return onnxruntime.InferenceSession(
            f'/proc/self/fd/{file.fileno()}', options, providers=providers, enable_fallback=0)


def _chain(backend: Backend) -> list[Any]:
    """Providers of one session: what the first one cannot take goes to the next."""
    after: dict[Provider, tuple[Provider, ...]] = {
        'tensorrt': ('tensorrt', 'cuda', 'cpu'), 'cuda': ('cuda', 'cpu'), 'cpu': ('cpu',)}
    return [(ORT_NAMES[provider], provider_options(replace(backend, provider=provider)))
            for provider in after[backend.provider]]


def _find_cuda() -> None:
    """Load NVIDIA's libraries where pip put them, which the dynamic linker does not know."""
    preload = getattr(onnxruntime, 'preload_dlls', None)  # since 1.21
    if preload is not None:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does not find
            preload()


def _opens_on_cpu(graph: bytes, options: Any) -> bool:
    """Whether it is the provider that fails, not the graph."""
    try:
        _session(graph, options, [ORT_NAMES['cpu']])
    except Exception:
        return False
    return True


def _ort_tensor(node: Any) -> Tensor:
    # "tensor(float)"; only the names that differ from NumPy's are listed.
    kind = str(node.type).removeprefix('tensor(').removesuffix(')')
    return Tensor(node.name, {'float': 'float32', 'double': 'float64'}.get(kind, kind),
                  tuple(node.shape))


class _OpenVino:
    """A graph in OpenVINO, on the CPU."""

    on_device = False

    def __init__(self, graph: bytes, name: str, backend: Backend) -> None:
        folder = _engine_folder(backend)
        core = openvino_core()
        options = {
            'INFERENCE_PRECISION_HINT': {'float32': 'f32', 'float16': 'f16', 'bfloat16': 'bf16'}[
                backend.precision],
            'INFERENCE_NUM_THREADS': backend.threads,
            'PERFORMANCE_HINT': 'LATENCY',
            'ENABLE_CPU_PINNING': False,  # the scheduler knows what else runs, OpenVINO does not
        }
        if folder:
            options['CACHE_DIR'] = str(folder)
        try:
            self._model = core.compile_model(core.read_model(io.BytesIO(graph)), 'CPU', options)
        except Exception as error:
            raise ProviderError(
                f'"{name}" does not load in OpenVINO ({_text(error)})',
                'choose provider cpu, or export it for an older opset') from error
        self._calls = _Calls()
        # A request holds the state of one call; there are as many as calls ran at once.
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.inputs = tuple(map(_openvino_tensor, self._model.inputs))
        self.outputs = tuple(map(_openvino_tensor, self._model.outputs))

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            request = self._idle.get_nowait()
        except queue.Empty:
            request = self._model.create_infer_request()
        contiguous = {name: np.ascontiguousarray(value) for name, value in feeds.items()}
        with self._calls.call(request.cancel):
            request.start_async(contiguous, share_inputs=True)
            request.wait()
            results = [np.array(request.get_output_tensor(index).data)
                       for index in range(len(self.outputs))]
        self._idle.put(request)
        return results

    def run_bound(self, feeds: Mapping[str, NDArray[Any] | OrtValue]) -> dict[str, OrtValue]:
        arrays = {name: value.numpy() if isinstance(value, OrtValue) else value
                  for name, value in feeds.items()}
        return {tensor.name: OrtValue.ortvalue_from_numpy(result)
                for tensor, result in zip(self.outputs, self.run(arrays), strict=True)}

    def interrupt(self) -> None:
        self._calls.interrupt()

    def resume(self) -> None:
        self._calls.resume()


def _openvino_tensor(port: Any) -> Tensor:
    return Tensor(port.get_any_name(), str(port.element_type.to_dtype()),
                  tuple(size.get_length() if size.is_static else None
                        for size in port.partial_shape))
