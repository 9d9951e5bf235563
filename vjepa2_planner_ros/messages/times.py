# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Times and durations between ROS messages and numbers."""

from __future__ import annotations

from builtin_interfaces.msg import Duration, Time


def nanoseconds(message: Time | Duration) -> int:
    """Return a Time or Duration message as whole nanoseconds."""
    return message.sec * 10**9 + message.nanosec


def seconds(message: Time | Duration) -> float:
    """Return a Time or Duration message as seconds."""
    return message.sec + message.nanosec * 1e-9


def to_stamp(count: int) -> Time:
    """Return nanoseconds as a Time message."""
    return Time(sec=count // 10**9, nanosec=count % 10**9)


def to_duration(amount: float) -> Duration:
    """Return seconds as a Duration message."""
    count = round(amount * 1e9)
    return Duration(sec=count // 10**9, nanosec=count % 10**9)
