# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of the controller as ROS messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from unique_identifier_msgs.msg import UUID
from vjepa2_interfaces.action import ReachGoal
from vjepa2_interfaces.msg import ReachStep

from .commands import command_numbers
from .error_codes import ErrorCode
from .results import known_code, PlanResult
from .searches import to_pose_message
from .states import to_state
from .times import seconds, to_duration
from ..control.limits import LimitedStep
from ..control.reasons import Outcome, Reason
from ..planning.actions import to_action


@dataclass(frozen=True)
class ReachResult:
    """How a run of the controller ended."""

    outcome: Outcome
    reason: Reason
    code: ErrorCode  # NONE unless the planner or a field of the goal was at fault
    message: str  # what happened and what to do; '' if it reached its goal
    steps: int  # that were executed
    sub_goals_done: int
    limited_steps: int
    energies: tuple[float, ...]  # at each step, and at the end if it was planned from
    run_id: bytes
    run_time: float  # s

    def __str__(self) -> str:
        """Return it in one line."""
        steps = f'{self.steps} step{"" if self.steps == 1 else "s"}'
        ended = self.outcome.name, self.reason.name
        change = energy_change(self.energies, *ended, self.sub_goals_done)
        return f'{ended[0]} ({ended[1]}) after {steps} and {self.run_time:.1f} s{change}'

    @property
    def reached(self) -> bool:
        """Return whether the last sub-goal is reached, as far as the energies tell."""
        return self.outcome == Outcome.REACHED

    @property
    def cancelled(self) -> bool:
        """Return whether the goal was cancelled."""
        return self.reason == Reason.CANCELLED


def to_reach_result(result: ReachGoal.Result) -> ReachResult:
    """Return the ReachResult of a ReachGoal Result."""
    return ReachResult(
        outcome=Outcome(result.outcome),
        reason=Reason(result.reason),
        code=known_code(result.error_code),
        message=result.error_msg,
        steps=result.steps,
        sub_goals_done=result.sub_goals_done,
        limited_steps=result.limited_steps,
        energies=tuple(result.energies),
        run_id=bytes(result.run_id.uuid),
        run_time=seconds(result.run_time),
    )


def start_of(plan: PlanResult) -> NDArray[np.float64]:
    """
    Return the state [7] that a plan starts from, as its target and command tell it.

    ValueError if it has no target.
    """
    if plan.target_pose is None:
        raise ValueError('has_target_pose = False: allowed: a plan with a target')
    action = to_action(plan.command)
    target = to_state(plan.target_pose.pose, plan.target_gripper, 'target_pose')
    turn = Rotation.from_euler('xyz', action[3:6])
    orientation = turn.inv() * Rotation.from_euler('xyz', target[3:6])
    closedness = min(max(target[6] - action[6], 0.0), 1.0)
    return np.array([*(target[:3] - action[:3]), *orientation.as_euler('xyz'), closedness])


def to_step_message(plan: PlanResult, step: LimitedStep, rise: float, run_id: UUID) -> ReachStep:
    """Return the ReachStep of a plan and what the limits made of it, without its numbers."""
    header = Header(stamp=plan.stamp, frame_id=plan.frame_id)
    return ReachStep(
        header=header,
        energy=plan.start_energy,
        predicted_energy=plan.energy,
        confidence=plan.confidence,
        confidence_calibrated=plan.confidence_calibrated,
        near_energy=plan.near_energy,
        has_surprise=plan.surprise is not None,
        surprise=plan.surprise or 0.0,
        energy_rise=rise,
        command=command_numbers(plan.command),
        limited_command=command_numbers(step.command),
        limits=list(step.names),
        target_pose=to_pose_message(step.target, header),
        target_gripper=float(step.target[6]),
        run_id=run_id,
        plan_id=UUID(uuid=list(plan.plan_id)),
        planning_time=to_duration(plan.planning_time),
    )


def energy_change(
    energies: Sequence[float], outcome: str, reason: str, sub_goals_done: int
) -> str:
    """
    Return how the energy changed in a run, for the end of its line.

    '' if there is none, or if the last one compares to another picture than the first.
    """
    if not energies or sub_goals_done > (outcome == Outcome.REACHED.name):
        return ''
    last = f' -> {energies[-1]:.5f}' if len(energies) > 1 else ''
    before = ' before the last step' if reason == Reason.STEP_LIMIT.name else ''
    return f', energy {energies[0]:.5f}{last}{before}'


def ending(record: Any) -> tuple[str, str]:
    """Return the names of outcome and reason in a RunRecord; '' for those of another version."""
    outcomes, reasons = Outcome.__members__.values(), Reason.__members__.values()
    return (
        Outcome(record.outcome).name if record.outcome in outcomes else '',
        Reason(record.reason).name if record.reason in reasons else '',
    )


def run_summary(result: ReachGoal.Result) -> str:
    """Return a ReachGoal Result in one line, for the log."""
    return str(to_reach_result(result))
