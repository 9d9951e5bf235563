# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms between frames, as tf2_msgs has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
import math
from typing import Any, NamedTuple

from geometry_msgs.msg import Point, Pose, Quaternion
import numpy as np
from numpy.typing import NDArray

from .states import quaternion_of_rpy, rpy_of_quaternion


class Rigid(NamedTuple):
    """Pose of a frame in another: position x y z [m] and unit quaternion x y z w."""

    position: tuple[float, float, float]
    turn: tuple[float, float, float, float]


def rigid_of(transform: Any) -> Rigid:
    """
    Return the Rigid of a geometry_msgs/Transform.

    ValueError, if a number is not finite or the quaternion not of norm 1 within 0.01.
    """
    move, turn = transform.translation, transform.rotation
    position, quaternion = (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)
    norm = math.hypot(*quaternion)
    if not (abs(norm - 1.0) <= 1e-2 and all(map(math.isfinite, position))):
        raise ValueError(
            f'translation = {list(position)}, rotation = {list(quaternion)}: allowed: finite '
            'numbers and a quaternion x y z w of norm 1 within 0.01'
        )
    x, y, z, w = (value / norm for value in quaternion)
    return Rigid(position, (x, y, z, w))


def rigid_of_pose(values: Sequence[float]) -> Rigid:
    """Return the Rigid of x y z [m] and roll pitch yaw [rad, fixed axes]."""
    x, y, z, *rpy = values
    turn = quaternion_of_rpy(*rpy)
    return Rigid((x, y, z), (turn.x, turn.y, turn.z, turn.w))


def pose_of_rigid(rigid: Rigid) -> tuple[float, ...]:
    """Return x y z [m] and roll pitch yaw [rad, fixed axes] of a Rigid."""
    return (*rigid.position, *rpy_of_quaternion(*rigid.turn))


def without_shared(up: list[str], down: list[str]) -> tuple[list[str], list[str]]:
    """Return two ways of frames up to the same root without what both have in common."""
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(up[::-1], down[::-1])))
    return up[: len(up) - shared], down[: len(down) - shared]


def to_pose(rigid: Rigid) -> Pose:
    """Return the Pose of a Rigid."""
    (x, y, z), turn = rigid.position, rigid.turn
    return Pose(
        position=Point(x=x, y=y, z=z),
        orientation=Quaternion(x=turn[0], y=turn[1], z=turn[2], w=turn[3]),
    )


def point_of(frame: NDArray[np.float64], offset: Sequence[float]) -> NDArray[np.float64]:
    """
    Return the state [6] of the point that is planned for: x y z [m], roll pitch yaw [rad].

    :param frame: that of the frame which the arm tells [6].
    :param offset: pose of the point in the frame [6]: the parameter tool_offset.
    """
    return np.array(pose_of_rigid(compose(rigid_of_pose(frame.tolist()), rigid_of_pose(offset))))


def frame_of(point: NDArray[np.float64], offset: Sequence[float]) -> NDArray[np.float64]:
    """Return the state [6] of the frame that the arm tells, given that of the point."""
    back = inverse(rigid_of_pose(offset))
    return np.array(pose_of_rigid(compose(rigid_of_pose(point.tolist()), back)))


def compose(first: Rigid, second: Rigid) -> Rigid:
    """Return the pose of a frame C in A, of first = B in A and second = C in B."""
    x, y, z = _rotate(first.turn, second.position)
    px, py, pz = first.position
    return Rigid((px + x, py + y, pz + z), _multiply(first.turn, second.turn))


def inverse(rigid: Rigid) -> Rigid:
    """Return the pose of a frame A in B, of that of B in A."""
    x, y, z, w = rigid.turn
    back = (-x, -y, -z, w)
    px, py, pz = _rotate(back, rigid.position)
    return Rigid((-px, -py, -pz), back)


def between(first: Rigid, second: Rigid, share: float) -> Rigid:
    """Return the pose at a share, 0 to 1, of the way from one to another, on the shorter turn."""
    dot = sum(a * b for a, b in zip(first.turn, second.turn))
    sign = 1.0 if dot >= 0.0 else -1.0
    angle = math.acos(min(abs(dot), 1.0))
    if angle < 1e-6:
        start, end = 1.0 - share, share
    else:
        start = math.sin((1.0 - share) * angle) / math.sin(angle)
        end = math.sin(share * angle) / math.sin(angle)
    x, y, z, w = (start * a + sign * end * b for a, b in zip(first.turn, second.turn))
    norm = math.hypot(x, y, z, w)
    px, py, pz = ((1.0 - share) * a + share * b for a, b in zip(first.position, second.position))
    return Rigid((px, py, pz), (x / norm, y / norm, z / norm, w / norm))


def _multiply(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the product of quaternions x y z w."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def _rotate(turn: Sequence[float], vector: Sequence[float]) -> tuple[float, ...]:
    """Return a vector turned by a unit quaternion x y z w."""
    x, y, z, w = turn
    return _multiply(_multiply(turn, (*vector, 0.0)), (-x, -y, -z, w))[:3]
