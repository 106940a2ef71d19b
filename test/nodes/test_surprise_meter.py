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
"""What ``~/surprise`` says of a model that plans no further than this or that."""

from pathlib import Path

import numpy as np
from small_models import HORIZON, KINDS, write_small_bundle

from world_model_interfaces.msg import Surprise
from world_model_ros.inference import RuntimeSettings
from world_model_ros.monitor import ActionLog
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.observer import Eye, Observation
from world_model_ros.nodes.robot_state import RobotMoment
from world_model_ros.nodes.surprise import SurpriseMeter
from world_model_ros.observation import Picture

S = 10**9


def test_expectations_go_as_far_as_the_model_imagines_where_more_steps_are_asked_for(
    tmp_path: Path,
) -> None:
    path = write_small_bundle(tmp_path, KINDS['recurrent']).path
    model = LoadedModel(path, RuntimeSettings(provider='cpu'), lambda text: None)
    action, log = model.manifest.action, ActionLog(60.0)
    log.add(S, action.step_duration, np.ones((100, 2), np.float32), S, action.meaning)
    said: list[Surprise] = []
    meter, eye = SurpriseMeter(HORIZON + 2, log, said.append), Eye(model, log)
    for look in range(3 * HORIZON):
        stamp = S + look * round(action.model_step * S)
        meter.see(eye.encode(Observation(
            stamp, '', {'': Picture(np.full((8, 8, 3), 10 * look, np.uint8))},
            RobotMoment(None, None))))
    model.close()
    assert (meter.watch.failures, len(said)) == (0, 3 * HORIZON - 1)
    assert len(said[-1].error) == HORIZON and np.isfinite(said[-1].error).all()
