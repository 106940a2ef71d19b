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
The node that sees, imagines and plans: camera and joint states in, action proposals out.

Three threads, so that nothing waits for what is slower than itself:

- the executor only stores the newest messages and serves the ``~/reach_goal`` action;
- ``observe`` pairs, decodes and encodes at camera rate and publishes ``~/latent``;
- ``plan`` takes the newest latent at its own rate and publishes ``~/forecast`` and ``~/proposal``.
"""

import hashlib
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

import numpy as np
import numpy.typing as npt
from action_msgs.msg import GoalStatus
from rclpy.event_handler import SubscriptionEventCallbacks
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from world_model_interfaces.msg import ActionProposal, Forecast, Latent, ModelInfo
from world_model_ros.bundle import load_bundle
from world_model_ros.inference import InferenceError, WorldModel
from world_model_ros.monitor import Counters, Health, LatencyWindow, Level, Rate
from world_model_ros.nodes import parameters
from world_model_ros.nodes.convert import (
    NANOSECONDS,
    to_nanoseconds,
    to_stamp,
    to_tensor,
)
from world_model_ros.nodes.newest import Newest
from world_model_ros.nodes.process import ManagedNode, run_node
from world_model_ros.nodes.qos import COMMAND, IMAGE, LATCHED, SENSOR
from world_model_ros.nodes.reach_goal import Goal, GoalRequest, ReachGoalServer
from world_model_ros.observation import (
    ImageError,
    JointStateError,
    StampedBuffer,
    decode_image,
    fit_image,
    proprioception,
)
from world_model_ros.planning import Plan, Planner, shift_warm_start

Float = npt.NDArray[np.float32]

_KINDS = {'joint_velocity': ActionProposal.JOINT_VELOCITY}
_JOINT_STATES_KEPT = 200  # 2 s at 100 Hz: longer than any image is on its way


@dataclass(frozen=True)
class Encoded:
    """One observation as the encoder sees it: stamp [ns], frame and latent [D]."""

    stamp: int
    frame_id: str
    latent: Float


@dataclass(frozen=True)
class Proposed:
    """The last plan published; its stamp [ns] is the time of its first row."""

    stamp: int
    plan: Plan


class WorldModelNode(ManagedNode):
    """Lifecycle node ``world_model``; see the README for its topics and parameters."""

    def __init__(self) -> None:
        super().__init__('world_model')
        self.declare_parameter('bundle', '', parameters.text(
            'Folder of the model bundle. Relative paths start at the working directory.'))
        self.declare_parameter('plan_rate', 10.0, parameters.real(
            'Plans per second, at most one per image [Hz].', 0.1, 100.0))
        self.declare_parameter('plan_deadline', 0.05, parameters.real(
            'Time that one plan may take; the best plan so far is used [s].', 0.001, 60.0))
        self.declare_parameter('expected_latency', 0.1, parameters.real(
            'From an observation to the first command that follows from it; actions that are due '
            'before are taken as decided [s].', 0.0, 60.0))
        self.declare_parameter('max_skew', 0.02, parameters.real(
            'Largest distance in time between an image and its joint state [s].', 0.0, 1.0))
        self.declare_parameter('max_age', 0.5, parameters.real(
            'Images older than this are not used [s].', 0.01, 60.0))
        self.declare_parameter('threads', 1, parameters.whole(
            'Threads of ONNX Runtime per graph.', 1, 64))

        self._images: Newest[Image] = Newest()
        self._latents: Newest[Encoded] = Newest()
        self._requests: Newest[GoalRequest] = Newest()
        self._joints: StampedBuffer[JointState] = StampedBuffer(_JOINT_STATES_KEPT)
        self._joints_lock = threading.Lock()
        self._workers: list[threading.Thread] = []
        self._active = False
        self._goal: Goal | None = None
        self._proposed: Proposed | None = None
        self._distance = math.nan
        self._owned: list[Callable[[], object]] = []  # what cleanup destroys
        self._counts = Counters(
            'frames_received', 'frames_encoded', 'images_refused', 'joint_states_refused',
            'unpaired', 'stale', 'plans_refused', 'proposals', 'goals_accepted', 'goals_refused')
        self._image_rate, self._joint_rate, self._plan_rate = Rate(), Rate(), Rate()
        self._encode_time, self._plan_time, self._latency = (
            LatencyWindow(), LatencyWindow(), LatencyWindow())
        self._problem = ''
        self._goal_problem = ''

    # Lifecycle

    def configure(self) -> None:
        path = self.get_parameter('bundle').value
        if not path:
            raise ValueError('parameter "bundle" is empty: set it to the folder of a model bundle')
        bundle = load_bundle(Path(path))
        self._model = WorldModel(bundle, self.get_parameter('threads').value)
        self._planner = Planner(self._model, bundle.manifest.planner)
        self._manifest = bundle.manifest
        self._digest = bundle.digest
        self._latent_pub = self.create_publisher(Latent, '~/latent', SENSOR)
        self._forecast_pub = self.create_publisher(Forecast, '~/forecast', COMMAND)
        self._proposal_pub = self.create_publisher(ActionProposal, '~/proposal', COMMAND)
        self._info_pub = self.create_publisher(ModelInfo, '~/model_info', LATCHED)
        publishers = (self._latent_pub, self._forecast_pub, self._proposal_pub, self._info_pub)
        goal_events = SubscriptionEventCallbacks(incompatible_qos=self._on_volatile_goal)
        subscriptions = (
            self.create_subscription(Image, 'image', self._on_image, IMAGE),
            self.create_subscription(JointState, 'joint_states', self._on_joints, SENSOR),
            self.create_subscription(
                Image, 'goal_image', self._on_goal_image, LATCHED, event_callbacks=goal_events))
        self._reach_goal = ReachGoalServer(
            self, self._manifest.goal.reached, submit=self._request,
            distance_to=self._distance_to, give_up=self._give_up, is_ready=lambda: self._active)
        self._owned = [
            *(partial(self.destroy_publisher, publisher) for publisher in publishers),
            *(partial(self.destroy_subscription, subscription) for subscription in subscriptions),
            self._reach_goal.destroy]
        self._publish_info()
        model = self._manifest.model
        self.get_logger().info(f'model {model.name} {model.version} ({model.license}), '
                               f'digest {self._digest[:12]}, from {bundle.path}')

    def activate(self) -> None:
        self._images.open()
        self._latents.open()
        self._active = True
        self._proposed = None
        self._workers = [threading.Thread(target=self._observe, name='observe'),
                         threading.Thread(target=self._plan, name='plan')]
        for worker in self._workers:
            worker.start()

    def deactivate(self) -> None:
        self._active = False
        self._images.close()
        self._latents.close()
        for worker in self._workers:
            worker.join()
        self._workers = []
        self._reach_goal.end(GoalStatus.STATUS_ABORTED, 'the world model was deactivated')
        self._goal = None

    def cleanup(self) -> None:
        for destroy in self._owned:
            destroy()
        self._owned = []

    # Messages: store the newest, work elsewhere

    def _on_image(self, message: Image) -> None:
        self._counts.add('frames_received')
        self._image_rate.tick(monotonic())
        if self._active:
            self._images.put(message)

    def _on_joints(self, message: JointState) -> None:
        self._joint_rate.tick(monotonic())
        with self._joints_lock:
            self._joints.add(to_nanoseconds(message.header.stamp), message)

    def _on_goal_image(self, message: Image) -> None:
        self._request(GoalRequest(message, None))

    def _request(self, request: GoalRequest) -> None:
        if (replaced := self._requests.put(request)) is not None:
            replaced.refuse('a newer goal came before the camera showed anything')

    def _on_volatile_goal(self, _: object) -> None:
        self._refuse_goal('a publisher on goal_image is volatile: goals are latched, publish them '
                          'with transient local durability (as "ros2 topic pub" does)')

    # Observing

    def _observe(self) -> None:
        while (message := self._images.take()) is not None:
            try:
                pixels = decode_image(message.encoding, message.height, message.width,
                                      message.step, message.data)
            except ImageError as error:
                self._trouble('images_refused', str(error))
                continue
            if (request := self._requests.poll()) is not None:
                self._consider(request, (message.height, message.width))
            self._encode(message.header, pixels)

    def _encode(self, header: Header, pixels: npt.NDArray[np.uint8]) -> None:
        stamp = to_nanoseconds(header.stamp)
        age = (self.get_clock().now().nanoseconds - stamp) / NANOSECONDS
        if abs(age) > self._seconds('max_age'):
            self._trouble('stale', f'image is {age:.2f} s old: the camera lags, or its clock '
                          'differs from that of this node (use_sim_time set in only one of them?)')
            return
        with self._joints_lock:
            joints = self._joints.nearest(stamp, int(self._seconds('max_skew') * NANOSECONDS))
        if joints is None:
            self._trouble('unpaired', 'no joint state within max_skew of the image: is '
                          '"joint_states" published, and stamped with the same clock?')
            return
        started = monotonic()
        try:
            state = proprioception(
                joints.name, joints.position, joints.velocity, self._manifest.proprioception)
        except JointStateError as error:
            self._trouble('joint_states_refused', str(error))
            return
        try:
            latent = self._model.encode(fit_image(pixels, self._manifest.image), state)
        except InferenceError as error:
            self._trouble('images_refused', str(error))
            return
        self._encode_time.add(monotonic() - started)
        self._counts.add('frames_encoded')
        self._problem = ''
        self._latents.put(Encoded(stamp, header.frame_id, latent))
        self._latent_pub.publish(Latent(
            header=header, model=self._manifest.model.name, model_digest=self._digest,
            tensor=to_tensor(latent)))

    def _consider(self, request: GoalRequest, camera: tuple[int, int]) -> None:
        """Turn a request into a goal, now that the camera's size [height, width] is known."""
        try:
            goal = self._goal_of(request, camera)
        except (ImageError, InferenceError, ValueError) as error:
            self._refuse_goal(str(error))
            request.refuse(str(error))
        else:
            self._pursue(goal)
            request.accept(goal)

    def _goal_of(self, request: GoalRequest, camera: tuple[int, int]) -> Goal:
        if request.picture is None:
            target = request.latent
            expected = self._manifest.goal_shape
            if target is None or target.shape != expected or not np.isfinite(target).all():
                raise ValueError(f'goal latent must be {list(expected)} finite numbers')
            return Goal(_digest(target.tobytes()), target)
        picture = request.picture
        pixels = decode_image(
            picture.encoding, picture.height, picture.width, picture.step, picture.data)
        if pixels.shape[:2] != camera:
            raise ImageError(f'goal picture is {picture.width}x{picture.height}, the camera '
                             f'{camera[1]}x{camera[0]}: use a picture that this camera took')
        fitted = fit_image(pixels, self._manifest.image)
        return Goal(_digest(fitted.tobytes()), self._model.encode_goal(fitted))

    def _pursue(self, goal: Goal) -> None:
        self._counts.add('goals_accepted')
        self._goal_problem = ''
        if self._goal is None or self._goal.id != goal.id:
            self._distance = math.nan
            self._goal = goal
            self.get_logger().info(f'new goal {goal.id}')

    def _refuse_goal(self, reason: str) -> None:
        self._counts.add('goals_refused')
        self._goal_problem = f'goal refused: {reason}'
        self.get_logger().error(self._goal_problem)

    # Planning

    def _plan(self) -> None:
        due = 0  # stamp [ns] from which on the next plan is wanted
        while (encoded := self._latents.take()) is not None:
            goal = self._goal
            period = int(NANOSECONDS / self._seconds('plan_rate'))
            if due - period > encoded.stamp:
                due = 0  # the clock was set back
            # Images come with jitter; one that is early by up to 5 ms is not left out.
            if goal is None or encoded.stamp < due - NANOSECONDS // 200:
                continue
            due = max(due, encoded.stamp - period // 2) + period
            self._propose(encoded, goal)

    def _propose(self, encoded: Encoded, goal: Goal) -> None:
        deadline = monotonic() + self._seconds('plan_deadline')
        step = self._manifest.action.step_duration
        warm_start = self._warm_start(encoded.stamp)
        rows = math.ceil(self._seconds('expected_latency') / step - 1e-9)
        committed = warm_start[:rows] if warm_start is not None else np.zeros(
            (rows, self._manifest.action.size), np.float32)
        plan = self._planner.plan(
            encoded.latent, goal.target, committed=committed, warm_start=warm_start,
            seed=encoded.stamp, deadline=deadline)
        if not math.isfinite(plan.cost):
            self._trouble('plans_refused', 'the model predicts NaN or infinity for every plan')
            return
        if self._goal is not goal:
            return  # replaced while planning
        self._proposed = Proposed(encoded.stamp, plan)
        self._distance = plan.goal_distance
        self._publish_plan(encoded, goal, plan)

    def _warm_start(self, stamp: int) -> Float | None:
        """The last plan [H, A] as it continues at ``stamp``; None if the controller gave it up."""
        if self._proposed is None:
            return None
        elapsed = (stamp - self._proposed.stamp) / NANOSECONDS
        step = self._manifest.action.step_duration
        actions = self._proposed.plan.actions
        if not 0 <= elapsed < len(actions) * step:
            return None
        return shift_warm_start(actions, elapsed, step)

    def _publish_plan(self, encoded: Encoded, goal: Goal, plan: Plan) -> None:
        header = Header(stamp=to_stamp(encoded.stamp), frame_id=encoded.frame_id)
        plan_id = f'{encoded.stamp:x}-{goal.id}'
        action = self._manifest.action
        self._proposal_pub.publish(ActionProposal(
            header=header, plan_id=plan_id, model_digest=self._digest, goal_id=goal.id,
            kind=_KINDS[action.kind], names=list(action.names), step_duration=action.step_duration,
            values=to_tensor(plan.actions), cost=plan.cost, goal_distance=plan.goal_distance,
            samples=plan.samples, planning_time=plan.planning_time))
        self._counts.add('proposals')
        self._plan_rate.tick(monotonic())
        self._plan_time.add(plan.planning_time)
        self._latency.add((self.get_clock().now().nanoseconds - encoded.stamp) / NANOSECONDS)
        self._forecast_pub.publish(Forecast(
            header=header, plan_id=plan_id, goal_id=goal.id, step_duration=action.step_duration,
            actions=to_tensor(plan.actions), latents=to_tensor(plan.latents),
            cost=plan.step_costs.tolist()))

    def _publish_info(self) -> None:
        model, action = self._manifest.model, self._manifest.action
        self._info_pub.publish(ModelInfo(
            stamp=self.get_clock().now().to_msg(), name=model.name, version=model.version,
            license=model.license, digest=self._digest, action_kind=_KINDS[action.kind],
            action_names=list(action.names), action_lower=list(action.lower),
            action_upper=list(action.upper), step_duration=action.step_duration,
            horizon=self._manifest.planner.horizon,
            joint_names=list(self._manifest.proprioception.joints),
            latent_shape=list(self._manifest.latent.shape)))

    def _distance_to(self, goal: Goal) -> float | None:
        pursued = self._goal
        return self._distance if pursued is not None and pursued.id == goal.id else None

    def _give_up(self, goal: Goal) -> None:
        if self._distance_to(goal) is not None:
            self._goal = None

    def _seconds(self, name: str) -> float:
        return float(self.get_parameter(name).value)

    # Health

    def _trouble(self, counter: str, problem: str) -> None:
        self._counts.add(counter)
        self._problem = problem
        self.get_logger().warning(problem, throttle_duration_sec=5.0)

    def health(self) -> Sequence[Health]:
        """What `/diagnostics` says: the observation, the goal and the planning."""
        if not self._active:
            return ()
        return (self._observation_health(), self._goal_health(), self._planning_health())

    def _observation_health(self) -> Health:
        now = monotonic()
        values = {
            **self._counts.values(),
            'image_rate_hz': f'{self._image_rate.hertz(now):.1f}',
            'joint_state_rate_hz': f'{self._joint_rate.hertz(now):.1f}',
            **self._encode_time.values('encode')}
        level, message = Level.OK, 'observing'
        if (age := self._image_rate.age(now)) > 1.0:
            level = Level.ERROR
            message = (f'no image {_since(age)}: is the camera running, and "image" remapped to '
                       'its topic?')
        elif (age := self._joint_rate.age(now)) > 1.0:
            level = Level.ERROR
            message = (f'no joint state {_since(age)}: is "joint_states" remapped to the robot\'s '
                       'topic?')
        elif self._problem:
            level, message = Level.WARN, self._problem
        return Health('observation', level, message, values)

    def _goal_health(self) -> Health:
        if self._goal_problem:
            return Health('goal', Level.ERROR, self._goal_problem)
        if self._goal is None:
            return Health('goal', Level.OK, 'no goal: publish one on goal_image or reach_goal')
        return Health('goal', Level.OK, 'pursuing a goal', {
            'goal_id': self._goal.id, 'distance': f'{self._distance:.4g}'})

    def _planning_health(self) -> Health:
        now = monotonic()
        values = {
            'model_digest': self._digest,
            'plan_rate_hz': f'{self._plan_rate.hertz(now):.1f}',
            **self._plan_time.values('plan'),
            **self._latency.values('observation_to_proposal')}
        late = self._latency.percentile(99)
        expected = self._seconds('expected_latency')
        if late > expected:
            return Health('planning', Level.WARN, f'one plan in a hundred is {late:.3f} s old when '
                          f'it is published, expected_latency is {expected:g} s: raise it, or '
                          'lower plan_deadline', values)
        return Health('planning', Level.OK, 'in time', values)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _since(age: float) -> str:
    return 'so far' if math.isinf(age) else f'for {age:.1f} s'


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    return run_node(WorldModelNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
