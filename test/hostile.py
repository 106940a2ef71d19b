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

"""Messages that are wrong by construction, for test/borders.

Each function takes a random generator and returns ``(defect, message)``: a sound message with one
defect that has a name. The sound ones are here as well, so that a test can show that it is the
defect that is refused. All of it is well typed: rclpy sends every one of them.
"""

import array
import math
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
from borders_tally import QUOTAS, count
from geometry_msgs.msg import PoseStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image, JointState

from world_model_interfaces.msg import ActionProposal, ModelInfo, Tensor
from world_model_ros import payload
from world_model_ros.nodes.convert import to_stamp, to_tensor

JOINTS = ('shoulder', 'elbow')
DIGEST = 'd' * 64
BOUND = 1.5  # rad/s
ROWS = 16
SECOND = 1_000_000_000

# Bytes per pixel.
CHANNELS = {'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4, 'mono8': 1, 'mono16': 2, '16UC1': 2,
            'uyvy': 2, 'yuv422': 2, 'yuyv': 2, 'yuv422_yuy2': 2, 'bayer_rggb8': 1,
            'bayer_bggr8': 1, 'bayer_gbrg8': 1, 'bayer_grbg8': 1, 'bayer_rggb16': 2}

NOT_FINITE = (math.nan, math.inf, -math.inf)
UNKNOWN_TEXTS = ('', ' ', 'RGB8', 'rgb8 ', 'rgb16', '8UC3', 'jpeg', '../../etc', '%s%n', '{0}', 'é',
                 '\U0001f916', '\u202egbr8', '\n\n[ERROR]', "'; --", 'x' * 2000)

Defect = tuple[str, Any]


def sound_image(random: Random) -> Image:
    encoding = random.choice(list(CHANNELS))
    height, width = random.randint(1, 12), random.randint(1, 12)
    if comes_in_pairs(encoding):
        height, width = 2 * height, 2 * width
    step = width * CHANNELS[encoding] + random.choice((0, 0, 1, 7))
    return Image(height=height, width=width, step=step, encoding=encoding,
                 data=array.array('B', random.randbytes(height * step)))


def comes_in_pairs(encoding: str) -> bool:
    return encoding.startswith(('bayer', 'yu', 'uy'))


def hostile_image(random: Random) -> Defect:
    image = sound_image(random)
    defect = random.choice((
        *(('odd width',) if comes_in_pairs(image.encoding) else ()),
        'encoding', 'no height', 'no width', 'empty', 'short', 'long', 'step too small',
        'step too large', 'claims gigabytes', 'wraps at 32 bits', 'too many rows'))
    size = len(image.data)
    if defect == 'encoding':
        image.encoding = random.choice(UNKNOWN_TEXTS)
    elif defect == 'no height':
        image.height = 0
    elif defect == 'no width':
        image.width = 0
    elif defect == 'empty':
        image.data = array.array('B')
    elif defect == 'short':
        image.data = image.data[:random.randrange(size)]
    elif defect == 'long':
        image.data.extend(random.randbytes(random.randint(1, 2 * size + 5)))
    elif defect == 'step too small':
        image.step = random.randrange(image.width * CHANNELS[image.encoding])
        image.data = image.data[:image.height * image.step]
    elif defect == 'step too large':
        image.step += random.choice((1, 3, 2**16, 2**32 - 1 - image.step))
    elif defect == 'claims gigabytes':
        image.height = random.choice((2**32 - 1, 2**31, 2**20))
        image.width = random.choice((2**32 - 1, 2**31, 2**20))
        image.step = random.choice((2**32 - 1, image.step, 0))
    elif defect == 'wraps at 32 bits':
        # height * step is a multiple of 2**32, and so is the number of bytes as 32 bits see it.
        image.height, image.step, image.data = 2**16, 2**16, array.array('B')
    elif defect == 'odd width':
        image.width -= 1
    elif defect == 'too many rows':
        image.height += random.choice((1, 2, 2**31))
    return defect, image


def sound_joint_state(random: Random, stamp: int) -> JointState:
    names = [*JOINTS, *random.sample(['gripper', 'wrist', 'rail'], random.randint(0, 3))]
    random.shuffle(names)
    state = JointState(name=names, position=[random.uniform(-0.5, 0.5) for _ in names],
                       velocity=[random.uniform(-0.1, 0.1) for _ in names])
    state.header.stamp = to_stamp(stamp)
    return state


def hostile_joint_state(random: Random, stamp: int, *, clock: bool) -> Defect:
    """With ``clock``, stamps may be what is wrong; ``stamp`` [ns] is that of a sound message."""
    state = sound_joint_state(random, stamp)
    defects = ['missing', 'renamed', 'repeated', 'position not finite', 'velocity not finite',
               'position short', 'position long', 'velocity short', 'no names', 'empty',
               'no positions', 'absurd']
    if clock:
        defects += ['other clock', 'future', 'time zero']
    defect = random.choice(defects)
    joint = random.choice(JOINTS)
    at = list(state.name).index(joint)
    if defect == 'missing':
        for values in (state.name, state.position, state.velocity):
            del values[at]
    elif defect == 'renamed':
        state.name[at] = random.choice(
            (*UNKNOWN_TEXTS, joint.upper(), f'{joint} ', f'/{joint}', joint[:-1]))
    elif defect == 'repeated':
        state.name.append(joint)
        state.position.append(0.0)
        state.velocity.append(0.0)
    elif defect == 'position not finite':
        state.position[at] = random.choice(NOT_FINITE)
    elif defect == 'velocity not finite':
        # The controller does not use velocities, and ros2_control reports NaN for unmeasured ones.
        state.velocity[at] = random.choice((float('inf'), -float('inf')) if clock else NOT_FINITE)
    elif defect == 'position short':
        del state.position[random.randrange(len(state.position)):]
    elif defect == 'position long':
        state.position.extend([0.0] * random.randint(1, 1000))
    elif defect == 'velocity short':
        del state.velocity[random.randint(1, len(state.velocity) - 1):]
    elif defect == 'no names':
        state.name = []
    elif defect == 'empty':
        state.name, state.position, state.velocity = [], [], []
    elif defect == 'no positions':
        state.position = []
    elif defect == 'absurd':
        more = payload.JOINTS + random.randint(0, 200)
        state.name.extend(f'joint{k}' for k in range(more))
        state.position.extend([0.0] * more)
        state.velocity.extend([0.0] * more)
    elif defect == 'other clock':
        away = random.choice((-11, 11, -1000, 10**9)) * SECOND
        state.header.stamp = to_stamp(min(max(stamp + away, -2**31 * SECOND), 2**31 * SECOND - 1))
    elif defect == 'future':
        state.header.stamp = to_stamp(stamp + random.randint(6 * SECOND, 9 * SECOND))
    elif defect == 'time zero':
        state.header.stamp.sec = random.choice((0, -1, -2**31))
        state.header.stamp.nanosec = random.choice((0, 2**32 - 1))
    return defect, state


def sound_pose(random: Random) -> PoseStamped:
    pose = PoseStamped()
    pose.header.frame_id = 'base_link'
    numbers = np.array([random.gauss(0, 1) for _ in range(4)])
    place, turn = pose.pose.position, pose.pose.orientation
    place.x, place.y, place.z = (random.uniform(-1, 1) for _ in range(3))
    turn.x, turn.y, turn.z, turn.w = (numbers / np.linalg.norm(numbers)).tolist()
    return pose


def hostile_pose(random: Random) -> Defect:
    pose = sound_pose(random)
    place, turn = pose.pose.position, pose.pose.orientation
    defect = random.choice(
        ('frame', 'position', 'orientation', 'no rotation', 'not of unit length'))
    if defect == 'frame':
        pose.header.frame_id = random.choice((*UNKNOWN_TEXTS, '/base_link', 'base_link '))
    elif defect == 'position':
        setattr(place, random.choice('xyz'), random.choice((*NOT_FINITE, 1e300, -1e39)))
    elif defect == 'orientation':
        setattr(turn, random.choice('xyzw'), random.choice(NOT_FINITE))
    elif defect == 'no rotation':
        turn.x = turn.y = turn.z = turn.w = 0.0
    else:
        factor = random.choice((0.5, 1.1, 2.0, 1e-300, 1e300))
        turn.x, turn.y, turn.z, turn.w = (factor * n for n in (turn.x, turn.y, turn.z, turn.w))
    return defect, pose


def sound_proposal(random: Random, stamp: int, digest: str = DIGEST) -> ActionProposal:
    """Values that move the robot, so that accepting a spoiled one would show."""
    values = np.array([[random.uniform(0.2, 1.0) * BOUND for _ in JOINTS] for _ in range(ROWS)])
    message = ActionProposal(
        plan_id=f'{random.getrandbits(32):x}', model_digest=digest, goal_id='goal',
        kind=ActionProposal.JOINT_VELOCITY, names=list(JOINTS), step_duration=0.1,
        values=to_tensor(values), cost=1.0, goal_distance=1.0)
    message.header.stamp = to_stamp(stamp)
    return message


# Defect of a proposal -> the reasons by which it may be refused.
PROPOSAL_REASONS = {
    'digest': {'digest'}, 'kind': {'kind'}, 'other kind': {'kind'}, 'no names': {'names'},
    'missing name': {'names'}, 'extra name': {'names'}, 'repeated name': {'names'},
    'renamed': {'names'}, 'no shape': {'shape'}, 'flat': {'shape'}, 'three dimensions': {'shape'},
    'more rows than numbers': {'shape'}, 'fewer rows than numbers': {'shape'},
    'no numbers': {'shape'}, 'wraps at 64 bits': {'shape'}, 'no rows': {'horizon', 'shape'},
    'too many rows': {'horizon'}, 'step duration': {'step_duration'},
    'not finite': {'not_finite'}, 'beyond its bounds': {'bounds'}, 'other clock': {'other_clock'},
    'future': {'future'}, 'late': {'late'},
}


def hostile_proposal(random: Random, stamp: int, digest: str = DIGEST) -> Defect:
    """``stamp`` [ns] is that of a sound message, which is now."""
    message = sound_proposal(random, stamp, digest)
    defect = random.choice(list(PROPOSAL_REASONS))
    values = message.values
    if defect == 'digest':
        message.model_digest = random.choice(
            ('', digest[:-1], digest + '0', digest.upper() + ' ', *UNKNOWN_TEXTS))
    elif defect == 'kind':
        message.kind = random.choice((0, 6, 7, 100, 255))
    elif defect == 'other kind':
        message.kind = random.choice((1, 3, 4, 5))
    elif defect == 'no names':
        message.names, values.shape, values.data = [], array.array('I', [ROWS, 0]), _zeros(0)
    elif defect == 'missing name':
        message.names = [random.choice(JOINTS)]
        values.shape, values.data = array.array('I', [ROWS, 1]), _zeros(ROWS)
    elif defect == 'extra name':
        extra = [f'joint{k}' for k in range(random.choice((1, 1, 1, 500)))]
        message.names = [*JOINTS, *extra]
        width = len(message.names)
        values.shape, values.data = array.array('I', [ROWS, width]), _zeros(ROWS * width)
    elif defect == 'repeated name':
        message.names = [JOINTS[0]] * 2
    elif defect == 'renamed':
        message.names = [JOINTS[0], random.choice((*UNKNOWN_TEXTS, 'elbow ', 'Elbow'))]
    elif defect == 'no shape':
        values.shape = array.array('I')
    elif defect == 'flat':
        values.shape = array.array('I', [2 * ROWS])
    elif defect == 'three dimensions':
        values.shape = array.array('I', random.choice(([ROWS, 2, 1], [1, ROWS, 2])))
    elif defect == 'more rows than numbers':
        values.shape = array.array('I', [random.choice((ROWS + 1, 2**31, 2**32 - 1)), 2])
    elif defect == 'fewer rows than numbers':
        values.data.extend([0.0] * random.randint(1, 100))
    elif defect == 'no numbers':
        values.data = _zeros(0)
    elif defect == 'wraps at 64 bits':
        values.shape, values.data = array.array('I', [2**31, 2**31, 4]), _zeros(0)
    elif defect == 'no rows':
        values.shape, values.data = array.array('I', [0, 2]), _zeros(0)
    elif defect == 'too many rows':
        rows = payload.PLAN_ROWS + random.randint(1, 50)
        values.shape, values.data = array.array('I', [rows, 2]), _zeros(2 * rows)
    elif defect == 'step duration':
        message.step_duration = random.choice((0.0, -0.0, -0.1, 1e-9, 1e9, 5e-324, *NOT_FINITE))
    elif defect == 'not finite':
        values.data[random.randrange(2 * ROWS)] = random.choice(NOT_FINITE)
    elif defect == 'beyond its bounds':
        values.data[random.randrange(2 * ROWS)] = random.choice(
            (1.2 * BOUND, -1.2 * BOUND, 1e30, -3e38))
    elif defect == 'other clock':
        message.header.stamp.sec = random.choice((0, -1, -2**31, 2**31 - 1))
    elif defect == 'future':
        # Far enough to be still in the future when a busy machine comes to it.
        message.header.stamp = to_stamp(stamp + random.randint(6 * SECOND, 9 * SECOND))
    elif defect == 'late':
        message.header.stamp = to_stamp(stamp - random.randint(SECOND, 9 * SECOND))
    return defect, message


def sound_model_info(digest: str = DIGEST) -> ModelInfo:
    return ModelInfo(
        name='toy', version='1', license='none', digest=digest,
        action_kind=ActionProposal.JOINT_VELOCITY, action_names=list(JOINTS),
        action_lower=[-BOUND] * 2, action_upper=[BOUND] * 2, step_duration=0.1, horizon=ROWS,
        joint_names=list(JOINTS), latent_shape=[6])


def hostile_model_info(random: Random) -> Defect:
    info = sound_model_info()
    defect = random.choice((
        'no digest', 'kind', 'no names', 'missing name', 'extra name', 'repeated name', 'renamed',
        'short bounds', 'long bounds', 'no bounds', 'not finite', 'absurd bounds', 'inverted',
        'equal'))
    at = random.randrange(2)
    bounds = random.choice((info.action_lower, info.action_upper))
    if defect == 'no digest':
        info.digest = ''
    elif defect == 'kind':
        info.action_kind = random.choice((0, 6, 255))
    elif defect == 'no names':
        info.action_names = []
    elif defect == 'missing name':
        info.action_names = [JOINTS[at]]
    elif defect == 'extra name':
        info.action_names = [*JOINTS, *(f'joint{k}' for k in range(random.choice((1, 500))))]
    elif defect == 'repeated name':
        info.action_names = [JOINTS[at]] * 2
    elif defect == 'renamed':
        info.action_names[at] = random.choice(UNKNOWN_TEXTS)
    elif defect == 'short bounds':
        del bounds[at:]
    elif defect == 'long bounds':
        bounds.extend([0.0] * random.choice((1, 1000)))
    elif defect == 'no bounds':
        info.action_lower, info.action_upper = [], []
    elif defect == 'not finite':
        bounds[at] = random.choice(NOT_FINITE)
    elif defect == 'absurd bounds':
        info.action_upper[at] = random.choice((1e7, 1e300))
    elif defect == 'inverted':
        info.action_lower[at] = 2 * BOUND
    elif defect == 'equal':
        info.action_lower[at] = info.action_upper[at]
    return defect, info


def sound_tensor(random: Random) -> Tensor:
    shape = [random.randint(1, 4) for _ in range(random.randint(1, 3))]
    return Tensor(shape=array.array('I', shape),
                  data=array.array('f', [random.random() for _ in range(math.prod(shape))]))


def hostile_tensor(random: Random) -> Defect:
    tensor = sound_tensor(random)
    defect = random.choice(('no shape', 'no data', 'short', 'long', 'shape too large', 'zero size',
                            'wraps at 64 bits', 'too many dimensions', 'not finite'))
    if defect == 'no shape':
        tensor.shape = array.array('I')
    elif defect == 'no data':
        tensor.data = _zeros(0)
    elif defect == 'short':
        tensor.data.pop()
    elif defect == 'long':
        tensor.data.extend([0.0] * random.randint(1, 200))
    elif defect == 'shape too large':
        tensor.shape[random.randrange(len(tensor.shape))] += random.choice((1, 2**16, 2**31))
    elif defect == 'zero size':
        tensor.shape[random.randrange(len(tensor.shape))] = 0
    elif defect == 'wraps at 64 bits':
        tensor.shape, tensor.data = array.array('I', [2**31, 2**31, 4]), _zeros(0)
    elif defect == 'too many dimensions':
        tensor.shape.extend([1] * random.randint(payload.TENSOR_DIMENSIONS, 500))
    elif defect == 'not finite':
        tensor.data[random.randrange(len(tensor.data))] = random.choice(NOT_FINITE)
    return defect, tensor


def broken_bytes(random: Random, sound: bytes) -> tuple[str, bytes]:
    """Return a serialised message, of at least 32 bytes, that no longer is one."""
    defect = random.choice(('cut', 'encapsulation', 'noise', 'header only'))
    if defect == 'cut':
        # Eight bytes at the end hold the last field; fewer might be padding.
        return defect, sound[:random.randrange(4, len(sound) - 8)]
    if defect == 'encapsulation':
        return defect, bytes([random.choice((0x7F, 0xFF)), random.randrange(0x20, 256), 0, 0]
                             ) + sound[4:]
    if defect == 'noise':
        # Lengths of gigabytes wherever a reader looks for one.
        return defect, b'\x00\x01\x00\x00' + b'\xff' * random.randint(16, 200)
    return defect, sound[:4]


def _zeros(count: int) -> 'array.array[float]':
    return array.array('f', bytes(4 * count))


def storm(
    border: str,
    make: Callable[[Random], Defect],
    refusal: Callable[[Any], str | None],
    batch: int = 100,
) -> None:
    """Send a border its quota of hostile cases; fail, with the case, at the first one accepted.

    ``refusal`` returns why a case is refused, empty if it is not, and raises nothing else.
    """
    sent: dict[str, int] = {}

    @settings(max_examples=-(-QUOTAS[border] // batch), deadline=None, database=None)
    @given(seed=st.integers(0, 2**63 - 1))
    def send(seed: int) -> None:
        random = Random(seed)
        for _ in range(batch):
            defect, case = make(random)
            why = refusal(case)
            assert why, f'{border}: accepted although {defect!r} is wrong: {case!r:.2000}'
            assert len(why) < 1000 and why.isprintable(), f'unfit for a log: {why!r:.2000}'
            sent[defect] = sent.get(defect, 0) + 1

    send()
    assert sum(sent.values()) >= QUOTAS[border]
    count(border, sum(sent.values()), f'{len(sent)} kinds of defect')
