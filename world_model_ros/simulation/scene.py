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
"""Turns the robot's URDF into a MuJoCo model: the URDF stays the one source of the robot's shape.

What a URDF cannot say for MuJoCo (motors, a rendering camera, a light) is added here with
`MjSpec`, from numbers that stand in the URDF.
"""

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from world_model_ros.resources import resource

PHYSICS_STEP = 0.005
"""Seconds that one step of the physics takes."""

_URDF = 'reach_arm.urdf'
_VISUAL_GROUP = 1  # where MuJoCo's URDF reader puts visuals; collision shapes are in group 0
_DRIVE_TIME_CONSTANT = 0.001  # seconds in which a motor's velocity loop closes 63 % of an error


@dataclass(frozen=True)
class CameraIntrinsics:
    """A pinhole camera without distortion, in pixels; (0, 0) is the centre of the first pixel."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True)
class JointLimits:
    """What the URDF allows each joint, as arrays `[J]` in radians, seconds and newton metres."""

    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    velocity: NDArray[np.float64]
    effort: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """The compiled model and what the simulation needs to know of the URDF it came from."""

    model: mujoco.MjModel
    joints: tuple[str, ...]
    limits: JointLimits
    camera: str
    camera_rate: float
    intrinsics: CameraIntrinsics


def description_path() -> Path:
    """Return the demo robot's URDF: in the source tree, or where the package was installed."""
    return resource(f'description/{_URDF}')


def load_scene(urdf: Path) -> Scene:
    """Compile the robot that `urdf` describes, with a motor per moving joint, a camera and a light.

    Raises ValueError when the URDF lacks the limits or the camera that the simulation needs.
    """
    root = ElementTree.parse(urdf).getroot()
    joints, limits = _read_joints(root)
    camera, frame, rate, intrinsics = _read_camera(root)

    spec = mujoco.MjSpec.from_file(str(urdf))
    spec.option.timestep = PHYSICS_STEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    # Nothing on this table can touch anything else, and contacts cost time.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    visual = spec.visual.global_
    visual.offwidth, visual.offheight = intrinsics.width, intrinsics.height
    # Multisampling and shadows would take most of a software renderer's time.
    spec.visual.quality.offsamples = 0
    spec.visual.quality.shadowsize = 0
    spec.visual.quality.numslices = 48
    spec.visual.headlight.active = 1
    spec.visual.headlight.ambient = [0.45, 0.45, 0.45]
    spec.visual.headlight.diffuse = [0.25, 0.25, 0.25]
    spec.visual.headlight.specular = [0.0, 0.0, 0.0]
    spec.worldbody.add_light(
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.5, 0.5, 3.0],
        dir=[-0.3, -0.4, -1.0],
        diffuse=[0.45, 0.45, 0.45],
        specular=[0.1, 0.1, 0.1],
        castshadow=False,
    )
    vertical = 2.0 * math.atan(0.5 * intrinsics.height / intrinsics.fy)
    # MuJoCo's camera looks along -z with y up, an optical frame along +z with y down.
    spec.body(frame).add_camera(name=camera, quat=[0.0, 1.0, 0.0, 0.0], fovy=math.degrees(vertical))

    inertia = _inertia_at_rest(spec.compile(), joints)
    for name, effort, moment in zip(joints, limits.effort, inertia, strict=True):
        motor = spec.add_actuator(
            name=name,
            target=name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            forcelimited=True,
            forcerange=[-effort, effort],
        )
        motor.set_to_velocity(kv=float(moment / _DRIVE_TIME_CONSTANT))
    return Scene(spec.compile(), joints, limits, camera, rate, intrinsics)


def visible_parts() -> mujoco.MjvOption:
    """Return rendering options that show what the URDF calls visual, and nothing else."""
    option = mujoco.MjvOption()
    option.geomgroup[:] = 0
    option.geomgroup[_VISUAL_GROUP] = 1
    return option


def _inertia_at_rest(model: mujoco.MjModel, joints: tuple[str, ...]) -> NDArray[np.float64]:
    """Return each joint's moment of inertia `[J]` with the arm stretched out: its largest."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    full = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, full)
    return np.array([full[i, i] for i in (model.joint(name).dofadr[0] for name in joints)])


def _read_joints(root: ElementTree.Element) -> tuple[tuple[str, ...], JointLimits]:
    names: list[str] = []
    rows: list[list[float]] = []
    for joint in root.findall('joint'):
        if joint.get('type') == 'fixed':
            continue
        limit = joint.find('limit')
        keys = ('lower', 'upper', 'velocity', 'effort')
        given = limit is not None and all(limit.get(key) is not None for key in keys)
        if joint.get('type') != 'revolute' or limit is None or not given:
            raise ValueError(
                f'joint {joint.get("name")!r}: the simulation drives revolute joints with <limit> '
                f'attributes {", ".join(keys)}'
            )
        names.append(joint.get('name', ''))
        rows.append([float(limit.get(k, 'nan')) for k in keys])
    lower, upper, velocity, effort = np.array(rows, dtype=np.float64).T
    return tuple(names), JointLimits(lower, upper, velocity, effort)


def _read_camera(root: ElementTree.Element) -> tuple[str, str, float, CameraIntrinsics]:
    """Return the camera's name, optical frame, rate [Hz] and intrinsics, from Gazebo's element."""
    sensor = root.find("./gazebo/sensor[@type='camera']")
    if sensor is None:
        raise ValueError('the URDF has no <gazebo> element with a <sensor type="camera">')
    width = int(sensor.findtext('camera/image/width', '0'))
    height = int(sensor.findtext('camera/image/height', '0'))
    horizontal = float(sensor.findtext('camera/horizontal_fov', '0'))
    frame = sensor.findtext('camera/optical_frame_id', '')
    rate = float(sensor.findtext('update_rate', '0'))
    if min(width, height, horizontal, rate) <= 0 or not frame:
        raise ValueError(
            f'camera {sensor.get("name")!r}: width, height, horizontal_fov, update_rate and '
            'optical_frame_id must all be given'
        )
    focal = 0.5 * width / math.tan(0.5 * horizontal)
    intrinsics = CameraIntrinsics(
        width, height, focal, focal, 0.5 * (width - 1), 0.5 * (height - 1)
    )
    return sensor.get('name', ''), frame, rate, intrinsics
