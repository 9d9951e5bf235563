# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera on the hand over a plane: the warp is what the camera really sees after a move."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch
from vjepa2_planner_ros.learning.recipes.evaluate_3dof import hand_camera, translation_episode
from vjepa2_planner_ros.planning.config import CemConfig
from vjepa2_planner_ros.planning.search import plan
from vjepa2_planner_ros.simulation import PandaSim
from vjepa2_planner_ros.simulation.scene import WRIST_MOUNT
from vjepa2_planner_ros.world_model import ModelSpec, VJepa2WorldModel
from vjepa2_planner_ros.world_model.geometric import CLEARANCE, GeometricWorldModel, HandCamera
from vjepa2_planner_ros.world_model.networks import EncoderSize, VisionTransformer

TINY = ModelSpec(
    name='tiny',
    encoder=EncoderSize(48, 2, 2, 96),
    predictor=None,
    image_size=64,
    crop='center_square',
    action_bounds=(0.1,) * 3 + (0.0,) * 4,
)
OBLIQUE = HandCamera((90.0, 95.0, 52.0, 41.5), (0.06, -0.02, -0.05, 0.3, -0.2, 0.8), 0.04)
STATE = np.array([0.5, 0.1, 0.3, np.pi - 0.1, 0.05, 0.3, 0.5])


def geometric(camera, seed=0, crop=''):
    torch.manual_seed(seed)
    return GeometricWorldModel(
        VJepa2WorldModel(TINY, VisionTransformer(TINY.encoder), None), camera, crop
    )


def frames(count=1, rows=80, columns=104):
    return np.random.default_rng(0).integers(0, 256, (count, rows, columns, 3), dtype=np.uint8)


def camera_pose(camera, state):
    """Return position and rotation of the camera in the base frame, by SciPy."""
    hand = Rotation.from_euler('xyz', state[3:6])
    return (
        state[:3] + hand.apply(camera.mount[:3]),
        (hand * Rotation.from_euler('xyz', camera.mount[3:])).as_matrix(),
    )


def seen_before(camera, state, move, pixel):
    """Return where a pixel of the frame after a move lay before it: by way of the plane."""
    fx, fy, cx, cy = camera.intrinsics
    position, rotation = camera_pose(camera, state)
    ray = rotation @ [(pixel[0] - cx) / fx, (pixel[1] - cy) / fy, 1.0]
    start = position + move
    point = start + ray * (camera.plane_height - start[2]) / ray[2]
    assert ray[2] < 0.0
    x, y, depth = rotation.T @ (point - position)
    return fx * x / depth + cx, fy * y / depth + cy


# Left, top, width and height in pixels of what is seen of 104 x 80.
CROPS = {'': (12, 0, 80, 80), 'droid': (0, 0, 104, 80), (0.125, 0.1, 0.75, 0.9): (13, 8, 78, 72)}


@pytest.mark.parametrize('crop', CROPS)
@pytest.mark.parametrize(
    'move',
    [(0.0, 0.0, 0.0), (0.05, 0.0, 0.0), (0.0, -0.05, 0.0), (0.0, 0.0, 0.05), (-0.02, 0.03, -0.04)],
)
def test_every_pixel_comes_from_where_its_point_on_the_plane_was_seen(move, crop):
    model, rows, columns = geometric(OBLIQUE, crop=crop), 80, 104
    left, top, width, height = CROPS[crop]
    points = model.points((rows, columns), torch.tensor(STATE), torch.tensor([move]).double())
    points = points[0].unflatten(0, (64, 64))
    for row, column in ((0, 0), (0, 63), (63, 0), (20, 41), (63, 63)):
        pixel = (left + (column + 0.5) * width / 64 - 0.5, top + (row + 0.5) * height / 64 - 0.5)
        expected = seen_before(OBLIQUE, STATE, np.array(move), pixel)
        np.testing.assert_allclose(points[row, column], expected, atol=2e-3)


def test_warp_samples_the_frame_at_these_points():
    model = geometric(OBLIQUE)
    y, x = np.mgrid[:80, :104].astype(np.float32)  # a frame that holds its own coordinates
    moves = torch.tensor([[0.01, -0.01, 0.02], [-0.02, 0.0, 0.0]]).double()
    pictures = model.warp(torch.tensor(np.stack([x, y, x])), torch.tensor(STATE), moves)
    points = model.points((80, 104), torch.tensor(STATE), moves).mT.unflatten(2, (64, 64))
    inside = points.clamp(torch.zeros(2, 1, 1), torch.tensor([103.0, 79.0])[:, None, None])
    torch.testing.assert_close(pictures[:, :2], inside, rtol=0.0, atol=2e-3)


def test_what_is_far_away_stays_where_it_is():
    level = HandCamera((50.0, 50.0, 51.5, 39.5), (0.0, 0.0, 0.0, np.pi / 2, 0.0, 0.0))
    state = np.array([0.0, 0.0, 0.3, np.pi, 0.0, 0.0, 0.0])
    _, rotation = camera_pose(level, state)
    np.testing.assert_allclose(rotation[2], [0, -1, 0], atol=1e-12)  # it looks at the horizon
    moves = torch.tensor([[0.0, 0.0, 0.0], [0.03, 0.04, 0.05]]).double()
    points = geometric(level).points((80, 104), torch.tensor(state), moves)
    points = points.unflatten(1, (64, 64))
    torch.testing.assert_close(points[1, :32], points[0, :32])
    assert (points[1, 40:] - points[0, 40:]).abs().amin(dim=(0, 1)).max() > 0.5


@pytest.mark.parametrize('crop', CROPS)
def test_staying_is_what_the_encoder_sees(crop):
    model, pictures = geometric(OBLIQUE, crop=crop), frames(2)
    latents = model.rollout(
        model.observe(pictures), np.stack([STATE - 0.01, STATE]), torch.zeros(1, 3, 7)
    )
    torch.testing.assert_close(latents, model.encode(pictures[1:], crop), rtol=0, atol=2e-3)


def test_translations_add_up_and_nothing_else_matters():
    model, context = geometric(OBLIQUE), geometric(OBLIQUE).observe(frames())
    actions = torch.tensor(np.random.default_rng(1).uniform(-0.05, 0.05, (70, 3, 7))).float()
    single = torch.zeros(70, 1, 7)
    single[:, 0, :3] = actions[..., :3].sum(dim=1)
    together = model.rollout(context, STATE[None], actions)
    torch.testing.assert_close(
        together, model.rollout(context, STATE[None], single), rtol=0, atol=1e-4
    )
    model.batch_size = lambda: 33
    torch.testing.assert_close(
        model.rollout(context, STATE[None], actions), together, rtol=0, atol=1e-4
    )
    assert together.std(dim=0).mean() > 0.01


def test_memory_that_runs_out_is_survived_once_and_reported(monkeypatch):
    model = geometric(OBLIQUE)
    context = model.observe(frames())
    actions = torch.tensor(np.random.default_rng(1).uniform(-0.05, 0.05, (8, 1, 7))).float()
    expected, warp = model.rollout(context, STATE[None], actions), model.warp

    def in_a_small_room(frame, state, moves):
        if len(moves) > 4:
            torch.empty(1 << 60)  # the real error of the allocator
        return warp(frame, state, moves)

    monkeypatch.setattr(model, 'warp', in_a_small_room)
    for _ in range(2):  # the second time it knows
        torch.testing.assert_close(
            model.rollout(context, STATE[None], actions), expected, rtol=0, atol=1e-4
        )
        assert model.model.memory_shortages == 1


def test_candidates_at_the_plane_are_left_out():
    low = STATE.copy()
    low[2] -= OBLIQUE.height(STATE) - CLEARANCE - 0.03
    assert OBLIQUE.height(low) == pytest.approx(CLEARANCE + 0.03)
    position, _ = camera_pose(OBLIQUE, low)
    assert position[2] - OBLIQUE.plane_height == pytest.approx(CLEARANCE + 0.03)
    model = geometric(OBLIQUE)
    actions = torch.zeros(3, 1, 7)
    actions[:, 0, 2] = torch.tensor([0.02, -0.02, -0.04])
    latents = model.rollout(model.observe(frames()), low[None], actions)
    assert latents[:2].isfinite().all() and latents[2].isnan().all()
    energies = []
    found = plan(
        model,
        model.observe(frames()),
        low[None],
        model.encode(frames())[0],
        CemConfig(samples=40, iterations=3, seed=0),
        on_iteration=lambda i: energies.append((i.actions[:, 0, 2], i.energies)),
    )
    z, energy = (np.concatenate(part) for part in zip(*energies))
    assert np.isinf(energy[z < -0.0301]).all() and np.isfinite(energy[z > -0.0299]).all()
    assert (z < -0.0301).any() and np.isfinite(found.actions).all()


@pytest.mark.parametrize(
    'intrinsics, mount, text',
    [
        ((0.0, 90.0, 50.0, 40.0), (0.0,) * 6, 'intrinsics are'),
        ((90.0, 90.0, float('nan'), 40.0), (0.0,) * 6, 'intrinsics are'),
        ((90.0, 90.0, 50.0, 40.0), (0.0,) * 5, 'mount is'),
    ],
)
def test_wrong_camera_is_refused(intrinsics, mount, text):
    with pytest.raises(ValueError, match=text):
        HandCamera(intrinsics, mount)


# --- against the simulator ----------------------------------------------------------------------


@pytest.fixture(scope='module')
def sim():
    with PandaSim(camera='wrist', image_size=128) as sim:
        yield sim


@pytest.fixture
def bare_table(sim):
    """Return the simulator with nothing on a chequered table."""
    sim.reset(1)
    sim._model.geom('table').matid = sim._model.material('table3').id
    for name in ('cup', *(f'cube{i}' for i in range(5))):
        sim._model.geom(name).rgba[3] = 0.0
    yield sim
    for name in ('cup', *(f'cube{i}' for i in range(5))):
        sim._model.geom(name).rgba[3] = 1.0


@pytest.mark.parametrize(
    'move',
    [
        (0.05, 0.0, 0.0),
        (-0.05, 0.0, 0.0),
        (0.0, 0.05, 0.0),
        (0.0, -0.05, 0.0),
        (0.0, 0.0, 0.05),
        (0.0, 0.0, -0.05),
        (0.03, -0.04, 0.02),
    ],
)
@pytest.mark.parametrize('tilt', [(0.0, 0.0, 0.0), (0.1, -0.08, 0.4)])
def test_warp_is_the_picture_after_really_moving(bare_table, move, tilt):
    sim, model = bare_table, geometric(hand_camera(bare_table))
    rpy = (Rotation.from_euler('xyz', tilt) * Rotation.from_euler('x', np.pi)).as_euler('xyz')
    state = np.array([0.45, 0.05, 0.28, *rpy, 0.3])
    after = state + [*move, 0, 0, 0, 0]
    sim.set_state(state)
    before = sim.render().copy()
    sim.set_state(after)
    real = model.model_input(sim.render()).astype(float)
    moves = torch.tensor([move]).double()
    warped = model.warp(model.observe(before[None])[0], torch.tensor(state), moves)[0]
    points = model.points((128, 128), torch.tensor(state), moves)[0]
    inside = ((points >= 0.0) & (points <= 127.0)).all(dim=1).reshape(64, 64).numpy()
    assert 0.5 < inside.mean() < 1.0 or move[2] < 0.0
    error = np.abs(warped.permute(1, 2, 0).numpy() - real).mean(axis=2)[inside].mean()
    unmoved = np.abs(model.model_input(before) - real).mean(axis=2)[inside].mean()
    assert error < 2.5 and error < 0.2 * unmoved


def test_plan_finds_where_the_picture_was_taken(sim):
    model = geometric(hand_camera(sim))
    sim.reset(3_000_004)
    state = np.array([0.45, 0.05, 0.28, np.pi, 0.0, 0.2, 0.3])
    move = np.array([0.02, -0.03, 0.015])
    sim.set_state(state + [*move, 0, 0, 0, 0])
    goal = sim.render().copy()
    sim.set_state(state)
    context, wanted = model.observe(sim.render()[None]), model.encode(goal[None])[0]
    found = plan(model, context, state[None], wanted, CemConfig(samples=100, iterations=6, seed=0))
    np.testing.assert_allclose(found.actions[0, :3], move, atol=0.01)
    assert (found.actions[0, 3:] == 0.0).all()
    assert found.energy < 0.7 * found.start_energy


def test_wrist_camera_is_mounted_as_documented(sim):
    state = np.array([0.5, -0.1, 0.2, np.pi - 0.1, 0.05, 0.3, 0.5])
    sim.reset(0)
    sim.set_state(state)
    sim.render()
    position, rotation = camera_pose(HandCamera((1.0, 1.0, 0.0, 0.0), WRIST_MOUNT), state)
    camera = sim._data.camera('wrist')
    np.testing.assert_allclose(camera.xpos, position, atol=1e-6)
    # MuJoCo's camera frame has y up and looks along -z.
    np.testing.assert_allclose(camera.xmat.reshape(3, 3) * [1, -1, -1], rotation, atol=1e-6)


def test_episodes_ask_for_a_short_translation():
    for seed in range(1_000_000, 1_000_050):
        episode = translation_episode(seed)
        assert 0.03 <= np.linalg.norm(episode.goal[:3] - episode.start[:3]) <= 0.10
        np.testing.assert_array_equal(episode.goal[3:], episode.start[3:])
