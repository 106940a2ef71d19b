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

Threads, so that nothing waits for what is slower than itself:

- the executor only stores the newest messages, serves actions and services, and sends
  ``~/heartbeat``, which says what the other threads do;
- ``observe`` (``observer.py``) pairs, decodes and encodes at camera rate;
- ``plan`` (``proposer.py``) takes the newest latent at its own rate, for ``~/forecast`` and
  ``~/proposal``;
- ``tell`` publishes ``~/latent``: Python runs one thread at a time, and a plan that is due is to
  begin before that;
- ``surprise`` and ``shadow`` (``surprise.py``) hold expectations against what was then seen.

Another model (``load_model.py``) passes these threads in this order: ``observe`` encodes with it
from some picture on, and ``plan`` announces it when the first such latent arrives, between two
plans. So no proposal mixes models, and none of the new one comes before its ``~/model_info``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import sleep

from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from sensor_msgs.msg import JointState

from world_model_interfaces.msg import ControllerState
from world_model_ros.monitor import (
    ActionLog,
    Activity,
    Counters,
    Execution,
    Health,
    Level,
    WorkerWatch,
    assess,
)
from world_model_ros.nodes.border import Border
from world_model_ros.nodes.cameras import Cameras, Shot
from world_model_ros.nodes.controller_reports import ControllerReports
from world_model_ros.nodes.goal_pictures import TOPIC, GoalPictures
from world_model_ros.nodes.goals import Goals
from world_model_ros.nodes.heap import settle_allocator
from world_model_ros.nodes.load_model import LoadModelServer, give_way
from world_model_ros.nodes.loaded_model import LoadedModel, load_fit
from world_model_ros.nodes.observer import Encoded, Observer, Occasion
from world_model_ros.nodes.outputs import Outputs
from world_model_ros.nodes.process import ManagedNode, run_node
from world_model_ros.nodes.proposer import Proposer
from world_model_ros.nodes.qos import JOINTS, SENSOR, SETPOINT
from world_model_ros.nodes.reach_goal import ReachGoalServer
from world_model_ros.nodes.robot_stop import RobotStop
from world_model_ros.nodes.surprise import Shadowing, SurpriseMeter, check_shadow
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.nodes.worker import Worker, stop_all
from world_model_ros.nodes.world_model_parameters import WorldModelParameters

_HEARTBEAT_PERIOD = 0.05  # s
_ACTIONS_KEPT = 60.0  # s
_PLAN_FIRST = 0.001  # s that a plan needs the interpreter until it is in the model's graphs


class WorldModelNode(ManagedNode):
    """Lifecycle node ``world_model``; see the README for its topics and parameters."""

    _loader: LoadModelServer | None = None  # rclpy destroys also what could not be constructed

    def __init__(self) -> None:
        super().__init__('world_model')
        self._settings = WorldModelParameters(self)
        self._counts = Counters(
            'frames_received', 'joint_states_received', 'frames_encoded', 'images_refused',
            'camera_infos_missing', 'joint_states_refused', 'joint_states_of_others',
            'poses_refused', 'controller_states_refused', 'messages_refused', 'unpaired', 'stale',
            'repeated_stamps', 'frozen', 'encodings_failed', 'plans_refused', 'proposals',
            'goals_accepted', 'goals_refused', 'goals_abandoned')
        self._border = Border(self, self._on_border)
        self._robot_stop = RobotStop()
        self._active = False
        self._configured = self._has_listened = False
        self._owned: list[Callable[[], object]] = []  # what cleanup destroys
        self._loader = LoadModelServer(self, self)

    # Lifecycle

    def configure(self) -> None:
        path, shadow_path = self._settings.text('bundle'), self._settings.text('shadow_bundle')
        if not path:
            raise ValueError('parameter "bundle" is empty: set it to the folder of a model bundle')
        shadow: LoadedModel | None = None
        with ExitStack() as refused:
            model = load_fit(Path(path), self._settings, self.get_logger(), shadow=False)
            refused.callback(model.close)
            if shadow_path:
                shadow = load_fit(
                    Path(shadow_path), self._settings, self.get_logger(), shadow=True)
                refused.callback(shadow.close)
                check_shadow(shadow, model)
            refused.pop_all()
        self._outputs = Outputs(self)
        self._owned = [self._outputs.destroy]
        self._build(model)
        self._listen()
        self._configured = self._settings.in_use = True
        self._outputs.announce(model)
        self._run_shadow(shadow)

    def _build(self, model: LoadedModel) -> None:
        clock, logger = self.get_clock(), self.get_logger()
        self._observing = Troubles(self._counts, logger)
        self._actions = ActionLog(_ACTIONS_KEPT)
        self._execution = Execution(self._actions)
        self._reports = ControllerReports(
            self._execution, self._counts, Troubles(self._counts, logger))
        self._goals = Goals(self._counts, logger, self._robot_stop)
        steps = self._settings.whole('surprise_steps')
        self._meter = SurpriseMeter(steps, self._actions, self._outputs.surprise)
        self._shadowing = Shadowing(
            self._actions,
            partial(SurpriseMeter, steps, self._actions, self._outputs.shadow_surprise),
            logger.error)
        self._observer = Observer(
            model, self._settings, clock, self._goals, self._counts, self._observing,
            self._actions, observed=self._shadowing.observe, encoded=self._on_encoded)
        self._proposer = Proposer(
            model, self._settings, clock, self._goals, self._counts,
            Troubles(self._counts, logger), self._execution, self._reports,
            publish=self._outputs.plan, adopted=self._outputs.announce, log=logger.info)
        self._seeing: Worker[Occasion] = Worker(
            self._observer.watch, self._observer.observe, logger.error)
        self._planning: Worker[Encoded] = Worker(
            self._proposer.watch, self._proposer.plan, logger.error)
        self._tell_watch = WorkerWatch('tell')
        self._telling: Worker[Encoded] = Worker(self._tell_watch, self._tell, logger.error)
        self._judging: Worker[Encoded] = Worker(self._meter.watch, self._meter.see, logger.error)

    def _listen(self) -> None:
        self._cameras = Cameras(self, self._border, self._on_shot)
        self._attended: tuple[LoadedModel, ...] = ()
        self._goal_pictures = GoalPictures(
            self, self._border, self._goals, partial(self._settings.real, 'max_camera_skew'),
            self._observer.model.cameras, takes_latched=not self._has_listened)
        self._has_listened = True
        self._attend()
        subscribe = self._border.subscribe
        subscriptions = (
            subscribe(JointState, 'joint_states', self._on_joints, JOINTS),
            subscribe(PoseStamped, 'pose', self._on_pose, SENSOR),
            subscribe(ControllerState, 'controller_state', self._on_controller_state, SETPOINT))
        self._reach_goal = ReachGoalServer(
            self, self._goals, self._goal_pictures, is_ready=lambda: self._active)
        # Steady time: the heart beats on while a simulation is paused.
        timer = self.create_timer(
            _HEARTBEAT_PERIOD, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._owned += [
            partial(self.destroy_timer, timer),
            *(partial(self.destroy_subscription, subscription) for subscription in subscriptions),
            self._cameras.destroy, self._goal_pictures.destroy, self._reach_goal.destroy]

    def _attend(self) -> None:
        """Listen to the cameras of the models that run or are about to."""
        shadow = self._shadowing.model
        models = (*self._observer.models, *(() if shadow is None else (shadow,)))
        if models != self._attended:
            self._attended = models
            self._cameras.serve(*models)
            self._goal_pictures.serve(self._observer.models[-1].cameras)

    def activate(self) -> None:
        self._observer.restart()
        self._proposer.restart()
        try:
            self._judging.start()
            self._shadowing.start()
            self._telling.start()
            self._planning.start()
            self._seeing.start()
        except RuntimeError:
            self._release()
            raise
        self._active = True

    def _release(self) -> None:
        """End all threads without waiting for them."""
        for it in (self._judging, self._shadowing, self._telling, self._planning, self._seeing):
            it.release()

    def deactivate(self) -> None:
        self._active = False
        reason = 'the world model was deactivated'
        self._reach_goal.end(GoalStatus.STATUS_ABORTED, reason)
        self._goals.clear(reason)
        left = stop_all((
            (self._planning, self._proposer.model.interrupt),
            (self._seeing, self._observer.interrupt),
            (self._telling, self._observer.model.interrupt),
            (self._judging, self._observer.model.interrupt),
            *self._shadowing.stop()))
        if left:
            self.get_logger().error(
                f'the model does not let go of {", ".join(left)}: left behind; restart the node '
                'before it is activated again')
        # The controller need not wait for plans that do not come any more.
        self._outputs.beat(self._proposer.model, Activity.IDLE, reason)
        self._settle()

    def destroy_node(self) -> None:
        if self._loader is not None:
            self._loader.close()
        super().destroy_node()

    def cleanup(self) -> None:
        self._configured = self._settings.in_use = False
        self._robot_stop.forget()
        self._release()
        self._shadowing.run(None)
        self._proposer.model.close()
        for destroy in self._owned:
            destroy()
        self._owned = []

    # Models: called by LoadModelServer, in the executor's thread but for `load`

    def refusal(self) -> str:
        return '' if self._configured else 'the node is not configured: configure it first'

    def load(self, path: Path, shadow: bool) -> LoadedModel:
        return load_fit(path, self._settings, self.get_logger(), give_way, shadow=shadow)

    def swap(self, model: LoadedModel) -> Callable[[], bool]:
        """Let a model take over; one that hangs meanwhile is interrupted."""
        hung_after = self._settings.real('hung_after')
        self._observer.see_with(model)
        if not self._active:
            self._settle()
        self._attend()
        for watch, interrupt in ((self._observer.watch, self._observer.interrupt),
                                 (self._proposer.watch, self._proposer.model.interrupt)):
            if watch.inside_of()[1] > hung_after:
                interrupt()
        if (shadow := self._shadowing.model) is not None:
            try:
                check_shadow(shadow, model)
            except ValueError as error:
                self.get_logger().warning(f'the shadow ends: {error}')
                self.set_shadow(None)
        self._settings.note('bundle', str(model.bundle.path))
        return lambda: self._proposer.model is model

    def set_shadow(self, model: LoadedModel | None) -> None:
        if model is not None:
            check_shadow(model, self._observer.models[-1])
        self._run_shadow(model)
        self._settings.note('shadow_bundle', '' if model is None else str(model.bundle.path))

    def _run_shadow(self, model: LoadedModel | None) -> None:
        self._shadowing.run(model)
        self._attend()

    def _settle(self) -> None:
        """Change to the model that waits, if one does, while no worker runs."""
        self._observer.take_over()
        if self._proposer.model is not self._observer.model:
            self._proposer.adopt(self._observer.model)
            self._meter.forget()

    # Messages: store the newest, work elsewhere

    def _on_shot(self, camera: str, shot: Shot) -> None:
        pictures = self._observer.picture_came(camera, shot)
        if pictures is not None and self._active:
            self._seeing.box.put(pictures)

    def _on_joints(self, message: JointState) -> None:
        if self._observer.robot.store_joints(message, self._observer.models):
            self._look(message)

    def _on_pose(self, message: PoseStamped) -> None:
        if self._observer.robot.store_pose(message, self._observer.models):
            self._look(message)

    def _look(self, message: JointState | PoseStamped) -> None:
        if self._observer.wants(message) and self._active:
            self._seeing.box.put(message)

    def _on_controller_state(self, message: ControllerState) -> None:
        if self._robot_stop.note(message):
            self._goals.halt()
            self._goal_pictures.halt()
            self._reach_goal.end(GoalStatus.STATUS_ABORTED, self._robot_stop.reason)
        self._reports.store(message, self._proposer.model)

    def _on_border(self, topic: str, text: str) -> None:
        if TOPIC in topic:
            self._goals.refuse(text)
        else:
            self._observing.note('messages_refused', text)

    # What the workers give

    def _on_encoded(self, encoded: Encoded) -> None:
        self._planning.box.put(encoded)
        self._telling.box.put(encoded)

    def _tell(self, encoded: Encoded) -> None:
        sleep(_PLAN_FIRST)
        self._outputs.latent(encoded)
        self._judging.box.put(encoded)

    # Health

    def _assess(self) -> tuple[Activity, str]:
        purpose = self._goals.purpose
        if not self._proposer.model.manifest.has_goal:
            purpose = 'planning for the reward that the model was trained on'
        return assess(
            (self._observer.watch, self._proposer.watch), self._settings.real('hung_after'),
            self._observer.sight(), purpose)

    def _beat(self) -> None:
        if not self._configured:  # the timer's last event may come after cleanup
            return
        self._attend()  # without the cameras of a model that another one has replaced since
        if self._active:
            self._outputs.beat(self._proposer.model, *self._assess())

    def health(self) -> Sequence[Health]:
        """What `/diagnostics` says: the model, the observation, the goal and the planning."""
        if not self._active:
            return ()
        observation = self._observer.health()
        observation.values.update(self._cameras.topics())
        return (self._model_health(), observation, self._goals.health(), self._proposer.health(),
                *self._shadowing.health(self._settings.real('hung_after')))

    def _model_health(self) -> Health:
        activity, text = self._assess()
        level = {Activity.FAILED: Level.ERROR, Activity.BLIND: Level.WARN}.get(activity, Level.OK)
        watches = (
            self._observer.watch, self._proposer.watch, self._tell_watch, self._meter.watch)
        surprise, model = self._meter.scores.percentile(50), self._proposer.model
        return Health('model', level, text, {
            'activity': activity.name.lower(), 'model': str(model), 'check': model.verdict,
            **model.graphs.backend.describe(),
            **{f'{watch.name}_failures': str(watch.failures) for watch in watches},
            'surprise_p50': f'{surprise:.4g}',
            **self._border.counts.values()})


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    settle_allocator()
    return run_node(WorldModelNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
