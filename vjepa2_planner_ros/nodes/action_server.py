# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
An action server that works on one goal at a time: the newest wins, the first stop reason wins.

A goal is accepted (GoalServer), takes the slot or waits for it (GoalSlot), is computed, and ends
in exactly one terminal state (_end).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
import threading
import time
import traceback
from typing import Any, TypeAlias

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import RCLError, ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from .errors import GoalError, GoalStopped
from .goal import Goal, StopReason
from .services import DEEP
from ..messages.error_codes import ErrorCode

PICTURES = {'sensor_msgs/Image': Image, 'sensor_msgs/CompressedImage': CompressedImage}
CANCELING_WITHIN = 5.0  # s
Failure: TypeAlias = StopReason | GoalError


class GoalSlot:
    """
    The place of the running goal, and one waiting place behind it.

    A new goal asks the running one to stop and takes the waiting place; it starts when the
    running one has ended, at most one iteration later. No thread waits for that.
    """

    def __init__(self, execute: Callable[[Goal], Any], logger: Any):
        self._execute = execute  # runs on an executor thread; never raises
        self._logger = logger
        self._changed = threading.Condition()
        self._running: Goal | None = None
        self._waiting: Goal | None = None

    def submit(self, goal: Goal) -> None:
        """Run the goal now, or as soon as the running one has stopped for it."""
        with self._changed:
            running, dropped = self._running, None
            if running is None:
                self._running = goal
            else:
                running.stop(StopReason.PREEMPTED)
                dropped, self._waiting = self._waiting, goal
        if dropped is not None:
            dropped.stop(StopReason.PREEMPTED)
            self._start(dropped)  # it was never in the slot: it only reports why it ended
        if running is None:
            self._start(goal)

    def stop_all(self, reason: StopReason) -> None:
        """Ask every goal in the slot to stop."""
        with self._changed:
            for goal in (self._running, self._waiting):
                if goal is not None:
                    goal.stop(reason)

    def wait_until_idle(self, timeout: float | None = None) -> bool:
        """Wait until no goal is left; False if that takes longer than timeout [s]."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running is None, timeout)

    def _start(self, goal: Goal) -> None:
        for attempt in (1, 2):
            try:
                goal.handle.execute(lambda handle: self._run(goal))
                return
            except RCLError as error:
                # A cancel request that came in between makes the first attempt an illegal
                # transition; the second one sees the request.
                if attempt == 2:
                    self._logger.error(f'Goal {goal.name} could not start: {error}')
                    self._release(goal)

    def _run(self, goal: Goal) -> Any:
        try:
            return self._execute(goal)
        finally:
            self._release(goal)

    def _release(self, goal: Goal) -> None:
        with self._changed:
            if self._running is not goal:
                return
            self._running, self._waiting = self._waiting, None
            following = self._running
            self._changed.notify_all()
        if following is not None:
            self._start(following)


class AnsweringServer(ActionServer):
    """An ActionServer that knows whether clients still wait for results."""

    def __init__(self, *args: Any, **options: Any):
        self._counting = threading.Lock()
        self.unanswered = 0  # requests for the results of goals that it has
        super().__init__(*args, **options)

    async def _execute_get_result_request(self, request: Any) -> None:
        if bytes(request[1].goal_id.uuid) in self._result_futures:
            self._count(1)
        await super()._execute_get_result_request(request)

    def _send_result_response(self, *args: Any) -> None:
        super()._send_result_response(*args)
        self._count(-1)

    def _count(self, change: int) -> None:
        with self._counting:
            self.unanswered += change


class GoalServer:
    """
    An action server with one goal at a time.

    Everything a client should branch on is accepted and answered with a code, because a
    rejection carries no reason; goals are rejected only while the node is not active.

    :param compute: called with a Goal on an executor thread; returns a Result, or raises GoalError
        or GoalStopped.
    :param summary: returns what the log says of a Result.
    :param on_end: called with Goal, Result and outcome of each goal that has ended.
    :param on_failure: called with Goal, Result and what ended it: a StopReason, or the GoalError
        of compute; adds to the Result more than error_code and error_msg.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        name: str,
        compute: Callable[[Goal], Any],
        summary: Callable[[Any], str],
        on_end: Callable[[Goal, Any, str], None] = lambda *end: None,
        on_failure: Callable[[Goal, Any, Failure], None] = lambda *end: None,
    ):
        self._node, self._kind, self.name = node, kind, name
        self._compute, self._summary = compute, summary
        self._on_end, self._on_failure = on_end, on_failure
        self._server: AnsweringServer | None = None
        self._inactive = 'unconfigured'  # what the node is instead of active; '' = it is
        self.slot = GoalSlot(self._execute, node.get_logger())
        self.outcomes: Counter[str] = Counter()
        self.last_time = float('nan')  # s that the newest goal that succeeded took

    def activate(self) -> None:
        """Accept goals from now on."""
        self._inactive = ''
        if self._server is None:
            # The server stays after deactivation: clients still fetch the results of the goals
            # that it ended. It is made here and not earlier, because clients that wait for a
            # server then wait until the model is loaded.
            self._server = AnsweringServer(
                self._node,
                self._kind,
                self.name,
                execute_callback=lambda handle: self._kind.Result(),
                goal_callback=self._on_goal,
                handle_accepted_callback=self._on_accepted,
                cancel_callback=self._on_cancel,
                # One request at a time, so that goals keep their order. None of them takes long:
                # rclpy executes goals outside the group.
                callback_group=MutuallyExclusiveCallbackGroup(),
                goal_service_qos_profile=DEEP,
                result_service_qos_profile=DEEP,
                cancel_service_qos_profile=DEEP,
                feedback_pub_qos_profile=DEEP,
                result_timeout=self._node.get_parameter('result_timeout').value,
            )

    def deactivate(self, state: str) -> None:
        """Reject goals from now on, and ask the running one to end with NODE_DEACTIVATED."""
        self._inactive = state
        self.slot.stop_all(StopReason.DEACTIVATED)

    @property
    def answered(self) -> bool:
        """Return whether every client that asked for the result of a goal that ended has it."""
        return self._server is None or self._server.unanswered == 0

    def destroy(self) -> None:
        """Take the action away."""
        if self._server is not None:
            self._server.destroy()

    def _on_goal(self, request: Any) -> GoalResponse:
        if not self._inactive:
            return GoalResponse.ACCEPT
        self._node.get_logger().warning(
            f'Goal rejected: the node is {self._inactive}, not active', throttle_duration_sec=1.0
        )
        return GoalResponse.REJECT

    def _on_accepted(self, handle: Any) -> None:
        handle.goal = Goal(handle)
        self.slot.submit(handle.goal)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        goal = getattr(handle, 'goal', None)
        if goal is None:  # its client went away before it was told of the acceptance
            return CancelResponse.REJECT
        goal.stop(StopReason.CANCELLED)
        # A goal that another reason stops accepts too: it ends, and of several goals in one
        # request rclpy skips the one after a goal that rejects.
        return CancelResponse.ACCEPT if goal.stopped() else CancelResponse.REJECT

    def _execute(self, goal: Goal) -> Any:
        """Compute the result of a goal and bring it to its end; never raises."""
        began = time.monotonic()
        result = failure = None
        try:
            if self._inactive:
                goal.stop(StopReason.DEACTIVATED)
            goal.check_stop()
            result = self._compute(goal)
        except GoalStopped:
            pass  # the goal has the reason
        except GoalError as error:
            failure = error
        except Exception as error:
            self._node.get_logger().error(traceback.format_exc())
            failure = GoalError(ErrorCode.UNKNOWN, f'{type(error).__name__}: {error}')
        elapsed = time.monotonic() - began
        result, outcome = self._end(goal, result, failure, elapsed)
        self.outcomes[outcome] += 1
        if outcome == 'succeeded':
            self.last_time = elapsed
        try:
            self._on_end(goal, result, outcome)
        except Exception:  # rclpy would send an empty result in place of this one
            self._node.get_logger().error(traceback.format_exc())
        return result

    def _end(
        self, goal: Goal, result: Any, failure: GoalError | None, elapsed: float
    ) -> tuple[Any, str]:
        """
        Put a goal into its terminal state; return (Result, one of OUTCOMES).

        A stop reason that came before this replaces result and failure.
        """
        logger, reason, outcome = self._node.get_logger(), goal.close(), 'succeeded'
        if reason is not None:
            text, code, outcome = reason.value
            failure = GoalError(code, text)
            logger.info(f'Goal {goal.name}: ended after {elapsed:.2f} s: {failure}')
        elif failure is not None:
            outcome = 'aborted'
            logger.warning(f'Goal {goal.name}: {failure.label}: {failure}')
        else:
            logger.info(f'Goal {goal.name}: done in {elapsed:.2f} s, {self._summary(result)}')
        if failure is not None:
            result = self._kind.Result(error_code=int(failure.code), error_msg=str(failure))
            self._on_failure(goal, result, reason or failure)
        try:
            _make_transition(goal.handle, outcome)
        except RCLError as error:
            logger.error(f'Goal {goal.name}: {error}')
        _forget_pictures(goal.request)
        return result, outcome


def _make_transition(handle: ServerGoalHandle, outcome: str) -> None:
    if outcome == 'cancelled':
        # The cancel callback has accepted; rclpy moves the goal to CANCELING just after that.
        until = time.monotonic() + CANCELING_WITHIN
        while not handle.is_cancel_requested and time.monotonic() < until:
            time.sleep(0.001)
        handle.canceled()
    elif outcome == 'succeeded':
        handle.succeed()
    else:
        handle.abort()


def _forget_pictures(request: Any) -> None:
    # rclpy keeps the goal as long as its result (result_timeout): megabytes for each.
    for field, kind in request.get_fields_and_field_types().items():
        if kind in PICTURES:
            setattr(request, field, PICTURES[kind]())
