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
"""Markdown that the tools beside this one write."""

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a `|` in a cell is escaped."""
    lines = [f'| {" | ".join(escape(cell) for cell in line)} |' for line in (head, *rows)]
    return '\n'.join([lines[0], f'|{"---|" * len(head)}', *lines[1:]])


def escape(text: str) -> str:
    """Return text as a cell of a table may hold it."""
    return text.replace('|', '\\|')


def one_line(text: str) -> str:
    """Return text without its line breaks."""
    return ' '.join(text.split())


def page(parts: Iterable[str]) -> str:
    """Return parts as one document, an empty line between them."""
    return '\n'.join(part.strip('\n') + '\n' for part in parts)
