# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The trust-region optimizer finds known optima with few candidates, on the contract of CEM."""

import numpy as np
import pytest
from tools.toy_world_model import ToyWorldModel
import torch
from vjepa2_planner_ros.planning.actions import AXES
from vjepa2_planner_ros.planning.config import CemConfig, TrustRegionConfig
from vjepa2_planner_ros.planning.errors import NonFiniteEnergyError, PlanTimeout
from vjepa2_planner_ros.planning.search import plan
from vjepa2_planner_ros.planning.trust_region import LatentModel

BOUNDS = (0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75)
SEARCHED = [0, 1, 2, 6]


class Projections:
    """Latents that are many projections of the action, through a function chosen by the test."""

    action_bounds = BOUNDS
    search_axes = ('x', 'y', 'z', 'gripper')
    cost = 'l1'

    def __init__(self, shape=lambda z: z, axes=7):
        generator = torch.Generator().manual_seed(0)
        self.projection = torch.randn(axes, 300, generator=generator)
        self.shape = shape
        self.evaluated = []

    def latents(self, actions):
        unit = torch.as_tensor(actions, dtype=torch.float32) / torch.tensor(BOUNDS)
        return self.shape(unit.flatten(1) @ self.projection).view(len(unit), 3, 100)

    def rollout(self, context, states, actions):
        self.evaluated.append(actions.numpy().copy())
        return self.latents(actions)


def search(model, best, config=None, **keywords):
    goal = model.latents(np.atleast_3d(best).reshape(1, -1, 7))[0]
    return plan(model, None, None, goal, config or TrustRegionConfig(seed=0), **keywords)


STEP = np.array([0.03, -0.02, 0.01, 0.0, 0.0, 0.0, 0.3])


@pytest.mark.parametrize(
    'shape, tolerance',
    [
        (lambda z: z, 1e-3),
        (lambda z: z + 0.1 * z**2, 1e-3),
        (lambda z: torch.tanh(0.5 * z), 0.03),
        (lambda z: torch.sin(z), 0.03),
    ],
)
def test_finds_the_known_optimum(shape, tolerance):
    model = Projections(shape)
    found = search(model, STEP)
    np.testing.assert_allclose(found.actions[0] / BOUNDS, STEP / BOUNDS, atol=tolerance)
    assert (
        sum(len(actions) for actions in model.evaluated) == 4 * 16 + 3 + 4
    )  # one without each axis
    assert found.energy < tolerance * found.start_energy


def test_finds_the_optimum_of_the_toy():
    start = torch.tensor([0.4, 0.1, 0.2, 0.0, 0.0, 0.0, 0.5])
    goal = start + torch.tensor(STEP, dtype=torch.float32)
    found = plan(
        ToyWorldModel(),
        start[None, None],
        start[None].numpy(),
        goal[None],
        TrustRegionConfig(seed=0),
    )
    np.testing.assert_allclose(found.actions[0], STEP, atol=0.01)
    assert found.energy < 0.05 * found.start_energy and found.confidence > 0.7


@pytest.mark.parametrize('seed', [145, 181, 304, 311])
def test_a_kink_does_not_hold_it_up(seed):
    """The gripper closes in mid-range: a model of the whole range is wrong on both sides of it."""
    start = torch.tensor([0.4, 0.1, 0.3, 0.2, -0.1, 0.3, 0.25])
    moves = np.random.default_rng(seed).uniform(-0.04, 0.04, 3)
    goal = start + torch.tensor([*moves, 0.0, 0.0, 0.0, -0.18], dtype=torch.float32)
    found = plan(
        ToyWorldModel(),
        start[None, None],
        start[None].numpy(),
        goal[None],
        TrustRegionConfig(iterations=10, seed=seed),
    )
    np.testing.assert_allclose(found.actions[0, :3], moves, atol=5e-4)


def test_seven_axes_and_two_steps():
    turn = np.array([0.03, -0.02, 0.01, 0.05, 0.1, -0.05, 0.3])
    model = Projections(torch.tanh)
    found = search(model, turn, TrustRegionConfig(seed=0, axes=AXES, iterations=5))
    np.testing.assert_allclose(found.actions[0] / BOUNDS, turn / BOUNDS, atol=0.05)
    model = Projections(torch.tanh, axes=14)
    two = np.stack([STEP, -0.5 * STEP])
    found = search(model, two, TrustRegionConfig(seed=0, horizon=2, iterations=5))
    np.testing.assert_allclose(found.actions / BOUNDS, two / BOUNDS, atol=0.05)


def test_stays_inside_the_bounds_and_finds_the_optimum_there():
    """The projections are almost orthogonal, so the constrained optimum is the clipped one."""
    outside = np.array([0.1, -0.02, -0.2, 0.0, 0.0, 0.0, 0.9])
    tight = (0.02, 0.05, 0.01, 0.0, 0.0, 0.0, 0.5)
    for given in ({}, {'bounds': tight}):
        model = Projections()
        model.projection = torch.eye(7).repeat(1, 43)[:, :300]
        found = search(model, outside, TrustRegionConfig(seed=0, **given))
        largest = np.array(given.get('bounds', BOUNDS))
        for actions in model.evaluated:
            assert (np.abs(actions) <= largest + 1e-7).all()
        np.testing.assert_allclose(found.actions[0], outside.clip(-largest, largest), atol=1e-5)


def test_noise_averages_out():
    noise = torch.Generator().manual_seed(1)
    found = search(Projections(lambda z: z + 0.3 * torch.randn(z.shape, generator=noise)), STEP)
    np.testing.assert_allclose(found.actions[0] / BOUNDS, STEP / BOUNDS, atol=0.05)


def test_same_seed_same_plan():
    first, second, other = (
        search(Projections(torch.sin), STEP, TrustRegionConfig(seed=seed)) for seed in (3, 3, 4)
    )
    assert (first.actions == second.actions).all() and first.energy == second.energy
    assert (first.actions != other.actions).any()


def test_iterations_are_reported_as_those_of_cem():
    found = []
    result = search(Projections(torch.sin), STEP, on_iteration=found.append)
    assert [i.iteration for i in found] == [1, 2, 3, 4]
    assert (found[0].actions[0] == 0.0).all()  # doing nothing is the first candidate
    for before, after in zip(found, found[1:]):
        np.testing.assert_allclose(after.actions[0], before.mean, atol=1e-7)
        spread = np.abs(after.actions - before.mean).max(axis=(0, 1))
        assert (spread <= 3**0.5 * before.std[0] + 1e-6).all()
    for i in found:
        assert i.actions.shape == (16, 1, 7) and i.energies.shape == (16,)
        assert (i.energies[i.elites] == np.sort(i.energies)[:4]).all()
    assert result.iteration_energies == tuple(
        pytest.approx(min(i.energies.min() for i in found[: n + 1])) for n in range(4)
    )


def test_some_energies_that_are_not_finite_are_ignored():
    def spoil(latents):
        if len(latents) > 2:
            latents[1::2] = torch.nan
        return latents

    found = search(Projections(spoil), STEP)
    np.testing.assert_allclose(found.actions[0] / BOUNDS, STEP / BOUNDS, atol=5e-3)


@pytest.mark.parametrize('bad', [torch.nan, torch.inf])
def test_no_finite_energy_is_an_error(bad):
    with pytest.raises(NonFiniteEnergyError, match='none of 16 energies is finite in iteration 1'):
        search(Projections(lambda z: z * bad if len(z) > 1 else z), STEP)


def test_equal_latents_everywhere_are_no_trouble():
    found = search(Projections(lambda z: 0.0 * z + 1.0), STEP)
    assert np.isfinite(found.actions).all() and found.confidence == 0.0


def test_stop_and_time_limit():
    done = []

    def check_stop():
        if len(done) == 2:
            raise KeyError('stopped')

    with pytest.raises(KeyError, match='stopped'):
        search(Projections(), STEP, on_iteration=done.append, check_stop=check_stop)
    with pytest.raises(PlanTimeout, match='time limit of 1e-09 s passed after 0 of 4'):
        search(Projections(), STEP, TrustRegionConfig(time_limit=1e-9, best_effort=True))


@pytest.mark.parametrize('kind', [CemConfig, TrustRegionConfig])
def test_best_effort_gives_the_plan_so_far(monkeypatch, kind):
    """An iteration takes a second, so the limit leaves room for three."""
    clock, found = [0.0], []
    monkeypatch.setattr('vjepa2_planner_ros.planning.search.perf_counter', lambda: clock[0])
    model = Projections()

    def second(iteration):
        clock[0] += 1.0
        found.append(iteration)

    config = kind(seed=0, samples=40, iterations=9, time_limit=3.5, best_effort=True)
    result = search(model, STEP, config, on_iteration=second)
    assert len(result.iteration_energies) == len(found) == 3
    np.testing.assert_allclose(result.actions, found[-1].mean)
    assert result.energy < result.start_energy
    clock[0], found[:] = 0.0, []
    config = kind(seed=0, samples=40, iterations=9, time_limit=3.5)
    with pytest.raises(PlanTimeout, match='after 4 of 9'):
        search(model, STEP, config, on_iteration=second)


def test_no_plan_is_worse_than_doing_nothing():
    """A model of 112 coordinates cannot be learned from so few candidates."""
    model = Projections(torch.tanh, axes=7 * 16)
    best = np.tile(STEP, (16, 1)) * 0.1
    found = search(model, best, TrustRegionConfig(seed=0, horizon=16, axes=AXES, samples=200))
    assert found.energy <= found.start_energy


def test_latent_model_is_the_weighted_ridge_regression_it_says():
    """A quadratic polynomial with the kernel's prior, fitted by its normal equations."""
    rng = np.random.default_rng(0)
    points, misses = rng.uniform(-1, 1, (20, 2)), rng.normal(size=(20, 5))

    def features(points):  # (u.v)^2 = sum of products of these
        x, y = points.T
        linear, quadratic = 8.0**0.5, 0.7**0.5
        return np.stack(
            [
                np.full_like(x, 100.0),
                linear * x,
                linear * y,
                quadratic * x * x,
                quadratic * 2**0.5 * x * y,
                quadratic * y * y,
            ],
            axis=1,
        )

    weights = np.exp(-1.5 * (points**2).mean(axis=1))
    phi = features(points)
    fitted = np.linalg.solve(phi.T * weights @ phi + np.eye(6), phi.T * weights @ misses)
    asked = rng.uniform(-1, 1, (4, 2))
    model = LatentModel(torch.tensor(points), torch.tensor(misses), 'l1')
    np.testing.assert_allclose(
        model.predict(torch.tensor(asked)), features(asked) @ fitted, atol=1e-6
    )
    step = 1e-5 * np.eye(2)
    slopes = (features(asked[0] + step) - features(asked[0] - step)) @ fitted / 2e-5
    np.testing.assert_allclose(model.slopes(torch.tensor(asked[0])), slopes, atol=1e-4)


ENERGIES = {
    'l1': lambda misses: misses.abs().mean(1),
    'l2': lambda misses: misses.square().mean(1).sqrt(),
}


@pytest.mark.parametrize('cost', ENERGIES)
def test_minimum_of_the_latent_model_is_the_lowest_of_a_grid(cost):
    rng = np.random.default_rng(1)
    points = torch.tensor(rng.uniform(-1, 1, (30, 2)))
    misses = torch.tensor(rng.normal(size=(2, 40))).T[None] @ points[:, :, None] - 0.5
    model = LatentModel(points, misses[..., 0].float(), cost)
    low, high = torch.tensor([-1.0, -0.2]), torch.tensor([0.5, 1.0])
    axes = [
        torch.linspace(float(a), float(b), 200, dtype=torch.float64) for a, b in zip(low, high)
    ]
    grid = torch.cartesian_prod(*axes)
    lowest = float(ENERGIES[cost](model.predict(grid)).min())
    found = model.minimise(low, high)
    assert ((found >= low) & (found <= high)).all()
    assert float(ENERGIES[cost](model.predict(found[None].double()))) < 1.005 * lowest
