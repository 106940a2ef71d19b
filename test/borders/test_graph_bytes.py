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

"""A graph is a stranger's bytes: none that is damaged or leads out of the bundle is run."""

from random import Random

import onnx
import pytest
from hostile import Defect, storm
from onnx import TensorProto, helper

from world_model_ros.bundle.graph_file import GraphFileError, external_extents
from world_model_ros.bundle.load import _external_faults

SIZES = {'encoder.onnx': 1000, 'short.bin': 8}  # listed in the manifest, with a digest


def small_graph(random: Random) -> onnx.ModelProto:
    """An identity with a few weights, some of them in subgraphs, as bytes of a ModelProto."""
    weight = helper.make_tensor('w', TensorProto.FLOAT, [4], [random.random() for _ in range(4)])
    nodes = [helper.make_node('Add', ['x', 'w'], ['y'])]
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [4])], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def hostile_graph(random: Random) -> Defect:
    model = small_graph(random)
    defect = random.choice(('cut', 'wire type', 'long number', 'huge length', 'deep', 'field zero',
                            'external weight', 'external attribute', 'external in a subgraph',
                            'not a message', 'random', 'external by location alone',
                            'claims more', 'many dimensions', 'sparse'))
    tensor = model.graph.initializer[0]
    location = random.choice(('weights.bin', '/etc/passwd', '../encoder.onnx', 'short.bin', '',
                              'a/../short.bin', './short.bin', 'short.bin\0', 'file:///dev/zero'))
    if defect.startswith('external'):
        if defect == 'external attribute':
            node = model.graph.node.add(op_type='Constant', output=['c'])
            tensor = node.attribute.add(name='value', type=onnx.AttributeProto.TENSOR).t
        elif defect == 'external in a subgraph':
            node = model.graph.node.add(op_type='If', output=['c'])
            branch = node.attribute.add(name='then_branch', type=onnx.AttributeProto.GRAPH).g
            tensor = branch.initializer.add(name='deep')
        if tensor is not model.graph.initializer[0]:
            tensor.dims[:], tensor.data_type = [4], TensorProto.FLOAT
        tensor.ClearField('float_data')
        tensor.data_location = TensorProto.EXTERNAL
        if defect != 'external by location alone':
            tensor.external_data.add(key='location', value=location)
        return defect, model.SerializeToString()
    if defect == 'claims more':
        tensor.dims[:] = random.choice(([5], [2**40], [2**31, 2**31, 4], [4, 2**62]))
        return defect, model.SerializeToString()
    if defect == 'many dimensions':
        tensor.dims[:] = [2**62] * random.choice((17, 100, 3000))
        return defect, model.SerializeToString()
    if defect == 'sparse':
        model.graph.sparse_initializer.add(dims=[2**40])
        return defect, model.SerializeToString()
    sound = model.SerializeToString()
    if defect == 'cut':
        graph = sound.index(b'\x3a')  # the graph, field 7, ends the message but for the opset
        return defect, sound[:random.randrange(graph + 2, graph + 2 + sound[graph + 1])]
    if defect == 'wire type':
        return defect, sound + bytes([random.choice((3, 4, 6, 7)) | random.randrange(1, 16) << 3])
    if defect == 'long number':
        return defect, sound + b'\x08' + b'\xff' * random.randint(10, 3000)
    if defect == 'huge length':
        return defect, sound + b'\x3a' + varint(random.choice((2**20, 2**31, 2**63, 2**69)))
    if defect == 'deep':
        content = b''
        for _ in range(random.randint(30, 300)):
            content = field(1, field(5, field(6, content)))  # graph.node.attribute.graph
        return defect, field(7, content)
    if defect == 'field zero':
        return defect, sound + b'\x02\x00'
    if defect == 'not a message':
        return defect, sound + b'\x38\x01'  # the graph as a number
    return defect, b'\xff' * random.randint(1, 100) + random.randbytes(20)


def test_no_hostile_graph_reaches_a_runtime() -> None:
    many = small_graph(Random(0))
    many.graph.initializer[0].dims[:] = [2**62] * 100_000
    with pytest.raises(GraphFileError, match='dimensions'):
        external_extents(many.SerializeToString())
    assert not external_extents(small_graph(Random(0)).SerializeToString())

    def refusal(content: bytes) -> str:
        try:
            extents = external_extents(content)
        except GraphFileError as error:
            return ' '.join(str(error).split())
        faults = _external_faults('graphs.encoder', 'encoder.onnx', extents, SIZES)
        return ' '.join(map(str, faults))

    storm('ONNX graph bytes', hostile_graph, refusal)
