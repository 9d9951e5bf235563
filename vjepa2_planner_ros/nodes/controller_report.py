# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the controller shows: its steps, markers for rviz, and diagnostics."""

from __future__ import annotations

from collections import Counter
from typing import Any, TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile
from visualization_msgs.msg import MarkerArray
from vjepa2_interfaces.action import ReachGoal
from vjepa2_interfaces.msg import ReachStep

from .diagnostics import to_diagnostics
from ..control.config import Limits
from ..control.reasons import Outcome
from ..messages.run_markers import run_markers
from ..messages.runs import run_summary

if TYPE_CHECKING:
    from .controller_node import ControllerNode

PHASES = {
    getattr(ReachGoal.Feedback, name): name.lower()
    for name in ('WAITING', 'PLANNING', 'CONFIRMING', 'MOVING', 'SETTLING')
}
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class ControllerReport:
    """Publishes steps and markers as they come, and once a second how the controller is doing."""

    def __init__(self, node: ControllerNode):
        self._node = node
        self._steps = node.create_publisher(ReachStep, '~/step', 10)
        self._markers = node.create_publisher(MarkerArray, '~/markers', LATCHED)
        self._health = node.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._outcomes: Counter[str] = Counter()
        self._limits: Counter[str] = Counter()
        self._last = 'none yet'
        # A steady clock: diagnostics go on where simulated time stands still, and show that.
        node.create_timer(
            1.0,
            self._publish,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    def step(self, steps: list[ReachStep], limits: Limits) -> None:
        """Publish the newest step of a run, and markers of all of them."""
        self._steps.publish(steps[-1])
        self._limits.update(steps[-1].limits)
        self._markers.publish(run_markers(steps, limits.workspace))

    def end(self, result: ReachGoal.Result) -> None:
        """Count a run that has ended."""
        self._outcomes[Outcome(result.outcome).name] += 1
        text = f': {result.error_msg}' if result.error_msg else ''
        self._last = f'{run_summary(result)}{text}'

    def _publish(self) -> None:
        node = self._node
        values = {
            **node.status(),
            'last run': self._last,
            **{f'runs {item.name}': self._outcomes[item.name] for item in Outcome},
            **{f'steps limited by {name}': count for name, count in sorted(self._limits.items())},
        }
        name = f'{node.get_fully_qualified_name()}: controller'
        stamp = node.get_clock().now().to_msg()
        self._health.publish(to_diagnostics(stamp, name, self._judge(), values))

    def _judge(self) -> tuple[Any, str]:
        """
        Return (level, message) of the controller.

        ERROR: configuring failed. WARN: it cannot move the arm now.
        """
        state, failure = self._node.health
        if failure:
            return DiagnosticStatus.ERROR, failure
        if state != 'active':
            return DiagnosticStatus.WARN, f'{state}: goals are rejected'
        problem = self._node.problem()
        if problem:
            return DiagnosticStatus.WARN, problem
        return DiagnosticStatus.OK, 'armed' if self._node.armed else 'ready to be armed'
