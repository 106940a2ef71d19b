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

"""How many hostile messages each border has refused: the table at the end of a test run.

A border's quota is what its test must send. The quotas add up to over 110,000; each test counts
what was refused, one by one, and fails if something was not. Over DDS, newer messages may take the
place of older ones that nobody has read: what is counted there is what was judged, and the test
says how much of its quota that must be.
"""

QUOTAS = {
    'image pixels (observation)': 15_000,
    'joint states (observation)': 10_000,
    'poses (observation)': 5_000,
    'joint states (controller)': 10_000,
    'tensors and goal latents': 10_000,
    'proposals (controller)': 15_000,
    'model announcements (controller)': 5_000,
    'heartbeats (controller)': 2_000,
    'message bytes on the wire': 15_000,
    'manifest values': 10_000,
    'manifest text': 500,
    'golden vectors': 1_500,
    'ONNX graph bytes': 8_000,
}
"""At function level: border -> hostile cases."""

DDS_QUOTAS = {
    'DDS: proposals, one by one': 3_000,
    'DDS: proposals, in a burst': 3_000,
    'DDS: joint states to the controller': 1_500,
    'DDS: model announcements': 300,
    'DDS: bytes that are no message': 600,
    'DDS: images': 1_500,
    'DDS: joint states to the model': 1_000,
    'DDS: goal pictures and latents': 60,
    'DDS: parameters and services': 400,
}
"""Over real DDS into the real processes: border -> hostile cases."""

refused: dict[str, int] = {}
"""Border -> cases judged and refused so far in this run."""

remarks: dict[str, str] = {}
"""Border -> what the table says beside the number."""


def count(border: str, cases: int, remark: str = '') -> None:
    """Note that ``cases`` more were refused; the border must be one of the quotas."""
    assert border in QUOTAS or border in DDS_QUOTAS, border
    refused[border] = refused.get(border, 0) + cases
    if remark:
        remarks[border] = remark


def table() -> list[str]:
    """Return the lines of the table, with the total; empty if nothing was sent."""
    if not refused:
        return []
    lines = [f'{border:<40}{cases:>9,}  {remarks.get(border, "")}'.rstrip()
             for border, cases in refused.items()]
    return [*lines, f'{"total":<40}{sum(refused.values()):>9,}']
