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
"""Reads checkpoints without running what strangers put into them.

A pickle can run any code while it is read, and so can a configuration that names a Python callable
to be called. Tensors are read with `weights_only=True`; callables come from a short list.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import pickle
import sys
import types
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from world_model_ros.learning.export.graphs import ExportError
from world_model_ros.payload import few

_PACKAGE = 'stable_worldmodel'
_FAMILIES = ('lewm', 'pldm', 'prejepa', 'tdmpc2')

# Public sizes of DINOv2 (Oquab et al., 2023, table 16): width, blocks, heads.
_DINOV2 = {'small': (384, 12, 6), 'base': (768, 12, 12), 'large': (1024, 24, 16),
           'giant': (1536, 40, 24)}
# Sizes of the Vision Transformer (Dosovitskiy et al., 2021; "tiny": Touvron et al., 2021).
_VIT = {'tiny': (192, 12, 3), 'small': (384, 12, 6), 'base': (768, 12, 12),
        'large': (1024, 24, 16), 'huge': (1280, 32, 16)}


def read_tensors(path: Path, trust: bool) -> Any:
    """What a `.pt`, `.ckpt` or `.safetensors` file holds; pickle only with `trust`.

    Raises ExportError.
    """
    if not path.is_file():
        raise ExportError(f'checkpoint {path}: no such file')
    if path.suffix == '.safetensors':
        return _package('safetensors.torch').load_file(str(path))
    try:
        return torch.load(path, map_location='cpu', weights_only=True,
                          mmap=zipfile.is_zipfile(path))  # what torch saved before 1.6 is none
    except pickle.UnpicklingError as error:
        if not trust:
            raise ExportError(
                f'checkpoint {path} holds Python objects, not only tensors. Reading them runs '
                'whatever code its maker put into it, with your rights. If you made the file or '
                'trust who did, add --trust-checkpoint; else save its state_dict() where it was '
                'trained') from error
    except (RuntimeError, EOFError, OSError, LookupError, TypeError, ValueError) as error:
        cause = f'{type(error).__name__}: {str(error).partition(chr(10))[0]}'
        raise ExportError(f'checkpoint {path} is not a file that torch saved ({cause})') from error
    print(f'WARNING: reading {path} with pickle, which runs code from the file '
          '(--trust-checkpoint)', file=sys.stderr)
    installed = importlib.util.find_spec(_PACKAGE) is not None
    try:
        with _model_code() if installed else nullcontext():
            return torch.load(path, map_location='cpu', weights_only=False)
    except (ImportError, AttributeError) as error:
        raise ExportError(f'checkpoint {path} holds objects of code that is not here ({error}): '
                          'install what it was trained with') from error


def state_of(weights: Any, what: str) -> Mapping[str, Any]:
    """Weights by name, of a state_dict() or of a module that holds them; raises ExportError."""
    if isinstance(weights, nn.Module):
        return weights.state_dict()
    if not isinstance(weights, Mapping) or not all(isinstance(key, str) for key in weights):
        raise ExportError(f'{what}: holds a {type(weights).__name__}, not a state_dict()')
    return weights


def load_state(module: nn.Module, weights: Any, what: str) -> None:
    """Fill a module with weights; raises ExportError that names what does not fit."""
    clean = {_without_wrappers(key): value for key, value in state_of(weights, what).items()}
    try:
        missing, unexpected = module.load_state_dict(clean, strict=False)
    except RuntimeError as error:  # shapes
        raise ExportError(f'{what}: {" ".join(str(error).split())}') from error
    if missing or unexpected:
        problems = [f'{word} {few(names, 4)}' for word, names in
                    (('lacks', missing), ('has unknown', unexpected)) if names]
        raise ExportError(f'{what}: the checkpoint {" and ".join(problems)}: it belongs to '
                          'another configuration')


def load_stable_worldmodel(path: Path, family: str, trust: bool) -> nn.Module:
    """Model of a checkpoint that `stable_worldmodel.wm.utils.save_pretrained` wrote.

    `path` is its `.pt` file or its folder; `config.json` lies beside the weights.
    """
    weights = _weights_file(path)
    loaded = read_tensors(weights, trust)
    if isinstance(loaded, nn.Module):  # the whole object, which --trust-checkpoint allowed
        model = getattr(loaded, 'model', loaded)
        return model if isinstance(model, nn.Module) else loaded
    config_file = weights.parent / 'config.json'
    try:
        config = json.loads(config_file.read_text())
    except (OSError, ValueError) as error:
        raise ExportError(f'{config_file}: {error}. stable-worldmodel writes it beside the '
                          'weights: copy it from there') from error
    model = model_of(config)
    if type(model).__name__.lower() != family:
        raise ExportError(f'{config_file}: describes a {type(model).__name__}: export it with '
                          f'the command for that family')
    state = loaded.get('state_dict', loaded) if isinstance(loaded, dict) else loaded
    load_state(model, state, str(weights))
    return model


def model_of(config: Any) -> nn.Module:
    """Build a model of stable-worldmodel from its config.json, with random weights."""
    with _model_code():
        model = instantiate(config)
    if not isinstance(model, nn.Module):
        raise ExportError(f'config.json: describes a {type(model).__name__}, not a model')
    return model


def instantiate(config: Any) -> Any:
    """Build what a Hydra-style configuration describes, from a short list of callables.

    `_target_`, `_partial_` and `_recursive_` mean what they mean in Hydra. A target that is not a
    model part of stable-worldmodel or a class of torch.nn is refused: calling whatever a file names
    would run whatever its author wants.
    """
    if isinstance(config, list):
        return [instantiate(item) for item in config]
    if not isinstance(config, dict):
        return config
    if '_target_' not in config:
        return {key: instantiate(value) for key, value in config.items()}
    target = str(config['_target_'])
    arguments = {key: value for key, value in config.items()
                 if key not in ('_target_', '_partial_', '_recursive_', '_convert_')}
    if config.get('_recursive_', True):
        arguments = {key: instantiate(value) for key, value in arguments.items()}
    function = _resolve(target)
    if config.get('_partial_'):
        return functools.partial(function, **arguments)
    try:
        return function(**{key: Settings.of(value) for key, value in arguments.items()})
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError) as error:
        raise ExportError(f'config.json: {target} cannot be built: {error}') from error


class Settings(dict[str, Any]):
    """A mapping whose keys are attributes, too, as TD-MPC2 reads its configuration."""

    @classmethod
    def of(cls, value: Any) -> Any:
        """Turn plain mappings, not those of modules, into settings."""
        if type(value) is not dict or any(isinstance(v, nn.Module) for v in value.values()):
            return value
        return cls({key: cls.of(item) for key, item in value.items()})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(f'the configuration lacks "{name}"') from error


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(path.glob('*.pt'))
    if len(files) != 1:
        names = ', '.join(file.name for file in files) or 'none'
        raise ExportError(f'{path}: holds {len(files)} .pt files ({names}): name the one to export')
    return files[0]


def _resolve(target: str) -> Any:
    if target == 'stable_pretraining.backbone.utils.vit_hf':
        return _vit
    if target.endswith('prejepa.module.create_backbone'):
        return _backbone
    module, _, name = target.rpartition('.')
    if module == 'torch.nn' and isinstance(found := getattr(nn, name, None), type):
        return found
    if module == f'{_PACKAGE}.wm':  # names that the package's __init__ would collect
        places = [f'{module}.{family}' for family in _FAMILIES]
    elif module.startswith(f'{_PACKAGE}.wm.'):
        places = [module]
    else:
        raise ExportError(f'config.json: refuses to call "{target}": only model parts of '
                          'stable-worldmodel and classes of torch.nn are built from a file')
    for place in places:
        found = getattr(importlib.import_module(place), name, None)
        if isinstance(found, type) and issubclass(found, nn.Module):
            return found
    raise ExportError(f'config.json: "{target}" is not in the installed stable-worldmodel: install '
                      'the version that wrote the checkpoint')


@contextmanager
def _model_code() -> Iterator[None]:
    """Make `stable_worldmodel.wm.*` importable without the rest of the package.

    Its `__init__` loads simulators, data bases and torchvision; the models need torch and einops.
    """
    if _PACKAGE in sys.modules:
        yield
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ExportError('needs the models of stable-worldmodel: pip install --no-deps '
                          'stable-worldmodel==0.1.1 && pip install einops transformers')
    root = Path(next(iter(spec.submodule_search_locations)))
    shells = {_PACKAGE: root, f'{_PACKAGE}.wm': root / 'wm'}
    for name, path in shells.items():
        shell = types.ModuleType(name)
        shell.__path__ = [str(path)]
        sys.modules[name] = shell
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExportError(f'stable-worldmodel needs {error.name}: pip install {error.name}'
                          ) from error
    finally:
        for name in shells:
            sys.modules.pop(name, None)


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or name).partition('.')[0]
        raise ExportError(f'needs {package}: pip install {package}') from error


def _vit(
    size: str = 'tiny', patch_size: int = 16, image_size: int = 224, pretrained: bool = False,
    use_mask_token: bool = True, **more: Any,
) -> nn.Module:
    """Vision Transformer of `transformers`, weights to come from the checkpoint."""
    transformers = _package('transformers')
    width, blocks, heads = _VIT[size]
    settings = {'hidden_size': width, 'num_hidden_layers': blocks, 'num_attention_heads': heads,
                'intermediate_size': 4 * width, 'image_size': image_size,
                'patch_size': patch_size, **more}
    model: nn.Module = transformers.ViTModel(
        transformers.ViTConfig(**settings), add_pooling_layer=False, use_mask_token=use_mask_token)
    return model


def _backbone(name: str) -> nn.Module:
    """Frozen vision encoder of DINO-WM, weights to come from the checkpoint: nothing is fetched."""
    transformers = _package('transformers')
    size = name.removeprefix('facebook/').replace('-', '_').removeprefix('dinov2_')
    if size in _DINOV2 and 'dinov2' in name:
        width, blocks, heads = _DINOV2[size]
        config = transformers.Dinov2Config(
            hidden_size=width, num_hidden_layers=blocks, num_attention_heads=heads,
            image_size=518, patch_size=14, use_swiglu_ffn=size == 'giant')
        model: nn.Module = transformers.Dinov2Model(config)
        return model
    try:
        model = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(name))
    except OSError as error:
        raise ExportError(f'the backbone "{name}" is none of DINOv2, and its configuration is not '
                          f'in the Hugging Face cache: fetch it once with '
                          f'"hf download {name} config.json"') from error
    vision = getattr(model, 'vision_model', model)
    return vision if isinstance(vision, nn.Module) else model


def _without_wrappers(key: str) -> str:
    """Drop what data-parallel training and torch.compile put before a name."""
    for prefix in ('module.', '_orig_mod.'):
        key = key.removeprefix(prefix)
    return key
