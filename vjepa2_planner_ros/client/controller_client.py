# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client of the controller: its action `reach_goal`, and what arms and stops it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, TimeoutError as FutureTimeoutError
import threading
from typing import Any

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger
from vjepa2_interfaces.action import ReachGoal

from .goal_client import check_name, GoalClient
from ..messages.goals import Picture, reach_goal
from ..messages.results import PlanFailed
from ..messages.runs import ReachResult, to_reach_result

ANSWER_WITHIN = 5.0  # s, of the controller's services
ARM_WITHIN = 65.0  # s: arming waits for inputs, for an image_timeout of 60 s at most


class ControllerClient(GoalClient):
    """
    A client of the controller; see GoalClient.

    :param node: as of GoalClient.
    :param action: name of the action, relative to the namespace.
    :param controller: name of the node, whose services ~/arm, ~/stop and ~/confirm are called;
        ValueError if it is none.
    """

    def __init__(
        self,
        node: Node | None = None,
        *,
        action: str = 'reach_goal',
        controller: str = 'controller',
    ):
        check_name('controller', controller)
        super().__init__(ReachGoal, action, node)
        self._services: dict[str, Any] = {
            name: self._node.create_client(kind, f'{controller}/{name}')
            for kind, name in ((SetBool, 'arm'), (Trigger, 'stop'), (SetBool, 'confirm'))
        }

    def reach(
        self,
        goals: Picture | Sequence[Any],
        *,
        timeout: float | None = None,
        on_feedback: Any = None,
        **goal_fields: Any,
    ) -> ReachResult:
        """
        Move to one picture or several in order, and wait for the end.

        A run that does not reach its goal is an answer too: see ReachResult.outcome. PlanFailed if
        there is no answer.

        :param goals: pictures, or SubGoal messages of messages.goals.sub_goal.
        :param timeout: s, after which the goal is cancelled; None = without end.
        :param on_feedback: called with each ReachGoal.Feedback, on the client's thread.
        :param goal_fields: see messages.goals.reach_goal.
        """
        goal = reach_goal(goals, **goal_fields)
        return self.ask(goal, timeout=timeout, on_feedback=on_feedback)

    def reach_async(
        self, goals: Picture | Sequence[Any], *, on_feedback: Any = None, **goal_fields: Any
    ) -> Future:
        """Send a goal; return a Future of ReachResult or PlanFailed; see reach."""
        return self.send(reach_goal(goals, **goal_fields), on_feedback)

    def arm(self, on: bool = True) -> tuple[bool, str]:
        """
        Arm or disarm the controller; return whether it is so now, and its words.

        Arming waits until the controller has its inputs, for its image_timeout at most.
        """
        if not on:
            return self._ask_service('arm', SetBool.Request(data=False))
        try:
            return self._ask_service('arm', SetBool.Request(data=True), ARM_WITHIN)
        except KeyboardInterrupt:  # it must not be armed later, with nobody there
            self.arm(False)
            raise

    def stop(self) -> tuple[bool, str]:
        """Stop the arm and disarm the controller; return whether it answered, and its words."""
        return self._ask_service('stop', Trigger.Request())

    def confirm(self, yes: bool = True) -> tuple[bool, str]:
        """Confirm or refuse the step that waits; return whether one waited, and the answer."""
        return self._ask_service('confirm', SetBool.Request(data=yes))

    def _ask_service(
        self, name: str, request: Any, timeout: float = ANSWER_WITHIN
    ) -> tuple[bool, str]:
        client = self._services[name]
        if not client.wait_for_service(ANSWER_WITHIN):
            return False, f"no service '{client.srv_name}' within {ANSWER_WITHIN:g} s"
        answered: Future = Future()
        client.call_async(request).add_done_callback(
            lambda answer: answered.set_result(answer.result())
        )
        if threading.current_thread() is self._thread:  # which takes the answer
            return False, f"'{client.srv_name}' is called; a callback cannot wait for its answer"
        try:
            answer = answered.result(timeout)
        except FutureTimeoutError:
            return False, f"'{client.srv_name}' has not answered within {timeout:g} s"
        return answer.success, answer.message

    def _outcome(self, result: ReachGoal.Result) -> ReachResult:
        return to_reach_result(result)

    def _failure(self, result: ReachGoal.Result, status: int) -> ReachResult | PlanFailed:
        return to_reach_result(result) if result.outcome else super()._failure(result, status)
