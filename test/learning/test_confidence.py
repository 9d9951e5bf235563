# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A fit finds the odds that data were drawn with, and what is usual for a model."""

from dataclasses import replace
import json

import numpy as np
import pytest
from vjepa2_planner_ros.learning.confidence import design, fit_confidence, probabilities
from vjepa2_planner_ros.learning.measures import calibration_error
from vjepa2_planner_ros.learning.study import Reached, usual_error
from vjepa2_planner_ros.planning.confidence import (
    find_fit,
    Fit,
    pose_distance,
    read_fit,
    StepError,
    write_fit,
)
from vjepa2_planner_ros.planning.search import Plan
from vjepa2_planner_ros.world_model.catalogue import model_spec

BOUNDS = (0.05, 0.05, 0.05, 0.15, 0.15, 0.15, 0.75)
UNIT = 0.1
WEIGHTS = np.array([-2.0, 1.5, 0.5, 2.0, 1.0, 0.5, 0.0, -3.0])


def errors(count=500, seed=0):
    """Return errors, 0.03 + 0.2 x the change give or take a quarter, and the changes."""
    rng = np.random.default_rng(seed)
    change = rng.uniform(0.0, 1.0, count)
    error = (0.03 + 0.2 * change) * np.exp(0.25 * rng.normal(size=count))
    return error, change


def reached(count, seed, weights=WEIGHTS):
    """Return plans of all sorts, and outcomes drawn with the odds of weights."""
    rng = np.random.default_rng(seed)
    plans, surprises = [], []
    for _ in range(count):
        start = UNIT * np.exp(rng.normal())
        energy = start * rng.uniform(0.2, 1.0)
        action = rng.uniform(-1.0, 1.0, (1, 7)) * BOUNDS
        plans.append(Plan(action, energy, start, 0.0, (), 0.0, agreement=rng.uniform()))
        surprises.append(list(np.exp(rng.normal(0.3, 0.5, rng.integers(7)))))
    groups = [number // 5 for number in range(count)]
    found = Reached(groups, plans, surprises, np.zeros(count), np.zeros(count))
    rows = design(found, UNIT, BOUNDS)
    odds = 1.0 / (1.0 + np.exp(-rows @ weights))
    led_nearer = rng.uniform(size=count) < odds
    return Reached(groups, plans, surprises, np.ones(count), 1.0 - 0.5 * led_nearer), odds


def test_the_odds_are_found():
    found, odds = reached(3000, 1)
    made = fit_confidence('any', 'l1', BOUNDS, *errors(), found)
    fresh, odds = reached(3000, 2)
    said = probabilities(made, fresh, BOUNDS)
    assert abs(said - odds).mean() < 0.03
    assert calibration_error(said, fresh.nearer) < 0.03
    assert made.figures['calibration_error'] < 0.03 and made.figures['windows'] == 3000


def test_the_energy_near_a_goal_is_the_median_of_those_1_to_3_cm_from_it():
    found, _ = reached(300, 1)
    before = np.repeat([0.005, 0.02, 0.05], 100)
    plans = [
        replace(plan, start_energy=energy)
        for plan, energy in zip(found.plans, [0.01] * 100 + [*range(101, 201)] + [999.0] * 100)
    ]
    found = replace(found, plans=plans, before=before, after=before - 0.01 * found.nearer)
    assert fit_confidence('any', 'l1', BOUNDS, *errors(), found).near_energy == 150.5
    few = replace(found, before=np.where(np.arange(300) < 281, 0.05, 0.02))
    assert fit_confidence('any', 'l1', BOUNDS, *errors(), few).near_energy == 0.0


def test_nothing_is_fitted_to_too_little():
    found, _ = reached(50, 1)
    with pytest.raises(ValueError, match='50 windows.*allowed: 100 or more'):
        fit_confidence('any', 'l1', BOUNDS, *errors(), found)
    always = np.array([50.0, *WEIGHTS[1:]])
    found, _ = reached(300, 1, always)
    with pytest.raises(ValueError, match='of which 300 led nearer'):
        fit_confidence('any', 'l1', BOUNDS, *errors(), found)


def test_the_usual_error_is_that_of_the_data():
    constant, slope = usual_error(*errors(5000))
    assert constant == pytest.approx(0.03, rel=0.1) and slope == pytest.approx(0.2, rel=0.1)
    made = Fit('any', 'l1', (constant, slope), UNIT, tuple(WEIGHTS))
    surprise = [made.surprise(StepError(*row)) for row in zip(*errors(5000, seed=1))]
    assert np.median(surprise) == pytest.approx(1.0, abs=0.03)
    assert made.surprise(StepError(3.0 * (0.03 + 0.2 * 0.5), 0.5)) == pytest.approx(3.0, rel=0.1)


def test_surprises_lower_the_confidence_the_more_of_them_there_are():
    made = Fit('any', 'l1', (0.03, 0.2), UNIT, tuple(WEIGHTS))
    plan = Plan(np.full((1, 7), 0.01), 0.05, 0.3, 0.0, (), 0.0, agreement=0.5)
    said = [made.probability(plan, np.array(BOUNDS), [2.0] * count) for count in range(4)]
    assert (np.diff(said) < 0.0).all() and all(0.0 < value < 1.0 for value in said)


def test_the_distance_of_poses_in_metres():
    zero = np.array([0.4, 0.0, 0.3, np.pi, 0.0, 0.1, 0.2])
    assert pose_distance(zero, zero + [0.03, 0.04, 0, 0, 0, 0, 0]) == pytest.approx(0.05)
    assert pose_distance(zero, zero + [0, 0, 0, 0, 0, 0.5, 0]) == pytest.approx(0.05)
    assert pose_distance(zero, zero + [0, 0, 0, 0, 0, 0, 0.5]) == pytest.approx(0.02)
    whole = zero + [0, 0, 0, 2 * np.pi, 0, 0, 0]
    assert pose_distance(zero, whole) == pytest.approx(0.0, abs=1e-9)


def test_a_fit_is_found_beside_the_weights_of_its_model_alone(tmp_path):
    made = Fit('any', 'l1', (0.03, 0.2), UNIT, tuple(WEIGHTS), {'windows': 3})
    write_fit(tmp_path / 'weights.fit.json', made)
    assert read_fit(tmp_path / 'weights.fit.json') == made
    for ending in ('safetensors', 'pth.tar', 'pth', 'pt', 'bin'):
        assert find_fit(tmp_path / f'weights.{ending}', 'any') == made
    assert find_fit(tmp_path / 'weights.safetensors', 'other') is None
    assert find_fit(tmp_path / 'others.safetensors', 'any') is None
    assert find_fit(tmp_path / 'weights.v2.safetensors', 'any') is None
    other = replace(made, unit=2 * UNIT)
    write_fit(tmp_path / 'weights.v2.fit.json', other)
    assert find_fit(tmp_path / 'weights.v2.safetensors', 'any') == other
    assert find_fit(tmp_path / 'weights.v2.pth.tar', 'any') == other
    assert find_fit(tmp_path / 'weights.pt', 'any') == made


def test_a_fit_from_before_near_energies_were_known_is_read(tmp_path):
    made = Fit('any', 'l1', (0.03, 0.2), UNIT, tuple(WEIGHTS), near_energy=0.2)
    write_fit(tmp_path / 'w.fit.json', made)
    values = json.loads((tmp_path / 'w.fit.json').read_text())
    del values['near_energy']
    (tmp_path / 'w.fit.json').write_text(json.dumps(values))
    assert read_fit(tmp_path / 'w.fit.json') == replace(made, near_energy=0.0)


@pytest.mark.parametrize('name', ['sim-panda-ac', 'sim-panda'])
def test_the_fits_of_the_shipped_weights_are_found(name):
    found = find_fit(model_spec(name).weights, name)
    assert found is not None and found.model == name


@pytest.mark.parametrize(
    'changes',
    [
        {'weights': [1.0]},
        {'weights': [float('nan')] * 8},
        {'unit': 0.0},
        {'unit': 'a'},
        {'near_energy': -1.0},
        {'near_energy': float('nan')},
        {'usual_error': 3},
        {'model': None, 'usual_error': []},
    ],
)
def test_a_damaged_fit_is_named(tmp_path, changes):
    write_fit(tmp_path / 'w.fit.json', Fit('any', 'l1', (0.03, 0.2), UNIT, tuple(WEIGHTS)))
    values = {**json.loads((tmp_path / 'w.fit.json').read_text()), **changes}
    (tmp_path / 'w.fit.json').write_text(json.dumps(values))
    with pytest.raises(
        ValueError, match='w.fit.json: allowed: a file that `validate --fit` wrote'
    ):
        read_fit(tmp_path / 'w.fit.json')
