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
"""Drives the demo's arm to a pose by a picture of it, and says how far it is.

    .venv/bin/python docs/examples/reach.py 0.8 -0.6           # shoulder and elbow [rad]

The picture is all that the model is given. On a robot it would come from its camera; here the
simulator draws what the camera would see. docs/tutorial.md uses it.
"""

import argparse
import array
import math
import sys
from collections.abc import Sequence
from typing import Any

import rclpy
from rclpy.action import ActionClient
from sensor_msgs.msg import Image

from world_model_interfaces.action import ReachGoal
from world_model_ros.simulation import ArmSimulation

PATIENCE = 10.0  # s for the model to be found


def picture_of(positions: Sequence[float]) -> Image:
    """Return what the camera sees of the arm at joint positions [2] in rad."""
    pixels = ArmSimulation().render_at(positions)
    height, width, _ = pixels.shape
    return Image(height=height, width=width, encoding='rgb8', step=3 * width,
                 data=array.array('B', pixels.tobytes()))


def main() -> int:
    """Send the goal and wait for its end; 0: reached."""
    parser = argparse.ArgumentParser(description="Drive the demo's arm by a picture of a pose.")
    parser.add_argument('joint', type=float, nargs=2, help='shoulder and elbow [rad]')
    parser.add_argument('--time-limit', type=float, default=15.0, metavar='S')
    args = parser.parse_args()

    rclpy.init()
    node = rclpy.create_node('reach')
    client: Any = ActionClient(node, ReachGoal, 'world_model/reach_goal')
    if not client.wait_for_server(PATIENCE):
        print('nobody offers world_model/reach_goal: does world_model run, in this domain?')
        return 1
    heard = 0

    def show(message: Any) -> None:
        nonlocal heard
        feedback = message.feedback
        if heard % 10 == 0 and math.isfinite(feedback.distance):  # of 20 in a second
            print(f'{feedback.elapsed:5.1f} s   distance {feedback.distance:.3f}', flush=True)
        heard += 1

    goal = ReachGoal.Goal(image=picture_of(args.joint), time_limit=args.time_limit)
    sending = client.send_goal_async(goal, feedback_callback=show)
    rclpy.spin_until_future_complete(node, sending)
    handle = sending.result()
    if not handle.accepted:
        print('refused: the model is not active yet; see /diagnostics, or docs/examples/watch.py')
        return 1
    ending = handle.get_result_async()
    try:
        rclpy.spin_until_future_complete(node, ending)
    except KeyboardInterrupt:
        print('given up')
        rclpy.spin_until_future_complete(node, handle.cancel_goal_async(), timeout_sec=1.0)
        return 130
    result = ending.result().result
    print(('reached: ' if result.reached else 'not reached: ') + result.reason)
    return 0 if result.reached else 1


if __name__ == '__main__':
    sys.exit(main())
