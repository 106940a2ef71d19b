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
"""Finds tensors that an ONNX graph keeps in other files, without opening the graph.

External data names a path that the runtime would follow, past the bundle's digests. The robot has
no `onnx` package, so this walks the protobuf wire format (protobuf.dev/programming-guides/encoding)
along the few fields of onnx.proto that lead to a TensorProto.
"""

from __future__ import annotations

from collections.abc import Iterator

# message -> field number -> message that it holds; field numbers from onnx/onnx.proto.
_FIELDS: dict[str, dict[int, str]] = {
    'model': {7: 'graph', 20: 'training', 25: 'function'},
    'training': {1: 'graph', 2: 'graph'},
    'function': {7: 'node', 11: 'attribute'},
    'graph': {1: 'node', 5: 'tensor', 15: 'sparse'},
    'node': {5: 'attribute'},
    'attribute': {5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse'},
    'sparse': {1: 'tensor', 2: 'tensor'},
    'tensor': {},
}
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION, _EXTERNAL = 13, 14, 1
_MAX_DEPTH = 64


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of a serialised ModelProto lives outside it.

    Raises ValueError if the bytes are not a protobuf message.
    """
    fields = list(_walk(memoryview(model), 'model', 0))
    return any(fields)


def _walk(message: memoryview, kind: str, depth: int) -> Iterator[bool]:
    if depth > _MAX_DEPTH:
        raise ValueError('messages nest too deeply')
    for number, value in _split(message):
        if kind == 'tensor':
            yield number == _TENSOR_EXTERNAL_DATA
            yield number == _TENSOR_DATA_LOCATION and value == _EXTERNAL
        elif number in _FIELDS[kind]:
            if not isinstance(value, memoryview):
                raise ValueError(f'field {number} of {kind} is not a message')
            yield from _walk(value, _FIELDS[kind][number], depth + 1)


def _split(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        value: int | memoryview
        if wire_type == 0:
            value, position = _varint(message, position)
        else:
            if wire_type == 2:
                size, position = _varint(message, position)
            elif wire_type in (1, 5):
                size = 8 if wire_type == 1 else 4
            else:
                raise ValueError(f'unknown wire type {wire_type}')
            if position + size > len(message):
                raise ValueError('message ends in the middle of a field')
            value, position = message[position:position + size], position + size
        if number == 0:
            raise ValueError('field number 0')
        yield number, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError('message ends in the middle of a number')
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError('number is too long')
