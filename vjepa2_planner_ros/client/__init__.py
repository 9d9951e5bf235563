# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clients of planner and controller, for scripts and for other nodes."""

from .controller_client import ControllerClient
from .goal_client import GoalClient
from .planner_client import PlannerClient
from ..messages.results import PlanFailed, PlanResult
from ..messages.runs import ReachResult

__all__ = [
    'ControllerClient',
    'GoalClient',
    'PlanFailed',
    'PlannerClient',
    'PlanResult',
    'ReachResult',
]
