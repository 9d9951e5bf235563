# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a goal message says, checked field by field."""

from dataclasses import dataclass
import math

import numpy as np

from .errors import GoalError
from .parameters import Settings, with_goal
from ..messages.error_codes import ErrorCode
from ..messages.images import compressed_to_rgb, to_rgb
from ..messages.states import check_frame, to_state
from ..messages.times import nanoseconds


@dataclass(frozen=True)
class GoalInputs:
    """A goal as numbers; None where the live streams are to be used."""

    picture: np.ndarray  # uint8 [H, W, 3] RGB to reach
    camera: str
    settings: Settings  # the parameters, with the goal's over them
    allowance: float  # s, 0 = none
    best_effort: bool  # at the end of the allowance, the plan so far instead of an error
    frame: np.ndarray  # uint8 [H, W, 3] RGB to start from, or None
    frame_stamp: int  # ns, or None
    state: np.ndarray  # [7] to start from, or None


def read_goal(goal, settings) -> GoalInputs:
    """Return a PlanAction goal as GoalInputs; GoalError naming the field if it is wrong."""
    allowance = nanoseconds(goal.time_allowance) * 1e-9
    if allowance < 0.0:
        raise GoalError(
            ErrorCode.INVALID_SETTINGS,
            f'time_allowance = {allowance} s: allowed: 0 (none) or more',
        )
    settings = checked(
        ErrorCode.INVALID_SETTINGS, with_goal, settings, goal.search, goal.use_seed, goal.seed
    )
    return read_inputs(goal, settings, allowance, goal.best_effort)


def read_inputs(goal, settings, allowance=0.0, best_effort=False) -> GoalInputs:
    """Return the fields that every goal with pictures and states has; GoalError as read_goal."""
    check_camera(goal.camera, settings)
    picture = checked(ErrorCode.INVALID_GOAL_IMAGE, either_picture, goal, 'goal_image')
    frame = stamp = state = None
    if goal.use_current_image:
        frame = checked(ErrorCode.INVALID_GOAL_IMAGE, to_rgb, goal.current_image, 'current_image')
        stamp = nanoseconds(goal.current_image.header.stamp)
    if goal.use_start_state:
        state = checked(ErrorCode.INVALID_STATE, _start_state, goal.start_state, settings)
    return GoalInputs(
        picture,
        goal.camera or settings.cameras[0],
        settings,
        allowance,
        best_effort,
        frame,
        stamp,
        state,
    )


def check_camera(name, settings):
    """Raise GoalError if a camera is neither '' nor one of the parameters."""
    if name not in ('', *settings.cameras):
        raise GoalError(
            ErrorCode.INVALID_SETTINGS,
            (f"camera = '{name}': allowed: {', '.join(settings.cameras)} or ''"),
        )


def either_picture(request, field):
    """Return uint8 RGB [H, W, 3] of the Image in a field or of the CompressedImage beside it."""
    raw, compressed = getattr(request, field), getattr(request, f'{field}_compressed')
    if raw.data:
        return to_rgb(raw, field)
    if compressed.data:
        return compressed_to_rgb(compressed, f'{field}_compressed')
    raise ValueError(
        f'{field}.data = nothing, {field}_compressed.data = nothing: allowed: '
        'a picture in one of them'
    )


def _start_state(state, settings):
    check_frame(state.header.frame_id, settings.base_frame, 'start_state')
    if not math.isfinite(state.gripper) or not 0.0 <= state.gripper <= 1.0:
        raise ValueError(f'start_state.gripper = {state.gripper}: allowed: 0 (open) to 1 (closed)')
    return to_state(state.pose, state.gripper, 'start_state.pose')


def checked(code, function, *args):
    """Return function(*args); a ValueError becomes a GoalError of that code."""
    try:
        return function(*args)
    except ValueError as error:
        raise GoalError(code, str(error)) from error
