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
"""A saboteur on the wires: contradicts, floods, commands. A process of its own, as a mistake is.

python rogue.py flood          1,000 proposals per second: copies of the newest one, and others
python rogue.py proposals      well-formed proposals of the announced model, to and fro
python rogue.py joint_states   the arm half a radian away from where it is
python rogue.py commands       another node drives the robot, too
"""

from __future__ import annotations

import array
import copy
import sys

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from world_model_interfaces.msg import ActionProposal

RELIABLE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
LISTENERS = {'world_model/proposal': 3, 'joint_states': 3, 'velocity_controller/commands': 2}
"""How many listen, the recorder and, to proposals, the saboteur itself included. Nothing is sent
before all of them have found the saboteur, so that what one hears all hear."""
FLOOD_PERIOD, FLOOD_BURST = 0.02, 20  # s, messages: 1,000 per second
OFFSET = 0.5  # rad


class Rogue(Node):
    """Disturbs in one way; see the module."""

    def __init__(self, mode: str) -> None:
        super().__init__('rogue', start_parameter_services=False)
        self._heard = None
        self._heard_by_all = False
        self._count = 0
        if mode in ('flood', 'proposals'):
            self._out = self.create_publisher(ActionProposal, 'world_model/proposal', RELIABLE)
            self._ear = self.create_subscription(
                ActionProposal, 'world_model/proposal', self._hear, RELIABLE)
        elif mode == 'joint_states':
            self._out = self.create_publisher(JointState, 'joint_states', qos_profile_sensor_data)
            self.create_subscription(
                JointState, 'robot/joint_states', self._contradict_joints, qos_profile_sensor_data)
        elif mode == 'commands':
            self._out = self.create_publisher(
                Float64MultiArray, 'velocity_controller/commands', RELIABLE)
        else:
            raise SystemExit(f'no such mode: {mode}')
        act, period = {
            'flood': (self._flood, FLOOD_PERIOD), 'proposals': (self._contradict, 0.1),
            'commands': (self._command, 0.02)}.get(mode, (None, 0.0))
        if act:
            self.create_timer(period, act, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _is_heard(self) -> bool:
        topic = self._out.topic_name.lstrip('/')
        self._heard_by_all |= self._out.get_subscription_count() >= LISTENERS[topic]
        return self._heard_by_all

    def _hear(self, proposal: ActionProposal) -> None:
        if not proposal.plan_id.startswith('rogue'):
            self._heard = proposal

    def _flood(self) -> None:
        """Send copies of a proposal that was good, and of one from an unknown model."""
        if self._heard is None or not self._is_heard():
            return
        if self._ear is not None:  # it would hear its own thousand
            self.destroy_subscription(self._ear)
            self._ear = None
        foreign = copy.deepcopy(self._heard)
        foreign.model_digest, foreign.plan_id = 'f' * 64, 'rogue'
        for _ in range(FLOOD_BURST // 2):
            self._out.publish(self._heard)
            self._out.publish(foreign)

    def _contradict(self) -> None:
        """Propose full speed to one side and the other, as seen now."""
        if self._heard is None or not self._is_heard():
            return
        self._count += 1
        proposal = copy.deepcopy(self._heard)
        proposal.plan_id = f'rogue {self._count}'
        proposal.header.stamp = self.get_clock().now().to_msg()
        speed = 1.5 if self._count % 2 else -1.5
        proposal.values.data = array.array('f', [speed] * len(proposal.values.data))
        self._out.publish(proposal)

    def _contradict_joints(self, state: JointState) -> None:
        if not self._is_heard():
            return
        state.position = [position + OFFSET for position in state.position]
        self._out.publish(state)

    def _command(self) -> None:
        if self._is_heard():
            self._out.publish(Float64MultiArray(data=[0.5, -0.5]))


def main() -> None:
    rclpy.init()
    try:
        rclpy.spin(Rogue(sys.argv[1]))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
