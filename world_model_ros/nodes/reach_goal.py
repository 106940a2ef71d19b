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
The ``~/reach_goal`` action: drive the robot to what a picture or a latent shows.

One goal at a time; a newer one replaces it, from here or from the topic. Goals are judged by the
thread that knows the camera, so everything here only looks at what that thread left behind, from a
timer: an action that waits in a coroutine would keep rclpy's executor spinning at full speed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from action_msgs.msg import GoalStatus
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.node import Node
from sensor_msgs.msg import Image

from world_model_interfaces.action import ReachGoal
from world_model_ros.nodes.convert import NANOSECONDS, from_tensor

_PERIOD = 0.05  # s between feedback messages and looks at cancel requests
_SETTLED = 0.3  # s within tolerance until a goal counts as reached, not as passed

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Goal:
    """Where to go: target [G] of the bundle's cost; the id is a digest, equal for equal goals."""

    id: str
    target: Float


@dataclass(frozen=True)
class GoalRequest:
    """A goal that nobody has looked at yet: a picture, or a latent [G] where that is None."""

    picture: Image | None
    latent: Float | None
    accept: Callable[[Goal], None] = lambda goal: None
    refuse: Callable[[str], None] = lambda reason: None


@dataclass
class _Reach:
    """A goal in progress: what became of it so far. Times in seconds of the node's clock."""

    handle: ServerGoalHandle
    started: float
    goal: Goal | None = None
    refusal: str = ''
    distance: float = math.nan
    within_since: float | None = None


class ReachGoalServer:
    """Serves the action; ``submit`` takes requests.

    ``distance_to`` tells how far a goal is (NaN: not known yet, None: no longer pursued).
    """

    def __init__(self, node: Node, tolerance: float, *, submit: Callable[[GoalRequest], None],
                 distance_to: Callable[[Goal], float | None], give_up: Callable[[Goal], None],
                 is_ready: Callable[[], bool]) -> None:
        """``tolerance`` is the distance that counts as reached where a request names none."""
        self._node, self._tolerance = node, tolerance
        self._submit, self._distance_to, self._give_up = submit, distance_to, give_up
        self._reach: _Reach | None = None
        self._results: dict[bytes, tuple[int, ReachGoal.Result]] = {}
        self._server = ActionServer(
            node, ReachGoal, '~/reach_goal', self._deliver,
            goal_callback=lambda _: GoalResponse.ACCEPT if is_ready() else GoalResponse.REJECT,
            handle_accepted_callback=self._begin,
            cancel_callback=lambda _: CancelResponse.ACCEPT)
        self._timer = node.create_timer(_PERIOD, self._supervise)

    def destroy(self) -> None:
        """Leave the graph."""
        self._node.destroy_timer(self._timer)
        self._server.destroy()

    def end(self, status: int, reason: str) -> None:
        """End the goal in progress, if any, with a ``GoalStatus`` and the reason for it."""
        reach, self._reach = self._reach, None
        if reach is None:
            return
        if reach.goal is not None:
            self._give_up(reach.goal)
        result = ReachGoal.Result(
            reached=status == GoalStatus.STATUS_SUCCEEDED, reason=reason, distance=reach.distance)
        self._results[bytes(reach.handle.goal_id.uuid)] = (status, result)
        reach.handle.execute()

    def _begin(self, handle: ServerGoalHandle) -> None:
        self.end(GoalStatus.STATUS_ABORTED, 'a newer goal came by reach_goal')
        reach = self._reach = _Reach(handle, self._now())
        request: ReachGoal.Goal = handle.request
        try:
            latent = from_tensor(request.latent) if len(request.latent.data) else None
        except ValueError as error:
            reach.refusal = str(error)
            return

        def accept(goal: Goal) -> None:
            reach.goal = goal

        def refuse(reason: str) -> None:
            reach.refusal = reason

        picture = request.image if latent is None else None
        self._submit(GoalRequest(picture, latent, accept, refuse))

    def _supervise(self) -> None:
        reach = self._reach
        if reach is None:
            return
        elapsed = self._now() - reach.started
        distance = None if reach.goal is None else self._distance_to(reach.goal)
        if distance is not None:
            reach.distance = distance
        request: ReachGoal.Goal = reach.handle.request
        if reach.refusal:
            self.end(GoalStatus.STATUS_ABORTED, reach.refusal)
        elif reach.handle.is_cancel_requested:
            self.end(GoalStatus.STATUS_CANCELED, 'canceled on request')
        elif reach.goal is not None and distance is None:
            self.end(GoalStatus.STATUS_ABORTED, 'a newer goal came on goal_image')
        elif self._has_settled(reach, request.tolerance or self._tolerance):
            self.end(GoalStatus.STATUS_SUCCEEDED, 'within tolerance of the goal')
        elif 0.0 < request.time_limit < elapsed:
            where = f'distance {reach.distance:.3g}' if reach.goal else 'no image came'
            self.end(GoalStatus.STATUS_ABORTED, f'time limit {request.time_limit:g} s: {where}')
        else:
            reach.handle.publish_feedback(
                ReachGoal.Feedback(distance=reach.distance, elapsed=elapsed))

    def _has_settled(self, reach: _Reach, tolerance: float) -> bool:
        if not reach.distance <= tolerance:
            reach.within_since = None
        elif reach.within_since is None:
            reach.within_since = self._now()
        return reach.within_since is not None and self._now() - reach.within_since >= _SETTLED

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
