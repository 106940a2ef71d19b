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
from functools import partial
from pathlib import Path
from time import sleep

from action_msgs.msg import GoalStatus
from geometry_msgs.msg import PoseStamped
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import Header

from world_model_interfaces.msg import (
    ActionProposal,
    ControllerState,
    Forecast,
    Heartbeat,
    Latent,
    ModelInfo,
    Surprise,
)
from world_model_ros.inference.findings import Grade
from world_model_ros.inference.report import describe_model
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
from world_model_ros.nodes.convert import to_stamp, to_tensor
from world_model_ros.nodes.goal_pictures import TOPIC, GoalPictures
from world_model_ros.nodes.goals import Goals
from world_model_ros.nodes.heap import settle_allocator
from world_model_ros.nodes.load_model import LoadModelServer, give_way
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.observer import Encoded, Observation, Observer, Occasion
from world_model_ros.nodes.process import ManagedNode, run_node
from world_model_ros.nodes.proposer import Proposed, Proposer
from world_model_ros.nodes.qos import (
    COMMAND,
    HEARTBEAT,
    JOINTS,
    LATCHED,
    SENSOR,
    SETPOINT,
)
from world_model_ros.nodes.reach_goal import ReachGoalServer
from world_model_ros.nodes.robot_stop import RobotStop
from world_model_ros.nodes.surprise import Shadow, SurpriseMeter
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.nodes.worker import Worker
from world_model_ros.nodes.world_model_parameters import WorldModelParameters

_HEARTBEAT_PERIOD = 0.05  # s
_ACTIONS_KEPT = 60.0  # s
_FLUSH = Duration(seconds=0.05)  # at most, for messages to arrive where a model changes
_PLAN_FIRST = 0.001  # s that a plan needs the interpreter until it is in the model's graphs
_SPEED_TEST, _SPEED_SECOND_TEST = 0.1, 3.0  # s of running the model as fast as it goes


class WorldModelNode(ManagedNode):
    """Lifecycle node ``world_model``; see the README for its topics and parameters."""

    def __init__(self) -> None:
        super().__init__('world_model')
        self._settings = WorldModelParameters(self)
        self._counts = Counters(
            'frames_received', 'joint_states_received', 'frames_encoded', 'images_refused',
            'camera_infos_missing', 'joint_states_refused', 'poses_refused',
            'controller_states_refused', 'unpaired', 'stale', 'repeated_stamps', 'frozen',
            'encodings_failed', 'plans_refused', 'proposals', 'goals_accepted', 'goals_refused',
            'goals_abandoned')
        self._border = Border(self, self._on_border)
        self._robot_stop = RobotStop()
        self._active = False
        self._configured = False
        self._shadow: Shadow | None = None
        self._owned: list[Callable[[], object]] = []  # what cleanup destroys
        self._loader = LoadModelServer(self, self)

    # Lifecycle

    def configure(self) -> None:
        path, shadow_path = self._settings.text('bundle'), self._settings.text('shadow_bundle')
        if not path:
            raise ValueError('parameter "bundle" is empty: set it to the folder of a model bundle')
        model = self._load(Path(path))
        shadow = self._load(Path(shadow_path)) if shadow_path else None
        if shadow is not None:
            _check_shadow(shadow, model)
        self._advertise()
        self._build(model)
        self._listen()
        self._configured = self._settings.in_use = True
        self._info_pub.publish(model.info(self.get_clock().now().to_msg()))
        self.get_logger().info(f'model {model}, from {model.bundle.path}')
        if shadow is not None:
            self._run_shadow(shadow)

    def _advertise(self) -> None:
        self._latent_pub = self.create_publisher(Latent, '~/latent', SENSOR)
        self._forecast_pub = self.create_publisher(Forecast, '~/forecast', COMMAND)
        self._proposal_pub = self.create_publisher(ActionProposal, '~/proposal', COMMAND)
        self._info_pub = self.create_publisher(ModelInfo, '~/model_info', LATCHED)
        self._heartbeat_pub = self.create_publisher(Heartbeat, '~/heartbeat', HEARTBEAT)
        self._surprise_pub = self.create_publisher(Surprise, '~/surprise', SENSOR)
        self._shadow_surprise_pub = self.create_publisher(Surprise, '~/shadow/surprise', SENSOR)
        publishers = (self._latent_pub, self._forecast_pub, self._proposal_pub, self._info_pub,
                      self._heartbeat_pub, self._surprise_pub, self._shadow_surprise_pub)
        self._owned = [partial(self.destroy_publisher, publisher) for publisher in publishers]

    def _build(self, model: LoadedModel) -> None:
        clock, logger = self.get_clock(), self.get_logger()
        self._observing = Troubles(self._counts, logger)
        self._actions = ActionLog(_ACTIONS_KEPT)
        self._execution = Execution(self._actions)
        self._reports = ControllerReports(
            self._execution, self._counts, Troubles(self._counts, logger))
        self._goals = Goals(self._counts, logger, self._robot_stop)
        self._observer = Observer(
            model, self._settings, clock, self._goals, self._counts, self._observing,
            self._actions, observed=self._on_observation, encoded=self._on_encoded)
        self._proposer = Proposer(
            model, self._settings, clock, self._goals, self._counts,
            Troubles(self._counts, logger), self._execution, self._reports,
            publish=self._publish_plan, adopted=self._on_adopted, log=self._log_info)
        self._seeing: Worker[Occasion] = Worker(
            self._observer.watch, self._observer.observe, self._log_error)
        self._planning: Worker[Encoded] = Worker(
            self._proposer.watch, self._proposer.plan, self._log_error)
        self._telling: Worker[Encoded] = Worker(
            WorkerWatch('tell'), self._tell, self._log_error)
        self._meter = SurpriseMeter(
            self._settings.whole('surprise_steps'), self._actions,
            self._surprise_pub.publish)
        self._judging: Worker[Encoded] = Worker(
            self._meter.watch, self._meter.see, self._log_error)
        self._shadowing: Worker[Observation] | None = None

    def _listen(self) -> None:
        self._cameras = Cameras(self, self._border, self._on_shot)
        self._attended: tuple[LoadedModel, ...] = ()
        self._goal_pictures = GoalPictures(
            self, self._border, self._goals, self._robot_stop,
            partial(self._settings.real, 'max_camera_skew'))
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
        shadow = () if self._shadow is None else (self._shadow.model,)
        models = (*self._observer.models, *shadow)
        if models != self._attended:
            self._attended = models
            self._cameras.serve(*models)
            self._goal_pictures.serve(self._observer.models[-1].cameras)

    def activate(self) -> None:
        self._observer.restart()
        self._proposer.restart()
        self._judging.start()
        if self._shadowing is not None:
            self._shadowing.start()
        self._telling.start()
        self._planning.start()
        self._seeing.start()
        self._active = True

    def deactivate(self) -> None:
        self._active = False
        reason = 'the world model was deactivated'
        self._reach_goal.end(GoalStatus.STATUS_ABORTED, reason)
        self._goals.clear(reason)
        self._stop(self._planning, self._proposer.model)
        # The controller need not wait for plans that do not come any more.
        self._say(Activity.IDLE, reason)
        self._stop(self._seeing, self._observer.model)
        self._stop(self._telling, self._observer.model)
        self._stop(self._judging, self._observer.model)
        if self._shadowing is not None and self._shadow is not None:
            self._stop(self._shadowing, self._shadow.model)
        self._settle()

    def destroy_node(self) -> None:
        self._loader.close()
        super().destroy_node()

    def cleanup(self) -> None:
        self._configured = self._settings.in_use = False
        self._robot_stop.forget()
        self._run_shadow(None)
        self._proposer.model.close()
        for destroy in self._owned:
            destroy()
        self._owned = []

    # Models: called by LoadModelServer, in the executor's thread but for `load`

    def refusal(self) -> str:
        return '' if self._configured else 'the node is not configured: configure it first'

    def load(self, path: Path, *, shadow: bool) -> LoadedModel:
        model = self._load(path, give_way)
        if shadow:
            _check_shadow(model, self._proposer.model)
        return model

    def swap(self, model: LoadedModel) -> Callable[[], bool]:
        """Let a model take over; one that hangs meanwhile is interrupted."""
        hung_after = self._settings.real('hung_after')
        self._observer.see_with(model)
        if not self._active:
            self._settle()
        self._attend()
        for watch, old in ((self._observer.watch, self._observer.model),
                           (self._proposer.watch, self._proposer.model)):
            if watch.inside_of()[1] > hung_after:
                old.interrupt()
        if self._shadow is not None and not (self._shadow.model.drives_like(model)
                                             and _sees_enough(self._shadow.model, model)):
            self.get_logger().warning('the shadow ends: its actions are not those of the new '
                                      'model, or it needs pictures that the new one does not')
            self._run_shadow(None)
        self._settings.note('bundle', str(model.bundle.path))
        return lambda: self._proposer.model is model

    def set_shadow(self, model: LoadedModel | None) -> None:
        if model is not None:
            _check_shadow(model, self._proposer.model)
        self._run_shadow(model)
        self._settings.note('shadow_bundle', '' if model is None else str(model.bundle.path))

    def _load(self, path: Path, give_way: Callable[[], None] = lambda: None) -> LoadedModel:
        """Load a model that is fit to run here; the same checks and words as `wmros check`."""
        model = LoadedModel(path, self._settings.runtime(), self._log_info, give_way)
        self._settings.check(model.rows * model.manifest.action.step_duration)
        deadline = self._settings.real('plan_deadline')
        report = describe_model(model.graphs, deadline, _SPEED_TEST)
        if not report.fit:  # perhaps the machine was busy just now
            report = describe_model(model.graphs, deadline, _SPEED_SECOND_TEST)
        logger = self.get_logger()
        for line in report.lines():
            logger.info(line)
        for finding in report.findings:
            if finding.grade is Grade.WARNING:
                logger.warning(str(finding))
        if not report.fit:
            unfit = [str(finding) for finding in report.findings if finding.grade is Grade.UNFIT]
            raise ValueError(f'{model} is {report.verdict}: {" ".join(unfit)}')
        model.verdict = report.verdict
        return model

    def _settle(self) -> None:
        """Change to the model that waits, if one does, while no worker runs."""
        self._observer.take_over()
        if self._proposer.model is not self._observer.model:
            self._proposer.adopt(self._observer.model)
            self._meter.forget()

    def _run_shadow(self, model: LoadedModel | None) -> None:
        """Replace the shadow by another one, or none."""
        worker, old = self._shadowing, self._shadow
        self._shadowing = self._shadow = None
        if worker is not None and old is not None:
            worker.release()
            old.model.close()
        if model is not None:
            shadow = self._shadow = Shadow(model, self._actions, SurpriseMeter(
                self._settings.whole('surprise_steps'), self._actions,
                self._shadow_surprise_pub.publish))
            worker = Worker(shadow.watch, shadow.observe, self._log_error)
            if self._active:
                worker.start()
            self._shadowing = worker
            self._attend()

    def _stop(self, worker: Worker, model: LoadedModel) -> None:
        if not worker.stop(model.interrupt):
            self.get_logger().error(
                f'the model does not let go of the {worker.name} thread, which is left behind: '
                'restart the node before it is activated again')

    # Messages: store the newest, work elsewhere

    def _on_shot(self, camera: str, shot: Shot) -> None:
        pictures = self._observer.picture_came(camera, shot)
        if pictures is not None and self._active:
            self._seeing.box.put(pictures)

    def _on_joints(self, message: JointState) -> None:
        if self._observer.robot.store_joints(message, self._observer.model):
            self._look(message)

    def _on_pose(self, message: PoseStamped) -> None:
        if self._observer.robot.store_pose(message, self._observer.model):
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

    def _on_observation(self, observation: Observation) -> None:
        if (shadowing := self._shadowing) is not None:
            shadowing.box.put(observation)

    def _on_encoded(self, encoded: Encoded) -> None:
        self._planning.box.put(encoded)
        self._telling.box.put(encoded)

    def _tell(self, encoded: Encoded) -> None:
        sleep(_PLAN_FIRST)
        self._latent_pub.publish(Latent(
            header=Header(stamp=to_stamp(encoded.stamp), frame_id=encoded.frame_id),
            model=encoded.model.name, model_digest=encoded.model.digest,
            tensor=to_tensor(encoded.context.latent)))
        self._judging.box.put(encoded)

    def _on_adopted(self, model: LoadedModel) -> None:
        # Topics do not keep order among each other: the old model's last proposal is to be there
        # before the announcement, and that before the new model's first proposal.
        self._proposal_pub.wait_for_all_acked(_FLUSH)
        self._info_pub.publish(model.info(self.get_clock().now().to_msg()))
        self._info_pub.wait_for_all_acked(_FLUSH)
        self.get_logger().info(f'model {model}, from {model.bundle.path}')

    def _publish_plan(self, proposed: Proposed) -> None:
        encoded, plan = proposed.encoded, proposed.plan
        header = Header(stamp=to_stamp(encoded.stamp), frame_id=encoded.frame_id)
        model = encoded.model
        step = model.manifest.action.step_duration
        self._proposal_pub.publish(ActionProposal(
            header=header, plan_id=proposed.id, model_digest=model.digest,
            goal_id=proposed.goal_id, kind=model.kind, names=model.driven_names,
            step_duration=step, values=to_tensor(model.driven(plan.actions)), cost=plan.cost,
            goal_distance=plan.goal_distance, samples=plan.samples,
            planning_time=plan.planning_time))
        self._forecast_pub.publish(Forecast(
            header=header, plan_id=proposed.id, goal_id=proposed.goal_id,
            step_duration=step, actions=to_tensor(plan.actions),
            latents=to_tensor(plan.latents), cost=plan.step_costs.tolist()))

    # Health

    def _log_info(self, text: str) -> None:
        self.get_logger().info(text)

    def _log_error(self, text: str) -> None:
        self.get_logger().error(text)

    def _assess(self) -> tuple[Activity, str]:
        purpose = self._goals.purpose
        if not self._proposer.model.manifest.has_goal:
            purpose = 'planning for the reward that the model was trained on'
        return assess(
            (self._observer.watch, self._proposer.watch), self._settings.real('hung_after'),
            self._observer.sight(), purpose)

    def _beat(self) -> None:
        self._attend()  # without the cameras of a model that another one has replaced since
        if self._active:
            self._say(*self._assess())

    def _say(self, activity: Activity, text: str) -> None:
        self._heartbeat_pub.publish(Heartbeat(
            header=Header(stamp=self.get_clock().now().to_msg()),
            model_digest=self._proposer.model.digest, activity=int(activity), text=text))

    def health(self) -> Sequence[Health]:
        """What `/diagnostics` says: the model, the observation, the goal and the planning."""
        if not self._active:
            return ()
        observation = self._observer.health()
        observation.values.update(self._cameras.topics())
        reports = [self._model_health(), observation, self._goals.health(),
                   self._proposer.health()]
        if (shadow := self._shadow) is not None:
            reports.append(shadow.health(self._settings.real('hung_after')))
        return reports

    def _model_health(self) -> Health:
        activity, text = self._assess()
        level = {Activity.FAILED: Level.ERROR, Activity.BLIND: Level.WARN}.get(activity, Level.OK)
        watches = (self._observer.watch, self._proposer.watch, self._meter.watch)
        surprise, model = self._meter.scores.percentile(50), self._proposer.model
        return Health('model', level, text, {
            'activity': activity.name.lower(), 'model': str(model), 'check': model.verdict,
            **model.graphs.backend.describe(),
            **{f'{watch.name}_failures': str(watch.failures) for watch in watches},
            'surprise_p50': f'{surprise:.4g}',
            **self._border.counts.values()})


def _check_shadow(shadow: LoadedModel, active: LoadedModel) -> None:
    if not shadow.drives_like(active):
        raise ValueError(f'{shadow} cannot be the shadow of {active}: its actions differ in kind, '
                         'names or units, so that what the robot does means nothing to it')
    if not _sees_enough(shadow, active):
        has = ', '.join(active.cameras) or 'one without a name' if active.cameras else 'none'
        raise ValueError(f'{shadow} cannot be the shadow of {active}: it needs pictures that that '
                         f'one does not see (its cameras: {has})')


def _sees_enough(shadow: LoadedModel, active: LoadedModel) -> bool:
    """Whether the observations of a model are all that its shadow needs."""
    return set(shadow.cameras) <= set(active.cameras)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop."""
    settle_allocator()
    return run_node(WorldModelNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
