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
"""Shows what the robot does and why, what it is about to do, and what is wrong.

    .venv/bin/python docs/examples/watch.py

A line for each change of the controller's rung or cause and each complaint in /diagnostics (not for
one that differs in a number only), and once a second what the plan is expected to lead to. Of two
robots, the one in its own namespace (--ros-args -r __ns:=/left). docs/tutorial.md uses it.
"""

import re
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data

from world_model_interfaces.msg import ControllerState, Forecast

RUNGS = {ControllerState.TRACK: 'TRACK', ControllerState.FINISH: 'FINISH',
         ControllerState.DECELERATE: 'DECELERATE', ControllerState.HOLD: 'HOLD'}
LEVELS = {DiagnosticStatus.WARN: 'WARN', DiagnosticStatus.ERROR: 'ERROR'}
FORECAST_PERIOD = 1.0  # s


def without_numbers(text: str) -> str:
    """Return what a text says, whatever it counts or measures."""
    return re.sub(r'"[^"]*"|\d[\d.]*', '', text)


class Watch(Node):
    """Prints; owns nothing and publishes nothing."""

    def __init__(self) -> None:
        super().__init__('watch')
        self._began = time.monotonic()
        self._said = ('', '')
        self._complaints: dict[str, str] = {}
        self._forecast_due = 0.0
        self.create_subscription(
            ControllerState, 'controller/state', self._on_state, qos_profile_sensor_data)
        self.create_subscription(Forecast, 'world_model/forecast', self._on_forecast, 1)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)

    def _say(self, what: str, text: str) -> None:
        print(f'{time.monotonic() - self._began:6.2f} s  {what:10}  {text}', flush=True)

    def _on_state(self, state: ControllerState) -> None:
        now = (RUNGS[state.rung], without_numbers(state.cause))
        if now != self._said:
            self._said = now
            self._say(RUNGS[state.rung], state.cause)

    def _on_forecast(self, forecast: Forecast) -> None:
        if time.monotonic() < self._forecast_due or not forecast.cost:
            return
        self._forecast_due = time.monotonic() + FORECAST_PERIOD
        ahead = len(forecast.cost) * forecast.model_step
        self._say('forecast', f'in {ahead:.1f} s at distance {forecast.cost[-1]:.3f} from the goal')

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            text = without_numbers(status.message) if status.level in LEVELS else ''
            if text != self._complaints.get(status.name, ''):
                self._say(LEVELS.get(status.level, 'fine'), f'{status.name}: {status.message}')
            self._complaints[status.name] = text


def main() -> None:
    """Watch until Ctrl-C."""
    rclpy.init()
    try:
        rclpy.spin(Watch())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
