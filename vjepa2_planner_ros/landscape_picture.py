# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Energy landscapes as heat maps."""

import numpy as np

from .landscape import AXES, UNITS

PANEL = (5.6, 4.6)  # inches
DPI = 100
COLOURS = 'viridis'  # also of the points and slices in 3D
CONTOURS = 10


def draw(landscape, dpi=DPI):
    """
    Return a picture, uint8 [H, W, 3] RGB: a heat map of each pair of axes, through the minimum.

    With contour lines and colour bar; the minimum, doing nothing and the command are marked, the
    latter two projected onto the pair.
    """
    # Not pyplot: it has a global state, and this is called on any thread.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    slices = list(landscape.slices())
    figure = Figure((PANEL[0] * len(slices), PANEL[1]), dpi=dpi, layout='constrained')
    canvas = FigureCanvasAgg(figure)
    low, high = np.nanmin(landscape.energies), np.nanmax(landscape.energies)
    for panel, (first, second, energies) in zip(figure.subplots(1, len(slices), squeeze=False)[0],
                                                slices):
        image = _panel(panel, landscape, (first, second), energies, low, high)
        _mark(panel, landscape, (first, second))
    figure.colorbar(image, ax=figure.axes, label='energy (lower is nearer to the goal)')
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc='outside lower center',
                  ncols=3, fontsize='small', facecolor='lightgrey')
    figure.suptitle(_title(landscape), fontsize='medium')
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _panel(panel, landscape, pair, energies, low, high):
    x, y = (landscape.grid.values[i] for i in pair)
    image = panel.pcolormesh(x, y, energies.T, shading='nearest', cmap=COLOURS, vmin=low,
                             vmax=high)
    if high > low:
        lines = panel.contour(x, y, energies.T, levels=np.linspace(low, high, CONTOURS + 2)[1:-1],
                              colors='white', linewidths=0.7, alpha=0.8)
        panel.clabel(lines, fontsize='x-small', fmt='%.3f')
    for label, i in zip((panel.set_xlabel, panel.set_ylabel), pair):
        axis = landscape.grid.axes[i]
        label(f'{axis} [{UNITS[axis]}]' if UNITS[axis] else f'{axis} (-1 close .. +1 open)')
    return image


def _mark(panel, landscape, pair):
    entries = [AXES.index(landscape.grid.axes[i]) for i in pair]
    panel.plot(0.0, 0.0, 'o', markerfacecolor='none', markeredgecolor='white', markersize=9,
               label=f'doing nothing: {landscape.start_energy:.4f}')
    panel.plot(*landscape.minimum_command[entries], '*', color='red', markeredgecolor='white',
               markersize=15, label=f'minimum: {landscape.minimum:.4f}')
    if landscape.command is not None:
        panel.plot(*landscape.command[entries], 'X', color='orange', markeredgecolor='black',
                   markersize=10, label=f'command: {landscape.command_energy:.4f}')


def _title(landscape):
    grid = landscape.grid
    fixed = [f'{axis} {value:+.3g} {UNITS[axis]}'.rstrip() for axis, value in
             zip(AXES, grid.offset) if axis not in grid.axes and value]
    if len(grid.axes) == 3:
        fixed += [f'{axis} {values[at]:+.3g} {UNITS[axis]}'.rstrip() for axis, values, at in
                  zip(grid.axes, grid.values, landscape.lowest)]
        return f'Energy of one step, through the minimum at {", ".join(fixed)}'
    return 'Energy of one step' + (f' with {", ".join(fixed)}' if fixed else '')
