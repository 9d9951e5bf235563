# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stamps at the ends of what a message can hold, and ages that mean nothing."""

from builtin_interfaces.msg import Duration, Time
import numpy as np
from planner_rig import closed_plans, eventually, GOAL, START, to_image, to_state_message
import pytest
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.history.recorded import load
from vjepa2_planner_ros.messages.goals import plan_goal
from vjepa2_planner_ros.messages.times import nanoseconds

END = 2**31 - 1  # s
STAMPS = {
    'last': (END, 999_999_999),
    'beyond': (END, 4_000_000_000),  # nanoseconds that are no part of a second
    'negative': (-5, 1),
    'first': (-(2**31), 0),
}


@pytest.mark.parametrize('sec, nanosec', STAMPS.values(), ids=STAMPS)
def test_a_stamp_at_the_end_of_its_range_is_planned_recorded_and_shown(
    robot, plans_folder, sec, nanosec
):
    stamp = Time(sec=sec, nanosec=nanosec)
    image = to_image(ToyWorldModel.picture(START), stamp)
    result = robot.plan(current_image=image, start_state=to_state_message(START), iterations=2)
    expected = min(sec * 10**9 + nanosec, END * 10**9 + 999_999_999)
    assert np.isfinite(result.command).all() and nanoseconds(result.stamp) == expected
    (path,) = closed_plans(plans_folder)
    assert nanoseconds(load(path).record.header.stamp) == expected
    assert np.isfinite(robot.client.age(result.stamp))


@pytest.mark.parametrize('sec, nanosec', STAMPS.values(), ids=STAMPS)
def test_live_streams_with_such_stamps_go_on(robot, sec, nanosec):
    robot.sending = set()
    image = to_image(ToyWorldModel.picture(START), Time(sec=sec, nanosec=nanosec))
    frames = robot.planner._streams.frames['main']
    eventually(
        lambda: (
            robot.pictures.publish(image)
            or frames.newest.message.header.stamp == image.header.stamp
        )
    )
    robot.restore()
    eventually(lambda: abs(robot.planner._streams.age_of_frame('main')) < 1.0)
    assert np.isfinite(robot.plan(iterations=1).command).all()


@pytest.mark.parametrize('amount', [2.0**31, -1.0, float('nan'), float('inf')])
def test_an_allowance_that_no_message_holds_is_refused(amount):
    with pytest.raises(ValueError, match='time_allowance = .*: allowed: 0 to 2147483647'):
        plan_goal(ToyWorldModel.picture(GOAL), time_allowance=amount)


def test_the_longest_allowance_is_taken_and_recorded(robot, plans_folder):
    goal = plan_goal(ToyWorldModel.picture(GOAL), iterations=1)
    goal.time_allowance = Duration(sec=END, nanosec=4_000_000_000)
    assert np.isfinite(robot.client.ask(goal, timeout=60.0).command).all()
    (path,) = closed_plans(plans_folder)
    assert nanoseconds(load(path).record.time_allowance) == END * 10**9 + 999_999_999
