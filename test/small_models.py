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
"""Small real models of every kind that a bundle can describe, and what they do in plain NumPy.

`write_small_bundle(folder, KINDS['growing'])` writes ONNX graphs of a few random weights with
golden vectors from `Reference`, which shares no code with the runtime: it goes through sequences
one by one, step by step, in float64, and takes rotations from SciPy. So a bundle that loads has
already agreed with the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser
from scipy.spatial.transform import Rotation  # type: ignore[import-untyped]

from world_model_ros.bundle import Bundle, GoldenVectors, write_manifest

Array = NDArray[Any]

SIDE = 6
HORIZON = 4
STEP = 0.1
JOINTS = ('a', 'b', 'c')
POSE = ('linear.x', 'linear.y', 'linear.z', 'angular.x', 'angular.y', 'angular.z', 'gripper')
HIDDEN = 3


@dataclass(frozen=True)
class Kind:
    """What a small model looks like; the fields are the manifest's."""

    dynamics: str = 'predictor'
    predictor: str = 'markov'
    length: int = 1
    history: int = 1
    shape: tuple[int, ...] = (6,)
    rule: str | None = None
    action: str = 'joint_velocity'
    rows: int = 1
    image: bool = True
    parts: dict[str, tuple[int, int]] = field(default_factory=lambda: {'all': (0, 6)})
    goal_parts: tuple[str, ...] | None = None
    terms: tuple[tuple[str, str, str, str, float], ...] = (('all', 'l2', 'sum', 'last', 1.0),)
    discount: float | None = None
    frozen: dict[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        if self.action in ('pose_delta', 'twist'):
            return POSE
        return ('c', 'a')  # not in the joints' order, and not all of them

    @property
    def state_size(self) -> int:
        return {None: 0, 'integrate_pose': 7}.get(self.rule, 2 * len(JOINTS))

    @property
    def takes_state(self) -> bool:
        return self.rule in ('hold', 'integrate_joints', 'integrate_pose')


TOKENS = {'visual': (0, 3), 'state': (3, 5)}
KINDS = {
    'markov rollout': Kind('rollout', terms=(('all', 'l2', 'sum', 'mean', 1.0),
                                             ('all', 'l2', 'sum', 'last', 0.5))),
    'markov rollout, joints integrated': Kind(
        'rollout', rule='integrate_joints', rows=3, shape=(2, 2, 5), parts=TOKENS,
        goal_parts=('state', 'visual'),
        terms=(('visual', 'cosine', 'mean', 'mean', 0.7), ('state', 'l2', 'sum', 'all', 0.2))),
    'window rollout': Kind('rollout', 'window', 3, 3, rows=5, rule='predicted',
                           terms=(('all', 'squared_l2', 'sum', 'last', 1.0),)),
    'window rollout, state held': Kind(
        'rollout', 'window', 2, 2, rows=2, rule='hold', shape=(4, 5), parts=TOKENS,
        terms=(('visual', 'l1', 'mean', 'mean', 1.0),)),
    'markov': Kind(rule='hold', rows=2, terms=(('all', 'l1', 'sum', 'all', 1.0),)),
    'markov with a return': Kind(image=False, rule='none', discount=0.9),
    'window': Kind(
        'predictor', 'window', 3, 3, shape=(4, 5), parts=TOKENS, rows=5, rule='predicted',
        terms=(('visual', 'squared_l2', 'mean', 'last', 1.0),
               ('state', 'squared_l2', 'mean', 'last', 0.3))),
    'growing': Kind(
        'predictor', 'growing', 4, 1, shape=(3, 5), parts={'tokens': (0, 5)},
        rule='integrate_pose', action='pose_delta',
        frozen={'angular.x': 0.0, 'angular.y': 0.0, 'angular.z': 0.1},
        terms=(('tokens', 'l1', 'mean', 'last', 1.0),)),
    'growing beyond its length': Kind(
        'predictor', 'growing', 3, 2, rule='integrate_joints', action='joint_position',
        terms=(('all', 'cosine', 'sum', 'all', 1.0),)),
    'growing with twists': Kind(
        'predictor', 'growing', 8, 2, rule='integrate_pose', action='twist', rows=2),
    'recurrent': Kind('predictor', 'recurrent', terms=(('all', 'squared_l2', 'sum', 'all', 1.0),)),
    'recurrent, joints integrated': Kind(
        'predictor', 'recurrent', rule='integrate_joints', action='joint_delta', rows=2),
}


class Weights:
    """Random numbers that a kind's graphs and its reference share."""

    def __init__(self, kind: Kind, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        size = int(np.prod(kind.shape))
        step, state = kind.rows * len(kind.names), kind.state_size

        def draw(rows: int, columns: int, scale: float = 1.0) -> Array:
            values = generator.normal(0, scale / np.sqrt(max(rows, 1)), (rows, columns))
            return values.astype(np.float32)

        self.image = draw(SIDE * SIDE * 3, size, 2.0)
        self.seen = draw(state, size, 1.0)
        self.latent, self.action = draw(size, size), draw(step, size, 2.0)
        self.state = draw(state, size, 1.5)
        self.hidden, self.out = draw(HIDDEN, HIDDEN), draw(HIDDEN, size, 1.5)
        self.latent_in, self.action_in = draw(size, HIDDEN), draw(step, HIDDEN, 2.0)
        self.state_in = draw(state, HIDDEN, 1.5)
        self.reward_latent, self.reward_action = draw(size, 1), draw(step, 1)
        self.value, self.policy = draw(size, 1), draw(size, step)


def small_manifest(kind: Kind) -> dict[str, Any]:
    """The manifest without digests."""
    names, count = kind.names, len(kind.names)
    cartesian = kind.action in ('pose_delta', 'twist')
    unit = {'joint_velocity': 'rad/s', 'joint_position': 'rad', 'joint_delta': 'rad'}
    units = [unit.get(kind.action, '')] * count
    if cartesian:
        units = ['m'] * 3 + ['rad'] * 3 + ['1']
        if kind.action == 'twist':
            units = [f'{it}/s' for it in units]
    graphs: dict[str, Any] = {'encoder': {'file': 'encoder.onnx'}}
    dynamics: dict[str, Any] = {'file': 'dynamics.onnx', 'kind': kind.predictor}
    if kind.predictor in ('window', 'growing'):
        dynamics['length'] = kind.length
    if kind.predictor == 'growing':
        dynamics['history'] = kind.history
    if kind.predictor == 'recurrent':
        dynamics['states'] = {'memory': [HIDDEN]}
    graphs[kind.dynamics] = dynamics
    if kind.goal_parts:
        graphs['goal_encoder'] = {'file': 'goal_encoder.onnx', 'parts': list(kind.goal_parts),
                                  'proprioception': False}
    manifest: dict[str, Any] = {
        'model': {'name': 'small', 'version': '1', 'license': 'Apache-2.0', 'source': 'test'},
        'action': {
            'kind': kind.action, 'names': list(names), 'units': units,
            'lower': [-1.0] * count, 'upper': [1.5] * count,
            'normalization': {'mean': np.linspace(-0.2, 0.3, count).tolist(),
                              'std': np.linspace(0.5, 1.2, count).tolist()},
            'step_duration': STEP, 'rows_per_step': kind.rows, 'frozen': kind.frozen,
            'dead_band': [0.0] * count},
        'latent': {'shape': list(kind.shape),
                   'parts': {name: {'start': a, 'stop': b} for name, (a, b) in kind.parts.items()}},
        'graphs': graphs,
        'planner': {
            'sampler': 'cem', 'horizon': HORIZON, 'knots': [0, 1, 2], 'interpolation': 'linear',
            'samples': 32, 'iterations': 3, 'elites': 4, 'sigma': [0.8] * count,
            'sigma_min': [0.05] * count, 'momentum': 0.1, 'constant_grid': 0, 'memory': 64},
        'golden': {'file': 'golden.npz', 'tolerance': 1e-5},
    }
    if cartesian:
        manifest['action']['frame'] = 'base'
    if kind.image:
        manifest['image'] = {
            'width': SIDE, 'height': SIDE, 'crop': 'none', 'interpolation': 'area', 'color': 'bgr',
            'frames': 1, 'normalization': {'mean': [0.4, 0.5, 0.6], 'std': [0.2, 0.3, 0.25],
                                           'layout': 'nchw'}}
    if kind.rule is not None:
        normalization = {'mean': np.linspace(0.1, -0.3, kind.state_size).tolist(),
                         'std': np.linspace(0.6, 1.4, kind.state_size).tolist()}
        manifest['proprioception'] = {'rule': kind.rule, 'normalization': normalization}
        manifest['proprioception'] |= (
            {'frame': 'base', 'link': 'hand',
             'gripper': {'joint': 'finger', 'open': 0.04, 'closed': 0.0}}
            if kind.rule == 'integrate_pose' else
            {'joints': list(JOINTS), 'fields': ['position', 'velocity']})
    if kind.discount is not None:
        graphs |= {name: {'file': f'{name}.onnx'} for name in ('reward', 'value', 'policy')}
        manifest['cost'] = {'objective': 'return', 'discount': kind.discount}
    else:
        keys = ('source', 'metric', 'reduction', 'steps', 'weight')
        terms = [dict(zip(keys, term, strict=True)) for term in kind.terms]
        manifest['cost'] = {'objective': 'goal', 'terms': terms}
        manifest['goal'] = {**{key: terms[0][key] for key in keys[:3]}, 'reached': 0.1}
    return manifest


class Reference:
    """What a small model does, one sequence and one step at a time."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.weights, self.manifest = kind, Weights(kind), small_manifest(kind)

    def normal(self, values: Array, section: str) -> Array:
        numbers = self.manifest[section]['normalization']
        return (np.asarray(values, float) - numbers['mean']) / numbers['std']

    def encode(self, image: Array | None, state: Array | None) -> Array:
        total: Array = np.zeros(int(np.prod(self.kind.shape)))
        if image is not None:
            pixels = (image[..., ::-1] / 255.0 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.25]
            total = total + np.moveaxis(pixels, -1, 0).ravel() @ self.weights.image
        if state is not None:
            total = total + self.normal(state, 'proprioception') @ self.weights.seen
        return np.tanh(total).reshape(self.kind.shape)

    def goal(self, image: Array | None, state: Array | None) -> Array:
        parts = self.kind.goal_parts
        if parts is None:
            return self.encode(image, state)
        latent = self.encode(image, None)
        return np.concatenate(
            [latent[..., slice(*self.kind.parts[name])] for name in parts], axis=-1)

    def later_state(self, state: Array, rows: Array) -> Array:
        """Proprioception after the rows of one model step."""
        kind = self.kind
        if kind.rule == 'hold':
            return state
        state = np.array(state, float)
        for row in rows:
            if kind.rule == 'integrate_pose':
                scale = STEP if kind.action == 'twist' else 1.0
                make = Rotation.from_rotvec if kind.action == 'twist' else (
                    lambda angles: Rotation.from_euler('xyz', angles))
                turned = make(row[3:6] * scale) * Rotation.from_euler('xyz', state[3:6])
                state = np.concatenate([
                    state[:3] + row[:3] * scale, turned.as_euler('xyz'),
                    np.clip(state[6:] + row[6:] * scale, 0, 1)])
                continue
            position, velocity = state[:3].copy(), np.zeros(3)
            for name, value in zip(kind.names, row, strict=True):
                joint = JOINTS.index(name)
                old = position[joint]
                position[joint] = {'joint_velocity': old + STEP * value,
                                   'joint_delta': old + value, 'joint_position': value}[kind.action]
                velocity[joint] = (position[joint] - old) / STEP
            state = np.concatenate([position, velocity])
        return state

    def rollout(self, latents: Sequence[Array], past: Array, states: Sequence[Array] | None,
                rows: Array, memory: Array | None = None) -> tuple[list[Array], Array | None]:
        """Latents after each step of rows [steps * R, A], and the memory behind them."""
        kind, weights = self.kind, self.weights
        frames = list(latents)
        actions = [self.normal(it, 'action').ravel()
                   for it in np.reshape(past, (-1, kind.rows, len(kind.names)))]
        known = [np.asarray(it, float) for it in states] if states is not None else []
        imagined = []
        memory = np.zeros(HIDDEN) if memory is None else memory
        for step in rows.reshape(-1, kind.rows, len(kind.names)):
            actions.append(self.normal(step, 'action').ravel())
            normal = ([self.normal(it, 'proprioception') for it in known] if kind.takes_state
                      else [np.zeros(kind.state_size)] * len(frames))
            if kind.predictor == 'recurrent':
                memory = np.tanh(
                    frames[-1].ravel() @ weights.latent_in + actions[-1] @ weights.action_in
                    + memory @ weights.hidden
                    + (normal[-1] @ weights.state_in if kind.takes_state else 0))
                following = np.tanh(frames[-1].ravel() @ weights.latent + memory @ weights.out)
            else:
                count = min(len(frames), max(kind.length, 1))
                terms = [np.tanh(frame.ravel() @ weights.latent + action @ weights.action
                                 + (state @ weights.state if kind.takes_state else 0))
                         for frame, action, state in zip(
                             frames[-count:], actions[-count:], normal[-count:], strict=True)]
                following = sum(terms) / count
            frames.append(following.reshape(kind.shape))
            imagined.append(frames[-1])
            if kind.takes_state:
                known.append(self.later_state(known[-1], step))
            else:
                normal.append(normal[-1])
        return imagined, memory

    def cost(self, latent: Array, goal: Array | None, rows: Array,
             imagined: Sequence[Array]) -> float:
        kind, weights = self.kind, self.weights
        if kind.discount is not None:
            total, before = 0.0, latent
            steps = rows.reshape(len(imagined), kind.rows, -1)
            for k, (step, after) in enumerate(zip(steps, imagined, strict=True)):
                action = self.normal(step, 'action').ravel()
                reward = before.ravel() @ weights.reward_latent + action @ weights.reward_action
                total += kind.discount ** k * float(reward[0])
                before = after
            return -total - kind.discount ** len(imagined) * float(
                (before.ravel() @ weights.value)[0])
        assert goal is not None
        total = 0.0
        for source, metric, reduction, which, weight in kind.terms:
            distances = [self.distance(it, goal, source, metric, reduction) for it in imagined]
            total += weight * {'last': distances[-1], 'mean': np.mean(distances),
                               'all': np.sum(distances)}[which]
        return float(total)

    def distance(self, latent: Array, goal: Array, source: str, metric: str,
                 reduction: str) -> float:
        part = latent[..., slice(*self.kind.parts[source])]
        start = 0
        for name in self.kind.goal_parts or ():
            if name == source:
                break
            start += self.kind.parts[name][1] - self.kind.parts[name][0]
        else:
            start = self.kind.parts[source][0]
        wanted = goal[..., start:start + part.shape[-1]]
        reduce = {'mean': np.mean, 'sum': np.sum}[reduction]
        rows, goals = part.reshape(-1, part.shape[-1]), wanted.reshape(-1, part.shape[-1])
        if metric == 'l1':
            return float(reduce(np.abs(rows - goals)))
        if metric == 'squared_l2':
            return float(reduce((rows - goals) ** 2))
        tokens = []
        for one, other in zip(rows, goals, strict=True):
            if metric == 'l2':
                tokens.append(np.linalg.norm(one - other))
            else:
                tokens.append(1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other))
        return float(reduce(tokens))

    def images(self, count: int, seed: int = 0) -> Array:
        shape = (count, SIDE, SIDE, 3)
        return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)

    def states(self, count: int, seed: int = 0) -> Array:
        generator = np.random.default_rng(seed)
        return generator.uniform(0, 1, (count, self.kind.state_size)).astype(np.float32)

    def actions(self, count: int, steps: int = HORIZON, seed: int = 0) -> Array:
        generator = np.random.default_rng(seed)
        shape = (count, steps * self.kind.rows, len(self.kind.names))
        return generator.uniform(-1, 1.5, shape).astype(np.float32)

    def golden(self) -> GoldenVectors:
        kind, count = self.kind, self.kind.history + 2
        images = self.images(count) if kind.image else None
        states = self.states(count) if kind.rule is not None else None
        observations = [(None if images is None else images[i], None if states is None else
                         states[i]) for i in range(count)]
        latents = [self.encode(*it) for it in observations]
        goals = [self.goal(*it) for it in observations] if kind.discount is None else None
        actions, past = self.actions(5), self.actions(1, kind.history - 1, seed=9)[0]
        imagined = [self.rollout(latents[:kind.history], past,
                                 None if states is None else list(states[:kind.history]), rows)[0]
                    for rows in actions]
        costs = [self.cost(latents[kind.history - 1], goals[-1] if goals else None, rows, it)
                 for rows, it in zip(actions, imagined, strict=True)]
        policy = None
        if kind.discount is not None:
            numbers = self.manifest['action']['normalization']
            policy = np.array([np.tanh(it.ravel() @ self.weights.policy).reshape(kind.rows, -1)
                               for it in latents]) * numbers['std'] + numbers['mean']

        def single(values: Any) -> NDArray[np.float32]:
            return np.asarray(values, np.float32)

        return GoldenVectors(
            latent=single(latents), actions=actions, latents=single(imagined),
            costs=single(costs), image=images, proprioception=states,
            goal=None if goals is None else single(goals),
            past_actions=past if kind.history > 1 else None,
            policy=None if policy is None else single(policy))


def write_small_bundle(
    folder: Path, kind: Kind, change: Callable[[dict[str, Any]], object] | None = None,
) -> Bundle:
    """Write a small model and load it; `change` may edit the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    reference = Reference(kind)
    for name, text in _graphs(kind).items():
        model = parser.parse_model('<ir_version: 9, opset_import: ["": 17]>\n' + text)
        _dot(model)
        used = {name for node in model.graph.node for name in node.input}
        for weight, values in vars(reference.weights).items():
            if f'w_{weight}' in used:
                model.graph.initializer.append(numpy_helper.from_array(values, f'w_{weight}'))
        onnx.checker.check_model(model, full_check=True)
        (folder / f'{name}.onnx').write_bytes(model.SerializeToString())
    reference.golden().save(folder / 'golden.npz')
    manifest = small_manifest(kind)
    if change:
        change(manifest)
    return write_manifest(folder, manifest)


def _dot(model: onnx.ModelProto) -> None:
    """Call states as bundles do; ONNX's text format has no names with dots."""
    names = {'state_memory': 'state.memory', 'next_memory': 'next.memory'}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.name = names.get(tensor.name, tensor.name)


def _graphs(kind: Kind) -> dict[str, str]:
    """Each graph in ONNX's own text format."""
    latent = ', '.join(map(str, kind.shape))
    size, step = int(np.prod(kind.shape)), kind.rows * len(kind.names)
    flat, shaped = f'Constant <value_ints: ints = [-1, {size}]> ()', (
        f'Constant <value_ints: ints = [-1, {latent}]> ()')
    graphs = {'encoder': _encoder(kind, kind.rule is not None, 'latent', f'float[N, {latent}]')}
    if kind.goal_parts:
        width = sum(kind.parts[name][1] - kind.parts[name][0] for name in kind.goal_parts)
        shape = ', '.join(map(str, (*kind.shape[:-1], width)))
        graphs['goal_encoder'] = _encoder(kind, False, 'goal', f'float[N, {shape}]')
    if kind.dynamics == 'rollout':
        graphs['dynamics'] = _rollout(kind, latent, size, step)
    elif kind.predictor == 'recurrent':
        state_in = f', float[N, {kind.state_size}] proprioception' if kind.takes_state else ''
        with_state = ('ps = MatMul(proprioception, w_state_in)\n s1 = Add(s0, ps)'
                      if kind.takes_state else 's1 = Identity(s0)')
        graphs['dynamics'] = f"""
        g (float[N, {latent}] latent, float[N, {step}] action, float[N, {HIDDEN}] state_memory
           {state_in}) => (float[N, {latent}] next_latent, float[N, {HIDDEN}] next_memory) {{
            flat = {flat}
            z = Reshape(latent, flat)
            zi = MatMul(z, w_latent_in)
            ai = MatMul(action, w_action_in)
            hi = MatMul(state_memory, w_hidden)
            za = Add(zi, ai)
            s0 = Add(za, hi)
            {with_state}
            next_memory = Tanh(s1)
            zz = MatMul(z, w_latent)
            ho = MatMul(next_memory, w_out)
            sum = Add(zz, ho)
            out = Tanh(sum)
            shaped = {shaped}
            next_latent = Reshape(out, shaped)
        }}"""
    elif kind.predictor == 'markov':
        state_in = f', float[N, {kind.state_size}] proprioception' if kind.takes_state else ''
        graphs['dynamics'] = f"""
        g (float[N, {latent}] latent, float[N, {step}] action{state_in})
          => (float[N, {latent}] next_latent) {{
            flat = {flat}
            z = Reshape(latent, flat)
            {_term(kind, 'z', 'action', 'proprioception', 'out', 'm')}
            shaped = {shaped}
            next_latent = Reshape(out, shaped)
        }}"""
    else:
        state_in = f', float[N, T, {kind.state_size}] states' if kind.takes_state else ''
        graphs['dynamics'] = f"""
        g (float[N, T, {latent}] context, float[N, T, {step}] actions{state_in})
          => (float[N, {latent}] next_latent) {{
            flat = Constant <value_ints: ints = [0, 0, {size}]> ()
            z = Reshape(context, flat)
            {_term(kind, 'z', 'actions', 'states', 'terms', 'c')}
            mean = ReduceMean <axes: ints = [1], keepdims: int = 0> (terms)
            shaped = {shaped}
            next_latent = Reshape(mean, shaped)
        }}"""
    if kind.discount is not None:
        graphs['reward'] = f"""
        g (float[N, {latent}] latent, float[N, {step}] action) => (float[N] reward) {{
            flat = {flat}
            z = Reshape(latent, flat)
            zr = MatMul(z, w_reward_latent)
            ar = MatMul(action, w_reward_action)
            sum = Add(zr, ar)
            line = Constant <value_ints: ints = [-1]> ()
            reward = Reshape(sum, line)
        }}"""
        graphs['value'] = f"""
        g (float[N, {latent}] latent) => (float[N] value) {{
            flat = {flat}
            z = Reshape(latent, flat)
            zv = MatMul(z, w_value)
            line = Constant <value_ints: ints = [-1]> ()
            value = Reshape(zv, line)
        }}"""
        graphs['policy'] = f"""
        g (float[N, {latent}] latent) => (float[N, {step}] action) {{
            flat = {flat}
            z = Reshape(latent, flat)
            zp = MatMul(z, w_policy)
            action = Tanh(zp)
        }}"""
    return graphs


def _term(kind: Kind, latent: str, action: str, state: str, out: str, prefix: str) -> str:
    """tanh(z W + a V + s U), on the last axis."""
    p = prefix
    with_state = (f'{p}s = MatMul({state}, w_state)\n {p}t = Add({p}za, {p}s)'
                  if kind.takes_state else f'{p}t = Identity({p}za)')
    return f"""{p}z = MatMul({latent}, w_latent)
            {p}a = MatMul({action}, w_action)
            {p}za = Add({p}z, {p}a)
            {with_state}
            {out} = Tanh({p}t)"""


def _rollout(kind: Kind, latent: str, size: int, step: int) -> str:
    """The steps of the horizon one after the other, each from a window of latents."""
    length = max(kind.length, 1)
    inputs = ([f'float[N, {latent}] latent'] if length == 1 else
              [f'float[N, {length}, {latent}] context',
               f'float[N, {length - 1}, {step}] past_actions'])
    inputs.append(f'float[N, {HORIZON}, {step}] actions')
    if kind.takes_state:
        inputs.append(f'float[N, {length - 1 + HORIZON}, {kind.state_size}] states')
    lines = [f'flat = Constant <value_ints: ints = [-1, {length}, {size}]> ()',
             f'frames0 = Reshape({"latent" if length == 1 else "context"}, flat)',
             'one = Constant <value_ints: ints = [1]> ()',
             'all = Identity(actions)' if length == 1 else
             'all = Concat <axis: int = 1> (past_actions, actions)']
    for k in range(HORIZON):
        lines += [f'b{k} = Constant <value_ints: ints = [{k}]> ()',
                  f'e{k} = Constant <value_ints: ints = [{k + length}]> ()',
                  f'f{k} = Slice(frames{k}, b{k}, e{k}, one)',
                  f'a{k} = Slice(all, b{k}, e{k}, one)']
        if kind.takes_state:
            lines.append(f's{k} = Slice(states, b{k}, e{k}, one)')
        lines += [_term(kind, f'f{k}', f'a{k}', f's{k}', f't{k}', f'x{k}'),
                  f'm{k} = ReduceMean <axes: ints = [1], keepdims: int = 1> (t{k})',
                  f'frames{k + 1} = Concat <axis: int = 1> (frames{k}, m{k})']
    lines += [f'first = Constant <value_ints: ints = [{length}]> ()',
              f'last = Constant <value_ints: ints = [{length + HORIZON}]> ()',
              f'imagined = Slice(frames{HORIZON}, first, last, one)',
              f'shaped = Constant <value_ints: ints = [-1, {HORIZON}, {latent}]> ()',
              'latents = Reshape(imagined, shaped)']
    body = '\n            '.join(lines)
    return f"""g ({', '.join(inputs)}) => (float[N, {HORIZON}, {latent}] latents) {{
            {body}
        }}"""


def _encoder(kind: Kind, with_state: bool, output: str, shape: str) -> str:
    latent = ', '.join(map(str, kind.shape))
    inputs, lines = [], []
    if kind.image:
        inputs.append(f'float[N, 3, {SIDE}, {SIDE}] image')
        lines += ['pixels = Flatten <axis: int = 1> (image)', 'seen = MatMul(pixels, w_image)']
    if with_state:
        inputs.append(f'float[N, {kind.state_size}] proprioception')
        lines.append('felt = MatMul(proprioception, w_seen)')
    if kind.image and with_state:
        lines.append('sum = Add(seen, felt)')
    else:
        lines.append(f'sum = Identity({"seen" if kind.image else "felt"})')
    lines += ['squashed = Tanh(sum)', f'shaped = Constant <value_ints: ints = [-1, {latent}]> ()']
    if output == 'latent':
        lines.append('latent = Reshape(squashed, shaped)')
    else:
        lines += ['whole = Reshape(squashed, shaped)',
                  'one = Constant <value_ints: ints = [1]> ()',
                  f'axis = Constant <value_ints: ints = [{len(kind.shape)}]> ()']
        names = []
        for name in kind.goal_parts or ():
            start, stop = kind.parts[name]
            lines += [f'from_{name} = Constant <value_ints: ints = [{start}]> ()',
                      f'to_{name} = Constant <value_ints: ints = [{stop}]> ()',
                      f'part_{name} = Slice(whole, from_{name}, to_{name}, axis)']
            names.append(f'part_{name}')
        lines.append(f'goal = Concat <axis: int = {len(kind.shape)}> ({", ".join(names)})')
    body = '\n            '.join(lines)
    return f"""g ({', '.join(inputs)}) => ({shape} {output}) {{
            {body}
        }}"""
