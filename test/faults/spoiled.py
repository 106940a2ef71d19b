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
"""A copy of a bundle that fails on demand: where the picture's corner has one of three colours.

The graphs stay what they are, with nodes added around them, so that the faults happen where real
ones do: inside ONNX Runtime, in the model's own process, at full speed.

    NAN_LATENT   the encoder's latent is NaN
    NAN_ROLLOUT  the latent is finite but far off, and every rollout that starts from it is NaN
    HANG         the encoder works for `hang` seconds on one picture
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import yaml
from onnx import TensorProto, helper, numpy_helper

from world_model_ros.bundle import load_bundle, write_manifest

NAN_LATENT = (255, 0, 255)
NAN_ROLLOUT = (0, 255, 0)
HANG = (255, 255, 0)

_FAR_OFF = 1e7
_PROBE = 300_000  # turns of the loop by which its speed is measured


def spoil(source: Path, target: Path, hang: float, ballast: int = 0) -> Path:
    """Write a copy of the bundle `source` to `target` that fails on demand; return `target`.

    `ballast`: bytes by which its encoder is larger, for nothing.
    """
    bundle = load_bundle(source)
    target.mkdir(parents=True)
    for name in bundle.manifest.files:
        (target / name).write_bytes((source / name).read_bytes())
    graphs = bundle.manifest.graphs
    encoder = onnx.load(target / graphs.encoder.file)
    # A processor that is busy now is faster later: rather too many turns than too few.
    turns = round(hang * _PROBE / _seconds_of(_PROBE))
    weights = numpy_helper.from_array(np.zeros(ballast // 4, np.float32), 'ballast')
    _wrap(encoder, 'latent', _encoder_nodes(turns), [*_constants(), *([weights] * bool(ballast))])
    onnx.save(encoder, target / graphs.encoder.file)
    rollout = onnx.load(target / graphs.rollout.file)
    _wrap(rollout, 'latents', _rollout_nodes(), _constants())
    onnx.save(rollout, target / graphs.rollout.file)
    manifest: dict[str, Any] = yaml.safe_load((source / 'bundle.yaml').read_text(encoding='utf-8'))
    for filled_in in ('schema_version', 'files'):
        del manifest[filled_in]
    (target / manifest['golden']['file']).write_bytes(
        (source / manifest['golden']['file']).read_bytes())
    write_manifest(target, manifest)
    return target


def _wrap(
    model: onnx.ModelProto, output: str, nodes: Sequence[onnx.NodeProto],
    constants: Sequence[onnx.TensorProto],
) -> None:
    """Let `nodes` make `output` from what was `output` so far, which they know as 'sound'."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == output:
                    names[index] = 'sound'
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    onnx.checker.check_model(model, full_check=True)


def _constants() -> list[onnx.TensorProto]:
    def constant(name: str, value: Any, kind: Any) -> onnx.TensorProto:
        return numpy_helper.from_array(np.asarray(value, kind), f'spoil_{name}')

    return [
        constant('one', [1], np.int64), constant('rows', [1, 2], np.int64),
        constant('origin', [0, 0], np.int64), constant('corner', [1, 1], np.int64),
        constant('last', [-1], np.int64), constant('flat', [-1, 3], np.int64),
        constant('nan', np.nan, np.float32), constant('far_off', _FAR_OFF, np.float32),
        constant('limit', 0.1 * _FAR_OFF, np.float32),
        constant('nan_latent', NAN_LATENT, np.float32),
        constant('nan_rollout', NAN_ROLLOUT, np.float32), constant('hang', HANG, np.float32)]


def _encoder_nodes(turns: int) -> list[onnx.NodeProto]:
    node = helper.make_node
    nodes = [
        node('Slice', ['image', 'spoil_origin', 'spoil_corner', 'spoil_rows'], ['spoil_pixel']),
        node('Cast', ['spoil_pixel'], ['spoil_float'], to=TensorProto.FLOAT),
        node('Reshape', ['spoil_float', 'spoil_flat'], ['spoil_colour'])]
    for fault in ('nan_latent', 'nan_rollout', 'hang'):
        nodes += [
            node('Sub', ['spoil_colour', f'spoil_{fault}'], [f'spoil_{fault}_off']),
            node('Abs', [f'spoil_{fault}_off'], [f'spoil_{fault}_distance']),
            node('ReduceMax', [f'spoil_{fault}_distance', 'spoil_last'],
                 [f'spoil_{fault}_largest'], keepdims=1),
            node('Less', [f'spoil_{fault}_largest', 'spoil_half'], [f'spoil_{fault}_seen'])]
    nodes.insert(0, node('Constant', [], ['spoil_half'], value_float=0.5))
    scalar = helper.make_tensor_value_info('spoil_nothing', TensorProto.FLOAT, [])
    idle = helper.make_graph(
        [node('Constant', [], ['spoil_nothing'], value_float=0.0)], 'idle', [], [scalar])
    work = helper.make_graph([
        node('Constant', [], ['turns'], value_int=turns),
        node('Constant', [], ['start'], value_float=0.0),
        node('Loop', ['turns', '', 'start'], ['spoil_nothing'], body=_turn()),
    ], 'work', [], [scalar])
    nodes += [
        node('ReduceMin', ['spoil_hang_largest'], ['spoil_hang_nearest'], keepdims=0),
        node('Less', ['spoil_hang_nearest', 'spoil_half'], ['spoil_hangs']),
        node('If', ['spoil_hangs'], ['spoil_delay'], then_branch=work, else_branch=idle),
        node('Add', ['sound', 'spoil_delay'], ['spoil_late']),
        node('Where', ['spoil_nan_rollout_seen', 'spoil_far_off', 'spoil_late'], ['spoil_far']),
        node('Where', ['spoil_nan_latent_seen', 'spoil_nan', 'spoil_far'], ['latent'])]
    return nodes


def _rollout_nodes() -> list[onnx.NodeProto]:
    node = helper.make_node
    return [
        node('Abs', ['latent'], ['spoil_size']),
        node('ReduceMax', ['spoil_size', 'spoil_last'], ['spoil_largest'], keepdims=1),
        node('Greater', ['spoil_largest', 'spoil_limit'], ['spoil_is_far']),
        node('Unsqueeze', ['spoil_is_far', 'spoil_one'], ['spoil_everywhere']),
        node('Where', ['spoil_everywhere', 'spoil_nan', 'sound'], ['latents'])]


def _turn() -> onnx.GraphProto:
    """One turn of a loop that comes to nothing: 0 * 0.5."""
    value = helper.make_tensor_value_info
    return helper.make_graph([
        helper.make_node('Identity', ['go'], ['go_on']),
        helper.make_node('Constant', [], ['half'], value_float=0.5),
        helper.make_node('Mul', ['nothing', 'half'], ['still_nothing']),
    ], 'turn', [value('turn', TensorProto.INT64, []), value('go', TensorProto.BOOL, []),
                value('nothing', TensorProto.FLOAT, [])],
        [value('go_on', TensorProto.BOOL, []), value('still_nothing', TensorProto.FLOAT, [])])


def _seconds_of(turns: int) -> float:
    """Return how long the loop takes for `turns` here."""
    count = helper.make_tensor_value_info('turns', TensorProto.INT64, [])
    result = helper.make_tensor_value_info('result', TensorProto.FLOAT, [])
    graph = helper.make_graph([
        helper.make_node('Constant', [], ['start'], value_float=0.0),
        helper.make_node('Loop', ['turns', '', 'start'], ['result'], body=_turn()),
    ], 'probe', [count], [result])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 20)], ir_version=10)
    session = ort.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider'])
    started = time.process_time()
    session.run(None, {'turns': np.array(turns, np.int64)})
    return time.process_time() - started
