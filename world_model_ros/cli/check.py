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
"""`wmros check`: is a bundle sound, what does it ask of the robot, how fast is it, does it fit?

Exit code 0: it may be used, perhaps with warnings. 1: it is refused, or does not fit this machine
or these topics; each reason comes with its cure. 2: the command line is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from world_model_ros.bringup.defaults import PLAN_DEADLINE, PLAN_RATE
from world_model_ros.bringup.topic_names import TOPICS
from world_model_ros.bundle import Bundle, BundleError, load_bundle
from world_model_ros.cli import argument_types, topics
from world_model_ros.cli.probes import ProbeError
from world_model_ros.findings import Finding, Grade
from world_model_ros.inference import InferenceError, RuntimeSettings, WorldModel
from world_model_ros.inference.first_latent import time_to_first_latent
from world_model_ros.inference.measure import measure_all
from world_model_ros.inference.measurements import Measurement, write_measurements
from world_model_ros.inference.providers import PRECISIONS, PROVIDERS, cache_folder
from world_model_ros.inference.report import Report, Section, describe_model
from world_model_ros.inference.sessions import ProviderError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command line."""
    parser.add_argument('bundle', type=Path, help='folder of the bundle, which holds bundle.yaml')
    parser.add_argument('--deadline', type=argument_types.seconds, default=PLAN_DEADLINE,
                        metavar='S', help='time that one plan may take, as plan_deadline '
                                          '(default %(default)s)')
    run = parser.add_argument_group('what it runs on, as the parameters of world_model')
    run.add_argument('--provider', choices=('auto', *PROVIDERS), default='auto',
                     help='default auto: the fastest as measured by --prebuild, else cpu')
    run.add_argument('--precision', choices=('auto', *PRECISIONS), default='auto',
                     help='default auto: less than float32 only if measured and golden')
    run.add_argument('--threads', type=int, default=1, metavar='N',
                     help='threads of one graph on the CPU (default 1; 0: as measured)')
    run.add_argument('--cache', type=Path, metavar='FOLDER',
                     help='engines and measurements (default ~/.cache/world_model_ros)')
    run.add_argument('--prebuild', action='store_true',
                     help='build engines, measure every provider, and keep both for auto')
    live = parser.add_argument_group('whether a running robot gives what the model needs')
    live.add_argument('--against-topics', action='store_true',
                      help='listen to the camera and the joint states of this ROS domain')
    live.add_argument('--image-topic', type=argument_types.camera_topic, action='append',
                      default=[], metavar='TOPIC',
                      help=f'default {TOPICS["image"]}; CAMERA:=TOPIC, once for each, for a bundle '
                           'that names its cameras, default CAMERA/image_raw')
    for name, topic in (('joint', TOPICS['joint_states']), ('pose', TOPICS['pose'])):
        live.add_argument(f'--{name}-topic', type=argument_types.topic, default=topic,
                          metavar='TOPIC', help='default %(default)s')
    live.add_argument('--listen', type=argument_types.finite_seconds, default=10.0, metavar='S',
                      help='listen no longer than this (default %(default)s)')
    live.add_argument('--use-sim-time', action='store_true', help='the robot lives by /clock')


def run(args: argparse.Namespace) -> int:
    """Print one report; 0 if the bundle may be used, 1 if not."""
    try:
        settings = RuntimeSettings(args.provider, args.precision, args.threads, args.cache)
        bundle = load_bundle(args.bundle)
        measured = _prebuild(bundle, settings) if args.prebuild else None
        model = WorldModel(bundle, settings, _progress)
        report = describe_model(model, PLAN_RATE, args.deadline)
    except (BundleError, InferenceError, ProviderError) as error:
        print(error, file=sys.stderr)
        return 1
    _start(args, settings, report)
    if measured:
        report.sections.append(measured)
    if args.against_topics:
        _listen(args, bundle, report)
    print('\n'.join(report.lines()))
    return 0 if report.fit else 1


def _progress(words: str) -> None:
    print(f'wmros check: {words}', file=sys.stderr, flush=True)


def _start(args: argparse.Namespace, settings: RuntimeSettings, report: Report) -> None:
    """Add how long a robot's process takes to its first latent."""
    try:
        first = time_to_first_latent(args.bundle, settings)
    except RuntimeError as error:
        report.findings.append(Finding(
            Grade.UNFIT, 'start', f'a process of its own does not open the bundle: {error}',
            'see whether memory is short, and whether the bundle changes while it is checked'))
        return
    torch = 'with torch' if first.torch else 'without torch'
    report.sections.insert(-1, Section('Start', ((
        'first latent', f'{first.seconds:.2f} s after the start of a process, {torch}'),)))


def _prebuild(bundle: Bundle, settings: RuntimeSettings) -> Section:
    """Build, measure and keep; raises ProviderError where nothing can be kept."""
    cache = cache_folder(settings)
    if cache is None:
        raise ProviderError('there is no home folder to keep measurements in', 'give --cache')
    measured = measure_all(bundle, settings, progress=_progress)
    if not measured:
        raise ProviderError(f'no installed provider fits {settings.provider}, '
                            f'{settings.precision}', 'choose auto, or install the provider')
    try:
        file = write_measurements(cache, bundle.digest, measured)
    except OSError as error:
        raise ProviderError(f'cannot keep the measurement ({error})', 'give --cache') from error
    return Section('Measured', (*((one.label, _measurement(one)) for one in measured),
                                ('kept in', str(file))))


def _measurement(one: Measurement) -> str:
    if one.refused:
        return f'out of the question: {one.refused}'
    return (f'{one.plan_ms:.1f} ms a plan (encode {one.encode_ms:.1f}, iteration '
            f'{one.score_ms:.1f}), opened in {one.load_s:.1f} s, deviation {one.golden_error:.0e}')


def _listen(args: argparse.Namespace, bundle: Bundle, report: Report) -> None:
    """Add what a running robot lacks."""
    try:
        wanted = topics.needed(
            bundle.manifest, args.image_topic, args.joint_topic, args.pose_topic)
        heard = topics.listen(wanted, args.listen, args.use_sim_time)
    except ProbeError as error:
        report.findings.append(Finding(Grade.UNFIT, 'topics', error.problem, error.cure))
        return
    report.sections.append(Section('Topics', tuple(
        ('', line) for line in topics.describe(heard))))
    report.findings += topics.judge(bundle.manifest, heard)
