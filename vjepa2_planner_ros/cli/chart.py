# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A search as a chart in the terminal, drawn again after each iteration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

import plotext
from vjepa2_interfaces.action import PlanAction
from vjepa2_interfaces.msg import SearchIteration

from ..planning.actions import AXES

WIDTH, HEIGHT = 78, 12  # columns and lines of the chart; a terminal has 80 and 24


class FollowChart:
    """
    Draws a search into a text stream.

    In a terminal the chart is drawn in place; elsewhere once, when close() is called. After that
    the next iteration begins another chart.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._iterations: list[SearchIteration] = []
        self._lines = 0  # of the terminal that the chart takes now

    def on_feedback(self, feedback: PlanAction.Feedback) -> None:
        """Draw with one more iteration, if there is one in the feedback."""
        if feedback.phase == PlanAction.Feedback.OPTIMIZING:
            self._iterations.append(feedback.iteration)
            if self._stream.isatty():
                self._draw()

    def close(self) -> None:
        """End the chart; draw it where that has not been done yet."""
        if self._iterations and not self._stream.isatty():
            self._draw()
        self._iterations, self._lines = [], 0

    def _draw(self):
        lines = chart(self._iterations)
        back = f'\x1b[{self._lines}F\x1b[J' if self._lines else ''
        self._stream.write(back + '\n'.join(lines) + '\n')
        self._stream.flush()
        self._lines = len(lines)


def chart(iterations: Sequence[SearchIteration]) -> list[str]:
    """
    Return the lines of a chart: energies over the iterations, and where the search is by now.

    Below the energies a line for each axis that is searched: mean and standard deviation of the
    distribution, and how wide that is of the widest so far.
    """
    last = iterations[-1]
    numbers = [item.iteration for item in iterations]
    plotext.clear_figure()
    plotext.theme('clear')  # without colours
    plotext.plot_size(WIDTH, HEIGHT)
    plotext.plot(numbers, [item.energy_elite_mean for item in iterations], label='elites, mean')
    plotext.plot(
        numbers, [item.energy_best for item in iterations], marker='braille', label='best so far'
    )
    plotext.xlim(1, max(last.iterations_total, 2))
    plotext.xticks(range(1, last.iterations_total + 1, 1 + last.iterations_total // 12))
    picture = plotext.uncolorize(plotext.build())
    return [
        *(line.rstrip() for line in picture.splitlines()),
        f'iteration {last.iteration} / {last.iterations_total}   best {last.energy_best:.5f}   '
        f'elites {last.energy_elite_mean:.5f} +- {last.energy_elite_std:.5f}   '
        f'{last.elapsed:.2f} s',
        *_narrowing(iterations),
    ]


def _narrowing(iterations):
    last = iterations[-1]
    for axis, name in enumerate(AXES):
        widest = max(item.std[axis] for item in iterations)
        if widest > 0.0:
            yield (
                f'{name:>9} {last.mean[axis]:+.4f} +- {last.std[axis]:.4f}, '
                f'{last.std[axis] / widest:.0%} of the widest'
            )
