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
Live equals replay: what was recorded once gives the same proposals again, to the byte.

A recording is made with the real node in the loop: the arm in MuJoCo, the model that is shipped,
and the safety controller, on simulated time, one message after the other. Then the same bytes are
given to a fresh process, which has no robot behind it.
"""

import array
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dds import LATCHED, RELIABLE, Graph, values
from rcl_interfaces.srv import GetParameters
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState

from world_model_interfaces.msg import (
    ActionProposal,
    ControllerState,
    Forecast,
    Heartbeat,
    Latent,
    ModelInfo,
)
from world_model_ros.control import SafetyController, Settings
from world_model_ros.control.limits import JointLimits, limits_from_urdf, tighter
from world_model_ros.demo import graph as demo_graph
from world_model_ros.nodes.controller_messages import to_contract, to_proposal, to_state
from world_model_ros.nodes.convert import to_nanoseconds, to_stamp
from world_model_ros.nodes.qos import HEARTBEAT
from world_model_ros.simulation import ArmSimulation, description_path

S = 10**9
START = 1000 * S
PERIOD = 2.0  # s of simulated time between two observations; in real time, what a plan may take
TICK = 0.05  # s
LATENCY = 0.15  # s from an observation to its plan's arrival
FRAMES = 12
GOAL = (1.2, -0.9)

Step = tuple[str, Any]


@dataclass
class Heard:
    """What the node said, by the stamp of the observation [ns]."""

    latents: dict[int, Latent] = field(default_factory=dict)
    proposals: dict[int, ActionProposal] = field(default_factory=dict)
    forecasts: dict[int, Forecast] = field(default_factory=dict)


def content(message: Any) -> bytes:
    """All fields of a message, numbers as their bytes, less the time that planning took.

    Not the bytes on the wire: between the fields, DDS leaves whatever was in memory.
    """
    parts = []
    for name in message.get_fields_and_field_types():
        value = getattr(message, name)
        if name == 'planning_time':
            continue
        if hasattr(value, 'get_fields_and_field_types'):
            parts.append(content(value))
        elif isinstance(value, array.array):
            parts.append(value.tobytes())
        else:
            parts.append(struct.pack('<d', value) if isinstance(value, float)
                         else repr(value).encode())
    return b'|'.join(parts)


class Player:
    """Gives the node one message after the other, and goes on when it has dealt with it."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.heard = graph, Heard()
        self._publishers = {
            'clock': graph.publisher(Clock, 'clock', RELIABLE),
            'image': graph.publisher(Image, 'image', qos_profile_sensor_data),
            'joint_states': graph.publisher(JointState, 'joint_states', RELIABLE),
            'controller_state': graph.publisher(ControllerState, 'controller_state', RELIABLE),
            'goal_image': graph.publisher(Image, 'goal_image', LATCHED)}
        self.status = graph.diagnostics()
        self.infos: list[ModelInfo] = graph.listen(ModelInfo, 'world_model/model_info', LATCHED)
        self._beats = graph.listen(Heartbeat, 'world_model/heartbeat', HEARTBEAT)
        self._process = graph.spawn(
            'world_model', parameters={
                'autostart': True, 'use_sim_time': True, 'max_age': 5.0, 'plan_rate': 1 / PERIOD,
                'plan_deadline': PERIOD, 'hung_after': 5 * PERIOD,
                'bundle': str(demo_graph.default_bundle())})
        graph.wait_until_active('world_model')
        self._parameters = graph.node.create_client(GetParameters, 'world_model/get_parameters')
        graph.wait_for(self._parameters.service_is_ready, 10, 'the parameter service')
        self._listen(Latent, 'latent', qos_profile_sensor_data, lambda stamp, message:
                     self.heard.latents.update({stamp: message}))
        self._listen(ActionProposal, 'proposal', RELIABLE, lambda stamp, message:
                     self.heard.proposals.update({stamp: message}))
        self._listen(Forecast, 'forecast', RELIABLE, lambda stamp, message:
                     self.heard.forecasts.update({stamp: message}))
        graph.wait_for(lambda: self._is_heard() and self._knows_the_time(), 10,
                       'the node to hear images and the clock')

    def _listen(self, kind: type, topic: str, qos: Any, take: Any) -> None:
        self.graph.node.create_subscription(
            kind, f'world_model/{topic}',
            lambda message: take(to_nanoseconds(message.header.stamp), message), qos)

    def _is_heard(self) -> bool:
        return all(it.get_subscription_count() for it in self._publishers.values())

    def _knows_the_time(self) -> bool:
        self._publishers['clock'].publish(Clock(clock=to_stamp(START)))
        return bool(self._beats) and to_nanoseconds(self._beats[-1].header.stamp) >= START

    def send(self, steps: list[Step]) -> None:
        """Publish all of it, and return when the node has taken it from its queues."""
        for topic, message in steps:
            self._publishers[topic].publish(message)
        # In each turn the executor takes one message of each topic; a service call is a turn.
        for _ in range(max(sum(name == topic for name, _ in steps) for topic in self._publishers)):
            future = self._parameters.call_async(GetParameters.Request(names=['plan_rate']))
            self.graph.wait_for(future.done, 10, 'the answer of a parameter service')

    def show(self, image: Image) -> None:
        """Publish an image, and return when its latent, proposal and forecast are here."""
        stamp = to_nanoseconds(image.header.stamp)
        self._publishers['image'].publish(image)
        self.graph.wait_for(
            lambda: all(stamp in it for it in (
                self.heard.latents, self.heard.proposals, self.heard.forecasts)), 10,
            f'latent, proposal and forecast of the image at {(stamp - START) / S:.1f} s')

    def end(self) -> None:
        """End the node."""
        assert self.graph.end(self._process) == 0


class Recorder:
    """The robot: physics and the safety controller between the node and the arm."""

    def __init__(self, arm: ArmSimulation, info: ModelInfo) -> None:
        self._arm = arm
        limits = tighter(arm.joints, limits_from_urdf(
            description_path().read_text(encoding='utf-8'), arm.joints),
            dict.fromkeys(arm.joints, JointLimits(acceleration=8.0)))
        self.control = SafetyController(limits, Settings(period=TICK, late_after=2 * PERIOD))
        self.control.announce(to_contract(info))
        self.control.note_listeners(1)
        self.control.enable(START)
        self._on_the_way: list[tuple[int, ActionProposal]] = []

    def observation(self, now: int) -> tuple[JointState, Image]:
        """Joint state and picture of now."""
        joints = JointState(name=list(self._arm.joints), position=self._arm.positions.tolist(),
                            velocity=self._arm.velocities.tolist())
        image = picture(self._arm.render())
        joints.header.stamp = image.header.stamp = to_stamp(now)
        return joints, image

    def propose(self, proposal: ActionProposal) -> None:
        """Hand a proposal over LATENCY after its observation."""
        due = to_nanoseconds(proposal.header.stamp) + round(LATENCY * S)
        self._on_the_way.append((due, proposal))

    def drive(self, start: int, end: int) -> list[Step]:
        """Tick from `start` to `end` [ns]; return the controller's states."""
        states: list[Step] = []
        for now in range(start, end, round(TICK * S)):
            while self._on_the_way and self._on_the_way[0][0] <= now:
                refusal = self.control.accept(to_proposal(self._on_the_way.pop(0)[1]), now)
                assert refusal is None, refusal
            self.control.observe(now, self._arm.joints, self._arm.positions.tolist(),
                                 self._arm.velocities.tolist(), now)
            setpoint = self.control.step(now, now)
            states.append(('controller_state', to_state(self.control, setpoint, now)))
            self._arm.command_velocity(setpoint.velocity)
            self._arm.step(TICK)
        return states


def picture(pixels: np.ndarray) -> Image:
    height, width, _ = pixels.shape
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    message.data.frombytes(pixels.tobytes())
    return message


@dataclass(frozen=True)
class Recording:
    steps: list[tuple[list[Step], Image]]
    heard: Heard
    latency_from: str
    latency: float  # s
    way: float  # of the tip to the goal's, m, before and after
    error: float


@pytest.fixture(scope='module')
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    arm = ArmSimulation()
    with Graph(tmp_path_factory.mktemp('recording')) as graph:
        player = Player(graph)
        graph.wait_for(lambda: bool(player.infos), 10, 'the model')
        robot = Recorder(arm, player.infos[-1])
        way = float(np.linalg.norm(arm.tip() - arm.tip_at(np.array(GOAL))))
        steps = []
        before: list[Step] = [('goal_image', picture(arm.render_at(np.array(GOAL))))]
        for frame in range(FRAMES):
            now = START + round(frame * PERIOD * S)
            joints, image = robot.observation(now)
            before += [('clock', Clock(clock=to_stamp(now))), ('joint_states', joints)]
            steps.append((before, image))
            player.send(before)
            player.show(image)
            robot.propose(player.heard.proposals[now])
            before = robot.drive(now, now + round(PERIOD * S))
        graph.wait_for(lambda: 'latency_from' in values(player.status('world_model: planning')),
                       5, 'diagnostics')
        said = values(player.status('world_model: planning'))
        error = float(np.linalg.norm(arm.tip() - arm.tip_at(np.array(GOAL))))
        player.end()
    arm.close()
    yield Recording(steps, player.heard, said['latency_from'],
                    float(said['latency_assumed_ms']) / 1e3, way, error)


def test_the_recording_is_of_a_robot_that_was_driven_to_its_goal(recording: Recording) -> None:
    assert recording.way > 0.3 and recording.error < 0.05
    assert recording.latency_from == 'controller_state'
    assert abs(recording.latency - LATENCY) <= TICK  # as the controller reports it, not 0.1 s


def test_a_recording_gives_byte_identical_proposals_when_it_is_played_again(
    recording: Recording, tmp_path: Path,
) -> None:
    with Graph(tmp_path) as graph:
        player = Player(graph)
        for before, image in recording.steps:
            player.send(before)
            player.show(image)
        player.end()
    for kind in ('latents', 'proposals', 'forecasts'):
        first, second = getattr(recording.heard, kind), getattr(player.heard, kind)
        assert len(first) == FRAMES and first.keys() == second.keys()
        changed = [stamp for stamp in first if content(first[stamp]) != content(second[stamp])]
        assert not changed, f'{kind} differ from {(changed[0] - START) / S:g} s on'
