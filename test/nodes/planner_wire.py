# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's action as it is on the wire: three services, two topics, nothing in between."""

import threading
import time
from uuid import uuid4

from action_msgs.msg import GoalInfo, GoalStatus, GoalStatusArray
from action_msgs.srv import CancelGoal
from rclpy.qos import DurabilityPolicy, QoSProfile
from unique_identifier_msgs.msg import UUID
from vjepa2_interfaces.action import PlanAction

DEEP = QoSProfile(depth=500)
EXECUTING, CANCELING = GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING
SUCCEEDED, CANCELED, ABORTED = (
    GoalStatus.STATUS_SUCCEEDED,
    GoalStatus.STATUS_CANCELED,
    GoalStatus.STATUS_ABORTED,
)
TERMINAL = (SUCCEEDED, CANCELED, ABORTED)


class Wire:
    """
    Clients of the action's services and listeners to its topics, on a node that spins.

    Goals go by the 16 bytes of their id. The times are those at which the planner wrote.
    """

    def __init__(self, node, planner):
        self._changes = {}  # goal -> [(status, time [ns])], one for each change that was seen
        self._feedback = {}  # goal -> [(Feedback, time [ns])]
        action = f'{node.get_namespace()}/plan/_action'
        others = planner.count_subscribers(f'{action}/feedback')
        node.create_subscription(
            PlanAction.Impl.FeedbackMessage, f'{action}/feedback', self._on_feedback, DEEP
        )
        node.create_subscription(
            GoalStatusArray,
            f'{action}/status',
            self._on_status,
            QoSProfile(depth=500, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        self._send, self._cancel, self._result = (
            node.create_client(kind, f'{action}/{name}', qos_profile=DEEP)
            for kind, name in (
                (PlanAction.Impl.SendGoalService, 'send_goal'),
                (CancelGoal, 'cancel_goal'),
                (PlanAction.Impl.GetResultService, 'get_result'),
            )
        )
        for service in (self._send, self._cancel, self._result):
            assert service.wait_for_service(60.0)
        until = time.monotonic() + 60.0
        while not (
            planner.count_subscribers(f'{action}/feedback') > others
            and node.count_publishers(f'{action}/feedback')
        ):
            assert time.monotonic() < until
            time.sleep(0.005)

    def ask(self, goal, uuid=None):
        """Send a PlanAction.Goal; return (its id, the Future of the answer)."""
        uuid = uuid or uuid4().bytes
        return uuid, self._send.call_async(
            PlanAction.Impl.SendGoalService.Request(goal_id=UUID(uuid=list(uuid)), goal=goal)
        )

    def send(self, goal):
        """Send a PlanAction.Goal and see it accepted; return its id."""
        uuid, future = self.ask(goal)
        assert wait(future).accepted
        return uuid

    def cancel_later(self, uuid=bytes(16)):
        """Ask to cancel a goal, all goals if it is zero; return the Future of the answer."""
        return self._cancel.call_async(
            CancelGoal.Request(goal_info=GoalInfo(goal_id=UUID(uuid=list(uuid))))
        )

    def cancel(self, uuid=bytes(16)):
        """Cancel a goal, all goals if it is zero; return (return code, ids of those cancelled)."""
        answer = wait(self.cancel_later(uuid))
        return answer.return_code, [bytes(info.goal_id.uuid) for info in answer.goals_canceling]

    def result_later(self, uuid):
        """Ask for the result of an accepted goal; return the Future of the answer."""
        return self._result.call_async(
            PlanAction.Impl.GetResultService.Request(goal_id=UUID(uuid=list(uuid)))
        )

    def result(self, uuid):
        """Wait for a goal's end; return (status, Result)."""
        answer = wait(self.result_later(uuid))
        return answer.status, answer.result

    def changes(self, uuid):
        """Return [(status, time [ns])] of a goal."""
        return list(self._changes.get(uuid, ()))

    def statuses(self, uuid):
        """Return the statuses that were seen of a goal, in order."""
        return [status for status, _ in self.changes(uuid)]

    def feedback(self, uuid):
        """Return [(Feedback, time [ns])] of a goal."""
        return list(self._feedback.get(uuid, ()))

    def _on_feedback(self, message, info):
        self._feedback.setdefault(bytes(message.goal_id.uuid), []).append(
            (message.feedback, info['source_timestamp'])
        )

    def _on_status(self, message, info):
        for goal in message.status_list:
            changes = self._changes.setdefault(bytes(goal.goal_info.goal_id.uuid), [])
            if not changes or changes[-1][0] != goal.status:
                changes.append((goal.status, info['source_timestamp']))


def wait(future, timeout=60.0):
    """Return the answer of a service."""
    arrived = threading.Event()
    future.add_done_callback(lambda _: arrived.set())
    assert arrived.wait(timeout), 'no answer in time'
    return future.result()
