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

"""The demo's film: what the camera saw, what the goal picture shows, how the distance fell.

A film says in ten seconds what a table of figures cannot: that the robot goes where the picture
says. The director node records takes (:class:`Take`); this module draws them, without ROS, after
the run, so that drawing takes no processor time from the planner while it is being measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]
Pixels = NDArray[np.uint8]
Seconds = NDArray[np.float64]
Metres = NDArray[np.float64]

INK: Rgb = (230, 234, 240)
MUTED: Rgb = (139, 149, 164)
FAINT: Rgb = (48, 56, 69)
PAPER: Rgb = (15, 19, 26)
PANEL: Rgb = (23, 29, 38)
BLUE: Rgb = (88, 166, 255)
GREEN: Rgb = (63, 201, 127)
RED: Rgb = (248, 113, 104)

PANEL_WIDTH, PANEL_HEIGHT = 320, 240
MARGIN, GAP, HEADER, FOOTER = 22, 18, 50, 46
WIDTH = 2 * MARGIN + 3 * PANEL_WIDTH + 2 * GAP
HEIGHT = HEADER + PANEL_HEIGHT + FOOTER
SUPERSAMPLING = 3
PALETTE_SIZE = 256
SHADE = 36

STEP = 0.08
"""Time between two pictures, s; a GIF counts in hundredths of a second."""

FREEZE = 1.2
"""For how long the end of each take stands still, s."""

FLOOR = 0.001
"""Lowest distance on the plot's logarithmic axis, m."""


@dataclass(frozen=True)
class Take:
    """One episode as it was seen. Times count from the moment the goal was given."""

    number: int
    goal: Pixels
    """The goal picture, [h, w, 3] RGB."""
    frame_times: Seconds
    """[T] s, rising."""
    frames: Pixels
    """Camera pictures, [T, h, w, 3] RGB."""
    distance_times: Seconds
    """[M] s, rising."""
    distances: Metres
    """Distance of the tip from the goal's tip by the simulator's ground truth, [M] m."""
    duration: float
    """When the judge looked, s."""
    final: float
    """What the judge saw, m."""
    success: bool

    def frame_at(self, time: float) -> Pixels:
        """Return the newest camera picture at `time`, [h, w, 3]."""
        index = int(np.searchsorted(self.frame_times, time, side='right')) - 1
        frame: Pixels = self.frames[max(index, 0)]
        return frame

    def distance_at(self, time: float) -> float:
        """Return the distance at `time`, m."""
        return float(np.interp(time, self.distance_times, self.distances))


def write_film(
    takes: Sequence[Take], path: Path, *, threshold: float, size_limit: int = 3_000_000
) -> int:
    """Write `takes` one after another as an animated GIF that loops.

    :param threshold: distance that counts as success, m
    :param size_limit: bytes; takes are left off from the end until the file is smaller
    :returns: how many takes the film shows
    :raises ValueError: there is no take to show
    """
    if not takes:
        raise ValueError('there is nothing to film: the run recorded no episode')
    for count in range(len(takes), 0, -1):
        _write_gif(takes[:count], path, threshold)
        if path.stat().st_size <= size_limit:
            return count
    return 1


def _write_gif(takes: Sequence[Take], path: Path, threshold: float) -> None:
    pictures: list[Image.Image] = []
    durations: list[int] = []
    for picture, last in _pictures(takes, threshold):
        pictures.append(picture)
        durations.append(round(1000 * (FREEZE if last else STEP)))
    # One palette for all pictures, and no dithering: what stands still stays still, so that the
    # file holds only the rectangle that changed.
    palette = _palette([take.goal for take in takes])
    indexed = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    indexed[0].save(
        path, save_all=True, append_images=indexed[1:], duration=durations, loop=0, optimize=False,
        disposal=1)


def _palette(photographs: Sequence[Pixels]) -> Image.Image:
    """Return a palette image: the drawing's own colours, the rest for what the camera sees."""
    drawn = [_mix(below, above, share / 6)
             for below, above in ((PAPER, INK), (PAPER, MUTED), (PANEL, MUTED), (PANEL, BLUE),
                                  (PANEL, GREEN), (PANEL, RED), (PAPER, GREEN), (PAPER, RED))
             for share in range(1, 7)]
    drawn += [_mix(PANEL, line, SHADE / 255) for line in (BLUE, GREEN, RED)]
    drawn = list(dict.fromkeys([PAPER, PANEL, FAINT, *drawn]))
    sample = Image.fromarray(np.concatenate(photographs))
    seen = sample.quantize(PALETTE_SIZE - len(drawn), method=Image.Quantize.MEDIANCUT)
    colours = [channel for colour in drawn for channel in colour]
    colours += (seen.getpalette() or [])[:3 * (PALETTE_SIZE - len(drawn))]
    palette = Image.new('P', (1, 1))
    palette.putpalette(colours)
    return palette


def _mix(below: Rgb, above: Rgb, share: float) -> Rgb:
    red, green, blue = (round(b + (a - b) * share) for b, a in zip(below, above, strict=True))
    return red, green, blue


def _pictures(takes: Sequence[Take], threshold: float) -> Iterator[tuple[Image.Image, bool]]:
    for take in takes:
        stage = Stage(take, threshold)
        for time in np.arange(0.0, take.duration, STEP):
            yield stage.draw(float(time)), False
        yield stage.draw(take.duration, ended=True), True


class Stage:
    """Draws the pictures of one take. What does not change is drawn once."""

    def __init__(self, take: Take, threshold: float) -> None:
        self.take = take
        self.threshold = threshold
        self.top = _ceiling(float(take.distances.max(initial=2 * threshold)))
        # The camera stands beside the plot: the goal, which never changes, lies outside the
        # rectangle that does.
        self.goal_box = _box(0)
        self.camera_box = _box(1)
        self.plot_box = _box(2)
        left, upper, right, lower = self.plot_box
        self.axes = (left + 58, upper + 22, right - 18, lower - 34)
        self.backdrop = self._draw_backdrop()

    def draw(self, time: float, *, ended: bool = False) -> Image.Image:
        """Draw the moment `time` seconds after the goal was given."""
        picture = self.backdrop.copy()
        _paste_panel(picture, self.camera_box, self.take.frame_at(time))
        self._draw_curve(picture, time, ended)
        draw = ImageDraw.Draw(picture)
        baseline = HEADER + PANEL_HEIGHT + 25
        right = self.camera_box[2]
        draw.text((right, baseline), f'{time:.1f} s', MUTED, _font(15), anchor='rm')
        distance = self.take.final if ended else self.take.distance_at(time)
        colour = GREEN if distance <= self.threshold else INK
        verdict = ''
        if ended:
            colour = GREEN if self.take.success else RED
            verdict = 'reached' if self.take.success else 'missed'
        right = self.plot_box[2]
        draw.text((right, baseline), f'{100 * distance:.1f} cm', colour, _font(15), anchor='rm')
        if verdict:
            width = draw.textlength(f'{100 * distance:.1f} cm', _font(15))
            draw.text((right - width - 10, baseline), verdict, colour, _font(15), anchor='rm')
        return picture

    def _draw_backdrop(self) -> Image.Image:
        picture = Image.new('RGB', (WIDTH, HEIGHT), PAPER)
        draw = ImageDraw.Draw(picture)
        draw.text((MARGIN, HEADER / 2 + 1), 'world_model_ros', INK, _font(19), anchor='lm')
        indent = draw.textlength('world_model_ros', _font(19)) + 14
        draw.text((MARGIN + indent, HEADER / 2 + 2), 'drives a robot to what a picture shows',
                  MUTED, _font(15), anchor='lm')
        draw.text((WIDTH - MARGIN, HEADER / 2 + 1), f'episode {self.take.number}', MUTED,
                  _font(15), anchor='rm')
        baseline = HEADER + PANEL_HEIGHT + 25
        for box, title in ((self.goal_box, 'goal picture'), (self.camera_box, 'camera, real time'),
                           (self.plot_box, 'distance to the goal')):
            draw.text((box[0], baseline), title, MUTED, _font(15), anchor='lm')
        _paste_panel(picture, self.goal_box, self.take.goal)
        _paste_panel(picture, self.plot_box, np.full((1, 1, 3), PANEL, np.uint8))
        self._draw_axes(draw)
        return picture

    def _draw_axes(self, draw: ImageDraw.ImageDraw) -> None:
        left, _, right, lower = self.axes
        for second in range(0, int(self.take.duration) + 1, 2):
            last = second + 2 > self.take.duration
            label = f'{second} s' if last else f'{second}'
            draw.text((self._x(second), lower + 8), label, MUTED, _font(12), anchor='mt')
        ticks = [tick for tick in (0.01, 0.1, 1.0) if tick <= self.top]
        for tick in ticks:
            y = self._y(tick)
            draw.line((left, y, right, y), FAINT)
            draw.text((left - 9, y), f'{100 * tick:.0f} cm', MUTED, _font(12), anchor='rm')
        draw.line((left, lower, right, lower), FAINT)
        y = self._y(self.threshold)
        for x in range(left, right, 8):
            draw.line((x, y, min(x + 4, right), y), GREEN)
        draw.text((left - 9, y), f'{100 * self.threshold:.0f} cm', GREEN, _font(12), anchor='rm')

    def _draw_curve(self, picture: Image.Image, time: float, ended: bool) -> None:
        take = self.take
        shown = take.distance_times <= time
        times = np.append(take.distance_times[shown], time)
        distances = np.append(take.distances[shown], take.distance_at(time))
        if len(times) > 160:
            grid = np.linspace(times[0], time, 160)
            distances = np.interp(grid, times, distances)
            times = grid
        # Drawn larger and shrunk: Pillow's lines are not anti-aliased.
        left, upper, right, lower = self.plot_box
        size = ((right - left) * SUPERSAMPLING, (lower - upper) * SUPERSAMPLING)
        layer = Image.new('L', size, 0)
        shade = Image.new('L', size, 0)
        points = [
            ((self._x(t) - left) * SUPERSAMPLING, (self._y(d) - upper) * SUPERSAMPLING)
            for t, d in zip(times, distances, strict=True)]
        floor = (self.axes[3] - upper) * SUPERSAMPLING
        if len(points) > 1:
            outline = [*points, (points[-1][0], floor), (points[0][0], floor)]
            ImageDraw.Draw(shade).polygon(outline, fill=SHADE)
            ImageDraw.Draw(layer).line(points, fill=255, width=2 * SUPERSAMPLING + 1, joint='curve')
        radius = 4.2 * SUPERSAMPLING
        x, y = points[-1]
        ImageDraw.Draw(layer).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        colour = BLUE
        if ended:
            colour = GREEN if take.success else RED
        for mask in (shade, layer):
            small = mask.resize((right - left, lower - upper), Image.Resampling.BOX)
            picture.paste(colour, self.plot_box, small)

    def _x(self, time: float) -> float:
        left, _, right, _ = self.axes
        return left + (right - left) * time / self.take.duration

    def _y(self, distance: float) -> float:
        # Logarithmic: the last centimetres are what the eye should see.
        _, upper, _, lower = self.axes
        share = np.log(max(distance, FLOOR) / FLOOR) / np.log(self.top / FLOOR)
        return lower - (lower - upper) * float(min(share, 1.0))


def _box(column: int) -> tuple[int, int, int, int]:
    left = MARGIN + column * (PANEL_WIDTH + GAP)
    return left, HEADER, left + PANEL_WIDTH, HEADER + PANEL_HEIGHT


def _paste_panel(picture: Image.Image, box: tuple[int, int, int, int], pixels: Pixels) -> None:
    size = (box[2] - box[0], box[3] - box[1])
    panel = Image.fromarray(np.ascontiguousarray(pixels))
    if panel.size != size:
        panel = panel.resize(size, Image.Resampling.LANCZOS)
    picture.paste(panel, box[:2], _rounded(size))


_MASKS: dict[tuple[int, int], Image.Image] = {}
_FONTS: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}


def _rounded(size: tuple[int, int]) -> Image.Image:
    if size not in _MASKS:
        large = Image.new('L', (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING), 0)
        ImageDraw.Draw(large).rounded_rectangle(
            (0, 0, large.width - 1, large.height - 1), 8 * SUPERSAMPLING, fill=255)
        _MASKS[size] = large.resize(size, Image.Resampling.BOX)
    return _MASKS[size]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if size not in _FONTS:
        _FONTS[size] = ImageFont.load_default(size)
    return _FONTS[size]


def _ceiling(distance: float) -> float:
    """Return a round number of metres at or above `distance`."""
    for ceiling in (0.1, 0.3, 1.0, 3.0):
        if distance <= ceiling:
            return ceiling
    return float(np.ceil(distance))
