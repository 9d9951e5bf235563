# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What nothing refuses and yet makes plans useless is told once."""

import time

import numpy as np
from planner_rig import eventually, START, to_image, to_state_message
import pytest
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.world_model import load_world_model

CLOSED = np.array([*START[:6], 1.0])
PICTURE = ToyWorldModel.picture(START)


@pytest.mark.slow
@pytest.mark.parametrize('aliases, told', [(['base'], True), (['base', 'panda_link0'], False)])
def test_the_simulator_s_model_on_another_robot(make_robot, aliases, told):
    robot = make_robot(
        load_world_model,
        model='sim-panda-ac',
        device='cpu',
        base_frame='fr3_link0',
        base_frame_aliases=aliases,
        cem__samples=8,
        sending=['image'],
    ).ready()
    for _ in range(2):
        robot.client.plan(PICTURE, timeout=60.0, iterations=1, start_state=to_state_message(START))
    eventually(lambda: len(robot.logged(': done in ')) == 2)
    found = robot.logged("model 'sim-panda-ac' knows one robot alone")
    assert len(found) == told and all("'panda_link0'" in line for line in found)


def plan_to_open(robot, seconds, **fields):
    """Plan again and again to open the gripper."""
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until or count < 10:
        robot.client.plan(PICTURE, timeout=60.0, iterations=3, **fields)
        count += 1


@pytest.mark.slow
def test_a_gripper_that_is_read_as_closed_and_never_moves(make_robot):
    robot = make_robot().ready()
    robot.state = CLOSED
    eventually(lambda: robot.plan(iterations=1).command[6] > 0.1)
    plan_to_open(robot, 3.0)
    eventually(lambda: robot.logged('still read as closed'))
    (line,) = robot.logged('still read as closed')
    assert "gripper.joint = 'panda_finger_joint1'" in line


@pytest.mark.slow
def test_a_gripper_that_moves_or_a_state_of_the_goal_s_own_is_no_reason(make_robot):
    robot = make_robot().ready()
    fields = {'current_image': to_image(ToyWorldModel.picture(CLOSED))}
    plan_to_open(robot, 3.0, start_state=to_state_message(CLOSED), **fields)
    plan_to_open(robot, 3.0)  # it is a quarter closed
    assert not robot.logged('still read as closed')
