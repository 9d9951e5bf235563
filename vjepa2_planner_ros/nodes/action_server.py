# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
An action server that works on one goal at a time: the newest wins, the first stop reason wins.

A goal is accepted (GoalServer), takes the slot or waits for it (GoalSlot), is computed, and comes
to exactly one terminal state (_end).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import Enum
import math
import threading
import time
import traceback
from typing import Any, NoReturn

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import RCLError, ServerGoalHandle
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from vjepa2_interfaces.action import PlanAction

from .errors import GoalError, GoalStopped
from ..messages.error_codes import ErrorCode

OUTCOMES = ('succeeded', 'aborted', 'cancelled', 'preempted')
PICTURES = {'sensor_msgs/Image': Image, 'sensor_msgs/CompressedImage': CompressedImage}
# The default depth of 10 silently drops what goes beyond: feedback of fast plans, and requests of
# clients that send goal upon goal.
DEEP = QoSProfile(depth=200)
CANCELING_WITHIN = 5.0  # s


class StopReason(Enum):
    """Why a goal was stopped from outside: text, error code and outcome."""

    CANCELLED = 'cancelled by a client', ErrorCode.NONE, 'cancelled'
    PREEMPTED = 'a newer goal took over', ErrorCode.PREEMPTED, 'preempted'
    DEACTIVATED = 'the node was deactivated', ErrorCode.NODE_DEACTIVATED, 'aborted'


class Goal:
    """A goal from acceptance to its end; thread-safe."""

    def __init__(self, handle: ServerGoalHandle):
        self.handle = handle
        self._allowance = self._deadline = math.inf
        self._lock = threading.Lock()
        self._reason: StopReason | None = None
        self._closed = False

    @property
    def request(self) -> Any:
        """Return the Goal message."""
        return self.handle.request

    @property
    def name(self) -> str:
        """Return the first bytes of the goal's id, as in the log."""
        return bytes(self.handle.goal_id.uuid[:4]).hex()

    def stop(self, reason: StopReason) -> bool:
        """Ask the goal to stop; False if it has ended or was asked before."""
        with self._lock:
            if self._closed or self._reason is not None:
                return False
            self._reason = reason
            return True

    def stopped(self) -> bool:
        """Return whether the goal was asked to stop."""
        return self._reason is not None

    def allow(self, seconds: float) -> None:
        """Let check() end the goal after so many seconds from now; 0 = never."""
        if seconds:
            self._allowance, self._deadline = seconds, time.monotonic() + seconds

    @property
    def time_left(self) -> float | None:
        """Return the seconds until the end of the time allowance, None without one."""
        return None if math.isinf(self._deadline) else self._deadline - time.monotonic()

    def check_stop(self) -> None:
        """Raise GoalStopped if the goal was asked to stop."""
        if self.stopped():
            raise GoalStopped

    def check(self, doing: str) -> None:
        """Raise GoalStopped as check_stop does, or GoalError TIMEOUT after the time allowance."""
        self.check_stop()
        if time.monotonic() > self._deadline:
            self.time_out(f'while {doing}, after 0 iterations')

    def time_out(self, progress: str) -> NoReturn:
        """Raise GoalError TIMEOUT; progress says how far the goal came."""
        raise GoalError(
            ErrorCode.TIMEOUT, f'time_allowance = {self._allowance:g} s exceeded {progress}'
        )

    def close(self) -> StopReason | None:
        """End the goal: it cannot be stopped any more. Return the reason if it was."""
        with self._lock:
            self._closed = True
            return self._reason

    def commit(self) -> None:
        """End the goal, which succeeds from here on; GoalStopped if it was asked to stop."""
        self.close()
        self.check_stop()


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
            free, dropped = self._running is None, None
            if free:
                self._running = goal
            else:
                self._running.stop(StopReason.PREEMPTED)
                dropped, self._waiting = self._waiting, goal
        if dropped is not None:
            dropped.stop(StopReason.PREEMPTED)
            self._start(dropped)  # it was never in the slot: it only reports why it ended
        if free:
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


class GoalServer:
    """
    An action server with one goal at a time.

    Everything a client should branch on is accepted and answered with a code, because a
    rejection carries no reason; goals are rejected only while the node is not active.

    :param compute: called with a Goal on an executor thread; returns a Result, or raises GoalError
        or GoalStopped.
    :param summary: returns what the log says of a Result.
    :param on_end: called with Goal, Result and outcome of each goal that has ended.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        name: str,
        compute: Callable[[Goal], Any],
        summary: Callable[[Any], str],
        on_end: Callable[[Goal, Any, str], None] = lambda *end: None,
    ):
        self._node, self._kind, self._name = node, kind, name
        self._compute, self._summary, self._on_end = compute, summary, on_end
        self._server: ActionServer | None = None
        self._inactive = 'unconfigured'  # what the node is instead of active; '' = it is
        self.slot = GoalSlot(self._execute, node.get_logger())
        self.outcomes: Counter[str] = Counter()
        self.last_time = float('nan')  # s that the newest goal that succeeded took

    def activate(self) -> None:
        """Accept goals from now on."""
        self._inactive = ''
        if self._server is None:
            # From here on the server stays: results of goals that deactivation ended are still
            # to be fetched. Clients that wait for a server wait until the model is loaded.
            self._server = ActionServer(
                self._node,
                self._kind,
                self._name,
                execute_callback=lambda handle: self._kind.Result(),
                goal_callback=self._on_goal,
                handle_accepted_callback=self._on_accepted,
                cancel_callback=self._on_cancel,
                # Requests are served one after the other: goals cannot overtake each other.
                # What takes long is not among them: rclpy executes goals outside the group.
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

    def _on_accepted(self, handle: ServerGoalHandle) -> None:
        handle.goal = Goal(handle)
        self.slot.submit(handle.goal)

    def _on_cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        goal = getattr(handle, 'goal', None)
        if goal is None:  # its client went away before rclpy could tell it of the acceptance
            return CancelResponse.REJECT
        goal.stop(StopReason.CANCELLED)
        # Yes also for a goal that another reason stops: it ends, and of several goals in one
        # request rclpy passes over the one after a goal that says no.
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
            pass  # the goal knows why
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
        self._on_end(goal, result, outcome)
        return result

    def _end(
        self, goal: Goal, result: Any, failure: GoalError | None, elapsed: float
    ) -> tuple[Any, str]:
        """
        Bring a goal to its terminal state; return (Result, one of OUTCOMES).

        A stop that came before this has the last word over result and failure.
        """
        logger, reason, outcome = self._node.get_logger(), goal.close(), 'succeeded'
        if reason is not None:
            text, code, outcome = reason.value
            failure = GoalError(code, text)
            logger.info(f'Goal {goal.name}: ended after {elapsed:.2f} s: {failure}')
        elif failure is not None:
            outcome = 'aborted'
            logger.warning(f'Goal {goal.name}: {failure.code.name}: {failure}')
        else:
            logger.info(f'Goal {goal.name}: done in {elapsed:.2f} s, {self._summary(result)}')
        if failure is not None:
            result = self._kind.Result(error_code=int(failure.code), error_msg=str(failure))
            if self._kind is PlanAction:
                result.plan_id = goal.handle.goal_id
        try:
            _make_transition(goal.handle, outcome)
        except RCLError as error:
            logger.error(f'Goal {goal.name}: {error}')
        _forget_pictures(goal.request)
        return result, outcome


def _make_transition(handle: ServerGoalHandle, outcome: str) -> None:
    if outcome == 'cancelled':
        # The cancel callback has said yes; rclpy moves the goal to CANCELING just after that.
        until = time.monotonic() + CANCELING_WITHIN
        while not handle.is_cancel_requested and time.monotonic() < until:
            time.sleep(0.001)
        handle.canceled()
    elif outcome == 'succeeded':
        handle.succeed()
    else:
        handle.abort()


def _forget_pictures(request: Any) -> None:
    # rclpy keeps the goal as long as its result, result_timeout: megabytes for each.
    for field, kind in request.get_fields_and_field_types().items():
        if kind in PICTURES:
            setattr(request, field, PICTURES[kind]())
