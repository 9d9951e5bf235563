# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Steps stay within their limits, whatever is planned."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.control.config import Limits
from vjepa2_planner_ros.control.limits import limit_step
from vjepa2_planner_ros.control.reasons import Reason, RunEnd

LIMITS = Limits(workspace=(0.2, 0.8, -0.5, 0.5, 0.05, 0.8), max_step=0.05, max_turn=0.2)
STATE = np.array([0.5, 0.0, 0.3, 0.3, -0.2, 1.0, 0.25])


def matrix(rpy):
    """Return R = Rz Ry Rx of fixed-axis angles, by its three factors."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return z @ y @ x


def test_a_small_step_is_left_as_it_is():
    command = np.array([0.01, -0.02, 0.03, 0.05, 0.02, -0.04, -0.5])
    step = limit_step(STATE, command, LIMITS)
    assert step.names == ()
    assert np.allclose(step.command, command)
    assert np.allclose(step.target[:3], STATE[:3] + command[:3])
    assert np.allclose(matrix(step.target[3:6]), matrix(command[3:6]) @ matrix(STATE[3:6]))
    assert step.target[6] == pytest.approx(0.75)  # -0.5 closes by 0.5


def test_long_steps_and_turns_keep_their_direction():
    command = np.array([0.3, 0.0, 0.4, 0.0, 0.0, 1.0, 0.0])
    step = limit_step(STATE, command, LIMITS)
    assert step.names == ('max_step', 'max_turn')
    assert np.allclose(step.command, [0.03, 0.0, 0.04, 0.0, 0.0, 0.2, 0.0])


def test_targets_are_moved_into_the_workspace():
    state = np.array([0.79, 0.0, 0.06, 0.0, 0.0, 0.0, 0.0])
    step = limit_step(state, np.array([0.03, 0.0, -0.03, 0.0, 0.0, 0.0, 0.0]), LIMITS)
    assert step.names == ('workspace',)
    assert np.allclose(step.target[:3], [0.8, 0.0, 0.05])
    assert np.allclose(step.command[:3], [0.01, 0.0, -0.01])


def test_a_pose_that_overshoots_the_workspace_may_come_back():
    state = np.array([0.81, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0])
    back = limit_step(state, np.array([-0.03, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), LIMITS)
    assert back.target[0] == pytest.approx(0.78)
    on = limit_step(state, np.array([0.03, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), LIMITS)
    assert on.target[0] == pytest.approx(0.81)


def test_outside_the_workspace_there_is_no_step():
    with pytest.raises(RunEnd, match='the measured z = 0.010 m: allowed: 0.05 to 0.8') as raised:
        limit_step(np.array([0.5, 0.0, 0.01, 0, 0, 0, 0]), np.zeros(7), LIMITS)
    assert raised.value.reason == Reason.WORKSPACE


@pytest.mark.parametrize('wrong', [np.full(7, np.nan), np.full(7, np.inf), np.zeros(6)])
def test_seven_finite_numbers_or_no_step(wrong):
    with pytest.raises(RunEnd, match='allowed: seven finite numbers') as raised:
        limit_step(STATE, wrong, LIMITS)
    assert raised.value.reason == Reason.PLANNER_ERROR


def test_closedness_stays_between_open_and_closed():
    for change, wanted in ((1.0, 0.0), (-1.0, 1.0)):  # a command above 0 opens
        step = limit_step(STATE, np.array([0, 0, 0, 0, 0, 0, change]), LIMITS)
        assert step.target[6] == wanted
        assert step.command[6] == pytest.approx(STATE[6] - wanted)


def test_without_a_gripper_nothing_is_asked_of_it():
    step = limit_step(STATE, np.array([0, 0, 0, 0, 0, 0, 0.5]), LIMITS, has_gripper=False)
    assert step.names == ('gripper',)
    assert step.target[6] == STATE[6] and step.command[6] == 0.0


def test_random_commands_stay_within_every_limit():
    rng = np.random.default_rng(0)
    lows, highs = np.array(LIMITS.workspace[::2]), np.array(LIMITS.workspace[1::2])
    for _ in range(300):
        state = np.array([*rng.uniform(lows, highs), *rng.uniform(-3.0, 3.0, 3), rng.uniform()])
        step = limit_step(state, rng.normal(size=7) * np.array([0.1] * 3 + [0.5] * 4), LIMITS)
        assert np.linalg.norm(step.target[:3] - state[:3]) <= LIMITS.max_step + 1e-9
        turn = Rotation.from_matrix(matrix(step.target[3:6]) @ matrix(state[3:6]).T)
        assert turn.magnitude() <= LIMITS.max_turn + 1e-9
        assert (step.target[:3] >= lows - 1e-9).all() and (step.target[:3] <= highs + 1e-9).all()
        assert 0.0 <= step.target[6] <= 1.0


def test_a_box_without_inside_is_refused():
    with pytest.raises(ValueError, match=r'workspace = .*: allowed: lowest x, highest x'):
        replace(LIMITS, workspace=(0.5, 0.4, -0.5, 0.5, 0.05, 0.8))
