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
"""What pictures cost from a camera's driver to the thread that works on them: ours and the usual.

A process publishes ``sensor_msgs/Image`` (640 x 480, rgb8, 30 Hz), another one receives, and both
sides do the same work: a picture as the encoder of models/reach takes it.

- ours: the image path of ``world_model``, class by class (subscription of raw bytes with limits,
  EventsExecutor, newest-wins box, the ``observe`` thread, decoding, crop, resize), without the
  model, with the transports that the package sets at both ends;
- usual: what one writes first. ``rclpy.spin``, a callback with the sensor profile, the message as
  ``cv_bridge`` makes an array of it (rows by ``step``, then RGB to BGR), crop and resize in the
  callback; ROS and DDS as they are installed;
- buffered (with ``--side buffered``): the usual one with the package's transports at both ends.

They run one after the other, for as many frames. The stamp is taken just before a picture is
published. CPU is the processor time of the receiving process, all of its threads, from the first
counted frame to the last; a frame is lost if the work on it never began.

    python benchmarks/decode.py --json decode.json
    python benchmarks/decode.py --side buffered --side ours

The exit code is 0 if ours takes less than 15 % of a core and at most 2 ms at the median to the
thread that works, and loses no frame.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS, discovery_profile
from world_model_ros.bundle import load_bundle
from world_model_ros.cli.probes import free_domain
from world_model_ros.demo import graph
from world_model_ros.inference import RuntimeSettings
from world_model_ros.monitor import WorkerWatch
from world_model_ros.nodes.border import Border
from world_model_ros.nodes.cameras import Cameras, Shot
from world_model_ros.nodes.convert import to_nanoseconds
from world_model_ros.nodes.heap import settle_allocator
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.process import SIGNAL_LATENCY, make_executor
from world_model_ros.nodes.qos import IMAGE
from world_model_ros.nodes.worker import Worker, stop_all
from world_model_ros.observation import PictureSet, PictureSets

WIDTH, HEIGHT, RATE = 640, 480, 30.0
WARM_UP = 60  # frames that are not counted
MATCHING = 20.0  # s until both processes have found each other
LINGER = 1.0  # s that the last frame may take
CORE, MEDIAN_MS = 0.15, 2.0
SIDES = ('usual', 'buffered', 'ours')


def camera(frames: int) -> int:
    """Be the driver: publish so many counted frames, numbered in their frame_id."""
    rclpy.init()
    node = rclpy.create_node('camera', start_parameter_services=False)
    publisher = node.create_publisher(Image, 'image', IMAGE)
    deadline = time.monotonic() + MATCHING
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            return 1
        rclpy.spin_once(node, timeout_sec=0.02)
    noise = np.random.default_rng(0).integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    pictures = [Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=3 * WIDTH,
                      data=array.array('B', pixels.tobytes())) for pixels in noise]
    due = time.monotonic()
    for number in range(-WARM_UP, frames):
        time.sleep(max(due - time.monotonic(), 0.0))
        due += 1.0 / RATE
        image = pictures[number % 2]
        now = time.time_ns()
        image.header = Header(
            frame_id=str(number), stamp=Time(sec=now // 10**9, nanosec=now % 10**9))
        publisher.publish(image)
    time.sleep(LINGER)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


class Tally:
    """When frames came, and the processor time meanwhile."""

    def __init__(self) -> None:
        self.began: list[float] = []  # ms from the stamp to the beginning of the work
        self.done: list[float] = []  # and to its end
        self._first: tuple[float, float] | None = None
        self._last = (0.0, 0.0)

    def work(self, header: Header, decode: Callable[[], Any]) -> None:
        """Do the work on one frame, and note it."""
        began = time.time_ns()
        decode()
        done = time.time_ns()
        if int(header.frame_id) < 0:
            return
        stamp = to_nanoseconds(header.stamp)
        self.began.append((began - stamp) / 1e6)
        self.done.append((done - stamp) / 1e6)
        self._last = (time.monotonic(), time.process_time())
        self._first = self._first or self._last

    def report(self) -> dict[str, Any]:
        """Return the figures."""
        first = self._first or self._last
        wall, cpu = (last - begun for last, begun in zip(self._last, first, strict=True))
        return {'frames': len(self.began), 'core': cpu / wall if wall else float('nan'),
                'to_worker_ms': self.began, 'decoded_ms': self.done}


def usual(tally: Tally, stop: threading.Event) -> None:
    """Receive as one does."""
    node = rclpy.create_node('usual')
    contract = load_bundle(graph.default_bundle()).manifest.image
    assert contract is not None
    size = (contract.width, contract.height)

    def to_bgr(message: Image) -> np.ndarray:
        """What cv_bridge's imgmsg_to_cv2(message, 'bgr8') does with rgb8."""
        rows = np.ndarray((message.height, message.step), np.uint8, buffer=message.data)
        pixels = rows[:, :3 * message.width].reshape(message.height, message.width, 3)
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))

    def take(message: Image) -> None:
        def decode() -> None:
            picture = to_bgr(message)
            left = (message.width - message.height) // 2
            square = picture[:, left:left + message.height]
            cv2.resize(square, size, interpolation=cv2.INTER_AREA)
        tally.work(message.header, decode)

    node.create_subscription(Image, 'image', take, qos_profile_sensor_data)
    executor = rclpy.get_global_executor()
    executor.add_node(node)
    while not stop.is_set():
        executor.spin_once(timeout_sec=SIGNAL_LATENCY)
    node.destroy_node()


def ours(tally: Tally, stop: threading.Event) -> None:
    """Receive as ``world_model`` does."""
    node: Node = rclpy.create_node('ours')
    model = LoadedModel(graph.default_bundle(), RuntimeSettings(), lambda words: None)
    sets: PictureSets[Shot] = PictureSets(model.cameras)

    def observe(pictures: PictureSet[Shot]) -> None:
        shots = pictures.pictures
        tally.work(shots[''].message.header, lambda: model.fit(
            {name: shot.develop(name) for name, shot in shots.items()}))

    worker: Worker[PictureSet[Shot]] = Worker(WorkerWatch('observe'), observe, sys.stderr.write)

    def take(name: str, shot: Shot) -> None:
        stamp = to_nanoseconds(shot.message.header.stamp)
        if (complete := sets.add(name, stamp, shot, 0, 0)) is not None:
            worker.box.put(complete)

    Cameras(node, Border(node, lambda topic, text: None), take).serve(model)
    worker.start()
    executor = make_executor()
    executor.add_node(node)
    while not stop.is_set():
        executor.spin_once(timeout_sec=SIGNAL_LATENCY)
    stop_all([(worker, lambda: None)])
    node.destroy_node()


def receive(side: str) -> int:
    """Be the receiver until a signal comes, then print one line of JSON."""
    if side == 'ours':
        settle_allocator()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    tally = Tally()
    (ours if side == 'ours' else usual)(tally, stop)
    rclpy.try_shutdown()
    print(json.dumps(tally.report()), flush=True)
    return 0


def measure(side: str, frames: int) -> dict[str, Any]:
    """Run both processes of one side and return its figures."""
    environment = {name: value for name, value in os.environ.items() if name != TRANSPORTS}
    environment |= {'ROS_DOMAIN_ID': str(free_domain()), **discovery_profile()}
    if side != 'usual':
        environment[TRANSPORTS] = FAST_DDS_TRANSPORTS
    command = [sys.executable, __file__]
    receiver = subprocess.Popen([*command, '--receive', side], env=environment, text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        subprocess.run([*command, '--camera', '--frames', str(frames)], env=environment,
                       stdin=subprocess.DEVNULL, check=True, timeout=frames / RATE + 60.0)
        receiver.send_signal(signal.SIGTERM)
        said, _ = receiver.communicate(timeout=20.0)
    finally:
        receiver.kill()
    found = json.loads(said.splitlines()[-1])
    return {'sent': frames, 'lost': frames - found['frames'], 'core': round(found['core'], 4),
            **{name: _percentiles(found[name]) for name in ('to_worker_ms', 'decoded_ms')}}


def _percentiles(values: list[float]) -> dict[str, float]:
    return {f'p{p}': round(float(np.percentile(values, p)), 2) if values else float('nan')
            for p in (50, 99, 100)}


def main() -> int:
    """Run and tell; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--frames', type=int, default=3000, help='for each; default %(default)s')
    parser.add_argument('--side', action='append', choices=SIDES,
                        help='default: usual and ours')
    parser.add_argument('--json', type=Path, metavar='FILE', help='where the report goes')
    parser.add_argument('--camera', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--receive', choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.camera:
        return camera(args.frames)
    if args.receive:
        return receive(args.receive)
    sides = args.side or ['usual', 'ours']
    result: dict[str, Any] = {side: measure(side, args.frames) for side in sides}
    mine = result.get('ours')
    passed = mine is not None and bool(
        mine['core'] < CORE and mine['to_worker_ms']['p50'] <= MEDIAN_MS and not mine['lost'])
    result['passed'] = passed
    result['load_average'] = [round(load, 2) for load in os.getloadavg()]
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    print(f'{"":8}{"core":>8}{"lost":>14}   to the worker p50, p99 [ms]   decoded p50, p99 [ms]')
    for side in sides:
        one = result[side]
        print(f'{side:8}{one["core"]:8.1%}{one["lost"]:6} of {one["sent"]:5}'
              f'{one["to_worker_ms"]["p50"]:15.2f}{one["to_worker_ms"]["p99"]:8.2f}'
              f'{one["decoded_ms"]["p50"]:18.2f}{one["decoded_ms"]["p99"]:8.2f}')
    print('passed' if passed else 'not passed',
          f'(ours < {CORE:.0%} of a core, p50 to the worker <= {MEDIAN_MS:g} ms, none lost)')
    return 0 if passed else 1


if __name__ == '__main__':
    raise SystemExit(main())
