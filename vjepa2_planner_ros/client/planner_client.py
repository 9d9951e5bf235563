# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The client of the planner's action `plan`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

from rclpy.node import Node
from vjepa2_interfaces.action import PlanAction

from .goal_client import GoalClient
from ..messages.goals import picture_message, plan_goal
from ..messages.results import PlanResult, to_result


class PlannerClient(GoalClient):
    """
    A client of the planner's action `plan`; see GoalClient.

    :param node, action: as of GoalClient.
    """

    def __init__(self, node: Node | None = None, *, action: str = 'plan'):
        super().__init__(PlanAction, action, node)

    def plan(
        self, goal_image, *, timeout: float | None = None, on_feedback=None, **goal_fields
    ) -> PlanResult:
        """
        Plan and wait for the result; see ask for the errors and plan_goal for the arguments.

        :param timeout: s, after which the goal is cancelled; None = without end.
        :param on_feedback: called with each PlanAction.Feedback, on the client's thread.
        """
        goal = plan_goal(goal_image, **goal_fields)
        return self.ask(goal, timeout=timeout, on_feedback=on_feedback)

    def plan_async(self, goal_image, *, on_feedback=None, **goal_fields) -> Future:
        """Send a goal; return a Future of PlanResult or PlanFailed; see send and plan_goal."""
        return self.send(plan_goal(goal_image, **goal_fields), on_feedback)

    def plan_continuously(self, goal_image, **fields) -> Iterator[PlanResult]:
        """
        Yield one PlanResult after the other, each planned from the newest frame, without end.

        The next plan begins when the caller asks for it. See plan for the arguments and errors.
        """
        picture = picture_message(goal_image)
        while True:
            yield self.plan(picture, **fields)

    def _outcome(self, result):
        return to_result(result)

    def _step(self, feedback):
        optimizing = feedback.phase == PlanAction.Feedback.OPTIMIZING
        return feedback.iteration.iteration if optimizing else 0

    def _last_step(self, result):
        return result.iterations
