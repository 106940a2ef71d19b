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

"""
The ``~/load_model`` service: another model without a restart.

A thread of its own loads, checks and warms the bundle while everything else goes on, with less
priority than what drives the robot: loading is all computing, and took half of the planner's time
where processors are few. A priority that was given up cannot be taken back, so each load has a new
thread. Where memory is short that may never begin, so nobody else waits for it than the thread that
starts it, which is there from the start.

The callback is a coroutine that naps: rclpy asks a coroutine that waits for something again and
again at full speed, and one that blocks would hold up the executor, and with it the heartbeat.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from world_model_interfaces.srv import LoadModel
from world_model_ros import payload
from world_model_ros.nodes.heap import give_memory_back
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.newest import Newest
from world_model_ros.nodes.robot_state import OCCASIONS

_NAP = 0.002  # s that the executor is held up at a time
_PATIENCE = 0.5  # s that a load may take to end with the node
_TAKE_OVER = 2.0  # s to wait for the first observation that the new model encodes
_BEGIN = 5.0  # s to wait for a thread to begin
_NICE = 10  # a tenth of a processor where others of this process want it, too


class ModelHost(Protocol):
    """The node that models run in; called from the executor's thread but for ``load``."""

    def load(self, path: Path, shadow: bool) -> LoadedModel:
        """
        Load, check and warm, perhaps as a shadow; raises with the reason.

        Called in a thread of its own.
        """

    def swap(self, model: LoadedModel) -> Callable[[], bool]:
        """Run another model from the next picture on; returns what tells whether it does."""

    def set_shadow(self, model: LoadedModel | None) -> None:
        """Let a model run beside the active one, or none; raises with the reason."""

    def refusal(self) -> str:
        """Why no model can be taken now; empty if one can."""


class LoadModelServer:
    """Serves one request at a time, in every lifecycle state."""

    def __init__(self, node: Node, host: ModelHost) -> None:
        self._host, self._logger = host, node.get_logger()
        self._job: _Job | None = None
        self._work: Newest[Callable[[], None]] = Newest()
        # A daemon: a load that takes minutes does not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name='load_model', daemon=True)
        self._thread.start()
        # A group of its own: an executor that keeps to the groups (SingleThreadedExecutor, where
        # there is no EventsExecutor) would hold up everything else of the node's group, from the
        # first nap of the coroutine to its end. Reentrant, so that a second request is told.
        self._service = node.create_service(
            LoadModel, '~/load_model', self._serve, callback_group=ReentrantCallbackGroup())

    def close(self) -> None:
        """Take no more requests; a load that is going on is left behind."""
        self._work.close()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while (work := self._work.take()) is not None:
            work()

    async def _serve(
        self, request: LoadModel.Request, response: LoadModel.Response,
    ) -> LoadModel.Response:
        if self._job is not None:
            response.message = f'still busy with {self._job.path}: ask again when it is done'
            return response
        try:
            await self._fulfil(request, response)
            response.success = True
            self._logger.info(response.message)
        except MemoryError:
            response.message = ('not enough memory to load it beside the model that runs: free '
                                'some, or restart the node with it')
            self._logger.error(f'load_model refused: {response.message}')
        except Exception as error:  # the border: whatever is wrong with a bundle is the answer
            response.message = f'{error}'
            self._logger.error(f'load_model refused: {error}')
        finally:
            self._job = None
            self._work.put(give_memory_back)
        return response

    async def _fulfil(self, request: LoadModel.Request, response: LoadModel.Response) -> None:
        if reason := self._host.refusal():
            raise ValueError(reason)
        if request.shadow and not request.bundle:
            self._host.set_shadow(None)
            response.message = 'no shadow runs'
            return
        job = self._job = _Job(_path(request.bundle), request.shadow, self._host)
        self._work.put(job.start)
        while not job.ended.wait(_NAP):
            await _Turn()
        model = job.result()
        try:
            if reason := self._host.refusal():
                raise ValueError(f'{reason}; {model} was loaded, but is not used')
            if request.shadow:
                self._host.set_shadow(model)
        except ValueError:
            model.close()
            raise
        response.name, response.version = model.name, model.manifest.model.version
        response.digest = model.digest
        if request.shadow:
            response.message = f'{model} runs as a shadow: compare ~/surprise and ~/shadow/surprise'
            return
        runs = self._host.swap(model)
        deadline = monotonic() + _TAKE_OVER
        while not runs() and monotonic() < deadline:
            sleep(_NAP)
            await _Turn()
        occasion, _ = OCCASIONS[model.occasion]
        response.message = (f'{model} runs' if runs() else
                            f'{model} is ready and takes over with the next usable {occasion}')


class _Job:
    """Loads one bundle."""

    def __init__(self, path: Path, shadow: bool, host: ModelHost) -> None:
        self.path, self._shadow, self._host = path, shadow, host
        self.ended, self._began = threading.Event(), threading.Event()
        self._model: LoadedModel | None = None
        self._error: Exception | None = None

    def start(self) -> None:
        """Load in a new thread and wait for it; called in the loader's thread."""
        try:
            # Not threading.Thread, whose start waits for ever for a thread that cannot begin.
            _thread.start_new_thread(self._run, ())
            if not self._began.wait(_BEGIN):
                raise MemoryError
        except (RuntimeError, MemoryError) as error:
            self._error = MemoryError(str(error))
            self.ended.set()
        self.ended.wait()

    def _run(self) -> None:
        self._began.set()
        try:
            self._model = self._host.load(self.path, self._shadow)
        except Exception as error:  # raised again by `result`, in the executor's thread
            # Without the frames that it came through: they hold on to what was loaded.
            self._error = error.with_traceback(None)
        finally:
            self.ended.set()

    def result(self) -> LoadedModel:
        """Return the model, or raise why there is none."""
        if self._error is not None:
            raise self._error
        assert self._model is not None
        return self._model


class _Turn:
    """Awaited, it lets the executor do what else there is to do."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def give_way() -> None:
    """
    Let the kernel prefer the process's other threads to the calling one, from now on.

    Only Linux has priorities of threads; elsewhere nothing happens.
    """
    if sys.platform == 'linux':
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _path(text: str) -> Path:
    if not text:
        raise ValueError('bundle is empty: give the folder of a bundle')
    if len(text) > payload.TEXT_LENGTH or '\0' in text:
        raise ValueError('bundle is no path: give the folder of a bundle')
    return Path(text)
