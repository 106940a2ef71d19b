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

"""What world_model adds to its model: from an observation to its proposal, less what models take.

A camera (30 Hz, 640 x 480) and joint states (100 Hz) come from a process of their own, world_model
runs with the demo's parameters, and this process listens. All have the transports that the package
sets on a robot: where discovery is limited to LOCALHOST, as in the demo, most pictures of this size
are lost (docs/multi_machine.md). For each proposal:

    overhead = (when it was published - the stamp of its image) - encoder - planning

The stamp is taken just before the image is published, so that the transport of 921,600 bytes counts
as overhead, as do decoding, cropping, resizing, pairing, threads and messages. ``encoder`` is the
median time of the encoder's graph call alone, called 30 times a second in a process that does
nothing else, before the node starts. In a tight loop it takes about half as long, from warm caches:
that is told as ``encoder_tight_loop``, and what the overhead would be with it subtracted instead.
``planning`` is what the proposal says. What of planning is not the model's, but the planner's
arithmetic, is measured here, too, and told apart: ``overhead_and_arithmetic`` counts it as
overhead.

    python benchmarks/node_overhead.py --seconds 60 --json node_overhead.json

Before the node starts, the same camera is heard by a process that does nothing else, as fast as
rclpy can: ``transport`` is what of the overhead no node can avoid on this machine.

Pictures are numbered, so that ``pictures`` says how many of those that were sent were encoded.

The exit code is 0 if the overhead is at most 3 ms at the median and 8 ms at the 99th percentile,
while 95 of 100 pictures are encoded and 95 of 100 proposals come that are due.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState

from world_model_interfaces.msg import ActionProposal, Latent
from world_model_ros.bringup.dds import FAST_DDS_TRANSPORTS, TRANSPORTS, discovery_profile
from world_model_ros.bringup.defaults import PLAN_DEADLINE, PLAN_RATE
from world_model_ros.bundle import load_bundle
from world_model_ros.cli.probes import free_domain
from world_model_ros.cli.processes import Children
from world_model_ros.demo import graph
from world_model_ros.inference import WorldModel
from world_model_ros.nodes.heap import settle_allocator
from world_model_ros.nodes.image_view import view_image
from world_model_ros.nodes.process import make_executor
from world_model_ros.nodes.qos import IMAGE
from world_model_ros.observation import fit_image
from world_model_ros.planning import Planner
from world_model_ros.simulation import ArmSimulation

WIDTH, HEIGHT, IMAGE_RATE, JOINT_RATE = 640, 480, 30.0, 100.0
START, GOAL = (0.3, 0.4), (1.0, -0.7)
WARM_UP = 20  # proposals
TRANSPORT = 10.0  # s for which pictures alone are heard
MEDIAN, HIGHEST, SHARE = 3e-3, 8e-3, 0.95  # s, s, of pictures and of proposals

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE,
                     durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Camera(Node):
    """Publishes pictures of an arm that hardly moves, and its joint states."""

    def __init__(self) -> None:
        super().__init__('camera', start_parameter_services=False)
        arm = ArmSimulation()
        self._names = list(arm.joints)
        # The arm trembles, or else the node would call the camera frozen.
        poses = [(START[0] + 0.002 * index, START[1]) for index in range(8)]
        self._frames = [(pose, _picture(arm.render_at(pose))) for pose in poses]
        self._goal = self.create_publisher(Image, 'goal_image', LATCHED)
        self._goal.publish(_picture(arm.render_at(GOAL)))
        arm.close()
        self._images = self.create_publisher(Image, 'camera/image_raw', qos_profile_sensor_data)
        self._joints = self.create_publisher(JointState, 'joint_states', qos_profile_sensor_data)
        self._shown = 0
        self.create_timer(1 / JOINT_RATE, self._move)
        self.create_timer(1 / IMAGE_RATE, self._show)

    def _move(self) -> None:
        pose = self._frames[self._shown % len(self._frames)][0]
        state = JointState(name=self._names, position=pose, velocity=[0.0, 0.0])
        state.header.stamp = self.get_clock().now().to_msg()
        self._joints.publish(state)

    def _show(self) -> None:
        self._shown += 1
        image = self._frames[self._shown % len(self._frames)][1]
        image.header.frame_id = str(self._shown)
        image.header.stamp = self.get_clock().now().to_msg()
        self._images.publish(image)


def camera() -> int:
    """Be the camera until a signal comes."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(Camera())
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()
    rclpy.try_shutdown()
    return 0


def measure_model() -> dict[str, float]:
    """Median seconds of the encoder's calls, and of what a plan does besides calling the model."""
    model = WorldModel(load_bundle(graph.default_bundle()))
    arm = ArmSimulation()
    contract = model.manifest.image
    assert contract is not None
    picture = fit_image(arm.render_at(START), contract)
    goal = model.encode_goal(fit_image(arm.render_at(GOAL), contract))
    state = np.array([*START, 0.0, 0.0], np.float32)
    arm.close()
    latent = model.encode(picture, state)

    def encoding(calls: int, rate: float) -> float:
        """Median seconds of so many calls; pauses in between if the rate [Hz] leaves time."""
        times: list[float] = []
        for _ in range(calls):
            time.sleep(max(1 / rate - times[-1], 0.0) if times else 0.0)
            before = time.perf_counter()
            model.encode(picture, state)
            times.append(time.perf_counter() - before)
        return float(np.median(times))

    inside = 0.0
    score, imagine = model.score, model.imagine

    def timed(call: Any) -> Any:
        def run(*arguments: Any) -> Any:
            nonlocal inside
            before = time.perf_counter()
            result = call(*arguments)
            inside += time.perf_counter() - before
            return result
        return run

    model.score, model.imagine = timed(score), timed(imagine)  # type: ignore[method-assign]
    planner = Planner(model, model.manifest.planner)
    beside, warm_start = [], None
    for seed in range(40):
        inside = 0.0
        plan = planner.plan(model.context(latent, state), goal, warm_start=warm_start, seed=seed,
                            deadline=time.monotonic() + PLAN_DEADLINE)
        warm_start = plan.warm_start
        beside.append(plan.planning_time - inside)
    return {'encoder': encoding(100, IMAGE_RATE), 'tight_loop': encoding(200, math.inf),
            'arithmetic': float(np.median(beside))}


class Ear(Node):
    """Writes down how long pictures are on their way [s], and does nothing else."""

    def __init__(self) -> None:
        super().__init__('ear', start_parameter_services=False)
        self.heard: list[float] = []
        self.create_subscription(Image, 'camera/image_raw', self._take, IMAGE, raw=True)

    def _take(self, data: bytes) -> None:
        now, stamp = self.get_clock().now().nanoseconds, view_image(data).header.stamp
        self.heard.append((now - (stamp.sec * 10**9 + stamp.nanosec)) / 1e9)


def measure_transport() -> NDArray[np.float64]:
    """Seconds from the camera's stamp to a callback that only looks at the clock."""
    ear, executor = Ear(), make_executor()
    executor.add_node(ear)
    give_up = time.monotonic() + 60.0
    while len(ear.heard) < WARM_UP + TRANSPORT * IMAGE_RATE:
        executor.spin_once(timeout_sec=0.05)
        if time.monotonic() > give_up:
            sys.exit(f'{len(ear.heard)} pictures came in 60 s')
    executor.shutdown()
    ear.destroy_node()
    return np.array(ear.heard[WARM_UP:])


class Listener(Node):
    """Writes down what comes: of which picture it is, when it was published, how long it took."""

    def __init__(self) -> None:
        super().__init__('listener', start_parameter_services=False)
        self.heard: list[tuple[float, float]] = []  # s: from stamp to publication, planning
        self.samples: list[int] = []
        self.pictures: list[int] = []  # numbers of those that were encoded
        self.create_subscription(
            ActionProposal, 'world_model/proposal', self._take, QoSProfile(depth=100))
        self.create_subscription(Latent, 'world_model/latent', self._see, QoSProfile(
            depth=100, reliability=ReliabilityPolicy.BEST_EFFORT))

    def forget(self) -> None:
        """Begin to count anew."""
        for each in (self.heard, self.samples, self.pictures):
            del each[:]

    def _see(self, message: Latent) -> None:
        self.pictures.append(int(message.header.frame_id))

    def _take(self, message: ActionProposal, info: Any) -> None:
        stamp = message.header.stamp
        took = (info['source_timestamp'] - (stamp.sec * 10**9 + stamp.nanosec)) / 1e9
        self.heard.append((took, message.planning_time))
        self.samples.append(message.samples)


def run(seconds: float) -> dict[str, Any]:
    """Run the node for so long and return the report."""
    settle_allocator()
    model = measure_model()
    folder = Path(tempfile.mkdtemp(prefix='node_overhead_'))
    os.environ.pop('ROS_AUTOMATIC_DISCOVERY_RANGE', None)
    os.environ.update({  # the listener is a process of the same graph
        **discovery_profile(), TRANSPORTS: FAST_DDS_TRANSPORTS,
        'ROS_DOMAIN_ID': str(free_domain()), 'ROS_LOG_DIR': str(folder), 'PYTHONUNBUFFERED': '1'})
    environment = dict(os.environ)
    node = graph.WORLD_MODEL
    command = [sys.executable, '-m', node.module, '--ros-args', '--params-file',
               str(graph.parameters_file()), '-p', f'bundle:={graph.default_bundle()}']
    for name, target in node.remappings.items():
        command += ['-r', f'{name}:={target}']
    with Children() as children:
        children.start('camera', [sys.executable, __file__, '--camera'], environment,
                       folder / 'camera.log')
        rclpy.init()
        transport = measure_transport()
        children.start(node.name, command, environment, folder / 'world_model.log')
        listener = Listener()
        executor = SingleThreadedExecutor()
        executor.add_node(listener)
        until: float | None = None
        give_up = time.monotonic() + 60.0
        while until is None or time.monotonic() < until:
            if ended := children.ended():
                sys.exit(f'{ended[0].name} ended: {ended[0].tail()}\n(logs are in {folder})')
            executor.spin_once(timeout_sec=0.05)
            if until is None and len(listener.heard) > WARM_UP:
                listener.forget()
                until = time.monotonic() + seconds
            if until is None and time.monotonic() > give_up:
                sys.exit(f'no proposals in 60 s (logs are in {folder})')
        executor.shutdown()
        listener.destroy_node()
        rclpy.try_shutdown()
    shutil.rmtree(folder)
    return report(listener, model, transport, seconds)


def report(listener: Listener, model: dict[str, float], transport: NDArray[np.float64],
           seconds: float) -> dict[str, Any]:
    """Figures and verdict of what was heard in so many seconds."""
    total, planning = np.array(listener.heard).T
    pictures, samples = listener.pictures, listener.samples
    overhead = total - planning - model['encoder']
    sent = pictures[-1] - pictures[0] + 1
    passed = bool(
        np.median(overhead) <= MEDIAN and np.percentile(overhead, 99) <= HIGHEST
        and len(pictures) >= SHARE * max(sent, IMAGE_RATE * seconds)
        and len(total) >= SHARE * PLAN_RATE * seconds)
    return {
        'passed': passed, 'proposals': len(total), 'seconds': seconds,
        'pictures': {'sent': sent, 'encoded': len(pictures)},
        'overhead_ms': _milliseconds(overhead), 'transport_ms': _milliseconds(transport),
        'overhead_and_arithmetic_ms': _milliseconds(overhead + model['arithmetic']),
        'observation_to_proposal_ms': _milliseconds(total), 'planning_ms': _milliseconds(planning),
        'overhead_ms_by_tight_loop': _milliseconds(
            overhead + model['encoder'] - model['tight_loop']),
        'encoder_ms': round(1e3 * model['encoder'], 3),
        'encoder_tight_loop_ms': round(1e3 * model['tight_loop'], 3),
        'planner_arithmetic_ms': round(1e3 * model['arithmetic'], 3),
        'samples_p50': int(np.median(samples)), 'cores': os.cpu_count(),
        'load_average': [round(load, 2) for load in os.getloadavg()]}


def _milliseconds(seconds: NDArray[np.float64]) -> dict[str, float]:
    return {f'p{p}': round(1e3 * float(np.percentile(seconds, p)), 2) for p in (50, 90, 99, 100)}


def _picture(pixels: NDArray[np.uint8]) -> Image:
    # The simulated camera's are smaller.
    pixels = np.asarray(cv2.resize(pixels, (WIDTH, HEIGHT)), np.uint8)
    height, width, channels = pixels.shape
    message = Image(height=height, width=width, encoding='rgb8', step=width * channels)
    message.header.frame_id = 'overhead_camera_optical_frame'
    message.data.frombytes(pixels.tobytes())
    return message


def main() -> int:
    """Run and tell; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seconds', type=float, default=60.0, help='default: %(default)s')
    parser.add_argument('--json', type=Path, metavar='FILE', help='where the report goes')
    parser.add_argument('--camera', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.camera:
        return camera()
    result = run(args.seconds)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')
    print(json.dumps(result, indent=2))
    return 0 if result['passed'] else 1


if __name__ == '__main__':
    raise SystemExit(main())
