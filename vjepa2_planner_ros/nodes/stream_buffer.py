# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The newest messages of a stream, by the time they were taken."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

# Stamps come from a clock that was set back if they are further back than this [ns],
REORDERED = 10**9
# or if none but older ones come for this long [ns].
SETTLED = 2 * 10**8


@dataclass(frozen=True)
class Stamped:
    """A message with the time it was taken [ns, ROS time]."""

    message: Any
    stamp: int
    position: float = 0.0  # of the gripper joint [its own unit], for a JointState


class StreamBuffer:
    """
    The newest item of a stream and some before it; not thread-safe.

    spacing and span [ns] say which: older items are kept at least spacing apart and no longer
    than span before the newest.
    """

    def __init__(self) -> None:
        self.spacing = 0
        self.span = 0
        self._items: deque[Stamped] = deque()
        self._first_late: int | None = None  # stamp of the first in a row that newer ones preceded

    @property
    def newest(self) -> Stamped | None:
        """Return the newest Stamped, None if there is none."""
        return self._items[-1] if self._items else None

    def add(self, item: Stamped) -> None:
        """
        Add a Stamped, unless newer ones have come before it.

        It replaces the newest if their stamps are equal: simulated time, or the clock of a driver,
        may stand still.
        """
        items = self._items
        if items and item.stamp < items[-1].stamp:
            if self._first_late is None:
                self._first_late = item.stamp
            late = items[-1].stamp - item.stamp < REORDERED
            if late and item.stamp - self._first_late < SETTLED:
                return
            items.clear()
        self._first_late = None
        if (
            items
            and item.stamp == items[-1].stamp
            or (len(items) > 1 and items[-1].stamp - items[-2].stamp < self.spacing)
        ):
            items.pop()
        items.append(item)
        while items[0].stamp < item.stamp - self.span:
            items.popleft()

    def around(self, stamp: int) -> tuple[Stamped | None, Stamped | None]:
        """Return the last Stamped taken until a time [ns] and the first from then on."""
        after = None
        for item in reversed(self._items):
            if item.stamp >= stamp:
                after = item
            if item.stamp <= stamp:
                return item, after
        return None, after

    def nearest(self, stamp: int) -> Stamped | None:
        """Return the Stamped taken nearest to a time [ns], None if there is none."""
        return min(self._items, key=lambda item: abs(item.stamp - stamp), default=None)
