# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures against closed forms and other libraries."""

import numpy as np
import pytest
from vjepa2_planner_ros.learning.measures import (
    action_score,
    calibration_error,
    cosine,
    estimate,
    rank_correlation,
    reliability,
)


@pytest.mark.slow
def test_an_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        means = rng.normal(size=40)  # trajectories differ more than their windows
        values = np.repeat(means, 5) + 0.1 * rng.normal(size=200)
        found = estimate(values, np.repeat(np.arange(40), 5).tolist(), seed=trial)
        covered += found.low <= 0.0 <= found.high
        assert found.value == pytest.approx(values.mean())
    assert 86 <= covered <= 100


def test_one_trajectory_has_no_interval_and_no_data_no_figure():
    found = estimate(np.array([1.0, 2.0, np.nan]), [0, 0, 0])
    assert found.value == 1.5 and np.isnan(found.low) and np.isnan(found.high)
    assert str(found) == '1.5'
    assert np.isnan(estimate(np.array([]), []).value)


def test_the_action_score_of_the_paper():
    errors = np.array([[0.0, 0.0, 0.0], [0.05, 0.0, 0.0], [0.2, 0.2, 0.2], [10.0, 0.0, 0.0]])
    scores = action_score(errors)
    assert scores[0] == pytest.approx(80.0) and (np.diff(scores) <= 0.0).all()
    assert scores[3] == 0.0
    assert scores[1] == pytest.approx(800.0 * (0.1 - 0.05))


def test_directions_and_ranks():
    assert cosine(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])) == pytest.approx([0.5**0.5])
    distance = np.array([3.0, 2.0, 1.0, 0.0])
    assert rank_correlation(np.exp(distance), distance) == pytest.approx(1.0)
    assert rank_correlation(-distance, distance) == pytest.approx(-1.0)


def test_the_calibration_error_of_known_probabilities():
    rng = np.random.default_rng(0)
    probability = rng.uniform(size=200_000)
    happened = (rng.uniform(size=len(probability)) < probability).astype(float)
    assert calibration_error(probability, happened) < 0.005
    too_sure = np.clip(probability + 0.2, 0.0, 1.0)
    assert calibration_error(too_sure, happened) == pytest.approx(0.18, abs=0.01)
    rows = reliability(probability, happened, bins=5)
    np.testing.assert_allclose(rows[:, 0], [0.1, 0.3, 0.5, 0.7, 0.9], atol=0.01)
    np.testing.assert_allclose(rows[:, 1], rows[:, 0], atol=0.01)
    assert rows[:, 2].sum() == len(probability)
