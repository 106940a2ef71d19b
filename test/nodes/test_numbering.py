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
"""What is told without ROS is numbered as the messages number it: nothing translates."""

from enum import IntEnum
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from world_model_interfaces.msg import ActionProposal, ControllerState, Heartbeat
from world_model_ros.control import Kind, Rung
from world_model_ros.monitor import Activity, Level


@pytest.mark.parametrize(('words', 'message'), [
    (Kind, ActionProposal), (Rung, ControllerState), (Activity, Heartbeat),
    (Level, DiagnosticStatus),
])
def test_words_have_the_numbers_of_their_message(words: type[IntEnum], message: Any) -> None:
    for word in words:
        number = getattr(message, word.name)
        assert word == (number[0] if isinstance(number, bytes) else number), word.name
