# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A search as a small chart in the terminal, drawn again after each iteration."""

from statistics import fmean

from ..messages.results import AXES

BLOCKS, PLAIN = ' ▁▂▃▄▅▆▇█', ' .:-=+*#@'
HEIGHT = 6  # lines of the chart of energies
WIDTH = 44  # columns at most, several iterations in each of longer plans; a terminal has 80


class FollowChart:
    """
    Draws SearchIteration messages into a text stream.

    In a terminal the chart is drawn in place; elsewhere once, when close() is called. After that
    the next iteration begins another chart.
    """

    def __init__(self, stream):
        self._stream = stream
        self._iterations = []
        self._lines = 0  # of the terminal that the chart takes now
        encoding = stream.encoding or 'ascii'
        self._blocks = BLOCKS if encoding.lower().startswith('utf') else PLAIN

    def add(self, iteration):
        """Draw with one more iteration."""
        self._iterations.append(iteration)
        if self._stream.isatty():
            self._draw()

    def close(self):
        """End the chart; draw it where that has not been done yet."""
        if self._iterations and not self._stream.isatty():
            self._draw()
        self._iterations, self._lines = [], 0

    def _draw(self):
        lines = chart(self._iterations, self._blocks)
        back = f'\x1b[{self._lines}F\x1b[J' if self._lines else ''
        self._stream.write(back + '\n'.join(lines) + '\n')
        self._stream.flush()
        self._lines = len(lines)


def chart(iterations, blocks=BLOCKS) -> list:
    """
    Return the lines of a chart of SearchIteration messages.

    Columns: mean energy of the elites, iteration by iteration, or the mean of some where there
    are more than columns. Below: how the distribution narrows along each axis, relative to its
    widest.
    """
    last = iterations[-1]
    values = _columns(iterations, [item.energy_elite_mean for item in iterations])
    low, high = min(item.energy_best for item in iterations), max(values)
    eighths = [_level(value - low, high - low, 8 * HEIGHT) for value in values]
    wide = max(1, min(4, WIDTH // last.iterations_total))
    rows = [
        ''.join(blocks[min(max(level - 8 * row, 0), 8)] * wide for level in eighths)
        for row in reversed(range(HEIGHT))
    ]
    labels = [f'{high:9.5f}', *[' ' * 9] * (HEIGHT - 2), f'{low:9.5f}']
    return [
        'elites, mean energy by iteration',
        *(f'{label} |{row}' for label, row in zip(labels, rows)),
        f'iteration {last.iteration} / {last.iterations_total}   best '
        f'{last.energy_best:.5f}   elites {last.energy_elite_mean:.5f} +- '
        f'{last.energy_elite_std:.5f}   {last.elapsed:.2f} s',
        *_narrowing(iterations, blocks),
    ]


def _columns(iterations, values):
    """Return the mean of the iterations' values in each column."""
    total = iterations[-1].iterations_total
    columns = {}
    for item, value in zip(iterations, values):
        columns.setdefault((item.iteration - 1) * min(WIDTH, total) // total, []).append(value)
    return [fmean(some) for some in columns.values()]


def _narrowing(iterations, blocks):
    lines = []
    for axis, (name, unit) in enumerate(AXES):
        widths = _columns(iterations, [item.std[axis] for item in iterations])
        if max(widths) > 0.0:
            line = ''.join(blocks[_level(width, max(widths), 8)] for width in widths)
            where = f'{iterations[-1].mean[axis]:+.4f} +- {iterations[-1].std[axis]:.4f}'
            lines.append(f'{name:>9} |{line}| {where}{f" {unit}" if axis < 6 else ""}')
    return lines


def _level(value, full, levels):
    """Return a value as 1 to levels; a bar is never invisible."""
    return max(1, round(levels * value / full)) if full > 0.0 else 1
