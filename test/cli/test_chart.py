# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The chart that `plan --follow` draws."""

import io

import pytest
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import SearchIteration
from vjepa2_planner_ros.cli.chart import chart, FollowChart

MARKS = '▀▄▚▞▌▐▖▗▘▝▙▛▜▟█'  # of the line of the elites


def iterations(energies, total=None):
    """Return SearchIterations with these mean energies of the elites, narrowing by half."""
    return [
        SearchIteration(
            iteration=number,
            iterations_total=total or len(energies),
            energy_best=min(energies),
            energy_elite_mean=energy,
            mean=[0.01] + [0.0] * 6,
            std=[0.04 / 2**number] + [0.0] * 6,
        )
        for number, energy in enumerate(energies, 1)
    ]


def test_energies_and_the_axes_that_are_searched_are_shown():
    *picture, status, narrowing = chart(iterations([0.5, 0.3, 0.2], total=4))
    # The energies fall: the further down, the further to the right a row begins.
    starts = [
        min(column for column, mark in enumerate(line) if mark in MARKS)
        for line in picture
        if set(line) & set(MARKS) and 'elites, mean' not in line
    ]
    assert len(starts) > 5 and starts == sorted(starts) and starts[-1] > starts[0] + 20
    assert 'elites, mean' in '\n'.join(picture)
    assert status.startswith('iteration 3 / 4   best 0.20000   elites 0.20000')
    assert narrowing == '        x +0.0100 +- 0.0050, 25% of the widest'


@pytest.mark.parametrize('count', (1, 7, 44, 100))
def test_it_fits_a_terminal(count):
    lines = chart(iterations([1.0 / number for number in range(1, count + 1)]))
    assert max(map(len, lines)) <= 80 and len(lines) < 24


def test_after_the_end_another_chart_begins():
    stream = io.StringIO()
    follow = FollowChart(stream)
    for energies in ([0.5, 0.3], [0.2, 0.2, 0.2]):
        for item in iterations(energies):
            follow.on_feedback(
                PlanAction.Feedback(phase=PlanAction.Feedback.OPTIMIZING, iteration=item)
            )
        follow.close()
    follow.close()
    assert [line[:15] for line in stream.getvalue().splitlines() if line[:9] == 'iteration'] == [
        'iteration 2 / 2',
        'iteration 3 / 3',
    ]
