# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Poses of the end effector as state vectors [..., 7], vectorised in torch.

A state is x, y, z [m], roll, pitch, yaw [rad; fixed axes, R = Rz Ry Rx] in the robot base frame
and the gripper's closedness (0 open .. 1 closed). An action is the change of each: dx, dy, dz [m],
the angles of dR with R' = dR R [rad, base frame] and d(closedness).
"""

from __future__ import annotations

import torch
from torch import Tensor


def euler_to_matrix(angles: Tensor) -> Tensor:
    """Return the rotations [..., 3, 3] = Rz Ry Rx of fixed-axis angles [..., 3] in rad."""
    (cr, cp, cy), (sr, sp, sy) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    return torch.stack(
        [
            cy * cp,
            cy * sp * sr - sy * cr,
            cy * sp * cr + sy * sr,
            sy * cp,
            sy * sp * sr + cy * cr,
            sy * sp * cr - cy * sr,
            -sp,
            cp * sr,
            cp * cr,
        ],
        dim=-1,
    ).unflatten(-1, (3, 3))


def matrix_to_euler(rotation: Tensor) -> Tensor:
    """
    Return the fixed-axis angles [..., 3] in rad of rotations [..., 3, 3].

    Pitch and roll are read after the yaw has been turned back, so that the three angles together
    stay accurate up to and at gimbal lock, where the yaw alone is arbitrary.
    """
    yaw = torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0])
    cos, sin = yaw.cos()[..., None], yaw.sin()[..., None]
    first = cos * rotation[..., 0, :] + sin * rotation[..., 1, :]  # rows of Rz(-yaw) R
    second = cos * rotation[..., 1, :] - sin * rotation[..., 0, :]
    pitch = torch.atan2(-rotation[..., 2, 0], first[..., 0])
    roll = torch.atan2(-second[..., 2], second[..., 1])
    return torch.stack([roll, pitch, yaw], dim=-1)


def compose(states: Tensor, actions: Tensor) -> Tensor:
    """Return the states [..., 7] after actions [..., 7]; closedness is clipped to 0..1."""
    rotation = euler_to_matrix(actions[..., 3:6]) @ euler_to_matrix(states[..., 3:6])
    return torch.cat(
        [
            states[..., :3] + actions[..., :3],
            matrix_to_euler(rotation),
            (states[..., 6:] + actions[..., 6:]).clamp(0.0, 1.0),
        ],
        dim=-1,
    )


def difference(start: Tensor, end: Tensor) -> Tensor:
    """Return the actions [..., 7] that lead from one state to another."""
    rotation = euler_to_matrix(end[..., 3:6]) @ euler_to_matrix(start[..., 3:6]).mT
    return torch.cat(
        [end[..., :3] - start[..., :3], matrix_to_euler(rotation), end[..., 6:] - start[..., 6:]],
        dim=-1,
    )


def rotate_from(states: Tensor, reference: Tensor) -> Tensor:
    """
    Return states [..., 7] whose rotation is expressed relative to a reference tool rotation.

    :param reference: fixed-axis angles [3] of the tool rotation that becomes zero.

    R becomes R Rref^T, so actions (which multiply from the left) keep their meaning. A tool that
    points down has a roll of +-pi, where the angles wrap; relative to (pi, 0, 0) they do not.
    """
    rotation = euler_to_matrix(states[..., 3:6]) @ euler_to_matrix(reference).mT
    return torch.cat([states[..., :3], matrix_to_euler(rotation), states[..., 6:]], dim=-1)
