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
Which goal is pursued: from a request, that someone made, to a target in the model's latent space.

Pictures are kept, so that another model can be given the same goal; a latent means something to
the model that made it only. Requests come from the executor, the ``observe`` thread judges them
because it knows the camera, and the ``plan`` thread follows.
"""

import hashlib
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import Image

from world_model_ros.inference import InferenceError
from world_model_ros.monitor import Counters, Health, Level
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.newest import Newest
from world_model_ros.nodes.robot_state import RobotState
from world_model_ros.observation import ImageError, decode_image

Float = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Goal:
    """
    Where to go.

    id: a digest of what was asked for, equal for equal requests and for every model
    pixels: RGB picture [H, W, 3] as the camera would take it; None if the goal came as a latent
    target: [G], of the bundle's cost
    model: the one whose latents ``target`` is comparable with
    """

    id: str
    pixels: Pixels | None
    target: Float
    model: LoadedModel


@dataclass(frozen=True)
class GoalRequest:
    """A goal that nobody has looked at yet: a picture, or a latent [G] where that is None."""

    picture: Image | None
    latent: Float | None
    accept: Callable[[Goal], None] = lambda goal: None
    refuse: Callable[[str], None] = lambda reason: None


class Goals:
    """The goal that is pursued, how far it is, and why the last one was refused or dropped."""

    def __init__(self, counts: Counters, logger: RcutilsLogger) -> None:
        self._counts, self._logger = counts, logger
        self._requests: Newest[GoalRequest] = Newest()
        self._lock = threading.Lock()
        self._goal: Goal | None = None
        self._distance = math.nan
        self._problem = ''
        self._lost: dict[str, str] = {}

    # From any thread

    @property
    def current(self) -> Goal | None:
        """The goal that is pursued."""
        return self._goal

    def request(self, request: GoalRequest) -> None:
        """Ask for a goal; it is judged with the next image."""
        if (replaced := self._requests.put(request)) is not None:
            replaced.refuse('a newer goal came before the camera showed anything')

    def refuse(self, reason: str) -> None:
        """Count a goal that is not taken; what is pursued goes on."""
        self._counts.add('goals_refused')
        self._problem = f'goal refused: {reason}'
        self._logger.error(self._problem)

    def distance_to(self, goal: Goal) -> float | None:
        """How far a goal is (NaN: not known yet); None if it is no longer pursued."""
        pursued, distance = self._goal, self._distance
        return distance if pursued is not None and pursued.id == goal.id else None

    def why_lost(self, goal: Goal) -> str:
        """Why a goal is no longer pursued."""
        return self._lost.get(goal.id, 'a newer goal came on goal_image')

    def give_up(self, goal: Goal) -> None:
        """Stop to pursue a goal, if it still is."""
        with self._lock:
            if self._goal is not None and self._goal.id == goal.id:
                self._goal = None

    def clear(self) -> None:
        """Forget the goal, and requests that nobody has looked at."""
        with self._lock:
            self._goal, self._lost = None, {}
        if (left := self._requests.poll()) is not None:
            left.refuse('the world model was deactivated')

    def reached(self, goal: Goal, distance: float) -> bool:
        """Note the distance of a goal; False if it is no longer the one that is pursued."""
        with self._lock:
            if self._goal is None or self._goal.id != goal.id:
                return False
            self._distance = distance
            return True

    def health(self) -> Health:
        """What /diagnostics says of the goal."""
        goal, distance = self._goal, self._distance
        if self._problem:
            return Health('goal', Level.ERROR, self._problem)
        if goal is None:
            return Health('goal', Level.OK, 'no goal: publish one on goal_image or reach_goal')
        return Health('goal', Level.OK, 'pursuing a goal', {
            'goal_id': goal.id, 'distance': f'{distance:.4g}'})

    # From the thread that observes

    def consider(
        self, camera: tuple[int, int] | None, model: LoadedModel, robot: RobotState,
    ) -> None:
        """
        Turn a request, if there is one, into a goal.

        :param camera: size [height, width] of its pictures; None where the model has none
        """
        request = self._requests.poll()
        if request is None:
            return
        try:
            goal = _goal_of(request, camera, model, robot)
        except (ImageError, InferenceError, ValueError) as error:
            self.refuse(str(error))
            request.refuse(str(error))
        else:
            self._pursue(goal)
            request.accept(goal)

    def hand_over(self, model: LoadedModel, robot: RobotState) -> None:
        """Pursue the goal with another model: encoded again, or dropped if it was a latent."""
        goal = self._goal
        if goal is None:
            return
        reason = (f'goal dropped: it came as a latent of the model before, which means nothing to '
                  f'{model.name}; send it again for this model')
        moved: Goal | None = None
        if not model.manifest.has_goal:
            reason = f'goal dropped: {model.name} takes none'
        elif goal.pixels is not None:
            try:
                moved = _encode(goal.id, goal.pixels, model, robot)
            except (InferenceError, ValueError) as error:
                reason = f'goal dropped: {model.name} cannot encode its picture: {error}'
        with self._lock:
            if self._goal is None or self._goal.id != goal.id:
                return  # given up meanwhile
            self._goal, self._distance = moved, math.nan
            if moved is None:
                self._problem = self._lost[goal.id] = reason
        if moved is None:
            self._logger.error(reason)

    def _pursue(self, goal: Goal) -> None:
        self._counts.add('goals_accepted')
        with self._lock:
            self._problem = ''
            self._lost.clear()
            if self._goal is not None and self._goal.id == goal.id:
                return
            self._goal, self._distance = goal, math.nan
        self._logger.info(f'new goal {goal.id}')


def _goal_of(
    request: GoalRequest, camera: tuple[int, int] | None, model: LoadedModel, robot: RobotState,
) -> Goal:
    if not model.manifest.has_goal:
        raise ValueError(f'{model.name} takes no goals: it plans for the reward it was trained on')
    if request.picture is None:
        target = request.latent
        expected = model.manifest.goal_shape
        if target is None or target.shape != expected or not np.isfinite(target).all():
            sizes = ' x '.join(map(str, expected))
            raise ValueError(f'goal latent must be {sizes} finite numbers')
        return Goal(_digest(target.tobytes()), None, target, model)
    picture = request.picture
    if camera is None:
        raise ValueError(f'{model.name} sees no pictures: give its goal as a latent')
    pixels = decode_image(
        picture.encoding, picture.height, picture.width, picture.step, picture.data,
        bool(picture.is_bigendian))
    if pixels.shape[:2] != camera:
        raise ImageError(f'goal picture is {picture.width}x{picture.height}, the camera '
                         f'{camera[1]}x{camera[0]}: use a picture that this camera took')
    return _encode(_digest(pixels.tobytes()), pixels, model, robot)


def _encode(goal_id: str, pixels: Pixels, model: LoadedModel, robot: RobotState) -> Goal:
    return Goal(goal_id, pixels, model.encode_goal(pixels, robot.joints, robot.pose), model)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
