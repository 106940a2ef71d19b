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

"""The parameters of ``world_model``: declared, read, and held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from world_model_ros.bringup.parameters import contradiction, nothing_to_decide
from world_model_ros.bringup.world_model_parameters import WORLD_MODEL
from world_model_ros.inference import RuntimeSettings
from world_model_ros.nodes import parameters

_LOADED_WITH = {'bundle', 'shadow_bundle', 'provider', 'precision', 'threads', 'cache',
                'surprise_steps'}
_BOUND = ('plan_rate', 'plan_deadline', 'hung_after')  # by what each says of the others


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
        parameters.declare(node, WORLD_MODEL)
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
        reason = (contradiction(*(self.real(name) for name in _BOUND))
                  or nothing_to_decide(self.real('expected_latency'), horizon_duration))
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
            reason = contradiction(*reals)
        return SetParametersResult(successful=not reason, reason=reason)

    def _value_or(self, name: str) -> object:
        """The value, or None while the node is still being constructed."""
        return self._node.get_parameter(name).value if self._node.has_parameter(name) else None
