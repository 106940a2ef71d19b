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
"""What is proposed when a model gives way to another one, and when a goal is given up."""

import array
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rclpy.clock import Clock
from rclpy.logging import get_logger
from sensor_msgs.msg import Image, JointState
from small_models import JOINTS as SMALL_JOINTS
from small_models import KINDS, write_small_bundle
from std_msgs.msg import Header
from toy_bundle import JOINTS, STEP, toy_image, write_toy_bundle

from world_model_interfaces.msg import ControllerState
from world_model_ros.inference import RuntimeSettings
from world_model_ros.monitor import NO_GOAL, ActionLog, Counters, Execution, Level
from world_model_ros.nodes.controller_reports import ControllerReports
from world_model_ros.nodes.convert import to_stamp
from world_model_ros.nodes.goals import GoalRequest, Goals
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.observer import Encoded, Eye, Observation
from world_model_ros.nodes.proposer import Proposed, Proposer
from world_model_ros.nodes.robot_state import RobotMoment
from world_model_ros.nodes.robot_stop import RobotStop
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.observation import Picture

S = 10**9
MS = 10**6
FAR = [2.9, -2.9]  # further than a plan reaches
# A deadline that no plan of the toy needs: so plans are the same on every machine.
SETTINGS = {'plan_rate': 10.0, 'plan_deadline': 5.0, 'expected_latency': 0.2, 'max_latency': 0.5}


class Bench:
    """A proposer, without a node and without threads; times are as a test says."""

    def __init__(self, model: LoadedModel) -> None:
        counts, logger = Counters(
            'goals_accepted', 'goals_abandoned', 'goals_refused', 'proposals', 'plans_refused',
            'controller_states_refused'), get_logger('test')
        self.log, self.model = ActionLog(60.0), model
        self.proposed: list[Proposed] = []
        self.stop = RobotStop()
        self.goals = Goals(counts, logger, self.stop)
        execution = Execution(self.log)
        self.reports = ControllerReports(execution, counts, Troubles(counts, logger))
        parameters: Any = SimpleNamespace(real=SETTINGS.__getitem__)
        self.proposer = Proposer(
            model, parameters, Clock(), self.goals, counts, Troubles(counts, logger), execution,
            self.reports, publish=self.proposed.append, adopted=lambda model: None,
            log=logger.info)
        self.robot = RobotMoment(
            JointState(name=list(JOINTS), position=[0.1, 0.2], velocity=[0.0, 0.0]), None)

    def pursue(self, position: list[float]) -> None:
        image = Image(height=32, width=32, encoding='rgb8', step=96)
        image.data = array.array('B', toy_image(position).tobytes())
        self.goals.request(GoalRequest(({'': image},)))
        self.goals.consider(self._seen(), self.model, self.robot)

    def change_to(self, model: LoadedModel) -> None:
        self.goals.hand_over(model, self.robot)
        self.model = model

    def plan(self, stamp: int) -> Encoded:
        observation = Observation(stamp, 'camera', self._seen(), self.robot)
        encoded = Eye(self.model, self.log).encode(observation)
        self.proposer.plan(encoded)
        return encoded

    def report(self, stamp: int, velocity: list[float], plan: Proposed | None = None) -> None:
        plan = plan or self.proposed[-1]
        self.reports.store(ControllerState(
            header=Header(stamp=to_stamp(stamp)), plan_id=plan.id,
            observation_stamp=to_stamp(plan.encoded.stamp), names=list(JOINTS),
            position=[0.1, 0.2], velocity=velocity, accepted=1), self.proposer.model)

    @staticmethod
    def _seen() -> dict[str, Picture]:
        return {'': Picture(toy_image([0.1, 0.2]))}


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[..., LoadedModel]]:
    models: list[LoadedModel] = []

    def load(write: Callable[..., Any] = write_toy_bundle, **changes: Any) -> LoadedModel:
        def change(manifest: dict[str, Any]) -> None:
            for section, values in changes.items():
                manifest[section].update(values)

        path = tmp_path / str(len(models))
        write(path, change)
        models.append(LoadedModel(path, RuntimeSettings(provider='cpu'), lambda text: None))
        return models[-1]

    yield load
    for model in models:
        model.close()


def test_what_the_model_before_drives_is_not_read_as_actions_of_another_kind(
    load: Callable[..., LoadedModel],
) -> None:
    bench = Bench(load())
    bench.pursue([0.6, -0.4])
    bench.plan(10 * S)
    for stamp in range(10 * S, 10 * S + 200 * MS, 10 * MS):
        bench.report(stamp, [0.8, -0.5])
    bench.change_to(load(action={'kind': 'joint_position', 'units': ['rad'] * 2}))
    bench.plan(10 * S + 190 * MS)
    first = bench.proposed[-1]
    assert first.encoded.model is bench.model
    np.testing.assert_allclose(first.plan.actions[:2], [[0.1, 0.2]] * 2, atol=1e-6)


def test_what_was_executed_for_one_model_is_no_past_of_one_whose_actions_mean_something_else(
    load: Callable[..., LoadedModel],
) -> None:
    def window(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
        write_small_bundle(path, KINDS['window'], change)

    one = load(window)
    names = list(one.manifest.action.names)
    alike = load(window, model={'version': '2'})
    other = load(window, action={'names': names[::-1]})
    assert one.drives_like(alike) and not one.drives_like(other)
    action, log = one.manifest.action, ActionLog(60.0)
    log.add(10 * S, action.step_duration, np.ones((100, 2), np.float32), 10 * S, action.meaning)
    robot = RobotMoment(
        JointState(name=list(SMALL_JOINTS), position=[0.0] * 3, velocity=[0.0] * 3), None)
    pictures = {'': Picture(np.zeros((8, 8, 3), np.uint8))}
    lengths = {}
    for model in (one, alike, other):
        eye, stamps = Eye(model, log), [10 * S, 10 * S + round(action.model_step * S)]
        contexts = [eye.encode(Observation(it, '', pictures, robot)).context for it in stamps]
        lengths[model] = len(contexts[-1].latents)
    assert lengths == {one: 2, alike: 2, other: 1}


def test_an_arm_whose_joints_the_model_does_not_read_sets_out_from_where_it_was_told_to_be(
    load: Callable[..., LoadedModel],
) -> None:
    def position(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
        write_small_bundle(path, replace(KINDS['recurrent'], action='joint_position'), change)

    bench = Bench(load(position))
    bench.pursue([0.6, -0.4])
    for stamp in range(10 * S, 10 * S + 100 * MS, 10 * MS):  # on HOLD: it has no plan
        bench.reports.store(ControllerState(
            header=Header(stamp=to_stamp(stamp)), names=['a', 'c'], position=[1.2, -0.9],
            velocity=[0.0, 0.0]), bench.model)
    bench.plan(10 * S + 90 * MS)
    assert bench.model.manifest.action.names == ('c', 'a')
    np.testing.assert_allclose(bench.proposed[-1].plan.actions[:2], [[-0.9, 1.2]] * 2, atol=1e-6)


def test_a_change_in_a_row_of_another_duration_is_another_action(
    load: Callable[..., LoadedModel],
) -> None:
    delta = {'kind': 'joint_delta', 'units': ['rad'] * 2}
    one = load(action=delta)
    assert one.drives_like(load(action=delta, model={'version': '2'}))
    assert not one.drives_like(load(action={**delta, 'step_duration': 2 * STEP}))


def test_the_first_observation_of_a_new_model_has_the_turn_that_the_old_one_could_not_use(
    load: Callable[..., LoadedModel],
) -> None:
    bench = Bench(load())
    bench.pursue(FAR)
    bench.plan(10 * S)
    new = load(model={'version': '2'})
    bench.goals.hand_over(new, bench.robot)
    bench.plan(10 * S + 100 * MS)  # was encoded before
    bench.model = new
    bench.plan(10 * S + 133 * MS)
    assert [proposed.encoded.stamp for proposed in bench.proposed] == [10 * S, 10 * S + 133 * MS]


@pytest.mark.parametrize('what', ['nothing', 'a pause', 'another model', 'lost pictures'])
def test_a_goal_is_given_up_after_two_seconds_of_one_model_that_plans_all_the_time(
    load: Callable[..., LoadedModel], what: str,
) -> None:
    bench = Bench(load(goal={'reachable': 0.5}))
    bench.pursue(FAR)
    settling = 2  # plans, the first ones of which begin with rest
    for tenth in range(settling + 20):
        bench.plan(10 * S + tenth * S // 10)
    assert bench.goals.current is not None
    end = 10 * S + (settling + 20) * S // 10
    if what == 'a pause':
        bench.proposer.restart()
    elif what == 'another model':
        bench.change_to(load(goal={'reachable': 0.5}, model={'version': '2'}))
    elif what == 'lost pictures':
        end += 3 * S
    bench.plan(end)
    assert (bench.goals.current is None) == (what == 'nothing')
    for tenth in range(1, settling + 21):
        bench.plan(end + tenth * S // 10)
    assert bench.goals.current is None


def test_a_goal_is_pursued_for_as_long_as_a_controller_that_has_reported_is_silent(
    load: Callable[..., LoadedModel],
) -> None:
    bench = Bench(load(goal={'reachable': 0.5}))
    bench.pursue(FAR)
    bench.plan(10 * S)
    bench.report(10 * S, [0.0, 0.0])  # and then it is deactivated
    for tenth in range(10, 50):
        bench.plan(10 * S + tenth * S // 10)
    assert bench.goals.current is not None, 'the robot was never driven'
    meaning = bench.model.manifest.action.meaning
    assert bench.log.rows(12 * S, 14 * S, 20, meaning) is None, 'nobody knows of any action'
    np.testing.assert_allclose(bench.proposed[-1].plan.actions[:2], 0.0, atol=1e-6)


@pytest.mark.parametrize('latency', [0.3, 0.8])
def test_latency_is_made_up_for_as_measured_but_never_beyond_max_latency(
    load: Callable[..., LoadedModel], latency: float,
) -> None:
    bench = Bench(load())
    bench.pursue(FAR)
    behind = round(10 * latency)
    for tenth in range(behind + 10):
        bench.plan(10 * S + tenth * S // 10)
        if tenth >= behind:
            plan = bench.proposed[tenth - behind]
            bench.report(plan.encoded.stamp + round(latency * S), [0.8, -0.5], plan)
    assumed = min(latency, SETTINGS['max_latency'])
    assert bench.proposer.health().values['latency_assumed_ms'] == f'{1e3 * assumed:.0f}'


def test_a_goal_that_is_pursued_can_be_read_while_another_one_is_refused(
    load: Callable[..., LoadedModel],
) -> None:
    bench = Bench(load())
    bench.pursue(FAR)
    pursued = bench.goals.health()
    assert pursued.level is Level.OK and pursued.values['goal_id']
    bench.goals.refuse('a picture of another size')
    warned = bench.goals.health()
    assert warned.level is Level.WARN and warned.values == pursued.values
    assert 'another size; the goal before is still pursued' in warned.message
    bench.goals.clear('deactivated')
    assert (bench.goals.health().level, bench.goals.health().message) == (Level.OK, NO_GOAL)
    bench.goals.refuse('a picture of another size')
    assert bench.goals.health().level is Level.ERROR, 'nothing is done that somebody asked for'


def test_what_a_stop_has_to_say_of_the_goal_ends_with_it(
    load: Callable[..., LoadedModel],
) -> None:
    bench = Bench(load())
    bench.pursue(FAR)
    bench.stop.note(ControllerState(stopped=True, stop_reason='smoke'))
    bench.goals.halt()
    bench.pursue(FAR)
    assert bench.goals.current is None
    stopped = bench.goals.health()
    assert stopped.level is Level.ERROR and 'the robot was stopped: smoke' in stopped.message
    bench.stop.note(ControllerState(stopped=False))
    assert (bench.goals.health().level, bench.goals.health().message) == (Level.OK, NO_GOAL)
