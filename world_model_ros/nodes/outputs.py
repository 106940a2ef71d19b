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

"""What the world model says on its topics: from latents and plans to messages."""

from __future__ import annotations

from functools import partial

from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import Header

from world_model_interfaces.msg import (
    ActionProposal,
    Forecast,
    Heartbeat,
    Latent,
    ModelInfo,
    Surprise,
)
from world_model_ros.monitor import Activity
from world_model_ros.nodes.convert import to_stamp, to_tensor
from world_model_ros.nodes.loaded_model import LoadedModel
from world_model_ros.nodes.observer import Encoded
from world_model_ros.nodes.proposer import Proposed
from world_model_ros.nodes.qos import COMMAND, HEARTBEAT, LATCHED, SENSOR

_FLUSH = Duration(seconds=0.05)  # at most, for messages to arrive where a model changes


class Outputs:
    """Publishes, from any thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        create = node.create_publisher
        self._latents = create(Latent, '~/latent', SENSOR)
        self._forecasts = create(Forecast, '~/forecast', COMMAND)
        self._proposals = create(ActionProposal, '~/proposal', COMMAND)
        self._infos = create(ModelInfo, '~/model_info', LATCHED)
        self._heartbeats = create(Heartbeat, '~/heartbeat', HEARTBEAT)
        surprises = create(Surprise, '~/surprise', SENSOR)
        shadow_surprises = create(Surprise, '~/shadow/surprise', SENSOR)
        self.surprise, self.shadow_surprise = surprises.publish, shadow_surprises.publish
        self._destroy = [partial(node.destroy_publisher, publisher) for publisher in (
            self._latents, self._forecasts, self._proposals, self._infos, self._heartbeats,
            surprises, shadow_surprises)]

    def destroy(self) -> None:
        """Leave all topics."""
        for destroy in self._destroy:
            destroy()

    def announce(self, model: LoadedModel) -> None:
        """Say which model proposes from now on."""
        # Topics do not keep order among each other: the old model's last proposal is to be there
        # before the announcement, and that before the new model's first proposal.
        self._proposals.wait_for_all_acked(_FLUSH)
        self._infos.publish(model.info(self._node.get_clock().now().to_msg()))
        self._infos.wait_for_all_acked(_FLUSH)
        self._node.get_logger().info(f'model {model}, from {model.bundle.path}')

    def beat(self, model: LoadedModel, activity: Activity, text: str) -> None:
        """Say what the model does."""
        self._heartbeats.publish(Heartbeat(
            header=Header(stamp=self._node.get_clock().now().to_msg()),
            model_digest=model.digest, activity=int(activity), text=text))

    def latent(self, encoded: Encoded) -> None:
        """Publish what a model made of an observation."""
        self._latents.publish(Latent(
            header=Header(stamp=to_stamp(encoded.stamp), frame_id=encoded.frame_id),
            model=encoded.model.name, model_digest=encoded.model.digest,
            tensor=to_tensor(encoded.context.latent)))

    def plan(self, proposed: Proposed) -> None:
        """Publish a plan, for the controller, and what is expected of it, for people."""
        plan, model = proposed.plan, proposed.encoded.model
        action = model.manifest.action
        header = Header(stamp=to_stamp(proposed.encoded.stamp), frame_id=action.frame or '')
        self._proposals.publish(ActionProposal(
            header=header, plan_id=proposed.id, model_digest=model.digest,
            goal_id=proposed.goal_id, kind=model.kind, names=model.driven_names,
            step_duration=action.step_duration, values=to_tensor(model.driven(plan.actions)),
            cost=plan.cost, goal_distance=plan.goal_distance, samples=plan.samples,
            planning_time=plan.planning_time))
        self._forecasts.publish(Forecast(
            header=header, plan_id=proposed.id, model_digest=model.digest,
            goal_id=proposed.goal_id, step_duration=action.step_duration,
            model_step=action.model_step, actions=to_tensor(plan.actions),
            latents=to_tensor(plan.latents), cost=plan.step_costs.tolist()))
