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
"""What the tensors of an ONNX file claim, read before any runtime opens it.

A tensor may say that it is larger than the file that holds it, which a runtime believes and
allocates, or that it lies in another file, which a runtime follows past the bundle's digests. The
robot has no `onnx` package, so this walks the protobuf wire format
(protobuf.dev/programming-guides/encoding) along the few fields of onnx.proto that lead to a
TensorProto. Nothing is copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

# message -> field number -> message that it holds; field numbers from onnx/onnx.proto.
_FIELDS: dict[str, dict[int, str]] = {
    'model': {7: 'graph', 20: 'training', 25: 'function'},
    'training': {1: 'graph', 2: 'graph'},
    'function': {7: 'node', 11: 'attribute'},
    'graph': {1: 'node', 5: 'tensor', 15: 'sparse'},
    'node': {5: 'attribute'},
    'attribute': {5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse'},
}
_DIMS, _TYPE, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14
_STRINGS = 6
# Fields that hold numbers one by one, and the fewest bytes that one takes there.
_NUMBERS = {4: 4, 5: 1, 7: 1, 10: 8, 11: 1}
# Bits of one element by TensorProto.DataType; 8 is a string, kept elsewhere.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64,
         14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2,
         26: 2, 27: 6, 28: 6}
_MAX_DEPTH = 64
_MAX_DIMENSIONS = 16

_Value = int | memoryview


class GraphFileError(ValueError):
    """A file that is no ONNX graph, or that claims what it must not."""


def external_extents(model: bytes | memoryview) -> dict[str, int]:
    """Files that a serialised ModelProto keeps tensors in, each with the bytes it must have.

    Raises GraphFileError for bytes that are no protobuf message, a tensor that is larger than its
    data, and a sparse tensor, which may unfold to any size.
    """
    extents: dict[str, int] = {}
    for tensor in _walk(memoryview(model), 'model', 0):
        located = _examine(tensor)
        if located is not None:
            location, end = located
            extents[location] = max(end, extents.get(location, 0))
    return extents


def _walk(message: memoryview, kind: str, depth: int) -> Iterator[memoryview]:
    """Every TensorProto within."""
    if depth > _MAX_DEPTH:
        raise GraphFileError('messages nest too deeply')
    if kind == 'sparse':
        raise GraphFileError('it holds a sparse tensor')
    if kind == 'tensor':
        yield message
        return
    for number, value in _split(message):
        if number in _FIELDS[kind]:
            yield from _walk(_bytes(value), _FIELDS[kind][number], depth + 1)


def _examine(tensor: memoryview) -> tuple[str, int] | None:
    """Compare a TensorProto's size with its data; location and end of data in another file."""
    dims: list[int] = []
    elements, payload, strings, kind, name = 0, 0, 0, 0, ''
    external: dict[str, str] = {}
    elsewhere = False
    for number, value in _split(tensor):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else _varints(value)
            if len(dims) > _MAX_DIMENSIONS:  # their product would keep a core busy for minutes
                raise GraphFileError(f'a tensor has over {_MAX_DIMENSIONS} dimensions')
        elif number == _TYPE:
            kind = _int(value)
        elif number == _NAME:
            name = bytes(_bytes(value)).decode(errors='replace')
        elif number == _RAW:
            payload += len(_bytes(value))
        elif number in _NUMBERS:
            elements += 1 if isinstance(value, int) else len(value) // _NUMBERS[number]
        elif number == _STRINGS:
            strings += 1
        elif number == _EXTERNAL:
            entry = dict(_split(_bytes(value)))
            key, text = (bytes(_bytes(entry.get(i, memoryview(b'')))).decode(errors='replace')
                         for i in (1, 2))
            external[key] = text
        elif number == _LOCATION:
            elsewhere = _int(value) == 1
    size = prod(dims)
    bits = size * _BITS.get(kind, 8)
    if elsewhere or external:
        return _external_extent(name, external, (bits + 7) // 8)
    # Numbers kept one by one may hold several small elements each, at most four of 2 bits in 8.
    room = max(payload * 8, elements * max(_BITS.get(kind, 8), 8), strings * 8)
    if bits > room:
        raise GraphFileError(f'tensor "{name}" claims {size} elements, of which '
                             f'{room // _BITS.get(kind, 8)} are there')
    return None


def _external_extent(name: str, entries: dict[str, str], needed: int) -> tuple[str, int]:
    try:
        offset = int(entries.get('offset') or 0)
        length = int(entries.get('length') or needed)
    except ValueError as error:
        raise GraphFileError(f'tensor "{name}" lies at no number of another file') from error
    if min(offset, length) < 0 or needed > length:
        raise GraphFileError(f'tensor "{name}" claims {needed} bytes, of which {length} are there')
    return entries.get('location', ''), offset + length


def _int(value: _Value) -> int:
    if not isinstance(value, int):
        raise GraphFileError('a number is not one')
    return value


def _bytes(value: _Value) -> memoryview:
    if isinstance(value, int):
        raise GraphFileError('a message is not one')
    return value


def _split(message: memoryview) -> Iterator[tuple[int, _Value]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        value: _Value
        if wire_type == 0:
            value, position = _varint(message, position)
        else:
            if wire_type == 2:
                size, position = _varint(message, position)
            elif wire_type in (1, 5):
                size = 8 if wire_type == 1 else 4
            else:
                raise GraphFileError(f'unknown wire type {wire_type}')
            if position + size > len(message):
                raise GraphFileError('message ends in the middle of a field')
            value, position = message[position:position + size], position + size
        if number == 0:
            raise GraphFileError('field number 0')
        yield number, value


def _varints(packed: memoryview) -> list[int]:
    numbers, position = [], 0
    while position < len(packed):
        number, position = _varint(packed, position)
        numbers.append(number)
    return numbers


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise GraphFileError('message ends in the middle of a number')
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise GraphFileError('number is too long')
