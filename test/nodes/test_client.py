# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PlannerClient: none of its callers waits for ever, whatever happens around it."""

import subprocess
import sys
import threading
import time

from planner_rig import eventually, Gate, GOAL
import pytest
import rclpy
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.client import goal_client as client_module, PlanFailed, PlannerClient
from vjepa2_planner_ros.messages.error_codes import ErrorCode

PICTURE = ToyWorldModel.picture(GOAL)


def failed_with(future):
    """Return with which code a goal fails, None if it succeeds."""
    error = future.exception(100.0)
    return None if error is None else error.code


@pytest.fixture
def before_accepting(robot, monkeypatch):
    """Return a function that has something done each time before the planner accepts a goal."""
    server = robot.planner._plans._server
    accept = server._goal_callback

    def go(something):
        monkeypatch.setattr(server, '_goal_callback', lambda goal: (something(), accept(goal))[-1])

    return go


@pytest.fixture
def foreign(robot):
    """Return a client in a ROS context of its own, and the context."""
    context = rclpy.Context()
    rclpy.init(context=context, args=['--ros-args', '-r', '__node:=launched'])
    node = rclpy.create_node('foreign', context=context, namespace=robot.node.get_namespace())
    client = PlannerClient(node)
    assert client.wait_until_ready(60.0)
    yield client, context
    client.close()
    if context.ok():
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_goals_fail_when_ros_is_shut_down(robot, foreign):
    client, context = foreign
    with Gate(robot) as gate:
        future = client.plan_async(PICTURE)
        gate.reached()
        rclpy.shutdown(context=context)
        failure = future.exception(30.0)
    assert failure.code == ErrorCode.SEND_GOAL_FAILURE and 'ROS was shut down' in failure.message
    with pytest.raises(PlanFailed, match='ROS was shut down'):
        client.plan(PICTURE, timeout=30.0)


def test_name_of_the_process_is_not_the_clients(robot, foreign):
    eventually(lambda: 'launched' in robot.node.get_node_names())
    assert robot.node.get_node_names().count('launched') == 1


def test_future_cannot_be_cancelled_behind_the_clients_back(robot):
    with Gate(robot) as gate:
        future = robot.client.plan_async(PICTURE)
        gate.reached()
        assert not future.cancel()
    assert future.result(60.0).energy < 1.0
    assert robot.plan().energy < 1.0


def test_waiting_in_a_callback_is_refused(robot):
    raised, done = [], threading.Event()

    def on_feedback(feedback):
        try:
            robot.client.plan(PICTURE)
        except RuntimeError as error:
            raised.append(str(error))
        done.set()

    robot.plan(on_feedback=on_feedback)
    assert done.is_set() and 'plan_async()' in raised[0]


def test_a_planner_that_hangs_is_not_waited_for(robot, monkeypatch, before_accepting):
    monkeypatch.setattr(client_module, 'ACCEPT_WITHIN', 1.0)
    asked, go_on = threading.Event(), threading.Event()
    before_accepting(lambda: (asked.set(), go_on.wait(60.0)))
    with pytest.raises(PlanFailed, match='has not answered within 1 s') as failure:
        robot.client.plan(PICTURE, iterations=100, timeout=30.0)
    assert failure.value.code == ErrorCode.SEND_GOAL_FAILURE and asked.is_set()
    before = sum(robot.planner._plans.outcomes.values())
    go_on.set()  # it is accepted after all, and cancelled then
    eventually(lambda: sum(robot.planner._plans.outcomes.values()) > before)
    monkeypatch.undo()
    assert robot.plan().energy < 1.0


def test_a_planner_that_is_slow_with_many_goals_does_not_hang(
    robot, monkeypatch, before_accepting
):
    monkeypatch.setattr(client_module, 'ACCEPT_WITHIN', 1.0)
    before_accepting(lambda: time.sleep(0.4))
    futures = [robot.client.plan_async(PICTURE, iterations=1) for _ in range(6)]  # 2.4 s in all
    assert {failed_with(future) for future in futures[:-1]} <= {None, ErrorCode.PREEMPTED}
    assert failed_with(futures[-1]) is None


def test_a_goal_whose_answer_is_lost_ends_although_others_are_answered(robot, monkeypatch):
    monkeypatch.setattr(client_module, 'ACCEPT_WITHIN', 1.0)
    server, requests = robot.planner._plans._server, []
    answer = server._execute_goal_request

    async def lose_the_first(request):
        requests.append(request)
        if len(requests) > 1:
            await answer(request)

    monkeypatch.setattr(server, '_execute_goal_request', lose_the_first)
    with PlannerClient(robot.node) as client:  # the lost goal stays in it
        lost = client.plan_async(PICTURE)
        eventually(lambda: client.plan(PICTURE, iterations=1) and lost.done())
    assert failed_with(lost) == ErrorCode.SEND_GOAL_FAILURE


def test_goals_wait_until_the_planner_knows_the_client(robot, monkeypatch, before_accepting):
    # As in DDS: what the planner answers is lost until it has heard of the client.
    server, lost, heard = robot.planner._plans._server, [], threading.Event()

    async def answer_none(request):
        lost.append(request)

    monkeypatch.setattr(server, '_execute_cancel_request', answer_none)
    before_accepting(heard.set)
    with PlannerClient(robot.node) as client:
        future = client.plan_async(PICTURE, iterations=2)
        eventually(lambda: len(lost) == 3)
        assert not client.wait_until_ready(0.1)
        assert not heard.is_set() and not future.done()
        monkeypatch.undo()
        assert client.wait_until_ready(60.0)
        assert future.result(60.0).energy < 1.0


def test_error_in_the_clients_thread_is_survived(robot, monkeypatch):
    spin_once, failed = robot.client._executor.spin_once, threading.Event()

    def fail_once(**options):
        if failed.is_set():
            return spin_once(**options)
        failed.set()
        raise RuntimeError('unexpected')

    monkeypatch.setattr(robot.client._executor, 'spin_once', fail_once)
    eventually(failed.is_set)
    assert robot.plan().energy < 1.0


def test_nothing_is_left_of_goals_that_have_ended(robot):
    client = robot.client._client
    for _ in range(5):
        robot.plan(iterations=1)
    assert len(client._futures) <= 1  # the last cancel or result may still be under way
    assert not client._pending_goal_requests and not client._goal_sequence_number_to_goal_id


def test_a_result_that_cannot_be_read_is_a_failure(robot, monkeypatch):
    def read(result):
        raise ValueError('99 is not a valid Outcome')  # as of a newer server

    with PlannerClient(robot.node) as client:
        monkeypatch.setattr(client, '_outcome', read)
        error = client.plan_async(PICTURE, iterations=1).exception(20.0)
    assert error.code == ErrorCode.UNKNOWN
    assert error.message == 'the result cannot be read: ValueError: 99 is not a valid Outcome'


@pytest.mark.parametrize(
    'field, value, largest',
    [
        ('samples', -5, 2**32 - 1),
        ('iterations', 2**32, 2**32 - 1),
        ('horizon', -1, 2**32 - 1),
        ('seed', -1, 2**64 - 1),
    ],
)
def test_number_that_no_goal_can_have(robot, field, value, largest):
    with pytest.raises(ValueError, match=f'{field} = {value}: allowed: 0 to {largest}'):
        robot.client.plan_async(PICTURE, **{field: value})


def test_an_id_of_a_run_that_no_goal_can_have(robot):
    with pytest.raises(ValueError, match="run_id = b'three': allowed: 16 bytes, or none"):
        robot.client.plan_async(PICTURE, run_id=b'three')


@pytest.mark.slow
def test_every_goal_of_a_burst_ends(robot):
    with PlannerClient(robot.node) as client:
        assert client.wait_until_ready(60.0)
        futures = [client.plan_async(PICTURE, iterations=1) for _ in range(500)]
        codes = [failed_with(future) for future in futures]
    assert set(codes) <= {None, ErrorCode.PREEMPTED}
    assert codes[-1] is None


def test_two_clients_in_one_script():
    subprocess.run(
        [
            sys.executable,
            '-c',
            'from vjepa2_planner_ros.client import PlannerClient\n'
            'first = PlannerClient()\n'
            'second = PlannerClient()\n'
            'first.close()\n'
            'first.close()\n'
            'assert not second.wait_until_ready(0.1)\n'
            'assert not second._ended.is_set()\n'
            'second.close()\n'
            'PlannerClient().close()\n',
        ],
        check=True,
        timeout=60.0,
    )
