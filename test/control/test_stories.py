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
"""No story of plans, gaps, jumps, pushes, stops and heartbeats leads outside the limits.

What must hold after every tick is in ``control_bench.Bench.judge``: setpoints are finite, inside
position and velocity limits, change by no more than the acceleration limit allows in the time that
the steady clock has granted, only brake when there is nothing fit to follow, and never follow a
plan from before they last braked, or from before a reset.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from control_bench import CONTRACT, LIMITS, PERIOD, SECOND, TWIST, Bench
from hypothesis import example, given, settings
from hypothesis import strategies as st

from world_model_ros.control import Kind, Proposal, Rung, Settings

EVENTS: Counter[str] = Counter()
RUNGS: Counter[Rung] = Counter()

# What a healthy robot and model do, or there would be no motion to disturb, and all the rest.
USUAL = ('go on', 'plan', 'plan', 'tick on', 'tick on')
ODD = (
    'odd plan', 'poisoned plan', 'foreign plan', 'blind ticks', 'late tick', 'jump',
    'standing clock', 'push', 'frozen joints', 'contradiction', 'bad joints', 'enable', 'disable',
    'stop', 'reset', 'heartbeat', 'other model',
)  # fmt: skip


class Story(Bench):
    """A bench that plays events by chance, and remembers what was asked of the controller."""

    enabled, stopped, digest = True, False, 'digest'
    random = Random(0)

    def play(self, what: str) -> None:
        EVENTS[what] += 1
        getattr(self, what.replace(' ', '_'))()
        self.moving = self.enabled and not self.stopped
        assert self.control.emergency.latched == self.stopped

    def rows(self, largest: float = 2.0) -> Any:
        count = self.random.randint(1, 12)
        return [[self.random.uniform(-largest, largest) for _ in range(2)] for _ in range(count)]

    def made(self, rows: Any, age: float = 0.0) -> Proposal:
        return replace(self.proposal(rows, age), model_digest=self.digest)

    def go_on(self) -> None:
        """Do what it takes to move again, as people and a healthy model would, and move."""
        if not self.enabled:
            self.enable()
        if self.spline is None:  # which is never led outside the limits
            self.robot = np.clip(self.robot, -0.4, 0.4)
        self.let_tick(12)
        if (problem := self.control.robot.problem(self.now)) is not None:
            self.let_tick(100 if problem.code == 'contradiction' else 12)
        if self.stopped:
            self.let_tick(20)
            self.reset('safe')
            self.enable()  # which alone lets it go on to the goal of before
        if self.control.contract is None or self.control.contract.names != self.limits.names:
            self.announce(self.limits.names)
        self.control.pulse.hear(1, '', self.steady)
        for _ in range(self.random.randint(1, 2)):
            self.accept(self.made(self.rows(), 0.0))
            self.let_tick(self.random.choice([1, 3, 5, 8, 32]))

    def plan(self) -> None:
        self.accept(self.made(self.rows(), self.random.uniform(0.0, 0.15)))

    def odd_plan(self) -> None:
        self.accept(self.made(self.rows(5.0), self.random.uniform(-0.3, 12.0)))

    def poisoned_plan(self) -> None:
        proposal = self.made(self.rows())
        bad = self.random.choice([np.nan, np.inf, -np.inf, 3e38, 27.5])
        proposal.data[self.random.randrange(len(proposal.data))] = bad
        assert self.accept(proposal) is not None

    def foreign_plan(self) -> None:
        assert self.accept(replace(self.made(self.rows()), model_digest='foreign')) is not None

    def let_tick(self, count: int, **how: Any) -> None:
        for _ in range(count):
            self.moving = self.enabled and not self.stopped
            RUNGS[super().tick(**how).rung] += 1

    def tick_on(self) -> None:
        self.let_tick(self.random.randint(1, 3))

    def blind_ticks(self) -> None:
        self.let_tick(self.random.randint(1, 10), see=False)

    def late_tick(self) -> None:
        self.let_tick(1, elapsed=round(self.random.uniform(0.0, 0.9) * SECOND))

    def jump(self) -> None:
        far = self.random.choice([0.3, 3.0, 30.0])
        elapsed = round(self.random.uniform(-far, far) * SECOND)
        self.let_tick(1, elapsed=elapsed, steady=PERIOD, see=self.random.random() < 0.5)

    def standing_clock(self) -> None:
        self.let_tick(self.random.randint(1, 20), elapsed=0, steady=PERIOD)

    def push(self) -> None:
        far = self.random.choice([0.03, 0.3, 3.0])
        self.robot = self.robot + [self.random.uniform(-far, far) for _ in range(2)]

    def frozen_joints(self) -> None:
        where = self.robot
        for _ in range(self.random.randint(1, 18)):
            self.robot = where
            self.let_tick(1)

    def contradiction(self) -> None:
        by = self.random.uniform(-1.0, 1.0)
        for tick in range(self.random.randint(1, 10)):
            where = self.robot
            self.robot = where + by * (tick % 2)
            self.let_tick(1)
            self.robot = where

    def bad_joints(self) -> None:
        position = [self.random.choice([np.nan, np.inf]), 0.0]
        assert self.control.observe(self.now, self.control.robot.joints, position, [], self.now)

    def enable(self) -> None:
        if self.control.standing:
            self.last = None  # what it did before says nothing of how it begins
        self.control.enable(self.now)
        self.fit.clear()
        self.enabled, self.since = True, self.now

    def disable(self) -> None:
        self.control.disable()
        self.enabled = False

    def stop(self) -> None:
        self.control.emergency.stop('a story')
        self.stopped = True

    def reset(self, reason: str | None = None) -> None:
        reason = self.random.choice(['', 'safe']) if reason is None else reason
        if self.control.reset(reason, self.now):
            return
        assert reason and self.control.standing
        self.fit.clear()
        self.stopped, self.since = False, self.now

    def heartbeat(self) -> None:
        self.control.pulse.hear(self.random.randint(-1, 5), 'a text', self.steady)

    def other_model(self) -> None:
        self.announce(self.random.choice([self.limits.names, ('a', 'b')]))

    def announce(self, names: tuple[str, ...]) -> None:
        self.digest += '+'
        self.control.announce(
            replace(CONTRACT, digest=self.digest, kind=self.kind, names=names, frame='base'))
        self.fit.clear()


def story(kind: Kind, loop: bool) -> Story:
    if kind in (Kind.TWIST, Kind.POSE_DELTA):
        contract = replace(CONTRACT, kind=kind, names=TWIST.names, frame='base')
        return Story(Settings(), contract, replace(TWIST))
    # A copy of the limits, since the last test spoils them.
    return Story(
        Settings(closes_position_loop=loop), replace(CONTRACT, kind=kind), replace(LIMITS))


seeds = st.integers(0, 2**32 - 1)
lengths = st.integers(30, 80)
kinds = st.sampled_from(list(Kind))


def tell(seed: int, length: int, kind: Kind, loop: bool) -> Story:
    bench = story(kind, loop)
    bench.random = Random(seed)
    for _ in range(length):
        bench.play(bench.random.choice(USUAL if bench.random.random() < 0.45 else ODD))
    return bench


@settings(max_examples=420, deadline=None)
@given(seeds, lengths, kinds, st.booleans())
@example(3616310796, 78, Kind.JOINT_POSITION, True)  # the clock jumps while an arm is being led
@example(2911, 30, Kind.JOINT_POSITION, True)  # a lead ends while nothing is sent
def test_no_story_leads_outside_the_limits_or_replays_what_is_left_of_a_plan(
    seed: int, length: int, kind: Kind, loop: bool
) -> None:
    tell(seed, length, kind, loop)


@settings(max_examples=20, deadline=None)
@given(seeds, lengths, kinds, st.booleans())
def test_after_every_story_the_robot_goes_on_when_all_is_well_again(
    seed: int, length: int, kind: Kind, loop: bool
) -> None:
    bench = tell(seed, length, kind, loop)
    bench.robot = np.zeros(2)
    bench.let_tick(150)
    bench.announce(bench.limits.names)
    bench.control.pulse.hear(1, '', bench.steady)
    bench.reset('the story is over')
    bench.enable()
    bench.let_tick(5)
    refusal = bench.accept(bench.made([[0.01, 0.01]] * 8))
    assert refusal is None, refusal
    bench.let_tick(1)
    assert bench.last is not None and bench.last.rung is Rung.TRACK


@pytest.mark.parametrize('kind', list(Kind))
def test_the_judge_of_the_stories_notices_a_controller_that_breaks_its_rules(kind: Kind) -> None:
    """Without this, the property above could hold because nobody looks."""
    def faster(bench: Story) -> None:
        limits = bench.control.limits
        object.__setattr__(limits, 'acceleration', 3.0 * limits.acceleration)

    def forgetful(bench: Story) -> None:
        bench.control._forget = lambda cause: None  # type: ignore[method-assign]

    sabotages: list[Callable[[Story], None]] = [faster, forgetful]
    for sabotage in sabotages:
        bench = story(kind, loop=False)
        bench.limits = replace(bench.limits)
        sabotage(bench)
        with pytest.raises(AssertionError):
            bench.accept(bench.made([(1.0, 0.5)] * 12))
            bench.let_tick(5)
            bench.let_tick(20, see=False)
            bench.let_tick(40)


def test_the_stories_were_many_and_of_everything() -> None:
    """Tell those that are missing, if this test runs alone."""
    for seed in range(600):
        if EVENTS.total() >= 20_000:
            break
        tell(seed, 80, list(Kind)[seed % len(Kind)], seed % 2 == 0)
    print(f'{EVENTS.total()} events: {dict(EVENTS)}; {dict(RUNGS)}')
    assert EVENTS.total() >= 20_000
    assert set(EVENTS) >= {*USUAL, *ODD} and min(EVENTS.values()) >= 100
    assert min(RUNGS[rung] for rung in Rung) >= 100, 'every rung is stood on'
