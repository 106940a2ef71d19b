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
"""The YAML files that the package ships say nothing that a node does not understand.

ROS ignores a parameter of an unknown name in silence, and an acceleration limit with a typing error
is one that the robot does not have. So the real nodes are started with each file and asked.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dds import Graph
from rcl_interfaces.srv import ListParameters

from world_model_ros.resources import resource

# What is public about the robots of config/robots: lower and upper [rad], velocity [rad/s].
# Sources: Universal_Robots_ROS2_Description config/ur5e/joint_limits.yaml; franka_description
# robots/fr3/joint_limits.yaml; SO-ARM100 Simulation/SO101/so101_new_calib.urdf;
# turtlebot3_description urdf/turtlebot3_burger.urdf and ROBOTIS' e-manual (0.22 m/s, 2.84 rad/s).
_PI = 3.141592653589793
_TURN = (-2 * _PI, 2 * _PI, _PI)
ROBOTS: dict[str, dict[str, tuple[float, float, float]]] = {
    'ur5e': {
        'shoulder_pan_joint': _TURN, 'shoulder_lift_joint': _TURN,
        'elbow_joint': (-_PI, _PI, _PI), 'wrist_1_joint': _TURN, 'wrist_2_joint': _TURN,
        'wrist_3_joint': _TURN},
    'fr3': {
        'fr3_joint1': (-2.7437, 2.7437, 2.62), 'fr3_joint2': (-1.7837, 1.7837, 2.62),
        'fr3_joint3': (-2.9007, 2.9007, 2.62), 'fr3_joint4': (-3.0421, -0.1518, 2.62),
        'fr3_joint5': (-2.8065, 2.8065, 5.26), 'fr3_joint6': (0.5445, 4.5169, 4.18),
        'fr3_joint7': (-3.0159, 3.0159, 5.26)},
    'so101': {
        'shoulder_pan': (-1.91986, 1.91986, 10.0), 'shoulder_lift': (-1.74533, 1.74533, 10.0),
        'elbow_flex': (-1.69, 1.69, 10.0), 'wrist_flex': (-1.65806, 1.65806, 10.0),
        'wrist_roll': (-2.79253, 2.79253, 10.0)},
    'fr3_servo': {f'fr3_joint{number}': (0.0, 0.0, 0.0) for number in range(1, 8)},
    'turtlebot3': {
        'wheel_left_joint': (0.0, 0.0, 0.0), 'wheel_right_joint': (0.0, 0.0, 0.0)},
}
FILES = ['demo', 'gazebo/robot', 'robot_template', *(f'robots/{name}' for name in ROBOTS)]


def sections(file: str) -> dict[str, dict[str, Any]]:
    """Return the parameters in a file of config/ by node."""
    content = yaml.safe_load(resource(f'config/{file}.yaml').read_text())
    return {key.removeprefix('/**/'): value['ros__parameters'] for key, value in content.items()}


def flat(parameters: Mapping[str, Any], prefix: str = '') -> Iterator[str]:
    """Yield the full names of nested parameters."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            yield from flat(value, f'{prefix}{name}.')
        else:
            yield f'{prefix}{name}'


def urdf_of(joints: Mapping[str, tuple[float, float, float]], folder: Path) -> Path:
    """Write a URDF with these joints and limits."""
    parts = []
    for index, (name, (lower, upper, velocity)) in enumerate(joints.items()):
        parts.append(
            f'<joint name="{name}" type="revolute"><parent link="l{index}"/>'
            f'<child link="l{index + 1}"/><axis xyz="0 0 1"/>'
            f'<limit lower="{lower}" upper="{upper}" velocity="{velocity}" effort="1"/></joint>')
    links = ''.join(f'<link name="l{index}"/>' for index in range(len(joints) + 1))
    file = folder / 'robot.urdf'
    file.write_text(f'<robot name="r">{links}{"".join(parts)}</robot>')
    return file


def known(graph: Graph, node: str) -> set[str]:
    """Return the names of a node's parameters."""
    client = graph.node.create_client(ListParameters, f'{node}/list_parameters')
    graph.wait_for(client.service_is_ready, 20.0, f'{node}/list_parameters')
    answers: list[Any] = []

    def answered() -> bool:
        if not answers or (answers[-1].done() and not answers[-1].result()):
            answers.append(client.call_async(ListParameters.Request()))
        return bool(answers[-1].done())

    graph.wait_for(answered, 20.0, f'the parameters of {node}')
    return set(answers[-1].result().result.names)


@pytest.mark.parametrize('file', FILES)
def test_every_parameter_of_a_shipped_file_is_one_that_its_node_knows(
    file: str, tmp_path: Path
) -> None:
    robot = ROBOTS.get(Path(file).name)
    with Graph(tmp_path) as graph:
        for node, parameters in sections(file).items():
            if file == 'robot_template':
                joints = dict.fromkeys(parameters.get('joints', ()), (-2.0, 2.0, 1.0))
                extra = {'robot_description_file': str(urdf_of(joints, tmp_path))}
            elif robot is not None and parameters.get('command_interface') != 'twist':
                extra = {'robot_description_file': str(urdf_of(robot, tmp_path))}
            else:
                extra = {}
            graph.spawn(node, parameters={**parameters, **extra, 'autostart': node == 'controller'})
            if node == 'controller':  # limits are declared when the joints are known
                graph.wait_until_active(node)
            assert set(flat(parameters)) <= known(graph, node), json.dumps(parameters)


@pytest.mark.parametrize('name', ROBOTS)
def test_an_example_drives_joints_that_its_robot_has_and_never_faster_than_it_can(
    name: str,
) -> None:
    parameters = sections(f'robots/{name}')['controller']
    assert set(parameters['joints']) <= set(ROBOTS[name])
    for joint, limits in parameters.get('joint_limits', {}).items():
        assert limits['max_velocity'] <= ROBOTS[name][joint][2]
    if name == 'fr3_servo':  # Franka's Cartesian limits are 3.0 m/s and 2.5 rad/s
        assert parameters['twist_axes'] == [
            f'{kind}.{axis}' for kind in ('linear', 'angular') for axis in 'xyz']
    if name == 'turtlebot3':
        assert parameters['twist_limits']['linear']['x']['max_velocity'] <= 0.22
        assert parameters['twist_limits']['angular']['z']['max_velocity'] <= 2.84
