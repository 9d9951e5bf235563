# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a plan promises, whichever optimizer found it."""

import time

import numpy as np
import pytest
import torch
from vjepa2_planner_ros.planning.actions import AXES, to_command
from vjepa2_planner_ros.planning.confidence import FEATURES, Fit
from vjepa2_planner_ros.planning.config import CemConfig, TrustRegionConfig
from vjepa2_planner_ros.planning.errors import NonFiniteEnergyError, PlanTimeout
from vjepa2_planner_ros.planning.search import plan

BOUNDS = np.array((0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75))
OPTIMIZERS = (TrustRegionConfig(), CemConfig(samples=200))


class Network:
    """A random network of the action, on which some axes have less effect than others."""

    action_bounds = tuple(BOUNDS)
    search_axes = ('x', 'y', 'z', 'gripper')
    cost = 'l1'

    def __init__(self, seed, effects=(1.0,) * 7):
        generator = torch.Generator().manual_seed(seed)
        first = torch.randn(7, 64, generator=generator)
        self.first = 0.6 * first * torch.tensor(effects)[:, None]
        self.bias = 0.3 * torch.randn(64, generator=generator)
        self.second = torch.randn(64, 256, generator=generator) / 8.0
        self.miss = 0.3 * torch.randn(1, 256, generator=generator)  # no action reaches the goal

    def latents(self, actions):
        unit = torch.as_tensor(actions / BOUNDS, dtype=torch.float32).sum(1)
        return (torch.tanh(unit @ self.first + self.bias) @ self.second)[:, None]

    def rollout(self, context, states, actions):
        return self.latents(actions.numpy())

    def goal(self, action):
        return self.latents(np.array(action)[None, None])[0] + self.miss


def commands(config, effects, seeds=20):
    """Return the moves of plans to random goals, in units of the bounds [seeds, 7]."""
    found = []
    for seed in range(seeds):
        model = Network(seed, effects)
        best = BOUNDS * np.random.default_rng(seed).uniform(-1.0, 1.0, 7)
        best[3:6] = 0.0
        config = type(config)(**{**vars(config), 'seed': seed})
        found.append(plan(model, None, None, model.goal(best), config).actions[0] / BOUNDS)
    return np.abs(found)


@pytest.mark.parametrize('config', OPTIMIZERS, ids=('trust_region', 'cem'))
@pytest.mark.parametrize('axis', ['x', 'z', 'gripper'])
def test_an_axis_without_effect_stays_still(config, axis):
    effects = [float(name != axis) for name in AXES]
    moved = commands(config, effects)
    assert (moved[:, AXES.index(axis)] == 0.0).all()
    others = [i for i, name in enumerate(AXES) if name in config.axes and name != axis]
    assert (np.median(moved[:, others], axis=0) > 0.3).all()


@pytest.mark.parametrize('config', OPTIMIZERS, ids=('trust_region', 'cem'))
def test_several_axes_without_effect_stay_still(config):
    moved = commands(config, [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    assert (moved[:, [1, 2, 6]] == 0.0).all() and np.median(moved[:, 0]) > 0.3


@pytest.mark.parametrize('config', OPTIMIZERS, ids=('trust_region', 'cem'))
def test_an_axis_of_little_effect_mostly_stays_still(config):
    assert np.median(commands(config, [1.0] * 6 + [0.02])[:, 6]) == 0.0


class Noise:
    """Latents that have nothing to do with the action."""

    action_bounds = tuple(BOUNDS)
    search_axes = ('x', 'y', 'z', 'gripper')
    cost = 'l1'

    def __init__(self, seed, deviation):
        self.generator = torch.Generator().manual_seed(seed)
        self.deviation = deviation

    def rollout(self, context, states, actions):
        noise = torch.randn(len(actions), 4, 64, generator=self.generator)
        return 1.0 + self.deviation * noise


@pytest.mark.parametrize('config', OPTIMIZERS, ids=('trust_region', 'cem'))
@pytest.mark.parametrize('deviation', [0.05, 0.3, 1.0])
def test_noise_gives_no_confidence(config, deviation):
    found = []
    for seed in range(40):
        config = type(config)(**{**vars(config), 'seed': seed})
        found.append(plan(Noise(seed, deviation), None, None, torch.zeros(4, 64), config))
    assert np.quantile([each.confidence for each in found], 0.9) < 0.05


@pytest.mark.parametrize('config', OPTIMIZERS, ids=('trust_region', 'cem'))
def test_a_command_is_within_its_bounds_to_the_last_digit_and_never_minus_zero(config):
    """0.05 as float32 is 0.050000000745."""
    beyond = 5.0 * BOUNDS * [1, 1, 1, 0, 0, 0, 1]
    for seed in range(5):
        model = Network(seed)
        config = type(config)(**{**vars(config), 'seed': seed})
        found = plan(model, None, None, model.goal(beyond), config)
        assert (np.abs(found.actions) <= BOUNDS).all()
        assert np.isclose(np.abs(found.actions[0]), BOUNDS, rtol=0.15).any()
        still = plan(model, None, None, model.goal(0.0 * BOUNDS), config)
        for commands in (to_command(found.actions), to_command(still.actions)):
            assert not np.signbit(commands[commands == 0.0]).any()


@pytest.mark.parametrize('share', [1.0, 0.5], ids=['model', 'narrowed'])
def test_a_step_counts_in_the_probability_as_in_the_fit(share):
    """By its length in units of the longest that the model knows, whatever settings allow."""
    weights = [0.0] * len(FEATURES)
    weights[FEATURES.index('step')] = 3.0
    fit = Fit('any', 'l1', (0.03, 0.2), 1.0, tuple(weights))
    model, config = Network(0), TrustRegionConfig(seed=0, bounds=tuple(share * BOUNDS))
    found = plan(model, None, None, model.goal(5.0 * BOUNDS), config, fit=fit)
    length = np.linalg.norm(found.actions[0, :3]) / np.linalg.norm(BOUNDS[:3])
    assert length > 0.3
    assert found.confidence == pytest.approx(1.0 / (1.0 + np.exp(-3.0 * length)))
    assert found.confidence_calibrated


class Slow(Network):
    """A rollout takes as long as the test says."""

    delay = 0.0

    def rollout(self, context, states, actions):
        time.sleep(self.delay)
        return super().rollout(context, states, actions)


def test_the_last_iteration_and_the_final_evaluation_count_as_time_too():
    model = Slow(0)
    model.delay = 0.1
    goal = model.goal(0.5 * BOUNDS)
    with pytest.raises(PlanTimeout, match='after 1 of 1'):
        plan(model, None, None, goal, TrustRegionConfig(iterations=1, time_limit=0.15))
    config = TrustRegionConfig(iterations=1, time_limit=0.15, best_effort=True)
    assert np.isfinite(plan(model, None, None, goal, config).actions).all()


@pytest.mark.parametrize('bad, name', [(0, 'the plan'), (-1, 'doing nothing')])
def test_an_energy_that_is_not_finite_is_named(bad, name):
    class Broken(Network):
        """Gives nan for one of the candidates of the final evaluation."""

        def rollout(self, context, states, actions):
            latents = super().rollout(context, states, actions)
            if len(actions) == 2:  # the mean, and doing nothing
                latents[bad] = torch.nan
            return latents

    model = Broken(0)
    with pytest.raises(NonFiniteEnergyError, match=f'the energy of {name} is inf'):
        plan(model, None, None, model.goal(0.5 * BOUNDS), CemConfig(samples=50, seed=0))


def test_a_plan_ends_between_batches_of_candidates():
    model, asked = Slow(0), []
    model.delay = 0.05

    def check_stop():
        asked.append(time.monotonic())
        if len(asked) == 4:
            raise KeyError('stopped')

    config = CemConfig(samples=16384, iterations=1)  # 64 batches
    with pytest.raises(KeyError, match='stopped'):
        plan(model, None, None, model.goal(0.5 * BOUNDS), config, check_stop=check_stop)
    with pytest.raises(PlanTimeout, match='after 0 of 1'):
        config = CemConfig(samples=16384, iterations=1, time_limit=0.2)
        plan(model, None, None, model.goal(0.5 * BOUNDS), config)


@pytest.mark.parametrize('kind', [CemConfig, TrustRegionConfig])
@pytest.mark.parametrize('horizon', [1, 4, 16])
def test_as_many_steps_are_predicted_between_two_checks_whatever_the_horizon(kind, horizon):
    class Counting(Network):
        """Knows what it predicted at once."""

        counts = ()

        def rollout(self, context, states, actions):
            self.counts = (*self.counts, actions.shape[0] * actions.shape[1])
            return super().rollout(context, states, actions)

    model = Counting(0)
    config = kind(samples=1000, iterations=1, horizon=horizon)
    plan(model, None, None, model.goal(0.5 * BOUNDS), config)
    assert max(model.counts) == 256


@pytest.mark.parametrize('kind', [CemConfig, TrustRegionConfig])
def test_candidates_are_evaluated_in_batches_and_come_out_as_if_at_once(kind, monkeypatch):
    model = Network(3)
    found = []
    for batch in (64, 10**6):
        monkeypatch.setattr('vjepa2_planner_ros.planning.search.BATCH', batch)
        config = kind(samples=300, iterations=2, seed=0)
        found.append(plan(model, None, None, model.goal(0.5 * BOUNDS), config))
    np.testing.assert_allclose(found[0].actions, found[1].actions, atol=1e-6)
    assert found[0].confidence == pytest.approx(found[1].confidence, abs=1e-4)
