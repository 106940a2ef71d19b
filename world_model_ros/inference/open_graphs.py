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
"""The opened graphs of a bundle, with calls that another thread can end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import OrtValue  # type: ignore[import-untyped]

from world_model_ros.bundle import Bundle, BundleError, Fault
from world_model_ros.inference.errors import InferenceError
from world_model_ros.inference.interface import compare, describe, expected_tensors
from world_model_ros.inference.sessions import (
    Backend,
    InterruptedRunError,
    Progress,
    ProviderError,
    RunError,
    Session,
    open_session,
)

Float = NDArray[np.float32]


class OpenGraphs:
    """Every graph of a bundle on one backend; raises BundleError where one is not as described."""

    def __init__(self, bundle: Bundle, backend: Backend, progress: Progress) -> None:
        """Open them all: a graph's bytes are dropped before the next one is read."""
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()
        self._calls = 0
        self._interrupted = self._closed = False
        for name, (inputs, outputs) in expected_tensors(bundle.manifest).items():
            content = bundle.read_graph(name)
            try:
                session = open_session(content.model, name, backend, external=content.external,
                                       progress=progress)
            except ProviderError as error:
                fault = Fault(f'graphs.{name}.file', error.problem, error.cure)
                raise BundleError(bundle.path, [fault]) from error
            del content
            faults = compare(name, {'input': session.inputs, 'output': session.outputs},
                             {'input': inputs, 'output': outputs})
            if faults:
                raise BundleError(bundle.path, faults)
            self._sessions[name] = session

    def __contains__(self, name: str) -> bool:
        """Whether the bundle has a graph of this name."""
        return name in self._sessions

    def on_device(self, name: str) -> bool:
        """Whether a graph's tensors live in another memory, where a loop should leave them."""
        return self._sessions[name].on_device

    def run(self, name: str, feeds: Mapping[str, NDArray[Any]]) -> dict[str, Float]:
        """Outputs of a graph by name; raises InferenceError."""
        session = self._sessions[name]
        with _translated(name):
            results = session.run({key: np.ascontiguousarray(value)
                                   for key, value in feeds.items()})
        return {tensor.name: value
                for tensor, value in zip(session.outputs, results, strict=True)}

    def run_bound(
        self, name: str, feeds: Mapping[str, NDArray[Any] | OrtValue],
    ) -> dict[str, OrtValue]:
        """As `run`, but outputs stay where they were computed and may be fed again."""
        with _translated(name):
            return self._sessions[name].run_bound({
                key: np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value
                for key, value in feeds.items()})

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """Around everything that runs graphs: what `interrupt` ends as a whole."""
        with self._lock:
            if self._closed:
                raise InferenceError('the model is closed')
            if self._interrupted:
                if self._calls:
                    raise InferenceError('interrupted: an earlier call is still ending')
                self._interrupted = False
                for session in self._sessions.values():
                    session.resume()
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                if self._closed and not self._calls:
                    self._sessions.clear()

    def interrupt(self) -> None:
        """End the calls that are running; those that begin after them are not affected."""
        with self._lock:
            if self._calls:
                self._interrupted = True
                for session in self._sessions.values():
                    session.interrupt()

    def close(self) -> None:
        """End the calls that are running and let go of the graphs' memory."""
        self.interrupt()
        with self._lock:
            self._closed = True
            if not self._calls:
                self._sessions.clear()

    def describe(self) -> list[str]:
        """One line for each graph: its name, inputs and outputs with types and shapes."""
        return [f'{name}: {describe(session.inputs)} -> {describe(session.outputs)}'
                for name, session in self._sessions.items()]


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except InterruptedRunError as error:
        raise InferenceError('interrupted') from error
    except RunError as error:
        raise InferenceError(f'the {name} failed: {error}') from error
