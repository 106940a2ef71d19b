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

"""
Toy models that fail on demand, inside ONNX Runtime, where real ones do.

The first pixel of a picture decides: blue 255 lets the encoder compute for minutes, green 255 makes
its latent NaN. Where joint 1 moves faster than RACING every imagined future is NaN, where joint 0
does, imagining can be slow. What sound observations give is the toy's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from toy_bundle import toy_image, toy_manifest, write_toy_bundle

from world_model_ros.bundle import Bundle, write_manifest

RACING = 4.0  # rad/s
_FOR_MINUTES = 10**9  # turns


def hanging_image(position: Any) -> NDArray[np.uint8]:
    """A picture on which the encoder of `write_faulty_bundle` hangs."""
    image = toy_image(position)
    image[0, 0, 2] = 255
    return image


def nan_image(position: Any) -> NDArray[np.uint8]:
    """A picture of which the encoder of `write_faulty_bundle` makes NaN."""
    image = toy_image(position)
    image[0, 0, 1] = 255
    return image


def write_faulty_bundle(
    folder: Path, change: Callable[[dict[str, Any]], None] = lambda manifest: None, *,
    slow_rollout: float = 0.0, drift: float = 0.0, goals: bool = False,
) -> Bundle:
    """Write a toy that fails on demand.

    slow_rollout: seconds that each call of the rollout takes, at least, where joint 0 is racing
    drift: what is added to every imagined latent (the golden vectors know it): a worse model
    goals: whether a goal picture decides, too
    """
    write_toy_bundle(folder, change)
    for name, output in (('encoder', 'latent'), ('goal_encoder', 'goal'))[:1 + goals]:
        encoder = onnx.load(folder / f'{name}.onnx')
        _fail_on_demand(encoder, output)
        onnx.save(encoder, folder / f'{name}.onnx')
    rollout = onnx.load(folder / 'rollout.onnx')
    turns = round(slow_rollout / _seconds_per_turn()) if slow_rollout else 0
    _spoil_futures(rollout, turns, drift)
    onnx.save(rollout, folder / 'rollout.onnx')
    if drift:
        with np.load(folder / 'golden.npz') as golden:
            arrays = dict(golden)
        arrays['latents'] = arrays['latents'] + np.float32(drift)
        distances = np.linalg.norm(arrays['latents'][..., :2] - arrays['goal'][-1], axis=2)
        arrays['costs'] = distances.mean(1) + distances[:, -1]
        np.savez_compressed(folder / 'golden.npz', **arrays)
    manifest = toy_manifest()
    change(manifest)
    return write_manifest(folder, manifest)


def _fail_on_demand(encoder: onnx.ModelProto, output: str) -> None:
    node = helper.make_node
    _wrap(encoder, output, [
        node('Slice', ['image', 'f_from', 'f_to', 'f_axes'], ['f_first']),
        node('Cast', ['f_first'], ['f_pixel'], to=TensorProto.FLOAT),
        node('ReduceMax', ['f_pixel'], ['f_colour'], axes=[0, 1, 2], keepdims=0),
        node('Split', ['f_colour', 'f_ones'], ['f_red', 'f_green', 'f_blue'], axis=0),
        node('Greater', ['f_blue', 'f_nearly'], ['f_hangs']),
        node('Squeeze', ['f_hangs'], ['f_hangs_0']),
        node('Cast', ['f_hangs_0'], ['f_hangs_1'], to=TensorProto.INT64),
        node('Mul', ['f_hangs_1', 'f_minutes'], ['f_turns']),
        node('Loop', ['f_turns', '', 'f_zero'], ['f_nothing'], body=_turn()),
        node('Greater', ['f_green', 'f_nearly'], ['f_spoils']),
        node('Where', ['f_spoils', 'f_nan', 'f_zero'], ['f_poison']),
        node('Add', ['sound', 'f_nothing'], ['f_late']),
        node('Add', ['f_late', 'f_poison'], [output]),
    ], {
        'f_from': np.array([0, 0]), 'f_to': np.array([1, 1]), 'f_axes': np.array([1, 2]),
        'f_ones': np.array([1, 1, 1]), 'f_minutes': np.array(_FOR_MINUTES),
        'f_nearly': np.float32(254.5), 'f_zero': np.float32(0), 'f_nan': np.float32(np.nan),
    })


def _spoil_futures(rollout: onnx.ModelProto, turns: int, drift: float) -> None:
    node = helper.make_node
    _wrap(rollout, 'latents', [
        node('Slice', ['latent', 's_before', 's_from', 's_axis'], ['s_first_speed']),
        node('ReduceMax', ['s_first_speed'], ['s_first_fastest'], keepdims=0),
        node('Greater', ['s_first_fastest', 's_racing'], ['s_first_races']),
        node('Cast', ['s_first_races'], ['s_whether'], to=TensorProto.INT64),
        node('Mul', ['s_whether', 's_turns'], ['s_turns_now']),
        node('Loop', ['s_turns_now', '', 's_zero'], ['s_nothing'], body=_turn()),
        node('Add', ['s_nothing', 's_drift'], ['s_off']),
        node('Slice', ['latent', 's_from', 's_to', 's_axis'], ['s_speed']),
        node('Greater', ['s_speed', 's_racing'], ['s_races']),
        node('Where', ['s_races', 's_nan', 's_off'], ['s_poison']),
        node('Unsqueeze', ['s_poison', 's_axis'], ['s_poison_row']),
        node('Add', ['sound', 's_poison_row'], ['latents']),
    ], {
        's_turns': np.array(turns), 's_zero': np.float32(0), 's_drift': np.float32(drift),
        's_nan': np.float32(np.nan), 's_axis': np.array([1]),
        's_before': np.array([4]), 's_from': np.array([5]), 's_to': np.array([6]),
        's_racing': np.float32(RACING / 2),  # as the toy normalises it
    })


def _wrap(
    model: onnx.ModelProto, output: str, nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
) -> None:
    """Let `nodes` make `output` of what was `output` so far, which they know as `sound`."""
    for node in model.graph.node:
        node.output[:] = ['sound' if name == output else name for name in node.output]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    onnx.checker.check_model(model, full_check=True)


def _turn() -> onnx.GraphProto:
    """One turn of a loop that comes to nothing."""
    value = helper.make_tensor_value_info
    return helper.make_graph([
        helper.make_node('Identity', ['go'], ['go_on']),
        helper.make_node('Neg', ['nothing'], ['still_nothing']),
    ], 'turn', [value('turn', TensorProto.INT64, []), value('go', TensorProto.BOOL, []),
                value('nothing', TensorProto.FLOAT, [])],
        [value('go_on', TensorProto.BOOL, []), value('still_nothing', TensorProto.FLOAT, [])])


def _seconds_per_turn(turns: int = 20_000) -> float:
    graph = helper.make_graph([
        helper.make_node('Loop', ['turns', '', 'start'], ['result'], body=_turn()),
    ], 'probe', [helper.make_tensor_value_info('turns', TensorProto.INT64, [])],
        [helper.make_tensor_value_info('result', TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.float32(0), 'start')])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=['CPUExecutionProvider'])
    times = []
    for _ in range(3):  # the fastest: rather too slow a model than too fast a one
        started = time.perf_counter()
        session.run(None, {'turns': np.array(turns)})
        times.append(time.perf_counter() - started)
    return min(times) / turns
