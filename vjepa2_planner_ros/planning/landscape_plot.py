# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Energy landscapes as heat maps."""

from __future__ import annotations

from functools import partial
import textwrap
from typing import Any, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .actions import AXES, UNITS
from .landscape import Landscape

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

PANEL = (5.6, 4.6)  # inches
DPI = 100
COLOURS = 'viridis'  # also of the points and slices in 3D
CONTOURS = 10
TITLE = 62  # characters in a line of the title, for each panel


def draw(landscape: Landscape, dpi: int = DPI) -> NDArray[np.uint8]:
    """Return draw_figure of a Landscape as a picture, uint8 [H, W, 3] RGB."""
    canvas: Any = draw_figure(landscape, dpi).canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def draw_figure(landscape: Landscape, dpi: int = DPI) -> Figure:
    """
    Return a Figure: a heat map of each pair of axes, through the minimum.

    With contour lines and colour bar; the minimum, doing nothing and the command are marked. The
    legend says which of the latter two are projected onto the maps, because they differ on other
    axes, and which are outside the maps and not drawn.
    """
    # Not pyplot: it has a global state, and this is called on any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    slices = list(landscape.slices())
    figure = Figure((PANEL[0] * len(slices), PANEL[1]), dpi=dpi, layout='constrained')
    FigureCanvasAgg(figure)
    low, high = landscape.minimum, float(np.nanmax(landscape.energies))
    for panel, (first, second, energies) in zip(
        figure.subplots(1, len(slices), squeeze=False)[0], slices
    ):
        image = _panel(panel, landscape, (first, second), energies, low, high)
        _mark_all(panel, landscape, (first, second))
    figure.colorbar(image, ax=figure.axes, label='energy (lower is nearer to the goal)')
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(),
        loc='outside lower center',
        ncols=3,
        fontsize='x-small',
        markerscale=0.8,
        columnspacing=1.0,
        facecolor='lightgrey',
    )
    figure.suptitle(textwrap.fill(_title(landscape), TITLE * len(slices)), fontsize='medium')
    return figure


def _panel(
    panel: Axes,
    landscape: Landscape,
    pair: tuple[int, int],
    energies: NDArray[np.float32],
    low: float,
    high: float,
) -> QuadMesh:
    x, y = (landscape.grid.values[i] for i in pair)
    image = panel.pcolormesh(
        x, y, energies.T, shading='nearest', cmap=COLOURS, vmin=low, vmax=high
    )
    if high > low:
        lines = panel.contour(
            x,
            y,
            energies.T,
            levels=np.linspace(low, high, CONTOURS + 2)[1:-1],
            colors='white',
            linewidths=0.7,
            alpha=0.8,
        )
        panel.clabel(lines, fontsize='x-small', fmt='%.3f')
    x_label, y_label = (_label(landscape.grid.axes[i]) for i in pair)
    # The cells at the edge reach half a cell beyond the bounds.
    panel.set(xlabel=x_label, ylabel=y_label, xlim=x[[0, -1]], ylim=y[[0, -1]])
    return image


def _label(axis: str) -> str:
    return f'{axis} [{UNITS[axis]}]' if UNITS[axis] else f'{axis} (-1 close .. +1 open)'


def _mark_all(panel: Axes, landscape: Landscape, pair: tuple[int, int]) -> None:
    from matplotlib.patheffects import withStroke

    mark = partial(_mark_step, panel, landscape, pair)
    # From the largest to the smallest: none hides another. White shows on dark cells, black on
    # bright ones.
    mark(
        'doing nothing',
        landscape.start_energy,
        np.zeros(len(AXES)),
        'o',
        markerfacecolor='none',
        markeredgecolor='white',
        markersize=18,
        markeredgewidth=1.5,
        path_effects=[withStroke(linewidth=4, foreground='black')],
    )
    mark(
        'minimum',
        landscape.minimum,
        landscape.minimum_command,
        '*',
        color='red',
        markeredgecolor='white',
        markersize=15,
    )
    if landscape.command is not None:
        mark(
            'command',
            landscape.command_energy,
            landscape.command,
            'X',
            color='orange',
            markeredgecolor='black',
            markersize=8,
        )


def _mark_step(
    panel: Axes,
    landscape: Landscape,
    pair: tuple[int, int],
    name: str,
    energy: float,
    step: NDArray[np.float64],
    marker: str,
    **style: Any,
) -> None:
    """Mark a step [7] in a panel; outside of it, only in the legend."""
    where = landscape.place(step)
    entries = [AXES.index(landscape.grid.axes[i]) for i in pair]
    at = np.full(2, np.nan) if where == 'outside' else step[entries]
    label = f'{name}: {energy:.4f}' + (f' ({where})' if where else '')
    panel.plot(*at, marker, clip_on=False, label=label, **style)  # whole also at the edge


def _title(landscape: Landscape) -> str:
    grid = landscape.grid
    fixed = [
        f'{axis} {value:+.3g} {UNITS[axis]}'.rstrip()
        for axis, value in zip(AXES, grid.offset)
        if axis not in grid.axes and value
    ]
    title = 'Energy of one step' + (f' with {", ".join(fixed)}' if fixed else '')
    if len(grid.axes) == 2:
        return title
    through = [
        f'{axis} {values[at]:+.3g} {UNITS[axis]}'.rstrip()
        for axis, values, at in zip(grid.axes, grid.values, landscape.lowest)
    ]
    return f'{title}, through the minimum at {", ".join(through)}'
