# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The chart that `plan --follow` draws."""

import io

import pytest
from vjepa2_interfaces.msg import SearchIteration
from vjepa2_planner_ros.cli.chart import chart, FollowChart, HEIGHT, PLAIN, WIDTH


def iterations(energies, total=None):
    """Return CemIterations with these mean energies of the elites, narrowing by half."""
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


def columns(lines):
    """Return how many eighths each column of the energies is high."""
    rows = [line.partition('|')[2] for line in lines[1 : 1 + HEIGHT]]
    return [sum(' ▁▂▃▄▅▆▇█'.index(mark) for mark in column) for column in zip(*rows)]


def test_columns_are_as_high_as_the_energies():
    lines = chart(iterations([0.5, 0.3, 0.2, 0.1]))
    assert columns(lines) == [number for height in (48, 24, 12, 1) for number in [height] * 4]
    assert lines[1].startswith('  0.50000 |') and lines[HEIGHT].startswith('  0.10000 |')
    assert lines[HEIGHT + 1].startswith('iteration 4 / 4   best 0.10000')


def test_only_axes_that_are_searched_are_shown_and_how_they_narrow():
    narrowing = chart(iterations([0.5, 0.3, 0.2]))[HEIGHT + 2 :]
    assert narrowing == ['        x |█▄▂| +0.0100 +- 0.0050 m']


@pytest.mark.parametrize('count', (1, 7, 44, 100))
def test_it_fits_a_terminal(count):
    lines = chart(iterations([1.0 / number for number in range(1, count + 1)]))
    assert max(map(len, lines)) <= 80 and len(lines) == HEIGHT + 3
    assert max(len(columns(lines)), WIDTH) == WIDTH


def test_a_long_plan_is_drawn_from_its_beginning():
    # It converges early, as plans do: the last 44 iterations alone are flat and have no width.
    plan = iterations([max(1.0 - number / 50.0, 0.0) for number in range(100)])
    for item in plan[56:]:
        item.std[0] = 0.0
    lines = chart(plan)
    drawn = columns(lines)
    assert len(drawn) == WIDTH and drawn[0] == 48 and drawn[-1] == 1
    assert drawn == sorted(drawn, reverse=True) and 20 <= drawn[11] <= 28
    assert lines[HEIGHT + 2].startswith('        x |█')
    # What has been drawn stays where it is: the plan goes on to the right of it.
    assert [len(columns(chart(plan[:count]))) for count in (1, 25, 50, 75)] == [1, 11, 22, 33]


def test_after_the_end_another_chart_begins():
    stream = io.StringIO()
    follow = FollowChart(stream)
    for energies in ([0.5, 0.3], [0.2, 0.1, 0.1]):
        for item in iterations(energies):
            follow.add(item)
        follow.close()
    follow.close()
    assert [line[:15] for line in stream.getvalue().splitlines() if line[:9] == 'iteration'] == [
        'iteration 2 / 2',
        'iteration 3 / 3',
    ]


def test_equal_energies_are_a_chart_too():
    assert set(columns(chart(iterations([0.2, 0.2])))) == {1}


def test_without_unicode():
    assert all(line.isascii() for line in chart(iterations([0.5, 0.3, 0.1]), PLAIN))
