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

"""``wmros demo``: the whole chain, from camera to motor, as separate processes over real DDS.

This module starts the nodes, watches them, shows what goes on and makes sure that nothing is left
behind. It speaks no ROS itself: the director node sets the goals, judges by the simulator's ground
truth and writes down what happens, line by line, in ``events.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from world_model_ros.bringup.robot_file import read_parameters
from world_model_ros.cli import argument_types
from world_model_ros.cli.probes import ProbeError, domain_for_demo
from world_model_ros.cli.processes import Child, Children, Terminated
from world_model_ros.demo import graph
from world_model_ros.demo.judge import EPISODE_DURATION, SUCCESS_DISTANCE

Event = dict[str, Any]

_SILENCE = 60.0  # s: longest time between two lines of the director, drawing the film included

EPILOG = """\
The arm starts where it stands, first at rest in the middle of its range, then where the last goal
left it. A goal is a picture of the arm in a random position. It counts as reached if, 8 s after the
picture was given, the simulator has the tip within 3 cm of the goal's tip; the model is not asked.

--out holds the film demo.gif (goal, camera, distance over time), report.json, events.jsonl and a
log per node. The film opens in a viewer when the run ends, unless there is no display or --headless
is given.

The exit code is 0 if the run completed, the rate of success is at least --minimum-success, and no
setpoint broke a limit; 1 otherwise; 130 after Ctrl-C.

examples:
  wmros demo
  wmros demo --episodes 50 --seed 7 --json report.json --headless
  wmros demo --bundle my_model --out my_run
"""


class DemoError(Exception):
    """The run could not be completed; the message says why and what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wmros demo``."""
    parser.epilog = EPILOG
    parser.add_argument('--episodes', type=argument_types.count, default=5, metavar='N',
                        help='how many goals (default: %(default)s; about 8 s each)')
    parser.add_argument('--seed', type=argument_types.seed, default=0, metavar='S',
                        help='decides the goals (default: %(default)s)')
    parser.add_argument('--bundle', type=Path, metavar='DIR',
                        help='the model to run (default: the one that is shipped, models/reach)')
    parser.add_argument('--out', type=Path, default=Path('out'), metavar='DIR',
                        help='where film, report and logs go (default: ./%(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE',
                        help='where the report goes (default: report.json in --out)')
    parser.add_argument('--minimum-success', type=_share, default=0.6, metavar='SHARE',
                        help='lowest rate of success for exit code 0 (default: %(default)s)')
    parser.add_argument('--headless', action='store_true',
                        help='open no viewer when the run ends')


def run(args: argparse.Namespace) -> int:
    """Run the demo and return the exit code."""
    console = Console(highlight=False)
    try:
        report = _demo(args, console)
    except (DemoError, FileNotFoundError) as failure:
        print(f'wmros demo: {failure}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        console.print('Stopped; all nodes have ended.')
        return 130
    except Terminated as signal_name:
        console.print(f'Stopped by {signal_name}; all nodes have ended.')
        return 143
    return _conclude(report, args, console)


def _demo(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    started = time.time()
    out, report = _prepare_output(args)
    bundle = _find_bundle(args.bundle)
    parameters = graph.parameters_file()
    environment = _environment(out)
    events = out / 'events.jsonl'
    events.unlink(missing_ok=True)
    report.unlink(missing_ok=True)
    settings: dict[str, dict[str, str | int | float]] = {
        'world_model': {'bundle': str(bundle)},
        'demo_director': {
            'episodes': args.episodes, 'seed': args.seed, 'out': str(out), 'json': str(report),
            'events': str(events), 'started': started},
    }
    goals = f'{args.episodes} goal{"s" * (args.episodes > 1)}'
    console.print(f'[bold]wmros demo[/]  {bundle.name}, {goals}, seed {args.seed}, '
                  f'ROS domain {environment["ROS_DOMAIN_ID"]}')
    with Children() as children:
        for node in (*graph.ROBOT, graph.DIRECTOR):
            children.start(
                node.name, _command(node, parameters, settings.get(node.name, {})), environment,
                out / 'logs' / f'{node.name}.log')
        _follow(events, children, args.episodes, console)
    if not report.is_file():
        raise DemoError(f'the director ended without a report: see {out / "logs"}')
    result: dict[str, Any] = json.loads(report.read_text(encoding='utf-8'))
    return result


def _prepare_output(args: argparse.Namespace) -> tuple[Path, Path]:
    out = args.out.resolve()
    report = (args.json or out / 'report.json').resolve()
    try:
        (out / 'logs').mkdir(parents=True, exist_ok=True)
        report.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f'cannot write to {error.filename}: {error.strerror}. '
                         'Choose another --out or --json') from error
    if report.is_dir():
        raise DemoError(f'--json {report} is a folder: name a file')
    return out, report


def _find_bundle(given: Path | None) -> Path:
    if given is None:
        return graph.default_bundle()
    if not (given / 'bundle.yaml').is_file():
        raise DemoError(f'--bundle {given} holds no bundle.yaml: name the folder of a model '
                         'bundle, such as models/reach')
    return given.resolve()


def _environment(out: Path) -> dict[str, str]:
    environment = dict(os.environ)
    environment.update(graph.environment())
    try:
        environment['ROS_DOMAIN_ID'] = str(domain_for_demo())
    except ProbeError as error:
        raise DemoError(f'{error.problem}: {error.cure}') from error
    environment['ROS_LOG_DIR'] = str(out / 'logs')
    environment['PYTHONUNBUFFERED'] = '1'
    return environment


def _command(
    node: graph.GraphNode, parameters: Path, settings: dict[str, str | int | float]
) -> list[str]:
    command = [sys.executable, '-m', node.module, '--ros-args', '--disable-external-lib-logs',
               '--params-file', str(parameters)]
    for name, target in node.remappings.items():
        command += ['-r', f'{name}:={target}']
    for name, value in settings.items():
        command += ['-p', f'{name}:={json.dumps(value)}']  # JSON is YAML, and strings stay strings
    return command


def _follow(events: Path, children: Children, episodes: int, console: Console) -> None:
    """Show the run until the director has ended; raise DemoError when anything goes wrong."""
    board = Scoreboard(episodes)
    lines = _new_lines(events)
    heard = time.monotonic()
    with Live(board.text(), console=console, refresh_per_second=10, transient=True) as live:
        while True:
            ended = children.ended()  # before reading, so that nothing written is missed
            for line in next(lines):
                heard = time.monotonic()
                event = json.loads(line)
                if event['event'] == 'failed':
                    raise DemoError(event['message'])
                message = board.take(event)
                if message is not None:
                    live.console.print(message)
            live.update(board.text())
            for child in ended:
                if child.name == graph.DIRECTOR.name and child.process.returncode == 0:
                    return
                raise DemoError(_obituary(child))
            if time.monotonic() - heard > _SILENCE:
                raise DemoError(f'nothing was heard of the director for {_SILENCE:.0f} s: '
                                 f'see {events.parent / "logs"}')
            time.sleep(0.05)


def _new_lines(path: Path) -> Iterator[list[str]]:
    """Yield, at each turn, the complete lines that were added to `path` since the last."""
    rest = ''
    while not path.exists():
        yield []
    with path.open(encoding='utf-8') as stream:
        while True:
            *complete, rest = (rest + stream.read()).split('\n')
            yield complete


def _obituary(child: Child) -> str:
    hint = next(node.hint for node in (*graph.ROBOT, graph.DIRECTOR) if node.name == child.name)
    return (f'{child.name} ended before its time (exit code {child.process.returncode}). '
            f'Its last words, from {child.log}:\n\n{child.tail()}\n\nHint: {hint}.')


class Scoreboard:
    """What the terminal shows while the run goes on."""

    def __init__(self, episodes: int) -> None:
        self._episodes = episodes
        self._status = Text('starting the nodes …', style='dim')
        self._reached = 0

    def text(self) -> Text:
        """Return the line that changes."""
        return self._status

    def take(self, event: Event) -> Text | None:
        """Take in an event; return the line that it leaves in the terminal for good, if any."""
        match event['event']:
            case 'waiting':
                self._status = Text(f'waiting for {", ".join(event["for"])} …', style='dim')
            case 'ready':
                return Text(f'ready after {event["startup_s"]:.1f} s', style='dim')
            case 'tick':
                self._status = self._tick(event)
            case 'judged':
                return self._judged(event)
            case 'counting':
                self._status = Text('counting frames …', style='dim')
            case 'drawing':
                self._status = Text('drawing the film …', style='dim')
            case _:
                pass
        return None

    def _tick(self, event: Event) -> Text:
        filled = round(20 * min(event['time'] / EPISODE_DURATION, 1.0))
        distance = event['distance']
        plan = f'{event["plan_ms"]:3.0f} ms' if event['plan_ms'] is not None else 'no plan yet'
        return Text.assemble(
            f'{event["episode"]:3d}/{self._episodes}  ',
            ('━' * filled, 'blue'), ('━' * (20 - filled), 'bright_black'),
            f'  {event["time"]:3.1f} s   ',
            (f'{100 * distance:5.1f} cm', 'green' if distance <= SUCCESS_DISTANCE else 'bold'),
            (f'   plan {plan}   controller {event["rung"]}   reached {self._reached}', 'dim'))

    def _judged(self, event: Event) -> Text:
        self._reached += event['success']
        verdict = ('reached', 'green') if event['success'] else ('missed ', 'bold red')
        after = event['reached_after_s']
        pace = f'within 3 cm from {after:.1f} s on' if after is not None else ''
        return Text.assemble(
            f'{event["episode"]:3d}/{self._episodes}  ', verdict,
            f'  {100 * event["start_distance_m"]:5.1f} cm → '
            f'{100 * event["final_error_m"]:4.1f} cm  ',
            (pace, 'dim'))


def _conclude(report: dict[str, Any], args: argparse.Namespace, console: Console) -> int:
    problems = complaints(report, args)
    console.print(_table(report))
    out = args.out.resolve()
    film = out / 'demo.gif'
    console.print(Text(f'film    {film}'))
    console.print(Text(f'report  {(args.json or out / "report.json").resolve()}'))
    for problem in problems:
        console.print(Text(problem, style='bold red'))
    if not args.headless and film.is_file() and _has_display():
        webbrowser.open(film.as_uri())
    return 1 if problems else 0


def complaints(report: dict[str, Any], args: argparse.Namespace) -> list[str]:
    """What is wrong with a run, a sentence each."""
    problems = []
    if report['episodes'] != args.episodes:
        problems.append(f'Only {report["episodes"]} of {args.episodes} episodes were run.')
    if report['success_rate'] < args.minimum_success:
        problems.append(f'The rate of success is {report["success_rate"]:.2f}: '
                        f'at least {args.minimum_success:.2f} was asked for.')
        late_after = read_parameters(graph.parameters_file(), '/controller')['late_after']
        slowest = (report['observation_to_proposal_ms']['p99'] or 0.0) / 1e3  # none, no plan
        if slowest > late_after:
            problems.append(
                f'Plans came too late: up to {slowest:.2f} s after what they had seen, where the '
                f'controller begins to brake after {late_after:g} s (late_after). This machine was '
                'busy, or its host was: try again with nothing else running.')
    if report['limit_violations']:
        kinds = ', '.join(f'{count} of {kind}'
                          for kind, count in report['limit_violations_by_kind'].items())
        problems.append(f'Setpoints broke limits: {kinds}.')
    return problems


def _table(report: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style='dim')
    table.add_column(justify='right', style='bold')
    table.add_column(style='dim')
    reached = sum(episode['success'] for episode in report['per_episode'])
    lost = report['frames']['published'] - report['frames']['received']
    error = {key: None if value is None else 100 * value
             for key, value in report['final_error_m'].items()}
    rows = (
        ('goals reached', f'{100 * report["success_rate"]:.0f} %',
         f'{reached} of {report["episodes"]} within 3 cm after 8 s'),
        ('final error', _number(error['p50'], 'cm'), f'p90 {_number(error["p90"], "cm")}'),
        ('planning', *_pair(report['plan_ms'])),
        ('observation to proposal', *_pair(report['observation_to_proposal_ms'])),
        ('observation to command', *_pair(report['observation_to_command_ms'])),
        ('frames lost', str(lost), f'of {report["frames"]["published"]}'),
        ('limit violations', str(report['limit_violations']),
         f'in {report["proposals"]} plans'),
        ('start-up', f'{report["startup_s"]:.1f} s', 'to the first latent'),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _pair(figures: dict[str, float | None]) -> tuple[str, str]:
    return _number(figures['p50'], 'ms'), f'p99 {_number(figures["p99"], "ms")}'


def _number(value: float | None, unit: str) -> str:
    return 'n/a' if value is None else f'{value:.1f} {unit}'


def _has_display() -> bool:
    return bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f'{text!r} is not a share between 0 and 1')
    return share
