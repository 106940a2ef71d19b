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
"""The table of faults: what is done, what must follow, what a person must get to read."""

from __future__ import annotations

import errno
import signal
import time
from typing import Any

from faults.cell import Cell, is_root, limit_address_space
from faults.spoiled import HANG, NAN_LATENT, NAN_ROLLOUT
from faults.trial import (
    Fault,
    Step,
    at_once,
    clock_stands,
    heartbeat_failed,
    joints_stale,
    observation_late,
    setpoint_left_frozen_joint,
    whichever_first,
)

from world_model_interfaces.srv import LoadModel, Reset, Stop

MODEL_SILENT = 'the last observation behind a plan is older than late_after'
CLOCK_JUMPS = 'the ROS clock moves back, or by over 0.2 s more than steady time does'
CLOCK_STANDS = 'the ROS clock has not moved for 0.15 s of steady time'
MODEL_FAILED = 'its heartbeat says FAILED, or, if that is sooner, ' + MODEL_SILENT
JOINTS_SILENT = 'the last good joint state is older than joint_state_timeout'


def _kill_model(cell: Cell) -> int:
    return cell.signal(cell.model, signal.SIGKILL)


def _restart_model(cell: Cell) -> int:
    now = time.time_ns()
    cell.start_model()
    return now


def _kill_controller(cell: Cell) -> int:
    return cell.signal(cell.controller, signal.SIGKILL)


def _restart_controller(cell: Cell) -> int:
    now = time.time_ns()
    cell.start_controller()
    return now


def _stop_model(cell: Cell) -> int:
    return cell.signal(cell.model, signal.SIGSTOP)


def _continue_model(cell: Cell) -> int:
    return cell.signal(cell.model, signal.SIGCONT)


def _stop_controller(cell: Cell) -> int:
    return cell.signal(cell.controller, signal.SIGSTOP)


def _continue_controller(cell: Cell) -> int:
    return cell.signal(cell.controller, signal.SIGCONT)


def _spoil(**parts: Any) -> Any:
    return lambda cell: cell.order(**parts)


def _rogue(mode: str) -> Any:
    def start(cell: Cell) -> int:
        process = cell.start_rogue(mode)
        known = {line.publisher for kind in ('proposal', 'joints', 'command')
                 for line in cell.recording.lines(kind)}
        heard: list[int] = []

        def at_work() -> bool:
            assert process.poll() is None, cell.graph.output(process)
            for kind in ('proposal', 'joints', 'command'):
                for line in cell.recording.lines(kind, time.time_ns() - 5_000_000_000):
                    if line.publisher not in known:
                        heard.append(line.sent)
                        return True
            return False

        cell.wait_for(at_work, 20.0, f'the rogue to send {mode}')
        return heard[0]
    return start


def _end_rogues(cell: Cell) -> int:
    return cell.end_rogues()


def _call(cell: Cell, kind: type, name: str, request: Any) -> Any:
    client = cell.graph.node.create_client(kind, name)
    try:
        cell.wait_for(client.service_is_ready, 10.0, f'service {name}')
        future = client.call_async(request)
        cell.wait_for(future.done, 10.0, f'an answer of {name}')
        return future.result()
    finally:
        cell.graph.node.destroy_client(client)


def _emergency_stop(cell: Cell) -> int:
    client = cell.graph.node.create_client(Stop, 'controller/stop')
    cell.wait_for(client.service_is_ready, 10.0, 'service controller/stop')
    cell.move()  # finding the service took its time
    now = time.time_ns()
    future = client.call_async(Stop.Request(reason='a person stepped into the cell'))
    cell.wait_for(future.done, 10.0, 'an answer of controller/stop')
    assert future.result().success, future.result().message
    cell.graph.node.destroy_client(client)
    return now


def _reset(cell: Cell) -> int:
    now = time.time_ns()
    answer = _call(cell, Reset, 'controller/reset', Reset.Request(reason='the person has left'))
    assert answer.success, answer.message
    cell.wait(0.1)  # until the model has heard of it
    cell.send_far()  # a stop ends the goal
    return now


def _fill_disk(cell: Cell) -> int:
    now = time.time_ns()
    with (cell.logs / 'full').open('wb', buffering=0) as file:
        try:
            while True:
                file.write(b'\0' * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    cell.send_far()  # a new goal is logged
    return now


def _free_disk(cell: Cell) -> int:
    (cell.logs / 'full').unlink()
    return time.time_ns()


def _no_small_disk() -> str:
    return '' if is_root() else 'a disk of its own that can be filled takes root'


def _delete_model(cell: Cell) -> int:
    now = time.time_ns()
    cell.bundle.rename(cell.bundle.with_name('elsewhere'))
    answer = _call(cell, LoadModel, 'world_model/load_model',
                   LoadModel.Request(bundle=str(cell.bundle)))
    assert not answer.success and str(cell.bundle) in answer.message, answer.message
    return now


def _bring_model_back(cell: Cell) -> int:
    cell.bundle.with_name('elsewhere').rename(cell.bundle)
    return time.time_ns()


def _starve(cell: Cell) -> int:
    """Leave the model no byte more than it has, and ask for what takes many."""
    now = time.time_ns()
    limit_address_space(cell.model, 0)
    answer = _call(cell, LoadModel, 'world_model/load_model',
                   LoadModel.Request(bundle=str(cell.large_bundle)))
    assert not answer.success and answer.message, answer
    return now


def _feed(cell: Cell) -> int:
    limit_address_space(cell.model, None)
    return time.time_ns()


def _nothing(cell: Cell) -> int:
    return time.time_ns()


FAULTS = (
    Fault(
        'model killed', 'SIGKILL; the supervisor starts it anew', MODEL_SILENT, Step.HOLD,
        _kill_model, _restart_model, observation_late, ('controller: ladder', 'proposals stopped'),
        restarts='model'),
    Fault(
        'model stopped', 'SIGSTOP, later SIGCONT', MODEL_SILENT, Step.HOLD,
        _stop_model, _continue_model, observation_late,
        ('controller: ladder', 'proposals stopped')),
    Fault(
        'inference hangs', 'the encoder works on one picture for seconds', MODEL_FAILED, Step.HOLD,
        _spoil(camera={'paint': HANG}), Cell.repair,
        whichever_first(observation_late, heartbeat_failed),
        ('controller: ladder', 'the model failed: the model is hung')),
    Fault(
        'latents are NaN', 'the encoder gives NaN', MODEL_FAILED, Step.HOLD,
        _spoil(camera={'paint': NAN_LATENT}), Cell.repair,
        whichever_first(observation_late, heartbeat_failed),
        ('controller: ladder', 'the model failed: .*NaN')),
    Fault(
        'rollouts are NaN', 'every imagined future is NaN', MODEL_FAILED, Step.HOLD,
        _spoil(camera={'paint': NAN_ROLLOUT}), Cell.repair,
        whichever_first(observation_late, heartbeat_failed),
        ('controller: ladder', 'the model failed: .*NaN')),
    Fault(
        'camera unplugged', 'no picture passes', MODEL_SILENT, Step.HOLD,
        _spoil(camera={'drop': 1.0}), Cell.repair, observation_late,
        ('world_model: ', 'no image')),
    Fault(
        'camera frozen', 'the same picture with new stamps while the arm moves',
        'a joint has moved by over 0.05 rad and no byte has changed; then ' + MODEL_SILENT,
        Step.HOLD, _spoil(camera={'frozen': True}), Cell.repair, observation_late,
        ('world_model: ', 'the camera is frozen')),
    Fault(
        "camera's stamps frozen", 'new pictures with one stamp', MODEL_SILENT, Step.HOLD,
        _spoil(camera={'stamp': True}), Cell.repair, observation_late,
        ('world_model: ', 'stamp|old')),
    Fault(
        'joints unplugged', 'no joint state passes', JOINTS_SILENT, Step.HOLD,
        _spoil(joints={'drop': 1.0}), Cell.repair, joints_stale,
        ('controller: ladder', 'joint state is older')),
    Fault(
        "joints' stamps frozen", 'new joint states with one stamp', JOINTS_SILENT, Step.HOLD,
        _spoil(joints={'stamp': True}), Cell.repair, joints_stale,
        ('controller: ladder', 'joint state is older')),
    Fault(
        'joints frozen', 'the same joint positions with new stamps while the arm moves',
        'the setpoint has moved by half of following_tolerance, the joint not at all', Step.HOLD,
        _spoil(joints={'frozen': True}), Cell.repair, setpoint_left_frozen_joint,
        ('controller: ladder', 'has not changed at all')),
    Fault(
        '30 % of pictures lost', 'each with that chance', 'nothing: plans need no more', Step.TRACK,
        _spoil(camera={'drop': 0.3}), Cell.repair, at_once),
    Fault(
        'stamps 10 s ahead', 'of camera and joints', JOINTS_SILENT, Step.HOLD,
        _spoil(camera={'shift': 10.0}, joints={'shift': 10.0}), Cell.repair, joints_stale,
        ('controller: joint_states', 'stamp')),
    Fault(
        'stamps 10 s behind', 'of camera and joints', JOINTS_SILENT, Step.HOLD,
        _spoil(camera={'shift': -10.0}, joints={'shift': -10.0}), Cell.repair, joints_stale,
        ('controller: joint_states', 'stamp')),
    Fault(
        '1,000 proposals per second', 'copies of a good one, and of one from an unknown model',
        'each refusal is counted', Step.LAST, _rogue('flood'), _end_rogues, at_once,
        ('controller: proposals', 'nodes publish proposals')),
    Fault(
        'two models propose', 'full speed to and fro, as the announced model',
        'two publishers on the topic', Step.LAST, _rogue('proposals'), _end_rogues, at_once,
        ('controller: proposals', 'nodes publish proposals')),
    Fault(
        'two robots report joints', 'the same stamps, half a radian apart',
        'a joint jumps further than it can move', Step.HOLD, _rogue('joint_states'), _end_rogues,
        at_once, ('controller: ladder', 'joint states contradict each other')),
    Fault(
        'two controllers command', '50 more commands per second, of another node',
        'two publishers on the topic', Step.BRAKE, _rogue('commands'), _end_rogues, at_once,
        ('controller: ladder', '/rogue" may command the robot')),
    Fault(
        'model deleted', 'its folder, while it runs; then a hot swap to it is asked',
        'nothing: what runs is in memory; the swap is refused', Step.TRACK, _delete_model,
        _bring_model_back, at_once),
    Fault(
        'disk full', 'the disk of ROS_LOG_DIR', 'nothing: no node needs its log', Step.TRACK,
        _fill_disk, _free_disk, at_once, missing=_no_small_disk),
    Fault(
        'memory short', 'RLIMIT_AS at what the model has; then a hot swap to one of 64 MB is asked',
        'nothing: the model that runs needs no more; the swap is refused', Step.TRACK,
        _starve, _feed, at_once),
    Fault(
        'controller killed', 'SIGKILL; the supervisor starts it anew',
        "no command within the drive's own 0.2 s", Step.DRIVE, _kill_controller,
        _restart_controller, at_once, restarts='controller'),
    Fault(
        'controller stopped', 'SIGSTOP, later SIGCONT', "no command within the drive's own 0.2 s",
        Step.DRIVE, _stop_controller, _continue_controller, at_once),
    Fault(
        'emergency stop', '~/stop, then ~/reset', 'the request', Step.HOLD, _emergency_stop, _reset,
        at_once, ('controller: ', 'person stepped into the cell')),
    Fault(
        'clock set back', 'by 5 s', CLOCK_JUMPS, Step.BRAKE, _spoil(clock={'jump': -5.0}), _nothing,
        at_once, ('controller: (ladder|clock)', 'clock jumped back'), simulated_time=True),
    Fault(
        'clock set ahead', 'by 5 s', CLOCK_JUMPS, Step.BRAKE, _spoil(clock={'jump': 5.0}), _nothing,
        at_once, ('controller: (ladder|clock)', 'clock jumped ahead'), simulated_time=True),
    Fault(
        'clock stands still', '/clock pauses while the robot moves on', CLOCK_STANDS, Step.HOLD,
        _spoil(clock={'rate': 0.0}), _spoil(clock={}), clock_stands,
        ('controller: ladder', 'the ROS clock stands'), simulated_time=True),
)
