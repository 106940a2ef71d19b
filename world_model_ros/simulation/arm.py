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
"""The demo arm as its user meets it: commands in; joint states, pictures and the true tip out."""

from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from world_model_ros.simulation.drive import CommandError, Drive, Trajectory
from world_model_ros.simulation.scene import (
    PHYSICS_STEP,
    CameraIntrinsics,
    JointLimits,
    description_path,
    load_scene,
    visible_parts,
)

_TIP = 'tip'
_BASE = 'base_link'


class ArmSimulation:
    """The arm on its table. Not thread-safe: the thread that draws first must draw all pictures.

    Angles are in radians, lengths in metres, times in seconds since the simulation began; joint
    arrays are `[J]` in the order of `joints`, which is the URDF's.
    """

    def __init__(self, urdf: Path | None = None) -> None:
        self._scene = load_scene(urdf or description_path())
        self._model = self._scene.model
        self._data = mujoco.MjData(self._model)
        self._posed = mujoco.MjData(self._model)  # for `tip_at` and `render_at`; never stepped
        indices = [self._model.joint(name) for name in self._scene.joints]
        self._position_index = np.array([joint.qposadr[0] for joint in indices])
        self._velocity_index = np.array([joint.dofadr[0] for joint in indices])
        self._tip_body = self._model.body(_TIP).id
        self._base_body = self._model.body(_BASE).id
        self._drive = Drive(self._scene.limits)
        self._renderer: mujoco.Renderer | None = None
        self._visible = visible_parts()
        self._steps = 0
        self.reset()

    @property
    def joints(self) -> tuple[str, ...]:
        """The joints' names, in the order of every joint array."""
        return self._scene.joints

    @property
    def limits(self) -> JointLimits:
        """The URDF's limits."""
        return self._scene.limits

    @property
    def intrinsics(self) -> CameraIntrinsics:
        """The overhead camera's pinhole parameters."""
        return self._scene.intrinsics

    @property
    def camera_rate(self) -> float:
        """Pictures per second that the URDF's camera delivers."""
        return self._scene.camera_rate

    @property
    def time(self) -> float:
        """Seconds simulated since the last reset; a whole number of physics steps."""
        return self._steps * PHYSICS_STEP

    @property
    def positions(self) -> NDArray[np.float64]:
        """Joint angles `[J]` [rad]."""
        return np.asarray(self._data.qpos[self._position_index], dtype=np.float64)

    @property
    def velocities(self) -> NDArray[np.float64]:
        """Joint velocities `[J]` [rad/s]."""
        return np.asarray(self._data.qvel[self._velocity_index], dtype=np.float64)

    @property
    def efforts(self) -> NDArray[np.float64]:
        """Motor torques `[J]` [N m]."""
        return np.asarray(self._data.actuator_force, dtype=np.float64).copy()

    def reset(self, positions: Sequence[float] | NDArray[np.float64] | None = None) -> None:
        """Put the arm at rest at `positions [J]` and time zero; None: as near to 0 as joints go."""
        limits = self._scene.limits
        pose = self._checked(
            np.clip(0.0, limits.lower, limits.upper) if positions is None else positions)
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[self._position_index] = pose
        mujoco.mj_forward(self._model, self._data)
        self._drive.reset()
        self._steps = 0

    def command_velocity(self, velocity: Sequence[float] | NDArray[np.float64]) -> None:
        """Turn the joints at `velocity [J]` [rad/s] until told otherwise or left without commands.

        Raises CommandError, and changes nothing, when the command is malformed.
        """
        self._drive.command_velocity(velocity, self.time)

    def command_trajectory(self, trajectory: Trajectory, start: float | None = None) -> None:
        """Follow `trajectory`, whose time zero is `start` on this simulation's clock (None: now).

        Raises CommandError, and changes nothing, when the command is malformed or over.
        """
        now = self.time
        self._drive.command_trajectory(
            trajectory, now if start is None else start, self.positions, now
        )

    def step(self, duration: float = PHYSICS_STEP) -> None:
        """Advance the world by `duration` seconds, rounded to whole physics steps."""
        for _ in range(round(duration / PHYSICS_STEP)):
            self._data.ctrl[:] = self._drive.step(self.positions, self.time, PHYSICS_STEP)
            mujoco.mj_step(self._model, self._data)
            self._steps += 1

    def tip(self) -> NDArray[np.float64]:
        """Return where the tip is `[3]` [m], in the base's frame."""
        # mj_step leaves poses one step behind the joint angles.
        mujoco.mj_kinematics(self._model, self._data)
        return self._tip_of(self._data)

    def tip_at(self, positions: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where `tip` would be `[3]` [m] with the joints at `positions`."""
        return self._tip_of(self._pose(positions))

    def render(self) -> NDArray[np.uint8]:
        """Return what the overhead camera sees, `[height, width, 3]` RGB."""
        mujoco.mj_kinematics(self._model, self._data)
        return self._picture(self._data)

    def render_at(self, positions: Sequence[float] | NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return what the camera would see with joints at `positions`; the arm does not move."""
        return self._picture(self._pose(positions))

    def close(self) -> None:
        """Free the renderer; the next picture makes a new one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _checked(self, positions: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
        pose = np.asarray(positions, dtype=np.float64)
        limits = self._scene.limits
        if pose.shape != limits.lower.shape or not np.all(
            (pose >= limits.lower) & (pose <= limits.upper)
        ):
            raise CommandError(
                f'positions {pose.tolist()}: give one per joint of {list(self.joints)} between '
                f'{limits.lower.tolist()} and {limits.upper.tolist()}'
            )
        return pose

    def _pose(self, positions: Sequence[float] | NDArray[np.float64]) -> mujoco.MjData:
        self._posed.qpos[self._position_index] = self._checked(positions)
        mujoco.mj_kinematics(self._model, self._posed)
        mujoco.mj_camlight(self._model, self._posed)
        return self._posed

    def _tip_of(self, data: mujoco.MjData) -> NDArray[np.float64]:
        offset = data.xpos[self._tip_body] - data.xpos[self._base_body]
        rotation = data.xmat[self._base_body].reshape(3, 3)
        return np.asarray(rotation.T @ offset, dtype=np.float64)

    def _picture(self, data: mujoco.MjData) -> NDArray[np.uint8]:
        if self._renderer is None:
            intrinsics = self._scene.intrinsics
            self._renderer = mujoco.Renderer(self._model, intrinsics.height, intrinsics.width)
            for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
                self._renderer.scene.flags[flag] = 0
        self._renderer.update_scene(data, self._scene.camera, self._visible)
        return np.asarray(self._renderer.render(), dtype=np.uint8)
