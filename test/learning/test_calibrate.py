# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera turned by a known angle is found, undone, or refused with the reason."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch
from vjepa2_planner_ros.learning.calibrate import (
    align,
    check_motion,
    check_view,
    infer_motions,
    needs_turn,
    NotCalibrated,
    to_calibration,
)
from vjepa2_planner_ros.learning.trajectory import Trajectory
from vjepa2_planner_ros.planning.config import CemConfig
from vjepa2_planner_ros.planning.search import plan
from vjepa2_planner_ros.world_model import poses
from vjepa2_planner_ros.world_model.calibration import (
    calibrated,
    Calibration,
    read_calibration,
    write_calibration,
)

BOUNDS = (0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75)
CENTRE = np.array([0.5, 0.1, 0.3])


class TurnedModel:
    """A model that believes that the world is turned: its latents are states in its own frame."""

    name, cost, action_bounds = 'turned', 'l1', BOUNDS
    search_axes, dtype = ('x', 'y', 'z', 'gripper'), torch.float64

    def __init__(self, turn, noise=0.0):
        self.turn, self.noise = torch.tensor(turn.as_matrix()), noise
        self.generator = torch.Generator().manual_seed(0)

    def encode(self, frames, crop=''):
        states = torch.tensor(np.asarray(frames))
        states[:, :3] = states[:, :3] @ self.turn.mT
        noise = torch.randn(states.shape, generator=self.generator, dtype=states.dtype)
        return (states + self.noise * noise)[:, None]

    def rollout(self, context, states, actions):
        found = context[-1].expand(len(actions), -1)
        for action in actions.double().unbind(1):
            found = poses.compose(found, action)
        return found[:, None]


def drive(seed, axes=(1.0, 1.0, 1.0), length=25):
    """Return a Trajectory of random steps whose frames are the states themselves."""
    rng = np.random.default_rng(seed)
    steps = np.zeros((length, 7))
    steps[:, :3] = rng.uniform(-0.04, 0.04, (length, 3)) * axes
    states = np.cumsum(steps, axis=0) + [*CENTRE, 0.0, 0.0, 0.0, 0.2]
    return Trajectory(states, states, np.arange(length) * 0.25, f'drive {seed}')


DRIVES = [drive(seed) for seed in range(8)]


def motions(model, drives=DRIVES, count=60):
    return infer_motions(model, drives, count, advance=lambda done: None)


@pytest.mark.parametrize('degrees', [-40.0, -3.0, 0.0, 8.0, 40.0])
def test_a_turn_about_the_vertical_is_found_and_undone(degrees, tmp_path):
    model = TurnedModel(Rotation.from_euler('z', degrees, degrees=True))
    found = align(*motions(model))
    assert found.angles[2] == pytest.approx(degrees, abs=1.5)
    assert found.interval[0] - 1.0 <= degrees <= found.interval[1] + 1.0
    assert found.residual < 0.1 and found.condition < 1.2
    assert found.error_after < 0.004
    check_view(found)
    assert needs_turn(found) == (degrees != 0.0)
    write_calibration(tmp_path / 'c.yaml', to_calibration(found, DRIVES, 'turned', '', 'drives'))
    calibration = read_calibration(tmp_path / 'c.yaml')
    assert calibration.angles[2] == pytest.approx(np.deg2rad(found.angles[2]))
    action = np.array([0.03, -0.02, 0.01, 0.0, 0.0, 0.0, 0.3])
    start = DRIVES[0].states[0]
    goal = poses.compose(torch.tensor(start), torch.tensor(action)).numpy()
    answer = plan(
        calibrated(model, calibration),
        model.encode(start[None].copy()),
        start[None],
        model.encode(goal[None].copy())[0],
        CemConfig(samples=400, iterations=8, seed=0),
    )
    np.testing.assert_allclose(answer.actions[0], action, atol=0.004)


@pytest.mark.parametrize(
    'yaw, interval, error, needed',
    [
        (8.0, (-2.0, 18.0), 0.021, False),  # not told from 0, and worse
        (8.0, (-2.0, 18.0), 0.019, True),
        (-3.0, (-8.0, 2.0), 0.019, False),  # small, whatever it does to these steps
        (-3.0, (-4.0, -2.0), 0.021, False),
        (-3.0, (-4.0, -2.0), 0.019, True),  # told from 0, and better
        (8.0, (6.0, 10.0), 0.021, True),
    ],
)
def test_a_turn_is_needed_if_it_is_told_or_helps(yaw, interval, error, needed):
    found = align(*motions(TurnedModel(Rotation.identity())))
    angles = np.array([0.0, 0.0, yaw])
    found = replace(found, angles=angles, interval=interval, error_before=0.02, error_after=error)
    assert needs_turn(found) is needed


def test_any_rotation_is_found_with_three_axes():
    angles = [10.0, -6.0, 20.0]
    model = TurnedModel(Rotation.from_euler('xyz', angles, degrees=True))
    found = align(*motions(model), axes=3)
    np.testing.assert_allclose(found.angles, angles, atol=2.0)


def test_the_rotation_is_that_of_an_independent_solver():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(200, 3))
    turn = Rotation.from_euler('xyz', [0.2, -0.1, 0.5])
    inferred = turn.apply(true) + 0.05 * rng.normal(size=true.shape)
    expected, _ = Rotation.align_vectors(inferred, true)
    found = align(inferred, true, np.arange(200), axes=3)
    np.testing.assert_allclose(found.rotation, expected.as_matrix(), atol=5e-3)


def test_one_stretch_of_a_recording_has_an_interval_too():
    """Drawn as a whole it would always be the same, and its angle look certain."""
    rng = np.random.default_rng(0)
    true = rng.uniform(-0.04, 0.04, (60, 3))
    low, high = align(true + rng.normal(0.0, 0.02, true.shape), true, [0] * 60).interval
    assert 5.0 < high - low < 60.0 and low < 0.0 < high


@pytest.mark.slow
def test_a_recording_that_cannot_tell_is_refused():
    model = TurnedModel(Rotation.identity())
    with pytest.raises(NotCalibrated, match='10 steps with motion: allowed: 40 or more'):
        check_motion(motions(model, count=10)[1], 2)
    flat = [drive(seed, axes=(1.0, 0.1, 1.0)) for seed in range(4)]
    with pytest.raises(NotCalibrated, match='record motion along y too'):
        check_motion(motions(model, flat)[1], 2)
    low = [drive(seed, axes=(1.0, 1.0, 0.1)) for seed in range(4)]
    true = motions(model, low)[1]
    check_motion(true, 2)
    with pytest.raises(NotCalibrated, match='along z'):
        check_motion(true, 3)


@pytest.mark.parametrize('degrees, side', [(70.0, 'against the clock'), (-70.0, 'clockwise')])
def test_the_side_to_which_the_camera_should_go(degrees, side):
    """A camera that went round clockwise sees the world turned against the clock."""
    rng = np.random.default_rng(0)
    true = rng.uniform(-0.04, 0.04, (100, 3))
    seen = Rotation.from_euler('z', degrees, degrees=True).apply(true * [1.0, 0.2, 1.0])
    with pytest.raises(NotCalibrated, match=f'move the camera {side} round the workspace'):
        check_view(align(seen, true, np.arange(100)))


@pytest.mark.slow
def test_a_view_that_cannot_be_rescued_is_refused():
    noisy = motions(TurnedModel(Rotation.identity(), noise=0.2), count=100)
    with pytest.raises(NotCalibrated, match='cannot be rescued: '):
        check_view(align(*noisy))
    rng = np.random.default_rng(0)
    true = rng.uniform(-0.04, 0.04, (100, 3))
    blind = true * [1.0, 0.2, 1.0]  # along y the model sees little
    with pytest.raises(NotCalibrated, match='condition number'):
        check_view(align(blind, true, np.arange(100)))


@pytest.mark.parametrize(
    'text, said',
    [
        ('', 'allowed: a file that `calibrate` wrote'),
        ('[1, 2]', 'allowed: a file that `calibrate` wrote'),
        ('{rotation: [[1, 0], [0, 1]], pivot: [0, 0, 0], model: a}', 'a rotation matrix'),
        ('{rotation: [[1,0,0],[0,1,0],[0,0,-1]], pivot: [0,0,0], model: a}', 'a rotation matrix'),
        ('{rotation: [[1,0,0],[0,1,0],[0,0,1]], pivot: [0, .nan, 0], model: a}', 'pivot = '),
        ('{rotation: [[1,0,0],[0,1,0],[0,0,1]], pivot: 3, model: a}', 'calibration = '),
        ('a: [', 'calibration = '),
    ],
)
def test_a_damaged_file_is_named(tmp_path, text, said):
    (tmp_path / 'c.yaml').write_text(text)
    with pytest.raises(ValueError, match='c.yaml') as error:
        read_calibration(tmp_path / 'c.yaml')
    assert said in str(error.value)


def test_states_turn_about_the_pivot_and_the_tool_with_them():
    turn = Rotation.from_euler('z', 90.0, degrees=True)
    calibration = Calibration(tuple(map(tuple, turn.as_matrix().tolist())), (0.5, 0.0, 0.3), 'any')
    state = np.array([0.6, 0.0, 0.4, 0.1, -0.2, 0.3, 0.7])
    found = calibration.states(state)
    np.testing.assert_allclose(found[:3], [0.5, 0.1, 0.4], atol=1e-12)
    expected = turn * Rotation.from_euler('xyz', state[3:6])
    np.testing.assert_allclose(
        Rotation.from_euler('xyz', found[3:6]).as_matrix(), expected.as_matrix(), atol=1e-12
    )
    assert found[6] == state[6]
    action = np.array([0.02, 0.01, 0.0, 0.1, 0.05, -0.1, 0.2])
    after = poses.compose(torch.tensor(state), torch.tensor(action))
    turned = poses.compose(torch.tensor(found), calibration.actions(torch.tensor(action)))
    np.testing.assert_allclose(turned, calibration.states(after), atol=1e-12)
