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
"""MuJoCo and Gazebo load the same robot: same kinematics, same limits, same camera.

Gazebo reads a URDF through libsdformat, so its own converter is asked (`ign sdf` on Debian,
`gz sdf` elsewhere), and forward kinematics are computed from the SDF that comes out.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from world_model_ros.bringup.gazebo import gazebo_description
from world_model_ros.demo import graph
from world_model_ros.resources import resource
from world_model_ros.simulation import ArmSimulation, description_path
from world_model_ros.simulation.scene import load_scene

Matrix = NDArray[np.float64]
CONTROLLERS = resource('config/gazebo/controllers.yaml')
SDF = next((name for name in ('gz', 'ign') if shutil.which(name)), None)
needs_sdf = pytest.mark.skipif(
    SDF is None, reason='no SDF checker (Debian: apt install ignition-tools sdformat-sdf)')
needs_check_urdf = pytest.mark.skipif(
    shutil.which('check_urdf') is None,
    reason='no check_urdf (Debian: apt install liburdfdom-tools)')


@pytest.fixture(scope='module')
def description(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the description that gazebo.launch.py spawns."""
    file = tmp_path_factory.mktemp('description') / 'robot.urdf'
    file.write_text(gazebo_description(
        description_path().read_text(), resource('description/reach_arm.gazebo.xml').read_text(),
        CONTROLLERS))
    return file


@pytest.fixture(scope='module')
def model(description: Path) -> ElementTree.Element:
    """Return the SDF model that Gazebo makes of the description."""
    found = ElementTree.fromstring(sdf('-p', description)).find('model')
    assert found is not None
    return found


def sdf(option: str, file: Path) -> str:
    """Run the SDF tool; its answer, or an error with what it said."""
    answer = subprocess.run(
        [str(SDF), 'sdf', option, str(file)], check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@needs_check_urdf
def test_check_urdf_accepts_the_robot_for_gazebo(description: Path) -> None:
    subprocess.run(['check_urdf', str(description)], check=True, capture_output=True)


@needs_sdf
def test_the_sdf_checker_accepts_the_world_and_the_robot(description: Path) -> None:
    for file in (resource('description/table_world.sdf'), description):
        assert 'Valid' in sdf('-k', file)


@needs_sdf
def test_forward_kinematics_agree_to_a_tenth_of_a_millimetre(model: ElementTree.Element) -> None:
    arm, random = ArmSimulation(), np.random.default_rng(5)
    transform = transforms(model)
    for _ in range(50):
        angles = random.uniform(arm.limits.lower, arm.limits.upper)
        place = transform(dict(zip(arm.joints, angles, strict=True)))
        # The tip is fixed to the forearm, so the converter makes the two one link.
        tip = place('forearm') @ [0.23, 0.0, 0.0, 1.0]
        base = place('table')
        np.testing.assert_allclose(
            (np.linalg.inv(base) @ tip)[:3], arm.tip_at(angles), atol=1e-4)


@needs_sdf
def test_both_keep_the_limits_of_the_urdf(model: ElementTree.Element) -> None:
    arm = ArmSimulation()
    for index, joint in enumerate(arm.joints):
        limit = model.find(f"joint[@name='{joint}']/axis/limit")
        assert limit is not None
        for name, of_mujoco in (('lower', arm.limits.lower), ('upper', arm.limits.upper),
                                ('velocity', arm.limits.velocity), ('effort', arm.limits.effort)):
            assert float(limit.findtext(name, 'nan')) == pytest.approx(of_mujoco[index])


@needs_sdf
def test_both_cameras_see_the_table_alike(model: ElementTree.Element) -> None:
    arm = ArmSimulation()
    sensor = model.find("link[@name='table']/sensor[@type='camera']")
    assert sensor is not None
    width = int(sensor.findtext('camera/image/width', '0'))
    focal = 0.5 * width / np.tan(0.5 * float(sensor.findtext('camera/horizontal_fov', 'nan')))
    assert width == arm.intrinsics.width
    assert int(sensor.findtext('camera/image/height', '0')) == arm.intrinsics.height
    assert focal == pytest.approx(arm.intrinsics.fx)
    assert float(sensor.findtext('update_rate', '0')) == arm.camera_rate
    scene = load_scene(description_path())
    data = mujoco.MjData(scene.model)
    mujoco.mj_forward(scene.model, data)
    table, camera = data.body('table'), data.camera(scene.camera)
    pose = matrix(sensor.findtext('pose', ''))
    np.testing.assert_allclose(pose[:3, 3], camera.xpos - table.xpos, atol=1e-4)
    # Gazebo's cameras look along x with z up, MuJoCo's along -z with y up.
    right, up, backward = camera.xmat.reshape(3, 3).T
    np.testing.assert_allclose(pose[:3, :3].T, [-backward, -right, up], atol=1e-4)


def test_bridge_controllers_and_camera_use_the_names_of_the_demo() -> None:
    bridged = {entry['ros_topic_name'] for entry in yaml.safe_load(
        resource('config/gazebo/bridge.yaml').read_text())}
    urdf = ElementTree.parse(description_path())
    assert {'/clock', graph.WORLD_MODEL.remappings['image']} <= bridged
    assert urdf.findtext('.//sensor/topic') in bridged
    assert urdf.findtext('.//sensor/camera/camera_info_topic') in bridged

    controllers = yaml.safe_load(CONTROLLERS.read_text())
    name, _, topic = graph.CONTROLLER.remappings['joint_trajectory'].partition('/')
    assert topic == 'joint_trajectory'
    assert name in controllers['/**/controller_manager']['ros__parameters']
    driven = controllers[f'/**/{name}']['ros__parameters']
    extension = ElementTree.parse(resource('description/reach_arm.gazebo.xml'))
    offered = {joint.get('name'): {item.get('name') for item in joint.findall('command_interface')}
               for joint in extension.findall('ros2_control/joint')}
    assert list(offered) == driven['joints'] == list(ArmSimulation().joints)
    assert all(set(driven['command_interfaces']) <= names for names in offered.values())


def test_an_extension_of_another_robot_is_refused() -> None:
    with pytest.raises(ValueError, match='belong together'):
        gazebo_description('<robot name="a"/>', '<robot name="b"/>', CONTROLLERS)
    with pytest.raises(ValueError, match='without controllers'):
        gazebo_description('<robot name="a"/>', '<robot name="a"/>', CONTROLLERS)


def transforms(
    model: ElementTree.Element,
) -> Callable[[dict[str, float]], Callable[[str], Matrix]]:
    """Return a function of joint angles [rad] that gives each frame's pose [4, 4] in the model."""
    frames = {element.get('name'): element for element in model if element.find('pose') is not None}

    def of(angles: dict[str, float]) -> Callable[[str], Matrix]:
        def place(name: str) -> Matrix:
            if name == '__model__':
                return np.eye(4)
            element = frames[name]
            pose = element.find('pose')
            assert pose is not None
            own = matrix(pose.text or '')
            angle = angles.get(name, 0.0) if element.tag == 'joint' else 0.0
            return place(pose.get('relative_to', '__model__')) @ own @ about_z(angle)
        return place
    return of


def about_z(angle: float) -> Matrix:
    """Both joints turn about their z axis."""
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn


def matrix(pose: str) -> Matrix:
    """Return an SDF pose "x y z roll pitch yaw" as a matrix [4, 4]."""
    x, y, z, roll, pitch, yaw = map(float, pose.split())
    rotate_x, rotate_y = np.eye(4), np.eye(4)
    rotate_x[1:3, 1:3] = about_z(roll)[:2, :2]
    rotate_y[0, 0] = rotate_y[2, 2] = np.cos(pitch)
    rotate_y[0, 2], rotate_y[2, 0] = np.sin(pitch), -np.sin(pitch)
    result = about_z(yaw) @ rotate_y @ rotate_x
    result[:3, 3] = x, y, z
    return result
