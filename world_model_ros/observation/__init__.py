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

"""From messages' bytes to model inputs: decode, crop, resize, select joints, pair by stamp."""

from world_model_ros.observation.compressed import decode_compressed
from world_model_ros.observation.executed import SetpointError, executed_action
from world_model_ros.observation.image import ENCODINGS, ImageError, decode_image, fit_image
from world_model_ros.observation.joints import JointStateError, proprioception
from world_model_ros.observation.optics import (
    BEND,
    Axis,
    Calibration,
    Optics,
    OpticsError,
    Window,
    camera_optics,
    cut_field,
    lens_shift,
)
from world_model_ros.observation.pairing import StampedBuffer
from world_model_ros.observation.picture import (
    Picture,
    about,
    called,
    fit_pictures,
    image_topic,
    info_topic,
)
from world_model_ros.observation.picture_sets import Gap, PictureSet, PictureSets
from world_model_ros.observation.pose import PoseError, gripper_fraction, pose_proprioception

__all__ = [
    'BEND',
    'ENCODINGS',
    'Axis',
    'Calibration',
    'Gap',
    'ImageError',
    'JointStateError',
    'Optics',
    'OpticsError',
    'Picture',
    'PictureSet',
    'PictureSets',
    'PoseError',
    'SetpointError',
    'StampedBuffer',
    'Window',
    'about',
    'called',
    'camera_optics',
    'cut_field',
    'decode_compressed',
    'decode_image',
    'executed_action',
    'fit_image',
    'fit_pictures',
    'gripper_fraction',
    'image_topic',
    'info_topic',
    'lens_shift',
    'pose_proprioception',
    'proprioception',
]
