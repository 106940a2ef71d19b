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

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import Image, JointState

from world_model_interfaces.msg import ModelInfo
from world_model_ros.bundle import PoseProprioception, load_bundle
from world_model_ros.control import Kind
from world_model_ros.findings import Grade
from world_model_ros.inference import Context, FrameStack, RuntimeSettings, WorldModel
from world_model_ros.inference.providers import choose
from world_model_ros.inference.report import describe_model
from world_model_ros.inference.sessions import ProviderError
from world_model_ros.nodes.world_model_parameters import WorldModelParameters
from world_model_ros.observation import (
    JointStateError,
    Picture,
    PoseError,
    fit_pictures,
    gripper_fraction,
    pose_proprioception,
    proprioception,
)
from world_model_ros.planning import Planner

Float = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

_SPEED_TEST, _SPEED_SECOND_TEST = 0.1, 3.0  # s of running the model as fast as it goes


class LoadedModel:
    """A bundle that passed every check and is warm. Compared by identity."""

    def __init__(
        self, path: Path, settings: RuntimeSettings, progress: Callable[[str], None],
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Load, check and warm up the bundle in ``path``; ``progress`` is told what takes long.

        ``give_way`` lowers the calling thread's priority. It is called when that does no harm: the
        threads that a runtime starts while it opens graphs inherit the priority and keep it.

        Raises BundleError.
        """
        self.bundle = load_bundle(path)
        self.manifest = self.bundle.manifest
        self.digest = self.bundle.digest
        self.name = self.manifest.model.name
        self._image = self.manifest.image
        self._state = self.manifest.proprioception
        self.reads_pose = isinstance(self._state, PoseProprioception)
        # Without joints, pictures or a pose are all that the model is told.
        self.reads_joints = bool(self.joints)
        if _is_single_threaded(self.digest, settings):
            give_way()
        self.graphs = WorldModel(self.bundle, settings, progress)
        give_way()
        try:
            # Measures how long imagining takes, which runs each size of batch once.
            self.planner = Planner(self.graphs, self.manifest.planner)
        except BaseException:
            self.graphs.close()
            raise
        self.is_closed = False
        self.verdict = ''  # what the checks of whoever loaded it came to
        action = self.manifest.action
        self.rows = self.manifest.planner.horizon * action.rows_per_step  # H, of a plan
        self.kind = Kind[action.kind.upper()]
        # What is frozen is the model's own matter: the robot is not asked for it.
        self._driven = list(action.driven)
        self.driven_names = [action.names[i] for i in self._driven]

    def __str__(self) -> str:
        """Identity for a log."""
        model = self.manifest.model
        return f'{model.name} {model.version} ({model.license}), digest {self.digest[:12]}'

    @property
    def reached(self) -> float:
        """Distance at which a goal counts as reached, in the units of the bundle's cost."""
        return self.manifest.goal.reached if self.manifest.goal else 0.0

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of those that it reads."""
        return self._state.joints if self._state else ()

    def shares_joints(self, joints: JointState) -> bool:
        """Whether a joint state is of a joint that the model reads, if it reads any."""
        return not self.joints or any(joint in joints.name for joint in self.joints)

    def check_joints(self, joints: JointState) -> None:
        """Raise JointStateError for a joint state that lacks what the model reads."""
        if isinstance(self._state, PoseProprioception):
            if self._state.gripper is not None:
                _gripper_of(joints, self._state)
        elif self._state is not None:
            proprioception(joints.name, joints.position, joints.velocity, self._state)

    def check_pose(self, pose: PoseStamped) -> None:
        """Raise PoseError for a pose that the model cannot read."""
        if isinstance(self._state, PoseProprioception):
            _pose_of(pose, self._state)

    def proprioception(
        self, joints: JointState | None, pose: PoseStamped | None,
    ) -> Float | None:
        """What the model reads of the robot [P], if anything; raises JointStateError, PoseError."""
        state = self._state
        if state is None:
            return None
        if isinstance(state, PoseProprioception):
            if pose is None:
                raise PoseError('no pose at the time of the image')
            numbers = _pose_of(pose, state)
            if state.gripper is None:
                return numbers
            return np.append(numbers, np.float32(_gripper_of(joints, state)))
        if joints is None:
            raise JointStateError('no joint state at the time of the image')
        return proprioception(joints.name, joints.position, joints.velocity, state)

    @property
    def occasion(self) -> type[object]:
        """What completes an observation: a picture or, without a camera, what the robot says."""
        blind: type[object] = JointState if self.reads_joints else PoseStamped
        seeing: type[object] = Image
        return blind if self._image is None else seeing

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of those that it sees with; ('',) for the one of a bundle that names none."""
        return () if self._image is None else self._image.camera_names

    @property
    def reads_optics(self) -> bool:
        """Whether it matters to the model what part of the scene its cameras show."""
        return self._image is not None and self._image.fields_of_view is not None

    def fit(self, pictures: Mapping[str, Picture]) -> Pixels:
        """
        What cameras show, by their names, as the model wants it: [(cameras,) height, width, 3].

        Raises ImageError where it cannot be, and ValueError where the model sees no pictures.
        """
        if self._image is None:
            raise ValueError(f'{self.name} sees no pictures')
        return fit_pictures(pictures, self._image)

    def encode_goal(self, pictures: Mapping[str, Picture], joints: JointState | None,
                    pose: PoseStamped | None) -> Float:
        """
        Goal that cameras' pictures show.

        Raises as ``fit`` and ``proprioception`` do.

        Where a goal takes the robot's state as well, that is the state of now: a picture tells no
        other, and the published models whose goals are latents look at the picture alone.
        """
        picture = self.fit(pictures)
        picture = FrameStack(self.manifest).still(picture)
        encoder = self.manifest.graphs.goal_encoder
        takes_state = encoder is None or encoder.proprioception
        state = self.proprioception(joints, pose) if takes_state else None
        return self.graphs.encode_goal(picture, state)

    def imagine(self, context: Context, actions: Float) -> Float:
        """The latent after actions [k * rows_per_step, A]; raises InferenceError."""
        expected: Float = self.graphs.imagine(context, actions[None])[0, -1]
        return expected

    def interrupt(self) -> None:
        """Make what runs inside the model raise InferenceError."""
        self.graphs.interrupt()

    def close(self) -> None:
        """End what runs inside the model and free its memory; nothing runs in it any more."""
        self.is_closed = True
        self.graphs.close()

    def driven(self, actions: Float) -> Float:
        """The columns of actions [H, A] that the robot is asked for."""
        driven: Float = actions[:, self._driven]
        return driven

    def drives_like(self, other: LoadedModel) -> bool:
        """Whether actions mean the same to both models."""
        return self.manifest.action.meaning == other.manifest.action.meaning

    def info(self, stamp: Time) -> ModelInfo:
        """Identity and action contract as a message."""
        model, action = self.manifest.model, self.manifest.action
        return ModelInfo(
            stamp=stamp, name=model.name, version=model.version, license=model.license,
            digest=self.digest, action_kind=self.kind, action_names=self.driven_names,
            action_lower=[action.lower[i] for i in self._driven],
            action_upper=[action.upper[i] for i in self._driven],
            action_frame=action.frame or '', step_duration=action.step_duration,
            horizon=self.rows,
            joint_names=list(self.joints),
            latent_shape=list(self.manifest.latent.shape))


def load_fit(
    path: Path, parameters: WorldModelParameters, logger: RcutilsLogger,
    give_way: Callable[[], None] = lambda: None, *, shadow: bool,
) -> LoadedModel:
    """
    Load a model that is fit to run here; the same checks and words as `wmros check`.

    A ``shadow`` makes no plans, and nobody waits for them.

    Raises BundleError, or ValueError where it is not fit. Nothing of it stays in memory then.
    """
    def tell(text: str) -> None:
        logger.info(text)

    model = LoadedModel(path, parameters.runtime(), tell, give_way)
    try:
        parameters.check(model.rows * model.manifest.action.step_duration)
        deadline = math.inf if shadow else parameters.real('plan_deadline')
        times = parameters.real('plan_rate'), deadline
        report = describe_model(model.graphs, *times, _SPEED_TEST)
        if not report.fit:  # perhaps the machine was busy just now
            report = describe_model(model.graphs, *times, _SPEED_SECOND_TEST)
        for line in report.lines():
            tell(line)
        for finding in report.findings:
            if finding.grade is Grade.WARNING:
                logger.warning(str(finding))
        if not report.fit:
            unfit = [str(finding) for finding in report.findings if finding.grade is Grade.UNFIT]
            raise ValueError(f'{model} is {report.verdict}: {" ".join(unfit)}')
    except BaseException:
        model.close()
        raise
    model.verdict = report.verdict
    return model


def _is_single_threaded(digest: str, settings: RuntimeSettings) -> bool:
    """Whether a runtime computes in the thread that calls it and starts none of its own."""
    try:
        backend = choose(digest, settings)
    except ProviderError:
        return False  # what is wrong is said where the graphs are opened
    return backend.provider == 'cpu' and backend.threads == 1


def _pose_of(message: PoseStamped, contract: PoseProprioception) -> Float:
    position, turn = message.pose.position, message.pose.orientation
    return pose_proprioception(
        message.header.frame_id, (position.x, position.y, position.z),
        (turn.x, turn.y, turn.z, turn.w), contract)


def _gripper_of(joints: JointState | None, contract: PoseProprioception) -> float:
    if joints is None:
        raise JointStateError('no joint state at the time of the image')
    return gripper_fraction(joints.name, joints.position, contract)
