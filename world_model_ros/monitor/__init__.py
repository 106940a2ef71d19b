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

"""What a node says about itself: counts, rates, latencies, health, and how well a model foresees.

No ROS in here: times are passed in or come from a clock that is, and a node turns :class:`Health`
into a ``diagnostic_msgs/DiagnosticStatus``.
"""

from world_model_ros.monitor.action_log import ActionLog
from world_model_ros.monitor.activity import NO_GOAL, Activity, Sight, assess
from world_model_ros.monitor.camera import Arrivals, FrozenPicture, JointMotion, overdue_after
from world_model_ros.monitor.execution import SILENCE, Course, Execution, Schedule, SetpointReport
from world_model_ros.monitor.health import Health, Level
from world_model_ros.monitor.plan_turns import PlanTurns
from world_model_ros.monitor.reachability import Reachability
from world_model_ros.monitor.statistics import Counters, PercentileWindow, Rate
from world_model_ros.monitor.surprise import Foresight, Judgement, judge
from world_model_ros.monitor.worker_watch import WorkerWatch

__all__ = [
    'NO_GOAL',
    'SILENCE',
    'ActionLog',
    'Activity',
    'Arrivals',
    'Counters',
    'Course',
    'Execution',
    'Foresight',
    'FrozenPicture',
    'Health',
    'JointMotion',
    'Judgement',
    'Level',
    'PercentileWindow',
    'PlanTurns',
    'Rate',
    'Reachability',
    'Schedule',
    'SetpointReport',
    'Sight',
    'WorkerWatch',
    'assess',
    'judge',
    'overdue_after',
]
