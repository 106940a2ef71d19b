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

"""The parameters of ``world_model``: declared, explained and checked in one place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from world_model_ros.bringup.defaults import (
    MAX_AGE,
    MAX_CAMERA_SKEW,
    MAX_SKEW,
    PLAN_DEADLINE,
    PLAN_RATE,
)
from world_model_ros.inference import RuntimeSettings
from world_model_ros.nodes import parameters

_LOADED_WITH = {'bundle', 'shadow_bundle', 'provider', 'precision', 'threads', 'cache',
                'surprise_steps'}
_BOUND = ('plan_rate', 'plan_deadline', 'hung_after')  # by what each says of the others
_OVERRUN = 1.25  # times plan_deadline that a plan may take where the machine is busy


class WorldModelParameters:
    """
    Values as they are now.

    Those that a model is loaded with may change only while none is loaded, and the others at any
    time. A change that contradicts another parameter is refused.
    """

    def __init__(self, node: Node) -> None:
        """Declare the parameters of ``node``."""
        self._node = node
        self.in_use = False  # whether a model runs that was loaded with these values
        declare = node.declare_parameter
        declare('bundle', '', parameters.text(
            'Folder of the model bundle. Relative paths start at the working directory. Read when '
            'the node is configured; ~/load_model replaces the model, and this, while it runs.'))
        declare('shadow_bundle', '', parameters.text(
            'Folder of a second bundle that runs beside the first one and never acts; empty for '
            'none. Read when the node is configured; ~/load_model with shadow changes it later.'))
        declare('plan_rate', PLAN_RATE, parameters.real(
            'Plans per second, at most one per image [Hz].', 0.1, 100.0))
        declare('plan_deadline', PLAN_DEADLINE, parameters.real(
            'Time that one plan may take; the best plan so far is used [s].', 0.001, 60.0))
        declare('expected_latency', 0.1, parameters.real(
            'From an observation to the first command that follows from it, until the controller '
            'has reported what it is, or where none reports on controller_state; actions that are '
            'due before are taken as decided [s].', 0.0, 60.0))
        declare('max_latency', 0.5, parameters.real(
            'The longest latency that plans make up for, whatever is measured; 0: they begin with '
            'the observation, as if they took no time [s].', 0.0, 60.0))
        declare('max_skew', MAX_SKEW, parameters.real(
            'Largest distance in time between an image and its joint state [s].', 0.0, 1.0))
        declare('max_camera_skew', MAX_CAMERA_SKEW, parameters.real(
            "Largest distance in time between the first camera's picture and that of each other "
            'camera, of a model that sees with several [s].', 0.0, 1.0))
        declare('max_age', MAX_AGE, parameters.real(
            'Images older than this are not used [s].', 0.01, 60.0))
        declare('missed_images', 5, parameters.whole(
            'Usable images in a row that must be missing until the node reports that it is blind.',
            2, 100))
        declare('frozen_camera_motion', 0.05, parameters.real(
            'A camera whose picture stays equal to the byte while a joint moves further than this '
            'is frozen [rad or m]. Raise it for a noiseless camera that does not see the robot.',
            0.001, 1000.0))
        declare('hung_after', 1.0, parameters.real(
            'Time inside the model from which on it counts as hung [s]. More than its slowest '
            'call takes.', 0.05, 600.0))
        declare('surprise_steps', 4, parameters.whole(
            'Model steps over which expectations are compared with what was then seen, for '
            '~/surprise; each costs one imagined sequence per model step.', 1, 64))
        declare('provider', RuntimeSettings.provider, parameters.text(
            'What runs the graphs: auto (as measured by "wmros check --prebuild", else cpu), '
            'tensorrt, cuda, openvino or cpu.'))
        declare('precision', RuntimeSettings.precision, parameters.text(
            'Numbers that the graphs compute in: auto (as measured, else float32), float32, '
            'float16 or bfloat16.'))
        declare('threads', RuntimeSettings.threads, parameters.whole(
            'Threads of one graph on the CPU; 0: as measured. One is the safe choice beside other '
            'work.', 0, 64))
        declare('cache', '', parameters.text(
            'Folder of measurements and compiled engines; empty: ~/.cache/world_model_ros.'))
        node.add_on_set_parameters_callback(self._check_change)

    def text(self, name: str) -> str:
        """Value of a text parameter."""
        return str(self._node.get_parameter(name).value)

    def real(self, name: str) -> float:
        """Value of a floating-point parameter."""
        return float(self._node.get_parameter(name).value)

    def whole(self, name: str) -> int:
        """Value of an integer parameter."""
        return int(self._node.get_parameter(name).value)

    def runtime(self) -> RuntimeSettings:
        """How graphs are to be run; raises ProviderError for words that mean nothing."""
        cache = self.text('cache')
        return RuntimeSettings(
            provider=self.text('provider'),  # type: ignore[arg-type]  # checked by RuntimeSettings
            precision=self.text('precision'),  # type: ignore[arg-type]
            threads=self.whole('threads'), cache=Path(cache) if cache else None)

    def note(self, name: str, value: str) -> None:
        """Let a parameter say what ``~/load_model`` has changed."""
        in_use, self.in_use = self.in_use, False
        self._node.set_parameters([Parameter(name, value=value)])
        self.in_use = in_use

    def check(self, horizon_duration: float) -> None:
        """
        Raise ValueError if parameters contradict each other or the model.

        :param horizon_duration: how far the model plans ahead [s]
        """
        reason = _contradiction(*(self.real(name) for name in _BOUND))
        if not reason and self.real('expected_latency') >= horizon_duration:
            reason = (f'expected_latency {self.real("expected_latency"):g} s is no shorter than '
                      f'the {horizon_duration:g} s that the model plans ahead: nothing would be '
                      'left to decide; lower it')
        if reason:
            raise ValueError(reason)

    def _check_change(self, changes: Sequence[Parameter]) -> SetParametersResult:
        new = {change.name: change.value for change in changes}
        values = [new.get(name, self._value_or(name)) for name in _BOUND]
        late = sorted(_LOADED_WITH & new.keys()) if self.in_use else []
        reason = (f'{late[0]} is read when the node is configured: clean it up first, or ask '
                  '~/load_model for another model') if late else ''
        reals = [value for value in values if isinstance(value, float)]
        if not reason and len(reals) == len(values):
            reason = _contradiction(*reals)
        return SetParametersResult(successful=not reason, reason=reason)

    def _value_or(self, name: str) -> object:
        """The value, or None while the node is still being constructed."""
        return self._node.get_parameter(name).value if self._node.has_parameter(name) else None


def _contradiction(rate: float, deadline: float, hung_after: float) -> str:
    if deadline * rate > 1.0:
        return (f'plan_deadline {deadline:g} s is longer than the {1 / rate:g} s between plans at '
                f'plan_rate {rate:g} Hz: lower one of them')
    if _OVERRUN * deadline > hung_after:
        return (f'plan_deadline {deadline:g} s is too near to hung_after {hung_after:g} s: plans '
                f'would count as hangs; raise hung_after to {_OVERRUN * deadline:g} s or more, or '
                'lower plan_deadline')
    return ''
