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
short and run in one thread, and none of them can end the process. The decisions are made in
``world_model_ros.control``; here messages become arguments and setpoints become messages.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ament_index_python.packages import get_package_share_directory
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.duration import Duration
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from world_model_interfaces.msg import ActionProposal, ControllerState, ModelInfo
from world_model_ros.control import (
    Contract,
    JointLimits,
    Limits,
    Motion,
    Proposal,
    SafetyController,
    Setpoint,
    Settings,
    limits_from_urdf,
    stopping_points,
    tighter,
)
from world_model_ros.monitor import Counters, Health, LatencyWindow, Level, Rate
from world_model_ros.nodes import parameters
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds, to_stamp
from world_model_ros.nodes.process import ManagedNode, run_node
from world_model_ros.nodes.qos import COMMAND, LATCHED, SENSOR
from world_model_ros.resources import resource

Message = TypeVar('Message')

_STATE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_REFUSAL_SHOWN = 3.0  # s: how long a refused message stays the headline of its diagnostics
_FLUSH = Duration(seconds=0.2)  # for the last command to arrive before its publisher goes
_LOG_PERIOD = 2.0  # s between log lines about refused messages


class ControllerNode(ManagedNode):
    """Lifecycle node ``controller``; see the README for its topics and parameters."""

    def __init__(self) -> None:
        super().__init__('controller')
        declare = self.declare_parameter
        declare('joints', [''], parameters.text(
            'Joints to drive, in the order in which commands name them.'))
        declare('robot_description', '', parameters.text(
            'The robot as URDF text: position and velocity limits of the joints.'))
        declare('robot_description_file', '', parameters.text(
            'File or package:// address of the URDF, used when robot_description is empty.'))
        declare('command_interface', 'velocity', parameters.text(
            'What the robot is sent: "velocity" (Float64MultiArray on commands) or "trajectory" '
            '(JointTrajectory on joint_trajectory).'))
        declare('control_rate', 100.0, parameters.real('Setpoints per second [Hz].', 10.0, 1000.0))
        declare('late_after', 0.25, parameters.real(
            'Age of the observation behind a plan from which on the next plan is late [s].',
            0.01, 10.0))
        declare('finish_duration', 0.05, parameters.real(
            'How long the rest of a late plan is followed before the robot brakes [s].', 0.0, 10.0))
        declare('joint_state_timeout', 0.15, parameters.real(
            'Age from which on a joint state is not trusted and the robot brakes [s].', 0.01, 10.0))
        declare('following_tolerance', 0.25, parameters.real(
            'Distance between setpoint and robot from which on the robot counts as pushed or '
            'blocked [rad or m].', 0.001, 10.0))
        self.add_on_set_parameters_callback(self._refuse_late_changes)

        self._control: SafetyController | None = None
        self._setpoint: Setpoint | None = None
        self._ticked: float | None = None
        self._told = ('', '')
        self._silent = True  # whether an inactive controller has sent its last command
        self._active = False
        self._owned: list[Callable[[], object]] = []  # what cleanup destroys
        self._errors = Counters('callback_errors')
        self._last_error = ''
        self._refused_at: dict[str, tuple[float, str]] = {}
        self._proposal_rate, self._joint_rate = Rate(), Rate()
        self._periods, self._latency = LatencyWindow(), LatencyWindow()

    # Lifecycle

    def configure(self) -> None:
        """Read limits and parameters, and begin to listen; raise if they make no safe robot."""
        limits = self._read_limits()
        self._interface = str(self.get_parameter('command_interface').value)
        if self._interface not in ('velocity', 'trajectory'):
            raise ValueError(
                f'command_interface is "{self._interface}": set it to velocity or trajectory')
        settings = Settings(
            period=1.0 / self._number('control_rate'),
            late_after=self._number('late_after'),
            finish_duration=self._number('finish_duration'),
            joint_state_timeout=self._number('joint_state_timeout'),
            following_tolerance=self._number('following_tolerance'),
            closes_position_loop=self._interface == 'trajectory')
        self._control = SafetyController(limits, settings)
        self._setpoint, self._ticked = None, None
        self._commands = (
            self.create_publisher(Float64MultiArray, 'commands', COMMAND)
            if self._interface == 'velocity' else
            self.create_publisher(JointTrajectory, 'joint_trajectory', COMMAND))
        self._states = self.create_publisher(ControllerState, '~/state', _STATE)
        self._proposals = self.create_subscription(
            ActionProposal, 'proposal', self._guarded(self._on_proposal), COMMAND)
        others = (
            self.create_subscription(
                JointState, 'joint_states', self._guarded(self._on_joint_state), SENSOR),
            self.create_subscription(
                ModelInfo, 'model_info', self._guarded(self._on_model_info), LATCHED))
        # Steady time: neither a jump of the clock nor a paused simulation stops the ticks.
        timer = self.create_timer(
            settings.period, self._on_timer, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._owned = [
            partial(self.destroy_timer, timer),
            *(partial(self.destroy_subscription, it) for it in (self._proposals, *others)),
            *(partial(self.destroy_publisher, it) for it in (self._commands, self._states))]
        bound = settings.late_after + settings.finish_duration + limits.stopping_time()
        self.get_logger().info(
            f'drives {", ".join(limits.joints)} by {self._interface}; at rest within '
            f'{bound + settings.period:.2f} s of the last observation when proposals stop')

    def activate(self) -> None:
        """Let proposals move the robot, from rest and from where it is."""
        self._trusted.enable()
        self._told = ('', '')
        self._silent = False
        self._active = True

    def deactivate(self) -> None:
        """Refuse proposals and begin to brake."""
        # The timer goes on until the robot is at rest; see _tick.
        self._active = False
        self._trusted.disable()

    def cleanup(self) -> None:
        """Come to rest, send the last command and let go of everything."""
        self.deactivate()
        self._come_to_rest()
        for destroy in self._owned:
            destroy()
        self._owned = []
        self._control, self._setpoint = None, None

    def _come_to_rest(self) -> None:
        """Brake and say so, without the timer: this is the way out, when nothing else runs."""
        control = self._trusted
        # Twice and a bit: ticks on a busy machine come late. Then the last command has to do.
        deadline = time.monotonic() + 2.0 * control.limits.stopping_time() + 0.5
        while not control.standing and time.monotonic() < deadline:
            self._on_timer()
            time.sleep(control.settings.period)
        if not self._silent:
            self._send_rest()
        self._commands.wait_for_all_acked(_FLUSH)
        self._states.wait_for_all_acked(_FLUSH)

    # Callbacks

    def _guarded(self, callback: Callable[[Message], None]) -> Callable[[Message], None]:
        """Return ``callback`` such that what it raises is reported and goes no further."""
        def guarded(message: Message) -> None:
            try:
                callback(message)
            except Exception as error:  # the border: one bad message must not end the process
                self._report(error)
        return guarded

    def _report(self, error: Exception) -> None:
        self._errors.add('callback_errors')
        self._last_error = f'{type(error).__name__}: {error}'
        self.get_logger().error(
            f'in a callback: {self._last_error}', throttle_duration_sec=_LOG_PERIOD)

    def _on_model_info(self, info: ModelInfo) -> None:
        problem = self._trusted.announce(Contract(
            digest=info.digest, kind=info.action_kind, names=tuple(info.action_names),
            lower=np.asarray(info.action_lower, np.float64),
            upper=np.asarray(info.action_upper, np.float64)))
        if problem:
            self.get_logger().error(f'model {info.name} {info.version} is refused: {problem}')
        else:
            self.get_logger().info(
                f'model {info.name} {info.version} ({info.digest[:12]}) may propose')

    def _on_joint_state(self, state: JointState) -> None:
        self._joint_rate.tick(time.monotonic())
        problem = self._trusted.observe(
            to_nanoseconds(state.header.stamp), state.name, state.position, state.velocity,
            self._now())
        if problem:
            self._note_refusal('joint_states', f'joint state refused: {problem}')

    def _on_proposal(self, message: ActionProposal) -> None:
        self._proposal_rate.tick(time.monotonic())
        if not self._active:
            return
        refusal = self._trusted.accept(Proposal(
            stamp=to_nanoseconds(message.header.stamp), plan_id=message.plan_id,
            model_digest=message.model_digest, kind=message.kind, names=tuple(message.names),
            step_duration=message.step_duration, shape=tuple(map(int, message.values.shape)),
            data=np.frombuffer(message.values.data, np.float32)), self._now())
        if refusal is not None:
            self._note_refusal(
                'proposals', f'proposal {message.plan_id[:80]!r} refused: {refusal.text}')

    def _note_refusal(self, aspect: str, text: str) -> None:
        self._refused_at[aspect] = (time.monotonic(), text)
        self.get_logger().warning(text, throttle_duration_sec=_LOG_PERIOD)

    def _on_timer(self) -> None:
        try:
            self._tick()
        except Exception as error:  # whatever it is, the robot must not go on with an old velocity
            self._report(error)
            if self._interface == 'velocity':
                self._send_rest()

    def _tick(self) -> None:
        control, started = self._trusted, time.monotonic()
        if self._ticked is not None:
            self._periods.add(started - self._ticked)
        self._ticked = started
        now = self._now()
        setpoint = control.step(now)
        if self._silent:
            return
        # At rest and inactive: these are the last messages.
        self._silent = not self._active and control.standing
        self._send(setpoint, now)
        if setpoint.plan_id and (
                self._setpoint is None or self._setpoint.plan_id != setpoint.plan_id):
            self._latency.add((now - setpoint.observation_stamp) / NANOSECONDS)
        self._setpoint = setpoint
        self._states.publish(self._state(setpoint, now))
        self._tell(setpoint)

    def _tell(self, setpoint: Setpoint) -> None:
        """Log and diagnose a change of rung or cause, once."""
        told = (setpoint.rung.name, setpoint.cause.code)
        if told == self._told:
            return
        before, self._told = self._told, told
        text = f'{setpoint.rung.name.lower()}: {setpoint.cause.text}'
        log = self.get_logger()
        if {before[0], told[0]} == {'TRACK', 'FINISH'}:
            # A planner at the edge of late_after would fill the log with these.
            log.info(text, throttle_duration_sec=_LOG_PERIOD)
        elif setpoint.cause.level is Level.OK:
            log.info(text)
        else:
            log.warning(text)
        self.publish_diagnostics()

    # Messages

    def _send(self, setpoint: Setpoint, now: int) -> None:
        if self._interface == 'velocity':
            self._commands.publish(Float64MultiArray(data=setpoint.velocity.tolist()))
        elif setpoint.position is not None:
            # An observation may seem to be from a little ahead of now; no point of time may.
            stamp = min(setpoint.observation_stamp or now, now)
            self._commands.publish(self._trajectory(
                Motion(setpoint.position, setpoint.velocity), stamp, now))

    def _send_rest(self) -> None:
        """Send the last command: zero velocity, or to stay at the setpoint."""
        if self._interface == 'velocity':
            self._commands.publish(
                Float64MultiArray(data=[0.0] * len(self._trusted.limits.joints)))
        elif self._setpoint is not None and self._setpoint.position is not None:
            position = self._setpoint.position
            now = self._now()
            self._commands.publish(
                self._trajectory(Motion(position, np.zeros_like(position)), now, now))

    def _trajectory(self, motion: Motion, stamp: int, now: int) -> JointTrajectory:
        """Return the setpoint and the way to rest after it, counted from the observation."""
        control = self._trusted
        return JointTrajectory(
            header=Header(stamp=to_stamp(stamp)),
            joint_names=list(control.limits.joints),
            points=[
                JointTrajectoryPoint(
                    positions=point.position.tolist(), velocities=point.velocity.tolist(),
                    time_from_start=Duration(
                        nanoseconds=now - stamp + round(after * NANOSECONDS)).to_msg())
                for after, point in stopping_points(
                    motion, control.limits, control.settings.period)])

    def _state(self, setpoint: Setpoint, now: int) -> ControllerState:
        control = self._trusted
        known = setpoint.position is not None
        return ControllerState(
            header=Header(stamp=to_stamp(now)), rung=int(setpoint.rung), cause=setpoint.cause.text,
            plan_id=setpoint.plan_id, observation_stamp=to_stamp(setpoint.observation_stamp),
            names=list(control.limits.joints),
            position=setpoint.position.tolist() if setpoint.position is not None else [],
            velocity=setpoint.velocity.tolist() if known else [],
            accepted=control.accepted, refused=control.refused.total())

    # Diagnostics

    def health(self) -> Sequence[Health]:
        """Say why the robot does what it does, and how the streams that it needs are."""
        if self._control is None:
            return ()
        control, now = self._control, time.monotonic()
        limits, settings = control.limits, control.settings
        bound = settings.late_after + settings.finish_duration + limits.stopping_time()
        reports = [
            Health('limits', Level.OK, 'from the robot description and parameters', {
                joint: f'{limits.lower[i]:g} to {limits.upper[i]:g}, velocity '
                       f'{limits.velocity[i]:g}, acceleration {limits.acceleration[i]:g}'
                for i, joint in enumerate(limits.joints)}),
            self._stream_health(
                'joint_states', self._joint_rate, now,
                control.joint_states_refused.values('refused_')),
            self._proposal_health(now),
            Health(
                'timing',
                Level.ERROR if self._last_error else Level.OK,
                f'a callback failed: {self._last_error}; please report it'
                if self._last_error else f'{1.0 / settings.period:g} setpoints per second',
                {**self._periods.values('period'),
                 **self._latency.values('observation_to_command'),
                 **self._errors.values()})]
        if self._setpoint is not None:
            setpoint = self._setpoint
            reports.insert(0, Health(
                'ladder', setpoint.cause.level,
                f'{setpoint.rung.name.lower()}: {setpoint.cause.text}', {
                    'rung': setpoint.rung.name, 'cause': setpoint.cause.code,
                    'plan_id': setpoint.plan_id, 'standstill_within_s': f'{bound:.3f}'}))
        return reports

    def _proposal_health(self, now: float) -> Health:
        control = self._trusted
        publishers = self.count_publishers(self._proposals.topic_name)
        values = {
            'accepted': str(control.accepted), **control.refused.values('refused_'),
            'publishers': str(publishers)}
        if publishers > 1:
            return Health(
                'proposals', Level.WARN,
                f'{publishers} nodes publish proposals: let one world_model propose at a time',
                values)
        return self._stream_health('proposals', self._proposal_rate, now, values)

    def _stream_health(
        self, aspect: str, rate: Rate, now: float, values: dict[str, str]
    ) -> Health:
        """Return OK, or WARN with the newest refusal for a few seconds."""
        values = {'rate_hz': f'{rate.hertz(now):.1f}', **values}
        refused_at, text = self._refused_at.get(aspect, (-np.inf, ''))
        if now - refused_at < _REFUSAL_SHOWN:
            return Health(aspect, Level.WARN, text, values)
        return Health(aspect, Level.OK, f'{rate.hertz(now):.0f} per second', values)

    # Parameters

    def _number(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    def _read_limits(self) -> Limits:
        joints = [joint for joint in self.get_parameter('joints').value if joint]
        urdf = self.get_parameter('robot_description').value
        if not urdf:
            address = self.get_parameter('robot_description_file').value
            if not address:
                raise ValueError(
                    'no robot description: set robot_description or robot_description_file')
            urdf = _find(address).read_text(encoding='utf-8')
        yaml = {joint: self._joint_limits(joint) for joint in joints}
        return tighter(joints, limits_from_urdf(urdf, joints), yaml)

    def _joint_limits(self, joint: str) -> JointLimits:
        def number(name: str, unlimited: float, description: str) -> float:
            full = f'joint_limits.{joint}.{name}'
            if not self.has_parameter(full):
                self.declare_parameter(full, unlimited, parameters.text(
                    f'{description} Infinite: that of the URDF. The tighter one wins.'))
            return float(self.get_parameter(full).value)

        return JointLimits(
            lower=number('min_position', -np.inf, 'Lowest position [rad or m].'),
            upper=number('max_position', np.inf, 'Highest position [rad or m].'),
            velocity=number('max_velocity', np.inf, 'Highest speed [rad/s or m/s].'),
            acceleration=number(
                'max_acceleration', np.inf, 'Highest acceleration [rad/s^2 or m/s^2]; needed.'))

    def _refuse_late_changes(self, changed: list[Parameter[Any]]) -> SetParametersResult:
        """Refuse what would have no effect: all parameters are read when the node is configured."""
        ours = [parameter.name for parameter in changed if parameter.name != 'use_sim_time']
        if ours and self.lifecycle_label in ('inactive', 'active'):
            return SetParametersResult(successful=False, reason=(
                f'{ours[0]} is read when the controller is configured: clean it up first'))
        return SetParametersResult(successful=True)

    @property
    def _trusted(self) -> SafetyController:
        if self._control is None:
            raise RuntimeError('the controller is not configured')
        return self._control

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)


def _find(address: str) -> Path:
    """Return the file that a path or a package:// address means."""
    if not address.startswith('package://'):
        return Path(address)
    package, _, relative = address.removeprefix('package://').partition('/')
    if package == 'world_model_ros':
        return resource(relative)
    return Path(get_package_share_directory(package)) / relative


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to end."""
    return run_node(ControllerNode, args)


if __name__ == '__main__':
    sys.exit(main())
