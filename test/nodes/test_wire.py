# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The action's protocol at its edges: goals, cancels and preemptions at every point of a goal."""

from collections import Counter
import threading
import time
from uuid import uuid4

from action_msgs.srv import CancelGoal
import numpy as np
from planner_rig import eventually, Gate, GOAL, START, to_goal
from planner_wire import ABORTED, CANCELED, CANCELING, EXECUTING, SUCCEEDED, wait
import pytest
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.messages.error_codes import ErrorCode

NONE, TERMINATED = (CancelGoal.Response.ERROR_NONE, CancelGoal.Response.ERROR_GOAL_TERMINATED)


def next_goal_works(robot):
    """Assert that the planner is free and well."""
    robot.model.fault = None
    assert np.allclose(robot.plan(iterations=10).command[:3], (GOAL - START)[:3], atol=5e-3)


def is_preempted(robot, uuid):
    """Assert that a goal ended because a newer one took over."""
    status, result = robot.wire.result(uuid)
    assert (status, result.error_code) == (ABORTED, ErrorCode.PREEMPTED) and result.error_msg


def is_cancelled(robot, uuid):
    """Assert that a goal ended cancelled, and says so."""
    status, result = robot.wire.result(uuid)
    assert (status, result.error_code) == (CANCELED, ErrorCode.NONE)
    assert 'cancelled' in result.error_msg


def is_waiting(robot):
    """Return whether a goal waits for the running one to stop."""
    return robot.planner._plans.slot._waiting is not None


@pytest.mark.case(2)
def test_goal_is_executing_before_its_first_feedback(robot):
    wire = robot.wire
    with Gate(robot) as gate:  # or the next status might overwrite EXECUTING
        uuid = wire.send(to_goal())
        eventually(lambda: EXECUTING in wire.statuses(uuid) and wire.feedback(uuid))
        gate.reached()
    assert wire.result(uuid)[0] == SUCCEEDED
    executing = dict(wire.changes(uuid))[EXECUTING]
    assert executing < min(time for _, time in wire.feedback(uuid))


@pytest.mark.case(6)
def test_goal_callback_that_raises_leaves_the_server_alive(robot):
    def broken(request):
        raise ArithmeticError('the goal callback broke')

    robot.planner._plans._server.register_goal_callback(broken)
    try:
        robot.wire.ask(to_goal())
        eventually(lambda: robot.logged('the goal callback broke'))
    finally:
        robot.planner._plans._server.register_goal_callback(robot.planner._plans._on_goal)
    next_goal_works(robot)
    robot.logs = []


@pytest.mark.case(7)
def test_second_goal_of_the_same_id_is_rejected(robot):
    with Gate(robot) as gate:
        uuid = robot.wire.send(to_goal())
        gate.reached()
        assert not wait(robot.wire.ask(to_goal(), uuid)[1]).accepted
    status, result = robot.wire.result(uuid)  # the first one goes on
    assert status == SUCCEEDED and result.iterations == 5
    assert not wait(robot.wire.ask(to_goal(), uuid)[1]).accepted  # not even now
    assert robot.wire.result(uuid)[1] == result
    next_goal_works(robot)


@pytest.mark.case(8)
def test_goal_picture_of_full_hd(robot):
    large = ToyWorldModel.picture(GOAL, height=1080, width=1920)
    result = robot.client.plan(large, iterations=10, timeout=60.0)
    assert np.allclose(result.command[:3], (GOAL - START)[:3], atol=5e-3)


@pytest.mark.case(9)
def test_of_two_goals_at_once_one_wins(robot):
    with Gate(robot):
        at_once, uuids = threading.Barrier(2), [uuid4().bytes for _ in range(2)]

        def send(uuid):
            at_once.wait(60.0)
            robot.wire.ask(to_goal(), uuid)

        for uuid in uuids:
            threading.Thread(target=send, args=(uuid,)).start()
        # The earlier one is held at the gate, or has been stopped on its way there.
        eventually(
            lambda: (
                is_waiting(robot) or any(ABORTED in robot.wire.statuses(uuid) for uuid in uuids)
            )
        )
    ends = Counter((status, result.error_code) for status, result in map(robot.wire.result, uuids))
    assert ends == {(SUCCEEDED, ErrorCode.NONE): 1, (ABORTED, ErrorCode.PREEMPTED): 1}


@pytest.mark.case(22)
def test_no_feedback_after_the_end(robot):
    wire, uuids = robot.wire, []
    uuids.append(wire.send(to_goal(3)))
    assert wire.result(uuids[-1])[0] == SUCCEEDED
    robot.model.delay = 0.01
    for stop in (wire.cancel, lambda uuid: None):
        uuids.append(wire.send(to_goal(100)))
        eventually(lambda: len(wire.feedback(uuids[-1])) > 5)
        stop(uuids[-1])
    robot.model.delay = 0.0
    uuids.append(wire.send(to_goal(4)))  # preempts the one before
    is_preempted(robot, uuids[-2])
    assert wire.result(uuids[-1])[0] == SUCCEEDED
    robot.model.fault = lambda latents: latents * np.nan
    uuids.append(wire.send(to_goal()))
    assert wire.result(uuids[-1])[0] == ABORTED
    robot.model.fault = None
    # Feedback comes in the order of writing: after this goal's, nothing of the others can come.
    last = wire.send(to_goal(2))
    eventually(lambda: len(wire.feedback(last)) == 3 + 2)
    ends = [SUCCEEDED, CANCELED, ABORTED, SUCCEEDED, ABORTED]
    eventually(lambda: [wire.statuses(uuid)[-1] for uuid in uuids] == ends)
    for uuid in uuids:
        assert max(time for _, time in wire.feedback(uuid)) < wire.changes(uuid)[-1][1]


@pytest.mark.case(25)
def test_cancelled_goal_is_canceling_then_canceled(robot):
    wire = robot.wire
    with Gate(robot) as gate:
        uuid = wire.send(to_goal(50))
        gate.reached()
        assert wire.cancel(uuid) == (NONE, [uuid])
        eventually(lambda: wire.statuses(uuid)[-1] == CANCELING)
    is_cancelled(robot, uuid)
    eventually(lambda: wire.statuses(uuid)[-2:] == [CANCELING, CANCELED])
    assert gate.rollouts == 1  # none after the one that was under way
    next_goal_works(robot)


@pytest.mark.case(26)
def test_cancel_of_a_goal_that_waits_for_its_turn(robot):
    with Gate(robot) as gate:
        first = robot.wire.send(to_goal(50))
        gate.reached()
        second = robot.wire.send(to_goal())
        eventually(lambda: is_waiting(robot))
        assert robot.wire.cancel(second) == (NONE, [second])
    is_preempted(robot, first)
    is_cancelled(robot, second)
    assert gate.rollouts == 1 and EXECUTING not in robot.wire.statuses(second)
    next_goal_works(robot)


@pytest.mark.case(26)
def test_cancel_just_after_the_goal_was_accepted(robot, monkeypatch):
    # The client knows of the acceptance before the server has taken the goal in.
    slot, taken_in = robot.planner._plans.slot, threading.Event()

    def submit(job):
        assert taken_in.wait(60.0)
        type(slot).submit(slot, job)

    monkeypatch.setattr(slot, 'submit', submit)
    uuid = robot.wire.send(to_goal(50))
    answer = robot.wire.cancel_later(uuid)
    taken_in.set()
    assert wait(answer).return_code == NONE
    is_cancelled(robot, uuid)
    next_goal_works(robot)


@pytest.mark.case(33)
def test_goals_are_taken_in_one_after_the_other(robot, monkeypatch):
    slot, taken_in, go_on = robot.planner._plans.slot, [], threading.Event()

    def submit(job):
        taken_in.append(bytes(job.handle.goal_id.uuid))
        assert go_on.wait(60.0)
        type(slot).submit(slot, job)

    monkeypatch.setattr(slot, 'submit', submit)
    first = robot.wire.send(to_goal(50))
    second = uuid4().bytes
    robot.wire.ask(to_goal(), second)
    try:
        time.sleep(0.3)  # enough for the second one to overtake, if it could
        assert taken_in == [first]
    finally:
        go_on.set()
    assert robot.wire.result(second)[0] == SUCCEEDED
    is_preempted(robot, first)
    next_goal_works(robot)


@pytest.mark.case(27)
def test_cancel_during_the_last_evaluation(robot):
    with Gate(robot, at_end=True) as gate:
        uuid = robot.wire.send(to_goal(2))
        gate.reached()
        assert robot.wire.cancel(uuid) == (NONE, [uuid])
    is_cancelled(robot, uuid)
    next_goal_works(robot)


@pytest.mark.case(27)
@pytest.mark.slow
def test_cancel_at_any_moment_around_the_end(robot):
    for attempt in range(20):
        uuid = robot.wire.send(to_goal(1))
        eventually(lambda: robot.wire.feedback(uuid))
        for _ in range(attempt % 5):
            robot.wire.cancel_later(uuid)
        code, cancelled = robot.wire.cancel(uuid)
        status, result = robot.wire.result(uuid)
        assert status in (SUCCEEDED, CANCELED) and result.error_code == ErrorCode.NONE
        if status == SUCCEEDED:
            assert np.isfinite(result.command).all() and len(result.plan) == 1
    next_goal_works(robot)  # and the fixture finds no error in the log


@pytest.mark.case(28)
def test_cancel_after_the_end_changes_nothing(robot):
    uuid = robot.wire.send(to_goal())
    before = robot.wire.result(uuid)
    assert before[0] == SUCCEEDED
    assert robot.wire.cancel(uuid) == (TERMINATED, [])
    assert robot.wire.result(uuid) == before
    next_goal_works(robot)


@pytest.mark.case(29)
def test_late_cancel_of_a_goal_does_not_stop_the_next(robot):
    old = robot.wire.send(to_goal())
    assert robot.wire.result(old)[0] == SUCCEEDED
    with Gate(robot) as gate:
        new = robot.wire.send(to_goal())
        gate.reached()
        assert robot.wire.cancel(old) == (TERMINATED, [])
    assert robot.wire.result(new)[0] == SUCCEEDED
    assert CANCELING not in robot.wire.statuses(new)


@pytest.mark.case(30)
def test_cancel_of_all_goals_reaches_the_waiting_one_too(robot):
    with Gate(robot) as gate:
        first = robot.wire.send(to_goal(50))
        gate.reached()
        second = robot.wire.send(to_goal())
        eventually(lambda: is_waiting(robot))
        code, cancelled = robot.wire.cancel()
        assert code == NONE and second in cancelled
    is_preempted(robot, first)  # the first reason to stop is the one that is told
    is_cancelled(robot, second)
    assert robot.wire.cancel() == (NONE, [])
    next_goal_works(robot)


@pytest.mark.case(34)
def test_goal_sent_just_after_another_succeeded(robot):
    # Stops between the first goal's success and its leaving the slot.
    class Outcomes(Counter):
        """Tells of the first success."""

        def __setitem__(self, outcome, count):
            super().__setitem__(outcome, count)
            succeeded.set()
            assert go_on.wait(60.0)

    succeeded, go_on = threading.Event(), threading.Event()
    robot.planner._plans.outcomes = Outcomes(robot.planner._plans.outcomes)
    try:
        first = robot.wire.send(to_goal())
        assert succeeded.wait(60.0)
        second = robot.wire.send(to_goal(6))
        eventually(lambda: is_waiting(robot))
    finally:
        go_on.set()
        robot.planner._plans.outcomes = Counter(robot.planner._plans.outcomes)
    for uuid, iterations in ((first, 5), (second, 6)):
        status, result = robot.wire.result(uuid)
        assert (status, result.iterations) == (SUCCEEDED, iterations)
