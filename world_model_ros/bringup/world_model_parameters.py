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

"""The parameters of ``world_model``."""

from __future__ import annotations

from collections.abc import Mapping

from world_model_ros.bringup.declaration import Declaration
from world_model_ros.bringup.defaults import (
    MAX_AGE,
    MAX_CAMERA_SKEW,
    MAX_SKEW,
    PLAN_DEADLINE,
    PLAN_RATE,
)
from world_model_ros.inference import RuntimeSettings

WORLD_MODEL: Mapping[str, Declaration] = {
    'bundle': Declaration(
        '', 'Folder of the model bundle. Relative paths start at the working directory. Read when '
        'the node is configured; ~/load_model replaces the model, and this, while it runs.'),
    'shadow_bundle': Declaration(
        '', 'Folder of a second bundle that runs beside the first one and never acts; empty for '
        'none. Read when the node is configured; ~/load_model with shadow changes it later.'),
    'plan_rate': Declaration(
        PLAN_RATE, 'Plans per second, at most one per image [Hz].', 0.1, 100.0),
    'plan_deadline': Declaration(
        PLAN_DEADLINE, 'Time that one plan may take; the best plan so far is used '
        '[s].', 0.001, 60.0),
    'expected_latency': Declaration(
        0.1, 'From an observation to the first command that follows from it, until the '
        'controller has reported what it is, or where none reports on '
        'controller_state; actions that are due before are taken as decided [s].', 0.0, 60.0),
    'max_latency': Declaration(
        0.5, 'The longest latency that plans make up for, whatever is measured; 0: '
        'they begin with the observation, as if they took no time [s].', 0.0, 60.0),
    'max_skew': Declaration(
        MAX_SKEW, 'Largest distance in time between an image and its joint state [s].', 0.0, 1.0),
    'max_camera_skew': Declaration(
        MAX_CAMERA_SKEW, "Largest distance in time between the first camera's picture "
        'and that of each other camera, of a model that sees with several [s].', 0.0, 1.0),
    'max_age': Declaration(
        MAX_AGE, 'Images older than this are not used [s].', 0.01, 60.0),
    'missed_images': Declaration(
        5, 'Usable images in a row that must be missing until the node reports that it is '
        'blind.', 2, 100),
    'frozen_camera_motion': Declaration(
        0.05, 'A camera whose picture stays equal to the byte while a joint moves '
        'further than this is frozen [rad or m]. Raise it for a noiseless camera '
        'that does not see the robot.', 0.001, 1000.0),
    'hung_after': Declaration(
        1.0, 'Time inside the model from which on it counts as hung [s]. More than '
        'its slowest call takes.', 0.05, 600.0),
    'surprise_steps': Declaration(
        4, 'Model steps over which expectations are compared with what was then seen, for '
        '~/surprise, at most planner.horizon; each costs one imagined sequence per model step.', 1,
        64),
    'provider': Declaration(
        RuntimeSettings.provider, 'What runs the graphs: auto (as measured by "wmros check '
        '--prebuild", else cpu), tensorrt, cuda, openvino or cpu.'),
    'precision': Declaration(
        RuntimeSettings.precision, 'Numbers that the graphs compute in: auto (as measured, else '
        'float32), float32, float16 or bfloat16.'),
    'threads': Declaration(
        RuntimeSettings.threads, 'Threads of one graph on the CPU; 0: as measured. One is '
        'the safe choice beside other work.', 0, 64),
    'cache': Declaration(
        '', 'Folder of measurements and compiled engines; empty: ~/.cache/world_model_ros.'),
}
