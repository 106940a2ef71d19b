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
"""Pictures of several cameras are put together by their stamps, however they arrive."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from world_model_ros.observation import PictureSet, PictureSets

MS = 10**6
SKEW = 20 * MS
PERIOD = 33 * MS
MAX_AGE = 500 * MS

Arrival = tuple[str, int]


def feed(sets: PictureSets[Arrival], arrivals: Sequence[Arrival]) -> list[PictureSet[Arrival]]:
    """Each picture is its camera and stamp, so that a set shows what went into it."""
    return [found for arrival in arrivals
            if (found := sets.add(*arrival, arrival, SKEW, MAX_AGE)) is not None]


@st.composite
def arrivals(draw: st.DrawFn, cameras: Sequence[str]) -> list[Arrival]:
    """Cameras at their own rates and phases, with jitter and losses, whose messages overtake."""
    sent = []
    for camera in cameras:
        period = draw(st.integers(5, 80)) * MS
        phase = draw(st.integers(0, 79)) * MS
        for index in range(draw(st.integers(0, 12))):
            stamp = phase + index * period + draw(st.integers(0, 8)) * MS
            late = draw(st.sampled_from([0, 0, 0, 5, 40, 150])) * MS
            if draw(st.integers(0, 9)):
                sent.append((stamp + late, camera, stamp))
    return [(camera, stamp) for _, camera, stamp in sorted(sent)]


@given(arrivals(('a', 'b', 'c')))
def test_a_set_holds_one_picture_of_each_camera_near_the_first_ones_and_none_is_in_two(
    came: list[Arrival],
) -> None:
    found = feed(PictureSets(('a', 'b', 'c')), came)
    for one in found:
        assert list(one.pictures) == ['a', 'b', 'c']
        assert one.stamp == one.pictures['a'][1]
        for camera, (taken_by, stamp) in one.pictures.items():
            assert taken_by == camera
            assert abs(stamp - one.stamp) <= SKEW
    for earlier, later in pairwise(found):
        assert all(earlier.pictures[camera][1] < later.pictures[camera][1] for camera in 'abc')


@given(arrivals(('a', 'b')))
def test_nothing_that_fits_is_left_lying_once_the_first_camera_has_gone_on(
    came: list[Arrival],
) -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    used = {'a': -1, 'b': -1}
    waiting: dict[str, set[int]] = {'a': set(), 'b': set()}
    for camera, stamp in came:
        if stamp > used[camera]:
            waiting[camera].add(stamp)
        found = sets.add(camera, stamp, (camera, stamp), SKEW, MAX_AGE)
        if found is not None:
            used = {name: picture[1] for name, picture in found.pictures.items()}
            waiting = {name: {it for it in stamps if it > used[name]}
                       for name, stamps in waiting.items()}
        overtaken = sorted(waiting['a'])[:-1]
        assert found is not None or not [
            lead for lead in overtaken if any(abs(lead - it) <= SKEW for it in waiting['b'])]


@given(jitter=st.lists(st.integers(0, 3), min_size=24, max_size=24),
       order=st.lists(st.permutations(['a', 'b', 'c']), min_size=8, max_size=8))
def test_cameras_that_are_triggered_together_make_a_set_at_the_moment_that_the_last_has_come(
    jitter: list[int], order: list[list[str]],
) -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b', 'c'))
    for shot, cameras in enumerate(order):
        stamps = {camera: shot * PERIOD + jitter[3 * shot + place] * MS
                  for place, camera in enumerate('abc')}
        found = [feed(sets, [(camera, stamps[camera])]) for camera in cameras]
        assert [len(one) for one in found] == [0, 0, 1]
        assert {camera: it[1] for camera, it in found[-1][0].pictures.items()} == stamps
    assert set(sets.unpaired.values()) == {0}


def test_a_picture_that_is_near_enough_waits_for_a_nearer_one_that_is_about_to_come() -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    assert not feed(sets, [('b', 0), ('b', 18 * MS)])  # every 18 ms
    assert not feed(sets, [('a', 35 * MS)])  # 17 ms apart: the next is due 1 ms after it
    (one,) = feed(sets, [('b', 36 * MS)])
    assert one.pictures == {'a': ('a', 35 * MS), 'b': ('b', 36 * MS)}
    assert sets.unpaired == {'a': 0, 'b': 2}


def test_it_waits_no_longer_than_until_the_first_cameras_next_picture() -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    assert not feed(sets, [('b', 0), ('b', 18 * MS), ('a', 35 * MS)])
    (one,) = feed(sets, [('a', 68 * MS)])  # the nearer one was lost
    assert one.stamp == 35 * MS and one.pictures['b'] == ('b', 18 * MS)


def test_a_late_picture_completes_the_moment_that_it_belongs_to_unless_a_newer_is_out() -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    found = feed(sets, [('a', 0), ('a', PERIOD), ('b', 0)])
    assert [one.stamp for one in found] == [0]
    found = feed(sets, [('b', 2 * PERIOD), ('a', 2 * PERIOD), ('b', PERIOD)])
    assert [one.stamp for one in found] == [2 * PERIOD]
    assert sets.is_late('b', PERIOD)
    assert sets.unpaired == {'a': 1, 'b': 1}


def test_who_is_behind_and_by_how_much_is_known() -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    assert sets.behind() == {}
    feed(sets, [('a', 100 * MS), ('b', 40 * MS)])
    assert sets.behind() == {'a': 0, 'b': 60 * MS}
    assert sets.gap() is None  # one picture of each tells nothing: the next may fit
    feed(sets, [('a', 200 * MS), ('b', 140 * MS)])
    gap = sets.gap()
    assert gap is not None and gap.camera == 'b' and gap.newer == 40 * MS


def test_what_waits_for_a_silent_camera_is_no_older_than_what_could_still_be_used() -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    feed(sets, [('a', index * PERIOD) for index in range(31)])
    assert sets.unpaired['a'] == 15
    assert not feed(sets, [('b', 14 * PERIOD)])
    assert [one.stamp for one in feed(sets, [('b', 15 * PERIOD)])] == [15 * PERIOD]


def test_the_gap_between_cameras_slower_than_pictures_age_is_known() -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    assert not feed(sets, [('a', 0), ('b', 400 * MS), ('a', 1000 * MS), ('b', 1400 * MS)])
    assert sets.gap() == ('b', 400 * MS)


def test_what_waits_for_a_silent_camera_is_bounded_and_counted() -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    feed(sets, [('a', index * MS) for index in range(1000)])
    assert 900 < sets.unpaired['a'] < 1000
    (one,) = feed(sets, [('b', 999 * MS)])
    assert one.stamp == 999 * MS


def test_after_the_clock_was_set_back_sets_come_again() -> None:
    sets: PictureSets[Arrival] = PictureSets(('a', 'b'))
    feed(sets, [('a', 1000 * MS), ('b', 1000 * MS)])
    assert not feed(sets, [('a', 0), ('b', 0)])
    sets.clear()
    assert len(feed(sets, [('a', 0), ('b', 0)])) == 1


def test_one_camera_waits_for_nobody() -> None:
    assert [one.stamp for one in feed(PictureSets(('',)), [('', 5), ('', 3), ('', 3)])] == [5, 3, 3]
