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

"""What the controller says that it does: messages of its ``~/state`` to reports of execution."""

from __future__ import annotations

from time import monotonic

from world_model_interfaces.msg import ControllerState
from world_model_ros.monitor import Counters, Execution, Rate, SetpointReport
from world_model_ros.nodes.convert import to_nanoseconds
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.troubles import Troubles
from world_model_ros.observation import SetpointError, executed_action
from world_model_ros.payload import NAME_LENGTH


class ControllerReports:
    """Hands sound states on; what others say of the robot's actions is counted and explained."""

    def __init__(self, execution: Execution, counts: Counters, troubles: Troubles) -> None:
        self._execution, self._counts, self._troubles = execution, counts, troubles
        self.rate = Rate()

    def store(self, state: ControllerState, model: LoadedModel) -> None:
        """Take a state; ``model`` says what its numbers are to be."""
        self.rate.tick(monotonic())
        try:
            if len(state.plan_id) > NAME_LENGTH:
                raise SetpointError(f'the plan_id of a controller state has {len(state.plan_id)} '
                                    f'characters, {NAME_LENGTH} are the most')
            action = executed_action(
                state.names, state.position, state.velocity, model.manifest.action)
        except SetpointError as error:
            self._troubles.note('controller_states_refused', str(error))
            return
        self._troubles.over()
        self._execution.report(SetpointReport(
            to_nanoseconds(state.header.stamp), state.plan_id,
            to_nanoseconds(state.observation_stamp), action, state.stopped, state.accepted,
            state.refused, model.manifest.action.meaning))

    @property
    def problem(self) -> str:
        """Why the newest state is of no use; empty if it is."""
        return self._troubles.headline
