# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Goals of the planner's action, made of pictures and numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import EndEffectorState, SearchSettings

from .images import to_image
from .pictures import read_picture
from .times import to_duration

MAX_UINT32, MAX_UINT64 = 2**32 - 1, 2**64 - 1


def plan_goal(
    goal_image: Any,
    *,
    current_image: Any = None,
    start_state: EndEffectorState | None = None,
    camera: str = '',
    model: str = '',
    optimizer: str = '',
    samples: int = 0,
    iterations: int = 0,
    elite_fraction: float = 0.0,
    horizon: int = 0,
    seed: int | None = None,
    time_allowance: float = 0.0,
    best_effort: bool = False,
) -> PlanAction.Goal:
    """
    Return the Goal of a plan; ValueError for a number that no goal can have.

    :param goal_image: uint8 array [H, W, 3] RGB, Image, CompressedImage or a file's path.
    :param current_image: picture to start from, as goal_image but not compressed; None = live.
    :param start_state: state to start from; None = live.
    :param camera, model: '' = the first camera, the loaded model.
    :param optimizer: 'cem' or 'trust_region'; '' = the server's parameter.
    :param samples, iterations, elite_fraction, horizon: 0 = the server's parameter.
    :param seed: None = the server's parameter.
    :param time_allowance: s, 0 = none.
    :param best_effort: at the end of time_allowance, the plan so far instead of TIMEOUT.
    """
    for name, value, largest in (
        ('samples', samples, MAX_UINT32),
        ('iterations', iterations, MAX_UINT32),
        ('horizon', horizon, MAX_UINT32),
        ('seed', seed or 0, MAX_UINT64),
    ):
        if not 0 <= value <= largest:
            raise ValueError(f'{name} = {value}: allowed: 0 to {largest}')
    goal = PlanAction.Goal(
        camera=camera,
        model=model,
        use_seed=seed is not None,
        seed=seed or 0,
        search=SearchSettings(
            optimizer=optimizer,
            samples=samples,
            iterations=iterations,
            elite_fraction=float(elite_fraction),
            horizon=horizon,
        ),
        time_allowance=to_duration(time_allowance),
        best_effort=best_effort,
    )
    picture = picture_message(goal_image)
    if isinstance(picture, CompressedImage):
        goal.goal_image_compressed = picture
    else:
        goal.goal_image = picture
    if current_image is not None:
        goal.use_current_image, goal.current_image = True, picture_message(current_image)
    if start_state is not None:
        goal.use_start_state, goal.start_state = True, start_state
    return goal


def picture_message(picture: Any) -> Image | CompressedImage:
    """
    Return the message of a picture: an Image or CompressedImage as it is, an array or a file.

    :param picture: message, uint8 array [H, W, 3] RGB, or path; ValueError or OSError if it is
        none of these.
    """
    if isinstance(picture, (Image, CompressedImage)):
        return picture
    rgb = read_picture(picture) if isinstance(picture, (str, Path)) else np.asarray(picture)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f'picture = {rgb.dtype} {rgb.shape}: allowed: uint8 [H, W, 3] RGB')
    return to_image(rgb, Header())


def goal_yaml(picture: np.ndarray) -> str:
    """Return a PlanAction goal with a picture, uint8 [H, W, 3] RGB, as YAML on one line."""
    from PIL import Image as Picture

    png = io.BytesIO()
    Picture.fromarray(picture).save(png, 'PNG')
    return f'{{goal_image_compressed: {{format: png, data: {list(png.getvalue())}}}}}'
