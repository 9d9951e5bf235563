# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The way from one pose to another: smooth, no faster than the limits, never a jump."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from .config import Limits

PEAK = 1.5  # highest speed of the blend 3 u^2 - 2 u^3, in units of its mean


class Path:
    """
    A path between two states [6]: x y z [m], roll pitch yaw [rad], robot base frame.

    Position and orientation move on straight lines (a turn about one axis) and together, with the
    blend 3 u^2 - 2 u^3, which begins and ends at rest.
    """

    def __init__(self, start: NDArray[np.float64], end: NDArray[np.float64], limits: Limits):
        self._start, self._orientation = start[:3], Rotation.from_euler('xyz', start[3:6])
        self._way = way(start, end)
        self._move, self._turn = self._way[:3], self._way[3:]
        self.duration = PEAK * max(
            float(np.linalg.norm(self._move)) / limits.max_speed,
            float(np.linalg.norm(self._turn)) / limits.max_turn_speed,
        )

    def at(self, elapsed: float) -> NDArray[np.float64]:
        """Return the pose [6] after a time [s]; the end from duration on."""
        share = self._share(elapsed)
        part = share * share * (3.0 - 2.0 * share)
        orientation = Rotation.from_rotvec(part * self._turn) * self._orientation
        return np.array([*(self._start + part * self._move), *orientation.as_euler('xyz')])

    def velocity(self, elapsed: float) -> NDArray[np.float64]:
        """Return linear [m/s] and angular [rad/s] velocity [6] after a time [s]."""
        share = self._share(elapsed)
        if self.duration == 0.0 or share == 1.0:
            return np.zeros(6)
        rate = 6.0 * share * (1.0 - share) / self.duration
        return rate * self._way

    def _share(self, elapsed: float) -> float:
        return 1.0 if elapsed >= self.duration else max(elapsed, 0.0) / self.duration


def toward(
    start: NDArray[np.float64], end: NDArray[np.float64], elapsed: float, limits: Limits
) -> NDArray[np.float64]:
    """Return how far a pose [6] gets on a straight line to another in a time [s]: end at most."""
    moved, turned = distance(start, end)
    longest = max(moved / limits.max_speed, turned / limits.max_turn_speed)
    if longest <= elapsed:
        return end[:6]
    apart = way(start, end) * elapsed / longest
    orientation = Rotation.from_rotvec(apart[3:]) * Rotation.from_euler('xyz', start[3:6])
    return np.array([*(start[:3] + apart[:3]), *orientation.as_euler('xyz')])


def way(start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return translation [m] and rotation vector [rad], together [6], between two states."""
    turn = Rotation.from_euler('xyz', end[3:6]) * Rotation.from_euler('xyz', start[3:6]).inv()
    return np.concatenate([end[:3] - start[:3], turn.as_rotvec()])


def distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """Return distance [m] and angle [rad] between two states [6] or [7]."""
    apart = way(one, other)
    return float(np.linalg.norm(apart[:3])), float(np.linalg.norm(apart[3:]))
