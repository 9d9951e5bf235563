# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Training of the small encoder for the wrist camera."""

import numpy as np
import pytest
import torch
from vjepa2_planner_ros.learning.recipes import hand_encoder
from vjepa2_planner_ros.learning.recipes.evaluate_3dof import hand_camera
from vjepa2_planner_ros.simulation import PandaSim
from vjepa2_planner_ros.world_model import load_world_model, MODELS, ModelSpec, VJepa2WorldModel
from vjepa2_planner_ros.world_model.geometric import GeometricWorldModel
from vjepa2_planner_ros.world_model.networks import EncoderSize, VisionTransformer

TINY = ModelSpec(
    name='tiny',
    encoder=EncoderSize(48, 2, 2, 96),
    predictor=None,
    image_size=32,
    crop='center_square',
    action_bounds=(0.1,) * 3 + (0.0,) * 4,
)


@pytest.fixture(scope='module')
def sim():
    with PandaSim(camera='wrist', image_size=64) as sim:
        yield sim


def test_frames_of_a_scene_differ_by_translation_alone(sim):
    frames, states = hand_encoder.collect_scene(sim, 5)
    assert frames.shape == (hand_encoder.FRAMES, 64, 64, 3) and frames.dtype == np.uint8
    np.testing.assert_array_equal(states[:, 3:], states[:1, 3:].repeat(len(states), 0))
    assert 0.01 < np.ptp(states[:, :3], axis=0).max() <= 2 * hand_encoder.SPREAD
    sim.set_state(states[2])
    np.testing.assert_array_equal(sim.render(), frames[2])


def test_wanted_energies_grow_with_the_distance_to_the_right_move(sim, tmp_path, monkeypatch):
    frames, states = hand_encoder.collect_scene(sim, 5)
    np.savez(tmp_path / 'scene.npz', frames=frames, states=states)
    model = GeometricWorldModel(
        VJepa2WorldModel(TINY, VisionTransformer(TINY.encoder), None), hand_camera(sim)
    )
    steps = torch.tensor([0.0, 0.005, 0.01, 0.02, 0.04])
    given = []

    def candidates(move, generator):
        given.append(move)
        return move + steps[:, None] * torch.tensor([0.6, -0.8, 0.0])

    monkeypatch.setattr(hand_encoder.Pairs, 'candidates', staticmethod(candidates))
    pairs = hand_encoder.Pairs([tmp_path / 'scene.npz'], model)
    pictures, wanted = pairs.batch(torch.Generator().manual_seed(0), 3)
    assert pictures.shape == (3, 6, 3, 32, 32) and wanted.shape == (3, 5)
    assert (wanted[:, 0] == 0.0).all() and (wanted.diff(dim=1) > 0.02).all() and wanted.max() < 1
    differences = states[:, None, :3] - states[None, :, :3]
    for move in given:
        assert np.abs(differences - move.numpy()).sum(-1).min() < 1e-12
    # The right move shows the goal better than the one furthest from it.
    error = (pictures[:, :-1] - pictures[:, -1:]).abs().mean((2, 3, 4))
    assert (error[:, 0] < error[:, -1]).all()


def test_candidates_stay_inside_the_bounds():
    generator = torch.Generator().manual_seed(0)
    moves = torch.cat(
        [
            hand_encoder.Pairs.candidates(torch.tensor([0.09, 0.01, -0.02]), generator)
            for _ in range(50)
        ]
    )
    assert moves.abs().max() <= 0.05
    assert ((moves == 0.0).all(dim=1)).sum() == 50  # doing nothing is one of each pair
    near = moves.unflatten(0, (50, -1))[:, 1] - torch.tensor([0.05, 0.01, -0.02])
    assert near[:, 1:].abs().max() <= 0.005


@pytest.mark.slow
def test_command_trains_weights_that_load(monkeypatch, tmp_path):
    monkeypatch.setitem(MODELS, TINY.name, TINY)
    monkeypatch.setattr(hand_encoder, 'HELD_OUT', 1)
    hand_encoder.main(
        [
            '--data',
            str(tmp_path / 'data'),
            '--out',
            str(tmp_path / 'out'),
            '--scenes',
            '3',
            '--steps',
            '2',
            '--batch',
            '2',
            '--model',
            'tiny',
        ]
    )
    model = load_world_model('tiny', checkpoint=tmp_path / 'out' / 'tiny.safetensors')
    trained = torch.load(tmp_path / 'out' / 'hand_encoder.pt', weights_only=True)['module']
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value.float(), trained[f'encoder.{name}'].bfloat16().float())
    assert not torch.equal(trained['encoder.norm.bias'], torch.zeros(48))
    assert (tmp_path / 'out' / 'hand_encoder.csv').read_text().count('\n') >= 2
