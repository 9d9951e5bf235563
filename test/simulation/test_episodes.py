# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0

"""What the drawn episodes have in common."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import kstest
from vjepa2_planner_ros.simulation import PandaSim, sample_episode, WORKSPACE

EPISODES = [sample_episode(1_000_000 + i) for i in range(400)]


def test_start_and_goal_lie_in_the_workspace_at_the_stated_distance():
    low, high = np.transpose(WORKSPACE)
    for episode in EPISODES:
        for state in (episode.start, episode.goal):
            assert np.all(state[:3] >= low) and np.all(state[:3] <= high)
        distance = np.linalg.norm(episode.goal[:3] - episode.start[:3])
        assert 0.10 <= distance <= 0.25


def test_directions_point_every_way():
    moves = np.array([episode.goal[:3] - episode.start[:3] for episode in EPISODES])
    share = (moves > 0).mean(0)
    assert np.all(share > 0.4) and np.all(share < 0.6)
    assert np.all(np.abs(moves).max(0) > 0.15)


def test_orientation_is_shared_and_near_tool_down():
    yaws = []
    for episode in EPISODES:
        np.testing.assert_array_equal(episode.start[3:6], episode.goal[3:6])
        turn = Rotation.from_euler('xyz', episode.start[3:6]) * Rotation.from_euler('x', np.pi)
        roll, pitch, yaw = turn.as_euler('xyz')
        assert abs(roll) <= 0.1 + 1e-9 and abs(pitch) <= 0.1 + 1e-9 and abs(yaw) <= 0.4 + 1e-9
        yaws.append(yaw)
    assert kstest(yaws, 'uniform', (-0.4, 0.8)).pvalue > 1e-3


def test_a_turned_goal_is_the_same_one_turned_about_the_vertical():
    for plain in EPISODES[:100]:
        turned = sample_episode(plain.seed, turn=0.4)
        assert np.array_equal(turned.start, plain.start)
        assert np.array_equal(turned.goal[[0, 1, 2, 6]], plain.goal[[0, 1, 2, 6]])
        start, goal = (Rotation.from_euler('xyz', x[3:6]) for x in (turned.start, turned.goal))
        vector = (goal * start.inv()).as_rotvec()
        np.testing.assert_allclose(abs(vector), [0.0, 0.0, 0.4], atol=1e-6)
        down = Rotation.from_euler('x', np.pi)
        assert abs((goal * down.inv()).as_euler('xyz')[2]) <= 0.4 + 1e-6


def test_closedness_is_uniform_and_independent():
    start, goal = np.transpose([(e.start[6], e.goal[6]) for e in EPISODES])
    assert kstest(start, 'uniform').pvalue > 1e-3
    assert kstest(goal, 'uniform').pvalue > 1e-3
    assert abs(np.corrcoef(start, goal)[0, 1]) < 0.15


def test_same_seed_same_episode():
    again = sample_episode(1_000_003)
    np.testing.assert_array_equal(again.start, EPISODES[3].start)
    np.testing.assert_array_equal(again.goal, EPISODES[3].goal)
    assert not np.array_equal(EPISODES[3].start, EPISODES[4].start)


def test_seeds_that_would_share_their_numbers_are_refused():
    largest = 2**32 - 1
    assert sample_episode(largest).seed == largest
    # NumPy splits a longer seed into words of 32 bits: the scene of this one would be drawn from
    # the numbers that draw start and goal of episode 5.
    twin = 5 + 2**32
    assert np.random.default_rng(twin).random() == np.random.default_rng([5, 1]).random()
    for seed in (-1, twin, 2**62):
        with pytest.raises(ValueError, match=f'seed = {seed}: allowed: 0 to {largest}'):
            sample_episode(seed)


def test_every_start_and_goal_can_be_reached():
    sim = PandaSim(0)
    for episode in EPISODES[:150]:
        for state in (episode.start, episode.goal):
            sim.set_state(state)
            np.testing.assert_allclose(sim.state()[:3], state[:3], atol=1e-6)
