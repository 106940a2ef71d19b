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

"""What the storms over DDS share: fresh diagnostics, and hostile parameters."""

import time
from typing import Any

import numpy as np
from dds import Graph, values
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import ListParameters, SetParameters

from world_model_ros.nodes.convert import to_nanoseconds


class Diagnostics:
    """Everything that is said on /diagnostics, with the time of it."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._arrays: list[DiagnosticArray] = graph.listen(DiagnosticArray, '/diagnostics')

    def fresh(self, name: str) -> dict[str, str]:
        """Return the values of a status that was sent after this was called."""
        since = self._graph.now()

        def find() -> Any:
            return next((status for array in reversed(self._arrays) for status in array.status
                         if status.name == name and to_nanoseconds(array.header.stamp) > since),
                        None)
        self._graph.wait_for(lambda: find() is not None, 115.0, f'fresh diagnostics of {name}')
        return values(find())


def pace(graph: Graph, sent: int) -> None:
    """Keep a storm on a best effort topic to about one message in a millisecond."""
    time.sleep(0.001)
    if sent % 10 == 0:
        graph.listen_for(0.01)


def difference(before: dict[str, str], after: dict[str, str], prefix: str) -> int:
    return sum(int(after[name]) - int(before.get(name, 0))
               for name in after if name.startswith(prefix))


def hostile_values(kind: int) -> list[ParameterValue]:
    """Values of every type but ``kind``, and of that type what no range holds."""
    whole = (2**63 - 1, -2**63)
    made = [ParameterValue(type=1, bool_value=True),
            *(ParameterValue(type=2, integer_value=number) for number in whole),
            *(ParameterValue(type=3, double_value=number)
              for number in (np.nan, np.inf, -np.inf, 1e300, -1.0)),
            ParameterValue(type=5, byte_array_value=[b'\xff']),
            ParameterValue(type=6, bool_array_value=[True]),
            ParameterValue(type=8, double_array_value=[np.nan] * 100),
            ParameterValue(type=4, string_value='x' * 5000),
            ParameterValue(type=9, string_array_value=['x'] * 100)]
    return [value for value in made if value.type != kind or kind in (2, 3)]


def refuse_parameters(graph: Graph, node: str) -> int:
    """Send an active node's parameters every hostile value; return how many were refused."""
    setter = graph.node.create_client(SetParameters, f'{node}/set_parameters')
    lister = graph.node.create_client(ListParameters, f'{node}/list_parameters')
    for client in (setter, lister):
        graph.wait_for(client.service_is_ready, 10.0, 'the parameter services')

    def call(client: Any, request: Any) -> Any:
        future = client.call_async(request)
        graph.wait_for(future.done, 10.0, 'an answer')
        return future.result()

    names = call(lister, ListParameters.Request()).result.names
    changes = [Parameter(name=name, value=value)
               for name in names for value in hostile_values(kinds(name))]
    changes += [Parameter(name=name, value=ParameterValue(type=4, string_value='x'))
                for name in (' ', 'nonexistent', 'x' * 1000, '\n', '../x', '/**', 'joints.0')]
    for change in changes:
        result = call(setter, SetParameters.Request(parameters=[change])).results[0]
        assert not result.successful, (change.name, change.value)
        assert result.reason
    # rclpy raises on a type that there is not (up to 9.1): nobody answers, and the node lives.
    setter.call_async(SetParameters.Request(parameters=[
        Parameter(name='use_sim_time', value=ParameterValue(type=77))]))
    assert call(lister, ListParameters.Request()).result.names == names
    for client in (setter, lister):
        graph.node.destroy_client(client)
    return len(changes) + 1


def kinds(name: str) -> int:
    """The type of value that a parameter of this name would rightly take, as far as it matters."""
    return {'use_sim_time': 1, 'autostart': 1}.get(name, 0)
