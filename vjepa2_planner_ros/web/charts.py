# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures for plotly.js, as dicts, which are updated in place: new ones would pile up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from nicegui import ui

COLOURS = {
    False: {
        'text': '#3c4753',
        'grid': '#e3e7ec',
        'best': '#0b6e8a',
        'mean': '#8a94a0',
        'elite': '#c2621b',
        'band': 'rgba(194, 98, 27, 0.16)',
    },
    True: {
        'text': '#b6c0ca',
        'grid': '#2b353f',
        'best': '#58bad6',
        'mean': '#7d8894',
        'elite': '#f0a35e',
        'band': 'rgba(240, 163, 94, 0.18)',
    },
}  # by dark
SCALE = 'Viridis'
ZERO = {'rangemode': 'tozero'}  # flat lines would else be stretched
Line: TypeAlias = tuple[Sequence[float], Sequence[float]]  # x, y


def layout(dark: bool, **more: Any) -> dict[str, Any]:
    """Return the layout of a figure in the page's theme."""
    colours = COLOURS[dark]
    axis = {'gridcolor': colours['grid'], 'zerolinecolor': colours['grid'], 'automargin': True}
    return {
        'paper_bgcolor': 'rgba(0,0,0,0)',
        'plot_bgcolor': 'rgba(0,0,0,0)',
        'font': {'color': colours['text'], 'size': 12.5, 'family': 'system-ui, sans-serif'},
        'margin': {'l': 56, 'r': 14, 't': 10, 'b': 42},
        'xaxis': {**axis, **more.pop('xaxis', {})},
        'yaxis': {**axis, **more.pop('yaxis', {})},
        'legend': {'orientation': 'h', 'y': 1.02, 'yanchor': 'bottom', 'x': 0},
        'hovermode': 'closest',
        **more,
    }


def chart(figure: dict[str, Any], label: str, classes: str = 'plot') -> ui.plotly:
    """Add a figure; the label says to screen readers what it shows."""
    figure['config'] = {'displaylogo': False, 'responsive': True, 'displayModeBar': False}
    added = ui.plotly(figure).classes(classes)
    return added.props(f'role=img aria-label="{label}"')


class LinesChart:
    """A few lines over steps, each with a name."""

    def __init__(self, dark: bool, title: str, label: str):
        self._colours = [COLOURS[dark][name] for name in ('best', 'elite', 'mean')]
        self._figure: dict[str, Any] = {
            'data': [],
            'layout': layout(
                dark,
                xaxis={'title': {'text': title}, 'range': [0.5, 5.5]},
                yaxis={'title': {'text': 'energy (lower is nearer)'}, 'range': [0, 1], **ZERO},
                showlegend=True,
            ),
        }
        self._plot = chart(self._figure, label)

    def show(
        self, lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str
    ) -> None:
        """Show {name: (x, y)}."""
        self._figure['data'] = [
            {
                'x': list(x),
                'y': list(y),
                'name': name,
                'mode': 'lines+markers',
                'line': {'color': colour, 'width': 2},
            }
            for colour, (name, (x, y)) in zip(self._colours, lines.items())
        ]
        last = max((max(x, default=0) for x, _ in lines.values()), default=0)
        shown = self._figure['layout']
        shown['xaxis'].update(title={'text': title}, autorange=last > 0, dtick=max(1, last // 10))
        shown['yaxis'].update(autorange=last > 0)
        self._plot.update()


class EnergyChart:
    """Energies over the iterations of one search."""

    def __init__(self, dark: bool):
        colours = COLOURS[dark]

        def trace(name: str, colour: str, **more: Any) -> dict[str, Any]:
            line = {'color': colours[colour], 'width': 2}
            return {'x': [], 'y': [], 'name': name, 'mode': 'lines+markers', 'line': line, **more}

        self._traces = [
            trace('all, mean', 'mean'),
            trace('elites, mean', 'elite'),
            trace('best so far', 'best'),
        ]
        self._figure: dict[str, Any] = {
            'data': self._traces,
            'layout': layout(
                dark,
                xaxis={'title': {'text': 'iteration'}, 'dtick': 1, 'range': [0.5, 5.5]},
                yaxis={'title': {'text': 'energy (lower is nearer)'}, 'range': [0, 1], **ZERO},
            ),
        }
        self._plot = chart(self._figure, 'Energies of the search over its iterations')

    def show(self, rows: list[Any]) -> None:
        """Show schemas.Running events, or SearchIterations, of one search."""
        steps = [row.iteration for row in rows]
        for trace, field in zip(self._traces, ('energy_mean', 'energy_elite_mean', 'energy_best')):
            trace['x'], trace['y'] = steps, [getattr(row, field) for row in rows]
        total = max([5, *steps, *(getattr(row, 'iterations', 0) for row in rows)])
        self._figure['layout']['yaxis'].update({'autorange': True} if rows else {'range': [0, 1]})
        axis = self._figure['layout']['xaxis']
        axis['range'], axis['dtick'] = [0.5, total + 0.5], max(1, total // 10)
        self._plot.update()
