# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner as a lifecycle node and as a process."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
import numpy as np
from planner_rig import eventually, GOAL, Toy
import pytest
import rclpy
from rclpy.parameter import Parameter
from toy_world_model import ToyWorldModel
from vjepa2_interfaces.msg import EndEffectorState

from vjepa2_planner_ros.client import PlannerClient
from vjepa2_planner_ros.error_codes import ErrorCode
from vjepa2_planner_ros.world_model import ModelNotFoundError

PROCESS = """
import sys
sys.path.insert(0, sys.argv.pop())
from toy_world_model import ToyWorldModel
from vjepa2_planner_ros.nodes.planner_node import PlannerNode
from vjepa2_planner_ros.nodes.process import run
import time

class Slow(ToyWorldModel):
    def rollout(self, *args):
        time.sleep(0.05)
        return super().rollout(*args)

def load(name, **options):
    if name == 'endless':
        print('loading', flush=True)
        time.sleep(600.0)
    return Slow()

sys.exit(run(lambda: PlannerNode(load_model=load), sys.argv))
"""


def start_process(model, namespace):
    """Start a planner as a process; return it."""
    return subprocess.Popen(
        [sys.executable, '-c', PROCESS, '--ros-args', '-p', f'model:={model}', '-r',
         f'__ns:={namespace}', str(Path(__file__).parents[1])],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, 'PYTHONUNBUFFERED': '1'})


def transition(robot, number):
    """Ask for a lifecycle transition as a manager would; return whether it succeeded."""
    change = robot.node.create_client(ChangeState, 'planner/change_state')
    assert change.wait_for_service(60.0)
    answer = change.call_async(ChangeState.Request(transition=Transition(id=number)))
    eventually(answer.done)
    return answer.result().success


def state_of(robot):
    """Return the label of the planner's lifecycle state."""
    ask = robot.node.create_client(GetState, 'planner/get_state')
    assert ask.wait_for_service(60.0)
    answer = ask.call_async(GetState.Request())
    eventually(answer.done)
    return answer.result().current_state.label


def test_managed_start(make_robot):
    robot = make_robot(autostart=False)
    assert state_of(robot) == 'unconfigured'
    assert not robot.client.wait_until_ready(0.1)
    assert transition(robot, Transition.TRANSITION_CONFIGURE)
    assert transition(robot, Transition.TRANSITION_ACTIVATE)
    assert np.isfinite(robot.ready().plan().command).all()


def test_failed_configure_can_be_tried_again(make_robot):
    missing = [True]

    def load(name, **options):
        if missing:
            raise ModelNotFoundError(f'no weights at {options["checkpoint"]}')
        return Toy()

    robot = make_robot(load_model=load, autostart=False, checkpoint='/nowhere/weights.pt')
    assert not transition(robot, Transition.TRANSITION_CONFIGURE)
    assert state_of(robot) == 'unconfigured'
    missing.clear()
    assert transition(robot, Transition.TRANSITION_CONFIGURE)
    assert transition(robot, Transition.TRANSITION_ACTIVATE)
    assert np.isfinite(robot.ready().plan().command).all()


def test_parameters_reach_the_loader(make_robot):
    asked = {}

    def load(name, **options):
        asked.update(name=name, **options)
        return Toy()

    robot = make_robot(load_model=load, model='vit-giant-ac', device='cuda:1', dtype='float16')
    robot.ready()
    assert asked == {'name': 'vit-giant-ac', 'device': 'cuda:1', 'dtype': 'float16',
                     'checkpoint': None}
    robot.planner.set_parameters([Parameter('checkpoint', value='/w.pt')])
    for number in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
                   Transition.TRANSITION_CONFIGURE):
        assert transition(robot, number)
    assert asked['checkpoint'] == '/w.pt'


def test_many_cycles_leave_no_threads(make_robot):
    robot = make_robot().ready()
    robot.plan()
    threads = threading.active_count()
    for _ in range(5):
        for number in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP,
                       Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            assert transition(robot, number)
    robot.plan()
    eventually(lambda: threading.active_count() <= threads)


@pytest.mark.parametrize('number, model', [
    (signal.SIGTERM, 'toy'), (signal.SIGINT, 'endless')])
def test_signal_ends_the_process_in_two_seconds_with_code_0(number, model):
    process = start_process(model, '/signals')
    try:
        expected = 'loading' if model == 'endless' else 'Goals are accepted'
        seen = []
        for line in process.stdout:
            seen.append(line)
            if expected in line:
                break
        assert expected in ''.join(seen[-1:]), ''.join(seen)
        began = time.monotonic()
        process.send_signal(number)
        rest = process.communicate(timeout=60.0)[0]
        assert process.returncode == 0, rest
        # Two seconds on a machine that is free; on a busy one it tells at least that neither
        # the load nor the plan was waited for.
        assert time.monotonic() - began < 30.0
        assert 'Traceback' not in rest, rest
    finally:
        process.kill()
        process.wait()


def test_signal_in_the_middle_of_a_plan_tells_the_client(context):
    process = start_process('toy', '/interrupted')
    node = rclpy.create_node('watcher', context=context, namespace='/interrupted',
                             use_global_arguments=False)
    state = EndEffectorState()
    state.pose.position.x, state.pose.orientation.w = 0.4, 1.0
    picture = ToyWorldModel.picture(GOAL)
    try:
        with PlannerClient(node) as client:
            assert client.wait_until_ready(60.0)
            iterating = threading.Event()
            future = client.plan_async(
                picture, current_image=picture, start_state=state, iterations=100,
                on_feedback=lambda feedback: iterating.set()
                if feedback.phase == feedback.OPTIMIZING else None)
            assert iterating.wait(60.0)
            process.send_signal(signal.SIGINT)
            failure = future.exception(60.0)
        assert failure.code == ErrorCode.NODE_DEACTIVATED, failure
        rest = process.communicate(timeout=60.0)[0]
        assert process.returncode == 0 and 'Traceback' not in rest, rest
    finally:
        process.kill()
        process.wait()
        node.destroy_node()
