# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The two ways a goal ends without a plan."""

from ..messages.error_codes import ErrorCode


class GoalError(Exception):
    """A goal cannot be answered: an ErrorCode and a text naming field, value and allowed."""

    def __init__(self, code: ErrorCode, message: str):
        super().__init__(message)
        self.code = code


class GoalStopped(Exception):  # noqa: N818
    """Somebody asked the goal to stop; the goal's slot knows who."""
