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
"""The film shows what happened, and is small enough for a README."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from world_model_ros.demo.film import FREEZE, GREEN, HEIGHT, RED, WIDTH, Take, write_film

DURATION = 1.0


def make_take(number: int, *, success: bool = True) -> Take:
    times = np.arange(0.0, DURATION + 0.01, 0.05)
    frames = np.full((len(times), 240, 320, 3), 200, np.uint8)
    for index, frame in enumerate(frames):
        frame[100:140, 10 * index:10 * index + 40] = (230, 110, 20)
    distances = 0.5 * np.exp(-3 * times)
    return Take(number, frames[-1], times, frames, times, distances, DURATION,
                float(distances[-1]), success)


def test_a_film_plays_its_takes_in_real_time_and_loops(tmp_path: Path) -> None:
    path = tmp_path / 'film.gif'
    assert write_film([make_take(1), make_take(2)], path, threshold=0.03) == 2
    with Image.open(path) as film:
        assert film.size == (WIDTH, HEIGHT)
        assert film.info['loop'] == 0
        shown = 0
        for index in range(film.n_frames):
            film.seek(index)
            shown += film.info['duration']
    assert shown == pytest.approx(2000 * (DURATION + FREEZE), abs=100)


def test_takes_are_left_off_until_the_file_is_small_enough(tmp_path: Path) -> None:
    path = tmp_path / 'film.gif'
    write_film([make_take(1)], path, threshold=0.03)
    limit = int(1.5 * path.stat().st_size)
    assert write_film([make_take(1), make_take(2)], path, threshold=0.03, size_limit=limit) == 1
    assert path.stat().st_size <= limit


@pytest.mark.parametrize(('success', 'colour'), [(True, GREEN), (False, RED)])
def test_the_last_picture_says_how_it_ended(
    tmp_path: Path, success: bool, colour: tuple[int, int, int]
) -> None:
    path = tmp_path / 'film.gif'
    write_film([make_take(1, success=success)], path, threshold=0.03)
    with Image.open(path) as film:
        film.seek(film.n_frames - 1)
        pixels = np.asarray(film.convert('RGB')).reshape(-1, 3)
    other = RED if success else GREEN
    counts = [int(np.all(np.abs(pixels.astype(int) - c) < 6, axis=1).sum())
              for c in (colour, other)]
    assert counts[0] > 400 > counts[1]


def test_a_run_without_an_episode_makes_no_film(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no episode'):
        write_film([], tmp_path / 'film.gif', threshold=0.03)
