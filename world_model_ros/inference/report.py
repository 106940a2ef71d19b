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
"""What a person should know of a model before it moves a robot, as one report.

`wmros check` prints it and `world_model` logs it at configure: what the bundle asks of the robot,
in words and units, what the golden vectors proved, what it runs on, how fast that is, and what
should be done about any of it. A bundle that is refused has no report: `BundleError` says why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from world_model_ros.bundle import (
    Bundle,
    DistanceCost,
    ImageNormalization,
    Manifest,
    PoseProprioception,
    Proprioception,
)
from world_model_ros.findings import Finding, Grade
from world_model_ros.inference.measure import Speed, measure_speed
from world_model_ros.inference.model import WorldModel
from world_model_ros.inference.proof import golden_start
from world_model_ros.inference.succession import judge_length
from world_model_ros.payload import few

_TITLE, _INDENT = 14, 2
# Licences whose names say that commerce is not allowed: CC-BY-NC, PolyForm-Noncommercial, the
# research licences of several model hubs.
_NON_COMMERCIAL = re.compile(
    r'(^|[^a-z])nc([^a-z]|$)|non[-_ ]?commercial|research[-_ ]only|academic|evaluation', re.I)


@dataclass(frozen=True)
class Section:
    """Titled lines under a heading."""

    heading: str
    rows: tuple[tuple[str, str], ...]

    def lines(self) -> Iterator[str]:
        """The heading and one line for each row."""
        yield self.heading
        width = max(_TITLE, *(len(title) + 2 for title, _ in self.rows))
        for title, text in self.rows:
            yield f'{"":{_INDENT}}{title:{width}}{text}'


@dataclass
class Report:
    """Sections to read and findings to act on."""

    sections: list[Section] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def fit(self) -> bool:
        """Whether the model works here."""
        return all(finding.grade < Grade.UNFIT for finding in self.findings)

    def lines(self) -> list[str]:
        """Everything, for a terminal or a log, the verdict last."""
        lines = [line for section in self.sections for line in section.lines()]
        if self.findings:
            lines.append('To do' if not self.fit else 'To know')
            lines += [f'{"":{_INDENT}}{finding}' for finding in
                      sorted(self.findings, key=lambda finding: -finding.grade)]
        return [*lines, f'Verdict: {self.verdict}']

    @property
    def verdict(self) -> str:
        """Fit or unfit, in a few words."""
        unfit, warnings = (sum(finding.grade is grade for finding in self.findings)
                           for grade in (Grade.UNFIT, Grade.WARNING))
        if unfit:
            return f'unfit, for {unfit} reason{"s" * (unfit > 1)}'
        return 'fit' + (f', with {warnings} warning{"s" * (warnings > 1)}' if warnings else '')


def describe_bundle(bundle: Bundle) -> Report:
    """What can be said without running a graph: identity, licence, and what is asked of a robot."""
    manifest = bundle.manifest
    identity = Section(f'{manifest.model.name} {manifest.model.version}', (
        ('folder', f'{bundle.path}, {bundle.size / 2**20:.2f} MiB of graphs'),
        ('licence', manifest.model.license),
        ('source', manifest.model.source),
        ('digest', bundle.digest)))
    contract = Section('Asks of the robot', tuple(_contract(manifest)))
    inside = Section('Model', tuple(_inside(manifest)))
    return Report([identity, contract, inside], [*_licence(manifest), *_unread(manifest)])


def describe_model(
    model: WorldModel, rate: float, deadline: float, seconds: float = 1.0,
) -> Report:
    """The same, and what runs here: graphs, golden vectors and speed.

    At most `rate` plans are made in a second, and `deadline` is what the planner has for one [s];
    the speed is measured for about `seconds`.
    """
    report = describe_bundle(model.bundle)
    speed = measure_speed(model, seconds)
    report.sections += [
        Section('Graphs', tuple((name, text) for name, _, text in
                                (line.partition(': ') for line in model.describe()))),
        Section(f'Golden vectors (tolerance {model.bundle.manifest.golden.tolerance:.0e})',
                tuple(_golden(model))),
        Section('Here', (*model.backend.describe().items(), ('speed', _speed_text(model, speed)))),
    ]
    warning = model.backend.warning
    report.findings += [
        *([warning] if warning else []), *_ranking(model), *_speed(speed, deadline),
        *judge_length(model.manifest, rate, deadline, speed.encode_ms / 1e3)]
    return report


def _contract(manifest: Manifest) -> Iterator[tuple[str, str]]:
    action, image, state = manifest.action, manifest.image, manifest.proprioception
    rows = f', {action.rows_per_step} to a model step' if action.rows_per_step > 1 else ''
    frame = f' in {action.frame}' if action.frame else ''
    yield 'actions', f'{action.kind}{frame}, one row lasts {action.step_duration:g} s{rows}'
    for index, (name, unit, low, high) in enumerate(
            zip(action.names, action.units, action.lower, action.upper, strict=True)):
        if name in action.frozen:
            text = f'kept at {action.frozen[name]:g} {unit}'
        else:
            text = f'{low:g} to {high:g}' + (f' {unit}' if unit != '1' else '')
        if dead := action.dead_band[index]:
            text += f', below {dead:g} it is 0'
        yield '', f'{name} {text}'
    if image:
        frames = f', {image.frames} frames' if image.frames > 1 else ''
        if image.cameras:
            frames += f', cameras {", ".join(image.cameras)}'
        if image.fields_of_view:
            frames += ', of ' + ' and '.join(
                f'{math.degrees(it.horizontal):.0f}x{math.degrees(it.vertical):.0f}'
                for it in image.fields_of_view) + ' degrees'
        pixels = ('float32, normalised as the manifest says'
                  if isinstance(image.normalization, ImageNormalization) else 'uint8')
        yield 'image', (f'{image.width}x{image.height} {image.color}{frames}, {pixels}; crop '
                        f'{image.crop}, resize {image.interpolation}')
    if isinstance(state, PoseProprioception):
        gripper = f', gripper {state.gripper.joint}' if state.gripper else ''
        yield 'pose', f'of {state.link} in {state.frame}{gripper}; in a rollout {state.rule}'
    elif state:
        yield 'joint state', (f'{" and ".join(state.fields)} of {", ".join(state.joints)}; in a '
                              f'rollout {state.rule}')


def _inside(manifest: Manifest) -> Iterator[tuple[str, str]]:
    latent, planner, action = manifest.latent, manifest.planner, manifest.action
    parts = ', '.join(f'{name} {part.start} to {part.stop - 1}'
                      for name, part in latent.parts.items())
    yield 'latent', f'{" x ".join(map(str, latent.shape))} numbers: {parts}'
    name = 'rollout' if manifest.graphs.rollout else 'predictor'
    history = f', from {manifest.history} latents' if manifest.history > 1 else ''
    yield 'dynamics', f'{name}, {manifest.graphs.dynamics.kind}{history}'
    if isinstance(manifest.cost, DistanceCost):
        terms = ' + '.join(f'{term.weight:g} {term.metric} of {term.source} ({term.steps})'
                           for term in manifest.cost.terms)
        yield 'cost', terms
    else:
        yield 'cost', f'-return, discount {manifest.cost.discount:g}'
    if manifest.goal:
        within = ('' if manifest.goal.reachable is None else
                  f', out of reach where plans end above {manifest.goal.reachable:g}')
        yield 'goal', f'reached below {manifest.goal.reached:g} ({manifest.goal.metric}){within}'
    if manifest.surprise:
        limits = ', '.join(f'{limit:g}' for limit in manifest.surprise.threshold)
        yield 'surprise', f'above {limits} over 1, 2, ... model steps'
    refined = ''
    if planner.refinement is not None:
        refined = (f', rounds of refinement: {planner.refinement.rounds} at '
                   f'{len(planner.refinement.knots)} knots')
    yield 'planner', (f'{planner.sampler}: {planner.samples} samples in each iteration, '
                      f'iterations: {planner.iterations} at {len(planner.knots)} knots{refined}; '
                      f'{planner.horizon} model steps ({planner.horizon * action.model_step:g} s)')


def _licence(manifest: Manifest) -> Iterator[Finding]:
    name = manifest.model.license
    if _NON_COMMERCIAL.search(name):
        yield Finding(Grade.WARNING, 'model.license', f'{name} forbids commercial use',
                      f'use it for what it allows, or ask its makers ({manifest.model.source}) for '
                      'another licence')


def _unread(manifest: Manifest) -> Iterator[Finding]:
    action, state = manifest.action, manifest.proprioception
    if action.kind != 'joint_position':
        return
    read = (state.joints if isinstance(state, Proprioception) and 'position' in state.fields
            else ())
    unread = [action.names[i] for i in action.driven if action.names[i] not in read]
    if unread:
        yield Finding(
            Grade.NOTE, 'action', f'positions of {few(unread)} are planned, and the model does not '
            'read them: a plan begins where the controller says that they are or, where none '
            "reports on controller_state, at the training data's mean",
            'drive them with the controller of this package, or train with their position in '
            'proprioception')


def _golden(model: WorldModel) -> Iterator[tuple[str, str]]:
    for name, error in model.golden_errors.items():
        yield name, f'deviation {error:.1e}'
    order = ', '.join(str(index) for index in _order_here(model))
    yield 'ranking', f'sequences {order}, the cheapest first'


def _order_here(model: WorldModel) -> list[int]:
    context, goal = golden_start(model.bundle)
    costs = model.score(context, goal, model.bundle.golden.actions).costs
    return [int(index) for index in costs.argsort(kind='stable')]


def _ranking(model: WorldModel) -> Iterator[Finding]:
    here = _order_here(model)
    recorded = [int(index) for index in model.bundle.golden.costs.argsort(kind='stable')]
    if here != recorded:
        yield Finding(Grade.WARNING, 'golden', 'the sequences are ranked otherwise than where the '
                      f'model was exported: {here} for {recorded}',
                      'export with sequences whose costs differ by more than the tolerance')


def _speed_text(model: WorldModel, speed: Speed) -> str:
    planner = model.manifest.planner
    about = 'about ' * speed.estimated
    return (f'encode {_time(speed.encode_ms)}, imagine and judge {planner.samples} x '
            f'{planner.horizon} steps {about}{_time(speed.score_ms)}, a whole plan '
            f'{_time(speed.plan_ms)}')


def _time(milliseconds: float) -> str:
    if milliseconds < 1000:
        return f'{milliseconds:.1f} ms'
    return f'{milliseconds / 1e3:.1f} s'


def _speed(speed: Speed, deadline: float) -> Sequence[Finding]:
    budget = deadline * 1e3
    if speed.best_ms > budget:
        return [Finding(
            Grade.UNFIT, 'planner', f'encoding and one iteration take {_time(speed.best_ms)} at '
            f'best, a plan may take {_time(budget)}',
            'raise plan_deadline and lower plan_rate, use fewer planner.samples, or a faster '
            'provider ("wmros check --prebuild" measures them)')]
    if budget < speed.plan_ms:
        possible = (budget - speed.encode_ms) / (speed.plan_ms - speed.encode_ms)
        return [Finding(
            Grade.WARNING, 'planner', f'a plan may take {_time(budget)}, which is usually enough '
            f'for {max(possible, 0):.0%} of its sequences',
            'raise plan_deadline, use fewer planner.samples, or a faster provider ("wmros check '
            '--prebuild" measures them)')]
    return []
