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
What every node process of this package does: join DDS, spin, report, and leave cleanly.

``ManagedNode`` is the lifecycle base class: transitions that raise are reported instead of
swallowed (rclpy #1673), and health goes to ``/diagnostics`` once a second in every state, as does
that it is being configured.
``run_node`` is the ``main`` of each executable.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from rcl_interfaces.msg import ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterException,
)
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS
from world_model_ros.bringup.endings import MISCONFIGURED
from world_model_ros.monitor import Health, Level
from world_model_ros.nodes.diagnostics import to_diagnostic_array

SIGNAL_LATENCY = 0.1  # s until a signal is noticed
# s from a signal to the end, come what may. A node that has threads stuck inside its model takes 3
# s, and ros2 launch kills 10 s after SIGINT, without a word where it was stuck.
LEAVE_WITHIN = 8.0
_INIT = 0.5  # s more for the first process of a container, which no alarm ends
# What deactivation leaves to the executor, such as results of actions: rounds, and s for each.
_LAST_ROUNDS, _LAST_ROUND = 5, 0.02
DIAGNOSTICS_PERIOD = 1.0  # s, the customary rate of /diagnostics
ERROR_SHOWN = 60.0  # s that an exception nobody expected is the headline there


class ManagedNode(LifecycleNode):
    """
    A lifecycle node that says what is wrong with it.

    Subclasses implement ``configure``, ``activate``, ``deactivate`` and ``cleanup``, each of which
    may raise: the transition then fails and the error is logged and shown in ``/diagnostics``.
    ``health`` returns what ``/diagnostics`` is to say.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.declare_parameter(
            'autostart', False,
            ParameterDescriptor(
                description='Configure and activate at start, without a lifecycle manager.',
                read_only=True))
        self._failure = ''
        self._callback_errors, self._callback_error = 0, ''  # how many, and the newest
        self._callback_failed = 0.0  # when that was [s, steady]
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Steady time: a paused simulation, or a clock that jumps, does not silence a node.
        self.create_timer(DIAGNOSTICS_PERIOD, self.publish_diagnostics,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))

    def configure(self) -> None:
        """Read parameters and acquire what is needed; raise if anything is wrong."""

    def activate(self) -> None:
        """Begin to publish."""

    def deactivate(self) -> None:
        """Stop publishing."""

    def cleanup(self) -> None:
        """Release what ``configure`` acquired."""

    def health(self) -> Sequence[Health]:
        """What ``/diagnostics`` says of this node, one entry per aspect."""
        return ()

    @property
    def lifecycle_state(self) -> int:
        """The state as a constant of ``lifecycle_msgs/State``."""
        return int(self._state_machine.current_state[0])

    @property
    def lifecycle_label(self) -> str:
        """The state as ``ros2 lifecycle get`` prints it: unconfigured, inactive, active."""
        return str(self._state_machine.current_state[1])

    def refuse_late_changes(self) -> None:
        """Refuse changes of parameters while configured, for all of them were read before."""
        def check(changed: list[Parameter[Any]]) -> SetParametersResult:
            ours = [parameter.name for parameter in changed if parameter.name != 'use_sim_time']
            if ours and self.lifecycle_label in ('inactive', 'active'):
                return SetParametersResult(successful=False, reason=(
                    f'{ours[0]} is read when the node is configured: clean it up first'))
            return SetParametersResult(successful=True)

        self.add_on_set_parameters_callback(check)

    def note_callback_error(self, error: Exception) -> None:
        """Count an exception that nobody expected; the newest one is shown."""
        when = datetime.now().astimezone().isoformat(sep=' ', timespec='seconds')
        self._callback_errors += 1
        self._callback_failed = monotonic()
        self._callback_error = f'{unexpected(error)} (at {when}); please report it'

    def publish_diagnostics(self) -> None:
        """Publish health now; also called once a second."""
        problem, values = self._failure, {
            'state': self.lifecycle_label, 'callback_errors': str(self._callback_errors)}
        if self._callback_errors:
            values['last_callback_error'] = self._callback_error
            if monotonic() - self._callback_failed < ERROR_SHOWN:
                problem = problem or self._callback_error
        lifecycle = Health(
            'lifecycle', Level.ERROR if problem else Level.OK, problem or self.lifecycle_label,
            values)
        self._report_health(lifecycle, *self.health())

    def _report_health(self, *reports: Health) -> None:
        self._diagnostics.publish(
            to_diagnostic_array(self.get_clock().now().to_msg(), self, reports))

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        with self._telling_of_configure():
            return self._attempt('configure', self.configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        outcome = self._attempt('activate', self.activate)
        if outcome is TransitionCallbackReturn.SUCCESS:
            outcome = super().on_activate(state)
        return outcome

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        outcome = self._attempt('deactivate', self.deactivate)
        if outcome is TransitionCallbackReturn.SUCCESS:
            outcome = super().on_deactivate(state)
        return outcome

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._attempt('clean up', self.cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        if state.state_id == State.PRIMARY_STATE_ACTIVE:
            self._attempt('deactivate', self.deactivate)
        if state.state_id in (State.PRIMARY_STATE_ACTIVE, State.PRIMARY_STATE_INACTIVE):
            return self._attempt('clean up', self.cleanup)
        return TransitionCallbackReturn.SUCCESS

    @contextmanager
    def _telling_of_configure(self) -> Iterator[None]:
        """Publish once a second that it goes on: engines take minutes, and no timer runs then."""
        began, over = monotonic(), threading.Event()

        def tell() -> None:
            while not over.wait(DIAGNOSTICS_PERIOD):
                self._report_health(Health(
                    'lifecycle', Level.OK, f'configuring for {monotonic() - began:.0f} s',
                    {'state': 'configuring'}))

        teller = threading.Thread(target=tell, name='configuring')
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()

    def _attempt(self, verb: str, transition: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            transition()
        except Exception as error:  # the border: rclpy would swallow it
            self._failure = f'could not {verb}: {error}'
            self.get_logger().error(self._failure)
            return TransitionCallbackReturn.FAILURE
        self._failure = ''
        return TransitionCallbackReturn.SUCCESS


def run_node(make_node: Callable[[], Node], args: list[str] | None = None) -> int:
    """
    Run one node until SIGINT, SIGTERM or SIGHUP; the exit code is 0 after any of them.

    It is ``MISCONFIGURED`` if the node does not begin because a parameter has a wrong value.

    Signals only end the loop, so that the node can walk down its lifecycle while it is still on the
    graph (the controller's last command is a standstill, a client of an action gets its result).
    What is stuck on its way out, in a callback or in the middleware, ends by SIGALRM, with the
    stacks of its threads on stderr: whoever started it can tell that from a death.
    """
    os.environ.setdefault(TRANSPORTS, FAST_DDS_TRANSPORTS)
    stop = threading.Event()
    _on_signals(stop)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        try:
            node = make_node()
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            get_logger('parameters').fatal(_correction(error))
            return MISCONFIGURED
        if isinstance(node, ManagedNode) and node.get_parameter('autostart').value:
            _autostart(node)
        executor = make_executor()
        executor.add_node(node)
        while not stop.is_set():
            # rclpy 9.1's EventsExecutor.spin() waits with a deadline that overflows: it keeps a
            # core busy and its queue locked. A finite wait is not affected.
            _spin_once(node, executor, SIGNAL_LATENCY)
        if isinstance(node, ManagedNode):
            _walk_down(node, executor)
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.try_shutdown()
    if any(thread.daemon for thread in threading.enumerate()):
        # A thread that is stuck inside a model would crash the interpreter on its way out.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _correction(error: ParameterException) -> str:
    """What to do about a parameter that no node can have."""
    problem, _, _ = str(error).rpartition(': ')  # rclpy says the name twice
    return (f'{problem}. Correct it where this node is given its parameters (a DOUBLE has a point, '
            'such as 100.0) and start it again')


def _on_signals(stop: threading.Event) -> None:
    """Let signals set an event, and limit how long the process lives from then on."""
    # Handlers in Python run between two steps of the main thread: one that is stuck never hears.
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    ends = [signal.SIGINT, signal.SIGTERM]
    # A terminal or an SSH session that goes away. A node that nohup starts is meant to stay.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        ends.append(signal.SIGHUP)
    for number in ends:
        signal.signal(number, lambda *_: None)
    # Says where the threads are stuck, and then ends the process: endings.STUCK.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)

    def wait() -> None:
        os.read(read, 1)
        # Neither needs the interpreter, which may be what is stuck.
        signal.setitimer(signal.ITIMER_REAL, LEAVE_WITHIN)
        faulthandler.dump_traceback_later(LEAVE_WITHIN + _INIT, exit=True)
        stop.set()

    threading.Thread(target=wait, name='signals', daemon=True).start()


def _spin_once(node: Node, executor: Executor, timeout: float) -> None:
    try:
        executor.spin_once(timeout_sec=timeout)
    except Exception as error:  # the border: one bad callback must not end the process
        _report(node, error)


def _walk_down(node: ManagedNode, executor: Executor) -> None:
    """Bring the node to the end of its lifecycle from wherever a person has led it."""
    if node.lifecycle_state == State.PRIMARY_STATE_ACTIVE:
        node.trigger_deactivate()
        for _ in range(_LAST_ROUNDS):
            _spin_once(node, executor, _LAST_ROUND)
    # From any other state, such as finalized, there is no way on: rclpy would raise.
    if node.lifecycle_state in (
            State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE,
            State.PRIMARY_STATE_ACTIVE):
        node.trigger_shutdown()


def unexpected(error: Exception) -> str:
    """Return what a person is told of an exception that nobody expected."""
    return f'unexpected {type(error).__name__} in a callback: {error}'


def _report(node: Node, error: Exception) -> None:
    node.get_logger().error(
        f'{unexpected(error)}\n{traceback.format_exc()}', throttle_duration_sec=2.0)
    if isinstance(node, ManagedNode):
        node.note_callback_error(error)


def _autostart(node: ManagedNode) -> None:
    for trigger in (node.trigger_configure, node.trigger_activate):
        if trigger() is not TransitionCallbackReturn.SUCCESS:
            return  # logged by the transition; the node stays up and its diagnostics say why


def make_executor() -> Executor:
    """Return the event-driven executor where rclpy has one: it halves the latency of images."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:  # the first releases of Jazzy
        return SingleThreadedExecutor()
    return EventsExecutor()
