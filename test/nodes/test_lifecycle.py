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
import weakref

from lifecycle_msgs.srv import GetState
import numpy as np
from planner_rig import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, eventually, GOAL, Toy, transition
import psutil
import pytest
import rclpy
from rclpy.parameter import Parameter
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.msg import EndEffectorState
from vjepa2_interfaces.srv import ListModels
from vjepa2_planner_ros.client import PlannerClient
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.nodes.process import THREADS
from vjepa2_planner_ros.world_model import ModelNotFoundError

PROCESS = """
import sys
sys.path.insert(0, sys.argv.pop())
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.nodes.planner_node import PlannerNode
from vjepa2_planner_ros.nodes.process import run
import time

class Slow(ToyWorldModel):
    def rollout(self, *args):
        time.sleep(0.05)
        return super().rollout(*args)

class Lasting(ToyWorldModel):
    calls = 0

    def rollout(self, *args):
        Lasting.calls += 1
        if Lasting.calls > 20:  # in a plan, not while it is warmed up
            print('lasting', flush=True)
            time.sleep(600.0)
        return super().rollout(*args)

def load(name, **options):
    if name == 'endless':
        print('loading', flush=True)
        time.sleep(600.0)
    return Lasting() if name == 'lasting' else Slow()

sys.exit(run(lambda: PlannerNode(load_model=load), sys.argv))
"""

EARLY = """
import sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == 'rclpy':  # the import takes its time
            print('importing', flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
from vjepa2_planner_ros.nodes.programs import planner_node
planner_node()
"""
STUCK = """
import ctypes
from rclpy.node import Node
from vjepa2_planner_ros.nodes.process import run

class Stuck(Node):
    def __init__(self):
        super().__init__('stuck')
        print('ready', flush=True)

    def stop(self, timeout):
        return True

    def destroy_node(self):
        ctypes.{library}(None).sleep(600)  # PyDLL: with Python's lock, which CDLL releases

run(Stuck)
"""


def start_process(model, namespace):
    """Start a planner as a process; return it."""
    return subprocess.Popen(
        [
            sys.executable,
            '-c',
            PROCESS,
            '--ros-args',
            '-p',
            f'model:={model}',
            '-r',
            f'__ns:={namespace}',
            str(Path(__file__).parents[2]),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'PYTHONUNBUFFERED': '1'},
    )


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
    assert transition(robot, CONFIGURE)
    assert transition(robot, ACTIVATE)
    assert np.isfinite(robot.ready().plan().command).all()


@pytest.mark.case(52)
def test_failed_configure_can_be_tried_again(make_robot):
    missing = [True]

    def load(name, **options):
        if missing:
            raise ModelNotFoundError(f'no weights at {options["checkpoint"]}')
        return Toy()

    robot = make_robot(load_model=load, autostart=False, checkpoint='/nowhere/weights.pt')
    assert not transition(robot, CONFIGURE)
    assert state_of(robot) == 'unconfigured'
    missing.clear()
    assert transition(robot, CONFIGURE)
    assert transition(robot, ACTIVATE)
    assert np.isfinite(robot.ready().plan().command).all()


@pytest.mark.case(52)
@pytest.mark.parametrize('number', [DEACTIVATE, CLEANUP])
def test_a_transition_that_raises_leads_back_to_unconfigured(make_robot, monkeypatch, number):
    robot = make_robot().ready()
    if number == CLEANUP:
        assert transition(robot, DEACTIVATE)
    with monkeypatch.context() as patch:

        def fail(*args):
            patch.undo()
            raise RuntimeError('unexpected')

        patch.setattr(robot.planner, 'end_goals', fail)
        assert not transition(robot, number)
    assert state_of(robot) == 'unconfigured'
    eventually(lambda: any('unexpected' in line for line in robot.errors()))
    assert robot.planner._worker.model is None
    assert transition(robot, CONFIGURE) and transition(robot, ACTIVATE)
    assert np.isfinite(robot.ready().plan().command).all()


def test_weights_that_cannot_be_given_back_do_not_keep_the_node(make_robot):
    robot = make_robot().ready()
    robot.model.drop_weights = lambda: 1 / 0
    assert transition(robot, DEACTIVATE)
    assert not transition(robot, CLEANUP)
    eventually(lambda: any('ZeroDivisionError' in line for line in robot.errors()))
    assert state_of(robot) == 'unconfigured' and robot.planner._worker.model is None
    robot.model = Toy()
    assert transition(robot, CONFIGURE) and transition(robot, ACTIVATE)
    assert np.isfinite(robot.ready().plan().command).all()


def test_parameters_reach_the_loader(make_robot):
    asked = {}

    def load(name, **options):
        asked.update(name=name, **options)
        return Toy()

    robot = make_robot(load_model=load, model='vit-giant-ac', device='cuda:1', dtype='float16')
    robot.ready()
    assert (
        asked.items()
        >= {
            'name': 'vit-giant-ac',
            'device': 'cuda:1',
            'dtype': 'float16',
            'checkpoint': None,
            'cache': None,
        }.items()
    )
    robot.planner.set_parameters(
        [Parameter('checkpoint', value='/w.pt'), Parameter('model_cache', value='/cache')]
    )
    for number in (DEACTIVATE, CLEANUP, CONFIGURE):
        assert transition(robot, number)
    assert (asked['checkpoint'], asked['cache']) == ('/w.pt', '/cache')


@pytest.mark.case(53)
@pytest.mark.slow
def test_twenty_cycles_leave_neither_threads_nor_memory(make_robot):
    models = []

    def load(name, **options):
        model = Toy()
        model.weights = np.ones(8_000_000)  # 64 MB
        models.append(weakref.ref(model))
        return model

    robot = make_robot(load_model=load).ready()
    robot.plan(iterations=1)
    process, threads, memory = psutil.Process(), threading.active_count(), 0
    for cycle in range(20):
        for number in (DEACTIVATE, CLEANUP, CONFIGURE, ACTIVATE):
            assert transition(robot, number)
        robot.plan(iterations=1)
        assert len(models) == cycle + 2
        assert models[-1]() is not None
        eventually(lambda: not any(model() for model in models[:-1]))  # diagnostics may look
        if cycle == 4:
            memory = process.memory_info().rss
    # The executor's pool may have filled up since; each of twenty cycles makes a torch thread.
    eventually(lambda: threading.active_count() <= threads + THREADS + 4)
    assert process.memory_info().rss - memory < 64e6  # one of the fifteen models loaded since


WITHOUT_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torch':
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)

sys.meta_path.insert(0, Refuse())
from vjepa2_planner_ros.nodes.planner_node import main
sys.exit(main())
"""


@pytest.mark.case(56)
@pytest.mark.slow
def test_without_torch_the_node_says_what_to_run_and_stays(robot):
    process = subprocess.Popen(
        [sys.executable, '-c', WITHOUT_TORCH, '--ros-args', '-r', '__ns:=/bare'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, 'PYTHONUNBUFFERED': '1'},
    )
    try:
        seen = []
        for line in process.stdout:
            seen.append(line)
            if 'pip install torch' in line:
                break
        assert "No module named 'torch" in seen[-1] and 'pip install torch' in seen[-1], seen
        assert process.poll() is None
        ask = robot.node.create_client(ListModels, '/bare/planner/list_models')
        assert ask.wait_for_service(60.0)
        answer = ask.call_async(ListModels.Request())
        eventually(answer.done)
        assert not answer.result().models
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=60.0)[0]
        assert process.returncode == 0 and 'Traceback' not in ''.join(seen) + rest, rest
    finally:
        process.kill()
        process.wait()


@pytest.mark.case(55)
@pytest.mark.parametrize('number, model', [(signal.SIGTERM, 'toy'), (signal.SIGINT, 'endless')])
@pytest.mark.slow
def test_signal_ends_the_process_in_two_seconds_with_code_0(number, model):
    # A machine that is busy may stand still for a while: the quickest of three counts.
    assert min(time_to_end(number, model) for _ in range(3)) < 2.0


@pytest.mark.parametrize(
    'library, code, text', (('CDLL', 0, 'has not ended within'), ('PyDLL', 1, 'destroy_node'))
)
@pytest.mark.slow
def test_a_middleware_that_does_not_let_go_cannot_keep_the_process(library, code, text):
    program = STUCK.replace('{library}', library)
    process = subprocess.Popen(
        [sys.executable, '-c', program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout.readline() == 'ready\n'
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=60.0)[0]
        assert process.returncode == code and text in output, output
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize('number', (signal.SIGTERM, signal.SIGINT))
@pytest.mark.slow
def test_a_signal_while_the_node_is_imported_ends_it_with_code_0(number):
    process = subprocess.Popen(
        [sys.executable, '-c', EARLY], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout.readline() == 'importing\n'
        process.send_signal(number)
        output = process.communicate(timeout=60.0)[0]
        assert process.returncode == 0 and not output, output
    finally:
        process.kill()
        process.wait()


def time_to_end(number, model):
    """Start a planner and send it a signal; return the time [s] until it has ended."""
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
        taken = time.monotonic() - began
        assert process.returncode == 0, rest
        assert 'Traceback' not in rest, rest
        return taken
    finally:
        process.kill()
        process.wait()


@pytest.mark.case(55)
@pytest.mark.slow
def test_signal_tells_the_client_however_long_an_iteration_lasts(context):
    process = start_process('lasting', '/lasting')
    node = rclpy.create_node(
        'watcher', context=context, namespace='/lasting', use_global_arguments=False
    )
    state = EndEffectorState()
    state.pose.position.x = 0.4
    picture = ToyWorldModel.picture(GOAL)
    try:
        with PlannerClient(node) as client:
            assert client.wait_until_ready(60.0)
            future = client.plan_async(
                picture, current_image=picture, start_state=state, iterations=100
            )
            assert any(line == 'lasting\n' for line in process.stdout)
            process.send_signal(signal.SIGTERM)
            failure = future.exception(60.0)
        assert failure.code == ErrorCode.NODE_DEACTIVATED, failure
        rest = process.communicate(timeout=60.0)[0]
        assert process.returncode == 0 and 'Traceback' not in rest, rest
    finally:
        process.kill()
        process.wait()
        node.destroy_node()


@pytest.mark.case(55)
@pytest.mark.slow
def test_signal_in_the_middle_of_a_plan_tells_the_client(context):
    process = start_process('toy', '/interrupted')
    node = rclpy.create_node(
        'watcher', context=context, namespace='/interrupted', use_global_arguments=False
    )
    state = EndEffectorState()
    state.pose.position.x, state.pose.orientation.w = 0.4, 1.0
    picture = ToyWorldModel.picture(GOAL)
    try:
        with PlannerClient(node) as client:
            assert client.wait_until_ready(60.0)
            iterating = threading.Event()
            future = client.plan_async(
                picture,
                current_image=picture,
                start_state=state,
                iterations=100,
                # Feedback may come before the acceptance, after which the result is asked for.
                on_feedback=lambda feedback: (
                    iterating.set() if feedback.iteration.iteration == 10 else None
                ),
            )
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
