# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a goal comes to its terminal state, and what is said about it."""

import time

from rclpy.action.server import RCLError
from sensor_msgs.msg import CompressedImage, Image
from vjepa2_interfaces.action import PlanAction

from .errors import GoalError
from .goal_slot import StopReason
from ..messages.error_codes import ErrorCode

OUTCOMES = ('succeeded', 'aborted', 'cancelled', 'preempted')
PICTURES = {'sensor_msgs/Image': Image, 'sensor_msgs/CompressedImage': CompressedImage}
STOPPED = {  # what a goal that was stopped from outside ends with
    StopReason.CANCELLED: (ErrorCode.NONE, 'cancelled'),
    StopReason.PREEMPTED: (ErrorCode.PREEMPTED, 'preempted'),
    StopReason.DEACTIVATED: (ErrorCode.NODE_DEACTIVATED, 'aborted'),
}


def end_goal(job, kind, result, failure, elapsed, summary, logger):
    """
    Bring a job to its terminal state; return (Result, one of OUTCOMES).

    :param kind: the action.
    :param result: its Result, or None.
    :param failure: the GoalError it failed with, or None. Whoever stopped the job before it came
        here has the last word over both.
    :param elapsed: s since the goal began, for the log.
    :param summary: returns what the log says of a Result.
    """
    reason, outcome = job.close(), 'succeeded'
    if reason is not None:
        code, outcome = STOPPED[reason]
        failure = GoalError(code, reason.value)
        logger.info(f'Goal {job.name}: ended after {elapsed:.2f} s: {failure}')
    elif failure is not None:
        outcome = 'aborted'
        logger.warning(f'Goal {job.name}: {failure.code.name}: {failure}')
    else:
        logger.info(f'Goal {job.name}: done in {elapsed:.2f} s, {summary(result)}')
    if failure is not None:
        result = kind.Result(error_code=int(failure.code), error_msg=str(failure))
        if kind is PlanAction:
            result.plan_id = job.handle.goal_id
    try:
        _make_transition(job.handle, outcome)
    except RCLError as error:
        logger.error(f'Goal {job.name}: {error}')
    _forget_pictures(job.handle.request)
    return result, outcome


def _forget_pictures(goal):
    # rclpy keeps the goal as long as its result, result_timeout: megabytes for each.
    for field, kind in goal.get_fields_and_field_types().items():
        if kind in PICTURES:
            setattr(goal, field, PICTURES[kind]())


def _make_transition(handle, outcome):
    if outcome == 'cancelled':
        # The cancel callback has said yes; rclpy moves the goal to CANCELING just after that.
        until = time.monotonic() + 5.0
        while not handle.is_cancel_requested and time.monotonic() < until:
            time.sleep(0.001)
        handle.canceled()
    elif outcome == 'succeeded':
        handle.succeed()
    else:
        handle.abort()
