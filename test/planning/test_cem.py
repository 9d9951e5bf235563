# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The cross-entropy method follows the reference algorithm and finds known optima."""

import numpy as np
import pytest
from tools.toy_world_model import ToyWorldModel
import torch
from vjepa2_planner_ros.planning.actions import AXES, to_action, to_command
from vjepa2_planner_ros.planning.config import CemConfig
from vjepa2_planner_ros.planning.errors import NonFiniteEnergyError, PlanTimeout
from vjepa2_planner_ros.planning.search import plan

START = np.array([0.4, 0.1, 0.2, 0.0, 0.0, 0.0, 0.5])
STEP = np.array([0.03, -0.02, 0.01, 0.0, 0.0, 0.0, 0.3])


class Latents(ToyWorldModel):
    """The toy model with latents that tests write directly and energies they can spoil."""

    spoil = staticmethod(lambda latents: latents)

    def rollout(self, context, states, actions):
        return self.spoil(super().rollout(context, states, actions))


def search(config, step=STEP, model=None, **keywords):
    model = model or Latents()
    start = torch.tensor(START, dtype=torch.float32)[None, None]
    goal = torch.tensor(START + step, dtype=torch.float32)[None]
    return plan(model, start, START[None], goal, config, **keywords)


def reference_cem(noise, config, goal, bounds, deadband):
    """
    Transcribe the reference planner in NumPy for a model that adds actions to its state.

    :param noise: [iterations, H, S, 4] standard normal numbers for x, y, z and gripper.
    """
    m = bounds[0]
    own = np.array([config.momentum_mean] * 3 + [config.momentum_mean_gripper])
    own_std = np.array([config.momentum_std] * 3 + [config.momentum_std_gripper])
    mean = np.zeros((config.horizon, 4))
    std = np.tile([m, m, m, 1.0], (config.horizon, 1))
    history = []
    for iteration in range(config.iterations):
        actions = np.empty((config.samples, config.horizon, 4))
        state = np.tile(START[[0, 1, 2, 6]], (config.samples, 1))
        for h in range(config.horizon):
            a = noise[iteration][h] * std[h] + mean[h]
            a[:, :3] = np.clip(a[:, :3], -m, m)
            a[:, 3] = np.clip(a[:, 3], -0.75, 0.75)
            actions[:, h] = a
            state = state + a
            state[:, 3] = np.clip(state[:, 3], 0.0, 1.0)
        energies = np.abs(state - goal[[0, 1, 2, 6]]).sum(axis=1) / 7.0
        chosen = actions[np.argsort(energies, kind='stable')[: config.elites]]
        mean = (1 - own) * chosen.mean(axis=0) + own * mean
        std = (1 - own_std) * chosen.std(axis=0, ddof=1) + own_std * std
        history.append((mean.copy(), std.copy(), energies))
    final = mean.copy()
    final[np.abs(final[:, 3]) < deadband, 3] = 0.0
    return history, final


@pytest.mark.parametrize(
    'horizon, momenta',
    [(1, (0.25, 0.95, 0.15, 0.15)), (2, (0.15, 0.15, 0.15, 0.15)), (3, (0.15, 0.75, 0.25, 0.05))],
)
def test_equals_reference_algorithm(horizon, momenta):
    bounds = (0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75)
    config = CemConfig(
        samples=100,
        iterations=8,
        elite_fraction=0.1,
        horizon=horizon,
        momentum_mean=momenta[0],
        momentum_std=momenta[1],
        momentum_mean_gripper=momenta[2],
        momentum_std_gripper=momenta[3],
        bounds=bounds,
        initial_std=(0.05,) * 3 + (0.0,) * 3 + (1.0,),
        include_mean=False,
        gripper_deadband=0.25,
        min_axis_gain=0.0,
        seed=5,
    )
    generator = torch.Generator().manual_seed(5)
    noise = [
        [torch.randn(100, 4, generator=generator).numpy() for _ in range(horizon)]
        for _ in range(8)
    ]
    goal = START + STEP
    history, final = reference_cem(noise, config, goal, bounds, deadband=0.25)
    found = []
    result = search(config, on_iteration=found.append)
    searched = [AXES.index(axis) for axis in ('x', 'y', 'z', 'gripper')]
    for ours, (mean, std, energies) in zip(found, history, strict=True):
        np.testing.assert_allclose(ours.mean[:, searched], mean, atol=1e-5)
        np.testing.assert_allclose(ours.std[:, searched], std, atol=1e-5)
        np.testing.assert_allclose(ours.energies, energies, atol=1e-6)
    np.testing.assert_allclose(result.actions[:, searched], final, atol=1e-5)


def test_finds_the_known_optimum():
    result = search(CemConfig(seed=0, iterations=10))
    np.testing.assert_allclose(result.actions[0], STEP, atol=2e-3)
    assert result.energy < 1e-3
    assert result.start_energy == pytest.approx(np.abs(STEP).sum() / 7, rel=1e-5)
    assert result.confidence > 0.9


def test_rotation_only_on_request():
    turn = np.array([0.0, 0.0, 0.0, 0.1, -0.05, 0.08, 0.0])
    still = search(CemConfig(seed=0), step=turn)
    assert (still.actions[:, 3:6] == 0.0).all()
    turned = search(CemConfig(seed=0, iterations=12, axes=AXES), step=turn)
    assert turned.energy < 0.2 * turned.start_energy


def test_stays_inside_the_bounds():
    far = np.array([0.5, -0.5, 0.5, 0.0, 0.0, 0.0, 0.0])
    candidates = []
    for given in ({}, {'bounds': (0.01, 0.02, 0.03, 0.0, 0.0, 0.0, 0.1)}):
        result = search(
            CemConfig(seed=0, horizon=2, iterations=30, **given),
            step=far,
            on_iteration=lambda i: candidates.append(i.actions),
        )
        largest = np.array(given.get('bounds', ToyWorldModel.action_bounds), np.float32)
        assert (np.abs(candidates[-1]) <= largest).all()
        assert (np.abs(result.actions) <= largest + 1e-9).all()
        np.testing.assert_allclose(
            np.abs(result.actions[:, :3]), np.tile(largest[:3], (2, 1)), rtol=0.1
        )


def test_same_seed_same_plan():
    first, second, other = (search(CemConfig(seed=seed)) for seed in (3, 3, 4))
    assert (first.actions == second.actions).all() and first.energy == second.energy
    assert (first.actions != other.actions).any()
    unseeded = [search(CemConfig()).actions for _ in range(2)]
    assert (unseeded[0] != unseeded[1]).any()


def test_iterations_are_reported():
    found = []
    result = search(CemConfig(samples=50, iterations=4, seed=0), on_iteration=found.append)
    assert [i.iteration for i in found] == [1, 2, 3, 4]
    for i in found:
        assert i.actions.shape == (50, 1, 7) and i.energies.shape == (50,)
        assert len(i.elites) == 10
        assert (i.energies[i.elites] == np.sort(i.energies)[:10]).all()
    assert result.iteration_energies == tuple(
        pytest.approx(min(i.energies.min() for i in found[: n + 1])) for n in range(4)
    )


def test_mean_is_the_first_candidate():
    found = []
    search(CemConfig(seed=0), on_iteration=found.append)
    for before, after in zip(found, found[1:]):
        np.testing.assert_allclose(after.actions[0], before.mean, atol=1e-7)


def test_kept_elites_are_candidates_again_and_not_evaluated_again():
    evaluated, found = [], []
    model = Latents()
    model.spoil = lambda latents: evaluated.append(len(latents)) or latents
    search(
        CemConfig(samples=100, iterations=3, keep_elites=True, seed=0),
        model=model,
        on_iteration=found.append,
    )
    assert evaluated == [100, 80, 80, 2, 4]  # answer and nothing, then without each axis
    for before, after in zip(found, found[1:]):
        assert (after.actions[80:] == before.actions[before.elites]).all()
        assert (after.energies[80:] == before.energies[before.elites]).all()


def test_some_energies_that_are_not_finite_are_ignored():
    def spoil(latents):
        if len(latents) > 2:
            latents[::2] = torch.nan
        return latents

    model, found = Latents(), []
    model.spoil = spoil
    result = search(
        CemConfig(seed=0, samples=40, iterations=10, elite_fraction=0.9),
        model=model,
        on_iteration=found.append,
    )
    assert all(len(i.elites) == 20 and (i.elites % 2 == 1).all() for i in found)
    assert np.isfinite(result.actions).all() and np.isfinite(result.energy)


@pytest.mark.parametrize('bad', [torch.nan, torch.inf])
def test_no_finite_energy_is_an_error(bad):
    model = Latents()
    model.spoil = lambda latents: latents * bad
    with pytest.raises(NonFiniteEnergyError, match='none of 500 energies'):
        search(CemConfig(), model=model)
    model.spoil = lambda latents: latents * (bad if len(latents) == 2 else 1.0)
    with pytest.raises(NonFiniteEnergyError, match='energy of the plan is'):
        search(CemConfig(), model=model)


def test_one_elite_works():
    result = search(CemConfig(samples=64, elite_fraction=0.01, seed=0))
    assert np.isfinite(result.actions).all() and result.energy < result.start_energy


def test_stop_and_time_limit():
    done = []

    def check_stop():
        if len(done) == 2:
            raise KeyError('stopped')

    with pytest.raises(KeyError, match='stopped'):
        search(CemConfig(), on_iteration=done.append, check_stop=check_stop)
    assert len(done) == 2
    with pytest.raises(PlanTimeout, match='time limit of 1e-09 s passed after'):
        search(CemConfig(time_limit=1e-9))


def test_nothing_to_gain_is_no_confidence():
    assert search(CemConfig(seed=0), step=np.zeros(7)).confidence == 0.0
    assert search(CemConfig(seed=0, iterations=1), step=STEP).confidence < 0.6


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'samples': 0}, 'samples = 0: allowed: 1 to 16384'),
        ({'iterations': 0}, 'iterations = 0'),
        ({'horizon': -1}, 'horizon = -1'),
        ({'elite_fraction': 1.5}, 'elite_fraction = 1.5: allowed: 0.0001 to 1'),
        ({'elite_fraction': 0.0001}, 'at least one elite of 500 samples'),
        ({'momentum_mean': 1.0}, 'momentum_mean = 1.0: allowed: 0 to 0.999'),
        ({'momentum_std_gripper': -0.5}, 'momentum_std_gripper = -0.5: allowed: 0 or more, or -1'),
        ({'initial_std': (-0.1,) * 7}, 'initial_std .x. = -0.1: allowed: 0 or more, or -1'),
        ({'cost': 'l3'}, "cost = 'l3': allowed: '', l1, l2"),
        ({'fixed_gripper': 2.0}, 'fixed_gripper = 2.0: allowed: -1 to 1 closedness'),
        ({'preset': 'mine'}, "preset = 'mine': allowed: '', meta"),
        ({'bounds': (0.1,) * 6}, 'bounds = .* allowed: 7 numbers'),
        ({'bounds': (float('nan'),) * 7}, 'bounds = nan'),
        ({'bounds': (-0.5,) + (0.1,) * 6}, 'bounds .x. = -0.5: allowed: 0 to 0.1, or -1'),
        ({'axes': ('x', 'w')}, "axes = 'w': allowed: '', x, y, z"),
        ({'axes': ('x', 'x')}, 'axes = .* allowed: one or more, each once'),
        ({'axes': ()}, 'axes = '),
        ({'time_limit': 0.0}, 'time_limit = 0.0'),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        CemConfig(**wrong)


class Translations(Latents):
    """The toy model as one that can only translate."""

    action_bounds = (0.05, 0.05, 0.05, 0.0, 0.0, 0.0, 0.0)
    search_axes = ('x', 'y', 'z', 'gripper')


def test_axes_without_a_bound_are_not_searched():
    narrow = search(CemConfig(seed=3), model=Translations())
    chosen = search(CemConfig(seed=3, axes=('x', 'y', 'z')))
    np.testing.assert_array_equal(narrow.actions, chosen.actions)
    assert (narrow.actions[:, 3:] == 0.0).all() and abs(narrow.actions[:, :3]).min() > 0.005
    assert narrow.confidence == chosen.confidence > 0.0
    with pytest.raises(ValueError, match='axes = gripper: allowed: an axis whose bound'):
        search(CemConfig(axes=('gripper',)), model=Translations())


def test_bounds_cannot_be_widened():
    with pytest.raises(ValueError, match=r'bounds .y. = 0.06: allowed: up to 0.05'):
        search(CemConfig(bounds=(0.05, 0.06, 0.05, 0.1, 0.1, 0.1, 0.5)))
    wide = CemConfig().bounds_for((0.5, 0.2, 0.05, 0.3, 0.3, 0.3, 1.0))
    assert wide == (0.10, 0.10, 0.05, 0.3, 0.3, 0.3, 1.0)  # 10 cm whatever the model saw


def test_gripper_sign():
    for kind in (np.array, torch.tensor):
        action = kind([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]])
        command = to_command(action)
        assert command[0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, -0.7])
        assert action[0, 6] > 0.0  # the argument is left alone
        assert to_action(command).tolist() == action.tolist()
