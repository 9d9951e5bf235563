# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a goal is computed from: its own pictures and states, or those of the live streams."""

import numpy as np
from std_msgs.msg import Header

from ..messages.times import to_stamp


def read_request(goal, observations, model, should_stop, deadline):
    """
    Return (Request, Header) of GoalInputs; the header has the stamp of the current frame.

    GoalError if a stream has not what is needed in time; should_stop() raises.
    """
    from .solver import Request  # needs torch: not before the node is configured

    settings = goal.settings
    observations.prepare(settings, model.frame_period)
    frames, states, stamp = _observe(goal, observations, should_stop, deadline)
    camera = None
    if model.action_dim == 3:
        camera = observations.hand_camera(
            goal.camera, frames[-1].shape[:2], settings, should_stop, deadline
        )
    header = Header(stamp=to_stamp(stamp), frame_id=settings.base_frame)
    return Request(
        goal.picture, frames, states, settings, goal.allowance, deadline, goal.best_effort, camera
    ), header


def _observe(goal, observations, should_stop, deadline):
    """Return the frames to plan from, the current one last, their states [T, 7], its stamp."""
    frame, stamp, state = goal.frame, goal.frame_stamp, goal.state
    past = []
    observations.wait(
        goal.camera if frame is None else None, state is None, goal.settings, should_stop, deadline
    )
    if frame is None:
        frame, stamp = observations.frame(goal.camera, goal.settings)
    if state is None:
        state = observations.state(stamp or None, goal.settings)
        if goal.frame is None:
            past = observations.past(goal.camera, stamp, goal.settings)
    frames, states = zip(*past, (frame, state))
    return frames, np.stack(states), stamp
