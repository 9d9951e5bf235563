# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Goals that cannot be answered end with a code and a text that names what is wrong."""

from array import array
import math
import weakref

import numpy as np
from planner_rig import (
    ACTIVATE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    eventually,
    GOAL,
    START,
    to_image,
    transition,
)
import pytest
import rclpy
from sensor_msgs.msg import CompressedImage
from tools.toy_world_model import ToyWorldModel
import torch
from vjepa2_interfaces.msg import EndEffectorState
from vjepa2_planner_ros.client import PlanFailed, PlannerClient
from vjepa2_planner_ros.messages.error_codes import ErrorCode

PICTURE = ToyWorldModel.picture(GOAL)


def fails(robot, code, *words, goal=PICTURE, **fields):
    """Assert that a goal ends with a code and a text with these words, and the next one well."""
    with pytest.raises(PlanFailed) as failure:
        robot.client.plan(goal, timeout=60.0, **fields)
    assert failure.value.code == code
    assert all(word in failure.value.message for word in words), failure.value.message
    robot.restore()
    assert np.isfinite(robot.plan().command).all()


def state(**changes):
    """Return an EndEffectorState of START's position, with changes like position_x."""
    message = EndEffectorState(gripper=0.5)
    message.pose.position.x, message.pose.position.y, message.pose.position.z = map(
        float, START[:3]
    )
    for name, value in changes.items():
        part, _, axis = name.partition('_')
        target = getattr(message.pose, part) if axis else message
        setattr(target, axis or part, value)
    return message


@pytest.mark.case(3)
@pytest.mark.parametrize(
    'change, words',
    [
        ({'width': 0}, ['goal_image.width = 0']),
        ({'height': 0}, ['goal_image.height = 0']),
        ({'data': array('B', bytes(100))}, ['data length = 100', '3072']),
        ({'step': 95}, ['goal_image.step = 95', '96']),
        ({'encoding': 'bayer_rggb16'}, ['bayer_rggb16', 'rgb8, bgr8, rgba8, bgra8, mono8']),
        ({'encoding': '32FC3'}, ['32FC3', 'mono8']),
    ],
)
def test_malformed_goal_image(robot, change, words):
    goal = to_image(PICTURE)
    for name, value in change.items():
        setattr(goal, name, value)
    fails(robot, ErrorCode.INVALID_GOAL_IMAGE, 'allowed', *words, goal=goal)


@pytest.mark.case(3)
def test_no_goal_image_at_all(robot):
    fails(
        robot,
        ErrorCode.INVALID_GOAL_IMAGE,
        'goal_image.data',
        'goal_image_compressed.data',
        goal=CompressedImage(),
    )


@pytest.mark.case(3)
def test_damaged_compressed_goal(robot):
    fails(
        robot,
        ErrorCode.INVALID_GOAL_IMAGE,
        'goal_image_compressed.data',
        'jpeg or png',
        goal=CompressedImage(format='jpeg', data=array('B', b'\xff\xd8\xff' + bytes(90))),
    )


@pytest.mark.case(3)
def test_malformed_current_image(robot):
    current = to_image(PICTURE)
    current.step = 7
    fails(robot, ErrorCode.INVALID_GOAL_IMAGE, 'current_image.step = 7', current_image=current)


@pytest.mark.case(17)
@pytest.mark.parametrize(
    'fields, words',
    [
        ({'samples': 20000}, ['cem.samples = 20000', '1 to 16384']),
        ({'iterations': 101}, ['cem.iterations = 101', '1 to 100']),
        ({'elite_fraction': 1.5}, ['cem.elite_fraction = 1.5']),
        ({'elite_fraction': -0.1}, ['cem.elite_fraction = -0.1']),
        ({'elite_fraction': math.nan}, ['cem.elite_fraction = nan']),
        ({'samples': 3, 'elite_fraction': 0.1}, ['cem.elite_fraction = 0.1', '3 samples']),
        ({'horizon': 17}, ['search.horizon = 17', '1 to 16']),
        ({'optimizer': 'adam'}, ["optimizer = 'adam'", 'cem, trust_region']),
        ({'optimizer': 'trust_region', 'samples': 2000}, ['trust_region.samples = 2000']),
        ({'camera': 'left'}, ["camera = 'left'", 'main']),
    ],
)
def test_settings_out_of_range(robot, fields, words):
    fails(robot, ErrorCode.INVALID_SETTINGS, 'allowed', *words, **fields)


@pytest.mark.case(17)
def test_one_elite_works(robot):
    assert np.isfinite(robot.plan(samples=50, elite_fraction=0.02, iterations=3).command).all()


def test_another_model_is_not_found(robot):
    fails(
        robot,
        ErrorCode.MODEL_NOT_FOUND,
        "'vit-giant-ac'",
        'allowed: sim-panda-ac',
        model='vit-giant-ac',
    )
    assert robot.plan(model='sim-panda-ac').model == 'toy'


@pytest.mark.case(46)
@pytest.mark.parametrize(
    'changes, words',
    [
        ({'position_x': 400.0}, ['position.x = 400', 'm', 'millimetres']),
        ({'position_z': math.nan}, ['position.z = nan']),
        ({'orientation_w': 0.0}, ['orientation', 'norm']),
        ({'orientation_w': 180.0}, ['orientation', '180']),
        ({'gripper': 1.2}, ['gripper = 1.2', '0 (open) to 1 (closed)']),
        ({'gripper': math.nan}, ['gripper = nan']),
    ],
)
def test_start_state_out_of_range(robot, changes, words):
    fails(robot, ErrorCode.INVALID_STATE, 'start_state', *words, start_state=state(**changes))


@pytest.mark.case(46)
def test_start_state_in_another_frame(robot):
    other = state()
    other.header.frame_id = 'camera'
    fails(robot, ErrorCode.INVALID_STATE, 'camera', 'panda_link0', start_state=other)


@pytest.mark.case(14)
def test_world_model_that_raises(robot):
    def fault(latents):
        raise KeyError('no such tensor')

    robot.model.fault = fault
    fails(robot, ErrorCode.UNKNOWN, 'KeyError', 'no such tensor')


@pytest.mark.case(15)
def test_out_of_memory(robot):
    tensors = []

    def fault(latents):
        filled = latents.clone()
        tensors.append(weakref.ref(filled))
        raise torch.OutOfMemoryError('tried to allocate 2 TiB')

    robot.model.fault = fault
    fails(robot, ErrorCode.OUT_OF_MEMORY, 'cpu', 'cem.samples', '2 TiB')
    assert [tensor() for tensor in tensors] == [None]


def test_weights_that_turn_out_damaged(robot):
    fails(robot, ErrorCode.MODEL_LOAD_FAILED, 'weights.pt lacks encoder.norm', model='damaged')


@pytest.mark.case(16)
def test_no_finite_energy(robot):
    robot.model.fault = lambda latents: latents * math.nan
    fails(robot, ErrorCode.NON_FINITE_ENERGY, 'iteration 1')


@pytest.mark.case(16)
def test_some_energies_that_are_not_finite_are_ignored(robot):
    def fault(latents):
        latents = latents.clone()
        if len(latents) > 2:  # not the evaluation of the plan itself
            latents[::2] = math.nan
        return latents

    robot.model.fault = fault
    result = robot.plan(iterations=12)
    assert np.allclose(result.command[:3], (GOAL - START)[:3], atol=5e-3)


@pytest.mark.case(1)
def test_inactive_planner_rejects_and_works_again(make_robot):
    robot = make_robot().ready()
    assert transition(robot, DEACTIVATE)
    with pytest.raises(PlanFailed) as failure:
        robot.plan()
    assert failure.value.code == ErrorCode.GOAL_REJECTED
    assert 'not active: activate it' in failure.value.message
    eventually(lambda: robot.logged('Goal rejected: the node is inactive'))
    assert transition(robot, CLEANUP)
    assert transition(robot, CONFIGURE)
    assert transition(robot, ACTIVATE)
    assert np.isfinite(robot.plan().command).all()


@pytest.mark.slow
def test_no_server_is_a_code_too(context):
    node = rclpy.create_node(
        'lonely', context=context, namespace='/nowhere', use_global_arguments=False
    )
    with PlannerClient(node) as client:
        assert not client.wait_until_ready(0.1)
        with pytest.raises(PlanFailed) as failure:
            client.plan(PICTURE)
    assert failure.value.code == ErrorCode.SEND_GOAL_FAILURE
    assert '/nowhere/plan' in failure.value.message
    node.destroy_node()
