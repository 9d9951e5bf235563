# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A map and a surface of the energy over two axes, with candidates and marks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .charts import chart, COLOURS, layout, SCALE
from .landscapes import to_grid
from .layout import div
from .searches import Points
from ..planning.actions import AXES, UNITS
from ..planning.landscape import Landscape

ELITE, COMMAND, NOTHING = '#ff7f0e', '#d93025', '#8a94a0'
Traces = list[dict[str, Any]]


class LandscapePlots:
    """Two figures, which are updated in place."""

    def __init__(self, dark: bool):
        axis = {'gridcolor': COLOURS[dark]['grid'], 'color': COLOURS[dark]['text']}
        self._scene: dict[str, dict[str, Any]] = {
            'xaxis': {**axis},
            'yaxis': {**axis},
            'zaxis': {**axis, 'title': {'text': 'energy'}},
            'camera': {'eye': {'x': 1.6, 'y': -1.7, 'z': 1.0}, 'center': {'z': -0.15}},
        }
        around = {'range': [-0.1, 0.1]}
        self._flat: dict[str, Any] = {
            'data': [],
            'layout': layout(dark, showlegend=True, xaxis=around, yaxis=around),
        }
        self._deep: dict[str, Any] = {
            'data': [],
            'layout': layout(
                dark,
                margin={'l': 0, 'r': 0, 't': 0, 'b': 0},
                showlegend=False,
                uirevision='kept',  # the view that was turned to
                scene={**self._scene, 'aspectmode': 'cube'},
            ),
        }
        with div('grid two'):
            self._map = chart(self._flat, 'Energy over two axes, from above', 'plot tall')
            self._surface = chart(self._deep, 'Energy over two axes, to be turned', 'plot tall')

    def show(
        self,
        axes: tuple[str, str],
        found: Landscape | None,
        points: Points | None,
        command: NDArray[np.float64] | None,
    ) -> None:
        """Show a landscape, the candidates of an iteration, and the command, as far as known."""
        columns = (AXES.index(axes[0]), AXES.index(axes[1]))
        known = found is not None or points is not None
        flat, deep = _surfaces(found)
        if points is not None:
            flat += _candidates(points, columns, {'type': 'scatter'}, 7)
            deep += _candidates(points, columns, {'type': 'scatter3d'}, 3)
        for trace, energy in _marks(columns, found, command):
            flat.append({**trace, 'type': 'scatter'})
            if math.isfinite(energy):
                small = {**trace['marker'], 'size': 6}
                deep.append({**trace, 'type': 'scatter3d', 'z': [energy], 'marker': small})
        # Without a trace in three dimensions plotly would draw axes in two.
        deep = deep or [{'type': 'scatter3d', 'x': [], 'y': [], 'z': []}]
        self._flat['data'], self._deep['data'] = flat, deep
        for name, axis in zip(('xaxis', 'yaxis'), axes):
            title = {'text': f'{axis} [{UNITS[axis]}]' if UNITS[axis] else f'{axis} (+1 = open)'}
            self._flat['layout'][name].update(title=title, autorange=known)
            self._scene[name]['title'] = title
        self._map.update()
        self._surface.update()


def _surfaces(found: Landscape | None) -> tuple[Traces, Traces]:
    """Return the traces of a landscape on the map and as a surface."""
    if found is None:
        return [], []
    x, y, z = to_grid(found)
    both = {'x': x, 'y': y, 'z': z, 'colorscale': SCALE}
    contour = {
        **both,
        'type': 'contour',
        'name': 'energy',
        'ncontours': 16,
        'line': {'width': 0.6},
        'colorbar': {'title': {'text': 'energy'}, 'thickness': 12},
        'hovertemplate': '%{z:.4f}<extra></extra>',
    }
    return [contour], [{**both, 'type': 'surface', 'opacity': 0.9, 'showscale': False}]


def _candidates(
    points: Points, columns: tuple[int, int], kind: dict[str, str], size: int
) -> Traces:
    """Return the traces of candidates and elites."""
    traces = []
    for name, chosen, colour in (
        ('candidates', ~points.elite, None),
        ('elites', points.elite, ELITE),
    ):
        energies = _short(points.energies[chosen])
        trace: dict[str, Any] = {
            **kind,
            'x': _short(points.actions[chosen, columns[0]]),
            'y': _short(points.actions[chosen, columns[1]]),
            'mode': 'markers',
            'name': name,
            'text': [f'{energy:.4f}' for energy in energies],
            'hovertemplate': 'energy %{text}<extra></extra>',
            'marker': {
                'size': size,
                'opacity': 0.8,
                'color': colour or energies,
                'colorscale': SCALE,
                'line': {'color': '#fff', 'width': 0.6},
            },
        }
        if kind['type'] == 'scatter3d':
            trace['z'] = energies
        traces.append(trace)
    return traces


def _short(numbers: NDArray[np.float32]) -> list[float]:
    """Return numbers with few digits, for the browser."""
    return numbers.astype(np.float64).round(5).tolist()


def _marks(
    columns: tuple[int, int], found: Landscape | None, command: NDArray[np.float64] | None
) -> list[tuple[dict[str, Any], float]]:
    """Return (trace, energy or NaN) of what is marked."""
    still: NDArray[np.float64] = np.zeros(len(AXES))
    marks = [('doing nothing', still, NOTHING, found.start_energy if found else math.nan)]
    if command is not None:
        energy = found.command_energy if found is not None else math.nan
        marks.append(('command', command, COMMAND, energy))
    traces = []
    for name, place, colour, energy in marks:
        x, y = ([float(place[column])] for column in columns)
        line = {'color': '#fff', 'width': 2}
        marker = {'symbol': 'diamond', 'color': colour, 'line': line, 'size': 14}
        traces.append(
            ({'x': x, 'y': y, 'mode': 'markers', 'name': name, 'marker': marker}, energy)
        )
    return traces
