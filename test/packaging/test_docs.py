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

"""What the documents say leads somewhere: links, anchors, commands, options and files."""

import argparse
import importlib
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from faults.table import FAULTS

from world_model_ros.bringup.launch_arguments import LAUNCH_FILES, ROBOT
from world_model_ros.cli.main import SUBCOMMANDS, Subcommand
from world_model_ros.demo import graph

ROOT = Path(__file__).parents[2]
DOCS = ROOT / 'docs'
sys.path.insert(0, str(DOCS / 'examples'))
PAGES = sorted([*ROOT.glob('*.md'), *DOCS.rglob('*.md')])
COMMANDS = {entry.name: entry.module for entry in SUBCOMMANDS}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r'(?ms)^ *```.*?^ *```$', '', page.read_text())


def links(page: Path) -> list[str]:
    """Return the targets of links and pictures."""
    return re.findall(r'\]\(\s*([^)\s]+)[^)]*\)', re.sub(r'`[^`\n]*`', '', prose(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r'(?m)^#+ +(.+?) *$', prose(page)):
        text = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
        slug = re.sub(r'[^\w\- ]', '', text.lower()).replace(' ', '-')
        found.add(f'{slug}-{seen[slug]}' if seen[slug] else slug)
        seen[slug] += 1
    return found


def target(page: Path, link: str) -> tuple[Path, str]:
    """Return the file and the anchor that a relative link means."""
    path, _, anchor = unquote(link).partition('#')
    return ((page.parent / path).resolve() if path else page), anchor


def is_relative(link: str) -> bool:
    return not re.match(r'[a-z][a-z0-9+.-]*:', link)


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_every_link_leads_to_a_file_of_the_repository_and_a_heading_in_it(page: Path) -> None:
    for link in filter(is_relative, links(page)):
        file, anchor = target(page, link)
        assert file.exists() and file.is_relative_to(ROOT), f'{link} leads nowhere'
        if anchor:
            assert anchor in anchors(file), f'{name(file)} has no heading for {link}'


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, new = set(), {DOCS / 'README.md'}
    while new:
        reached |= new
        found = {target(page, link)[0] for page in new for link in filter(is_relative, links(page))}
        new = {page for page in found if page.suffix == '.md' and page.is_file()} - reached
    assert {name(page) for page in DOCS.rglob('*.md')} <= {name(page) for page in reached}


def shell_lines() -> Iterator[tuple[str, list[str]]]:
    """Yield the words of every command in the blocks for a shell, with the page that it is on."""
    for page in PAGES:
        for block in re.findall(r'(?ms)^ *```sh\n(.*?)^ *```$', page.read_text()):
            command = ''
            for line in re.sub(r'\\\n', ' ', block).splitlines():
                command += f'{line}\n'
                try:
                    words = shlex.split(command, comments=True)
                except ValueError:  # a quotation goes on in the next line
                    continue
                command = ''
                if words and '...' not in words:
                    yield name(page), words
            assert not command, f'{name(page)}: a quotation does not end'


LINES = list(shell_lines())


def arguments_of(words: list[str], *program: str) -> list[str] | None:
    """Return what follows a program in a command, or None if it is another command."""
    for start in range(len(words)):
        path = words[start].rpartition('/')[2]
        if [path, *words[start + 1:start + len(program)]] == list(program):
            return words[start + len(program):]
    return None


def test_every_wmros_command_in_the_documents_is_one_that_wmros_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried = 0
    for page, words in LINES:
        given = arguments_of(words, 'wmros')
        if given is None:
            continue
        module: Subcommand = importlib.import_module(COMMANDS[given[0]])  # type: ignore
        parser = argparse.ArgumentParser(exit_on_error=False)
        module.add_arguments(parser)
        try:
            parser.parse_args(given[1:])
        except (SystemExit, argparse.ArgumentError) as error:
            pytest.fail(f'{page}: {shlex.join(words)}: {error} {capsys.readouterr().err}')
        tried += 1
    assert tried > 10


def test_every_goal_py_command_in_the_documents_is_one_that_it_takes() -> None:
    import goal

    given = [(page, words) for page, line in LINES if (words := arguments_of(line, 'goal.py'))]
    assert {words[0] for _, words in given} == {'take', 'send', 'show'}
    for page, words in given:
        try:
            goal.command_line().parse_args([word for word in words if word != '&'])
        except SystemExit:
            pytest.fail(f'{page}: {shlex.join(words)}')


def test_every_launch_command_in_the_documents_names_arguments_that_there_are() -> None:
    tried = 0
    for page, words in LINES:
        given = arguments_of(words, 'ros2', 'launch', 'world_model_ros')
        if given is None:
            continue
        known = set(LAUNCH_FILES[given[0]]) | (set(ROBOT) if 'gazebo' in given[0] else set())
        asked = {word.partition(':=')[0] for word in given[1:] if ':=' in word}
        assert asked <= known, f'{page}: {given[0]} has no {asked - known}'
        tried += 1
    assert tried > 3


def test_the_tutorial_wires_the_nodes_as_the_demo_does() -> None:
    for node, unused in ((graph.SIMULATOR, set()), (graph.CONTROLLER, {'joint_trajectory'}),
                         (graph.WORLD_MODEL, {'image/compressed'})):
        words = next(words for page, words in LINES if page == 'docs/tutorial.md'
                     and words[0] == f'.venv/bin/{node.name}')
        wired = dict(word.split(':=') for option, word in pairwise(words) if option == '-r')
        assert wired == {name: topic for name, topic in node.remappings.items()
                         if name not in unused}


def test_the_documents_have_as_many_faults_as_are_injected_each_by_its_name() -> None:
    table = (DOCS / 'reliability.md').read_text()
    rows = re.findall(r'(?m)^\| \*\*(.+?)\*\* \|', table)
    # Twice: what one sees, and how it was tried. What lacks one: pytest test/faults --write-docs
    assert Counter(rows) == Counter(2 * [fault.name for fault in FAULTS])
    for page in (ROOT / 'README.md', DOCS / 'tutorial.md', DOCS / 'reliability.md'):
        told = re.findall(r'\b(\d+) (?:such )?faults\b', page.read_text())
        assert told and set(map(int, told)) == {len(FAULTS)}, name(page)


def test_every_program_of_the_repository_that_the_documents_start_is_there() -> None:
    started = {(page, word) for page, words in LINES for word in words
               if re.fullmatch(r'(benchmarks|tools|docs|test)/[\w/]+\.py', word)}
    assert len(started) > 3
    assert not {(page, file) for page, file in started if not (ROOT / file).is_file()}
