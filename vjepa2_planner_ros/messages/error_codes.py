# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The error codes of the plan action, by name; PlanAction.action says what each means."""

from enum import IntEnum

from vjepa2_interfaces.action import PlanAction

_NAMES = (
    'NONE',
    'GOAL_REJECTED',
    'SEND_GOAL_FAILURE',
    'UNKNOWN',
    'INVALID_GOAL_IMAGE',
    'INVALID_SETTINGS',
    'NO_IMAGE',
    'IMAGE_STALE',
    'NO_STATE',
    'STATE_STALE',
    'STREAMS_OUT_OF_SYNC',
    'MODEL_NOT_FOUND',
    'MODEL_LOAD_FAILED',
    'OUT_OF_MEMORY',
    'NON_FINITE_ENERGY',
    'TIMEOUT',
    'PREEMPTED',
    'NODE_DEACTIVATED',
    'INVALID_STATE',
)

ErrorCode = IntEnum('ErrorCode', {name: getattr(PlanAction.Result, name) for name in _NAMES})
