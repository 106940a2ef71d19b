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
"""A tiny world model for tests, built by hand instead of trained: `write_toy_bundle(folder)`.

Two joints, 32x32 images, no learned number. An image shows the arm's joint positions as brightness:
`toy_image(position)` paints joint 0 into the left half and joint 1 into the right half. The encoder
reads both halves' means back, the rollout integrates velocities, so that plans toward a picture of
a pose can be judged exactly. Latent [6]: goal part = both positions as the picture shows them
[0:2], then joint positions [2:4] and velocities [4:6] from the joint state.

    from toy_bundle import toy_image, write_toy_bundle    # test/ is on pytest's path
    (pyproject.toml) bundle = write_toy_bundle(tmp_path)
    WorldModel(bundle).encode(toy_image([0.5, -0.2]), np.array([0.5, -0.2, 0, 0], np.float32))
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

from world_model_ros.bundle import Bundle, GoldenVectors, write_manifest

JOINTS = ('shoulder', 'elbow')
SIZE = 32
HORIZON = 16
STEP = 0.1
VELOCITY_LIMIT = 1.5
# Joint positions in radians from -RANGE to RANGE become brightness from 0 to 255.
RANGE = 3.0
_ACTION_STD = 1.5
SAMPLERS: dict[str, dict[str, Any]] = {
    'cem': {'sampler': 'cem'},
    'icem': {'sampler': 'icem', 'noise_exponent': 1.0, 'decay': 1.3, 'kept_elites': 3},
    'mppi': {'sampler': 'mppi', 'temperature': 0.05},
}
"""What chooses each sampler among planner settings, by its name."""

Float = NDArray[np.float32]


def toy_image(position: ArrayLike) -> NDArray[np.uint8]:
    """Image [32, 32, 3] uint8 that shows joint positions [2] in radians, to 0.0003 rad."""
    levels = (np.clip(np.asarray(position, float), -RANGE, RANGE) + RANGE) / (2 * RANGE) * 255
    image = np.empty((SIZE, SIZE, 3), np.uint8)
    half = SIZE // 2
    for joint, level in enumerate(levels):
        # Dithered, so that the mean resolves more than 255 levels.
        count = SIZE * half
        bright = np.arange(count) < round((level - np.floor(level)) * count)
        pixels = (np.floor(level) + bright).astype(np.uint8).reshape(SIZE, half, 1)
        image[:, joint * half:(joint + 1) * half] = pixels
    return image


def toy_manifest() -> dict[str, Any]:
    """The toy's manifest without digests, for tests that change one thing."""
    distance = {'source': 'goal', 'metric': 'l2', 'reduction': 'sum'}
    return {
        'model': {'name': 'toy', 'version': '1.0.0', 'license': 'Apache-2.0',
                  'source': 'test/toy_bundle.py'},
        'action': {
            'kind': 'joint_velocity', 'names': list(JOINTS), 'units': ['rad/s'] * 2,
            'lower': [-VELOCITY_LIMIT] * 2, 'upper': [VELOCITY_LIMIT] * 2,
            'normalization': {'mean': [0.0, 0.0], 'std': [_ACTION_STD] * 2},
            'step_duration': STEP, 'rows_per_step': 1, 'frozen': {}, 'dead_band': [0.0, 0.0],
        },
        'image': {'width': SIZE, 'height': SIZE, 'crop': 'center_square', 'interpolation': 'area',
                  'color': 'rgb', 'frames': 1, 'normalization': 'in_graph'},
        'proprioception': {
            'rule': 'predicted', 'joints': list(JOINTS), 'fields': ['position', 'velocity'],
            'normalization': {'mean': [0.0] * 4, 'std': [1.0, 1.0, 2.0, 2.0]},
        },
        'latent': {'shape': [6], 'parts': {'goal': {'start': 0, 'stop': 2},
                                           'joints': {'start': 2, 'stop': 6}}},
        'graphs': {
            'encoder': {'file': 'encoder.onnx'},
            'goal_encoder': {'file': 'goal_encoder.onnx', 'parts': ['goal'],
                             'proprioception': False},
            'rollout': {'file': 'rollout.onnx', 'kind': 'markov'},
        },
        'cost': {'objective': 'goal', 'terms': [
            {**distance, 'steps': 'mean', 'weight': 1.0},
            {**distance, 'steps': 'last', 'weight': 1.0},
        ]},
        'goal': {**distance, 'reached': 0.02},
        'planner': {
            'sampler': 'cem', 'horizon': HORIZON, 'knots': [0, 2, 4, 8], 'interpolation': 'hold',
            'samples': 64, 'iterations': 4, 'elites': 8, 'sigma': [0.6, 0.6],
            'sigma_min': [0.02, 0.02], 'momentum': 0.1, 'constant_grid': 5, 'memory': 64,
        },
        'golden': {'file': 'golden.npz', 'tolerance': 1e-4},
    }


def write_toy_bundle(
    folder: Path,
    change: Callable[[dict[str, Any]], None] | None = None,
    *,
    nan_above: float | None = None,
    horizon_in_graph: int | str = 'horizon',
    cameras: tuple[str, str] | None = None,
) -> Bundle:
    """Write the toy into `folder` (made if missing) and load it.

    `change` may edit the manifest's plain mapping before it is written. With `nan_above`, imagined
    latents turn NaN where joint 0 is driven faster than that many rad/s: a model that fails in
    places. `horizon_in_graph` fixes the rollout's number of steps. With `cameras`, joint 0 is read
    from the left half of the first one's picture and joint 1 from the right half of the second's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    is_double = cameras is not None
    _save(_encoder(with_proprioception=True, is_double=is_double), folder / 'encoder.onnx')
    _save(_encoder(with_proprioception=False, is_double=is_double), folder / 'goal_encoder.onnx')
    _save(_rollout(nan_above, horizon_in_graph), folder / 'rollout.onnx')
    toy_golden(is_double).save(folder / 'golden.npz')
    manifest = toy_manifest()
    if cameras is not None:
        manifest['image']['cameras'] = list(cameras)
    if change:
        change(manifest)
    return write_manifest(folder, manifest)


def toy_golden(is_double: bool = False) -> GoldenVectors:
    """Golden vectors from this file's own arithmetic, not from the graphs."""
    position = np.array([[0.5, -0.25], [-1.0, 2.0]])
    velocity = np.array([[0.0, 0.5], [-1.0, 0.0]])
    image = np.stack([toy_image(p) for p in position])
    half = SIZE // 2
    seen = np.stack([image[:, :, :half, 0].mean((1, 2)), image[:, :, half:, 0].mean((1, 2))], 1)
    goal = seen / 255 * 2 * RANGE - RANGE
    latent = np.concatenate([goal, position, velocity / 2], 1)
    actions = np.linspace(-1, 1, 3 * HORIZON * 2).reshape(3, HORIZON, 2)
    moved = STEP * np.cumsum(actions, 1)
    latents = np.concatenate([latent[0, :2] + moved, latent[0, 2:4] + moved, actions / 2], 2)
    distances = np.linalg.norm(latents[..., :2] - goal[-1], axis=2)
    if is_double:  # each joint is in one camera's picture only
        zero = toy_image([0.0, 0.0])
        first, second = image.copy(), image.copy()
        first[:, :, half:], second[:, :, :half] = zero[:, half:], zero[:, :half]
        image = np.stack([first, second], 1)
    return GoldenVectors(
        image=image, proprioception=np.concatenate([position, velocity], 1).astype(np.float32),
        latent=latent.astype(np.float32), goal=goal.astype(np.float32),
        actions=actions.astype(np.float32), latents=latents.astype(np.float32),
        costs=(distances.mean(1) + distances[:, -1]).astype(np.float32))


def _constant(name: str, value: ArrayLike, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def _encoder(with_proprioception: bool, is_double: bool) -> onnx.ModelProto:
    """Mean of red over each half, scaled back to radians; the joint state appended as it is."""
    half = SIZE // 2
    shape = [2, SIZE, SIZE, 3] if is_double else [SIZE, SIZE, 3]
    columns = np.arange(np.prod(shape)).reshape(-1, SIZE, SIZE, 3)
    weight = np.zeros((columns.size, 2))
    weight[columns[0, :, :half, 0].ravel(), 0] = 2 * RANGE / 255 / (SIZE * half)
    weight[columns[-1, :, half:, 0].ravel(), 1] = 2 * RANGE / 255 / (SIZE * half)
    seen = 'seen' if with_proprioception else 'goal'
    nodes = [
        helper.make_node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT),
        helper.make_node('Flatten', ['pixels'], ['flat'], axis=1),
        helper.make_node('Gemm', ['flat', 'weight', 'offset'], [seen]),
    ]
    inputs = [helper.make_tensor_value_info('image', TensorProto.UINT8, ['batch', *shape])]
    if with_proprioception:
        nodes.append(helper.make_node('Concat', ['seen', 'proprioception'], ['latent'], axis=1))
        inputs.append(helper.make_tensor_value_info(
            'proprioception', TensorProto.FLOAT, ['batch', 4]))
        output = helper.make_tensor_value_info('latent', TensorProto.FLOAT, ['batch', 6])
    else:
        output = helper.make_tensor_value_info('goal', TensorProto.FLOAT, ['batch', 2])
    return _model(nodes, inputs, output,
                  [_constant('weight', weight), _constant('offset', [-RANGE, -RANGE])])


def _rollout(nan_above: float | None, horizon: int | str) -> onnx.ModelProto:
    """Positions integrate the actions, velocities are the actions."""
    nodes = [
        helper.make_node('Mul', ['actions', 'std'], ['velocity']),
        helper.make_node('CumSum', ['velocity', 'axis'], ['sum']),
        helper.make_node('Mul', ['sum', 'step'], ['moved']),
        helper.make_node('Unsqueeze', ['latent', 'axis'], ['start']),
        helper.make_node('Slice', ['start', 'zero', 'two', 'last'], ['seen']),
        helper.make_node('Slice', ['start', 'two', 'four', 'last'], ['position']),
        helper.make_node('Add', ['seen', 'moved'], ['seen_later']),
        helper.make_node('Add', ['position', 'moved'], ['position_later']),
        helper.make_node('Mul', ['velocity', 'to_field'], ['velocity_later']),
        helper.make_node('Concat', ['seen_later', 'position_later', 'velocity_later'],
                         ['latents' if nan_above is None else 'sound'], axis=2),
    ]
    constants = [
        _constant('std', [_ACTION_STD] * 2), _constant('step', STEP), _constant('to_field', 0.5),
        _constant('axis', 1, np.int64), _constant('zero', [0], np.int64),
        _constant('two', [2], np.int64), _constant('four', [4], np.int64),
        _constant('last', [2], np.int64),
    ]
    if nan_above is not None:
        # The root of a negative number is NaN; 0 * root leaves the sound ones alone.
        nodes += [
            helper.make_node('Slice', ['velocity', 'zero', 'one', 'last'], ['speed']),
            helper.make_node('Sub', ['threshold', 'speed'], ['room']),
            helper.make_node('Sqrt', ['room'], ['root']),
            helper.make_node('Mul', ['root', 'nothing'], ['poison']),
            helper.make_node('Add', ['sound', 'poison'], ['latents']),
        ]
        constants += [_constant('one', [1], np.int64), _constant('threshold', nan_above),
                      _constant('nothing', 0.0)]
    inputs = [
        helper.make_tensor_value_info('latent', TensorProto.FLOAT, ['batch', 6]),
        helper.make_tensor_value_info('actions', TensorProto.FLOAT, ['batch', horizon, 2]),
    ]
    output = helper.make_tensor_value_info('latents', TensorProto.FLOAT, ['batch', horizon, 6])
    return _model(nodes, inputs, output, constants)


def _model(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto],
           output: onnx.ValueInfoProto, constants: list[onnx.TensorProto]) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, 'toy', inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


def _save(model: onnx.ModelProto, path: Path) -> None:
    path.write_bytes(model.SerializeToString())
