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

"""What the controller counts, times and says of itself in ``/diagnostics``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from world_model_ros.control import Limits, SafetyController, Setpoint, TickMonitor
from world_model_ros.monitor import Counters, Health, Level, PercentileWindow, Rate
from world_model_ros.nodes.convert import NANOSECONDS
from world_model_ros.nodes.process import LEAVE_WITHIN

REFUSAL_SHOWN = 3.0  # s: how long a refused message stays the headline of its aspect
LATENESS_SHOWN = 10.0  # s: the same for late ticks
_ENDING = 1.0  # s that a process needs to end beside braking


@dataclass(frozen=True)
class Wiring:
    """Who is on the controller's topics, and what came on those that it listens to, by topic."""

    command_topic: str
    command_publishers: int
    command_subscribers: int
    publishers: dict[str, int]
    received: dict[str, int]
    dropped: dict[str, int]
    clock_publishers: int
    use_sim_time: bool

    def values(self, topic: str) -> dict[str, str]:
        """Return what there is to say of ``topic`` as the key-values of a diagnostics aspect."""
        return {
            'publishers': str(self.publishers[topic]), 'received': str(self.received[topic]),
            'dropped': str(self.dropped[topic])}


class ControllerMonitor:
    """Rates, counts and percentiles since the controller was configured. Times in s, steady.

    ``scheduling`` says how the process is scheduled.
    """

    def __init__(self, period: float, scheduling: str) -> None:
        self.scheduling = scheduling
        self.proposals, self.joint_states, self.heartbeats = Rate(), Rate(), Rate()
        self.ticks = TickMonitor(period)
        self.latency = PercentileWindow()
        self.periods = PercentileWindow()
        self.counts = Counters(
            'clock_breaks', 'heartbeat_deadlines_missed', 'model_info_refused',
            *(f'{topic}_{reason}'
              for topic in ('model_info', 'heartbeat', 'joint_states', 'proposal')
              for reason in ('oversized', 'malformed')))
        self._period = period
        self._ticked: float | None = None
        self._late_at = -LATENESS_SHOWN
        self._refused: dict[str, tuple[float, str]] = {}

    def tick(self, now: float) -> None:
        """Note that a tick began."""
        late = self.ticks.late
        self.ticks.tick(now)
        if self.ticks.late > late:
            self._late_at = now
        if self._ticked is not None:
            self.periods.add(now - self._ticked)
        self._ticked = now

    def note_break(self, text: str, now: float) -> None:
        """Remember that the clock jumped, paused or went on."""
        self.counts.add('clock_breaks')
        self.note_refusal('clock', text, now)

    def note_refusal(self, topic: str, text: str, now: float) -> None:
        """Remember why the newest message of ``topic`` was refused."""
        self._refused[topic] = (now, text)

    def report(
        self, control: SafetyController, setpoint: Setpoint | None, wiring: Wiring, now: float,
    ) -> Sequence[Health]:
        """Say why the robot does what it does, and how the streams that it needs are."""
        reports = [
            self._limits(control),
            self._stream('joint_states', self.joint_states, now, {
                **wiring.values('joint_states'), 'other_joints': str(control.robot.others),
                **control.robot.refused.values('refused_')}),
            self._proposals(control, wiring, now),
            self._model(control, wiring, now),
            _commands(wiring),
            self._clock(wiring, now),
            self._timing(now)]
        if setpoint is not None:
            reports.insert(0, Health(
                'ladder', setpoint.cause.level,
                f'{setpoint.rung.name.lower()}: {setpoint.cause.text}', {
                    'rung': setpoint.rung.name, 'cause': setpoint.cause.code,
                    'plan_id': setpoint.plan_id, 'standstill_within_s': f'{control.bound:.3f}'}))
        return reports

    def _limits(self, control: SafetyController) -> Health:
        limits, problem = control.limits, braking_problem(control.limits)
        text = problem or 'from the robot description and parameters'
        return Health('limits', Level.WARN if problem else Level.OK, text, {
            name: ('' if limits.twist else f'{limits.lower[i]:g} to {limits.upper[i]:g}, ')
            + f'velocity {limits.velocity[i]:g}, acceleration {limits.acceleration[i]:g}'
            for i, name in enumerate(limits.names)})

    def _proposals(self, control: SafetyController, wiring: Wiring, now: float) -> Health:
        count = wiring.publishers['proposal']
        values = {
            **wiring.values('proposal'),
            'accepted': str(control.accepted), **control.refused.values('refused_')}
        if count > 1:
            return Health(
                'proposals', Level.WARN,
                f'{count} nodes publish proposals: let one world_model propose at a time', values)
        return self._stream('proposal', self.proposals, now, values, aspect='proposals')

    def _model(self, control: SafetyController, wiring: Wiring, now: float) -> Health:
        pulse = control.pulse
        values = {
            'heartbeat_hz': f'{self.heartbeats.hertz(now):.1f}',
            'heartbeat_publishers': str(wiring.publishers['heartbeat']),
            'activity': pulse.activity.name.lower() if pulse.activity is not None else 'n/a',
            'announced_digest': control.contract.digest[:12] if control.contract else 'none',
            'heartbeat_deadlines_missed': str(self.counts['heartbeat_deadlines_missed']),
            'model_info_received': str(wiring.received['model_info']),
            'model_info_refused': str(self.counts['model_info_refused']),
            **pulse.refused.values('heartbeat_refused_')}
        for topic in ('model_info', 'heartbeat'):
            refused_at, text = self._refused.get(topic, (-REFUSAL_SHOWN, ''))
            if now - refused_at < REFUSAL_SHOWN:
                return Health('model', Level.ERROR, text, values)
        if pulse.silent(round(now * NANOSECONDS)):  # whoever else may send heartbeats
            return Health(
                'model', Level.WARN, 'the model that may propose has gone silent: see whether '
                'world_model runs, and its log', values)
        if wiring.publishers['heartbeat'] > 1:
            return Health(
                'model', Level.WARN, f'{wiring.publishers["heartbeat"]} models send heartbeats: '
                'let one world_model run at a time', values)
        if pulse.activity is None:
            return Health('model', Level.OK, 'no heartbeat yet: activate world_model', values)
        level = Level.ERROR if pulse.activity.name == 'FAILED' else Level.OK
        return Health('model', level, pulse.text or pulse.activity.name.lower(), values)

    def _stream(
        self, topic: str, rate: Rate, now: float, values: dict[str, str], aspect: str = '',
    ) -> Health:
        """Return OK, or WARN with the newest refusal for a few seconds."""
        aspect = aspect or topic
        values = {'rate_hz': f'{rate.hertz(now):.1f}', 'age_s': f'{rate.age(now):.3f}', **values}
        refused_at, text = self._refused.get(topic, (-REFUSAL_SHOWN, ''))
        if now - refused_at < REFUSAL_SHOWN:
            return Health(aspect, Level.WARN, text, values)
        return Health(aspect, Level.OK, f'{rate.hertz(now):.0f} per second', values)

    def _clock(self, wiring: Wiring, now: float) -> Health:
        values = {
            'use_sim_time': str(wiring.use_sim_time).lower(),
            'clock_publishers': str(wiring.clock_publishers),
            'breaks': str(self.counts['clock_breaks'])}
        broken_at, text = self._refused.get('clock', (-REFUSAL_SHOWN, ''))
        if now - broken_at < REFUSAL_SHOWN:
            return Health('clock', Level.WARN, text, values)
        if not wiring.use_sim_time:
            return Health('clock', Level.OK, 'system time', values)
        if not wiring.clock_publishers:
            return Health(
                'clock', Level.WARN, 'use_sim_time is set and nobody publishes /clock: start the '
                'simulation, or set use_sim_time to false', values)
        if wiring.clock_publishers > 1:
            return Health(
                'clock', Level.WARN, f'{wiring.clock_publishers} nodes publish /clock: let one '
                'simulation run at a time', values)
        return Health('clock', Level.OK, 'simulated time', values)

    def _timing(self, now: float) -> Health:
        values = {
            **self.ticks.values(), **self.periods.values('period'),
            **self.latency.values('observation_to_command'),
            'scheduling': self.scheduling,
            **{name: count for name, count in self.counts.values().items()
               if name.endswith(('_oversized', '_malformed'))}}
        if now - self._late_at < LATENESS_SHOWN:
            return Health(
                'timing', Level.WARN, 'setpoints come late: allow this process its real-time '
                'priority (see scheduling), or give this machine less to do', values)
        return Health('timing', Level.OK, f'{1.0 / self._period:g} setpoints per second', values)


def braking_problem(limits: Limits) -> str:
    """Why the robot may still move when a process that is told to end is gone, or ''."""
    braking = limits.stopping_time()
    if braking < LEAVE_WITHIN - _ENDING:
        return ''
    return (f'to brake from full speed takes {braking:.1f} s, and a process that is told to end '
            f'has {LEAVE_WITHIN:g} s: deactivate the controller before you end it, or lower '
            'max_velocity or raise max_acceleration')


def _commands(wiring: Wiring) -> Health:
    topic, publishers = wiring.command_topic, wiring.command_publishers
    values = {
        'topic': topic, 'publishers': str(publishers),
        'subscribers': str(wiring.command_subscribers)}
    if publishers > 1:
        return Health(
            'commands', Level.ERROR, f'{publishers} nodes command the robot on {topic}: end the '
            f'others (ros2 topic info -v {topic})', values)
    if not wiring.command_subscribers:
        return Health(
            'commands', Level.WARN, f"nobody listens on {topic}: activate the robot's controller, "
            'or remap the topic to its command topic', values)
    return Health('commands', Level.OK, 'this node alone commands the robot', values)
