# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""End-effector states [7] between ROS messages and numbers, with checks of range and unit."""

from __future__ import annotations

import math
from typing import Any

from geometry_msgs.msg import Pose, Quaternion
import numpy as np
from numpy.typing import NDArray

from ..planning.config import require

LARGEST_POSITION = 3.0  # m; no arm on a table reaches further, millimetres do
GRIPPER_TOLERANCE = 0.1  # closedness; measured positions overshoot their nominal ends a little


def to_state(pose: Pose, closedness: float, field: str) -> NDArray[np.float64]:
    """
    Return the state [7] of a Pose and a closedness: x y z [m], roll pitch yaw [rad], 0..1.

    ValueError naming field, value and what is allowed, if a number is not finite or out of range.
    """
    position, orientation = pose.position, pose.orientation
    for axis in 'xyz':
        value = getattr(position, axis)
        require(
            abs(value) <= LARGEST_POSITION,
            f'{field}.position.{axis}',
            value,
            f'-{LARGEST_POSITION:g} to {LARGEST_POSITION:g} m (is it in millimetres?)',
        )
    quaternion = [getattr(orientation, axis) for axis in 'xyzw']
    norm = math.sqrt(sum(value * value for value in quaternion))
    require(
        abs(norm - 1.0) <= 1e-2,
        f'{field}.orientation',
        quaternion,
        'a quaternion x y z w of norm 1 within 0.01',
    )
    rpy = rpy_of_quaternion(*(value / norm for value in quaternion))
    return np.array([position.x, position.y, position.z, *rpy, closedness])


def to_closedness(position: float, gripper: Any) -> float:
    """
    Return the closedness (0 open .. 1 closed) of a gripper joint's position [its own unit].

    :param gripper: joint, open_position and closed_position: the parameters of that name.

    ValueError naming joint, position and what is allowed, if it is beyond GRIPPER_TOLERANCE.
    """
    travel = gripper.closed_position - gripper.open_position
    closedness = (position - gripper.open_position) / travel
    require(
        -GRIPPER_TOLERANCE <= closedness <= 1.0 + GRIPPER_TOLERANCE,
        f'position of joint {gripper.joint!r}',
        position,
        f'gripper.open_position = {gripper.open_position:g} to gripper.closed_position '
        f"= {gripper.closed_position:g} in the joint's own unit, a tenth of the way beyond",
    )
    return min(max(closedness, 0.0), 1.0)


def check_frame(frame_id: str, settings: Any, field: str) -> None:
    """
    Raise ValueError, if a header names another frame than the robot's base.

    :param settings: base_frame and base_frame_aliases: the parameters of that name.
    """
    names = [settings.base_frame, *filter(None, settings.base_frame_aliases)]
    require(
        frame_id in ('', *names),
        f'{field}.header.frame_id',
        repr(frame_id),
        f'{", ".join(map(repr, names))} (parameters base_frame and base_frame_aliases)',
    )


def rpy_of_quaternion(x: float, y: float, z: float, w: float) -> tuple[float, float, float]:
    """Return roll, pitch, yaw [rad] about fixed axes (R = Rz Ry Rx) of a unit quaternion."""
    # Yaw first, then pitch and roll of the rotation without it: exact up to gimbal lock, where a
    # formula with arcsin loses half the digits.
    yaw = math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))
    cos, sin = math.cos(yaw), math.sin(yaw)
    pitch = math.atan2(
        -2.0 * (x * z - w * y), cos * (1.0 - 2.0 * (y * y + z * z)) + sin * 2.0 * (x * y + w * z)
    )
    roll = math.atan2(
        sin * 2.0 * (x * z + w * y) - cos * 2.0 * (y * z - w * x),
        cos * (1.0 - 2.0 * (x * x + z * z)) - sin * 2.0 * (x * y - w * z),
    )
    return roll, pitch, yaw


def quaternion_of_rpy(roll: float, pitch: float, yaw: float) -> Quaternion:
    """Return the unit Quaternion of fixed-axis angles [rad], R = Rz Ry Rx."""
    (cr, cp, cy), (sr, sp, sy) = (
        [function(angle / 2.0) for angle in (roll, pitch, yaw)]
        for function in (math.cos, math.sin)
    )
    return Quaternion(
        x=sr * cp * cy - cr * sp * sy,
        y=cr * sp * cy + sr * cp * sy,
        z=cr * cp * sy - sr * sp * cy,
        w=cr * cp * cy + sr * sp * sy,
    )


def to_position(closedness: float, gripper: Any) -> float:
    """Return the position of a gripper's joint at a closedness; see to_closedness."""
    travel = gripper.closed_position - gripper.open_position
    return float(gripper.open_position + closedness * travel)
