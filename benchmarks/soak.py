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
"""Soak: the whole chain for a long time, and whether it is still what it was at the beginning.

Simulator (30 Hz images, 100 Hz joint states), world_model (10 Hz plans with models/reach) and
controller (100 Hz commands) run as the demo runs them, toward one goal after the other. A witness
listens, reads the memory of each process every second, and checks at the end:

- memory: each process' resident set stays within 3 % of its median, once warm;
- ticks: at most 1 command in 10,000 comes more than 5 ms late, by the publisher's own time stamps.
  What the machine stood still in that time (stalls.py) is no delay of the program's; how many came
  late with it is reported as well;
- counts: images, joint states, proposals and commands received are as many as were published.

    python benchmarks/soak.py --minutes 30 --json soak.json --plot docs/images/soak.png

The exit code is 0 if all three hold. Late ticks say something about the software only where it may
have real-time priority and the machine has nothing else to do.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import stalls
from demo_robot import DemoRobot, RobotError, Witness
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Float64MultiArray

from world_model_interfaces.msg import ActionProposal
from world_model_ros.cli.processes import Children
from world_model_ros.demo import graph

GOAL_PERIOD = 6.0  # s
FLAT = 0.03  # of the median, to either side
LATE = 0.005  # s
LATE_SHARE = 1e-4
PERIOD = 0.01  # s, of the controller
SHORTEST_QUEUE = 0.08  # s: ten commands, less two
SAMPLING = 0.02  # s between two looks at how long threads waited for a processor
PAUSE = 0.2 * SAMPLING  # s of running that do not end a wait: nearly all of the time was waiting
WARM_UP = 0.25  # of the run, at most 60 s

EVERY = QoSProfile(depth=5000, reliability=ReliabilityPolicy.RELIABLE)

# Who counts what: a topic of the witness (the wire's sequence numbers), or a status in /diagnostics
# and the keys that add up.
Place = str | tuple[str, ...]
COUNTED: dict[str, tuple[Place, Place]] = {
    'images': (('simulator: camera', 'frames_published'),
               ('world_model: observation', 'frames_received')),
    'joint states, by world_model': (('simulator: world', 'joint_states_published'),
                                     ('world_model: observation', 'joint_states_received')),
    'joint states, by controller': (('simulator: world', 'joint_states_published'),
                                    ('controller: joint_states', 'received')),
    'proposals': ('proposals', ('controller: proposals', 'received')),
    'commands': ('commands', ('simulator: drives', 'velocity_commands', 'commands_refused')),
}
Counts = dict[str, tuple[int, int]]


@dataclass
class Stream:
    """What the witness sees of one topic: the newest sequence number, and when each was sent."""

    sequence: int = 0
    heard: int = 0
    sent: list[int] = field(default_factory=list)
    """Source time stamps [ns], kept for commands alone."""


class SoakWitness(Witness):
    """Listens; what it hears are the publishers' own numbers."""

    def __init__(self, context: rclpy.Context) -> None:
        super().__init__('soak', context)
        self.streams = {name: Stream() for name in ('proposals', 'commands')}
        self.diagnostics: dict[str, tuple[float, int, str, dict[str, str]]] = {}
        for name, kind, topic in (
            ('proposals', ActionProposal, 'world_model/proposal'),
            ('commands', Float64MultiArray, 'velocity_controller/commands'),
        ):
            self.create_subscription(kind, topic, self._listener(name), EVERY, raw=True)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, EVERY)
        self._transitions = {
            node.name: self.create_client(ChangeState, f'{node.name}/change_state')
            for node in graph.ROBOT}

    def _listener(self, name: str) -> Callable[[bytes, Any], None]:
        stream, keep = self.streams[name], name == 'commands'

        def listen(_: bytes, info: Any) -> None:
            stream.heard += 1
            stream.sequence = max(stream.sequence, info['publication_sequence_number'])
            if keep:
                stream.sent.append(info['source_timestamp'])
        return listen

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        now = time.monotonic()
        for status in message.status:
            self.diagnostics[status.name] = (
                now, ord(status.level), status.message,
                {pair.key: pair.value for pair in status.values})

    def change(self, node: str, transition: int) -> Any:
        """Ask for a lifecycle transition; return the future answer, None while nobody serves."""
        client = self._transitions[node]
        if not client.service_is_ready():
            return None
        request = ChangeState.Request()
        request.transition.id = transition
        return client.call_async(request)


class Starvation:
    """When threads of a process were kept off the processor for longer than any queue lasts.

    The kernel counts a wait when it is over: what was added since the last look ended now. Waits
    with hardly anything between them are one.
    """

    def __init__(self) -> None:
        self._waited: dict[str, int] = {}
        self._waits: dict[str, tuple[int, int]] = {}
        self._long: list[tuple[int, int]] = []

    def add(self, now: int, waited: Mapping[str, int]) -> None:
        """Take in how long each thread has waited so far [ns]; `now` [ns] on any clock."""
        for thread, total in waited.items():
            if wait := total - self._waited.get(thread, total):
                begin, end = self._waits.get(thread, (now, now))
                if now - wait - end > 1e9 * PAUSE:
                    self._keep(begin, end)
                    begin = now - wait
                self._waits[thread] = min(begin, now - wait), now
        self._waited = dict(waited)

    def _keep(self, begin: int, end: int) -> None:
        if end - begin > 1e9 * SHORTEST_QUEUE:
            self._long.append((begin, end))

    def seconds(self) -> float:
        """Return the time in which any thread waited that long."""
        for wait in self._waits.values():
            self._keep(*wait)
        self._waits.clear()
        starved, until = 0, 0
        for begin, end in sorted(self._long):
            starved += max(end - max(begin, until), 0)
            until = max(until, end)
        return starved / 1e9


@dataclass
class Record:
    """What was measured, second by second."""

    times: list[float] = field(default_factory=list)
    memory: dict[str, list[float]] = field(default_factory=dict)
    """Resident set of each process [MB]."""
    starvation: dict[str, Starvation] = field(default_factory=dict)
    """Of each process."""


class Soak:
    """One run, from top to bottom."""

    def __init__(self, children: Children, folder: Path) -> None:
        self._robot = DemoRobot(children, folder, graph.default_bundle())
        self._stalls = [self._watch(processor) for processor in sorted(os.sched_getaffinity(0))]
        self.witness = SoakWitness(self._robot.context)
        self._robot.add(self.witness)
        names = [node.name for node in graph.ROBOT]
        self.record = Record(
            memory={name: [] for name in names},
            starvation={name: Starvation() for name in names})

    def _watch(self, processor: int) -> Path:
        path = self._robot.folder / f'stalls_{processor}'
        path.touch()
        self._robot.start(f'stalls of processor {processor}', [
            sys.executable, str(Path(stalls.__file__)), str(processor), str(path)])
        return path

    def run(self, duration: float) -> dict[str, Any]:
        """Return the report of a run of `duration` seconds."""
        before = self._prepare()
        self.witness.streams['commands'].sent.clear()
        started = time.monotonic()
        for node in (graph.SIMULATOR, graph.CONTROLLER):
            self._change(node.name, Transition.TRANSITION_ACTIVATE)
        self.witness.show_goals(GOAL_PERIOD)
        sampled, looked = 0, 0.0
        while (elapsed := time.monotonic() - started) < duration:
            self._robot.turn(SAMPLING)
            if elapsed >= looked + SAMPLING:
                self._look_at_waits()
                looked = elapsed
            if elapsed >= sampled:
                self._sample(elapsed)
                sampled += 1
        lasted = time.monotonic() - started
        sent = np.array(self.witness.streams['commands'].sent, np.int64)
        after = self._wind_up()
        self._robot.close()
        return report(lasted, self.record, sent, [stalls.read(path) for path in self._stalls],
                      before, after)

    def _prepare(self) -> Counts:
        """Wait for everybody, have all stand still, and return what was counted so far."""
        def awake() -> bool:
            states = [self.witness.diagnostics.get(f'{node.name}: lifecycle')
                      for node in graph.ROBOT]
            for state in states:
                if state is not None and state[1] > 0:
                    raise RobotError(state[2])
            return (all(state is not None and state[2] == 'active' for state in states)
                    and self.witness.streams['commands'].heard > 0)

        self._robot.wait(awake, 60.0, 'all nodes to be active')
        return self._wind_up()

    def _wind_up(self) -> Counts:
        """Stop what sends while all listen, and return what was counted.

        Without images there are no plans, so the world model goes on. The controller comes to rest
        and falls silent, but still counts what it hears.
        """
        for node in (graph.CONTROLLER, graph.SIMULATOR):
            self._change(node.name, Transition.TRANSITION_DEACTIVATE)
            self._robot.spin(0.5)  # for what is on its way, and for the controller to come to rest
        counted: list[tuple[float, Counts]] = []

        def settled() -> bool:
            now = self._count()
            if now is not None and (not counted or now[0] > counted[-1][0]):
                counted.append(now)
            return len(counted) > 1 and counted[-1][1] == counted[-2][1]

        self._robot.wait(settled, 15.0, 'the counts of what was sent and received')
        return counted[-1][1]

    def _count(self) -> tuple[float, Counts] | None:
        """Return (time of the oldest diagnostics used, counts); None while something is missing."""
        times, counts = [], {}
        for what, (sender, receiver) in COUNTED.items():
            numbers = []
            for place in (sender, receiver):
                if isinstance(place, str):
                    numbers.append(self.witness.streams[place].sequence)
                    continue
                heard = self.witness.diagnostics.get(place[0])
                if heard is None:
                    return None
                missing = [key for key in place[1:] if key not in heard[3]]
                if missing:
                    raise RobotError(f'"{place[0]}" in /diagnostics counts no {missing[0]}')
                times.append(heard[0])
                numbers.append(sum(int(heard[3][key]) for key in place[1:]))
            counts[what] = (numbers[0], numbers[1])
        return min(times), counts

    def _change(self, node: str, transition: int) -> None:
        future: Any = None

        def done() -> bool:
            nonlocal future
            if future is None:
                future = self.witness.change(node, transition)
            return future is not None and future.done()

        self._robot.wait(done, 15.0, f'{node} to change its state')
        if not future.result().success:
            raise RobotError(
                f'{node} refused to change its state: see its log in {self._robot.folder}')

    def _sample(self, elapsed: float) -> None:
        self.record.times.append(elapsed)
        for name in self.record.memory:
            self.record.memory[name].append(self._robot.resident(name))

    def _look_at_waits(self) -> None:
        for name, starvation in self.record.starvation.items():
            starvation.add(time.monotonic_ns(), waited(self._robot.process(name)))


def report(
    duration: float, record: Record, sent: NDArray[np.int64],
    processors: Sequence[NDArray[np.int64]], before: Counts, after: Counts,
) -> dict[str, Any]:
    """Return the run's figures and verdicts.

    `sent`: when each command was [ns]; `processors`: when each stood still (see stalls.py).
    """
    warm = min(WARM_UP * duration, 60.0)
    memory = {name: _memory(np.array(record.times), np.array(megabytes), warm)
              for name, megabytes in record.memory.items()}
    starved = {name: round(each.seconds(), 3) for name, each in record.starvation.items()}
    stood = max((longer_than_queues(each) for each in processors), default=0.0)
    counts = {what: {'published': after[what][0] - before[what][0],
                     'received': after[what][1] - before[what][1],
                     # What excuses lost messages: whole waits of the process that was to get them,
                     # and of the machine, which the kernel may know nothing of.
                     'receiver_starved_s': starved[receiver[0].partition(':')[0]] + stood}
              for what, (_, receiver) in COUNTED.items()}
    gaps = np.diff(sent) / 1e9
    late = gaps > PERIOD + LATE
    ran = gaps[late] - stalls.stalled(processors, sent[:-1][late], sent[1:][late])
    own = int(np.count_nonzero(ran > PERIOD + LATE))
    verdicts = {
        'memory': all(each['deviation'] <= FLAT for each in memory.values()),
        'counts': all(each['published'] == each['received'] > 0 for each in counts.values()),
        'ticks': own <= LATE_SHARE * len(gaps)}
    return {
        'duration_s': round(duration, 1), 'passed': all(verdicts.values()), 'verdicts': verdicts,
        'memory_mb': memory, 'counts': counts,
        'ticks': {'commands': len(sent), 'late': int(np.count_nonzero(late)),
                  'late_though_the_machine_ran': own,
                  'per_10000': round(1e4 * own / len(gaps), 2),
                  'latest_ms': round(1e3 * float(gaps.max() - PERIOD), 2),
                  'p99_9_ms': round(1e3 * float(np.percentile(gaps, 99.9) - PERIOD), 2)},
        'machine_stood_still': [
            {'times': len(each), 'seconds': round(float(np.sum(each[:, 1] - each[:, 0])) / 1e9, 3),
             'over_5_ms': int(np.count_nonzero(each[:, 1] - each[:, 0] > 1e9 * LATE)),
             'longest_ms': round(float(np.max(each[:, 1] - each[:, 0], initial=0)) / 1e6, 2)}
            for each in processors],
        'starved_s': starved,
        'load_average': [round(load, 2) for load in os.getloadavg()],
        'series': {
            'time_s': [round(each, 1) for each in record.times],
            'memory_mb': {name: [round(each, 2) for each in megabytes]
                          for name, megabytes in record.memory.items()},
            'latest_tick_ms': _latest_per_second(sent, gaps)}}


def longer_than_queues(stalls_: NDArray[np.int64]) -> float:
    """Return the time [s] of stalls [N, 2; ns] that lasted longer than any queue."""
    lasted = (stalls_[:, 1] - stalls_[:, 0]) / 1e9
    return round(float(np.sum(lasted[lasted > SHORTEST_QUEUE])), 3)


def _memory(
    times: NDArray[np.float64], megabytes: NDArray[np.float64], warm: float
) -> dict[str, float]:
    """Return the median once warm, and the largest deviation from it as a share of it."""
    steady = megabytes[times >= warm]
    median = float(np.median(steady))
    return {'median': round(median, 1), 'at_first': round(float(steady[0]), 1),
            'at_last': round(float(steady[-1]), 1),
            'deviation': round(float(np.max(np.abs(steady - median))) / median, 4)}


def _latest_per_second(sent: NDArray[np.int64], gaps: NDArray[np.float64]) -> list[float]:
    seconds = (sent[1:] - sent[0]) // 1_000_000_000
    latest = np.zeros(int(seconds[-1]) + 1)
    np.maximum.at(latest, seconds, 1e3 * (gaps - PERIOD))
    return [round(float(each), 2) for each in latest]


def waited(process: int) -> dict[str, int]:
    """Return for how long each thread of a process has waited for a processor so far [ns]."""
    waits = {}
    for task in Path(f'/proc/{process}/task').iterdir():
        with contextlib.suppress(OSError, IndexError):
            waits[task.name] = int((task / 'schedstat').read_text().split()[1])
    return waits


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw memory and late ticks over time."""
    from matplotlib.figure import Figure

    series = result['series']
    figure = Figure(figsize=(8, 5.5), layout='constrained')
    upper, lower = figure.subplots(2, 1, sharex=True)
    minutes = np.array(series['time_s']) / 60
    for name, megabytes in series['memory_mb'].items():
        upper.plot(minutes, megabytes, label=f'{name}: {result["memory_mb"][name]["median"]:.0f} MB'
                   f' ± {100 * result["memory_mb"][name]["deviation"]:.1f} %')
    upper.set_ylabel('resident memory [MB]')
    upper.set_ylim(bottom=0)
    upper.legend(loc='lower right')
    latest = series['latest_tick_ms']
    lower.plot(np.arange(len(latest)) / 60, latest, '.', markersize=2, color='tab:gray')
    lower.axhline(1e3 * LATE, color='tab:red', linewidth=0.8)
    ticks, counts = result['ticks'], result['counts']
    lower.set_ylabel('latest tick of each second [ms]')
    lower.set_xlabel('time [min]')
    lower.set_title(f'{ticks["late"]} of {ticks["commands"]:,} commands more than '
                    f'{1e3 * LATE:.0f} ms late, {ticks["late_though_the_machine_ran"]} of them '
                    'while the machine ran', fontsize=10)
    lost = sum(each['published'] - each['received'] for each in counts.values())
    sent = ', '.join(f'{each["published"]:,} {what.partition(",")[0]}'
                     for what, each in counts.items() if not what.endswith('by controller'))
    figure.suptitle(f'{result["duration_s"] / 60:.0f} minutes: {sent}; {lost} lost', fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> int:
    """Run and tell; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--minutes', type=float, default=30.0, help='default: %(default)s')
    parser.add_argument('--json', type=Path, metavar='FILE', help='where the report goes')
    parser.add_argument('--plot', type=Path, metavar='PNG', help='where the plot goes')
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix='soak_'))
    try:
        with Children() as children:
            result = Soak(children, folder).run(60 * args.minutes)
    except RobotError as error:
        print(f'soak: {error} (logs are in {folder})', file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    if args.json:
        args.json.write_text(json.dumps(result) + '\n', encoding='utf-8')
    if args.plot:
        plot(result, args.plot)
    del result['series']
    print(json.dumps(result, indent=2))
    return 0 if result['passed'] else 1


if __name__ == '__main__':
    sys.exit(main())
