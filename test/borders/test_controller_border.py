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

"""The controller that is ready to move refuses whatever is wrong, and does not move by it."""

from collections import Counter
from random import Random

import numpy as np
from hostile import (
    BOUND,
    DIGEST,
    JOINTS,
    PROPOSAL_REASONS,
    SECOND,
    hostile_joint_state,
    hostile_model_info,
    hostile_proposal,
    sound_joint_state,
    sound_model_info,
    sound_proposal,
    storm,
)
from sensor_msgs.msg import JointState

from world_model_interfaces.msg import ActionProposal, ModelInfo
from world_model_ros.control import Contract, Limits, Proposal, SafetyController, Settings
from world_model_ros.nodes.convert import to_nanoseconds

NOW = 1_000_000 * SECOND
LIMITS = Limits(names=JOINTS, lower=np.full(2, -2.0), upper=np.full(2, 2.0),
                velocity=np.full(2, BOUND), acceleration=np.full(2, 8.0))


def contract(info: ModelInfo) -> Contract:
    return Contract(
        digest=info.digest, kind=info.action_kind, names=tuple(info.action_names),
        lower=np.asarray(info.action_lower, np.float64),
        upper=np.asarray(info.action_upper, np.float64), frame=info.action_frame)


def proposal(message: ActionProposal) -> Proposal:
    return Proposal(
        stamp=to_nanoseconds(message.header.stamp), plan_id=message.plan_id,
        model_digest=message.model_digest, kind=message.kind, names=tuple(message.names),
        step_duration=message.step_duration, shape=tuple(map(int, message.values.shape)),
        data=np.frombuffer(message.values.data, np.float32))


def observe(control: SafetyController, state: JointState, now: int = NOW) -> str:
    return control.observe(
        to_nanoseconds(state.header.stamp), state.name, state.position, state.velocity, now)


def ready() -> SafetyController:
    """A controller that lacks nothing but a proposal."""
    control = SafetyController(LIMITS, Settings())
    control.enable(NOW - SECOND)
    assert not control.announce(contract(sound_model_info()))
    for seen in (NOW - SECOND // 10, NOW):  # for long enough to be believed
        assert not observe(control, sound_joint_state(Random(0), seen), seen)
    control.step(NOW, 0)
    return control


def test_a_sound_proposal_moves_it_so_that_it_is_the_defect_that_is_refused() -> None:
    control = ready()
    assert control.accept(proposal(sound_proposal(Random(0), NOW)), NOW) is None
    moving = control.step(NOW + SECOND // 100, SECOND // 100)
    assert np.all(moving.velocity > 0.0) and moving.plan_id


def test_no_hostile_proposal_moves_the_robot_and_each_is_counted_under_its_reason() -> None:
    control = ready()
    counted: Counter[str] = Counter()

    def make(random: Random) -> tuple[str, tuple[str, ActionProposal]]:
        defect, message = hostile_proposal(random, NOW)
        return defect, (defect, message)

    def refusal(case: tuple[str, ActionProposal]) -> str:
        defect, message = case
        refused = control.accept(proposal(message), NOW)
        if refused is None:
            return ''
        assert refused.reason.value in PROPOSAL_REASONS[defect], (defect, refused)
        counted[refused.reason.value] += 1
        setpoint = control.step(NOW, 0)
        assert not setpoint.velocity.any() and not setpoint.plan_id
        return refused.text

    storm('proposals (controller)', make, refusal)
    assert counted == {reason: control.refused[reason] for reason in counted}
    assert control.refused.total() == sum(counted.values()) and control.accepted == 0


def test_a_proposal_that_is_older_than_an_accepted_one_or_repeats_it_is_refused() -> None:
    control = ready()
    newest = proposal(sound_proposal(Random(0), NOW))
    older = proposal(sound_proposal(Random(1), NOW - 10_000_000))
    assert control.accept(newest, NOW) is None
    for again in (newest, older):
        refused = control.accept(again, NOW)
        assert refused is not None and refused.reason.value == 'out_of_order'


def test_no_hostile_joint_state_replaces_the_last_good_one_and_each_is_counted() -> None:
    control = ready()
    before = control.step(NOW, 0).position
    sent = 0

    def refusal(state: JointState) -> str:
        nonlocal sent
        sent += 1
        why = observe(control, state)
        after = control.step(NOW, 0).position
        assert before is not None and after is not None
        assert np.array_equal(before, after), 'the last good state stands'
        return why

    storm('joint states (controller)', lambda r: hostile_joint_state(r, NOW, clock=True), refusal)
    assert control.robot.refused.total() == sent


def test_no_hostile_announcement_lets_a_model_propose() -> None:
    control = ready()

    def refusal(info: ModelInfo) -> str:
        why = control.announce(contract(info))
        refused = control.accept(proposal(sound_proposal(Random(0), NOW, info.digest)), NOW)
        assert refused is not None, 'proposes in spite of its announcement'
        return why

    storm('model announcements (controller)', hostile_model_info, refusal)


def test_a_refused_announcement_does_not_leave_the_model_before_it_in_charge() -> None:
    control = ready()
    assert control.announce(contract(hostile_model_info(Random(1))[1]))
    refused = control.accept(proposal(sound_proposal(Random(0), NOW, DIGEST)), NOW)
    assert refused is not None


def test_no_hostile_heartbeat_is_taken_for_a_sign_of_life() -> None:
    control = ready()

    def make(random: Random) -> tuple[str, tuple[int, str]]:
        activity = random.choice((4, 5, 77, 255))
        return f'activity {activity}', (activity, random.choice(('', 'x' * 10_000, '\x00\u202e')))

    def refusal(case: tuple[int, str]) -> str:
        why = control.pulse.hear(*case, NOW)
        assert control.pulse.activity is None
        return why

    storm('heartbeats (controller)', make, refusal)
