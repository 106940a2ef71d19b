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

"""How a process of this package ends, and whether whoever started it starts it again."""

import os
import signal

# Told to end, it was stuck on its way out and was ended by its own alarm.
STUCK = -signal.SIGALRM
# A parameter has a value that it cannot have: the next start would end in the same way.
MISCONFIGURED = os.EX_CONFIG


def why_down(exit_code: int) -> str:
    """
    Return why a process that has ended is not to be started again, or '' if it is.

    exit_code: as ``subprocess`` and ``launch`` have it, negative for a signal
    """
    return {
        0: 'was told to end',
        STUCK: 'was told to end, and was stuck: see the stacks of its threads above',
        MISCONFIGURED: 'cannot run with its parameters: correct them and start it again',
    }.get(exit_code, '')
