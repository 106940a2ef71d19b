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

"""Reads YAML as plain data and nothing else, in a time that grows with the text's length.

A manifest comes from a stranger. In YAML, aliases unfold to gigabytes and tags make objects; YAML
1.1 reads 1:30 as 90, 010 as 8, 1e-4 as a text and 2024-05-01 as a date.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from world_model_ros.payload import shorten


def read_yaml(text: bytes) -> Any:
    """Return what `text` says; raises ValueError with a reason and a place."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # derives from SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(' '.join(str(error).split())) from error


class _StrictLoader(yaml.SafeLoader):
    """No aliases, no tags, no repeated keys, no dates, numbers as in YAML 1.2."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError('aliases (*name) are not allowed')
        if getattr(event, 'tag', None) is not None:
            raise yaml.YAMLError(f'tags ({shorten(event.tag)}) are not allowed')
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float):
                raise yaml.YAMLError('a key is neither text nor a number')
            if key in keys:
                raise yaml.YAMLError(f'the key "{shorten(str(key))}" appears twice')
            keys.add(key)
        return super().construct_mapping(node, deep)


_NUMBERS = {
    'int': r'[-+]?(0|[1-9][0-9]*)',
    'float': r'[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+'
             r'|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)',
}
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers
            if tag.rpartition(':')[2] not in (*_NUMBERS, 'timestamp')]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in _NUMBERS.items():
    _StrictLoader.add_implicit_resolver(
        f'tag:yaml.org,2002:{_name}', re.compile(f'^({_pattern})$'), list('-+.0123456789'))
