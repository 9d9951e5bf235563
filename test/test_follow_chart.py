# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The chart that `plan --follow` draws."""

import pytest
from vjepa2_interfaces.msg import CemIteration
from vjepa2_planner_ros.follow_chart import chart, HEIGHT, PLAIN, WIDTH


def iterations(energies, total=None):
    """Return CemIterations with these mean energies of the elites, narrowing by half."""
    return [CemIteration(
        iteration=number, iterations_total=total or len(energies), energy_best=min(energies),
        energy_elite_mean=energy, mean=[0.01] + [0.0] * 6, std=[0.04 / 2 ** number] + [0.0] * 6)
        for number, energy in enumerate(energies, 1)]


def columns(lines):
    """Return how many eighths each column of the energies is high."""
    rows = [line.partition('|')[2] for line in lines[1:1 + HEIGHT]]
    return [sum(' ▁▂▃▄▅▆▇█'.index(mark) for mark in column) for column in zip(*rows)]


def test_columns_are_as_high_as_the_energies():
    lines = chart(iterations([0.5, 0.3, 0.2, 0.1]))
    assert columns(lines) == [number for height in (48, 24, 12, 1) for number in [height] * 4]
    assert lines[1].startswith('  0.50000 |') and lines[HEIGHT].startswith('  0.10000 |')
    assert lines[HEIGHT + 1].startswith('iteration 4 / 4   best 0.10000')


def test_only_axes_that_are_searched_are_shown_and_how_they_narrow():
    narrowing = chart(iterations([0.5, 0.3, 0.2]))[HEIGHT + 2:]
    assert narrowing == ['        x |█▄▂| +0.0100 +- 0.0050 m']


@pytest.mark.parametrize('count', (1, 7, 44, 100))
def test_it_fits_a_terminal(count):
    lines = chart(iterations([1.0 / number for number in range(1, count + 1)]))
    assert max(map(len, lines)) <= 80 and len(lines) == HEIGHT + 3
    assert max(len(columns(lines)), WIDTH) == WIDTH


def test_equal_energies_are_a_chart_too():
    assert set(columns(chart(iterations([0.2, 0.2])))) == {1}


def test_without_unicode():
    assert all(line.isascii() for line in chart(iterations([0.5, 0.3, 0.1]), PLAIN))
