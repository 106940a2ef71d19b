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
The ``~/reach_goal`` action: drive the robot to what a picture or a latent shows, or joints to be.

One goal at a time; a newer one replaces it, from here or from the topic. The action has room for
one picture: where a model sees with several cameras, a goal without any takes the pictures that
come on their ``goal_image`` topics after it, so that nothing moves for pictures of another time.

Goals are judged by the thread that knows the camera, so everything here only looks at what that
thread left behind, from a timer: an action that waits in a coroutine would keep rclpy's executor
spinning at full speed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from action_msgs.msg import GoalStatus
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.node import Node

from world_model_interfaces.action import ReachGoal
from world_model_ros.inference import JointTarget
from world_model_ros.nodes.convert import NANOSECONDS, from_tensor
from world_model_ros.nodes.goal_pictures import GoalPictures
from world_model_ros.nodes.goals import PASSED, GoalRequest, Goals, Progress, Route, Wish
from world_model_ros.nodes.loaded_model import LoadedModel

_PERIOD = 0.05  # s between feedback messages and looks at cancel requests
# The node's clock may run ahead of the steady one by this much from one look to the next: further,
# it has jumped, as from 0 to its first /clock.
_JUMP = 1.0  # s
_SETTLED = 0.3  # s of observations within tolerance until a goal counts as reached, not as passed


@dataclass
class _Reach:
    """A goal in progress: what became of it so far."""

    handle: ServerGoalHandle
    looked: tuple[float, float]  # s, by the node's clock and by the steady one
    elapsed: float = 0.0  # s of the node's clock, without its jumps
    route: Route | None = None
    left: int = 0  # sub-goals before the goal
    refusal: str = ''
    distance: float = math.nan
    within_since: int | None = None  # stamp of the first observation within tolerance [ns]
    over: bool = False  # ended, perhaps before anyone has judged the goal

    def look(self, now: float, steady: float) -> None:
        """Count the time since the last look, unless the clock has jumped since."""
        step, real = now - self.looked[0], steady - self.looked[1]
        if 0.0 <= step <= real + _JUMP:
            self.elapsed += step
        self.looked = now, steady

    def misfit(self, model: LoadedModel) -> str:
        """Why the distances of the request mean nothing to the model that runs now, or ''."""
        route, request = self.route, self.handle.request
        if (route is None or model.digest == route.goal.model.digest
                or not (request.tolerance or request.via_tolerance)
                or all(isinstance(leg.target, JointTarget) for leg in route.legs)):
            return ''
        return ('the tolerance is a distance of the model before, which means nothing to '
                f'{model.name}; send the goal again for this model')

    def has_settled(self, progress: Progress) -> bool:
        """Whether observations show the robot within tolerance for long enough, not one alone."""
        tolerance = self.handle.request.tolerance or progress.goal.reached
        if progress.left or not progress.distance <= tolerance:
            self.within_since = None
            return False
        if self.within_since is None or progress.stamp < self.within_since:
            self.within_since = progress.stamp
        return progress.stamp - self.within_since >= _SETTLED * NANOSECONDS


class ReachGoalServer:
    """Serves the action on top of ``Goals``."""

    def __init__(
        self, node: Node, goals: Goals, pictures: GoalPictures, is_ready: Callable[[], bool],
    ) -> None:
        self._node, self._goals, self._pictures = node, goals, pictures
        self._reach: _Reach | None = None
        self._results: dict[bytes, tuple[int, ReachGoal.Result]] = {}
        self._server = ActionServer(
            node, ReachGoal, '~/reach_goal', self._deliver,
            goal_callback=lambda _: GoalResponse.ACCEPT if is_ready() else GoalResponse.REJECT,
            handle_accepted_callback=self._begin,
            cancel_callback=lambda _: CancelResponse.ACCEPT)
        # Steady time: a paused simulation does not keep anyone from canceling.
        self._timer = node.create_timer(
            _PERIOD, self._supervise, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def destroy(self) -> None:
        """Leave the graph, when the client of a goal that has just ended knows how."""
        self._node.destroy_timer(self._timer)
        executor = self._node.executor
        if self._results and executor is not None:  # `execute` has made a task that delivers
            executor.create_task(self._server.destroy)
        else:
            self._server.destroy()

    def end(self, status: int, reason: str) -> None:
        """End the goal in progress, if any, with a ``GoalStatus`` and the reason for it."""
        reach, self._reach = self._reach, None
        if reach is None:
            return
        reach.over = True  # before the route is looked at: `accept` does it the other way round
        self._pictures.withdraw()
        if reach.route is not None:
            self._goals.give_up(reach.route)
        result = ReachGoal.Result(
            reached=status == GoalStatus.STATUS_SUCCEEDED, reason=reason, distance=reach.distance)
        self._results[bytes(reach.handle.goal_id.uuid)] = (status, result)
        reach.handle.execute()

    def _begin(self, handle: ServerGoalHandle) -> None:
        self.end(GoalStatus.STATUS_ABORTED, 'a newer goal came by reach_goal')
        reach = self._reach = _Reach(handle, (self._now(), time.monotonic()))
        request: ReachGoal.Goal = handle.request
        try:
            if reason := self._goals.closed:
                raise ValueError(reason)
            wish = _wish(request)
            if wish is None and not self._pictures.cameras:
                raise ValueError('the goal is empty: give a picture, a latent, or joint positions')
            sub_goals = _sub_goals(request)
            reach.left = len(sub_goals)
            for name in ('tolerance', 'via_tolerance', 'time_limit'):
                _nonnegative(name, getattr(request, name))
        except ValueError as error:
            reach.refusal = str(error)
            self._goals.refuse(reach.refusal)
            return

        def accept(route: Route) -> None:
            reach.route = route
            if reach.over:
                self._goals.give_up(route)

        def refuse(reason: str) -> None:
            reach.refusal = reason

        passed = request.via_tolerance or PASSED * request.tolerance
        goal = GoalRequest(sub_goals, passed, accept, refuse, is_wanted=lambda: not reach.over)
        if wish is None:
            self._pictures.complete(goal)
        else:
            self._goals.request(replace(goal, wishes=(*sub_goals, wish)))

    def _supervise(self) -> None:
        reach = self._reach
        if reach is None:
            return
        reach.look(self._now(), time.monotonic())
        progress = None if reach.route is None else self._goals.progress_on(reach.route)
        if progress is not None:
            reach.left, reach.distance = progress.left, progress.distance
        request: ReachGoal.Goal = reach.handle.request
        if reach.refusal:
            self.end(GoalStatus.STATUS_ABORTED, reach.refusal)
        elif reach.handle.is_cancel_requested:
            self.end(GoalStatus.STATUS_CANCELED, 'canceled on request')
        elif reach.route is not None and progress is None:
            self.end(GoalStatus.STATUS_ABORTED, self._goals.why_lost(reach.route))
        elif progress is not None and (misfit := reach.misfit(progress.goal.model)):
            self.end(GoalStatus.STATUS_ABORTED, misfit)
        elif progress is not None and reach.has_settled(progress):
            self.end(GoalStatus.STATUS_SUCCEEDED, 'within tolerance of the goal')
        elif 0.0 < request.time_limit < reach.elapsed:
            where = (f'distance {reach.distance:.3g}' if reach.route
                     else self._pictures.awaited() or 'no image came')
            where += f', {reach.left} sub-goals before the goal' if reach.left else ''
            self.end(GoalStatus.STATUS_ABORTED, f'time limit {request.time_limit:g} s: {where}')
        else:
            reach.handle.publish_feedback(
                ReachGoal.Feedback(
                    distance=reach.distance, elapsed=reach.elapsed, sub_goals_left=reach.left))

    def _deliver(self, handle: ServerGoalHandle) -> ReachGoal.Result:
        status, result = self._results.pop(bytes(handle.goal_id.uuid))
        if status == GoalStatus.STATUS_SUCCEEDED:
            handle.succeed()
        elif status == GoalStatus.STATUS_CANCELED:
            handle.canceled()
        else:
            handle.abort()
        return result

    def _now(self) -> float:
        return float(self._node.get_clock().now().nanoseconds) / NANOSECONDS


def _wish(request: ReachGoal.Goal) -> Wish | None:
    """What the request asks for, None if it has neither; raises ValueError."""
    if len(request.latent.data) and request.joints.name:
        raise ValueError('the goal is a latent and a joint target: leave one of them empty')
    if len(request.latent.data):
        return from_tensor(request.latent)
    if request.joints.name:
        return request.joints
    image = request.image
    return {'': image} if image.width or image.height or len(image.data) else None


def _sub_goals(request: ReachGoal.Goal) -> tuple[Wish, ...]:
    """What the request wants to be passed on the way; raises ValueError."""
    given = [name for name in ('via_images', 'via_latents', 'via_joints')
             if len(getattr(request, name))]
    if len(given) > 1:
        raise ValueError(f'sub-goals are in {given[0]} and in {given[1]}: give all in one of them')
    if request.via_latents:
        return tuple(from_tensor(latent) for latent in request.via_latents)
    return (*({'': image} for image in request.via_images), *request.via_joints)


def _nonnegative(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f'{name} is {value}: give a finite number, or 0 for the default')
