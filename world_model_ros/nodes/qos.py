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

"""The quality of service of each kind of topic, in one place."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data

# Poses, camera_info, latents and the like: the newest counts, a lost one is not sent again.
SENSOR = qos_profile_sensor_data

# Joint states: the same, with room for half a second at 100 Hz: with five, a busy machine lost 12
# of 3,034 (benchmarks/soak.py).
JOINTS = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)

# Images: the same, with room for a third of a second at 30 Hz. The five of the sensor profile
# overflow when other processes keep both cores busy (4 of 11,991 images lost at a load of 8).
IMAGE = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)

# Proposals and the like: each one arrives, and only the newest is worth having.
COMMAND = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)

# Commands to a drive, at both ends: ros2_control's depth, so that none is overwritten unsent or
# unread.
DRIVE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)

# Setpoints and states at the control rate: with a depth of 1 the publisher of a busy machine
# overwrote some before they were sent, and recorders saw steps that were none. A robot takes the
# newest all the same, by its own depth.
SETPOINT = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)

# Proposals as the controller takes them: each one is judged, so that a flood of bad ones does not
# push a good one out of the queue.
PROPOSALS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)

# What stays true until it is said anew; late joiners get it too.
LATCHED = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

# A sign of life at a steady rate: silence for the deadline is an event at both ends.
HEARTBEAT = QoSProfile(
    depth=1, reliability=ReliabilityPolicy.RELIABLE, deadline=Duration(seconds=0.2))
