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

"""
The demo arm on topics, as a real robot would be: nothing downstream can tell the difference.

It publishes ``joint_states``, ``camera/image_raw`` and ``camera/camera_info``, and listens where
ros2_control's ``velocity_controller`` and ``joint_trajectory_controller`` would. A stamp is the
time at which the world looked so, not the time of sending. ``~/tip`` is ground truth, for judging
alone.

Threads: the executor takes commands, ``world`` turns physics in real time, ``camera`` draws.
"""

from __future__ import annotations

import array
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from geometry_msgs.msg import Point, PointStamped
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory

from world_model_ros.monitor import Counters, Health, Level, Rate
from world_model_ros.nodes import parameters
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds, to_stamp
from world_model_ros.nodes.newest import Newest
from world_model_ros.nodes.process import ManagedNode, run_node
from world_model_ros.nodes.qos import DRIVE, IMAGE, JOINTS, SENSOR
from world_model_ros.simulation import (
    ArmSimulation,
    CameraIntrinsics,
    CommandError,
    Trajectory,
    description_path,
)
from world_model_ros.simulation.scene import PHYSICS_STEP

_BASE_FRAME = 'base_link'
_CAMERA_FRAME = 'overhead_camera_optical_frame'
_LATE = 0.1  # s behind real time from which the world does not catch up any more
_JOINT_PERIOD = 2  # physics steps between joint states: 100 Hz


@dataclass(frozen=True)
class _View:
    """What the camera is to draw: stamp [ns] and joint angles [J]."""

    stamp: int
    positions: npt.NDArray[np.float64]


class SimulatorNode(ManagedNode):
    """Lifecycle node ``simulator``; its world stands still while it is not active."""

    def __init__(self) -> None:
        super().__init__('simulator')
        self.declare_parameter('urdf', '', parameters.text(
            'Robot description to simulate: revolute joints, links base_link and tip, and a camera '
            'as the demo arm that the package ships has them; empty for that arm.'))
        self.declare_parameter('image_rate', 0.0, parameters.real(
            'Pictures per second; 0 for the rate of the camera in the URDF [Hz].', 0.0, 100.0))
        self.declare_parameter('seed', 0, parameters.whole(
            'Seed of the posture in which the arm starts; 0 starts it stretched out.',
            0, 2**31 - 1))
        self.refuse_late_changes()
        self._views: Newest[_View] = Newest()
        self._drives = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._owned: list[Callable[[], object]] = []  # what cleanup destroys
        self._counts = Counters('velocity_commands', 'trajectories', 'commands_refused')
        self._frames = Counters('frames_published', 'frames_skipped')
        self._overruns = 0
        self._joint_states = 0
        self._image_rate = Rate()
        self._refusal = ''
        self._dead: dict[str, str] = {}  # threads that ended by an error, and by which

    # Lifecycle

    def configure(self) -> None:
        urdf = self.get_parameter('urdf').value
        self._arm = ArmSimulation(Path(urdf) if urdf else description_path())
        self._period = 1.0 / (self.get_parameter('image_rate').value or self._arm.camera_rate)
        if seed := self.get_parameter('seed').value:
            limits = self._arm.limits
            self._arm.reset(np.random.default_rng(seed).uniform(limits.lower, limits.upper))
        self._joints_pub = self.create_publisher(JointState, 'joint_states', JOINTS)
        self._tip_pub = self.create_publisher(PointStamped, '~/tip', SENSOR)
        self._image_pub = self.create_publisher(Image, 'camera/image_raw', IMAGE)
        self._info_pub = self.create_publisher(CameraInfo, 'camera/camera_info', SENSOR)
        self._owned = [
            *(partial(self.destroy_publisher, publisher) for publisher in (
                self._joints_pub, self._tip_pub, self._image_pub, self._info_pub)),
            *(partial(self.destroy_subscription, subscription) for subscription in (
                self.create_subscription(
                    Float64MultiArray, 'velocity_controller/commands', self._on_velocity, DRIVE),
                self.create_subscription(
                    JointTrajectory, 'joint_trajectory_controller/joint_trajectory',
                    self._on_trajectory, DRIVE)))]

    def activate(self) -> None:
        self._stop.clear()
        self._dead = {}
        self._views.open()
        # An OpenGL context belongs to its thread; a machine without one is found out here.
        ready: Future[None] = Future()
        camera = threading.Thread(
            target=self._guard, args=('camera', partial(self._take_pictures, ready)), name='camera')
        camera.start()
        ready.result()
        world = threading.Thread(
            target=self._guard, args=('world', self._turn_world), name='world')
        world.start()
        self._threads = [world, camera]

    def _guard(self, thread: str, work: Callable[[], None]) -> None:
        """Do a thread's work; an error that ends it is told."""
        try:
            work()
        except Exception as error:  # the border: nobody else would hear of it
            self._dead[thread] = (f'its thread ended by an unexpected {type(error).__name__}: '
                                  f'{error}; deactivate and activate the simulator, and report it')
            self.get_logger().error(f'{thread}: {self._dead[thread]}\n{traceback.format_exc()}')

    def deactivate(self) -> None:
        self._stop.set()
        self._views.close()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def cleanup(self) -> None:
        for destroy in self._owned:
            destroy()
        self._owned = []

    # Commands

    def _on_velocity(self, message: Float64MultiArray) -> None:
        if not self._threads:
            return  # a controller that is not active takes no commands
        with self._drives:
            try:
                self._arm.command_velocity(np.asarray(message.data, np.float64))
            except CommandError as error:
                self._refuse('velocity_controller/commands', error)
                return
        self._counts.add('velocity_commands')

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if not self._threads:
            return
        stamp = to_nanoseconds(message.header.stamp)
        delay = (stamp - self.get_clock().now().nanoseconds) / NANOSECONDS if stamp else 0.0
        with self._drives:
            try:
                trajectory = _to_trajectory(message, self._arm.joints)
                self._arm.command_trajectory(trajectory, self._arm.time + delay)
            except CommandError as error:
                self._refuse('joint_trajectory_controller/joint_trajectory', error)
                return
        self._counts.add('trajectories')

    def _refuse(self, topic: str, error: CommandError) -> None:
        self._counts.add('commands_refused')
        self._refusal = f'refused a command on {topic}: {error}'
        self.get_logger().error(self._refusal, throttle_duration_sec=1.0)

    # The world

    def _turn_world(self) -> None:
        arm = self._arm
        step, due = 0, time.monotonic()
        next_picture = due
        while not self._stop.is_set():
            due += PHYSICS_STEP
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            elif wait < -_LATE:
                due, next_picture = due - wait, next_picture - wait
                self._overruns += 1
            with self._drives:
                arm.step(PHYSICS_STEP)
            step += 1
            # Lateness taken off, so that stamps grow as evenly as the world's own time.
            late = max(time.monotonic() - due, 0.0)
            stamp = self.get_clock().now().nanoseconds - round(late * NANOSECONDS)
            if step % _JOINT_PERIOD == 0:
                self._publish_joints(stamp)
            if due >= next_picture:
                next_picture += self._period
                if self._views.put(_View(stamp, arm.positions)) is not None:
                    self._frames.add('frames_skipped')

    def _publish_joints(self, stamp: int) -> None:
        header = Header(stamp=to_stamp(stamp), frame_id=_BASE_FRAME)
        arm = self._arm
        self._joints_pub.publish(JointState(
            header=header, name=list(arm.joints), position=arm.positions.tolist(),
            velocity=arm.velocities.tolist(), effort=arm.efforts.tolist()))
        self._joint_states += 1
        x, y, z = arm.tip().tolist()
        self._tip_pub.publish(PointStamped(header=header, point=Point(x=x, y=y, z=z)))

    # The camera

    def _take_pictures(self, ready: Future[None]) -> None:
        arm, info = self._arm, _camera_info(self._arm.intrinsics)
        limits = arm.limits
        try:
            arm.render_at(limits.lower)  # the first one takes half a second
        except Exception as error:
            ready.set_exception(RuntimeError(
                f'cannot draw without a screen ({error}): install libegl1 and libgl1-mesa-dri'))
            return
        ready.set_result(None)
        try:
            while (view := self._views.take()) is not None:
                pixels = arm.render_at(np.clip(view.positions, limits.lower, limits.upper))
                info.header = Header(stamp=to_stamp(view.stamp), frame_id=_CAMERA_FRAME)
                height, width, channels = pixels.shape
                self._image_pub.publish(Image(
                    header=info.header, height=height, width=width, encoding='rgb8',
                    step=width * channels, data=array.array('B', pixels.tobytes())))
                self._info_pub.publish(info)
                self._frames.add('frames_published')
                self._image_rate.tick(time.monotonic())
        finally:
            arm.close()

    # Health

    def health(self) -> Sequence[Health]:
        """What `/diagnostics` says: the camera's frames, the drives' commands and real time."""
        rate = self._image_rate.hertz(time.monotonic())
        camera = self._told('camera', Level.OK,
                            'taking pictures' if self._threads else 'standing by', {
                                **self._frames.values(), 'image_rate_hz': f'{rate:.1f}'})
        drives = Health(
            'drives', Level.WARN if self._refusal else Level.OK,
            self._refusal or 'ready', self._counts.values())
        world = self._told(
            'world', Level.WARN if self._overruns else Level.OK,
            f'fell more than {_LATE} s behind real time: give this machine less to do'
            if self._overruns else 'in real time', {
                'overruns': str(self._overruns), 'joint_states_published': str(self._joint_states)})
        return (camera, drives, world)

    def _told(self, thread: str, level: Level, text: str, values: dict[str, str]) -> Health:
        """Health of a thread's work, or why there is none."""
        if (dead := self._dead.get(thread)) is not None:
            return Health(thread, Level.ERROR, dead, values)
        return Health(thread, level, text, values)


def _to_trajectory(message: JointTrajectory, joints: Sequence[str]) -> Trajectory:
    """Return the message's points in the order of `joints`; raises CommandError."""
    if sorted(message.joint_names) != sorted(joints):
        raise CommandError(
            f'joint_names are {list(message.joint_names)}, the robot has {list(joints)}')
    columns = [list(message.joint_names).index(joint) for joint in joints]

    def rows(field: str) -> npt.NDArray[np.float64] | None:
        values = [list(getattr(point, field)) for point in message.points]
        if field != 'positions' and not any(values):
            return None
        if any(len(row) != len(columns) for row in values):
            raise CommandError(f'{field} must have {len(columns)} numbers in every point')
        return np.array(values, np.float64).reshape(-1, len(columns))[:, columns]

    times = [point.time_from_start.sec + point.time_from_start.nanosec / NANOSECONDS
             for point in message.points]
    positions, velocities, accelerations = map(rows, ('positions', 'velocities', 'accelerations'))
    assert positions is not None
    return Trajectory(
        np.array(times, np.float64), positions, velocities,
        accelerations if velocities is not None else None)


def _camera_info(camera: CameraIntrinsics) -> CameraInfo:
    """Return what `camera_info` says of a camera without distortion; the header is left open."""
    return CameraInfo(
        width=camera.width, height=camera.height, distortion_model='plumb_bob', d=[0.0] * 5,
        k=[camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0],
        r=np.eye(3).ravel().tolist(),
        p=[camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0])


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit code."""
    return run_node(SimulatorNode, args)


if __name__ == '__main__':
    raise SystemExit(main())
