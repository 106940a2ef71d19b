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
"""What all sections of a manifest are made of: strict models, checked names, numbers and paths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

PositiveInt = Annotated[int, Field(gt=0)]
Size = Annotated[int, Field(gt=0, le=8192)]
PositiveFloat = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern='^[0-9a-f]{64}$')]
Numbers = Annotated[tuple[float, ...], Field(min_length=1)]
PositiveNumbers = Annotated[tuple[PositiveFloat, ...], Field(min_length=1)]


def fault(field: str, problem: str, cure: str) -> PydanticCustomError:
    """A validation error that keeps field, problem and cure apart for `BundleError`."""
    context = {'field': field, 'problem': problem, 'cure': cure}
    return PydanticCustomError('fault', '{field}: {problem}', context)


def is_plain_path(name: str) -> bool:
    """Whether `name` is relative, in its shortest form, and stays in the folder that it is in."""
    path = PurePosixPath(name)
    strange = '\\' in name or '\0' in name or name != str(path)
    return not (strange or path.is_absolute() or '..' in path.parts)


def _inside_folder(name: str) -> str:
    if not is_plain_path(name):
        raise fault('', f'"{name}" is not a plain path inside the bundle', 'put the file into the '
                    'bundle and name it relative to it, without ".." and without a leading "/"')
    return name


def unique(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names something twice."""
    if len(set(names)) != len(names):
        raise fault('', f'names repeat in {list(names)}', 'name each once')
    return names


FileName = Annotated[Text, AfterValidator(_inside_folder)]
Names = Annotated[tuple[Text, ...], Field(min_length=1), AfterValidator(unique)]


def same_length(field: str, values: Sequence[object], expected: int, of: str) -> None:
    """Refuse a list that does not have one entry for each of something."""
    if len(values) != expected:
        raise fault(field, f'has {len(values)} entries where {of} has {expected}',
                    f'give one entry for each of the {expected}')


class Section(BaseModel):
    """Strict: no unknown keys, no conversions, no NaN, nothing changes after loading."""

    model_config = ConfigDict(strict=True, extra='forbid', frozen=True, allow_inf_nan=False,
                              use_attribute_docstrings=True)


class Normalization(Section):
    """Graphs see `(physical - mean) / std`, entry by entry."""

    mean: Numbers
    """Subtracted first; in the physical unit of each entry."""
    std: PositiveNumbers
    """Divided by then; in the physical unit of each entry."""
