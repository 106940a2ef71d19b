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
"""A bundle at work on ONNX Runtime.

The rest of the program speaks physical units and NumPy; this is the one place that knows graphs,
normalisation and sessions. A model that does not do here what it did where it was exported is
refused when it is loaded, not when the robot moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from numpy.typing import NDArray

from world_model_ros.bundle import Bundle, BundleError, Fault, Normalization

Float = NDArray[np.float32]

_TYPES = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}
# Name, type and shape of a tensor; a dimension that is a name is dynamic.
_Tensor = tuple[str, str, tuple[int | str, ...]]


class InferenceError(ValueError):
    """An input that the model cannot take, or an output that is not finite."""


class WorldModel:
    """Encoder, goal encoder and rollout of one bundle.

    `threads` is ONNX Runtime's intra-op count. One is the safe choice for small models on a machine
    with other work: two threads that contend for cores double the latency.
    """

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        """Open the graphs, check them, run the golden vectors; raises BundleError."""
        self.bundle = bundle
        self._run_options = onnxruntime.RunOptions()
        manifest = bundle.manifest
        assert manifest.image is not None
        assert manifest.proprioception is not None
        self._image_shape = (manifest.image.height, manifest.image.width, 3)
        image: _Tensor = ('image', 'uint8', ('batch', *self._image_shape))
        proprioception: _Tensor = ('proprioception', 'float32',
                                   ('batch', manifest.proprioception.size))
        latent: _Tensor = ('latent', 'float32', ('batch', manifest.latent.size))
        goal: _Tensor = ('goal', 'float32', ('batch', *manifest.goal_shape))
        horizon = ('batch', manifest.planner.horizon)
        actions: _Tensor = ('actions', 'float32', (*horizon, manifest.action.size))
        latents: _Tensor = ('latents', 'float32', (*horizon, manifest.latent.size))
        open_graph = _Opener(bundle, threads)
        self._encoder = open_graph('encoder', [image, proprioception], latent)
        self._goal_encoder = open_graph('goal_encoder', [image], goal)
        self._rollout = open_graph('rollout', [latent, actions], latents)
        self._proprioception_mean, self._proprioception_scale = _affine(
            manifest.proprioception.normalization)
        self._action_mean, self._action_scale = _affine(manifest.action.normalization)
        self._check_golden()

    def encode(self, image: NDArray[np.uint8], proprioception: Float) -> Float:
        """Latent [D] of an observation.

        image: uint8 [height, width, 3] RGB, cropped and resized as the bundle says
        proprioception: float32 [P] in physical units, ordered as the bundle says
        Raises InferenceError for a wrong shape or type, or numbers that are not finite.
        """
        self._check_image(image)
        expected = self._proprioception_mean.shape
        if proprioception.shape != expected or not np.isfinite(proprioception).all():
            raise InferenceError(f'proprioception {proprioception.tolist()} is not {expected[0]} '
                                 'finite numbers: check the joint state')
        state = (proprioception - self._proprioception_mean) * self._proprioception_scale
        latent = self._run(self._encoder, {'image': image[None],
                                           'proprioception': state.astype(np.float32)[None]})[0]
        return _finite('encoder', latent)

    def encode_goal(self, image: NDArray[np.uint8]) -> Float:
        """Goal [G], the part of a latent that a picture alone addresses; `image` as in `encode`."""
        self._check_image(image)
        return _finite('goal encoder', self._run(self._goal_encoder, {'image': image[None]})[0])

    def rollout(self, latent: Float, actions: Float) -> Float:
        """Imagine the latents [N, H, D] after each action of N sequences.

        latent: float32 [D]; actions: float32 [N, H, A] in physical units. The result is not checked
        for NaN: whoever compares the sequences decides what a failed one is worth.
        """
        normalized = (actions - self._action_mean) * self._action_scale
        start = np.broadcast_to(latent.astype(np.float32, copy=False), (len(actions), latent.size))
        return self._run(self._rollout, {'latent': np.ascontiguousarray(start),
                                         'actions': normalized.astype(np.float32, copy=False)})

    def describe(self) -> list[str]:
        """One line for each graph: its name, inputs and outputs with types and shapes."""
        def tensors(nodes: Sequence[Any]) -> str:
            return ', '.join(f'{node.name} {_TYPES.get(node.type, node.type)} '
                             f'[{", ".join(map(str, node.shape))}]' for node in nodes)

        sessions = {'encoder': self._encoder, 'goal_encoder': self._goal_encoder,
                    'rollout': self._rollout}
        return [f'{name}: {tensors(session.get_inputs())} -> {tensors(session.get_outputs())}'
                for name, session in sessions.items()]

    def _check_image(self, image: NDArray[np.uint8]) -> None:
        if image.dtype != np.uint8 or image.shape != self._image_shape:
            raise InferenceError(f'image is {image.dtype} {list(image.shape)}, the model takes '
                                 f'uint8 {list(self._image_shape)}: preprocess it as the '
                                 'bundle says')

    def interrupt(self) -> None:
        """Make running calls raise InferenceError between two operators of their graph.

        Safe from any thread; calls that begin later are not affected.
        """
        options, self._run_options = self._run_options, onnxruntime.RunOptions()
        options.terminate = True

    def _run(self, session: Any, feeds: dict[str, NDArray[Any]]) -> Float:
        options = self._run_options
        try:
            result: Float = session.run(None, feeds, options)[0]
        except Exception as error:  # the runtime's exceptions share no base class
            text = 'interrupted' if options.terminate else ' '.join(str(error).split())
            raise InferenceError(f'the model failed: {text}') from error
        return result

    def _check_golden(self) -> None:
        """Compare with what the exporter recorded; it also warms the sessions up."""
        golden, tolerance = self.bundle.golden, self.bundle.manifest.golden.tolerance
        assert golden.image is not None
        assert golden.proprioception is not None
        assert golden.goal is not None
        try:
            encoded = [self.encode(*pair) for pair in
                       zip(golden.image, golden.proprioception, strict=True)]
            goals = [self.encode_goal(image) for image in golden.image]
        except InferenceError as error:
            fault = Fault('graphs', f'fail on the golden vectors: {error}',
                          'export the bundle again')
            raise BundleError(self.bundle.path, [fault]) from error
        checks = {
            'encoder': (np.stack(encoded), golden.latent),
            'goal_encoder': (np.stack(goals), golden.goal),
            'rollout': (self.rollout(golden.latent[0], golden.actions), golden.latents),
        }
        faults = []
        self.golden_errors: dict[str, float] = {}
        for graph, (actual, expected) in checks.items():
            deviation = float(np.abs(actual - expected).max() / np.abs(expected).max().clip(1e-6))
            self.golden_errors[graph] = deviation
            if not deviation <= tolerance:
                faults.append(Fault(
                    f'graphs.{graph}', f'differs from the golden vectors by {deviation:.1e} of '
                    f'their largest number, {tolerance:.1e} is allowed', 'check colour order, '
                    'normalisation and that graph and golden vectors come from one export; '
                    'else export again'))
        if faults:
            raise BundleError(self.bundle.path, faults)


class _Opener:
    """Opens one graph after the other with the same settings."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._bundle = bundle
        self._options = options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle threads that spin take the core from the controller next door.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')

    def __call__(self, name: str, inputs: Sequence[_Tensor], output: _Tensor) -> Any:
        file = getattr(self._bundle.manifest.graphs, name).file
        field = f'graphs.{name}.file'
        try:
            session = onnxruntime.InferenceSession(
                self._bundle.read_graph(name).model, self._options, providers=['CPUExecutionProvider'])
        except Exception as error:  # the runtime's exceptions share no base class
            text = ' '.join(str(error).split())
            raise BundleError(self._bundle.path, [Fault(
                field, f'"{file}" does not load in ONNX Runtime {onnxruntime.__version__} ({text})',
                'export it for an older opset, or update onnxruntime')]) from error
        faults = [*_compare(field, 'input', session.get_inputs(), inputs),
                  *_compare(field, 'output', session.get_outputs(), [output])]
        if faults:
            raise BundleError(self._bundle.path, faults)
        return session


def _compare(
    field: str, role: str, actual: Sequence[Any], expected: Sequence[_Tensor]
) -> list[Fault]:
    """Names, types and sizes as expected, except that a graph may leave sizes open."""
    names = [tensor.name for tensor in actual]
    wanted = [name for name, _, _ in expected]
    if sorted(names) != sorted(wanted):
        return [Fault(field, f'has {role}s {names}', f'export it with {role}s named {wanted}')]
    faults = []
    for name, dtype, shape in expected:
        tensor = actual[names.index(name)]
        fits = len(tensor.shape) == len(shape) and not isinstance(tensor.shape[0], int) and all(
            not isinstance(size, int) or size == want
            for size, want in zip(tensor.shape, shape, strict=True))
        actual_type = _TYPES.get(tensor.type, tensor.type)
        if actual_type != dtype or not fits:
            faults.append(Fault(
                field, f'{role} "{name}" is {actual_type} {tensor.shape} where the manifest says '
                f'{dtype} {list(shape)}', 'correct the manifest or export the graph again, with a '
                'dynamic first dimension'))
    return faults


def _affine(normalization: Normalization) -> tuple[Float, Float]:
    scale = np.reciprocal(np.array(normalization.std, np.float32))
    return np.array(normalization.mean, np.float32), scale


def _finite(graph: str, values: Float) -> Float:
    if not np.isfinite(values).all():
        raise InferenceError(f'the {graph} gave NaN or infinity: check the model')
    return values
