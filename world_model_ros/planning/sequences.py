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
"""Action sequences as the search sees them and as a robot gets them.

The search moves a few knots in normalised units; a robot gets one row for each control step, in
physical units, inside the bounds, with frozen numbers and dead bands as the bundle says.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import Manifest, PlannerSettings

Float = NDArray[np.float32]

# However many multiples of it there are, their fractions lie evenly between 0 and 1.
_GOLDEN = (math.sqrt(5) - 1) / 2


class Sequences:
    """Turns knots [..., M, A] into rows [..., R, A] and back, R = H * rows_per_step.

    rows: R
    lower, upper: [A], bounds of knots
    """

    def __init__(self, manifest: Manifest, settings: PlannerSettings) -> None:
        """Take the numbers of a manifest; the settings' horizon and knots may be others."""
        action = manifest.action
        self.rows = settings.horizon * action.rows_per_step
        self._mean = np.array(action.normalization.mean, np.float32)
        self._std = np.array(action.normalization.std, np.float32)
        self._lower = _inward(action.lower, np.inf)
        self._upper = _inward(action.upper, -np.inf)
        self._driven = list(action.driven)
        self._frozen = [action.names.index(name) for name in action.frozen]
        self._frozen_values = np.array(list(action.frozen.values()), np.float32)
        self._dead_band = np.array(action.dead_band, np.float32)
        self._has_dead_band = bool(self._dead_band.any())
        self.lower, self.upper = self.normalize(self._lower), self.normalize(self._upper)
        self._weights = _interpolation(settings, self.rows)
        # Held from one model step's first row to another's, so are they behind committed rows.
        whole = settings.interpolation == 'hold' and not any(
            knot % action.rows_per_step for knot in settings.knots)
        self._stride = action.rows_per_step if whole else 1
        # Knots of rows behind so many committed ones: one fit for each number of them.
        self._inverses: dict[int, Float] = {}
        # As long as a plan: NumPy's inner loop would be as short as a row.
        self._mean_rows, self._std_rows, self._lower_rows, self._upper_rows = (
            np.tile(row, (self.rows, 1))
            for row in (self._mean, self._std, self._lower, self._upper))

    def inside(self, actions: Float) -> Float:
        """Rows [..., A] within the bounds, and frozen where they are."""
        inside: Float = np.clip(actions, self._lower, self._upper)
        inside[..., self._frozen] = self._frozen_values
        return inside

    def planned(self, actions: Float) -> Float:
        """Rows [..., A] as a plan may hold them: inside the bounds and out of the dead bands."""
        return self.inside(np.where(np.abs(actions) < self._dead_band, np.float32(0), actions))

    def rows_of(self, knots: Float, committed: Float) -> Float:
        """Rows [N, R, A] of knots [N, M, A] whose time begins behind committed rows [K, A].

        With knots at whole model steps it begins with the step that the committed rows end in.
        """
        return self._finished(knots, committed, self._mean_rows[len(committed):])

    def moved(self, actions: Float, deviations: Float, fixed: int) -> Float:
        """Rows [N, R, A] of a sequence [R, A] changed by knots [N, M, A] behind `fixed` rows."""
        return self._finished(deviations, actions[:fixed], actions[fixed:])

    def _finished(self, knots: Float, committed: Float, offset: Float) -> Float:
        fixed = len(committed)
        actions = np.empty((len(knots), self.rows, knots.shape[2]), np.float32)
        actions[:, :fixed] = committed
        rows = slice(fixed, None)
        free = self._weights_behind(fixed) @ knots
        free *= self._std_rows[rows]
        free += offset
        if self._has_dead_band:
            free[np.abs(free) < self._dead_band] = 0
        np.clip(free, self._lower_rows[rows], self._upper_rows[rows], out=actions[:, fixed:])
        if self._frozen:
            actions[:, fixed:, self._frozen] = self._frozen_values
        return actions

    def knots_of(self, actions: Float, fixed: int) -> Float:
        """Knots [..., M, A] closest to rows [..., R, A] behind the first `fixed` ones.

        Least squares; knots past the end repeat the last.
        """
        if fixed not in self._inverses:
            weights = self._weights_behind(fixed)
            inverse = np.linalg.pinv(weights)
            reached = int((weights > 0).any(0).sum())
            if 0 < reached < len(inverse):
                inverse[reached:] = inverse[reached - 1]
            self._inverses[fixed] = inverse.astype(np.float32)
        knots = self._inverses[fixed] @ self.normalize(actions[..., fixed:, :])
        closest: Float = np.clip(knots, self.lower, self.upper)
        return closest

    def acting(self, fixed: int) -> NDArray[np.intp]:
        """Indices of the knots that act before the end, where so many rows are committed."""
        return np.flatnonzero((self._weights_behind(fixed) > 0).any(0))

    def _weights_behind(self, fixed: int) -> Float:
        """Weights [R - fixed, M] of the rows behind so many committed ones."""
        begun = fixed % self._stride
        return self._weights[begun:begun + self.rows - fixed]

    def still(self, count: int) -> Float:
        """Knots [count, M, A] that deviate by nothing."""
        return np.zeros((count, self._weights.shape[1], len(self.lower)), np.float32)

    def constant(self, actions: Float) -> Float:
        """Knots [N, M, A] of actions [N, A] held over the whole plan."""
        return np.repeat(self.normalize(actions)[:, None], self._weights.shape[1], axis=1)

    def constant_grid(self, size: int) -> Float:
        """Knots [size^free, M, A] of constant actions, a grid over what is not frozen.

        A small population tries the first of them only, so any beginning is spread over the grid:
        `size` after `size` have each value of each number once, and low and high come by turns.
        """
        if not size:
            return np.empty((0, self._weights.shape[1], len(self._lower)), np.float32)
        turns = np.argsort(np.argsort(np.arange(size) * _GOLDEN % 1))
        indices = np.array(list(product(turns, repeat=len(self._driven))))
        indices[:, :-1] = (indices[:, :-1] + indices[:, -1:]) % size
        axes = np.linspace(self._lower[self._driven], self._upper[self._driven], size)
        actions = np.zeros((len(indices), len(self._lower)), np.float32)
        actions[:, self._driven] = np.take_along_axis(axes, indices, axis=0)
        return self.constant(self.inside(actions))

    def normalize(self, actions: Float) -> Float:
        """Rows [..., A] as graphs see them."""
        normal: Float = (actions - self._mean) / self._std
        return normal


def _inward(bounds: tuple[float, ...], toward: float) -> Float:
    """Bounds as float32 that are never wider than the exact ones."""
    exact = np.array(bounds, np.float64)
    rounded = exact.astype(np.float32)
    outside = rounded < exact if toward > 0 else rounded > exact
    return np.where(outside, np.nextafter(rounded, np.float32(toward)), rounded)


def _interpolation(settings: PlannerSettings, rows: int) -> Float:
    """Weights [R, M] that turn knots into rows."""
    steps, knots = np.arange(rows), np.array(settings.knots)
    if settings.interpolation == 'linear':
        columns = [np.interp(steps, knots, unit) for unit in np.eye(len(knots))]
        return np.array(columns, np.float32).T
    return np.eye(len(knots), dtype=np.float32)[np.searchsorted(knots, steps, side='right') - 1]
