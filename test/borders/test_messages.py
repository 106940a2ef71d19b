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

"""What messages carry is refused at the functions that read it, each defect with a reason."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from borders_tally import DDS_QUOTAS, QUOTAS
from geometry_msgs.msg import PoseStamped
from hostile import (
    SECOND,
    broken_bytes,
    hostile_image,
    hostile_joint_state,
    hostile_pose,
    hostile_tensor,
    sound_image,
    sound_joint_state,
    sound_model_info,
    sound_pose,
    sound_proposal,
    sound_tensor,
    storm,
)
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from toy_bundle import toy_manifest

from world_model_interfaces.msg import ActionProposal, ModelInfo, Tensor
from world_model_ros import payload
from world_model_ros.bundle import PoseProprioception, Proprioception
from world_model_ros.nodes.border import LARGEST, BorderError, decode
from world_model_ros.nodes.convert import from_tensor
from world_model_ros.observation import (
    ImageError,
    JointStateError,
    PoseError,
    decode_image,
    pose_proprioception,
    proprioception,
)

NOW = 1_000_000 * SECOND
CONTRACT = Proprioception.model_validate({
    key: tuple(value) if isinstance(value, list) else value
    for key, value in toy_manifest()['proprioception'].items()
    if key != 'normalization'
} | {'normalization': {'mean': (0.0,) * 4, 'std': (1.0,) * 4}})

POSE_CONTRACT = PoseProprioception.model_validate({
    'rule': 'integrate_pose', 'frame': 'base_link', 'link': 'tool',
    'normalization': {'mean': (0.0,) * 6, 'std': (1.0,) * 6}})


def refused_by(function: Callable[[Any], object], error: type[Exception]) -> Callable[[Any], str]:
    """Return what says why ``function`` refuses; other exceptions than ``error`` go through."""
    def refusal(message: Any) -> str:
        try:
            function(message)
        except error as refused:
            return str(refused)
        return ''
    return refusal


def decode_picture(image: Image) -> np.ndarray:
    return decode_image(image.encoding, image.height, image.width, image.step, image.data)


def read_joints(state: JointState) -> np.ndarray:
    return proprioception(state.name, state.position, state.velocity, CONTRACT)


def test_more_than_a_hundred_thousand_hostile_cases_are_sent_in_all() -> None:
    assert sum(QUOTAS.values()) + sum(DDS_QUOTAS.values()) >= 110_000
    assert sum(DDS_QUOTAS.values()) >= 10_000


def test_sound_messages_pass_so_that_it_is_the_defect_that_is_refused() -> None:
    random = Random(0)
    for _ in range(500):
        image = sound_image(random)
        assert decode_picture(image).shape == (image.height, image.width, 3)
        assert np.isfinite(read_joints(sound_joint_state(random, NOW))).all()
        assert from_tensor(sound_tensor(random)).size > 0


def test_no_hostile_image_becomes_pixels() -> None:
    storm('image pixels (observation)', hostile_image, refused_by(decode_picture, ImageError))


def test_a_picture_larger_than_the_cap_is_refused_before_it_is_converted() -> None:
    side = int(payload.IMAGE_PIXELS ** 0.5) + 1
    with pytest.raises(ImageError, match='smaller picture'):
        decode_image('mono8', side, side, side, bytes(side * side))


def test_no_hostile_joint_state_becomes_proprioception() -> None:
    storm('joint states (observation)', lambda r: hostile_joint_state(r, NOW, clock=False),
          refused_by(read_joints, JointStateError))


def read_pose(pose: PoseStamped) -> np.ndarray:
    place, turn = pose.pose.position, pose.pose.orientation
    return pose_proprioception(
        pose.header.frame_id, (place.x, place.y, place.z), (turn.x, turn.y, turn.z, turn.w),
        POSE_CONTRACT)


def test_no_hostile_pose_becomes_proprioception() -> None:
    random = Random(0)
    assert all(np.isfinite(read_pose(sound_pose(random))).all() for _ in range(500))
    storm('poses (observation)', hostile_pose, refused_by(read_pose, PoseError))


def test_no_hostile_tensor_becomes_an_array() -> None:
    storm('tensors and goal latents', hostile_tensor, refused_by(from_tensor, ValueError))


SOUND_BYTES = [
    (Image, serialize_message(sound_image(Random(0)))),
    (JointState, serialize_message(sound_joint_state(Random(0), NOW))),
    (ActionProposal, serialize_message(sound_proposal(Random(0), NOW))),
    (ModelInfo, serialize_message(sound_model_info())),
]


def test_no_bytes_that_are_no_message_reach_a_callback() -> None:
    def make(random: Random) -> tuple[str, Any]:
        kind, sound = random.choice(SOUND_BYTES)
        defect, data = broken_bytes(random, sound)
        return defect, (kind, data)

    def read(case: tuple[type, bytes]) -> object:
        return decode(case[1], case[0], 'topic')

    for kind, sound in SOUND_BYTES:
        assert type(decode(sound, kind, 'topic')) is kind
    storm('message bytes on the wire', make, refused_by(read, BorderError))


@pytest.mark.parametrize('kind', LARGEST)
def test_a_message_beyond_its_largest_size_is_refused_undecoded(kind: type) -> None:
    with pytest.raises(BorderError, match='are the most') as refused:
        decode(bytes(LARGEST[kind] + 1), kind, 'topic')
    assert refused.value.reason == 'oversized'


def test_the_largest_message_that_the_caps_allow_fits_its_size_on_the_wire() -> None:
    names = [f'{k:03}'.ljust(payload.NAME_LENGTH, 'x') for k in range(payload.JOINTS)]
    numbers = [0.0] * payload.JOINTS
    state = JointState(name=names, position=numbers, velocity=numbers, effort=numbers)
    state.header.frame_id = names[0]
    assert len(serialize_message(state)) <= LARGEST[JointState]
    info = ModelInfo(
        name=names[0], version=names[0], license=names[0], digest=names[0], action_names=names,
        action_lower=numbers, action_upper=numbers, action_frame=names[0], joint_names=names,
        latent_shape=[1] * payload.TENSOR_DIMENSIONS)
    assert len(serialize_message(info)) <= LARGEST[ModelInfo]
    plan = np.zeros((payload.PLAN_ROWS, payload.JOINTS), np.float32)
    proposal = ActionProposal(
        plan_id=names[0], model_digest=names[0], goal_id=names[0], names=names,
        values=Tensor(shape=list(plan.shape), data=plan.ravel().tolist()))
    proposal.header.frame_id = names[0]
    assert len(serialize_message(proposal)) <= LARGEST[ActionProposal]
