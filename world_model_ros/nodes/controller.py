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

"""The node between plans and motors: proposals pass ``control/``, every tick sends a setpoint.

It lives in a process of its own, so that it outlives the model, and never waits: all callbacks are
short and run in one thread, and none of them can end the process. What arrives is only stored; each
tick reads a limited part of it before it computes its setpoint, so that no flood delays the ticks.
The decisions are made in ``world_model_ros.control``; here messages become arguments and setpoints
become messages.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from sensor_msgs.msg import JointState

from world_model_interfaces.msg import ActionProposal, ControllerState, Heartbeat, ModelInfo
from world_model_interfaces.srv import Reset, Stop
from world_model_ros.control import EmergencyStop, SafetyController, Setpoint
from world_model_ros.control.drive import UNTOLD
from world_model_ros.monitor import Health, Level
from world_model_ros.nodes import commands, controller_parameters
from world_model_ros.nodes.border import BorderError
from world_model_ros.nodes.controller_diagnostics import ControllerMonitor, Wiring, braking_problem
from world_model_ros.nodes.controller_messages import to_contract, to_proposal, to_state
from world_model_ros.nodes.controller_rivals import Rivals
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.emergency_record import StopRecord, stop_file_of
from world_model_ros.nodes.inbox import Inbox
from world_model_ros.nodes.process import ManagedNode, run_node, unexpected
from world_model_ros.nodes.qos import HEARTBEAT, JOINTS, LATCHED, PROPOSALS, SETPOINT
from world_model_ros.nodes.realtime import run_first, settle_memory
from world_model_ros.payload import TEXT_LENGTH, shorten

_LOG_PERIOD = 2.0  # s between log lines about the same thing
_READ_RATE = 2000  # messages of a topic per second, in at most a fifth of the time
_READ_LEAST = 20  # messages of a topic per tick
_KEPT = 5  # ticks' worth of messages of a topic that wait to be read
_RECORD_PAUSE = 0.01  # s between ticks while a disk takes its time to store a stop
_SAME_MOMENT = 5_000_000  # ns that reading both clocks may take
_LOOK_PERIOD = 0.1  # s between looks at who else is on the topics
_DIAGNOSTICS_SPACING = 0.1  # s: changes are reported at once, but not more often than this


class ControllerNode(ManagedNode):
    """Lifecycle node ``controller``; see the README for its topics, services and parameters."""

    def __init__(self) -> None:
        super().__init__('controller')
        controller_parameters.declare(self)
        self._emergency = EmergencyStop()
        self._record = StopRecord(stop_file_of(self))
        if (left := self._record.read()) is not None:
            self._emergency.stop(left.reason)
            for goal in left.goals:
                self._emergency.goals.pursue(goal)
            self.get_logger().error(f'stopped as before this process began: {left.reason}')
        self._control: SafetyController | None = None
        self._setpoint: Setpoint | None = None
        self._told = ('', '')
        self._silent = True  # whether an inactive controller has sent its last command
        self._active = False
        self._alone: tuple[int, int] | None = None  # ROS and steady time [ns], see _on_its_own
        self._ahead = 0  # ROS time [ns] that was reached so, until the clock is past it
        self._owned: list[Callable[[], object]] = []  # what cleanup destroys
        self._state_wanted = False
        self._report_wanted = False
        self._reported = 0.0
        # In every state of the lifecycle, from the first moment to the last.
        self.create_service(Stop, '~/stop', self._on_stop)
        self.create_service(Reset, '~/reset', self._on_reset)

    # Lifecycle

    def configure(self) -> None:
        """Read limits and parameters, and begin to listen; raise if they make no safe robot."""
        given = controller_parameters.read(self)
        robot, period = given.robot, given.settings.period
        control = SafetyController(
            robot.limits, given.settings, self._emergency, robot.joints, robot.frame)
        self._control, self._setpoint = control, None
        self._monitor = ControllerMonitor(period, run_first(given.priority))
        self._commands = commands.INTERFACES[robot.interface](self, control)
        self._looked = 0.0
        self._states = self.create_publisher(ControllerState, '~/state', SETPOINT)
        self._logged: dict[str, float] = {}
        self._dropped: dict[str, int] = {}
        self._kept = _KEPT * max(_READ_LEAST, math.ceil(_READ_RATE * period))
        self._read_at = time.monotonic()
        self._listen()
        self._rivals = Rivals(self, self._commands.publisher.topic_name, *(
            self._inboxes[topic][0].subscription.topic_name for topic in ('proposal', 'heartbeat')))
        # Steady time: neither a jump of the clock nor a paused simulation stops the ticks.
        timer = self.create_timer(
            period, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._owned += [
            partial(self.destroy_timer, timer),
            partial(self.destroy_publisher, self._commands.publisher),
            partial(self.destroy_publisher, self._states)]
        self.get_logger().info(
            f'drives {", ".join(robot.limits.names)} by {robot.interface}; at rest within '
            f'{control.bound:.2f} s of the last observation when proposals stop; scheduling '
            f'{self._monitor.scheduling}')
        if problem := braking_problem(robot.limits):
            self.get_logger().warning(problem)
        settle_memory()

    def _listen(self) -> None:
        kept = self._kept
        self._inboxes: dict[str, tuple[Inbox[Any], Callable[[Any], None]]] = {
            'model_info': (
                Inbox(self, ModelInfo, 'model_info', LATCHED, kept), self._on_model_info),
            'heartbeat': (self._hear_heartbeats(), self._on_heartbeat),
            'joint_states': (
                Inbox(self, JointState, 'joint_states', JOINTS, kept), self._on_joint_state),
            'proposal': (
                Inbox(self, ActionProposal, 'proposal', PROPOSALS, kept), self._on_proposal)}
        self._owned = [
            partial(self.destroy_subscription, inbox.subscription)
            for inbox, _ in self._inboxes.values()]

    def _hear_heartbeats(self) -> Inbox[Heartbeat]:
        inbox = partial(Inbox, self, Heartbeat, 'heartbeat', HEARTBEAT, self._kept)
        events = partial(
            SubscriptionEventCallbacks, incompatible_qos=lambda _: self._note_refusal(
                'heartbeat', 'a heartbeat is published without a deadline of 0.2 s or less, '
                'reliably, and so can not be heard: correct the quality of service of its '
                'publisher'))
        try:
            return inbox(events(deadline=lambda event: self._monitor.counts.add(
                'heartbeat_deadlines_missed', max(event.total_count_change, 0))))
        except UnsupportedEventTypeError:  # rmw_zenoh: silence shows all the same, by the clock
            return inbox(events())

    def activate(self) -> None:
        """Let proposals move the robot, from rest and from where it is."""
        self._trusted.enable(self._now())
        self._told = ('', '')
        self._silent = False
        self._active = True

    def deactivate(self) -> None:
        """Refuse proposals, come to rest and send the last command: then nothing moves it."""
        self._active = False
        self._trusted.disable()
        self._come_to_rest()

    def cleanup(self) -> None:
        """Let go of everything, at rest."""
        for destroy in self._owned:
            destroy()
        self._owned = []
        self._control, self._setpoint = None, None

    def _come_to_rest(self) -> None:
        """Brake and say so, without the timer: who deactivates it waits for that."""
        control = self._trusted
        # Twice and a bit: ticks on a busy machine come late. Then the last command has to do.
        deadline = time.monotonic() + 2.0 * control.limits.stopping_time() + 0.5
        with self._on_its_own():
            self._on_timer()
            while not control.standing and time.monotonic() < deadline:
                time.sleep(control.settings.period)
                self._on_timer()
            if not self._silent:
                self._silent = True
                self._commands.rest(self._now())
        commands.flush(self._commands.publisher)
        commands.flush(self._states)

    @contextmanager
    def _on_its_own(self) -> Iterator[None]:
        """Tick while the executor waits for that, and so hears nothing of a simulation's clock.

        The ROS clock then goes on as the steady one does: where it stood, a robot would not brake.
        """
        self._alone = self._now(), time.monotonic_ns()
        try:
            yield
        finally:
            self._alone = None

    # Services

    def _on_stop(self, request: Stop.Request, response: Stop.Response) -> Stop.Response:
        recorded = self._emergency.latched and not self._record.problem
        response.message = self._emergency.stop(request.reason)
        response.success = True
        if not recorded:
            with self._on_its_own():
                self._record.keep(self._emergency.reason, self._emergency.goals.pursued,
                                  self._on_timer, _RECORD_PAUSE)
            if self._record.problem:
                response.message += f', but {self._forgetful()}'
        self.get_logger().error(f'emergency stop ({response.message}): {self._emergency.reason}')
        self._show_emergency()
        return response

    def _on_reset(self, request: Reset.Request, response: Reset.Response) -> Reset.Response:
        reason = shorten(request.reason, TEXT_LENGTH)
        stopped, was = self._emergency.latched, self._emergency.reason
        problem = (
            self._control.reset(reason, self._now()) if self._control is not None
            else 'configure the controller first: it has to see the robot')
        response.success = not problem
        if problem:
            response.message = f'not reset: {problem}'
            self.get_logger().warning(response.message)
        elif not stopped:
            response.message = 'reset without a stop; the next plan is followed'
            self.get_logger().warning(f'{response.message}: {reason}')
        else:
            response.message = (
                'reset; the robot moves when a goal is set again, or after deactivation and '
                'activation')
            if left := self._record.delete():
                response.message += f'; after a restart it will be stopped again: {left}'
            self.get_logger().warning(f'emergency stop "{was}" is reset: {reason}')
        self._show_emergency()
        self._on_timer()  # a goal that is set at the answer meets a model that knows of it
        return response

    def _forgetful(self) -> str:
        return f'a restart of this process would forget it: {self._record.problem}'

    def _show_emergency(self) -> None:
        self._state_wanted = True
        self.publish_diagnostics()

    # Messages

    def _read(self) -> None:
        """Read what came since the last tick, in the order of its topics; no message ends this.

        All of it after a pause: how the robot moved at its beginning does not say whether it moves.
        """
        now = time.monotonic()
        most = max(_READ_LEAST, math.ceil(_READ_RATE * (now - self._read_at)))
        self._read_at = now
        for topic, (inbox, handle) in self._inboxes.items():
            dropped = inbox.dropped
            for _ in range(min(most, self._kept)):
                try:
                    message = inbox.take()
                    if message is None:
                        break
                    handle(message)
                except BorderError as error:
                    self._monitor.counts.add(f'{topic}_{error.reason}')
                    self._note_refusal(topic, str(error))
                except Exception as error:  # the border: one bad message must not end the process
                    self._report(error)
            if dropped > self._dropped.get(topic, 0):
                self._dropped[topic] = dropped
                self._note_refusal(
                    topic, f'{topic}: more messages come than can be read, {dropped} were dropped: '
                    f'see who floods it (ros2 topic info -v {topic})')

    def _report(self, error: Exception) -> None:
        self.note_callback_error(error)
        self._log_seldom('callback', unexpected(error))

    def _log_seldom(self, what: str, text: str, level: Level = Level.WARN) -> None:
        """Log ``text``, if nothing was logged about ``what`` in the last two seconds.

        rclpy's own throttle takes 0.4 ms to find out that it must not.
        """
        now = time.monotonic()
        if now - self._logged.get(what, -_LOG_PERIOD) >= _LOG_PERIOD:
            self._logged[what] = now
            # rclpy raises ValueError where one line of code logs with two severities.
            if level is Level.OK:
                self.get_logger().info(text)
            else:
                self.get_logger().warning(text)

    def _on_model_info(self, info: ModelInfo) -> None:
        model = shorten(f'{info.name} {info.version} ({info.digest[:12]})')
        problem = self._trusted.announce(to_contract(info))
        if problem:
            self._monitor.counts.add('model_info_refused')
            self._note_refusal('model_info', f'model {model} is refused: {problem}')
        else:
            self._log_seldom('model_info accepted', f'model {model} may propose', Level.OK)

    def _on_heartbeat(self, heartbeat: Heartbeat) -> None:
        self._monitor.heartbeats.tick(time.monotonic())
        problem = self._trusted.hear(
            heartbeat.model_digest, heartbeat.activity, heartbeat.text, self._now(),
            time.monotonic_ns())
        if problem:
            self._note_refusal('heartbeat', f'heartbeat refused: {problem}')

    def _on_joint_state(self, state: JointState) -> None:
        self._monitor.joint_states.tick(time.monotonic())
        problem = self._trusted.observe(
            to_nanoseconds(state.header.stamp), state.name, state.position, state.velocity,
            self._now())
        if problem:
            self._note_refusal('joint_states', f'joint state refused: {problem}')

    def _on_proposal(self, message: ActionProposal) -> None:
        self._monitor.proposals.tick(time.monotonic())
        if not self._active:
            return
        refusal = self._trusted.accept(to_proposal(message), self._now())
        if refusal is not None:
            self._note_refusal(
                'proposal', f'proposal "{shorten(message.plan_id)}" refused: {refusal.text}')

    def _note_refusal(self, topic: str, text: str) -> None:
        self._monitor.note_refusal(topic, text, time.monotonic())
        self._log_seldom(topic, text)

    # Ticks

    def _on_timer(self) -> None:
        control, before, began = self._control, self._setpoint, time.monotonic()
        if control is None:  # a service calls, or the timer's last event came after cleanup
            return
        setpoint, now = self._decide()
        if time.monotonic() - began > UNTOLD:
            # The process was stopped meanwhile: the robot is no longer where this is to begin.
            setpoint, now = self._decide()
            control.note_unsent()
        self._setpoint = setpoint
        try:
            self._publish(setpoint, now)
            self._monitor.tick(began)
            if control.breaks > self._monitor.counts['clock_breaks']:
                self._monitor.note_break(control.last_break, time.monotonic())
            if setpoint.plan_id and (before is None or before.plan_id != setpoint.plan_id):
                self._monitor.latency.add((now - setpoint.observation_stamp) / NANOSECONDS)
            if self._report_wanted and time.monotonic() - self._reported > _DIAGNOSTICS_SPACING:
                self._report_now()
        except Exception as error:  # what is said about a setpoint must not cost the next one
            self._report(error)

    def _decide(self) -> tuple[Setpoint, int]:
        """Return the setpoint by all that is known, and for when it is [ns]."""
        control, now = self._trusted, 0
        try:
            self._read()
            self._look_around()
            now, steady = self._moment()
            return control.step(now, steady), now
        except Exception as error:  # whatever it is, the robot must not go on with an old velocity
            self._report(error)
            return control.brake(f'{type(error).__name__}: {error}'), now or time.time_ns()

    def _look_around(self) -> None:
        """See who listens to the commands, and now and then who else sends some, or plans."""
        control, now = self._trusted, time.monotonic()
        control.note_listeners(self._commands.publisher.get_subscription_count())
        if now - self._looked >= _LOOK_PERIOD:
            self._looked = now
            control.note_rivals(
                self._rivals.proposing(self._monitor.heartbeats.hertz(now)),
                self._rivals.commanding())

    def _publish(self, setpoint: Setpoint, now: int) -> None:
        control, silent = self._trusted, self._silent
        if not silent:
            # At rest and inactive: these are the last messages.
            self._silent = not self._active and control.standing
            self._commands.send(setpoint, now)
            self._state_wanted = True
        if self._state_wanted:
            self._state_wanted = False
            self._states.publish(to_state(control, setpoint, now))
        if not silent:
            self._tell(setpoint)

    def _tell(self, setpoint: Setpoint) -> None:
        """Log and diagnose a change of rung or cause, once."""
        told = (setpoint.rung.name, setpoint.cause.code)
        if told == self._told:
            return
        self._told = told
        # A planner at the edge of late_after, or a flood of all kinds of refused proposals, would
        # fill the log with the same few changes.
        self._log_seldom(
            ' '.join(told), f'{setpoint.rung.name.lower()}: {setpoint.cause.text}',
            setpoint.cause.level)
        self._report_wanted = True

    # Diagnostics

    def publish_diagnostics(self) -> None:
        """Publish health, between two setpoints where there are any: it takes a millisecond."""
        self._report_wanted = True
        if self._control is None:
            self._report_now()

    def _report_now(self) -> None:
        self._report_wanted, self._reported = False, time.monotonic()
        super().publish_diagnostics()

    def health(self) -> Sequence[Health]:
        """Say why the robot does what it does, and how the streams that it needs are."""
        cause = self._emergency.cause
        text = cause.text if cause else 'not stopped'
        if cause and self._record.problem:
            text = f'{text}; {self._forgetful()}'
        emergency = Health('emergency_stop', cause.level if cause else Level.OK, text)
        if self._control is None:
            return (emergency,)
        return (emergency, *self._monitor.report(
            self._control, self._setpoint, self._wiring(), time.monotonic()))

    def _wiring(self) -> Wiring:
        command = self._commands.publisher.topic_name
        return Wiring(
            command_topic=command,
            command_publishers=self.count_publishers(command),
            command_subscribers=self._commands.publisher.get_subscription_count(),
            publishers={
                topic: self.count_publishers(inbox.subscription.topic_name)
                for topic, (inbox, _) in self._inboxes.items()},
            received={topic: inbox.received for topic, (inbox, _) in self._inboxes.items()},
            dropped={topic: inbox.dropped for topic, (inbox, _) in self._inboxes.items()},
            clock_publishers=self.count_publishers('/clock'),
            use_sim_time=bool(self.get_parameter('use_sim_time').value))

    @property
    def _trusted(self) -> SafetyController:
        if self._control is None:
            raise RuntimeError('the controller is not configured')
        return self._control

    def _moment(self) -> tuple[int, int]:
        """Return what the ROS clock and the steady clock say at the same moment [ns].

        A process that was stopped between two looks would take that for a jump of the ROS clock.
        """
        while True:
            steady, now = time.monotonic_ns(), self._now()
            if time.monotonic_ns() - steady < _SAME_MOMENT:
                return now, steady

    def _now(self) -> int:
        now = int(self.get_clock().now().nanoseconds)
        if self._alone is not None:
            ros, steady = self._alone
            self._ahead = max(now, ros + time.monotonic_ns() - steady)
        elif not now < self._ahead < now + NANOSECONDS:
            self._ahead = 0
        return max(now, self._ahead)  # until the clock is heard again: it has not jumped back


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to end."""
    return run_node(ControllerNode, args)


if __name__ == '__main__':
    sys.exit(main())
