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
"""Draws a training run's losses, so that a look tells whether it went well."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use('Agg')

from matplotlib import pyplot

_TITLES = {
    'prediction': 'Prediction of the latent',
    'regularization': 'Distance from a Gaussian (SIGReg)',
    'inverse': 'Action between two pictures',
    'anchor': 'Joint angles from a picture',
    'refined over 1': 'Predictor alone, one step',
    'refined over 5': 'Predictor alone, 5 steps',
    'refined over 32': 'Predictor alone, 32 steps',
}
_COLUMNS = 3
_WINDOW = 50  # steps over which the drawn average goes


def draw_curves(curves: dict[str, list[float]], path: Path) -> None:
    """Write a PNG with one panel per loss: every step in grey, the moving average in colour."""
    rows = -(-len(curves) // _COLUMNS)
    size = (3.6 * _COLUMNS, 3.0 * rows)
    figure, axes = pyplot.subplots(rows, _COLUMNS, figsize=size, squeeze=False)
    for axis in axes.flat[len(curves) :]:
        axis.remove()
    for axis, (name, values) in zip(axes.flat, curves.items(), strict=False):
        window = min(_WINDOW, len(values))
        smooth = np.convolve(values, np.full(window, 1.0 / window), mode='valid')
        axis.plot(values, color='0.8', linewidth=0.6)
        axis.plot(np.arange(len(smooth)) + window - 1, smooth, color='tab:blue')
        axis.set(title=_TITLES.get(name, name), xlabel='step', yscale='log')
        axis.title.set_size(10)
    for row in axes:
        row[0].set_ylabel('loss')
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
