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
"""Nodes that come back when they die, for launch files.

launch's own `respawn` waits equally long each time, and starts even what a person has ended. Here
each start is a new action, and the delay grows with every early death; a node that was told to end,
by SIGTERM or SIGINT, stays down, and so does one whose parameters are wrong. A node comes up by its
parameter `autostart`: a lifecycle transition that launch asks for by service can be lost to the
server of the process that just died, whom DDS still believes alive.
"""

import time
from collections.abc import Callable

from launch.actions import LogInfo, OpaqueFunction, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch_ros.actions import Node

from launch import Action, LaunchContext
from world_model_ros.bringup.back_off import BackOff
from world_model_ros.bringup.endings import why_down


def respawning(make_node: Callable[[], Node], back_off: BackOff) -> Action:
    """Return the action that starts a node, and starts it again whenever it dies.

    `make_node` returns a new action of the same node each time that it is called.
    """
    def start(_: LaunchContext) -> list[Action]:
        node, started = make_node(), time.monotonic()

        def again(event: ProcessExited, context: LaunchContext) -> list[Action]:
            if context.is_shutdown:
                return []
            if why := why_down(event.returncode):
                return [LogInfo(msg=f'{event.process_name} {why}; it is not started again')]
            delay = back_off.after(time.monotonic() - started)
            return [
                LogInfo(msg=f'{event.process_name} ended with exit code {event.returncode}: '
                            f'it is started again in {delay:g} s'),
                TimerAction(period=delay, actions=[OpaqueFunction(function=start)])]

        exited = OnProcessExit(target_action=node, on_exit=again, handle_once=True)
        return [RegisterEventHandler(exited), node]

    return OpaqueFunction(function=start)
