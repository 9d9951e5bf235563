# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From what plans led to on recorded data to the probability that the next one leads nearer.

Logistic regression on planning.confidence.FEATURES; the rows it is judged on are of stretches of
trajectories (see windows.GROUP) that it was not fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .measures import calibration_error, reliability
from .study import Reached, usual_error
from ..planning.confidence import features, Fit

Numbers = NDArray[np.float64]
FEWEST = 100  # windows for a fit
NEAR = 0.01, 0.03  # m from the goal
FEWEST_NEAR = 20  # windows for a near_energy
RIDGE = 0.001  # of the squared weights, a window; keeps them finite where classes part cleanly
FOLDS = 5


def fit_confidence(
    model: str,
    cost: str,
    bounds: Sequence[float],
    error: Numbers,
    change: Numbers,
    reached: Reached,
) -> Fit:
    """
    Return the Fit of a model, with its calibration error on stretches left out.

    :param error, change: [n] of single steps, see planning.confidence.StepError.
    ValueError: there are too few windows, or all of them ended alike.
    """
    count, nearer = len(reached.plans), reached.nearer
    if count < FEWEST or not 0.05 < nearer.mean() < 0.95:
        raise ValueError(
            f'{count} windows, of which {int(nearer.sum())} led nearer: allowed: {FEWEST} or '
            'more, of which 5 to 95 % lead nearer; record more, with goals near and far'
        )
    unit = float(np.median(error))
    rows = design(reached, unit, bounds)
    _, groups = np.unique(reached.groups, return_inverse=True)
    held_out = np.full(count, np.nan)
    for fold in range(FOLDS):
        test = groups % FOLDS == fold
        if test.any() and not test.all():
            held_out[test] = _odds(rows[test], _logistic(rows[~test], nearer[~test]))
    judged = np.isfinite(held_out)
    figures = {
        'windows': count,
        'stretches': int(groups.max()) + 1,
        'calibration_error': round(calibration_error(held_out[judged], nearer[judged]), 4),
        'reliability': np.round(reliability(held_out[judged], nearer[judged]), 3).tolist(),
    }
    weights = tuple(map(float, _logistic(rows, nearer)))
    usual = usual_error(error, change)
    return Fit(model, cost, usual, unit, weights, figures, near_energy(reached))


def near_energy(reached: Reached) -> float:
    """Return the median energy of what is NEAR its goal; 0 where too little is."""
    near = (reached.before >= NEAR[0]) & (reached.before <= NEAR[1])
    energies = [plan.start_energy for plan, is_near in zip(reached.plans, near) if is_near]
    return float(np.median(energies)) if len(energies) >= FEWEST_NEAR else 0.0


def design(reached: Reached, unit: float, bounds: Sequence[float]) -> Numbers:
    """Return the features [W, F] of plans."""
    limits = np.asarray(bounds, dtype=np.float64)
    return np.array(
        [
            features(plan, unit, limits, surprises)
            for plan, surprises in zip(reached.plans, reached.surprises)
        ]
    )


def probabilities(fit: Fit, reached: Reached, bounds: Sequence[float]) -> Numbers:
    """Return what a Fit says of each plan [W]."""
    return _odds(design(reached, fit.unit, bounds), np.array(fit.weights))


def _odds(rows: Numbers, weights: Numbers) -> Numbers:
    found: Numbers = 1.0 / (1.0 + np.exp(-np.clip(rows @ weights, -50.0, 50.0)))
    return found


def _logistic(rows: Numbers, happened: Numbers, steps: int = 50) -> Numbers:
    """Return the weights [F] of a ridge-regularised logistic regression, by Newton's method."""
    scale = np.where(rows.std(0) > 0.0, rows.std(0), 1.0)
    scaled = rows / scale
    weights: Numbers = np.zeros(rows.shape[1])
    penalty = RIDGE * len(rows) * np.eye(len(weights))
    penalty[0, 0] = 1e-6
    for _ in range(steps):
        share = _odds(scaled, weights)
        curvature = (scaled * np.maximum(share * (1.0 - share), 1e-6)[:, None]).T @ scaled
        gradient = scaled.T @ (happened - share) - penalty @ weights
        step = np.linalg.solve(curvature + penalty, gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return weights / scale
