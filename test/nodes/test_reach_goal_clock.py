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

"""The time limit of a goal by a clock that a simulation gives, and that jumps."""

from pathlib import Path
from typing import Any

from action_msgs.msg import GoalStatus
from dds import RELIABLE
from rosgraph_msgs.msg import Clock
from toy_bundle import write_toy_bundle
from world_model_robot import outcome, picture, reach, running

from world_model_interfaces.action import ReachGoal
from world_model_ros.nodes.convert import to_stamp

S = 10**9
LIMIT = 1.0


def test_a_time_limit_counts_what_passes_and_not_what_the_clock_jumps_over(
    tmp_path: Path,
) -> None:
    with running(tmp_path, write_toy_bundle(tmp_path / 'toy'), use_sim_time=True) as graph:
        feedback: list[Any] = []
        goal = ReachGoal.Goal(image=picture([0.6, -0.4]), time_limit=LIMIT)
        handle = reach(graph, goal, feedback)
        ended = handle.get_result_async()
        graph.wait_for(lambda: len(feedback) > 2, 5, 'feedback before the first /clock')
        assert feedback[-1].elapsed == 0.0
        clock, now = graph.publisher(Clock, '/clock', RELIABLE), [0]

        def tick() -> None:
            now[0] += S // 100
            clock.publish(Clock(clock=to_stamp(now[0])))

        for start in (1_700_000_000 * S, 1_800_000_000 * S, 5 * S):
            before, now[0] = feedback[-1].elapsed, start
            with graph.every(0.01, tick):
                graph.wait_for(lambda before=before: feedback[-1].elapsed > before + 0.1, 5,
                               'time to pass after the clock has jumped')
            assert feedback[-1].elapsed < LIMIT and not ended.done()
        with graph.every(0.01, tick):
            late = outcome(graph, handle)
        assert late.status == GoalStatus.STATUS_ABORTED and 'time limit 1 s' in late.result.reason
