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
"""The allocator keeps the memory of pictures, or else each costs hundreds of page faults."""

import subprocess
import sys

PICTURES = """
import resource
from world_model_ros.nodes.heap import settle_allocator
settle_allocator()

def take():
    pictures = [bytearray(921_600) for _ in range(3)]

take()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    take()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_of_pictures_is_not_given_back_and_asked_for_again_each_time() -> None:
    run = subprocess.run([sys.executable, '-c', PICTURES], capture_output=True, text=True,
                         check=True)
    assert int(run.stdout) < 100  # 42,000 where it is
