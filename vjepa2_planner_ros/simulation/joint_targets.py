# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""Targets of the joints that move to where they were sent, each in its own time."""

import numpy as np
from numpy.typing import ArrayLike


class JointTargets:
    """The targets of some servos (rad, m): they move evenly to their goals and stay there."""

    def __init__(self, count: int) -> None:
        """Begin at zero."""
        self.goal = np.zeros(count)
        self._origin, self._elapsed, self._duration = np.zeros((3, count))

    def send(self, which: slice, goal: ArrayLike, duration: float) -> None:
        """Let some of the targets move from where they are to a goal in a duration (s)."""
        self._origin[which] = self.now()[which]
        self.goal[which] = goal
        self._elapsed[which], self._duration[which] = 0.0, duration

    def advance(self, duration: float) -> np.ndarray:
        """Let time pass (s); return the targets after it."""
        self._elapsed += duration
        return self.now()

    def moving(self) -> np.ndarray:
        """Return which of the targets have not come to their goals, bool."""
        return self._elapsed < self._duration

    def now(self) -> np.ndarray:
        """Return the targets at this moment."""
        moving = self.moving()
        if not moving.any():
            return self.goal.copy()
        share = np.divide(self._elapsed, self._duration, out=np.ones(len(moving)), where=moving)
        return np.where(moving, self._origin + share * (self.goal - self._origin), self.goal)
