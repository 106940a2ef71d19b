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

"""What colcon and pip install: the Python package and the share directory of ROS."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = 'world_model_ros'
ROOT = Path(__file__).parent
SHARED_DIRECTORIES = ('config', 'description', 'launch', 'models')
# What package.xml names for rosdep, for machines without it: requirements/demo.in begins with it.
ROBOT = ['numpy>=1.26', 'onnxruntime>=1.20', 'opencv-python-headless>=4.9', 'pydantic>=2.7',
         'PyYAML']


def shared_files() -> list[tuple[str, list[str]]]:
    """Return every folder in SHARED_DIRECTORIES as a pair of target and files."""
    targets: dict[str, list[str]] = {}
    for directory in SHARED_DIRECTORIES:
        for path in sorted(ROOT.glob(f'{directory}/**/*')):
            if path.is_file() and '__pycache__' not in path.parts:
                relative = path.relative_to(ROOT)
                targets.setdefault(f'share/{NAME}/{relative.parent}', []).append(str(relative))
    return list(targets.items())


setup(
    name=NAME,
    version='0.1.0',
    description='Puts any exported world model on a robot: encode, imagine, plan, propose.',
    license='Apache-2.0',
    author='The world_model_ros Authors',
    maintainer='The world_model_ros Authors',
    maintainer_email='maintainers@world-model-ros.invalid',
    python_requires='>=3.11',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed']},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
        *shared_files(),
    ],
    install_requires=['setuptools'],
    extras_require={
        'export': ['einops', 'safetensors', 'transformers'],
        'gpu': ['onnxruntime-gpu'],
        'openvino': ['openvino'],
        'robot': ROBOT,
        'sim': ['mujoco', 'pillow', 'rich'],
        # colcon takes pytest where it finds it here.
        'test': ['hypothesis', 'onnx', 'pytest', 'rosbags', 'scipy'],
        'train': [*ROBOT, 'matplotlib', 'onnx', 'onnxscript', 'torch', 'tqdm'],
    },
    zip_safe=True,
    entry_points={
        'console_scripts': [
            'controller = world_model_ros.nodes.controller:main',
            'demo_director = world_model_ros.nodes.demo_director:main',
            'simulator = world_model_ros.nodes.simulator:main',
            'wmros = world_model_ros.cli.main:main',
            'world_model = world_model_ros.nodes.world_model:main',
        ],
    },
)
