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
Which goal is pursued: from a request, that someone made, to a target that plans are held against.

Pictures and joint targets are kept, so that another model can be given the same goal; a latent
means something to the model that made it only. Requests come from the executor, the ``observe``
thread judges them because it knows the camera, and the ``plan`` thread follows, from one sub-goal
to the next where there are any.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import JointState

from world_model_ros import payload
from world_model_ros.inference import InferenceError, JointTarget
from world_model_ros.monitor import NO_GOAL, Counters, Health, Level
from world_model_ros.nodes.cameras import ImageMessage, Shot
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.newest import Newest
from world_model_ros.nodes.robot_state import RobotMoment
from world_model_ros.nodes.robot_stop import RobotStop
from world_model_ros.observation import ImageError, Picture, called

Float = npt.NDArray[np.float32]
# One picture of each camera, by its name; '' is that of a model that names none.
ImageMessages: TypeAlias = Mapping[str, ImageMessage]
# What a goal may be asked for as: pictures, positions of joints, or a latent [G].
Wish: TypeAlias = ImageMessages | JointState | Float

JOINTS_REACHED = 0.02  # rad or m: distance at which a joint target counts as reached
PASSED = 2.0  # times the distance at which it would be reached: near enough for a sub-goal
_SUB_GOALS = 64


@dataclass(frozen=True)
class Goal:
    """
    Where to go.

    id: a digest of what was asked for, equal for equal requests and for every model; after a stop
        of the robot its stamp follows, behind a dot (see ``control/goals.py``)
    pictures: by camera, as it would take them; none if the goal is no picture
    target: [G], of the bundle's cost, or where joints are to be
    model: the one whose latents ``target`` is comparable with
    """

    id: str
    pictures: Mapping[str, Picture]
    target: Float | JointTarget
    model: LoadedModel

    @property
    def reached(self) -> float:
        """The distance at which it counts as reached where a request names none."""
        return JOINTS_REACHED if isinstance(self.target, JointTarget) else self.model.reached


@dataclass(frozen=True)
class Route:
    """
    Goals one after the other, the last of which counts.

    passed: distance at which one gives way to the next, in the units of the goals; 0 for a default
    """

    id: str
    legs: tuple[Goal, ...]
    passed: float

    @property
    def goal(self) -> Goal:
        """The one that counts."""
        return self.legs[-1]


@dataclass(frozen=True)
class Progress:
    """
    How far a route has come.

    goal: the one that counts, for the model that measures the distance
    left: sub-goals before it
    distance: to the next of them; NaN: unknown
    stamp: of the observation at this distance [ns]
    """

    goal: Goal
    left: int
    distance: float
    stamp: int


@dataclass(frozen=True)
class GoalRequest:
    """
    A goal that nobody has looked at yet, behind its sub-goals; ``passed`` as in ``Route``.

    is_wanted: whether it still is; called from any thread
    """

    wishes: tuple[Wish, ...]
    passed: float = 0.0
    accept: Callable[[Route], None] = lambda route: None
    refuse: Callable[[str], None] = lambda reason: None
    is_wanted: Callable[[], bool] = lambda: True


class Goals:
    """The goal that is pursued, how far it is, and why the last one was refused or dropped."""

    def __init__(self, counts: Counters, logger: RcutilsLogger, stop: RobotStop) -> None:
        self._counts, self._logger, self._stop = counts, logger, stop
        self._requests: Newest[GoalRequest] = Newest()
        self._pending: GoalRequest | None = None  # until it is judged
        self._era = 0  # requests of an earlier one are not wanted any more
        self._lock = threading.Lock()
        self._route: Route | None = None
        self._leg = 0
        self._distance, self._stamp = math.nan, 0
        self._problem = ''
        self._lost: dict[str, str] = {}

    # From any thread

    @property
    def current(self) -> Goal | None:
        """The goal, or sub-goal, that is pursued."""
        with self._lock:
            return self._current()

    @property
    def purpose(self) -> str:
        """What is done for a goal, in words; empty without one."""
        pending = self._pending
        if (goal := self.current) is not None:
            return f'pursuing goal {goal.id}'
        # Where one replaces another, nobody is to believe in between that there is none.
        return 'judging a new goal' if pending is not None and pending.is_wanted() else ''

    @property
    def closed(self) -> str:
        """Why no goal is taken now; empty if one is."""
        return self._stop.reason

    def request(self, request: GoalRequest) -> None:
        """Ask for a goal; it is judged with the next image."""
        if reason := self.closed:
            self.refuse(reason)
            request.refuse(reason)
            return
        era, is_wanted = self._era, request.is_wanted
        request = replace(request, is_wanted=lambda: self._era == era and is_wanted())
        self._pending = request
        if (replaced := self._requests.put(request)) is not None:
            replaced.refuse('a newer goal came before the camera showed anything')

    def refuse(self, reason: str) -> None:
        """Count a goal that is not taken; what is pursued goes on."""
        self._counts.add('goals_refused')
        text = f'goal refused: {reason}'
        if not self.closed:  # a stop speaks for itself, and only as long as it lasts
            self._problem = text
        self._logger.error(text)

    def progress_on(self, route: Route) -> Progress | None:
        """How far a route has come; None if it is no longer pursued."""
        with self._lock:
            pursued = self._route
            if pursued is None or pursued.id != route.id:
                return None
            left = len(pursued.legs) - 1 - self._leg
            return Progress(pursued.goal, left, self._distance, self._stamp)

    def why_lost(self, route: Route) -> str:
        """Why a route is no longer pursued."""
        return self._lost.get(route.id, 'a newer goal picture came')

    def give_up(self, route: Route) -> None:
        """Stop to pursue a route, if it still is."""
        with self._lock:
            if self._route is not None and self._route.id == route.id:
                self._route, self._problem = None, ''

    def clear(self, reason: str) -> bool:
        """Forget the goal, and requests that nobody has judged; return whether there were any."""
        with self._lock:
            self._era += 1
            route, pending = self._route, self._pending
            self._route, self._pending, self._lost, self._problem = None, None, {}, ''
        self._requests.poll()
        if pending is not None:
            pending.refuse(reason)
        return route is not None or pending is not None

    def halt(self) -> None:
        """The robot was stopped: forget the goal, and say so."""
        if self.clear(self.closed):
            self._logger.error(self.closed)

    def reached(self, goal: Goal, distance: float, stamp: int) -> bool:
        """
        Note the distance of a goal in the observation of ``stamp`` [ns].

        False if it is no longer the one that is pursued.

        A sub-goal that is near enough gives way to the next one.
        """
        with self._lock:
            route = self._route
            if route is None or self._current() is not goal:
                return False
            self._distance, self._stamp = distance, stamp
            left = len(route.legs) - 1 - self._leg
            if not left or distance > (route.passed or PASSED * goal.reached):
                return True
            self._leg, self._distance = self._leg + 1, math.nan
        self._logger.info(f'sub-goal {goal.id} is passed, {left - 1} left before the goal')
        return True

    def abandon(self, goal: Goal, reason: str) -> None:
        """Stop to pursue a goal that cannot be reached, and say so."""
        with self._lock:
            route = self._route
            if route is None or self._current() is not goal:
                return
            self._route = None
            self._problem = self._lost[route.id] = reason
        self._counts.add('goals_abandoned')
        self._logger.error(reason)

    def health(self) -> Health:
        """What /diagnostics says of the goal."""
        with self._lock:
            goal, distance, leg, route = self._current(), self._distance, self._leg, self._route
            problem = self.closed or self._problem
        if goal is None or route is None:
            return Health('goal', Level.ERROR if problem else Level.OK, problem or NO_GOAL)
        text = f'{problem}; the goal before is still pursued' if problem else 'pursuing a goal'
        return Health('goal', Level.WARN if problem else Level.OK, text, {
            'goal_id': goal.id, 'distance': f'{distance:.4g}',
            'sub_goals_left': str(len(route.legs) - 1 - leg)})

    def _current(self) -> Goal | None:
        return None if self._route is None else self._route.legs[self._leg]

    # From the thread that observes

    def consider(
        self, seen: Mapping[str, Picture], model: LoadedModel, robot: RobotMoment,
    ) -> None:
        """
        Turn a request, if there is one, into a goal.

        The goal before is dropped where a camera shows another picture than it was encoded for: its
        distance would mean nothing any more.

        :param seen: what the model's cameras, by their names, show now; none where it has none
        """
        if (goal := self.current) is not None:
            try:
                for camera in seen.keys() & goal.pictures.keys():
                    _check_size(camera, goal.pictures[camera], seen[camera])
            except ImageError as error:
                self.abandon(goal, f'goal dropped: {error}')
        request = self._requests.poll()
        if request is None:
            return
        try:
            if request.is_wanted():
                self._judge(request, seen, model, robot)
        finally:
            with self._lock:
                if self._pending is request:
                    self._pending = None

    def _judge(
        self, request: GoalRequest, seen: Mapping[str, Picture], model: LoadedModel,
        robot: RobotMoment,
    ) -> None:
        try:
            route = _route_of(request, seen, model, robot, self._stop.since)
        except (ImageError, InferenceError, ValueError) as error:
            self.refuse(str(error))
            request.refuse(str(error))
        else:
            if self._pursue(route, request):
                request.accept(route)

    def hand_over(self, model: LoadedModel, robot: RobotMoment) -> None:
        """Pursue the route with another model: made for it, or dropped if that cannot be."""
        route = self._route
        if route is None:
            return
        moved: Route | None = None
        reason = ''
        try:
            legs = tuple(_moved(goal, model, robot) for goal in route.legs)
            moved = Route(route.id, legs, route.passed)
        except (InferenceError, ValueError) as error:
            reason = f'goal dropped: {error}'
        with self._lock:
            if self._route is None or self._route.id != route.id:
                return  # given up meanwhile
            self._route, self._distance = moved, math.nan
            if moved is None:
                self._problem = self._lost[route.id] = reason
        if moved is None:
            self._logger.error(reason)

    def _pursue(self, route: Route, request: GoalRequest) -> bool:
        """Pursue it unless nobody wants it any more: encoding takes its time."""
        with self._lock:
            if not request.is_wanted():
                return False
            self._problem = ''
            self._lost.clear()
            is_new = self._route is None or self._route.id != route.id
            if is_new:
                self._route, self._leg, self._distance = route, 0, math.nan
        self._counts.add('goals_accepted')
        if is_new:
            via = f', by way of {len(route.legs) - 1} sub-goals' if len(route.legs) > 1 else ''
            self._logger.info(f'new goal {route.goal.id}{via}')
        return True


def _route_of(
    request: GoalRequest, seen: Mapping[str, Picture], model: LoadedModel, robot: RobotMoment,
    stopped: int,
) -> Route:
    """``stopped`` is the stamp of the last stop [ns], 0 if there was none."""
    if not model.manifest.has_goal:
        raise ValueError(f'{model.name} takes no goals: it plans for the reward it was trained on')
    if len(request.wishes) > _SUB_GOALS + 1:
        raise ValueError(f'{len(request.wishes) - 1} sub-goals: {_SUB_GOALS} are the most')
    legs = tuple(_goal_of(wish, seen, model, robot) for wish in request.wishes)
    if stopped:
        legs = tuple(replace(leg, id=f'{leg.id}.{stopped:x}') for leg in legs)
    name = legs[0].id if len(legs) == 1 else _digest(''.join(leg.id for leg in legs).encode())
    return Route(name, legs, request.passed)


def _goal_of(
    wish: Wish, seen: Mapping[str, Picture], model: LoadedModel, robot: RobotMoment,
) -> Goal:
    if isinstance(wish, JointState):
        target = _joint_target(wish, model)
        return Goal(_digest(repr(target).encode()), {}, target, model)
    if isinstance(wish, np.ndarray):
        expected = model.manifest.goal_shape
        if wish.shape != expected or not np.isfinite(wish).all():
            sizes = ' x '.join(map(str, expected))
            raise ValueError(f'goal latent must be {sizes} finite numbers')
        return Goal(_digest(wish.tobytes()), {}, wish, model)
    if not model.cameras:
        raise ValueError(f'{model.name} sees no pictures: give its goal as a latent')
    if set(wish) != set(model.cameras):
        raise ValueError(_other_cameras(model))
    pictures = {camera: _taken_by(camera, wish[camera], seen[camera]) for camera in model.cameras}
    name = _digest(b''.join(picture.pixels.tobytes() for picture in pictures.values()))
    return _encode(name, pictures, model, robot)


def _other_cameras(model: LoadedModel) -> str:
    if model.cameras == ('',):
        return (f'{model.name} sees with one camera, which has no name: publish its goal on '
                'goal_image')
    topics = ', '.join(f'{camera}/goal_image' for camera in model.cameras)
    return (f'{model.name} sees with {len(model.cameras)} cameras, one picture is no goal for it: '
            f'publish what each is to show on {topics}, with equal stamps (reach_goal takes them '
            'from there if it is sent before, without a picture), or give the goal as a latent or '
            'a joint target')


def _taken_by(camera: str, message: ImageMessage, seen: Picture) -> Picture:
    """A goal picture as if the camera had taken it; raises ImageError if it cannot have."""
    picture = Shot(message, seen.optics).develop(camera)
    _check_size(camera, picture, seen)
    return picture


def _check_size(camera: str, goal: Picture, seen: Picture) -> None:
    (height, width), (high, wide) = goal.pixels.shape[:2], seen.pixels.shape[:2]
    if (height, width) != (high, wide):
        of = f' of {called(camera)}' if camera else ''
        raise ImageError(f'goal picture{of} is {width}x{height}, the camera {wide}x{high}: use a '
                         'picture that this camera took')


def _joint_target(wish: JointState, model: LoadedModel) -> JointTarget:
    if len(wish.name) > payload.JOINTS:
        raise ValueError(f'joint target of {len(wish.name)} joints: {payload.JOINTS} are the most')
    target = JointTarget(tuple(wish.name), tuple(wish.position))
    model.graphs.check_joint_target(target)
    return target


def _moved(goal: Goal, model: LoadedModel, robot: RobotMoment) -> Goal:
    """The same goal for another model; raises ValueError or InferenceError where there is none."""
    if not model.manifest.has_goal:
        raise ValueError(f'{model.name} takes none')
    if isinstance(goal.target, JointTarget):
        model.graphs.check_joint_target(goal.target)
        return Goal(goal.id, {}, goal.target, model)
    if not goal.pictures:
        raise ValueError(f'it came as a latent of the model before, which means nothing to '
                         f'{model.name}; send it again for this model')
    try:
        return _encode(goal.id, goal.pictures, model, robot)
    except (InferenceError, ValueError) as error:
        raise ValueError(f'{model.name} cannot encode its picture: {error}') from error


def _encode(
    goal_id: str, pictures: Mapping[str, Picture], model: LoadedModel, robot: RobotMoment,
) -> Goal:
    return Goal(goal_id, pictures, model.encode_goal(pictures, robot.joints, robot.pose), model)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
