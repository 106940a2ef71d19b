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
"""What a model sees: camera images and the robot's own state."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from world_model_ros.bundle.fields import (
    Names,
    Normalization,
    PositiveFloat,
    PositiveInt,
    Section,
    Size,
    Text,
    fault,
    same_length,
    unique,
)

_TOPIC = re.compile('[A-Za-z](_?[A-Za-z0-9])*')
Angle = Annotated[float, Field(gt=0, lt=3.14)]


def _several_topics(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) < 2:
        raise fault('', f'{list(names)} are not several', 'leave it out: one camera needs no name')
    for name in names:
        if not _TOPIC.fullmatch(name):
            raise fault('', f'"{name}" cannot be part of a topic\'s name',
                        'use letters, digits and single underscores, a letter first')
    return names


CameraNames = Annotated[
    tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=8), AfterValidator(unique),
    AfterValidator(_several_topics)]


class ImageNormalization(Section):
    """The graph takes float32 `(pixel / 255 - mean) / std`, computed outside of it."""

    mean: tuple[float, float, float]
    """Of each channel in the order of `image.color`, as a fraction of full brightness."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """Of each channel in the order of `image.color`, as a fraction of full brightness."""
    layout: Literal['nhwc', 'nchw']
    """Order of the tensor's axes: channels last or channels first."""


def _form(value: object) -> str:
    return 'in_graph' if isinstance(value, str) else 'numbers'


class FieldOfView(Section):
    """How much of the scene a picture shows, as the graph takes it: after the crop.

    Of a pinhole camera: `2 atan(side / (2 f))`, the side being that of the cropped picture and the
    focal length `f` that of the camera that took it, both in pixels.
    """

    horizontal: Angle
    """From the left to the right border [rad]."""
    vertical: Angle
    """From the upper to the lower border [rad]."""


class ImageContract(Section):
    """What is done to a camera image before a graph sees it, in this order: crop, then resize."""

    width: Size
    """Of the image that the graph takes [pixels]."""
    height: Size
    """Of the image that the graph takes [pixels]."""
    crop: Literal['center_square', 'none']
    """The largest centred square is cut out, or nothing is cut and the image is stretched."""
    interpolation: Literal['area', 'bilinear', 'bicubic']
    """Filter of the resize (OpenCV's INTER_AREA, INTER_LINEAR, INTER_CUBIC). Trained on pictures
    that torchvision or PIL shrank, which smooth (antialias): area; with torch's `F.interpolate` or
    OpenCV's default: bilinear."""
    color: Literal['rgb', 'bgr']
    """Order of the channels."""
    frames: Annotated[PositiveInt, Field(le=64)]
    """Consecutive images in one observation, oldest first, one model step apart; 1 is one image
    and a tensor without that axis."""
    normalization: Annotated[
        Annotated[Literal['in_graph'], Tag('in_graph')]
        | Annotated[ImageNormalization, Tag('numbers')],
        Discriminator(_form),
    ]
    """`in_graph`: the graph takes uint8 [batch, height, width, 3] and normalises itself."""
    cameras: CameraNames | None = None
    """Names of the cameras, if there are several, in the order of the tensor's axis of cameras;
    each becomes the topic `NAME/image_raw`. Absent: one camera, the topic `image`, and a tensor
    without that axis."""
    fields_of_view: Annotated[tuple[FieldOfView, ...], Field(min_length=1)] | None = None
    """Of the pictures that the model was trained on, one for each of `cameras`: where a camera's
    `camera_info` comes, this field about its principal point is cut out instead of `crop`. Absent:
    unknown, every camera is cropped as `crop` says."""

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        if self.fields_of_view is not None:
            same_length('fields_of_view', self.fields_of_view, len(self.camera_names), 'cameras')
        if self.crop == 'center_square' and self.width != self.height:
            raise fault('crop', f'a square crop would be stretched to {self.width}x{self.height}',
                        'set width equal to height, or crop: none')
        return self

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Of every camera that the model sees with; '' is the one of a bundle that names none."""
        return self.cameras or ('',)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one observation's pixels, uint8: [height, width, 3].

        With several frames or cameras [frames, height, width, 3], [cameras, height, width, 3] or
        [cameras, frames, height, width, 3].
        """
        frames = () if self.frames == 1 else (self.frames,)
        cameras = () if self.cameras is None else (len(self.cameras),)
        return (*cameras, *frames, self.height, self.width, 3)


class Proprioception(Section):
    """The joints' state: a vector of all joints' first field, then all joints' second one."""

    rule: Literal['none', 'predicted', 'hold', 'integrate_joints']
    """How the state goes on in a rollout. none: only the encoder reads it. predicted: it is part
    of the latent and predicted with it. hold: the graph takes it as an input, which stays as it was
    observed. integrate_joints: the same input, moved on by the actions."""
    joints: Names
    """Joint names in the vector's order."""
    fields: Annotated[
        tuple[Literal['position', 'velocity'], ...], Field(min_length=1), AfterValidator(unique)
    ]
    """What of each joint [rad or m; rad/s or m/s]."""
    normalization: Normalization
    """Graphs see `(physical - mean) / std`; one entry for each of fields x joints."""

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        for part in ('mean', 'std'):
            same_length(f'normalization.{part}', getattr(self.normalization, part), self.size,
                        'joints x fields')
        if self.rule == 'integrate_joints' and 'position' not in self.fields:
            raise fault('fields', 'lack the position that actions are integrated into',
                        'add position, or choose another rule')
        return self

    @property
    def size(self) -> int:
        """Numbers in the vector, P."""
        return len(self.joints) * len(self.fields)

    @property
    def is_input(self) -> bool:
        """Whether predictor or rollout take the state as an input."""
        return self.rule in ('hold', 'integrate_joints')


class Gripper(Section):
    """A gripper as one number from 0, open, to 1, closed, linear in a joint's position."""

    joint: Text
    """Joint name in the joint state."""
    open: float
    """The joint's position where the gripper is open, 0 [rad or m]."""
    closed: float
    """The joint's position where the gripper is closed, 1 [rad or m]."""

    @model_validator(mode='after')
    def _travels(self) -> Self:
        if self.open == self.closed:
            raise fault('closed', f'{self.closed:g} is where the gripper is open, too',
                        'give the joint position of the closed gripper')
        return self


class PoseProprioception(Section):
    """A link's pose: x, y, z [m], roll, pitch, yaw [rad] and, if there is one, the gripper [0-1].

    Angles are extrinsic rotations about x, y, z, in this order. In a rollout the pose is moved on
    by the actions and the graph takes it as an input: positions and gripper add up (the latter
    clipped to 0..1), the action's rotation multiplies from the left.
    """

    rule: Literal['integrate_pose']
    """The pose in a rollout follows from the actions alone."""
    frame: Text
    """Frame in which the pose is given; that of the actions, too."""
    link: Text
    """Link whose pose it is."""
    gripper: Gripper | None = None
    """The seventh number; absent: there are six."""
    normalization: Normalization
    """Graphs see `(physical - mean) / std`; one entry for each number."""

    @model_validator(mode='after')
    def _consistent(self) -> Self:
        for part in ('mean', 'std'):
            same_length(f'normalization.{part}', getattr(self.normalization, part), self.size,
                        'x, y, z, roll, pitch, yaw and gripper')
        return self

    @property
    def joints(self) -> tuple[str, ...]:
        """Joints that are read from the joint state."""
        return (self.gripper.joint,) if self.gripper else ()

    @property
    def size(self) -> int:
        """Numbers in the vector, P."""
        return 7 if self.gripper else 6

    @property
    def is_input(self) -> bool:
        """Whether predictor or rollout take the state as an input."""
        return True


AnyProprioception = Annotated[Proprioception | PoseProprioception, Field(discriminator='rule')]
