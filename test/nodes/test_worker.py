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

import threading
from collections.abc import Callable
from time import monotonic, sleep

import pytest

from world_model_ros.monitor import WorkerWatch
from world_model_ros.nodes.worker import Worker, stop_all


class Waiting:
    """A thread-safe list that a test waits for."""

    def __init__(self) -> None:
        self.items: list[object] = []
        self._changed = threading.Condition()

    def append(self, item: object) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.items) >= count, 5.0), self.items


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + 5
    while not condition():
        assert monotonic() < deadline
        sleep(0.001)


def test_what_a_worker_did_not_expect_is_reported_and_the_next_item_is_taken() -> None:
    done, told = Waiting(), Waiting()
    watch = WorkerWatch('observe')

    def work(item: int) -> None:
        if item == 1:
            raise KeyError('no such thing')
        watch.succeeded()
        done.append(item)

    worker: Worker[int] = Worker(watch, work, told.append)
    worker.start()
    worker.box.put(1)
    told.wait_for(1)
    assert 'Traceback' in str(told.items[0]) and 'no such thing' in str(told.items[0])
    assert watch.failures == 1
    assert 'unexpected KeyError in observe' in watch.trouble(1.0)
    worker.box.put(2)
    done.wait_for(1)
    assert done.items == [2] and not watch.trouble(1.0)
    assert not stop_all([(worker, lambda: None)])


def test_a_worker_inside_a_model_is_interrupted_to_stop_it() -> None:
    inside, interrupted = threading.Event(), threading.Event()

    def work(_: int) -> None:
        inside.set()
        assert interrupted.wait(10)

    worker: Worker[int] = Worker(WorkerWatch('plan'), work, lambda text: None)
    worker.start()
    worker.box.put(1)
    assert inside.wait(5)
    assert not stop_all([(worker, interrupted.set)])


def test_a_worker_that_never_comes_back_is_left_behind_and_not_started_again() -> None:
    inside, released = threading.Event(), threading.Event()

    def work(_: int) -> None:
        inside.set()
        released.wait(30)

    worker: Worker[int] = Worker(WorkerWatch('plan'), work, lambda text: None)
    worker.start()
    worker.box.put(1)
    assert inside.wait(5)
    assert stop_all([(worker, lambda: None)]) == ['plan']
    with pytest.raises(RuntimeError, match='restart the node'):
        worker.start()
    released.set()
    assert not stop_all([(worker, lambda: None)])
    worker.start()
    assert not stop_all([(worker, lambda: None)])


def test_one_traceback_tells_of_many_exceptions_of_one_type() -> None:
    told, watch = Waiting(), WorkerWatch('plan')
    done = threading.Semaphore(0)

    def work(item: type[Exception]) -> None:
        done.release()
        raise item

    worker: Worker[type[Exception]] = Worker(watch, work, told.append)
    worker.start()
    for number, kind in enumerate([KeyError, KeyError, ValueError, KeyError, ValueError]):
        worker.box.put(kind)
        assert done.acquire(timeout=5)
        wait_until(lambda number=number: watch.failures == number + 1)
    assert not stop_all([(worker, lambda: None)])
    assert ['KeyError' in str(text) for text in told.items] == [True, False]


def test_a_released_worker_can_be_started_at_once() -> None:
    worker: Worker[int] = Worker(WorkerWatch('plan'), lambda item: None, lambda text: None)
    for _ in range(20):
        worker.start()
        worker.release()
    assert not stop_all([(worker, lambda: None)])


def test_threads_that_never_come_back_are_given_up_together() -> None:
    released, inside = threading.Event(), threading.Semaphore(0)

    def work(_: int) -> None:
        inside.release()
        released.wait(30)

    names = ['plan', 'observe', 'surprise', 'shadow']
    workers: list[Worker[int]] = [
        Worker(WorkerWatch(name), work, lambda text: None) for name in names]
    for worker in workers:
        worker.start()
        worker.box.put(1)
        assert inside.acquire(timeout=5)
    started = monotonic()
    assert stop_all((worker, lambda: None) for worker in workers) == names
    assert monotonic() - started < 5.0, 'a process that ends has 8 s for everything'
    released.set()
    assert not stop_all((worker, lambda: None) for worker in workers)
