# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One goal of an action from acceptance to its end: its stop reason and its time allowance."""

from __future__ import annotations

from enum import Enum
import math
import threading
import time
from typing import Any, NoReturn

from rclpy.action.server import ServerGoalHandle

from .errors import GoalError, GoalStopped
from ..messages.error_codes import ErrorCode

OUTCOMES = ('succeeded', 'aborted', 'cancelled', 'preempted')


class StopReason(Enum):
    """Why a goal was stopped from outside: text, error code and outcome."""

    CANCELLED = 'cancelled by a client', ErrorCode.NONE, 'cancelled'
    PREEMPTED = 'a newer goal took over', ErrorCode.PREEMPTED, 'preempted'
    DEACTIVATED = (
        'the node was deactivated, or ends: activate it (`ros2 lifecycle set NODE activate`) or '
        'start it again, then send the goal again',
        ErrorCode.NODE_DEACTIVATED,
        'aborted',
    )


class Goal:
    """A goal from acceptance to its end; thread-safe."""

    def __init__(self, handle: ServerGoalHandle):
        self.handle = handle
        self._accepted_at = time.monotonic()
        self._allowance = self._deadline = math.inf
        self._lock = threading.Lock()
        self._reason: StopReason | None = None
        self._closed = False

    @property
    def request(self) -> Any:
        """Return the Goal message."""
        return self.handle.request

    @property
    def name(self) -> str:
        """Return the first bytes of the goal's id, as in the log."""
        return bytes(self.handle.goal_id.uuid[:4]).hex()

    def stop(self, reason: StopReason) -> bool:
        """Ask the goal to stop; False if it has ended or was asked before."""
        with self._lock:
            if self._closed or self._reason is not None:
                return False
            self._reason = reason
            return True

    def stopped(self) -> bool:
        """Return whether the goal was asked to stop."""
        return self._reason is not None

    def allow(self, seconds: float) -> None:
        """Let check() end the goal this many seconds after its acceptance; 0 = never."""
        if seconds:
            self._allowance, self._deadline = seconds, self._accepted_at + seconds

    @property
    def time_left(self) -> float | None:
        """Return the seconds until the end of the time allowance, None without one."""
        return None if math.isinf(self._deadline) else self._deadline - time.monotonic()

    def check_stop(self) -> None:
        """Raise GoalStopped if the goal was asked to stop."""
        if self.stopped():
            raise GoalStopped

    def check(self, doing: str) -> None:
        """Raise GoalStopped as check_stop does, or GoalError TIMEOUT after the time allowance."""
        self.check_stop()
        if time.monotonic() > self._deadline:
            self.time_out(f'while {doing}, after 0 iterations')

    def time_out(self, progress: str) -> NoReturn:
        """Raise GoalError TIMEOUT; progress says how far the goal came."""
        raise GoalError(
            ErrorCode.TIMEOUT, f'time_allowance = {self._allowance:g} s exceeded {progress}'
        )

    def close(self) -> StopReason | None:
        """End the goal: it cannot be stopped any more. Return the reason if it was."""
        with self._lock:
            self._closed = True
            return self._reason

    def commit(self) -> None:
        """End the goal, which succeeds from here on; GoalStopped if it was asked to stop."""
        self.close()
        self.check_stop()
