# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Figures by which world models and plans are judged on recorded data.

Sources: action score, JEPA-WMs, arXiv 2512.24497; isotonic and logistic calibration and the
expected calibration error, Guo et al., arXiv 1706.04599.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

Numbers = NDArray[np.float64]
RESAMPLES = 1000
BINS = 10


@dataclass(frozen=True)
class Estimate:
    """
    A figure with its 95 % interval over trajectories.

    NaN where there is no data; with one trajectory there is no interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        interval = f' ({self.low:.3g} to {self.high:.3g})' if np.isfinite(self.low) else ''
        return f'{self.value:.3g}{interval}'


def estimate(
    values: Numbers,
    groups: Sequence[int],
    figure: Callable[[Numbers], float] = np.mean,
    seed: int = 0,
) -> Estimate:
    """
    Return figure(values) with a bootstrap interval.

    :param values: [n, ...], one row a window; those with NaN are left out.
    :param groups: [n], the trajectory (or stretch of one) of each: whole groups are drawn, as the
        windows of one are alike.
    """
    values = np.asarray(values, dtype=np.float64)
    good = np.isfinite(values).all(tuple(range(1, values.ndim)))
    values, names = values[good], np.asarray(groups)[good]
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan)
    members = [np.flatnonzero(names == name) for name in np.unique(names)]
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES if len(members) > 1 else 0):
        drawn = rng.integers(len(members), size=len(members))
        found.append(figure(values[np.concatenate([members[index] for index in drawn])]))
    usable = [number for number in found if np.isfinite(number)]
    low, high = np.percentile(usable, (2.5, 97.5)) if usable else (np.nan, np.nan)
    return Estimate(float(figure(values)), float(low), float(high))


def action_score(errors: Numbers) -> Numbers:
    """Return max(0, 800 (0.1 - L1 error)) of translation errors [n, 3] in m (JEPA-WMs)."""
    score: Numbers = np.maximum(0.0, 800.0 * (0.1 - np.abs(errors).sum(-1)))
    return score


def cosine(inferred: Numbers, true: Numbers) -> Numbers:
    """Return the cosine [n] between vectors [n, 3]; NaN where one is 0."""
    lengths = np.linalg.norm(inferred, axis=-1) * np.linalg.norm(true, axis=-1)
    with np.errstate(invalid='ignore', divide='ignore'):
        found: Numbers = np.where(lengths > 0.0, (inferred * true).sum(-1) / lengths, np.nan)
    return found


def rank_correlation(first: Numbers, second: Numbers) -> float:
    """Return Spearman's correlation of two rows; NaN if one is constant."""
    if len(first) < 3 or np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return float('nan')
    return float(spearmanr(first, second).statistic)


def reliability(probability: Numbers, happened: Numbers, bins: int = BINS) -> Numbers:
    """
    Return [rows, 3]: mean probability, share that happened, count, of bins with as many each.

    Bins of equal count, as confidences crowd near 0 and 1.
    """
    order = np.argsort(probability, kind='stable')
    parts = [part for part in np.array_split(order, min(bins, len(order))) if len(part)]
    return np.array(
        [[probability[part].mean(), happened[part].mean(), len(part)] for part in parts]
    )


def calibration_error(probability: Numbers, happened: Numbers, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean of |probability - share| over bins."""
    rows = reliability(probability, happened, bins)
    return float(np.average(np.abs(rows[:, 0] - rows[:, 1]), weights=rows[:, 2]))
