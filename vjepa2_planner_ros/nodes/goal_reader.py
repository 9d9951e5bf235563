# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
One PlanRequest from a goal message and the live streams, checked field by field.

read_plan and read_request take what the message says; complete adds what only streams can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
import math
from typing import Any, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from .errors import checked, GoalError
from .settings import Settings, with_goal
from ..messages.error_codes import ErrorCode
from ..messages.images import compressed_to_rgb, to_rgb
from ..messages.input_settings import Crop, InputSettings
from ..messages.states import check_frame, to_state
from ..messages.times import nanoseconds, to_stamp
from ..planning.config import require

if TYPE_CHECKING:
    from .observations import Observations


@dataclass(frozen=True)
class PlanRequest:
    """What one goal asks for, as arrays; pictures are uint8 [H, W, 3] RGB."""

    picture: NDArray[np.uint8]  # to reach
    camera: str
    settings: Settings  # the parameters, with the goal's over them
    allowance: float = 0.0  # s, 0 = none
    best_effort: bool = False  # at the end of the allowance, the plan so far instead of an error
    frames: tuple[NDArray[np.uint8], ...] = ()  # of the context, the current one last; () = live
    # [T, 7] at the frames; [0, 7] = live
    states: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 7)))
    stamp: int = 0  # of the current frame [ns]; 0 = live, or not known
    crop: Crop = ''  # of the pictures; '' = the model's own
    hand_camera: tuple[Any, ...] | None = None  # of a HandCamera, for models without a predictor
    run_id: bytes = b''  # of the run that the plan is a step of; b'' = of none

    @property
    def header(self) -> Header:
        """Return the stamp of the current frame and the robot's base frame."""
        return Header(stamp=to_stamp(self.stamp), frame_id=self.settings.base_frame)

    @property
    def image_header(self) -> Header:
        """Return the stamp of the current frame and the camera's name."""
        return Header(stamp=to_stamp(self.stamp), frame_id=self.camera)


def read_plan(message: Any, settings: Settings) -> PlanRequest:
    """Return what a PlanAction goal says; GoalError naming the field if it is wrong."""
    allowance = nanoseconds(message.time_allowance) * 1e-9
    if allowance < 0.0:
        raise GoalError(
            ErrorCode.INVALID_SETTINGS,
            f'time_allowance = {allowance} s: allowed: 0 (none) or more',
        )
    seed = message.seed if message.use_seed else None
    settings = checked(ErrorCode.INVALID_SETTINGS, with_goal, settings, message.search, seed)
    request = read_request(message, settings)
    run_id = bytes(message.run_id.uuid)
    return replace(
        request,
        allowance=allowance,
        best_effort=message.best_effort,
        run_id=run_id if any(run_id) else b'',
    )


def read_request(message: Any, settings: Settings) -> PlanRequest:
    """Return the fields that every goal with pictures and states has; GoalError as read_plan."""
    camera = read_camera(message, settings)
    picture = checked(ErrorCode.INVALID_GOAL_IMAGE, either_picture, message, 'goal_image')
    request = PlanRequest(picture, camera, settings)
    if message.use_current_image:
        image = message.current_image
        frame = checked(ErrorCode.INVALID_GOAL_IMAGE, to_rgb, image, 'current_image')
        request = replace(request, frames=(frame,), stamp=nanoseconds(image.header.stamp))
    if message.use_start_state:
        state = checked(ErrorCode.INVALID_STATE, _start_state, message.start_state, settings)
        request = replace(request, states=state[None])
    return request


def read_camera(message: Any, settings: InputSettings) -> str:
    """Return the camera that a message names, or the first; GoalError if there is none."""
    if message.camera not in ('', *settings.cameras):
        raise GoalError(
            ErrorCode.INVALID_SETTINGS,
            f"camera = '{message.camera}': allowed: {', '.join(settings.cameras)} or ''",
        )
    return message.camera or settings.cameras[0]


def complete(
    request: PlanRequest, observations: Observations, model: Any, check: Callable[[], object]
) -> PlanRequest:
    """
    Return a request with frames and states of the live streams where it has none, and its crop.

    GoalError if a stream does not have it in time.

    :param model: the loaded world model.
    :param check: called while waiting; what it raises ends the wait.
    """
    settings, camera = request.settings, request.camera
    observations.prepare(settings, model.frame_period)
    live_frame, live_state = not request.frames, len(request.states) == 0
    frames, states, stamp = request.frames, request.states, request.stamp
    wanted = camera if live_frame else None
    moment = observations.wait(wanted, live_state, settings, check, stamp or None)
    if live_frame:
        frame, stamp = observations.frame(camera, moment, settings)
        frames = (frame,)
    if live_state:
        states = observations.state(moment, settings)[None]
        if live_frame:
            past = observations.past(camera, stamp, settings)
            frames = (*(frame for frame, _ in past), *frames)
            states = np.stack([*(state for _, state in past), *states])
    hand_camera = None
    if model.action_dim == 3:
        hand_camera = observations.hand_camera(camera, frames[-1].shape[:2], settings, check)
    return replace(
        request,
        frames=frames,
        states=states,
        stamp=stamp,
        crop=observations.crop(camera),
        hand_camera=hand_camera,
    )


def either_picture(request: Any, field: str) -> NDArray[np.uint8]:
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


def _start_state(state: Any, settings: Settings) -> NDArray[np.float64]:
    check_frame(state.header.frame_id, settings, 'start_state')
    good = math.isfinite(state.gripper) and 0.0 <= state.gripper <= 1.0
    require(good, 'start_state.gripper', state.gripper, '0 (open) to 1 (closed)')
    return to_state(state.pose, state.gripper, 'start_state.pose')
