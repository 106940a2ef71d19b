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
"""``wmros export``: brings a trained world model of a known family, or your own, as a bundle."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

from world_model_ros.cli import extras

_NEEDS = ('torch', 'onnxscript')
_FAMILIES = {
    'lewm': 'LeWM, trained with stable-worldmodel',
    'pldm': 'PLDM, trained with stable-worldmodel',
    'dino-wm': 'DINO-WM ("PreJEPA"), trained with stable-worldmodel',
    'tdmpc2': 'TD-MPC2, trained with stable-worldmodel',
    'vjepa2': 'the encoder of V-JEPA 2 from transformers, with a predictor of yours',
    'vjepa2-ac': 'V-JEPA 2-AC, from a checkout of facebookresearch/vjepa2',
    'module': 'your own encoder and predictor, any torch.nn.Module',
}
_CHECKPOINTS = {
    'vjepa2': 'folder with config.json and model.safetensors',
    'vjepa2-ac': 'vjepa2-ac-vitg.pt',
    'module': 'file with {"encoder": state_dict, "predictor": state_dict}; without it the '
              'factories bring their weights',
}

EXAMPLES = """\
Without --robot, the command says which file to write. docs/export.md has an example per family.

examples:
  wmros export lewm --checkpoint runs/pusht --robot robot.yaml --out models/pusht
  wmros export module --encoder my_jepa.export:encoder --predictor my_jepa.export:predictor \\
      --robot robot.yaml --out models/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a command for each family."""
    parser.epilog = EXAMPLES
    families = parser.add_subparsers(dest='family', metavar='FAMILY', required=True)
    for name, text in _FAMILIES.items():
        child = families.add_parser(name, help=text, description=f'{text}.')
        if name == 'vjepa2-ac':
            child.add_argument('--repo', type=Path, required=True,
                               help='checkout of facebookresearch/vjepa2, which stays as it is')
        if name == 'module':
            child.add_argument('--encoder', metavar='PACKAGE.MODULE:FACTORY', required=True,
                               help='forward(image), (proprioception) or both gives the latent')
            child.add_argument('--goal-encoder', metavar='PACKAGE.MODULE:FACTORY',
                               help="if a goal picture addresses only the first of the latent's "
                                    'parts')
        if name in ('module', 'vjepa2'):
            child.add_argument('--predictor', metavar='PACKAGE.MODULE:FACTORY', required=True,
                               help="its arguments' names say what it is: (latent, action), "
                                    '(context, actions), (latent, actions), ...')
        child.add_argument('--checkpoint', type=Path, required=name != 'module',
                           help=_CHECKPOINTS.get(name, 'folder or .pt file, beside config.json'))
        child.add_argument('--robot', type=Path, metavar='FILE',
                           help='YAML of what no checkpoint knows: joints, units, bounds, camera')
        child.add_argument('--action-stats', type=Path, metavar='FILE',
                           help='what actions were normalised with: YAML or JSON with mean and '
                                'std, or the data set to compute them from (.npz, .npy, .h5, .csv)')
        child.add_argument('--out', type=Path, required=True, metavar='FOLDER',
                           help='where the bundle goes; one that is there is replaced')
        child.add_argument('--trust-checkpoint', action='store_true',
                           help='read pickled Python objects, which runs code from the file')


def run(args: argparse.Namespace) -> int:
    """Export, compare with torch, and check; returns the code of `wmros check --deadline inf`.

    No deadline, because a workstation exports for a robot: how fast it is here is in the report and
    decides nothing.
    """
    started = time.monotonic()
    try:
        from world_model_ros.learning.export import (
            ExportError,
            Request,
            assemble,
            build,
            read_robot,
        )
    except ModuleNotFoundError as error:
        if error.name not in _NEEDS:
            raise
        print(extras.missing('wmros export', error.name, 'train'), file=sys.stderr)
        return 1
    from world_model_ros.bundle import BundleError
    from world_model_ros.cli import check

    request = Request(
        checkpoint=args.checkpoint, trust=args.trust_checkpoint,
        repo=getattr(args, 'repo', None), encoder=getattr(args, 'encoder', None),
        predictor=getattr(args, 'predictor', None),
        goal_encoder=getattr(args, 'goal_encoder', None))
    try:
        robot = read_robot(args.robot, args.action_stats)
        source = build(args.family, request, robot)
        bundle = assemble(source, robot, args.out, partial(print, flush=True))
    except (ExportError, BundleError) as error:
        print(f'wmros export: {error}', file=sys.stderr)
        return 1
    words = [str(bundle.path), '--deadline', 'inf']
    print(f'{bundle.path}: written in {time.monotonic() - started:.0f} s; '
          f'now as "wmros check {" ".join(words)}":\n', flush=True)
    parser = argparse.ArgumentParser()
    check.add_arguments(parser)
    return check.run(parser.parse_args(words))
