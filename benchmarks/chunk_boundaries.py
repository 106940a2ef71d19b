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
"""Chunk boundaries: does the robot feel where one plan ends and the next one begins?

The real controller process is sent plans at 10 Hz that do not agree with each other, each of them
20 to 200 ms old on arrival, and a recorder with a deep queue takes every setpoint off the wire. At
every boundary and in between, a setpoint may differ from the one before by no more than one control
period of the acceleration limit allows:

    velocity  |v' - v| <= a dt                 dt: from one setpoint to the next, by their stamps
    position  |q' - q - (v + v') / 2 dt| <= a dt^2

What is allowed is never less than in one nominal period. After a tick that the machine delayed
beyond two periods (they are counted) a velocity goes on from where it was: dt is two periods, and
the position may lag behind uniform motion. A trajectory goes on from where the last one has led the
robot meanwhile, so that dt stays what it was. At rest a setpoint may be anchored anew where the
robot is, and so may one in motion after a pause in which a robot that takes velocities may have
stopped; both are counted.

    python benchmarks/chunk_boundaries.py --boundaries 1000 --json chunk_boundaries.json
    python benchmarks/chunk_boundaries.py --interface trajectory --kind position

The exit code is 0 if no setpoint broke either rule. It takes a tenth of a second per boundary.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1] / 'test'),
                str(Path(__file__).parents[1] / 'test' / 'nodes')]

from builtin_interfaces.msg import Time  # noqa: E402
from controller_robot import ACCELERATION, UPPER, VELOCITY, Robot, stamp_of, start  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from world_model_interfaces.msg import ActionProposal, ControllerState, Tensor  # noqa: E402
from world_model_ros.control import STRETCH  # noqa: E402
from world_model_ros.control.drive import UNTOLD  # noqa: E402

KINDS = {'velocity': ActionProposal.JOINT_VELOCITY, 'position': ActionProposal.JOINT_POSITION,
         'delta': ActionProposal.JOINT_DELTA}
LATENCY = (0.02, 0.2)  # s
PLAN_PERIOD, STEP, ROWS = 0.1, 0.1, 8  # s, s
LATE_AFTER = 0.4  # s: later than the oldest plan between two of them
CONTROL_PERIOD = 0.01  # s
ROUNDING = 1e-9


class Planner:
    """Plans that do not agree with each other, published when their latency is over."""

    def __init__(self, robot: Robot, kind: int, seed: int) -> None:
        self._robot, self._kind = robot, kind
        self._random = np.random.default_rng(seed)
        self._pending: list[tuple[int, ActionProposal]] = []

    def observe(self) -> None:
        """Begin a plan from what the robot looks like now."""
        robot, stamp = self._robot, self._robot.graph.now()
        latency = self._random.uniform(*LATENCY)
        proposal = robot.proposal([0.0, 0.0], header=Header(stamp=stamp_of(stamp)),
                                  step_duration=STEP, values=self._values())
        self._pending.append((stamp + round(latency * 1e9), proposal))

    def publish_due(self) -> None:
        """Publish the plans whose latency is over."""
        now = self._robot.graph.now()
        for due in [due for due in self._pending if due[0] <= now]:
            self._pending.remove(due)
            self._robot.proposals.publish(due[1])

    def _values(self) -> Tensor:
        """Return motion back to the middle, plus something else in every plan and every row."""
        random, q = self._random, self._robot.position
        velocity = -0.6 * q + random.uniform(-1.4, 1.4, 2) + random.uniform(-0.3, 0.3, (ROWS, 2))
        rows = {ActionProposal.JOINT_VELOCITY: velocity,
                ActionProposal.JOINT_DELTA: velocity * STEP,
                ActionProposal.JOINT_POSITION: q + random.uniform(-0.2, 0.2, 2)
                + np.cumsum(velocity * STEP, axis=0)}[self._kind].clip(-UPPER, UPPER)
        return Tensor(shape=list(rows.shape), data=rows.astype(np.float32).ravel().tolist())


def record(interface: str, kind: str, boundaries: int, seed: int, within: float) -> Robot:
    """Return a robot that has seen so many boundaries; everything on the wire is in its lists."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        robot, process = start(stack, Path(directory), interface, idle=True, late_after=LATE_AFTER)
        graph = robot.graph
        robot.kind = KINDS[kind]
        robot.announce()
        planner = Planner(robot, robot.kind, seed)
        graph.wait_for(lambda: bool(robot.states) and len(robot.states[-1].position) == 2, 10.0,
                       'a robot that is seen')
        seen, count = 0, 0

        def enough() -> bool:
            nonlocal seen, count
            while seen < len(robot.states) - 1:
                count += is_boundary(robot.states[seen], robot.states[seen + 1])
                seen += 1
            return count >= boundaries

        with graph.every(PLAN_PERIOD, planner.observe), graph.every(0.002, planner.publish_due):
            graph.wait_for(enough, within, f'{boundaries} boundaries; {robot.states[-1:]}')
        if graph.end(process):
            raise RuntimeError(graph.output(process))
    return robot


def is_boundary(before: ControllerState, after: ControllerState) -> bool:
    """Whether one plan took over from another between two setpoints."""
    return bool(before.plan_id and after.plan_id and before.plan_id != after.plan_id)


def analyse(robot: Robot) -> dict[str, Any]:
    """Return the figures of a recording."""
    states = [state for state in robot.states if len(state.position)]
    first = states[0].header.stamp.sec  # doubles of whole epochs are too coarse
    times = np.array([seconds(state.header.stamp, first) for state in states])
    q = np.array([state.position for state in states])
    v = np.array([state.velocity for state in states])
    elapsed = np.diff(times)[:, None]
    is_velocity = robot.interface == 'velocity'
    dt = np.minimum(elapsed, STRETCH * CONTROL_PERIOD) if is_velocity else elapsed
    boundary = np.array([is_boundary(*pair) for pair in pairwise(states)])
    velocity_jump = np.abs(np.diff(v, axis=0))
    moved, uniform = np.diff(q, axis=0), (v[1:] + v[:-1]) / 2.0 * dt
    late = elapsed > STRETCH * CONTROL_PERIOD
    between = np.clip(moved, np.minimum(uniform, 0.0), np.maximum(uniform, 0.0))
    expected = np.where(late & is_velocity, between, uniform)
    position_jump = np.abs(moved - expected)
    period = np.maximum(dt, CONTROL_PERIOD)
    allowed = {'velocity': ACCELERATION * period, 'position': ACCELERATION * period * period}
    anchored = np.all(v[1:] == 0.0, axis=1) & np.all(v[:-1] == 0.0, axis=1)
    anew = anchored & np.any(position_jump > allowed['position'] + ROUNDING, axis=1)
    position_jump[anchored] = 0.0
    paused = is_velocity & (elapsed[:, 0] > UNTOLD)
    position_jump[paused] = velocity_jump[paused] = 0.0
    broken = (velocity_jump > allowed['velocity'] + ROUNDING) | (
        position_jump > allowed['position'] + ROUNDING)
    ages = [times[k + 1] - seconds(states[k + 1].observation_stamp, first)
            for k in np.flatnonzero(boundary)]
    rungs = np.array([state.rung for state in states])
    return {
        'setpoints': len(states),
        'boundaries': int(boundary.sum()),
        'plan_age_at_boundary_ms': [round(1e3 * float(f(ages)), 1)
                                    for f in (np.min, np.median, np.max)],
        'tracking_share': round(float(np.mean(rungs == ControllerState.TRACK)), 4),
        'largest_velocity_step_at_boundary': float(velocity_jump[boundary].max()),
        'largest_velocity_step': float(velocity_jump.max()),
        'one_nominal_period_allows': ACCELERATION * CONTROL_PERIOD,
        'worst_velocity_ratio_at_boundary': ratio(velocity_jump, allowed['velocity'], boundary),
        'worst_velocity_ratio': ratio(velocity_jump, allowed['velocity'], ~boundary | boundary),
        'worst_position_ratio_at_boundary': ratio(position_jump, allowed['position'], boundary),
        'worst_position_ratio': ratio(position_jump, allowed['position'], ~boundary | boundary),
        'ticks_over_two_periods': int(late.sum()),
        'longest_period_ms': round(1e3 * float(elapsed.max()), 2),
        'anchored_anew_at_rest': int(anew.sum()),
        'begun_anew_after_a_pause': int(paused.sum()),
        'setpoints_that_broke_a_rule': int(np.any(broken, axis=1).sum()),
        'setpoints_outside_limits': int(np.sum(
            np.any(np.abs(q) > UPPER + ROUNDING, axis=1)
            | np.any(np.abs(v) > VELOCITY + ROUNDING, axis=1))),
        'commands_unlike_their_state': unlike(robot),
    }


def ratio(jump: np.ndarray, allowed: np.ndarray, where: np.ndarray) -> float:
    """Return the largest part of what is allowed that was used; 1 is all of it."""
    return round(float(np.max(jump[where] / allowed[where])), 6)


def unlike(robot: Robot) -> int:
    """Count commands that do not say what the state published with them says."""
    sent = [list(state.velocity) for state in robot.states if len(state.position)]
    if robot.interface == 'velocity':
        got = [list(command.data) for command in robot.velocities]
    else:
        got = [list(message.points[0].velocities) for message in robot.trajectories]
    def differ(got: list[list[float]]) -> int:
        count = min(len(got), len(sent))  # a recorder may discover one publisher a little later
        return sum(a != b for a, b in zip(got[-count:], sent[-count:], strict=True))

    # The last command of all may go without a state.
    return min(differ(got), differ(got[:-1]))


def seconds(stamp: Time, first: int) -> float:
    """Return a stamp in seconds since the whole second ``first``."""
    return float(stamp.sec - first) + 1e-9 * float(stamp.nanosec)


def main() -> int:
    """Record, print the figures, and return 0 if every setpoint kept to the rules."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--boundaries', type=int, default=1000)
    parser.add_argument('--interface', choices=['velocity', 'trajectory'], default='velocity')
    parser.add_argument('--kind', choices=list(KINDS), default='velocity')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    robot = record(options.interface, options.kind, options.boundaries, options.seed,
                   within=30.0 + options.boundaries)
    figures = {'interface': options.interface, 'kind': options.kind, 'seed': options.seed,
               **analyse(robot)}
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f'{name:{width}}  {value}')
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + '\n')
    return int(bool(figures['setpoints_that_broke_a_rule'] or figures['setpoints_outside_limits']))


if __name__ == '__main__':
    sys.exit(main())
