# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The action space: its axes, their units and limits, and the two conventions of the gripper axis.

Inside the planner an action [7] is dx, dy, dz [m, robot base frame], the fixed-axis angles of the
rotation dR [rad, R' = dR R] and the change of closedness (0 open .. 1 closed). On ROS topics a
command [7] is the same except for its last entry, the gripper from -1 (close) to +1 (open).
"""

from __future__ import annotations

from math import pi
from typing import Any, TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Vectors = TypeVar('Vectors', 'NDArray[Any]', 'Tensor')

UNITS = {'x': 'm', 'y': 'm', 'z': 'm', 'roll': 'rad', 'pitch': 'rad', 'yaw': 'rad', 'gripper': ''}
AXES = tuple(UNITS)
MAX_TRANSLATION = 0.10  # m per axis and step; no setting and no model goes beyond
# No bound may exceed these: 10 cm, half a turn and the whole travel of the gripper in a step.
LARGEST_BOUNDS = (MAX_TRANSLATION,) * 3 + (pi,) * 3 + (1.0,)


def to_command(actions: Vectors) -> Vectors:
    """Return commands [..., 7] for actions [..., 7] (arrays or tensors)."""
    commands = actions * 1.0
    commands[..., 6] = 0.0 - commands[..., 6]  # a still gripper stays 0, not -0
    return commands


def to_action(commands: Vectors) -> Vectors:
    """Return actions [..., 7] for commands [..., 7] (arrays or tensors)."""
    return to_command(commands)  # turning the gripper's sign is its own inverse
