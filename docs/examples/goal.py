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
"""Takes goal pictures with the robot's own camera, and sends the robot to what they show.

    python3 docs/examples/goal.py take there.png --image camera/image_raw   # the robot is there now
    python3 docs/examples/goal.py send there.png                            # later: go there again

`send` says how far the robot is and how it ends; Ctrl-C calls the robot off. `show` publishes the
picture on a topic instead, for models of several cameras and for goals that have no end. A shown
goal is latched: as long as the program runs, a model that is started again gets it too. Remappings
and a namespace follow `--ros-args`, as everywhere.
"""

import argparse
import array
import contextlib
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import rclpy
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Image

from world_model_interfaces.action import ReachGoal
from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS
from world_model_ros.observation import ImageError, decode_image

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PATIENCE = 10.0  # s for the model to be found, and for a picture to come
SILENCE = 5.0  # s without feedback, of which 20 come in a second: the model has died
REPORT = 0.5  # s between lines


def take(node: Node, topic: str, file: Path) -> int:
    """Write the next picture on ``topic`` to a file; 0: done, 1: not, and it has said why."""
    if not cv2.haveImageWriter(str(file)):
        print(f'{file}: the file name needs an image extension, such as '
              f'{file.with_suffix(".png").name}')
        return 1
    pictures: list[Image] = []
    node.create_subscription(Image, topic, pictures.append, qos_profile_sensor_data)
    deadline = time.monotonic() + PATIENCE
    while not pictures:
        if time.monotonic() > deadline:
            print(f'no picture on {node.resolve_topic_name(topic)} for {PATIENCE:g} s')
            return 1
        rclpy.spin_once(node, timeout_sec=0.1)
    last = pictures[-1]
    try:
        pixels = decode_image(last.encoding, last.height, last.width, last.step, last.data,
                              bool(last.is_bigendian))
    except ImageError as error:
        print(f'{node.resolve_topic_name(topic)}: {error}; take a topic of colour pictures')
        return 1
    if not cv2.imwrite(str(file), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)):
        print(f'cannot write {file}')
        return 1
    print(f'{file}: {last.width}x{last.height}')
    return 0


def read(file: Path) -> Image:
    """Return the picture in a file as a message; raises ValueError."""
    pixels = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f'{file} is no picture')
    height, width, _ = pixels.shape
    return Image(height=height, width=width, encoding='bgr8', step=3 * width,
                 data=array.array('B', pixels.tobytes()))


def send(node: Node, picture: Image, tolerance: float = 0.0, time_limit: float = 0.0) -> int:
    """Send the robot to what a picture shows and wait for the end; 0: reached, 130: called off.

    :param tolerance: distance at which the goal counts as reached; 0: what the bundle says
    :param time_limit: s; 0: none
    """
    client: Any = ActionClient(node, ReachGoal, 'world_model/reach_goal')
    if not client.wait_for_server(PATIENCE):
        name = node.resolve_topic_name('world_model/reach_goal')
        print(f'nobody offers {name}: does world_model run, in this domain?')
        return 1
    heard, due = time.monotonic(), 0.0

    def report(message: Any) -> None:
        nonlocal heard, due
        heard, feedback = time.monotonic(), message.feedback
        if feedback.elapsed >= due and math.isfinite(feedback.distance):
            due = feedback.elapsed + REPORT
            print(f'{feedback.elapsed:5.1f} s   distance {feedback.distance:.3f}', flush=True)

    goal = ReachGoal.Goal(image=picture, tolerance=tolerance, time_limit=time_limit)
    sending = client.send_goal_async(goal, feedback_callback=report)
    handle: Any = None
    ending: Any = None
    why = 'called off'
    try:
        while ending is None or not ending.done():
            rclpy.spin_once(node, timeout_sec=0.1)
            if handle is None and sending.done():
                handle, heard = sending.result(), time.monotonic()
                if not handle.accepted:
                    print('refused: the model is not active yet; see /diagnostics, or '
                          'docs/examples/watch.py')
                    return 1
                ending = handle.get_result_async()
            if time.monotonic() - heard > SILENCE:
                why = f'world_model has said nothing for {SILENCE:g} s: see whether it runs'
                break
        else:
            result = ending.result().result
            print(f'reached: {result.reason}, at distance {result.distance:.3f}'
                  if result.reached else f'not reached: {result.reason}')
            return 0 if result.reached else 1
    except KeyboardInterrupt:
        pass
    print(why, flush=True)
    if handle is None or not call_off(node, handle):
        print('nobody confirmed that the goal is withdrawn: if the robot moves, stop it')
    return 130 if why == 'called off' else 1


def call_off(node: Node, handle: Any) -> bool:
    """Withdraw a goal; return whether the model has confirmed it."""
    canceling = handle.cancel_goal_async()
    rclpy.spin_until_future_complete(node, canceling, timeout_sec=2.0)
    return canceling.done() and bool(canceling.result().goals_canceling)


def show(node: Node, topic: str, picture: Image) -> int:
    """Publish a picture as the goal, until Ctrl-C."""
    node.create_publisher(Image, topic, LATCHED).publish(picture)
    print(f'the goal is on {node.resolve_topic_name(topic)}. Ctrl-C ends this program, NOT the '
          'goal: to end that, stop the robot:\n'
          f'ros2 service call {node.resolve_service_name("controller/stop")} '
          'world_model_interfaces/srv/Stop "{reason: enough}"', flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(60.0)  # DDS hands the picture to whoever comes
    return 0


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description='Take goal pictures, and send the robot to what they show.')
    verbs = parser.add_subparsers(dest='verb', required=True)
    for verb, what in (
            ('take', 'write what the camera shows now to a file'),
            ('send', 'go there and say how far it is; Ctrl-C calls the robot off'),
            ('show', 'publish the picture until Ctrl-C, which does not end the goal')):
        verbs.add_parser(verb, help=what, description=what).add_argument(
            'file', type=Path, help='of a picture, such as there.png')
    verbs.choices['take'].add_argument('--image', default='camera/image_raw', metavar='TOPIC')
    verbs.choices['show'].add_argument('--goal-image', default='goal_image', metavar='TOPIC')
    verbs.choices['send'].add_argument(
        '--tolerance', type=float, default=0.0, metavar='T',
        help="distance at which it is reached (default: the bundle's goal.reached)")
    verbs.choices['send'].add_argument(
        '--time-limit', type=float, default=60.0, metavar='S',
        help='give up after this many seconds, 0: never (default %(default)s)')
    return parser


def main() -> int:
    """Do what the command line says."""
    args = command_line().parse_args(remove_ros_args(sys.argv)[1:])
    os.environ.setdefault(TRANSPORTS, FAST_DDS_TRANSPORTS)  # or else pictures of 0.9 MB are lost
    # rclpy's own handlers shut the context down: nothing could be called off any more.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    node = rclpy.create_node('goal')
    if args.verb == 'take':
        return take(node, args.image, args.file)
    try:
        picture = read(args.file)
    except ValueError as error:
        print(error)
        return 1
    if args.verb == 'show':
        return show(node, args.goal_image, picture)
    return send(node, picture, args.tolerance, args.time_limit)


if __name__ == '__main__':
    sys.exit(main())
