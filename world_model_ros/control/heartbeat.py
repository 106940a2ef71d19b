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
"""What the model says of itself, so that the controller can say why no proposals come.

The ladder does not depend on it: that goes by the age of observations. The heartbeat tells "the
goal has ended" from "the model has died". A model that says that it failed, or that its goal has
ended, stops the robot at once instead of when its last plan is too old. One that cannot see does
not: how long a plan may be followed unseen is what the ladder decides.
"""

from world_model_ros.control.ladder import Cause
from world_model_ros.control.proposal import seconds
from world_model_ros.monitor import Activity, Counters, Level
from world_model_ros.payload import shorten

# Silence that means that the model is gone; heartbeats come at 20 Hz.
SILENCE = 0.5  # s
LONGEST_TEXT = 500  # characters


class ModelPulse:
    """The newest heartbeat, and how long ago it was heard by the steady clock [ns]."""

    def __init__(self) -> None:
        self.activity: Activity | None = None
        self.text = ''
        self.refused = Counters('activity', 'digest')
        self._heard = 0

    def hear(self, activity: int, text: str, steady: int) -> str:
        """Take a heartbeat heard at ``steady``; return why it is refused, or ''."""
        if activity not in list(Activity):
            self.refused.add('activity')
            return f'activity {activity} is unknown: build both sides with the same messages'
        self.activity, self.text, self._heard = (
            Activity(activity), shorten(text, LONGEST_TEXT), steady)
        return ''

    def silent(self, steady: int) -> bool:
        """Whether a model that has been heard is heard no more."""
        return self.activity is not None and seconds(steady - self._heard) > SILENCE

    def failure(self, steady: int) -> Cause | None:
        """Return why the model must not be followed, or None."""
        if self.activity is not Activity.FAILED or self.silent(steady):
            return None
        return Cause('model_failed', Level.ERROR, f'the model failed: {self.text}')

    def explain(self, cause: Cause, steady: int) -> Cause:
        """Return the better account of why there is nothing (new) to follow, or ``cause``."""
        if self.activity is None:
            return cause
        if self.silent(steady):
            return Cause(
                'model_silent', Level.WARN,
                'the model has gone silent: see whether world_model runs, and its log',
            )
        if self.activity is Activity.IDLE:
            return Cause('model_idle', Level.OK, f'the model has no goal{_in_brackets(self.text)}')
        if self.activity is Activity.BLIND:
            return Cause(
                'model_blind', Level.WARN,
                f'the model lacks usable observations{_in_brackets(self.text)}: see the camera and '
                'the diagnostics of world_model',
            )
        return cause


def _in_brackets(text: str) -> str:
    return f' ({text})' if text else ''
