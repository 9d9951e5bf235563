# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
From the rows of a study to figures, and from figures to answers in words.

Every threshold is here, with what to do next; none is known for every arm: they are guesses that
docs/validate.md explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibrate import align, check_view, NotCalibrated
from .measures import action_score, cosine, Estimate, estimate, rank_correlation
from .study import Inferred, Predicted, Study
from ..planning.actions import AXES

Numbers = NDArray[np.float64]
GOOD, WEAK, BAD, UNKNOWN = 'good', 'weak', 'bad', 'unknown'
SEES = (0.8, 0.5)  # rank correlation of energy and distance along drives
HEEDS = (1.3, 1.1)  # shuffled action's error over the true one's; at 1.1 actions are ignored
TURNED = (5.0, 15.0)  # degrees
TRUSTED = (0.5, 0.8)  # median error over the median motion, of an axis
REACHED = 0.8  # share of plans that lead nearer
DISTANCES = (0.0, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.50)  # m, bins of goals
FEWEST = 8  # plans in a bin
SCALES = (100.0,) * 3 + (180.0 / np.pi,) * 3 + (1.0,)  # cm, degrees, closedness
MOVED = (0.005,) * 3 + (0.02,) * 3 + (0.05,)  # m, rad, closedness: motion that can be judged


@dataclass(frozen=True)
class Verdict:
    """The answer to a user's question."""

    question: str
    grade: str  # GOOD, WEAK, BAD or UNKNOWN
    answer: str  # with the figure and its threshold
    advice: str = ''  # what to do next

    def __str__(self) -> str:
        return f'{self.question} {self.grade.upper()}: {self.answer}. {self.advice}'.rstrip()


def figures(study: Study) -> dict[str, Any]:
    """Return every figure by name; Estimates, or lists of them by axis."""
    found: dict[str, Any] = {}
    for steps, inferred in study.inferred.items():
        found[f'steps_{steps}'] = inferred_figures(inferred)
    predicted = study.predicted
    if predicted is not None and len(predicted.error):
        pairs = np.stack([predicted.shuffled, predicted.error, predicted.copied], 1)
        groups = predicted.groups
        found['prediction'] = {
            'error': estimate(predicted.error, groups),
            'shuffle_ratio': estimate(pairs, groups, lambda v: v[:, 0].mean() / v[:, 1].mean()),
            'copy_ratio': estimate(pairs, groups, lambda v: v[:, 1].mean() / v[:, 2].mean()),
            'energy_rank': estimate(predicted.rank, groups),
            'landscape_spread': estimate(predicted.spread, groups),
        }
    correlations = [rank_correlation(drive.energy, drive.distance) for drive in study.drives]
    numbers = [drive.number for drive in study.drives]
    found['drives'] = estimate(np.array(correlations), numbers, lambda v: float(np.median(v)))
    if study.reached is not None and len(study.reached.plans):
        found['reach'] = reach_figures(study)
    return found


def inferred_figures(inferred: Inferred) -> dict[str, Any]:
    """Return action score, errors by axis in cm, degrees and closedness, and directions."""
    errors, true, groups = inferred.planned - inferred.true, inferred.true, inferred.groups
    scaled = np.abs(errors) * SCALES
    moved = np.linalg.norm(true[:, :3], axis=1) > MOVED[0]
    directions = np.where(moved, cosine(inferred.planned[:, :3], true[:, :3]), np.nan)
    return {
        'action_score': estimate(action_score(errors[:, :3]), groups),
        'error_cm': estimate(100.0 * np.linalg.norm(errors[:, :3], axis=1), groups, _median),
        'error': {axis: estimate(scaled[:, i], groups, _median) for i, axis in enumerate(AXES)},
        'motion': {
            axis: estimate(np.abs(true[:, i]) * SCALES[i], groups, _median)
            for i, axis in enumerate(AXES)
        },
        'direction_cosine': estimate(directions, groups),
        'seconds': estimate(inferred.seconds, groups, _median),
    }


def reach_figures(study: Study) -> dict[str, Any]:
    """Return the share of plans that lead nearer, by the distance of the goal."""
    reached = study.reached
    assert reached is not None
    groups = np.array(reached.groups)
    bins = []
    for low, high in zip(DISTANCES, DISTANCES[1:]):
        chosen = (reached.before > low) & (reached.before <= high)
        if chosen.sum() >= FEWEST:
            share = estimate(reached.nearer[chosen], groups[chosen].tolist())
            bins.append({'from': low, 'to': high, 'count': int(chosen.sum()), 'nearer': share})
    return {'nearer': estimate(reached.nearer, groups.tolist()), 'by_distance': bins}


def _median(values: Numbers) -> float:
    return float(np.median(values))


def verdicts(study: Study, found: Mapping[str, Any]) -> list[Verdict]:
    """Return the answers to what users ask."""
    return [
        _sees(found['drives']),
        _heeds(found.get('prediction'), study.predicted),
        _angle(study.inferred.get(1), study.bounds),
        _axes(study.inferred.get(1), study.axes),
        _how_far(found.get('reach')),
    ]


def _grade(value: float, thresholds: tuple[float, float], high_is_good: bool = True) -> str:
    if not np.isfinite(value):
        return UNKNOWN
    good, weak = thresholds
    if not high_is_good:
        value, good, weak = -value, -good, -weak
    return GOOD if value >= good else WEAK if value >= weak else BAD


def _sees(correlation: Estimate) -> Verdict:
    question = 'Does the model see the arm?'
    grade = _grade(correlation.value, SEES)
    if grade == UNKNOWN:
        answer = 'no drive has three frames or more, between which arm and energy change'
        return Verdict(question, grade, answer, 'Record longer, while the arm moves.')
    return Verdict(
        question,
        grade,
        f'along drives the energy follows the distance with a rank correlation of {correlation} '
        f'({SEES[0]:g} or more is good, below {SEES[1]:g} bad)',
        ''
        if grade == GOOD
        else 'Let arm and object fill more of the picture (crop, or a nearer camera), see that '
        'nothing hides the gripper, and that the light stays the same.',
    )


def _heeds(prediction: Mapping[str, Estimate] | None, predicted: Predicted | None) -> Verdict:
    question = 'Does it use the actions?'
    if prediction is None or predicted is None or len(predicted.error) < FEWEST:
        return Verdict(question, UNKNOWN, 'too few windows of one step', 'Record longer.')
    ratio, copying = prediction['shuffle_ratio'], prediction['copy_ratio']
    grade = _grade(ratio.value, HEEDS)
    return Verdict(
        question,
        grade,
        f'with the actions of other steps its error is {ratio} times as large ({HEEDS[0]:g} or '
        f'more is good, {HEEDS[1]:g} or less means that it ignores them); it errs {copying} times '
        'as much as a copy of the picture',
        ''
        if grade == GOOD
        else 'Check units and frames of states with --check-only and record larger motions; if '
        'that is right, fine-tune on your data.',
    )


def _angle(inferred: Inferred | None, bounds: Sequence[float]) -> Verdict:
    question = "Is the camera's angle good?"
    rows = None if inferred is None else _moving(inferred, bounds)
    if inferred is None or rows is None or rows.sum() < 20:
        return Verdict(question, UNKNOWN, 'too few steps with motion', 'Record random motion.')
    groups = np.array(inferred.groups)[rows].tolist()
    found = align(inferred.planned[rows, :3], inferred.true[rows, :3], groups)
    turn, (low, high) = found.angles[2], found.interval
    answer = (
        f'the model takes motions for ones turned by {turn:+.0f} degrees ({low:+.0f} to '
        f'{high:+.0f}) about the vertical; turned back, {found.residual:.0%} of the motion stays '
        'unexplained'
    )
    try:
        check_view(found)
    except NotCalibrated as error:
        return Verdict(question, BAD, answer, f'{str(error)[:1].upper()}{str(error)[1:]}.')
    grade = _grade(abs(turn), TURNED, high_is_good=False)
    if grade == GOOD:
        return Verdict(question, grade, answer)
    return Verdict(question, grade, answer, 'Run calibrate on this recording, or move the camera.')


def _moving(inferred: Inferred, bounds: Sequence[float]) -> NDArray[np.bool_]:
    """Return which steps [W] have a direction and can be inferred, as calibrate takes them."""
    moved = inferred.true[:, :3]
    found: NDArray[np.bool_] = np.linalg.norm(moved, axis=1) > MOVED[0]
    return found & (np.abs(moved) <= bounds[:3]).all(axis=1)


def _axes(inferred: Inferred | None, searched: Sequence[str]) -> Verdict:
    question = 'Which axes can be trusted?'
    if inferred is None or not len(inferred.windows):
        return Verdict(question, UNKNOWN, 'no window of one step', 'Record longer.')
    parts: dict[str, dict[str, str]] = {GOOD: {}, WEAK: {}, BAD: {}, UNKNOWN: {}}
    for axis in searched:
        i = AXES.index(axis)
        true = inferred.true[:, i]
        rows = np.abs(true) > MOVED[i]
        share = np.nan
        if rows.sum() >= FEWEST:
            error = np.abs(inferred.planned[rows, i] - true[rows])
            share = float(np.median(error) / np.median(np.abs(true[rows])))
        text = axis if np.isnan(share) else f'{axis} ({share:.2f})'
        parts[_grade(share, TRUSTED, high_is_good=False)][axis] = text
    named = [f'{grade}: {", ".join(row.values())}' for grade, row in parts.items() if row]
    others = [axis for axis in AXES if axis not in searched]
    named += [f'not searched: {", ".join(others)}'] if others else []
    grade = GOOD if not (parts[WEAK] or parts[BAD]) else WEAK
    if parts[BAD] and not parts[GOOD]:
        grade = BAD
    if not (parts[GOOD] or parts[WEAK] or parts[BAD]):
        grade = UNKNOWN
    return Verdict(
        question,
        grade,
        'median error as a share of the median motion, '
        + '; '.join(named)
        + f' ({TRUSTED[0]:g} or less is good, above {TRUSTED[1]:g} as bad as doing nothing)',
        ' '.join(
            f'{advice} {", ".join(parts[grade])}{reason}.'
            for grade, advice, reason in (
                (BAD, 'Leave out of search.axes:', ''),
                (WEAK, 'Expect inexact steps along', ''),
                (UNKNOWN, 'Record more motion along', f': fewer than {FEWEST} steps moved there'),
            )
            if parts[grade]
        ),
    )


def _how_far(reach: Mapping[str, Any] | None) -> Verdict:
    question = 'How far away may a goal be?'
    bins = [] if reach is None else reach['by_distance']
    if not bins:
        answer = f'at no distance are there {FEWEST} plans'
        return Verdict(question, UNKNOWN, answer, 'Record longer.')
    shares = ', '.join(
        f'{row["from"] * 100:.0f} to {row["to"] * 100:.0f} cm: {row["nearer"].value:.0%}'
        for row in bins
    )
    near = dropwhile(lambda row: not row['nearer'].value >= REACHED, bins)
    good = list(takewhile(lambda row: row['nearer'].value >= REACHED, near))
    answer = f'plans whose first step leads nearer, by distance, {shares}'
    if not good:
        return Verdict(
            question, BAD, answer, 'No distance can be trusted: see the questions above.'
        )
    from_, to = good[0]['from'], good[-1]['to']
    if good[-1] is bins[-1]:
        return Verdict(
            question,
            GOOD,
            f'{answer}; {REACHED:.0%} or more from {100 * from_:.0f} to {100 * to:.0f} cm, which '
            'is as far as this recording goes',
        )
    return Verdict(
        question,
        WEAK,
        f'{answer}; {REACHED:.0%} or more from {100 * from_:.0f} to {100 * to:.0f} cm',
        'Put sub-goals between.',
    )
