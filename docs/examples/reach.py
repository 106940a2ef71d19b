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

The picture is all that the model is given. On a robot its camera takes it, and goal.py sends it;
here the simulator draws what the camera would see. docs/tutorial.md uses it.
"""

import argparse
import array
import sys
from collections.abc import Sequence

import rclpy
from goal import send  # beside this file
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from world_model_ros.simulation import ArmSimulation


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
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    return send(rclpy.create_node('reach'), picture_of(args.joint), time_limit=args.time_limit)


if __name__ == '__main__':
    sys.exit(main())
