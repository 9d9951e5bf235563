# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The error codes of the plan action, by name; PlanAction.action says what each means."""

from enum import IntEnum

from vjepa2_interfaces.action import PlanAction


class ErrorCode(IntEnum):
    """An error_code of PlanAction's Result."""

    NONE = PlanAction.Result.NONE
    GOAL_REJECTED = PlanAction.Result.GOAL_REJECTED
    SEND_GOAL_FAILURE = PlanAction.Result.SEND_GOAL_FAILURE
    UNKNOWN = PlanAction.Result.UNKNOWN
    INVALID_GOAL_IMAGE = PlanAction.Result.INVALID_GOAL_IMAGE
    INVALID_SETTINGS = PlanAction.Result.INVALID_SETTINGS
    NO_IMAGE = PlanAction.Result.NO_IMAGE
    IMAGE_STALE = PlanAction.Result.IMAGE_STALE
    NO_STATE = PlanAction.Result.NO_STATE
    STATE_STALE = PlanAction.Result.STATE_STALE
    STREAMS_OUT_OF_SYNC = PlanAction.Result.STREAMS_OUT_OF_SYNC
    MODEL_NOT_FOUND = PlanAction.Result.MODEL_NOT_FOUND
    MODEL_LOAD_FAILED = PlanAction.Result.MODEL_LOAD_FAILED
    OUT_OF_MEMORY = PlanAction.Result.OUT_OF_MEMORY
    NON_FINITE_ENERGY = PlanAction.Result.NON_FINITE_ENERGY
    TIMEOUT = PlanAction.Result.TIMEOUT
    PREEMPTED = PlanAction.Result.PREEMPTED
    NODE_DEACTIVATED = PlanAction.Result.NODE_DEACTIVATED
    INVALID_STATE = PlanAction.Result.INVALID_STATE
