# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The closed-loop evaluation: its controls have known results."""

import numpy as np
import pytest
import torch
from vjepa2_planner_ros.control.stop_rule import StopRule
from vjepa2_planner_ros.learning.recipes import evaluate
from vjepa2_planner_ros.simulation import PandaSim, sample_episode

SEEDS = range(evaluate.FIRST_SEED, evaluate.FIRST_SEED + 4)


@pytest.fixture(scope='module')
def sim():
    with PandaSim() as sim:
        yield sim


def test_doing_nothing_stays_at_the_start(sim):
    for seed in SEEDS:
        outcome = evaluate.run_episode(
            sim, seed, lambda goal, episode: evaluate.fixed(lambda state: np.zeros(7)), None
        )
        episode = sample_episode(seed)
        expected = np.linalg.norm(episode.goal[:3] - episode.start[:3])
        np.testing.assert_allclose(outcome.distances, expected, atol=1e-4)
        assert outcome.grippers[-1] == pytest.approx(
            abs(episode.goal[6] - episode.start[6]), abs=1e-3
        )


def test_the_oracle_arrives(sim):
    outcomes = [
        evaluate.run_episode(sim, seed, lambda goal, episode: evaluate.oracle(episode.goal), None)
        for seed in SEEDS
    ]
    row = evaluate.summarise(outcomes)
    assert row['below_2cm'] == 1.0 and row['worst_cm'] < 0.1 and row['gripper'] < 1e-3
    for outcome in outcomes:  # every gain is what the distances say
        assert sum(outcome.gains) == pytest.approx(outcome.distances[0] - outcome.distances[-1])


def test_pixels_of_the_goal_have_no_energy(sim):
    episode = sample_episode(SEEDS[0])
    sim.reset(episode.seed)
    sim.set_state(episode.goal)
    picture = sim.render()
    model = evaluate.SimulatorPixels(sim, 64)
    goal = model.encode(picture[None])
    start = episode.goal.copy()
    start[:3] += (0.02, -0.03, 0.01)
    sim.set_state(start)
    actions = torch.zeros(2, 1, 7)
    actions[1, 0, :3] = torch.tensor([-0.02, 0.03, -0.01])
    energies = (model.rollout(goal, start[None], actions) - goal).abs().mean((1, 2))
    assert energies[1] < 0.02 * energies[0]


def test_stop_rule_ends_an_episode(sim):
    found = evaluate.run_episode(
        sim, SEEDS[0], lambda goal, episode: evaluate.random_policy(0), StopRule(patience=2)
    )
    assert len(found.gains) == 2  # a policy without energies never reports a lower one


def test_random_policy_moves_every_axis():
    policy = evaluate.random_policy(0)
    actions = np.stack([policy(None, None).actions[0] for _ in range(100)])
    assert (actions.std(0) > 0.0).all()
