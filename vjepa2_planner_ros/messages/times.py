# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times and durations between ROS messages and numbers."""

from __future__ import annotations

from builtin_interfaces.msg import Duration, Time

SECOND = 10**9  # ns
LAST = 2**31 * SECOND - 1  # ns that a message can hold; the middleware would wrap what is beyond


def nanoseconds(message: Time | Duration) -> int:
    """Return a Time or Duration message as whole nanoseconds."""
    return message.sec * SECOND + message.nanosec


def seconds(message: Time | Duration) -> float:
    """Return a Time or Duration message as seconds."""
    return message.sec + message.nanosec * 1e-9


def to_stamp(count: int) -> Time:
    """Return nanoseconds as a Time message; the last or first one there is for what is beyond."""
    count = min(max(count, -LAST - 1), LAST)
    return Time(sec=count // SECOND, nanosec=count % SECOND)


def to_duration(amount: float) -> Duration:
    """Return seconds as a Duration message; the longest one there is for what is beyond."""
    stamp = to_stamp(round(amount * SECOND))
    return Duration(sec=stamp.sec, nanosec=stamp.nanosec)
