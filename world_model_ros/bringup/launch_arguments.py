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

"""What the launch files take, and how ``robot.launch.py`` wires the nodes.

Plain data, read by ``launch/`` and by the reference pages: these are written, and tested, where no
``launch`` is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from world_model_ros.bringup.parameters import judge_parameters
from world_model_ros.bringup.robot_file import (
    NoSectionError,
    RobotFileError,
    absolute,
    names_for,
    read_parameters,
)
from world_model_ros.bringup.topic_names import TOPICS
from world_model_ros.demo import graph
from world_model_ros.findings import Finding
from world_model_ros.observation import image_topic, info_topic
from world_model_ros.resources import resource


@dataclass(frozen=True)
class Argument:
    """One argument of a launch file.

    A default that is a path means a file of this package; None: it has to be given.
    """

    default: str | Path | None
    description: str
    choices: tuple[str, ...] = ()


_BUNDLE = 'Folder of the model bundle.'
_FLAG = ('true', 'false')

NODES = ('controller', 'world_model')
"""What ``robot.launch.py`` starts."""

DRY_RUN = 'controller/dry_run'
"""Below it are the topics of commands that go nowhere."""

ROBOT = {
    'nodes': Argument(
        'both', 'What to start here; the other node may run on another machine.',
        ('both', *NODES)),
    'bundle': Argument('', f'{_BUNDLE[:-1]}; world_model needs it.'),
    'parameters': Argument(
        None, 'YAML file of your robot; begin with config/robot_template.yaml.'),
    'robot_description_file': Argument(
        '', 'URDF with the limits of the joints; empty: what the YAML file says.'),
    'namespace': Argument('', 'Namespace of the nodes and of all relative topics.'),
    'image': Argument(TOPICS['image'], 'The camera that the model was trained for.'),
    'cameras': Argument(
        '', 'The cameras of a model that names them, as "NAME:=TOPIC NAME:=TOPIC"; one that is '
        'left out is at NAME/image_raw.'),
    'joint_states': Argument(TOPICS['joint_states'], 'Joint states of the robot.'),
    'pose': Argument(TOPICS['pose'], "The link's pose, for models that read one."),
    'goal_image': Argument('goal_image', 'What the camera shall see.'),
    'controller_state': Argument(
        'controller/state', 'Where world_model hears what the robot was told to do.'),
    'commands': Argument(
        'velocity_controller/commands', 'Where velocities go, with command_interface: velocity.'),
    'joint_trajectory': Argument(
        'joint_trajectory_controller/joint_trajectory',
        'Where trajectories go, with command_interface: trajectory.'),
    'cmd_vel': Argument('cmd_vel', 'Where twists go, with command_interface: twist.'),
    'dry_run': Argument(
        'false', 'Send all commands to names below controller/dry_run, where no drive listens: '
        'nothing moves, whatever command_interface is.', _FLAG),
    'use_sim_time': Argument(
        '', 'Follow /clock: for simulators and bags; empty: what the YAML file says, else false.',
        _FLAG),
    'autostart': Argument(
        '', 'Configure and activate; false leaves that to a lifecycle manager; empty: what the '
        'YAML file says, else true.', _FLAG),
}
"""Of ``robot.launch.py``."""

DEMO = {
    'namespace': Argument('', 'Namespace of all nodes and topics.'),
    'bundle': Argument(graph.default_bundle(), _BUNDLE),
    'parameters': Argument(graph.parameters_file(), 'YAML file with the parameters of all nodes.'),
    'episodes': Argument('5', 'How many goals are set.'),
    'seed': Argument('0', 'Decides the goals.'),
    'out': Argument('out', 'Folder for the film demo.gif and report.json.'),
}
"""Of ``demo.launch.py``."""

GAZEBO = {
    'bundle': Argument(resource('models/reach'), _BUNDLE),
    'parameters': Argument(
        resource('config/gazebo/robot.yaml'), 'YAML file with the parameters of both nodes.'),
    'gui': Argument('true', 'Whether Gazebo opens a window.', _FLAG),
}
"""Of ``gazebo.launch.py``; those of ``robot.launch.py``, which it includes, work as well, but for
what ``refuse_in_gazebo`` names."""

REPLAY = {
    'bag': Argument(None, 'Folder of the bag, as ros2 bag record wrote it.'),
    'bundle': Argument(None, _BUNDLE),
    'parameters': Argument(None, 'YAML file of the robot that the bag is of.'),
    'image': Argument(
        '/camera/image_raw', 'The camera in the bag; what it has of .../compressed below and of '
        'camera_info beside it is played as well.'),
    'cameras': Argument(
        '', 'The cameras in the bag, for a model that names them, as "NAME:=TOPIC NAME:=TOPIC"; '
        'one that is left out is at /NAME/image_raw.'),
    'joint_states': Argument('/joint_states', 'The joint states in the bag.'),
    'pose': Argument('/pose', "The link's pose in the bag, for models that read one."),
    'goal_image': Argument(
        '/goal_image', 'Goals in the bag; without any, publish one. Those of cameras with names '
        'are at NAME/goal_image beside it.'),
    'controller_state': Argument(
        '/controller/state', 'What the robot was told to do, in the bag: without it, plans and '
        'surprise are those of a robot that stood still.'),
    'rate': Argument('1.0', 'How many times as fast as it was.'),
    'delay': Argument('5.0', 'Time for the nodes to load the model before the bag begins [s].'),
}
"""Of ``replay.launch.py``."""

LAUNCH_FILES: Mapping[str, Mapping[str, Argument]] = {
    'robot.launch.py': ROBOT, 'demo.launch.py': DEMO, 'replay.launch.py': REPLAY,
    'gazebo.launch.py': GAZEBO}


def robot_remappings(given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return node -> name in the node -> topic, for values of the arguments ``ROBOT``.

    Raises ``ValueError`` for cameras that are not given as "NAME:=TOPIC".
    """
    dry = given['dry_run'] == 'true'
    commands = {name: f'{DRY_RUN}/{name}' if dry else given[name]
                for name in ('commands', 'joint_trajectory', 'cmd_vel')}
    cameras = {image_topic(name): topic for name, topic in _cameras(given['cameras']).items()}
    return {
        'controller': {
            'proposal': 'world_model/proposal', 'model_info': 'world_model/model_info',
            'heartbeat': 'world_model/heartbeat', 'joint_states': given['joint_states'],
            **commands},
        'world_model': {
            'image': given['image'], 'image/compressed': f'{given["image"]}/compressed',
            **cameras, **{name: given[name] for name in (
                'joint_states', 'pose', 'goal_image', 'controller_state')}},
    }


def robot_settings(
    given: Mapping[str, str], note: Callable[[str], object],
) -> dict[str, dict[str, bool | str]]:
    """Return node -> parameters that hold beside, and before, those of the robot's YAML file.

    `given` are values of the arguments ``ROBOT``. `note` is told which node to be started the file
    says nothing of. Raises ``ValueError`` if it is none, as ROS would start the nodes without it,
    or has parameters that they can not be given.
    """
    file = Path(given['parameters'])
    flags = {name: given[name] == 'true' for name in ('use_sim_time', 'autostart') if given[name]}
    files = {'controller': 'robot_description_file', 'world_model': 'bundle'}
    settings, wrong = dict[str, dict[str, bool | str]](), list[Finding]()
    for node in NODES:
        path = str(PurePosixPath('/', given['namespace'], node))
        try:
            told = read_parameters(file, path)
        except NoSectionError as error:
            told = {}
            if given['nodes'] in (node, 'both'):
                note(f'{node} lives by its defaults: {file} {error}')
        except RobotFileError as error:
            raise ValueError(f'parameters:={file} {error}') from error
        if given['nodes'] in (node, 'both'):
            wrong += judge_parameters(node, told, names_for(file, path))
        address = given[files[node]]
        settings[node] = {
            **({} if 'autostart' in told else {'autostart': True}), **flags,
            **({files[node]: absolute(address)} if address else {})}
    if wrong:
        raise ValueError('\n'.join((f'parameters:={file} is refused', *map(str, wrong))))
    return settings


def refuse_in_gazebo(given: Mapping[str, str]) -> None:
    """Raise ``ValueError`` for arguments of ``robot.launch.py`` that do not fit Gazebo's robot.

    Its bridge, its drivers and robot_state_publisher have no namespace and live by /clock.
    """
    for name, taken in (('namespace', ''), ('use_sim_time', 'true')):
        if (value := given.get(name, taken)) != taken:
            raise ValueError(f'{name}:={value} does not hold for the robot in Gazebo, which is '
                             'without namespace and lives by /clock: leave it out')


@dataclass(frozen=True)
class Replay:
    """How a bag takes a robot's place.

    robot: arguments of ``robot.launch.py``, whose nodes are in a namespace of their own
    played: topic in the bag -> topic in that namespace
    """

    robot: Mapping[str, str]
    played: Mapping[str, str]


def recorded_topics(bag: Path) -> set[str]:
    """Topics of which a bag has messages. Raises ``ValueError`` if ``bag`` is no bag's folder."""
    try:
        content = yaml.safe_load((bag / 'metadata.yaml').read_text(encoding='utf-8'))
        topics = content['rosbag2_bagfile_information']['topics_with_message_count']
        return {topic['topic_metadata']['name'] for topic in topics if topic['message_count']}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError) as error:
        raise ValueError(
            f'bag:={bag} has no metadata.yaml that can be read ({type(error).__name__}: {error}): '
            'give the folder that ros2 bag record made; "ros2 bag reindex" repairs one') from error


def replay_of(
    given: Mapping[str, str], names: Sequence[str], recorded: Container[str],
    warn: Callable[[str], object],
) -> Replay:
    """Return the wiring for values of the arguments ``REPLAY`` and the cameras that a model names.

    Topics keep their names, in the namespace: what is beside or below a camera's topic stays there,
    and the node reads from the name of a topic whether its pictures are rectified. Only the
    controller's state gets another, as the replay has a controller of its own.

    `recorded` are the bag's topics. `warn` is told if what the robot did is not among them.

    Raises ``ValueError`` for cameras that the model does not have, or that are not "NAME:=TOPIC".
    """
    at = {name: f'/{image_topic(name)}' for name in names}
    for name, topic in _cameras(given['cameras']).items():
        if name not in at:
            raise ValueError(f'cameras: the model has no camera "{name}", ' + (
                f'it has {", ".join(names)}' if names else 'it names none: give image:=TOPIC'))
        at[name] = topic
    goal, states = given['goal_image'], (given['joint_states'], given['pose'])
    played = {_absolute(topic): _relative(topic) for topic in states}
    for topic, target in ((goal, _relative(goal)), *(
            (f'{_above(goal)}{name}/goal_image', f'{name}/goal_image') for name in names)):
        played[_absolute(topic)] = target
        played[_absolute(f'{topic}/compressed')] = f'{target}/compressed'
    for topic in at.values() if names else (given['image'],):
        for companion in (topic, f'{topic}/compressed', info_topic(topic)):
            played[_absolute(companion)] = _relative(companion)
    done = {}
    if (told := _absolute(given['controller_state'])) in recorded:
        done['controller_state'] = played[told] = f'recorded{told}'
    else:
        warn(f'the bag has no {told}: world_model takes it that the robot stood still, so plans '
             'and surprise are not those of that day. Record what the controller publishes there, '
             'or give controller_state:=TOPIC')
    return Replay(
        {'image': _relative(given['image']),
         'cameras': ' '.join(f'{name}:={_relative(topic)}' for name, topic in at.items()),
         **{name: _relative(given[name]) for name in ('joint_states', 'pose', 'goal_image')},
         **done},
        played)


def _cameras(words: str) -> dict[str, str]:
    """Name -> topic of an argument "NAME:=TOPIC NAME:=TOPIC"; raises ValueError."""
    cameras: dict[str, str] = {}
    for word in words.split():
        name, _, topic = word.partition(':=')
        if not (name and topic):
            raise ValueError(f'cameras: "{word}" is not NAME:=TOPIC')
        cameras[name] = topic
    return cameras


def _above(topic: str) -> str:
    """What a topic's name has before its last part, up to the slash."""
    return topic[:topic.rfind('/') + 1]


def _absolute(topic: str) -> str:
    return f'/{topic.lstrip("/")}'


def _relative(topic: str) -> str:
    return topic.lstrip('/')


def declare(arguments: Mapping[str, Argument]) -> list[Any]:
    """Return launch's own actions that declare ``arguments``."""
    from launch.actions import DeclareLaunchArgument

    return [DeclareLaunchArgument(
        name, description=argument.description,
        # launch holds the default against the choices, too.
        choices=list(dict.fromkeys((*argument.choices, argument.default))) if argument.choices
        else None,
        default_value=None if argument.default is None else str(argument.default))
        for name, argument in arguments.items()]
