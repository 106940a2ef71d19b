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

"""The demo's director: shows the robot pictures to reach, watches every wire, and judges.

It draws goal positions from a seed, renders the picture that each would give and publishes nothing
but that picture. Whether the arm got there is read from the simulator's ground truth. It knows the
other nodes by their topics alone, so that what it measures is what any user would see.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PointStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Float64MultiArray, Header

from world_model_interfaces.msg import ActionProposal, ControllerState, Latent
from world_model_ros.demo.film import Take, write_film
from world_model_ros.demo.judge import (
    EPISODE_DURATION,
    SUCCESS_DISTANCE,
    EpisodeResult,
    LimitWatch,
    RunRecord,
    read_wire_limits,
    settled_after,
)
from world_model_ros.nodes.convert import NANOSECONDS, to_nanoseconds
from world_model_ros.nodes.parameters import real, text, whole
from world_model_ros.nodes.process import run_node
from world_model_ros.nodes.qos import LATCHED, SENSOR
from world_model_ros.simulation import ArmSimulation, description_path

_FILM_TAKES = 4
_FILM_PERIOD = 0.06  # s, at least, between two pictures that are kept
_STARTUP_LIMIT = 60.0  # s
_JOINT_MARGIN = 0.1  # rad that goals keep from the ends of the joints' ranges
_TRAVEL = 0.15  # m, at least, between the tips of one goal and the next
_TICK = 0.1  # s between two reports of progress
_EVERY = QoSProfile(depth=100)  # reliable: as few as possible of what is judged are missed

_RUNGS = {ControllerState.TRACK: 'track', ControllerState.FINISH: 'finish',
          ControllerState.DECELERATE: 'decelerate', ControllerState.HOLD: 'hold'}


class RunError(Exception):
    """The run cannot go on; the message says why and what to do."""


class Stopped(Exception):  # noqa: N818 - not an error
    """The process was asked to end."""


@dataclass
class Scene:
    """What is seen between one goal and the judgement."""

    started: int
    """When the goal was given, ns."""
    goal_tip: npt.NDArray[np.float64]
    keep_frames: bool
    times: list[float] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)
    frame_times: list[float] = field(default_factory=list)
    frames: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    proposals: int = 0

    def since(self, stamp: int) -> float:
        """Return the seconds between the goal and `stamp` (ns)."""
        return (stamp - self.started) / NANOSECONDS


class DemoDirector(Node):
    """Runs the episodes in a thread of its own; callbacks only record."""

    # rclpy destroys also what could not be constructed.
    _events: TextIO | None = None
    _thread: threading.Thread | None = None

    def __init__(self) -> None:
        super().__init__('demo_director')
        self._declare()
        self.exit_code = 1
        self._stop = threading.Event()
        self._watch = LimitWatch(read_wire_limits(
            description_path(), self._value('acceleration_limit')))
        self._record = RunRecord(self._value('seed'))
        self._simulation: ArmSimulation | None = None
        self._scene: Scene | None = None
        self._tip: npt.NDArray[np.float64] | None = None
        self._state: ControllerState | None = None
        self._latent_seen = False
        self._last_plan_time: float | None = None
        self._plans_seen: set[str] = set()
        self._frame_counts: dict[str, tuple[int, int]] = {}
        self._faults: dict[str, str] = {}
        self._idle_cause = 'no_model'
        path = self._value('events')
        self._events = Path(path).open('a', encoding='utf-8') if path else None  # noqa: SIM115
        self._connect()
        self._thread = threading.Thread(target=self._run, name='director')
        self._thread.start()

    def destroy_node(self) -> None:
        """Stop the episodes, then leave."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
        if self._events is not None:
            self._events.close()
        super().destroy_node()

    def _declare(self) -> None:
        self.declare_parameter('episodes', 5, whole('How many goals are set.', 1, 100_000))
        self.declare_parameter('seed', 0, whole('Decides the goals.', 0, 2**63 - 1))
        self.declare_parameter('out', '', text('Folder for film and report; empty: neither.'))
        self.declare_parameter('json', '', text('Where the report goes; empty: out/report.json.'))
        self.declare_parameter('events', '', text(
            'File that takes progress as lines of JSON; empty: none.'))
        self.declare_parameter('started', 0.0, real(
            'When the run was asked for, in seconds since the epoch; 0: when this node started.',
            0.0, 1e12))
        self.declare_parameter('acceleration_limit', 8.0, real(
            'Largest acceleration that a setpoint may ask of a joint, in rad/s².', 0.01, 1e4))

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _connect(self) -> None:
        self._goal_publisher = self.create_publisher(Image, 'goal_image', LATCHED)
        self._change_simulator: Any = self.create_client(
            ChangeState, 'simulator/change_state')
        self.create_subscription(PointStamped, 'tip', self._on_tip, SENSOR)
        self.create_subscription(Image, 'image', self._on_image, SENSOR)
        self.create_subscription(Latent, 'latent', self._on_latent, SENSOR)
        self.create_subscription(ActionProposal, 'proposal', self._on_proposal, _EVERY)
        self.create_subscription(ControllerState, 'state', self._on_state, _EVERY)
        self.create_subscription(Float64MultiArray, 'commands', self._on_command, _EVERY)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, _EVERY)

    # What is heard. These run on the executor's thread and only take notes.

    def _on_tip(self, message: PointStamped) -> None:
        point = message.point
        self._tip = np.array((point.x, point.y, point.z))
        scene = self._scene
        if scene is not None:
            scene.distances.append(float(np.linalg.norm(self._tip - scene.goal_tip)))
            scene.times.append(scene.since(to_nanoseconds(message.header.stamp)))

    def _on_image(self, message: Image) -> None:
        scene = self._scene
        if scene is None or not scene.keep_frames:
            return
        now = scene.since(to_nanoseconds(message.header.stamp))
        if not scene.frame_times or now - scene.frame_times[-1] >= _FILM_PERIOD:
            rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
            scene.frames.append(
                rows[:, :3 * message.width].reshape(message.height, message.width, 3).copy())
            scene.frame_times.append(now)

    def _on_latent(self, message: Latent) -> None:
        self._latent_seen = True

    def _on_proposal(self, message: ActionProposal) -> None:
        now = self.get_clock().now().nanoseconds
        record = self._record
        record.proposals += 1
        record.plan_times.append(message.planning_time)
        record.proposal_latencies.append(
            (now - to_nanoseconds(message.header.stamp)) / NANOSECONDS)
        self._last_plan_time = message.planning_time
        if self._scene is not None:
            self._scene.proposals += 1

    def _on_state(self, message: ControllerState) -> None:
        self._state = message
        stamp = to_nanoseconds(message.header.stamp)
        if message.position:  # none as long as the controller has not heard of the joints
            self._watch.setpoint(
                stamp / NANOSECONDS, message.names, message.position, message.velocity)
        if message.plan_id and message.plan_id not in self._plans_seen:
            self._plans_seen.add(message.plan_id)
            self._record.command_latencies.append(
                (stamp - to_nanoseconds(message.observation_stamp)) / NANOSECONDS)

    def _on_command(self, message: Float64MultiArray) -> None:
        self._watch.command(message.data)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        stamp = to_nanoseconds(message.header.stamp)
        for status in message.status:
            for pair in status.values:
                if pair.key in ('frames_published', 'frames_received'):
                    self._frame_counts[pair.key] = (stamp, int(pair.value))
                elif pair.key == 'cause':
                    self._idle_cause = pair.value
            node, _, aspect = status.name.partition(': ')
            if aspect == 'lifecycle':
                if status.level == DiagnosticStatus.ERROR:
                    self._faults[node] = status.message
                else:
                    self._faults.pop(node, None)

    # The run, from top to bottom, on the director's own thread.

    def _run(self) -> None:
        try:
            self._perform()
            self.exit_code = 0
        except Stopped:
            self.exit_code = 130
        except Exception as error:  # the border: a thread's exception would be lost
            text = str(error) if isinstance(error, RunError) else f'{type(error).__name__}: {error}'
            self.get_logger().error(text)
            self._tell('failed', message=text)
        finally:
            if self._simulation is not None:
                self._simulation.close()  # an OpenGL context belongs to its thread
        # The director ends as if Ctrl-C had been pressed; whoever started it ends the others.
        if not self._stop.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    def _perform(self) -> None:
        self._wait_for_nodes()
        before = self._count_frames(resume=True)
        # Not made earlier: it would take processor time from the nodes that are starting.
        simulation = self._simulation = ArmSimulation()
        takes = []
        goals = Goals(simulation, self._value('seed'))
        for number in range(1, self._value('episodes') + 1):
            goal = goals.draw(number)
            take = self._episode(number, goal, simulation.render_at(goal), simulation.tip_at(goal))
            if take is not None:
                takes.append(take)
        self._tell('counting')
        after = self._count_frames(resume=False)
        self._record.frames_published = after[0] - before[0]
        self._record.frames_received = after[1] - before[1]
        self._record.limit_violations = self._watch.by_kind()
        self._record.worst_acceleration = self._watch.worst_acceleration
        self._write(takes)

    def _wait_for_nodes(self) -> None:
        started = self._value('started') or time.time()
        missing: list[str] = []

        def complete() -> bool:
            # The controller counts as there when it knows the model and would follow a proposal.
            wanted = {'simulator': self._tip is not None,
                      'controller': self._state is not None and self._idle_cause != 'no_model',
                      'world_model': self._latent_seen}
            now_missing = [name for name, heard in wanted.items() if not heard]
            if now_missing != missing:
                missing[:] = now_missing
                self._tell('waiting', **{'for': now_missing})
            for name in now_missing:
                if name in self._faults:
                    raise RunError(f'{name} {self._faults[name]}')
            return not now_missing

        self._wait(complete, _STARTUP_LIMIT, lambda: f'{", ".join(missing)} to be active')
        self._record.startup = time.time() - started
        self._tell('ready', startup_s=self._record.startup)

    def _episode(
        self, number: int, goal: npt.NDArray[np.float64], picture: npt.NDArray[np.uint8],
        tip: npt.NDArray[np.float64],
    ) -> Take | None:
        assert self._tip is not None  # _wait_for_nodes
        start_distance = float(np.linalg.norm(self._tip - tip))
        now = self.get_clock().now()
        scene = Scene(now.nanoseconds, tip, keep_frames=number <= _FILM_TAKES)
        self._scene = scene
        self._goal_publisher.publish(_to_image(picture, now.to_msg()))
        next_tick = 0.0

        def judged() -> bool:
            nonlocal next_tick
            elapsed = scene.times[-1] if scene.times else 0.0
            if elapsed >= next_tick and scene.distances:
                next_tick = elapsed + _TICK
                self._tick(number, elapsed, scene.distances[-1])
            return elapsed >= EPISODE_DURATION

        self._wait(judged, 2 * EPISODE_DURATION + 5.0, lambda: 'the simulator to publish its tip')
        self._scene = None
        times, distances = np.array(scene.times), np.array(scene.distances[:len(scene.times)])
        at = int(np.searchsorted(times, EPISODE_DURATION))
        times, distances = times[:at + 1], distances[:at + 1]
        final = float(distances[at])
        success = final <= SUCCESS_DISTANCE
        result = EpisodeResult(
            number, [round(float(angle), 4) for angle in goal], round(start_distance, 4),
            round(final, 4), success, settled_after(times, distances, SUCCESS_DISTANCE),
            scene.proposals)
        self._record.episodes.append(result)
        self._tell('judged', **vars(result))
        self.get_logger().info(
            f'episode {number}: {"reached" if success else "missed"}, {100 * final:.1f} cm')
        if not scene.frames:
            return None
        return Take(number, picture, np.array(scene.frame_times), np.stack(scene.frames), times,
                    distances, EPISODE_DURATION, final, success)

    def _tick(self, episode: int, elapsed: float, distance: float) -> None:
        plan, state = self._last_plan_time, self._state
        self._tell('tick', episode=episode, time=elapsed, distance=distance,
                   plan_ms=None if plan is None else 1e3 * plan,
                   rung='' if state is None else _RUNGS.get(state.rung, str(state.rung)))

    def _count_frames(self, *, resume: bool) -> tuple[int, int]:
        """Return how many frames were published and received so far.

        The camera is stopped for it: only when none is on its way can the two be compared.
        """
        self._change(Transition.TRANSITION_DEACTIVATE)
        paused = self.get_clock().now().nanoseconds
        seen: dict[str, tuple[int, int]] = {}

        def settled() -> bool:
            for key, (stamp, count) in self._frame_counts.items():
                if stamp > paused and stamp != seen.get(key, (0, 0))[0]:
                    if key in seen and seen[key][1] == count:
                        still.add(key)
                    seen[key] = (stamp, count)
            return still == {'frames_published', 'frames_received'}

        still: set[str] = set()
        self._wait(settled, 10.0, lambda: 'diagnostics with frames_published and frames_received')
        if resume:
            self._change(Transition.TRANSITION_ACTIVATE)
        return seen['frames_published'][1], seen['frames_received'][1]

    def _change(self, transition: int) -> None:
        request = ChangeState.Request()
        request.transition.id = transition
        self._wait(self._change_simulator.service_is_ready, 5.0, lambda: 'the simulator')
        future = self._change_simulator.call_async(request)
        self._wait(future.done, 5.0, lambda: 'the simulator to change its state')
        answer = future.result()
        if answer is None or not answer.success:
            raise RunError('the simulator refused to change its state: see its log')

    def _write(self, takes: list[Take]) -> None:
        out = Path(self._value('out')) if self._value('out') else None
        report = Path(self._value('json')) if self._value('json') else out and out / 'report.json'
        if report:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(json.dumps(self._record.report(), indent=2) + '\n', encoding='utf-8')
            self.get_logger().info(f'report: {report}')
        if out and takes:
            self._tell('drawing')
            write_film(takes, out / 'demo.gif', threshold=SUCCESS_DISTANCE)
            self.get_logger().info(f'film: {out / "demo.gif"}')

    def _wait(
        self, condition: Callable[[], bool], limit: float, what: Callable[[], str]
    ) -> None:
        deadline = time.monotonic() + limit
        while not condition():
            if time.monotonic() > deadline:
                raise RunError(f'waited {limit:.0f} s in vain for {what()}')
            if self._stop.wait(0.02):
                raise Stopped

    def _tell(self, event: str, **values: object) -> None:
        if self._events is not None:
            line = {'event': event, 'at': round(time.time(), 3), **values}
            self._events.write(json.dumps(line) + '\n')
            self._events.flush()


class Goals:
    """Random arm positions that depend on the seed alone, not on how the run goes."""

    def __init__(self, simulation: ArmSimulation, seed: int) -> None:
        self._simulation = simulation
        self._seed = seed
        self._previous = simulation.tip_at(np.zeros(len(simulation.joints)))

    def draw(self, episode: int) -> npt.NDArray[np.float64]:
        """Return joint positions [J] (rad) whose tip is well away from the last goal's."""
        limits = self._simulation.limits
        chance = np.random.default_rng((self._seed, episode))
        while True:
            goal = chance.uniform(limits.lower + _JOINT_MARGIN, limits.upper - _JOINT_MARGIN)
            tip = self._simulation.tip_at(goal)
            if np.linalg.norm(tip - self._previous) >= _TRAVEL:
                self._previous = tip
                return goal


def _to_image(pixels: npt.NDArray[np.uint8], stamp: Any) -> Image:
    height, width, channels = pixels.shape
    message = Image(header=Header(stamp=stamp, frame_id='overhead_camera_optical_frame'),
                    height=height, width=width, encoding='rgb8', step=width * channels)
    message.data.frombytes(pixels.tobytes())
    return message


def main(args: list[str] | None = None) -> int:
    """Run the director; the exit code is 0 if the run was completed."""
    directors: list[DemoDirector] = []

    def make_node() -> DemoDirector:
        directors.append(DemoDirector())
        return directors[0]

    code = run_node(make_node, args)
    return directors[0].exit_code if directors else code


if __name__ == '__main__':
    sys.exit(main())
