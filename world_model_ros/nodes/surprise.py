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

"""
How well models foresee: ``~/surprise`` of the active model, ``~/shadow/surprise`` of a shadow.

Both are judged in threads of their own and by the same rule (``monitor.Foresight``), so that the
active model is not slowed and the two numbers can be compared.
"""

from __future__ import annotations

from collections.abc import Callable

from std_msgs.msg import Header

from world_model_interfaces.msg import Surprise
from world_model_ros.inference import Context, InferenceError
from world_model_ros.monitor import (
    ActionLog,
    Foresight,
    Health,
    Level,
    PercentileWindow,
    WorkerWatch,
    judge,
)
from world_model_ros.nodes.convert import to_stamp
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.observer import Encoded, Eye, Observation
from world_model_ros.nodes.worker import Stop, Worker
from world_model_ros.observation import ImageError, JointStateError, PoseError

_VERDICTS = {None: Surprise.UNKNOWN, False: Surprise.NORMAL, True: Surprise.SURPRISED}


class SurpriseMeter:
    """Holds what one model expected against what it then saw."""

    def __init__(
        self, steps: int, actions: ActionLog, publish: Callable[[Surprise], None],
    ) -> None:
        """Judge over ``steps`` model steps what follows from ``actions``."""
        self._steps, self._actions, self._publish = steps, actions, publish
        self._model: LoadedModel | None = None
        self._foresight: Foresight[Context] | None = None
        self.watch = WorkerWatch('surprise')
        self.scores = PercentileWindow(100)

    def see(self, encoded: Encoded) -> None:
        """Judge with one latent."""
        model = encoded.model
        if self._foresight is None or model is not self._model:
            action = model.manifest.action
            self._model, self.scores = model, PercentileWindow(100)
            self._foresight = Foresight(
                model.imagine, model.graphs.deviation, step_duration=action.model_step,
                rows_per_step=action.rows_per_step,
                steps=min(self._steps, model.manifest.planner.horizon),  # it imagines no further
                meaning=action.meaning)
        try:
            with self.watch.inside('judging its own expectations'):
                errors = self._foresight.see(
                    encoded.stamp, encoded.context, encoded.context.latent, self._actions)
        except InferenceError as error:
            if not model.is_closed:  # else another model has just taken over
                self.watch.failed(str(error))
            return
        self.watch.succeeded()
        if errors is not None:
            limits = model.manifest.surprise
            judgement = judge(errors, limits.threshold if limits else ())
            self.scores.add(judgement.score)
            self._publish(Surprise(
                header=Header(stamp=to_stamp(encoded.stamp), frame_id=encoded.frame_id),
                model=model.name, model_digest=model.digest,
                step_duration=model.manifest.action.model_step, error=errors.tolist(),
                score=judgement.score, threshold=judgement.threshold,
                verdict=_VERDICTS[judgement.is_surprise]))

    def forget(self) -> None:
        """Let go of the model."""
        self._model = self._foresight = None


class _Shadow:
    """A model that sees what the active one sees, and never acts."""

    def __init__(self, model: LoadedModel, actions: ActionLog, meter: SurpriseMeter) -> None:
        self.model, self._meter = model, meter
        self._eye = Eye(model, actions)
        self.watch = WorkerWatch('shadow')
        self._encoded = 0

    def observe(self, observation: Observation) -> None:
        """See and judge; in the shadow's thread."""
        if observation.withheld and self.model.reads_optics:
            self.watch.failed(observation.withheld)
            return
        try:
            with self.watch.inside('encoding an image'):
                encoded = self._eye.encode(observation)
        except (ImageError, InferenceError, JointStateError, PoseError) as error:
            if not self.model.is_closed:
                self.watch.failed(str(error))
            return
        self._encoded += 1
        self.watch.succeeded()
        self._meter.see(encoded)

    def health(self, hung_after: float) -> Health:
        """What /diagnostics says of the shadow."""
        trouble = self.watch.trouble(hung_after) or self._meter.watch.trouble(hung_after)
        score = self._meter.scores.percentile(50)
        values = {'model': str(self.model), 'frames_encoded': str(self._encoded),
                  'failures': str(self.watch.failures), 'surprise_p50': f'{score:.4g}'}
        if trouble:
            return Health('shadow', Level.WARN, f'the shadow is of no use: {trouble}', values)
        return Health('shadow', Level.OK, 'runs beside the active model', values)


class Shadowing:
    """The thread of the shadow, if one runs. Called from the executor, but for ``observe``."""

    def __init__(
        self, actions: ActionLog, make_meter: Callable[[], SurpriseMeter],
        on_error: Callable[[str], object],
    ) -> None:
        """Prepare to run shadows one after the other; ``make_meter`` gives each its meter."""
        self._actions, self._make_meter, self._on_error = actions, make_meter, on_error
        self._active = False
        self._running: tuple[_Shadow, Worker[Observation]] | None = None

    @property
    def model(self) -> LoadedModel | None:
        """The shadow."""
        running = self._running
        return None if running is None else running[0].model

    def run(self, model: LoadedModel | None) -> None:
        """Replace the shadow by another one, or none."""
        old, self._running = self._running, None
        if old is not None:
            shadow, worker = old
            worker.release()
            shadow.model.close()
        if model is not None:
            shadow = _Shadow(model, self._actions, self._make_meter())
            worker = Worker(shadow.watch, shadow.observe, self._on_error)
            if self._active:
                worker.start()
            self._running = shadow, worker

    def observe(self, observation: Observation) -> None:
        """Show the shadow what the active model sees; from any thread."""
        if (running := self._running) is not None:
            running[1].box.put(observation)

    def start(self) -> None:
        """Begin to watch; raises as ``Worker.start`` does."""
        self._active = True
        if self._running is not None:
            self._running[1].start()

    def stop(self) -> tuple[Stop, ...]:
        """End to watch; the thread that the caller is to stop, if there is one."""
        self._active = False
        running = self._running
        return () if running is None else ((running[1], running[0].model.interrupt),)

    def release(self) -> None:
        """End to watch without waiting for it."""
        self._active = False
        if self._running is not None:
            self._running[1].release()

    def health(self, hung_after: float) -> tuple[Health, ...]:
        """What /diagnostics says of the shadow, if there is one."""
        running = self._running
        return () if running is None else (running[0].health(hung_after),)


def check_shadow(shadow: LoadedModel, active: LoadedModel) -> None:
    """Raise ValueError if one model cannot watch what another one sees and does."""
    if not shadow.drives_like(active):
        raise ValueError(f'{shadow} cannot be the shadow of {active}: its actions differ in kind, '
                         'names, units or duration, so that what the robot does means nothing to '
                         'it')
    if not set(shadow.cameras) <= set(active.cameras):
        has = ', '.join(active.cameras) or 'one without a name' if active.cameras else 'none'
        raise ValueError(f'{shadow} cannot be the shadow of {active}: it needs pictures that that '
                         f'one does not see (its cameras: {has})')
