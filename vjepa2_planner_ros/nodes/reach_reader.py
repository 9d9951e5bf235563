# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One ReachRequest from a ReachGoal message, checked field by field."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

from builtin_interfaces.msg import Duration
from sensor_msgs.msg import CompressedImage, Image
from vjepa2_interfaces.action import PlanAction

from .controller_settings import ControllerSettings
from .errors import checked, GoalError
from .goal_reader import either_picture, read_camera
from ..messages.error_codes import ErrorCode
from ..messages.times import nanoseconds, to_duration
from ..planning.config import require


@dataclass(frozen=True)
class SubGoal:
    """One picture to reach, as it came: the planner decodes it."""

    image: Image
    image_compressed: CompressedImage
    max_steps: int
    gripper: float | None  # closedness at its end; None = as it is then


@dataclass(frozen=True)
class ReachRequest:
    """What a ReachGoal asks for, with the parameters where it says nothing."""

    sub_goals: tuple[SubGoal, ...]
    camera: str
    model: str
    search: Any  # SearchSettings
    max_steps: int
    max_time: float  # s
    dry_run: bool

    def plan_goal(self, sub_goal: SubGoal, run_id: Any, timeout: float) -> PlanAction.Goal:
        """Return the planner's goal for a step; timeout [s] is the time it may take."""
        return PlanAction.Goal(
            goal_image=sub_goal.image,
            goal_image_compressed=sub_goal.image_compressed,
            camera=self.camera,
            model=self.model,
            search=self.search,
            run_id=run_id,
            time_allowance=to_duration(timeout),
        )


def read_reach(message: Any, settings: ControllerSettings) -> ReachRequest:
    """Return what a ReachGoal goal says; GoalError naming the field if it is wrong."""
    if not message.sub_goals:
        raise GoalError(ErrorCode.INVALID_GOAL_IMAGE, 'sub_goals = []: allowed: one or more')
    max_time = _time(message.time_allowance) or settings.ending.max_time
    return ReachRequest(
        sub_goals=tuple(
            _read_sub_goal(f'sub_goals[{index}]', sub_goal, settings)
            for index, sub_goal in enumerate(message.sub_goals)
        ),
        camera=read_camera(message, settings),
        model=message.model,
        search=message.search,
        max_steps=message.max_steps or settings.ending.max_steps,
        max_time=max_time,
        dry_run=message.dry_run or settings.dry_run,
    )


def _read_sub_goal(name: str, message: Any, settings: ControllerSettings) -> SubGoal:
    try:
        either_picture(message, 'image')  # decoded to be checked before the arm moves
    except ValueError as error:
        raise GoalError(ErrorCode.INVALID_GOAL_IMAGE, f'{name}.{error}') from error
    if message.set_gripper:
        good = math.isfinite(message.gripper) and 0.0 <= message.gripper <= 1.0
        allowed = '0 (open) to 1 (closed)'
        checked(
            ErrorCode.INVALID_SETTINGS, require, good, f'{name}.gripper', message.gripper, allowed
        )
    return SubGoal(
        image=message.image,
        image_compressed=message.image_compressed,
        max_steps=message.max_steps or settings.ending.sub_goal_steps,
        gripper=message.gripper if message.set_gripper else None,
    )


def _time(duration: Duration) -> float:
    allowance = nanoseconds(duration) * 1e-9
    if allowance < 0.0:
        raise GoalError(
            ErrorCode.INVALID_SETTINGS,
            f'time_allowance = {allowance} s: allowed: 0 (the parameter) or more',
        )
    return allowance
