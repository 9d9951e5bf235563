# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Goals that are stopped: cancelled, preempted, out of time, or the node goes away."""

import threading
import time

import numpy as np
from planner_rig import DEACTIVATE, eventually, Gate, GOAL, START, transition
import pytest
from std_srvs.srv import Trigger
from tools.toy_world_model import ToyWorldModel
from vjepa2_interfaces.action import PlanAction
from vjepa2_planner_ros.client import PlanFailed, PlannerClient
from vjepa2_planner_ros.messages.error_codes import ErrorCode

PICTURE = ToyWorldModel.picture(GOAL)


class Running:
    """A long goal that has got as far as its first iteration."""

    def __init__(self, robot, client=None, **fields):
        robot.model.delay = 0.05  # five seconds in all, for a machine that is busy
        self.iterations = []
        self._robot, self._started = robot, threading.Event()
        self.future = (client or robot.client).plan_async(
            PICTURE, iterations=100, on_feedback=self._note, **fields
        )
        assert self._started.wait(60.0)

    def _note(self, feedback):
        if feedback.phase == PlanAction.Feedback.OPTIMIZING:
            self.iterations.append(feedback.iteration.iteration)
            self._started.set()

    def failure(self):
        """Return the PlanFailed it ends with; it must have ended before its last iteration."""
        failure = self.future.exception(60.0)
        assert isinstance(failure, PlanFailed), failure
        assert self.iterations[-1] < 100 and failure.message
        return failure


@pytest.fixture
def second_client(robot):
    """Return another client of the same planner."""
    with PlannerClient(robot.node) as client:
        assert client.wait_until_ready(60.0)
        yield client


def next_goal_works(robot):
    """Assert that the planner is free and well."""
    robot.model.delay = 0.0
    assert np.allclose(robot.plan(iterations=10).command[:3], (GOAL - START)[:3], atol=5e-3)


@pytest.mark.case(25)
def test_cancel_ends_the_plan_soon(robot):
    goal = Running(robot)
    assert robot.client.cancel(60.0)
    failure = goal.failure()
    assert failure.cancelled and failure.code == ErrorCode.NONE
    assert 'cancelled' in failure.message
    next_goal_works(robot)


@pytest.mark.case(25)
def test_cancel_stops_at_the_next_iteration(robot):
    # One rollout waits until the cancel has been asked for; there must be no second one.
    robot.model.delay = 0.0
    rolling, go_on, rollouts = threading.Event(), threading.Event(), []

    def fault(latents):
        rollouts.append(len(latents))
        rolling.set()
        assert go_on.wait(60.0)
        return latents

    robot.model.fault = fault
    future = robot.client.plan_async(PICTURE, iterations=50)
    assert rolling.wait(60.0)
    job = robot.planner._plans.slot._running
    thread = threading.Thread(target=robot.client.cancel)
    thread.start()
    eventually(job.stopped)
    go_on.set()
    thread.join(60.0)
    assert future.exception(60.0).cancelled
    assert len(rollouts) == 1
    robot.restore()
    next_goal_works(robot)


@pytest.mark.case(28)
def test_cancel_without_a_goal(robot):
    assert not robot.client.cancel(5.0)


@pytest.mark.case(26)
def test_cancel_right_after_sending(robot):
    robot.model.delay = 0.05
    for _ in range(5):
        future = robot.client.plan_async(PICTURE, iterations=100)
        assert robot.client.cancel(60.0)
        assert future.exception(60.0).cancelled
    next_goal_works(robot)


@pytest.mark.case(25)
def test_cancel_while_waiting_for_an_image(make_robot):
    robot = make_robot(sending=['state'], image_timeout=60.0).ready()
    future = robot.client.plan_async(PICTURE)
    eventually(lambda: robot.planner._plans.slot._running is not None)
    assert robot.client.cancel(60.0)
    assert future.exception(60.0).cancelled


@pytest.mark.case(32)
def test_cancel_service(robot):
    cancel = robot.node.create_client(Trigger, 'planner/cancel')
    assert cancel.wait_for_service(60.0)

    def call():
        answer = cancel.call_async(Trigger.Request())
        eventually(answer.done)
        return answer.result()

    answer = call()
    assert not answer.success and 'no goal' in answer.message
    goal = Running(robot)
    answer = call()
    assert answer.success and answer.message.startswith('1 goal')
    assert goal.failure().cancelled
    next_goal_works(robot)


@pytest.mark.case(33)
def test_newest_goal_wins(robot, second_client):
    old = Running(robot)
    other = START + [-0.03, 0.02, 0.01, 0, 0, 0, 0]
    new = second_client.plan(ToyWorldModel.picture(other), iterations=10, timeout=60.0)
    assert np.allclose(new.command[:3], (other - START)[:3], atol=5e-3)
    failure = old.failure()
    assert failure.code == ErrorCode.PREEMPTED and 'newer goal' in failure.message


@pytest.mark.case(35)
def test_of_many_rapid_goals_the_last_one_is_planned(robot):
    robot.model.delay = 0.02
    futures = [robot.client.plan_async(PICTURE, iterations=100) for _ in range(4)]
    last = robot.client.plan_async(PICTURE, iterations=10)
    assert np.allclose(last.result(60.0).command[:3], (GOAL - START)[:3], atol=5e-3)
    assert [future.exception(60.0).code for future in futures] == [ErrorCode.PREEMPTED] * 4
    robot.restore()


@pytest.mark.case(29)
def test_cancel_of_a_finished_goal_does_not_stop_the_next(robot, second_client):
    robot.plan()
    goal = Running(robot, second_client)
    assert not robot.client.cancel(5.0)  # it has none; the other client's goal goes on
    robot.model.delay = 0.0
    assert np.isfinite(goal.future.result(60.0).command).all()


@pytest.mark.case(31)
def test_vanished_client_frees_the_slot(robot):
    client = PlannerClient(robot.node)
    assert client.wait_until_ready(60.0)
    goal = Running(robot, client)
    client._pending.clear()  # it does not even cancel
    client.close()
    assert goal.iterations
    next_goal_works(robot)


@pytest.mark.case(18)
def test_time_allowance(robot):
    ends = []  # of the rollouts

    def fault(latents):
        time.sleep(0.05)
        ends.append(time.monotonic())
        return latents

    robot.model.fault, began = fault, time.monotonic()
    with pytest.raises(PlanFailed) as failure:
        robot.plan(iterations=100, time_allowance=0.3)
    robot.model.fault = None
    # Only the last rollout can have been under way when the time was up.
    assert all(end - began < 0.3 + 0.05 for end in ends[:-1]) or len(ends) < 3
    assert failure.value.code == ErrorCode.TIMEOUT
    assert all(
        part in failure.value.message for part in ('time_allowance = 0.3 s', 'of 100 iterations')
    )
    next_goal_works(robot)


def test_best_effort_gives_the_plan_so_far_in_time(robot):
    def fault(latents):
        time.sleep(0.05)
        return latents

    robot.model.fault = fault
    result = robot.plan(iterations=100, time_allowance=1.0, best_effort=True)
    robot.model.fault = None
    assert 1 <= result.iterations < 100
    assert result.energy < result.start_energy
    assert result.optimization_time < 1.0 + 0.05 * 2 + 0.5  # the last evaluation, and slack


@pytest.mark.case(18)
def test_time_allowance_covers_waiting_for_the_goal_before(robot):
    with Gate(robot) as gate:
        robot.client.plan_async(PICTURE)
        gate.reached()
        late = robot.client.plan_async(PICTURE, time_allowance=0.3)
        time.sleep(0.6)
    failure = late.exception(60.0)
    assert isinstance(failure, PlanFailed) and failure.code == ErrorCode.TIMEOUT
    assert 'time_allowance = 0.3 s exceeded' in failure.message
    robot.model.fault = None
    next_goal_works(robot)


def test_time_allowance_covers_waiting_for_an_image(make_robot):
    robot = make_robot(sending=['state'], image_timeout=60.0).ready()
    with pytest.raises(PlanFailed) as failure:
        robot.plan(time_allowance=0.2)
    assert failure.value.code == ErrorCode.TIMEOUT
    assert 'waiting' in failure.value.message


@pytest.mark.case(54)
def test_deactivating_ends_the_plan(make_robot):
    robot = make_robot().ready()
    goal = Running(robot)
    answer = transition(robot, DEACTIVATE, wait=False)
    failure = goal.failure()
    assert failure.code == ErrorCode.NODE_DEACTIVATED and 'deactivated' in failure.message
    eventually(answer.done)
    assert answer.result().success
