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
"""Drives in a process of their own, and recorders, which listen to commands and answer nobody.

    python drives.py RECORDERS    # until SIGTERM

The drives answer, and have parameters to which nobody gave a value. On joint_states there is an arm
every 0.1 s and a gripper every 5 ms.
"""

import contextlib
import sys

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from toy_bundle import JOINTS

TOPICS = ('left/commands', 'right/commands')
PERIODS = {JOINTS: 0.1, ('finger',): 0.005}  # s, of the joint states


def listen(node: Node) -> Node:
    for topic in TOPICS:
        node.create_subscription(Float64MultiArray, topic, lambda _: None, 10)
    return node


def tell(node: Node, names: tuple[str, ...], period: float) -> None:
    publisher = node.create_publisher(JointState, 'joint_states', qos_profile_sensor_data)

    def publish() -> None:
        message = JointState(name=list(names), position=[0.0] * len(names))
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)

    node.create_timer(period, publish)


if __name__ == '__main__':
    rclpy.init()
    serial = Node('serial_drive')  # a parameter has a type, and no value until somebody gives one
    serial.declare_parameter('port', Parameter.Type.STRING)
    serial.declare_parameter('joints', list(JOINTS))
    unset = Node('unset_drive')
    unset.declare_parameter('joints', Parameter.Type.STRING_ARRAY)
    recorders = [listen(Node(f'recorder_{number}', start_parameter_services=False))
                 for number in range(int(sys.argv[1]))]
    for names, period in PERIODS.items():
        tell(serial, names, period)
    executor = SingleThreadedExecutor()
    for drive in (serial, unset):
        executor.add_node(listen(drive))
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()
