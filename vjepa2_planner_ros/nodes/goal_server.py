# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An action server that works on one goal at a time."""

from collections import Counter
import time
import traceback

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import QoSProfile

from .errors import GoalError, GoalStopped
from .goal_end import end_goal
from .goal_slot import GoalSlot, Job, StopReason
from ..messages.error_codes import ErrorCode

# The default depth of 10 silently drops what goes beyond: feedback of fast plans, and requests of
# clients that send goal upon goal.
DEEP = QoSProfile(depth=200)


class GoalServer:
    """
    An action server with one goal at a time, of which the newest wins.

    Everything a client should branch on is accepted and answered with a code, because a
    rejection carries no reason; goals are rejected only while the node is not active.

    :param compute: called with a Job on an executor thread; returns a Result, or raises GoalError
        or GoalStopped.
    :param summary: returns what the log says of a Result.
    :param on_end: called with Job, Result and outcome of each goal that has ended.
    """

    def __init__(self, node, kind, name, compute, summary, on_end=lambda *end: None):
        self._node = node
        self._kind = kind
        self._name = name
        self._compute = compute
        self._summary = summary
        self._on_end = on_end
        self._server = None
        self._inactive = 'unconfigured'  # what the node is instead of active; '' = it is
        self.slot = GoalSlot(self._execute, node.get_logger())
        self.outcomes = Counter()
        self.last_time = float('nan')  # s that the newest goal that succeeded took

    def activate(self):
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

    def deactivate(self, state):
        """Reject goals from now on, and ask the running one to end with NODE_DEACTIVATED."""
        self._inactive = state
        self.slot.stop_all(StopReason.DEACTIVATED)

    def destroy(self):
        """Take the action away."""
        if self._server is not None:
            self._server.destroy()

    def _on_goal(self, goal):
        if not self._inactive:
            return GoalResponse.ACCEPT
        self._node.get_logger().warning(
            f'Goal rejected: the node is {self._inactive}, not active', throttle_duration_sec=1.0
        )
        return GoalResponse.REJECT

    def _on_accepted(self, handle):
        handle.job = Job(handle)
        self.slot.submit(handle.job)

    def _on_cancel(self, handle):
        job = getattr(handle, 'job', None)
        if job is None:  # its client went away before rclpy could tell it of the acceptance
            return CancelResponse.REJECT
        job.stop(StopReason.CANCELLED)
        # Yes also for a goal that another reason stops: it ends, and of several goals in one
        # request rclpy passes over the one after a goal that says no.
        return CancelResponse.ACCEPT if job.stopped() else CancelResponse.REJECT

    def _execute(self, job):
        """Compute the result of a goal and bring it to its end; never raises."""
        began = time.monotonic()
        result = failure = None
        try:
            if self._inactive:
                job.stop(StopReason.DEACTIVATED)
            job.raise_if_stopped()
            result = self._compute(job)
        except GoalStopped:
            pass  # the job knows why
        except GoalError as error:
            failure = error
        except Exception as error:
            self._node.get_logger().error(traceback.format_exc())
            failure = GoalError(ErrorCode.UNKNOWN, f'{type(error).__name__}: {error}')
        elapsed = time.monotonic() - began
        result, outcome = end_goal(
            job, self._kind, result, failure, elapsed, self._summary, self._node.get_logger()
        )
        self.outcomes[outcome] += 1
        if outcome == 'succeeded':
            self.last_time = elapsed
        self._on_end(job, result, outcome)
        return result
