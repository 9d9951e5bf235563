# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Calibration, calibrated confidence and surprise, asked for over ROS."""

import re
import uuid

import numpy as np
from planner_rig import GOAL, START, to_state_message
import pytest
from rclpy.parameter import Parameter
from scipy.spatial.transform import Rotation
from tools.toy_world_model import ToyWorldModel
from vjepa2_planner_ros.client import PlanFailed
from vjepa2_planner_ros.messages.error_codes import ErrorCode
from vjepa2_planner_ros.planning.confidence import Fit, write_fit
from vjepa2_planner_ros.world_model.calibration import Calibration, write_calibration

TURN = Rotation.from_euler('z', 90.0, degrees=True)
SURE, UNSURE = 3.0, -3.0  # log odds


def load(name, **options):
    """Return the toy under the name that is asked for: a fit is of one name."""
    model = ToyWorldModel()
    model.name = name
    return model


def calibration(path, model='toy', camera=''):
    """Write the calibration of a camera a quarter turn away; return the path."""
    rows = tuple(map(tuple, TURN.as_matrix().tolist()))
    write_calibration(path, Calibration(rows, (0.4, 0.1, 0.3), model, camera, 'a drive'))
    return str(path)


def fit(path, odds=SURE, surprise=0.0, model='sim-panda-ac'):
    """Write a fit with constant odds, which surprises change; return the path."""
    weights = (odds, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, surprise)
    write_fit(path, Fit(model, 'l1', (0.01, 0.0), 0.01, weights))
    return str(path)


def test_commands_are_turned_back(make_robot, tmp_path):
    path = calibration(tmp_path / 'camera.yaml')
    robot = make_robot(calibration=path, optimizer='trust_region').ready()
    result = robot.plan()
    # The toy sees GOAL - START in its own frame.
    expected = TURN.inv().apply((GOAL - START)[:3])
    np.testing.assert_allclose(result.command[:3], expected, atol=0.004)
    assert result.command[6] == pytest.approx(-(GOAL - START)[6], abs=0.06)
    assert result.calibration == f'yaw +90.0 degrees ({path})'
    target = result.target_pose.pose.position
    np.testing.assert_allclose(
        (target.x, target.y, target.z), START[:3] + np.array(result.command[:3]), atol=1e-9
    )


def test_without_a_calibration_the_result_names_none(robot):
    result = robot.plan()
    np.testing.assert_allclose(result.command[:3], (GOAL - START)[:3], atol=0.01)
    assert result.calibration == '' and not result.confidence_calibrated


@pytest.mark.parametrize(
    'write, said',
    [
        (lambda path: calibration(path, model='other'), "it is of model 'other'"),
        (lambda path: calibration(path, camera='left'), "allowed: of 'toy' and 'main'"),
    ],
    ids=['model', 'camera'],
)
def test_a_calibration_that_does_not_fit_is_refused(make_robot, tmp_path, write, said):
    robot = make_robot(calibration=write(tmp_path / 'camera.yaml')).ready()
    with pytest.raises(PlanFailed) as error:
        robot.plan()
    assert error.value.code == ErrorCode.INVALID_SETTINGS
    assert said in str(error.value) and 'camera.yaml' in str(error.value)


@pytest.mark.parametrize('name', ['calibration', 'confidence_fit', 'decoder'])
def test_a_file_that_does_not_exist_is_refused_when_it_is_set(make_robot, robot, tmp_path, name):
    path = str(tmp_path / 'nope.yaml')
    said = f'^{name} = {path!r}: allowed: a file .*, which exists'
    with pytest.raises(ValueError, match=said):
        make_robot(**{name: path})
    (answer,) = robot.planner.set_parameters([Parameter(name, value=path)])
    assert not answer.successful and re.match(said, answer.reason)


@pytest.mark.parametrize(
    'text', ['a: [', 'model: toy', '[]', '{model: toy, pivot: [0.0, 0.0, 0.0], rotation: [[1.0]]}']
)
def test_a_file_that_is_no_calibration_is_refused_when_it_is_set(robot, tmp_path, text):
    path = tmp_path / 'camera.yaml'
    path.write_text(text)
    (answer,) = robot.planner.set_parameters([Parameter('calibration', value=str(path))])
    assert not answer.successful and 'allowed: a file that `calibrate` wrote' in answer.reason


@pytest.mark.slow
def test_what_is_wrong_in_a_fit_is_told_at_configure(make_robot, tmp_path):
    path = tmp_path / 'file'
    path.write_text('{}')
    robot = make_robot(confidence_fit=str(path))
    assert not robot.client.wait_until_ready(5.0)
    assert any(f'confidence_fit = {str(path)!r}: ' in line for line in robot.errors())


def test_a_fit_makes_the_confidence_a_probability(make_robot, tmp_path):
    robot = make_robot(confidence_fit=fit(tmp_path / 'any.fit.json'), load_model=load).ready()
    result = robot.plan()
    assert result.confidence_calibrated and result.surprise is None
    assert result.confidence == pytest.approx(1.0 / (1.0 + np.exp(-SURE)))
    assert not robot.plan(horizon=2).confidence_calibrated  # the fit is of plans of one action


def test_a_frame_that_was_not_predicted_is_a_surprise(make_robot, tmp_path):
    path = fit(tmp_path / 'any.fit.json', surprise=-1.0)
    robot = make_robot(confidence_fit=path, load_model=load).ready()
    run = uuid.uuid4().bytes
    first = robot.plan(run_id=run)
    state = START + [0.02, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    there = {'start_state': to_state_message(state), 'current_image': ToyWorldModel.picture(state)}
    second = robot.plan(run_id=run, **there)
    assert second.surprise < 0.5  # what was seen is what was predicted
    there['current_image'] = ToyWorldModel.picture(state + [0.0, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0])
    third = robot.plan(run_id=run, **there)
    # Of seven numbers one is 0.3 off, in units of 0.01.
    assert third.surprise == pytest.approx(0.3 / 7.0 / 0.01, rel=0.1)
    assert third.confidence < second.confidence
    other = robot.plan(run_id=uuid.uuid4().bytes)
    assert other.surprise is None
    assert other.confidence == pytest.approx(first.confidence)


def test_a_goal_that_names_another_model_is_planned_without_the_fit(make_robot, tmp_path):
    path = fit(tmp_path / 'any.fit.json')
    robot = make_robot(confidence_fit=path, load_model=load).ready()
    other = robot.plan(model='other')
    assert other.model == 'other' and not other.confidence_calibrated
    assert robot.plan().confidence_calibrated


@pytest.mark.slow
def test_a_fit_of_another_model_is_refused_at_start(make_robot, tmp_path):
    path = fit(tmp_path / 'any.fit.json', model='other')
    robot = make_robot(confidence_fit=path, load_model=load)
    assert not robot.client.wait_until_ready(5.0)
    assert any("this one is of 'other'" in line for line in robot.errors())
