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

"""The controller as a real process on real DDS, ready to move, under storms of hostile messages."""

import array
from collections.abc import Iterator
from random import Random

import numpy as np
import pytest
from borders_tally import DDS_QUOTAS, count
from dds import LATCHED, Graph
from hostile import (
    JOINTS,
    broken_bytes,
    hostile_joint_state,
    hostile_model_info,
    hostile_proposal,
    sound_model_info,
    sound_proposal,
)
from hostile_graph import Diagnostics, difference, pace, refuse_parameters
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from world_model_interfaces.msg import ActionProposal, ControllerState, ModelInfo, Tensor
from world_model_interfaces.srv import Reset
from world_model_ros.nodes.border import LARGEST
from world_model_ros.nodes.convert import to_stamp

BATCH = 50  # messages between two looks: half of what the controller's queue holds


class Robot:
    """Joints that follow the commands, a model that is announced, and a recorder of the wire."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = np.zeros(2)
        self.states = graph.listen(ControllerState, 'controller/state')
        self.commands = graph.listen(Float64MultiArray, 'commands')
        self.diagnostics = Diagnostics(graph)
        self.proposals = graph.publisher(ActionProposal, 'proposal')
        self.hostile_joints = graph.publisher(JointState, 'joint_states')
        self.infos = graph.publisher(ModelInfo, 'model_info', LATCHED)
        self.sent_sound = 0
        self._joints = graph.publisher(JointState, 'joint_states')

    def publish(self) -> None:
        """Follow the newest command for the 10 ms since the last call, and say where it led."""
        if self.commands:
            self.position += 0.01 * np.array(self.commands[-1].data)
        state = JointState(name=list(JOINTS), position=self.position.tolist())
        state.header.stamp = to_stamp(self.graph.now())
        self._joints.publish(state)
        self.sent_sound += 1

    def judged(self) -> int:
        """Proposals that the controller has accepted or refused so far, as it says itself."""
        return self.states[-1].accepted + self.states[-1].refused if self.states else 0

    def settle(self, judged: int, within: float = 20.0) -> None:
        self.graph.wait_for(
            lambda: self.judged() >= judged, within,
            f'{judged} proposals to be judged; {self.judged()} were')

    def counts(self, aspect: str) -> dict[str, str]:
        return self.diagnostics.fresh(f'controller: {aspect}')


@pytest.fixture(scope='module')
def robot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Robot]:
    with Graph(tmp_path_factory.mktemp('controller')) as graph:
        process = graph.spawn('controller', parameters={
            'autostart': True, 'joints': list(JOINTS), 'control_rate': 200.0,
            'command_interface': 'velocity',
            'robot_description_file': 'package://world_model_ros/description/reach_arm.urdf',
            **{f'joint_limits.{joint}.max_acceleration': 8.0 for joint in JOINTS}})
        robot = Robot(graph)
        graph.wait_until_active('controller')
        with graph.every(0.01, robot.publish):
            robot.infos.publish(sound_model_info())
            graph.wait_for(lambda: bool(robot.states) and 'waiting' in robot.states[-1].cause,
                           10.0, 'the controller to wait for a proposal')
            yield robot
            assert process.poll() is None, 'the process has survived'
        assert graph.end(process) == 0


@pytest.fixture
def still(robot: Robot) -> Iterator[Robot]:
    """The robot at rest, and the proof that it stays there: every setpoint on the wire is zero."""
    robot.graph.wait_for(
        lambda: len(robot.commands) > 20
        and not any(any(command.data) for command in robot.commands[-20:]), 10.0, 'standstill')
    robot.commands.clear()
    accepted = robot.states[-1].accepted
    yield robot
    assert robot.states[-1].accepted == accepted
    robot.graph.wait_for(lambda: len(robot.commands) > 20, 15.0, 'setpoints that go on')
    assert not any(any(command.data) for command in robot.commands), 'a setpoint left zero'


def test_a_sound_proposal_moves_the_robot_so_that_the_recorder_can_see_one(robot: Robot) -> None:
    robot.proposals.publish(sound_proposal(Random(0), robot.graph.now()))
    robot.graph.wait_for(lambda: any(any(command.data) for command in robot.commands),
                         15.0, 'a setpoint')
    robot.graph.wait_for(lambda: robot.states[-1].accepted == 1, 15.0, 'its count')


def test_each_hostile_proposal_on_the_wire_is_refused_and_counted(still: Robot) -> None:
    border = 'DDS: proposals, one by one'
    random, quota, before = Random(1), DDS_QUOTAS['DDS: proposals, one by one'], still.judged()
    for sent in range(1, quota + 1):
        still.proposals.publish(hostile_proposal(random, still.graph.now())[1])
        if sent % BATCH == 0:
            still.settle(before + sent)
    still.settle(before + quota)
    counts = still.counts('proposals')
    refused = sum(int(number) for name, number in counts.items() if name.startswith('refused_'))
    assert refused == still.states[-1].refused == before + quota - int(counts['accepted'])
    count(border, quota, 'sent = counted in diagnostics; every setpoint on the wire zero')


def test_a_burst_of_hostile_proposals_moves_nothing(still: Robot) -> None:
    border = 'DDS: proposals, in a burst'
    random, quota, before = Random(2), DDS_QUOTAS['DDS: proposals, in a burst'], still.judged()
    burst: list[ActionProposal] = []
    while len(burst) < quota:
        defect, message = hostile_proposal(random, still.graph.now())
        if defect != 'future':  # by the time it is judged it may be now
            burst.append(message)
    for message in burst:
        still.proposals.publish(message)
    # The queue holds 100: older ones give way to newer ones, which is what it is for.
    still.proposals.publish(hostile_proposal(random, still.graph.now())[1])
    still.settle(before + 100)
    still.graph.listen_for(0.3)
    seen = still.judged() - before
    count(border, seen, f'of {quota + 1:,} sent; the rest gave way to newer ones')


def test_each_hostile_announcement_on_the_wire_is_refused_and_counted(still: Robot) -> None:
    border, random = 'DDS: model announcements', Random(3)
    quota = DDS_QUOTAS['DDS: model announcements']
    before = int(still.counts('model')['model_info_refused'])
    settled = {still.states[-1].cause, 'waiting for a proposal'}
    for _ in range(quota):
        defect, info = hostile_model_info(random)
        still.infos.publish(info)
        still.graph.wait_for(
            lambda: still.states[-1].cause not in settled, 115.0, f'a refusal of {defect}')
        still.infos.publish(sound_model_info())
        still.graph.wait_for(
            lambda: still.states[-1].cause in settled, 115.0, f'recovery from {defect}')
    assert int(still.counts('model')['model_info_refused']) == before + quota
    count(border, quota, 'sent = counted in diagnostics')


def test_no_hostile_joint_state_on_the_wire_is_accepted(still: Robot) -> None:
    border, random = 'DDS: joint states to the controller', Random(4)
    quota = DDS_QUOTAS['DDS: joint states to the controller']
    before, sound = still.counts('joint_states'), still.sent_sound
    for sent in range(quota):
        still.hostile_joints.publish(
            hostile_joint_state(random, still.graph.now(), clock=True)[1])
        pace(still.graph, sent)
    after = still.counts('joint_states')
    refused, received = (difference(before, after, name) for name in ('refused_', 'received'))
    # Best effort: what is lost is not counted, but nothing hostile is among what was accepted. Some
    # of the sound ones may have been on their way when the first count was taken.
    assert quota // 4 <= refused <= quota
    assert received - refused <= still.sent_sound - sound + 10
    count(border, refused, f'of {quota:,} sent (best effort): counted in diagnostics')


def test_bytes_that_are_no_message_are_counted_and_huge_messages_are_not_decoded(
    still: Robot,
) -> None:
    border, random = 'DDS: bytes that are no message', Random(5)
    quota, judged = DDS_QUOTAS['DDS: bytes that are no message'], still.judged()
    sound = serialize_message(sound_proposal(random, still.graph.now()))
    before = still.counts('timing')
    for sent in range(1, quota + 1):
        still.proposals.publish(broken_bytes(random, sound)[1])
        if sent % BATCH == 0:  # one that is judged shows that those before it were seen
            judged += 1
            still.proposals.publish(hostile_proposal(random, still.graph.now())[1])
            still.settle(judged)
    huge = 5
    for _ in range(huge):
        numbers = array.array('f', bytes(LARGEST[ActionProposal] + 4))
        still.proposals.publish(ActionProposal(values=Tensor(data=numbers)))
        judged += 1
        still.proposals.publish(hostile_proposal(random, still.graph.now())[1])
        still.settle(judged)
    after = still.counts('timing')
    assert difference(before, after, 'proposal_malformed') == quota
    assert difference(before, after, 'proposal_oversized') == huge
    assert still.counts('lifecycle')['callback_errors'] == '0'
    count(border, quota + huge, 'sent = counted in diagnostics')


def test_parameters_of_a_wrong_type_out_of_range_or_too_late_are_refused(still: Robot) -> None:
    sent = refuse_parameters(still.graph, 'controller')
    count('DDS: parameters and services', sent, 'each answered with a reason')


def test_a_reset_without_a_reason_is_refused(still: Robot) -> None:
    client = still.graph.node.create_client(Reset, 'controller/reset')
    still.graph.wait_for(client.service_is_ready, 10.0, 'the reset service')
    future = client.call_async(Reset.Request(reason=''))
    still.graph.wait_for(future.done, 10.0, 'an answer')
    assert not future.result().success and future.result().message
    still.graph.node.destroy_client(client)
