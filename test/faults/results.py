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
"""What the run measured, as the table in docs/reliability.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

from faults.trial import REACTION, Result, Step

BEGIN = '<!-- written by: .venv/bin/python -m pytest test/faults --write-docs -->'
END = '<!-- end of what is written -->'
_HEARD = ('Fault', 'The robot', 'Brakes after', 'At rest after', 'Goes on after', 'A person reads')
_TRIED = ('Fault', 'How it was injected', 'Noticed when', 'Brakes after noticeable',
          'Setpoints outside limits')


def write_table(results: Sequence[Result], known: int, page: Path) -> None:
    """Replace what stands between the two marks of `page` by the results of a run.

    `known`: how many faults there are. What was not tried, and what failed, is said.
    """
    text = page.read_text(encoding='utf-8')
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f'{page} lacks the marks between which the table goes')
    page.write_text(
        f'{before}{BEGIN}\n{summary(results, known)}\n\n{table(results)}\n{END}{after}',
        encoding='utf-8')


def summary(results: Sequence[Result], known: int) -> str:
    """Return the run in a few sentences."""
    braked = [result.braking_after for result in results if result.braking_after is not None]
    outside = sum(result.violations.count for result in results)
    checked = sum(result.violations.checked for result in results)
    load = os.getloadavg()[0]
    failed = sum(bool(result.complaints) for result in results)
    return (
        f'{len(results)} of {known} faults tried, {failed} failed. Braking began at most '
        f'{1e3 * max(braked, default=0.0):.0f} ms after a fault was '
        f'noticeable ({1e3 * REACTION:.0f} ms allowed). {outside} of {checked:,} setpoints '
        f'were outside limits. Measured on {os.cpu_count()} cores of {_processor()}, with a load '
        f'average of {load:.1f} at the end.')


def table(results: Sequence[Result]) -> str:
    """Return the results as two Markdown tables: what one sees, and how it was tried."""
    return (f'{_markdown(_HEARD, [_heard(result) for result in results])}\n\n'
            f'How each was tried:\n\n{_markdown(_TRIED, [_tried(result) for result in results])}')


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return '\n'.join('| ' + ' | '.join(cell.replace('|', '/') for cell in row) + ' |'
                     for row in (head, ('---',) * len(head), *rows))


def _heard(result: Result) -> tuple[str, ...]:
    fault = result.fault
    since_fault = (None if result.noticed_after is None or result.braking_after is None
                   else result.noticed_after + result.braking_after)
    restarted = f' (the {fault.restarts} starts anew)' if fault.restarts else ''
    robot = ('**FAILED**: ' + '; '.join(result.complaints) if result.complaints
             else fault.step.value)
    cured = '' if fault.step is Step.TRACK else _ms(result.recovered_after) + restarted
    return (f'**{fault.name}**', robot, _ms(since_fault), _ms(result.rest_after), cured,
            f'`{result.said.name}`: {result.said.message}' if result.said else '')


def _tried(result: Result) -> tuple[str, ...]:
    fault = result.fault
    return (f'**{fault.name}**', fault.how, fault.noticed, _ms(result.braking_after),
            f'{result.violations.count} of {result.violations.checked}')


def _ms(seconds: float | None) -> str:
    return '' if seconds is None else f'{1e3 * max(seconds, 0.0):.0f} ms'


def _processor() -> str:
    for line in Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines():
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.processor()
