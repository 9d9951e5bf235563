# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Commands between ROS messages and seven numbers.

A command [7] is x y z [m], roll pitch yaw [rad, fixed axes], gripper (-1 close .. +1 open).
"""

from __future__ import annotations

from collections.abc import Iterable

from geometry_msgs.msg import Vector3
import numpy as np
from std_msgs.msg import Header
from vjepa2_interfaces.msg import EndEffectorCommand

from ..planning import actions

UNITS = {**actions.UNITS, 'gripper': '-1 close .. +1 open'}  # of a command, by axis


def command_numbers(command: Iterable[float]) -> list[float]:
    """Return a command as seven floats; ValueError unless it is seven finite numbers."""
    numbers = [float(value) for value in command]
    # rclpy does not check the length of fixed arrays: it would publish whatever is there.
    if len(numbers) != 7 or not np.isfinite(numbers).all():
        raise ValueError(f'command = {numbers}: allowed: seven finite numbers')
    return numbers


def to_command_message(command: Iterable[float], header: Header) -> EndEffectorCommand:
    """Return the EndEffectorCommand of a command [7]; ValueError as command_numbers."""
    x, y, z, roll, pitch, yaw, gripper = command_numbers(command)
    return EndEffectorCommand(
        header=header,
        translation=Vector3(x=x, y=y, z=z),
        rotation_rpy=Vector3(x=roll, y=pitch, z=yaw),
        gripper=gripper,
    )


def command_of(message: EndEffectorCommand) -> np.ndarray:
    """Return the command [7] of an EndEffectorCommand, whatever its numbers are."""
    move, turn = message.translation, message.rotation_rpy
    return np.array([move.x, move.y, move.z, turn.x, turn.y, turn.z, message.gripper])
