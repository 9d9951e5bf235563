# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pose arithmetic agrees with SciPy, also near gimbal lock."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch
from vjepa2_planner_ros.world_model import poses


def random_states(count, rng, pitch=None):
    angles = rng.uniform(-np.pi, np.pi, (count, 3))
    if pitch is not None:
        angles[:, 1] = pitch + rng.uniform(-1e-3, 1e-3, count) * (rng.random(count) < 0.8)
    return np.concatenate(
        [rng.uniform(-1, 1, (count, 3)), angles, rng.uniform(0, 1, (count, 1))], axis=1
    )


def rotation(states):
    return Rotation.from_euler('xyz', np.asarray(states, dtype=np.float64)[:, 3:6])


def largest_angle(states, expected):
    return (rotation(states) * expected.inv()).magnitude().max()


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize('pitch', [None, np.pi / 2, -np.pi / 2])
def test_compose_equals_scipy(dtype, pitch):
    rng = np.random.default_rng(0)
    states = torch.tensor(random_states(500, rng, pitch), dtype=dtype)
    actions = torch.tensor(random_states(500, rng), dtype=dtype)
    actions[:100, 3:6] = 0.0
    found = poses.compose(states, actions)
    assert largest_angle(found, rotation(actions) * rotation(states)) < 1e-6
    np.testing.assert_allclose(found[:, :3], states[:, :3] + actions[:, :3], atol=1e-6)
    closed = np.clip(np.asarray(states[:, 6] + actions[:, 6]), 0, 1)
    np.testing.assert_allclose(found[:, 6], closed, atol=1e-6)


@pytest.mark.parametrize('pitch', [None, np.pi / 2])
def test_difference_leads_from_start_to_end(pitch):
    rng = np.random.default_rng(1)
    start, end = (torch.tensor(random_states(300, rng, pitch)) for _ in range(2))
    action = poses.difference(start, end)
    assert largest_angle(action, rotation(end) * rotation(start).inv()) < 1e-6
    reached = poses.compose(start, action)
    assert largest_angle(reached, rotation(end)) < 1e-6
    np.testing.assert_allclose(reached[:, [0, 1, 2, 6]], end[:, [0, 1, 2, 6]], atol=1e-12)


def test_rotate_from_commutes_with_actions():
    rng = np.random.default_rng(2)
    states, actions = (torch.tensor(random_states(100, rng)) for _ in range(2))
    reference = torch.tensor([np.pi, 0.0, 0.0], dtype=torch.float64)
    relative = poses.rotate_from(states, reference)
    down = Rotation.from_euler('xyz', reference.numpy())
    assert largest_angle(relative, rotation(states) * down.inv()) < 1e-6
    one_way = poses.compose(relative, actions)
    other_way = poses.rotate_from(poses.compose(states, actions), reference)
    assert largest_angle(one_way, rotation(other_way)) < 1e-6


def test_angles_of_a_tool_pointing_down_do_not_wrap():
    states = torch.tensor([[0.0] * 3 + [roll, 0.0, 0.0, 0.0] for roll in (3.14, -3.14)])
    relative = poses.rotate_from(states, torch.tensor([np.pi, 0.0, 0.0], dtype=torch.float32))
    assert relative[:, 3:6].abs().max() < 0.002
