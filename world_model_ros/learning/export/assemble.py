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
"""Writes a bundle from a model and a robot file: manifest, graphs, golden vectors, in this order.

The manifest is checked first, because it takes no time and what is wrong with it is the user's to
mend. The bundle appears under its name only when it is whole and chooses what torch chooses.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_model_ros.bundle import (
    MANIFEST_NAME,
    Bundle,
    GoldenVectors,
    Manifest,
    load_bundle,
    write_manifest,
)
from world_model_ros.bundle.latent import DistanceCost
from world_model_ros.bundle.load import parse_manifest
from world_model_ros.bundle.manifest import SCHEMA_VERSION
from world_model_ros.learning.export.examples import example_inputs
from world_model_ros.learning.export.graphs import ExportError, GraphSource, write_graph
from world_model_ros.learning.export.reference import Reference
from world_model_ros.learning.export.robot import Robot, assumed_planner, manifest_sections
from world_model_ros.learning.export.source import ModelSource, StateIgnored
from world_model_ros.learning.export.verify import compare_ranking

TOLERANCE = 1e-4
"""Of golden vectors, as the manifest records it: other processors round otherwise."""

_GOLDEN = 'golden.npz'

Float = NDArray[np.float32]
Report = Callable[[str], None]


def assemble(source: ModelSource, robot: Robot, folder: Path, report: Report) -> Bundle:
    """Write the bundle `folder` and load it; `report` gets one line for each thing done.

    Raises ExportError or BundleError.
    """
    place = _place_for(folder)
    entries = {name: {'file': f'{name}.onnx', **source.entries.get(name, {})}
               for name in source.graphs}
    sections = manifest_sections(source, robot)
    manifest = draft_manifest(folder, {**sections, 'graphs': entries})
    check_state(source, manifest)
    partial = place.with_name(f'.{place.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise ExportError(f'cannot write {error.filename}: {error.strerror}: give --out another '
                          'folder') from error
    try:
        for line in (source.note, assumed_planner(robot, sections['planner']),
                     state_in_goals(source, manifest)):
            if line:
                report(line)
        write_graphs(source.graphs, partial, report)
        reference = Reference(source.graphs, manifest)
        golden = golden_vectors(reference, manifest, *example_inputs(manifest))
        written = write_bundle(partial, {**sections, 'graphs': entries}, golden)
        report(str(compare_ranking(written, reference)))
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return load_bundle(folder)


def _place_for(folder: Path) -> Path:
    """Where a bundle that is called `folder` goes, links followed; raises ExportError."""
    place = folder.resolve()
    if Path.cwd().is_relative_to(place):
        raise ExportError(f'--out {folder} is where you are, and is replaced: name a new folder')
    if place.exists() and not place.is_dir():
        raise ExportError(f'{folder} is a file: give --out a new folder')
    if place.exists() and not (place / MANIFEST_NAME).is_file() and any(place.iterdir()):
        raise ExportError(f'{folder} holds other things: give --out a new folder')
    return place


def draft_manifest(folder: Path, sections: Mapping[str, Any]) -> Manifest:
    """Check a manifest whose files are still to be written; raises BundleError."""
    files = {entry['file']: '0' * 64 for entry in sections['graphs'].values()}
    draft = {'schema_version': SCHEMA_VERSION, **sections, 'files': {**files, _GOLDEN: '0' * 64},
             'golden': {'file': _GOLDEN, 'tolerance': TOLERANCE}}
    return parse_manifest(folder, json.dumps(draft).encode())  # JSON is YAML


def check_state(source: ModelSource, manifest: Manifest) -> None:
    """Hold what modules take against how the robot's state goes on; raises ExportError."""
    state = manifest.proprioception
    if state is None:
        return
    name = 'rollout' if 'rollout' in source.graphs else 'predictor'
    takes = list(source.graphs[name].inputs)
    reads = not {'proprioception', 'states'}.isdisjoint(takes)
    if reads != state.is_input:
        rules = 'hold or integrate_joints' if reads else 'none (only the encoder reads the state)'
        more = '' if reads else (
            ', or predicted (it is a part of the latent), or give forward one more argument, '
            f'{"states" if "actions" in takes else "proprioception"}')
        raise ExportError(
            f'proprioception.rule is {state.rule}, with which the {name} is '
            f'{"given" if state.is_input else "not given"} the robot\'s state, but its forward '
            f'takes {", ".join(takes)}: set the rule to {rules}{more}')
    if not reads and not _encoder_looks_at_state(source):
        raise ExportError('proprioception: neither the encoder nor the '
                          f'{name} takes it: leave the section out of the robot file')


def state_in_goals(source: ModelSource, manifest: Manifest) -> str:
    """A warning where goals hold the robot's state of the moment in which they are set."""
    cost = manifest.cost
    if (not _encoder_looks_at_state(source) or 'goal_encoder' in source.graphs
            or not isinstance(cost, DistanceCost)):
        return ''
    whole = slice(0, manifest.latent.shape[-1])
    if all(manifest.latent.parts[term.source].indices != whole for term in cost.terms):
        return ''
    return ("warning: a picture does not tell the robot's state at the goal, so goals are encoded "
            'with the state of the moment in which they are set, and pull the robot to where it '
            'is: give --goal-encoder, and the cost the part of the latent that it gives '
            '(docs/export.md#your-own-model)')


def _encoder_looks_at_state(source: ModelSource) -> bool:
    encoder = source.graphs['encoder']
    return 'proprioception' in encoder.inputs and not isinstance(encoder.module, StateIgnored)


def write_graphs(graphs: Mapping[str, GraphSource], folder: Path, report: Report) -> None:
    """Export each graph, compared with torch."""
    for name, graph in graphs.items():
        report(str(write_graph(name, graph, folder)))


def write_bundle(folder: Path, sections: Mapping[str, Any], golden: GoldenVectors) -> Bundle:
    """Write golden vectors and manifest beside graphs that are there; raises BundleError."""
    golden.save(folder / _GOLDEN)
    return write_manifest(
        folder, {**sections, 'golden': {'file': _GOLDEN, 'tolerance': TOLERANCE}})


def golden_vectors(
    reference: Reference, manifest: Manifest, image: NDArray[np.uint8] | None,
    proprioception: Float | None, past_actions: Float | None, actions: Float,
) -> GoldenVectors:
    """Record what torch makes of observations and of action sequences from the first of them."""
    history = manifest.history
    latent = reference.encode(image, proprioception)
    goal = reference.encode_goal(image, proprioception) if manifest.has_goal else None
    latents = reference.imagine(
        latent[:history], past_actions, actions,
        None if proprioception is None else proprioception[:history])
    return GoldenVectors(
        latent=latent, actions=actions, latents=latents,
        costs=reference.costs(latent[:history], None if goal is None else goal[-1], latents,
                              actions),
        image=image, proprioception=proprioception, goal=goal, past_actions=past_actions,
        policy=reference.policy(latent) if manifest.graphs.policy is not None else None)
