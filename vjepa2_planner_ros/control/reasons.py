# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Why a run of the controller ends; the numbers are those of ReachGoal's result."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """How a run ended."""

    REACHED = 1
    NOT_REACHED = 2
    STOPPED = 3
    FAILED = 4


class Reason(IntEnum):
    """Why a run ended; ReachGoal.action says what each means."""

    SETTLED = 1
    DRY_RUN = 20
    NO_PROGRESS = 21
    UNSURE = 22
    STEP_LIMIT = 23
    TIME_LIMIT = 24
    DISARMED = 40
    STOP_CALLED = 41
    DEAD_MAN_RELEASED = 42
    NOT_CONFIRMED = 43
    CANCELLED = 44
    PREEMPTED = 45
    DEACTIVATED = 46
    INVALID_GOAL = 60
    PLANNER_ERROR = 61
    STALE_INPUT = 62
    WORKSPACE = 63
    NOT_FOLLOWING = 64
    SURPRISE = 65
    OTHER_PUBLISHER = 66
    INTERNAL_ERROR = 67

    @property
    def outcome(self) -> Outcome:
        """Return the outcome that the reason belongs to: each has twenty numbers."""
        return Outcome(self // 20 + 1)

    @property
    def disarms(self) -> bool:
        """Return whether somebody has to look at the arm before the next run."""
        return self == Reason.STOP_CALLED or self >= Reason.STALE_INPUT


class RunEnd(Exception):  # noqa: N818
    """A run ends: its reason, and a text with the figures and what to do next."""

    def __init__(self, reason: Reason, text: str):
        super().__init__(text)
        self.reason = reason
