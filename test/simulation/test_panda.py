# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""Steps, states and pictures of the simulated arm in both modes."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from vjepa2_planner_ros.simulation import ACTION_BOUNDS, PandaSim, sample_episode, WORKSPACE
from vjepa2_planner_ros.simulation.scene import CAMERA_POSITION, CAMERA_TARGET

CENTRE = np.array([0.47, 0.0, 0.24, np.pi, 0.0, 0.0, 0.5])


@pytest.fixture(scope='module')
def sim():
    with PandaSim(0, image_size=128) as sim:
        yield sim


@pytest.fixture(scope='module')
def physics():
    with PandaSim(0, mode='physics', image_size=128) as sim:
        yield sim


def composed(state, action):
    """Return position, rotation and closedness after an action, by SciPy."""
    turn = Rotation.from_euler('xyz', action[3:6]) * Rotation.from_euler('xyz', state[3:6])
    return state[:3] + action[:3], turn, state[6] + action[6]


def errors(state, expected):
    position, rotation, closedness = expected
    turn = rotation.inv() * Rotation.from_euler('xyz', state[3:6])
    return (np.linalg.norm(state[:3] - position), turn.magnitude(), abs(state[6] - closedness))


def random_actions(count, share=1.0):
    rng = np.random.default_rng(5)
    return rng.uniform(-share, share, (count, 7)) * ACTION_BOUNDS


def test_set_state_is_read_back(sim):
    for seed in range(30):
        state = sample_episode(seed).start
        sim.set_state(state)
        assert max(errors(sim.state(), composed(state, np.zeros(7)))) < 1e-6


def test_kinematic_step_composes_as_scipy_does(sim):
    for action in random_actions(50):
        action[3:] *= 0.6  # neither beyond the tilt nor beyond closed
        sim.set_state(CENTRE)
        sim.step(action)
        distance, angle, closedness = errors(sim.state(), composed(CENTRE, action))
        assert distance < 1e-4
        assert angle < 1e-3
        assert closedness < 1e-6


def test_action_is_clipped_to_its_bounds(sim):
    sim.set_state(CENTRE)
    sim.step([9, -9, 9, 0, 0, 0, 0])
    np.testing.assert_allclose(sim.state()[:3] - CENTRE[:3], (0.05, -0.05, 0.05), atol=1e-6)


@pytest.mark.parametrize('sign', (-1, 1))
def test_pose_stays_in_the_workspace(sim, sign):
    sim.set_state(CENTRE)
    for _ in range(12):
        sim.step(np.multiply(sign, ACTION_BOUNDS))
    corner = [bounds[sign > 0] for bounds in WORKSPACE]
    np.testing.assert_allclose(sim.state()[:3], corner, atol=1e-6)
    assert sim.state()[6] == pytest.approx(float(sign > 0))


def test_every_step_of_a_long_random_walk_is_possible(sim):
    sim.set_state(CENTRE)
    low, high = np.transpose(WORKSPACE)
    still = 0
    for action in random_actions(500):
        before = sim.state()
        sim.step(action)
        state = sim.state()
        assert np.all(state[:3] > low - 1e-6) and np.all(state[:3] < high + 1e-6)
        expected = np.clip(before[:3] + action[:3], low, high)
        still += np.linalg.norm(state[:3] - expected) > 1e-4
    assert still <= 5  # a few poses in the corners are beyond the joint limits


@pytest.mark.parametrize('bad', (np.nan, np.inf, -np.inf))
def test_numbers_that_are_not_finite_are_refused(sim, bad):
    sim.set_state(CENTRE)
    before = sim.state()
    with pytest.raises(ValueError, match='action = .*: allowed: seven finite'):
        sim.step([0, 0, bad, 0, 0, 0, 0])
    with pytest.raises(ValueError, match='state = .*: allowed: seven finite'):
        sim.set_state([bad, 0, 0.2, np.pi, 0, 0, 0])
    sim.advance(1.0)
    np.testing.assert_array_equal(sim.state(), before)


def test_wrong_arguments_are_named(sim):
    with pytest.raises(ValueError, match="mode = 'dynamic': allowed: kinematic or physics"):
        PandaSim(mode='dynamic')
    with pytest.raises(ValueError, match='image_size = 0: allowed: 16 to 2048'):
        PandaSim(image_size=0)
    for seed in (-1, 2**32, 2**62):
        with pytest.raises(ValueError, match=f'seed = {seed}: allowed: 0 to 4294967295'):
            sim.reset(seed)
    with pytest.raises(ValueError, match='closedness'):
        sim.set_state([0.47, 0, 0.2, np.pi, 0, 0, 0.04 * 100])
    with pytest.raises(ValueError, match=r'action = \[0.0, 0.0, 0.1\]: allowed: seven'):
        sim.step([0, 0, 0.1])


def test_picture_is_a_function_of_seed_and_pose(sim):
    episode = sample_episode(7)
    sim.reset(7)
    sim.set_state(episode.goal)
    at_once = sim.render()
    sim.reset(8)
    assert not np.array_equal(sim.render(), at_once)
    sim.reset(7)
    sim.set_state(episode.start)
    for _ in range(20):
        now = sim.state()
        action = np.zeros(7)
        action[[0, 1, 2, 6]] = (episode.goal - now)[[0, 1, 2, 6]]
        sim.step(action)
    np.testing.assert_array_equal(sim.render(), at_once)


@pytest.mark.slow
def test_same_seed_gives_the_same_bytes_in_another_process(sim):
    sim.reset(11)
    here = hashlib.sha256(sim.render().tobytes()).hexdigest()
    code = (
        'import hashlib; from vjepa2_planner_ros.simulation import PandaSim\n'
        'with PandaSim(11, image_size=128) as sim:\n'
        '    print(hashlib.sha256(sim.render().tobytes()).hexdigest())'
    )
    there = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here


def test_finger_tips_appear_where_the_camera_matrix_says(sim):
    forward = np.subtract(CAMERA_TARGET, CAMERA_POSITION)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    camera = np.stack([right, np.cross(forward, right), forward])
    for position in ((0.35, -0.2, 0.1), (0.47, 0.0, 0.25), (0.6, 0.2, 0.38)):
        pictures = []
        for closedness in (0.0, 1.0):
            sim.set_state([*position, np.pi, 0, 0, closedness])
            pictures.append(sim.render().astype(int))
        changed = np.abs(pictures[1] - pictures[0]).max(2) > 40
        rows, columns = np.nonzero(changed)
        assert len(rows) > 20  # the opening is more than a few pixels
        pixel = sim.camera_matrix() @ camera @ np.subtract(position, CAMERA_POSITION)
        pixel = pixel[:2] / pixel[2]
        # The fingers move above the point between their tips.
        assert abs(columns.mean() - pixel[0]) < 3
        assert 0 < pixel[1] - rows.mean() < 9
        closed = sim.finger_tips() * sim.image_size
        np.testing.assert_allclose(closed, [pixel, pixel], atol=3)
        sim.set_state([*position, np.pi, 0, 0, 0.0])
        opened = sim.finger_tips() * sim.image_size
        np.testing.assert_allclose(
            sorted(opened[:, 0]), [columns.min(), columns.max()], atol=6
        )  # a finger is wide


def test_servos_follow_closely(physics):
    lags, turns = [], []
    for seed in range(4):
        physics.reset(seed)
        for action in random_actions(10, share=0.9):
            action[3:6] *= 0.3
            before = physics.state()
            physics.step(action)
            low, high = np.transpose(WORKSPACE)
            position, rotation, _ = composed(before, action)
            expected = np.clip(position, low, high), rotation, 0
            distance, angle, _ = errors(physics.state(), expected)
            lags.append(distance)
            turns.append(angle)
    assert np.median(lags) < 2e-3
    assert np.max(lags) < 6e-3
    assert np.median(turns) < 5e-3


def test_arm_under_servos_neither_sags_nor_creeps(physics):
    physics.reset(1)
    before = physics.state()
    for _ in range(20):
        physics.step(np.zeros(7))
    assert np.linalg.norm(physics.state()[:3] - before[:3]) < 1e-4
    assert physics.state()[6] == pytest.approx(before[6], abs=1e-3)


def test_physics_repeats_itself(physics):
    ends = []
    for _ in range(2):
        physics.reset(3)
        for action in random_actions(8):
            physics.step(action)
        ends.append(physics.state())
    np.testing.assert_array_equal(*ends)


def test_fingers_push_the_cup_and_cannot_pass_through_it(physics):
    physics.reset(5)
    physics.set_state([0.45, -0.1, 0.08, np.pi, 0, 0, 1.0])
    cup = physics._data.joint(physics._model.body('cup').jntadr[0])
    cup.qpos[:] = 0.45, 0.03, 0.045, 1, 0, 0, 0
    for _ in range(6):
        physics.step([0, 0.04, 0, 0, 0, 0, 0])
    assert cup.qpos[1] > 0.08
    assert cup.qpos[2] > 0.02


def test_fingers_hold_and_lift_a_cube(physics):
    physics.reset(5)
    physics.set_state([0.47, 0, 0.08, np.pi, 0, 0, 0.0])
    lower, upper = (physics._data.joint(physics._model.body(f'cube{i}').jntadr[0]) for i in (1, 0))
    heights = [physics._model.geom(f'cube{i}').size[0] for i in (1, 0)]
    lower.qpos[:] = 0.47, 0, heights[0], 1, 0, 0, 0
    upper.qpos[:] = 0.47, 0, 2 * heights[0] + heights[1], 1, 0, 0, 0
    for _ in range(3):
        physics.step([0, 0, 0, 0, 0, 0, 0.75])
    width = 0.08 * (1 - physics.state()[6])
    assert width == pytest.approx(2 * heights[1], abs=0.01)
    before = upper.qpos[2]
    for _ in range(4):
        physics.step([0, 0, 0.05, 0, 0, 0, 0])
    assert upper.qpos[2] - before == pytest.approx(0.2, abs=0.02)


RENDER = """
from vjepa2_planner_ros.simulation import PandaSim
sim = PandaSim(0, image_size=64)
sim.step([0.01, 0, 0, 0, 0, 0, 0])
try:
    sim.render()
except RuntimeError as error:
    print('refused', error)
else:
    print('rendered')
"""
BROKEN = """
import ctypes
class Without(ctypes.CDLL):
    def __init__(self, name, *args, **kwargs):
        if name and name.startswith(('libEGL', 'libOSMesa')):
            raise OSError(f'{name}: cannot open shared object file')
        super().__init__(name, *args, **kwargs)
ctypes.CDLL = Without
"""


def rendered(code, **variables):
    """Return what a fresh process prints that sets variables, runs code and then renders."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ('MUJOCO_GL', 'PYOPENGL_PLATFORM', 'DISPLAY', 'WAYLAND_DISPLAY')
    }
    result = subprocess.run(
        [sys.executable, '-c', code + RENDER],
        capture_output=True,
        text=True,
        env={**clean, **variables},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_working_opengl_is_found_where_none_is_named():
    assert rendered('') == 'rendered'


@pytest.mark.parametrize('name', ('disable', 'glfw', 'vulkan'))
def test_value_that_cannot_render_is_named_when_a_picture_is_asked_for(name):
    text = rendered('', MUJOCO_GL=name)
    assert text.startswith(f"refused rendering failed: MUJOCO_GL = '{name}': allowed")
    assert 'egl' in text or 'osmesa' in text


@pytest.mark.parametrize('name', ('egl', 'osmesa'))
@pytest.mark.slow
def test_missing_library_is_no_traceback_but_what_to_install(name):
    text = rendered(BROKEN, MUJOCO_GL=name)
    assert text.startswith(f"refused rendering failed: MUJOCO_GL = '{name}': allowed")
    assert 'apt-get install -y libosmesa6' in text
    assert 'apt-get install -y libosmesa6' in rendered(BROKEN)


@pytest.mark.slow
def test_mujoco_imported_first_works_or_says_what_to_set():
    text = rendered('import mujoco')
    assert text.startswith("refused rendering failed: MUJOCO_GL = '': allowed")
    assert 'before mujoco is imported' in text
    working = 'egl' if 'egl' in text else 'osmesa'
    assert rendered('import mujoco', MUJOCO_GL=working) == 'rendered'


@pytest.mark.parametrize('turn, rise', [(0.0, 0.0), (0.4, 0.0), (-0.7, 0.1)])
def test_a_camera_that_went_round_sees_what_the_first_saw_of_the_turned_arm(sim, turn, rise):
    state = sim.state()
    (x, y), middle = state[:2], np.array(CAMERA_TARGET[:2])
    expected = sim.finger_tips().mean(0)
    cos, sin = np.cos(turn), np.sin(turn)
    turned = middle + np.array([[cos, -sin], [sin, cos]]) @ ((x, y) - middle)
    sim.place_camera(turn)
    sim.set_state([*turned, state[2], *state[3:5], state[5] + turn, state[6]])
    np.testing.assert_allclose(sim.finger_tips().mean(0), expected, atol=1e-6)
    low = sim.finger_tips().mean(0)[1]
    sim.place_camera(turn, rise)
    # What lies above the point that the camera looks at is nearer to it from above.
    assert rise == 0.0 or sim.finger_tips().mean(0)[1] != pytest.approx(low, abs=1e-3)
    sim.place_camera()


@pytest.mark.parametrize('turn, rise, name', [(4.0, 0.0, 'turn'), (0.0, 2.0, 'rise')])
def test_a_place_where_no_camera_is(sim, turn, rise, name):
    with pytest.raises(ValueError, match=f'camera_{name} = .*: allowed'):
        sim.place_camera(turn, rise)
