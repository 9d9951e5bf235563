# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The closed-loop evaluation: its controls have known results."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import torch
from vjepa2_planner_ros.control.stop_rule import StopRule
from vjepa2_planner_ros.learning.recipes import evaluate
from vjepa2_planner_ros.learning.recipes.cases import CASES
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


def test_a_turned_goal_is_the_plain_one_turned_about_the_vertical():
    for seed in SEEDS:
        plain, turned = sample_episode(seed), CASES['turned'].sample(seed)
        turn = Rotation.from_euler('xyz', turned.goal[3:6]) * (
            Rotation.from_euler('xyz', plain.goal[3:6]).inv()
        )
        np.testing.assert_allclose(abs(turn.as_rotvec()), [0.0, 0.0, 0.4], atol=1e-9)
        np.testing.assert_array_equal(turned.goal[[0, 1, 2, 6]], plain.goal[[0, 1, 2, 6]])
        np.testing.assert_array_equal(turned.start, plain.start)


def test_a_lifted_goal_is_above_the_start():
    for seed in SEEDS:
        episode = CASES['lifted'].sample(seed)
        rise = episode.goal - episode.start
        assert 0.1 <= rise[2] and (np.delete(rise, 2) == 0.0).all() and episode.goal[2] <= 0.4


def test_hung_objects_hide_some_of_the_arm_and_a_turned_camera_sees_it_elsewhere(sim):
    def seen(case):
        sim.reset(SEEDS[0])
        CASES[case].arrange(sim, SEEDS[0])
        return sim.render().astype(int), sim.finger_tips()

    (plain, tips), (hidden, same) = seen('plain'), seen('objects')
    assert (abs(hidden - plain).max(axis=2) > 30).mean() > 0.03 and (same == tips).all()
    _, moved = seen('camera')
    assert 0.001 < np.linalg.norm(moved - tips, axis=1).max() < 0.1
    sim.place_camera()


@pytest.mark.slow
def test_an_evaluation_goes_on_from_its_file(tmp_path, capsys):
    arguments = ['--methods', 'nothing', 'oracle', '--modes', 'kinematic', '--cases', 'lifted']
    arguments += ['--costs', 'l1', 'l2', '--json', str(tmp_path / 'run.json')]
    evaluate.main([*arguments, '--episodes', '1'])
    report = json.loads((tmp_path / 'run.json').read_text())
    report['kinematic lifted l2 nothing'][0]['distances'] = [0.0]
    (tmp_path / 'run.json').write_text(json.dumps(report))
    capsys.readouterr()
    evaluate.main([*arguments, '--episodes', '2'])
    report = json.loads((tmp_path / 'run.json').read_text())
    assert {row: len(found) for row, found in report.items()} == {
        f'kinematic lifted {cost} {name}': 2
        for cost in ('l1', 'l2')
        for name in ('nothing', 'oracle')
    }
    rows = capsys.readouterr().out.splitlines()
    first, *_ = (float(o['distances'][-1]) for o in report['kinematic lifted l1 nothing'])
    (changed,) = (row for row in rows if 'l2 nothing' in row)
    assert f'nearer_cm={100 * first / 2:6.3f}' in changed  # its other episode ended alike
