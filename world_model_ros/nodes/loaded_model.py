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

"""A model that is ready to run: its bundle, its graphs and its planner, replaced only together."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState

from world_model_interfaces.msg import ActionProposal, ModelInfo
from world_model_ros.bundle import Proprioception, load_bundle
from world_model_ros.inference import WorldModel
from world_model_ros.observation import fit_image, proprioception
from world_model_ros.planning import Planner

Float = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

_KINDS = {
    'joint_position': ActionProposal.JOINT_POSITION,
    'joint_velocity': ActionProposal.JOINT_VELOCITY,
    'joint_delta': ActionProposal.JOINT_DELTA,
    'twist': ActionProposal.TWIST,
    'pose_delta': ActionProposal.POSE_DELTA,
}
# Cartesian numbers are named on the wire as the fields of geometry_msgs/Twist are.
_WIRE_NAMES = {'x': 'linear.x', 'y': 'linear.y', 'z': 'linear.z',
               'roll': 'angular.x', 'pitch': 'angular.y', 'yaw': 'angular.z'}


class LoadedModel:
    """A bundle that passed every check and is warm. Compared by identity."""

    def __init__(self, path: Path, threads: int) -> None:
        """Load, check and warm up the bundle in ``path``; raises BundleError."""
        self.bundle = load_bundle(path)
        self.graphs = WorldModel(self.bundle, threads)
        # Measures how long imagining takes, which runs each size of batch once.
        self.planner = Planner(self.graphs, self.bundle.manifest.planner)
        self.manifest = self.bundle.manifest
        self.digest = self.bundle.digest
        self.name = self.manifest.model.name
        image, state = self.manifest.image, self.manifest.proprioception
        if image is None or not isinstance(state, Proprioception):
            reads = 'pose of a link, or nothing but pictures' if image else 'state alone'
            raise ValueError(f'{self.name} reads the {reads}: world_model pairs a camera with '
                             'joint states and cannot feed it')
        self._image, self._state = image, state
        self._goal = self.manifest.goal
        action = self.manifest.action
        self.rows = self.manifest.planner.horizon * action.rows_per_step  # H, of a plan
        self.kind = _KINDS[action.kind]
        # What is frozen is the model's own matter: the robot is not asked for it.
        self._driven = [i for i, name in enumerate(action.names) if name not in action.frozen]
        self.driven_names = [
            action.names[i] if action.frame is None else _WIRE_NAMES.get(
                action.names[i], action.names[i]) for i in self._driven]

    def __str__(self) -> str:
        """Identity for a log."""
        model = self.manifest.model
        return f'{model.name} {model.version} ({model.license}), digest {self.digest[:12]}'

    @property
    def reached(self) -> float:
        """Distance at which a goal counts as reached, in the units of the bundle's cost."""
        return self._goal.reached if self._goal else 0.0

    def proprioception(self, joints: JointState) -> Float:
        """What the model reads of a joint state [P]; raises JointStateError."""
        return proprioception(joints.name, joints.position, joints.velocity, self._state)

    def encode(self, pixels: Pixels, state: Float) -> Float:
        """Latent of a camera's RGB picture [H, W, 3] and a state [P]; raises InferenceError."""
        return self.graphs.encode(fit_image(pixels, self._image), state)

    def encode_goal(self, pixels: Pixels) -> Float:
        """Goal that a camera's RGB picture [H, W, 3] shows; raises InferenceError."""
        return self.graphs.encode_goal(fit_image(pixels, self._image))

    def imagine(self, latent: Float, actions: Float) -> Float:
        """The latent after actions [k, A], from a latent; raises InferenceError."""
        padding = np.repeat(actions[-1:], self.rows - len(actions), axis=0)
        imagined = self.graphs.rollout(latent, np.concatenate([actions, padding])[None])[0]
        expected: Float = imagined[len(actions) - 1]
        return expected

    def distance(self, expected: Float, seen: Float) -> float:
        """How far two latents are apart, as a goal would be, in the units of the bundle's cost."""
        goal = self.manifest.goal
        if goal is None:
            return float(np.linalg.norm(expected - seen))
        part = self.manifest.latent.parts[goal.source].indices
        return self.planner.distance(expected, seen[part])

    def interrupt(self) -> None:
        """Make what runs inside the model raise InferenceError."""
        self.graphs.interrupt()

    def driven(self, actions: Float) -> Float:
        """The columns of actions [H, A] that the robot is asked for."""
        driven: Float = actions[:, self._driven]
        return driven

    def drives_like(self, other: 'LoadedModel') -> bool:
        """Whether actions mean the same to both models: kind, names, units and frame."""
        mine, others = self.manifest.action, other.manifest.action
        return (mine.kind, mine.names, mine.units, mine.frame, mine.frozen) == (
            others.kind, others.names, others.units, others.frame, others.frozen)

    def info(self, stamp: Time) -> ModelInfo:
        """Identity and action contract as a message."""
        model, action = self.manifest.model, self.manifest.action
        state = self.manifest.proprioception
        return ModelInfo(
            stamp=stamp, name=model.name, version=model.version, license=model.license,
            digest=self.digest, action_kind=self.kind, action_names=self.driven_names,
            action_lower=[action.lower[i] for i in self._driven],
            action_upper=[action.upper[i] for i in self._driven],
            action_frame=action.frame or '', step_duration=action.step_duration,
            horizon=self.rows,
            joint_names=list(state.joints) if state else [],
            latent_shape=list(self.manifest.latent.shape))
