# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs of the controller as ROS messages."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from unique_identifier_msgs.msg import UUID
from vjepa2_interfaces.action import ReachGoal
from vjepa2_interfaces.msg import ReachStep

from .commands import command_numbers
from .results import PlanResult
from .searches import to_pose_message
from .states import to_state
from .times import to_duration
from ..control.limits import LimitedStep
from ..control.reasons import Outcome, Reason
from ..planning.actions import to_action


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


def to_step_message(
    plan: PlanResult, step: LimitedStep, surprise: float, run_id: UUID
) -> ReachStep:
    """Return the ReachStep of a plan and what the limits made of it, without its numbers."""
    header = Header(stamp=plan.stamp, frame_id=plan.frame_id)
    return ReachStep(
        header=header,
        energy=plan.start_energy,
        predicted_energy=plan.energy,
        confidence=plan.confidence,
        surprise=surprise,
        command=command_numbers(plan.command),
        limited_command=command_numbers(step.command),
        limits=list(step.names),
        target_pose=to_pose_message(step.target, header),
        target_gripper=float(step.target[6]),
        run_id=run_id,
        plan_id=UUID(uuid=list(plan.plan_id)),
        planning_time=to_duration(plan.planning_time),
    )


def run_summary(result: ReachGoal.Result) -> str:
    """Return a ReachGoal Result in one line, for logs and consoles."""
    steps = f'{result.steps} step{"" if result.steps == 1 else "s"}'
    energies = ''
    if result.energies:
        energies = f', energy {result.energies[0]:.4f} -> {result.energies[-1]:.4f}'
    outcome, reason = Outcome(result.outcome).name, Reason(result.reason).name
    return f'{outcome} ({reason}) after {steps}{energies}'
