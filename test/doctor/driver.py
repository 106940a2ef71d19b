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
"""A robot's drivers in a process of their own: camera and joint states, right and wrong ones.

    python driver.py    # until SIGTERM

Below `stale`, `wrong` and `ahead` are the same topics as a faulty driver publishes them, so that
one running robot serves for all faults.
"""

import array
import contextlib
import time
from collections.abc import Callable

import rclpy
from geometry_msgs.msg import Twist
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from toy_bundle import JOINTS, SIZE, toy_image
from trajectory_msgs.msg import JointTrajectory

from world_model_ros.nodes.convert import to_stamp

RATE = 40.0  # Hz
STALE, AHEAD = 2.0, 0.4  # s


class Driver(Node):
    """Publishes everything at `RATE`; a joint moves all the time, as a robot's do."""

    def __init__(self) -> None:
        super().__init__('driver')
        self.create_subscription(
            Float64MultiArray, 'velocity_controller/commands', lambda _: None, 10)
        self._sends: list[Callable[[], None]] = []
        for place, age, names in (
                ('', 0.0, JOINTS), ('stale/', STALE, JOINTS), ('ahead/', -AHEAD, JOINTS),
                ('wrong/', 0.0, ('joint_1', 'elbow'))):
            self._sends.append(self._joints(f'{place}joint_states', age, names))
            if place == 'ahead/':  # a second driver, whose messages come after those of the arm
                self._sends.append(self._joints(f'{place}joint_states', age, ('left', 'right')))
            self._sends.append(self._camera(f'{place}camera/image_raw', age))
        self.create_timer(1.0 / RATE, self._send)

    def _send(self) -> None:
        for send in self._sends:
            send()

    def _stamp(self, age: float) -> Header:
        now = self.get_clock().now().nanoseconds
        return Header(stamp=to_stamp(now - round(age * 1e9)), frame_id='camera')

    def _position(self) -> list[float]:
        return [0.3 * (time.monotonic() % 2.0 - 1.0), 0.1]

    def _joints(self, topic: str, age: float, names: tuple[str, ...]) -> Callable[[], None]:
        publisher = self.create_publisher(JointState, topic, qos_profile_sensor_data)
        return lambda: publisher.publish(JointState(
            header=self._stamp(age), name=list(names), position=self._position(),
            velocity=[0.0, 0.0]))

    def _camera(self, topic: str, age: float) -> Callable[[], None]:
        publisher = self.create_publisher(Image, topic, qos_profile_sensor_data)
        return lambda: publisher.publish(Image(
            header=self._stamp(age), height=SIZE, width=SIZE, encoding='rgb8', step=3 * SIZE,
            data=array.array('B', toy_image(self._position()).tobytes())))


class TrajectoryController(Node):
    """What a joint_trajectory_controller shows of itself, by its default parameters."""

    def __init__(self) -> None:
        super().__init__('joint_trajectory_controller')
        self.declare_parameter('interpolate_from_desired_state', False)
        self.declare_parameter('open_loop_control', False)
        self.create_subscription(JointTrajectory, '~/joint_trajectory', lambda _: None, 10)


class PositionController(Node):
    """What a forward_command_controller shows of itself: of positions, in an order of its own."""

    def __init__(self) -> None:
        super().__init__('position_controller')
        self.declare_parameter('joints', list(reversed(JOINTS)))
        self.declare_parameter('interface_name', 'position')
        self.create_subscription(Float64MultiArray, '~/commands', lambda _: None, 10)


class Base(Node):
    """A base that takes twists without a stamp, as a TurtleBot3 does by default."""

    def __init__(self) -> None:
        super().__init__('base')
        self.create_subscription(Twist, '~/cmd_vel', lambda _: None, 10)


if __name__ == '__main__':
    rclpy.init()
    executor = SingleThreadedExecutor()
    for node in (Driver(), TrajectoryController(), PositionController(), Base()):
        executor.add_node(node)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()
