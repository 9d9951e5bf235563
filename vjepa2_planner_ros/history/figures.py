# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The plots of a report.

Of a plan over several steps they show the first action, which is the one to be executed.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from plotly.graph_objects import Figure, Frame, Scatter
from plotly.subplots import make_subplots

from .recorded import RecordedPlan
from ..planning.actions import AXES, UNITS

# Candidates drawn at most, of an iteration and of all; the elites are always among them.
POINTS, ALL_POINTS = 2000, 8000
CELLS = 40  # of the interpolated field, along an axis
BLUE, ORANGE, GREEN, RED = '#1f5fb4', '#e07b1a', '#2a8c4a', '#c0272d'
PALE_BLUE, PALE_GREY = 'rgba(31, 95, 180, 0.22)', 'rgba(120, 120, 120, 0.18)'
SCALE = 'Viridis'
LAYOUT = {
    'template': 'plotly_white',
    'margin': {'l': 70, 'r': 30, 't': 60, 'b': 50},
    'font': {'size': 13},
}


def axis_title(axis: int) -> str:
    """Return the name and unit of an axis of the command, 0 to 6."""
    name = AXES[axis]
    return f'{name} [{UNITS[name]}]' if UNITS[name] else f'{name} (+1 = open)'


def searched_axes(plan: RecordedPlan) -> list[int]:
    """Return which axes, 0 to 6, any candidate of a RecordedPlan moves along."""
    moved = [np.abs(found.actions).max(axis=(0, 1)) for found in plan.candidates.values()]
    return np.flatnonzero(np.max(moved, axis=0) > 0.0).tolist() if moved else []


def energies(plan: RecordedPlan) -> Figure:
    """Plot energies over the iterations: best, elites with their spread, all with theirs."""
    figure = Figure(layout={**LAYOUT, 'height': 420})
    figure.update_xaxes(_iterations(plan, 20))
    figure.update_yaxes(title='energy (lower is better)')
    steps = [step.iteration for step in plan.iterations]

    def of(name):
        return np.array([getattr(step, name) for step in plan.iterations])

    _band(figure, steps, of('energy_min'), of('energy_max'), PALE_GREY, 'all, lowest to highest')
    _line(figure, steps, of('energy_mean'), '#777777', 'all, mean')
    mean, spread = of('energy_elite_mean'), of('energy_elite_std')
    _band(figure, steps, mean - spread, mean + spread, PALE_BLUE, 'elites, +- std')
    _line(figure, steps, mean, BLUE, 'elites, mean')
    _line(figure, steps, of('energy_best'), GREEN, 'best so far')
    if plan.record.outcome == 'succeeded':
        for energy, colour, dash, name, place in (
            (plan.record.start_energy, ORANGE, 'dash', 'doing nothing', 'top right'),
            (plan.record.energy, RED, 'dot', 'the plan', 'bottom right'),
        ):
            line = {'color': colour, 'dash': dash}
            figure.add_hline(energy, line=line, annotation_text=name, annotation_position=place)
    return figure


def narrowing(plan: RecordedPlan, axes: Sequence[int]) -> Figure:
    """Plot the search distribution, mean and standard deviation, axis by axis."""
    rows, titles = -(-len(axes) // 4), [axis_title(axis) for axis in axes]
    figure = make_subplots(rows, min(len(axes), 4), horizontal_spacing=0.07, subplot_titles=titles)
    figure.update_layout(**LAYOUT, height=330 * rows, showlegend=False)
    steps = [step.iteration for step in plan.iterations]
    for number, axis in enumerate(axes):
        mean, std = (
            np.array([getattr(step, name)[axis] for step in plan.iterations])
            for name in ('mean', 'std')
        )
        place = {'row': number // 4 + 1, 'col': number % 4 + 1}
        _band(figure, steps, mean - std, mean + std, PALE_BLUE, '+- std', **place)
        _line(figure, steps, mean, BLUE, 'mean', **place)
        if plan.record.outcome == 'succeeded':
            line = {'color': RED, 'dash': 'dot'}
            figure.add_hline(plan.record.command[axis], line=line, **place)
        figure.update_xaxes(_iterations(plan, 6), **place)
    return figure


def landscape_2d(plan: RecordedPlan, axes: Sequence[int]) -> Figure:
    """Plot candidates by two axes, their energy as colour, over a field; a menu chooses axes."""
    actions, values = samples(plan)
    pairs = list(combinations(axes, 2))
    fields = {pair: field(actions[:, pair], values) for pair in pairs}
    colours, marked = _coloured(values, 5), marks(plan)

    def data(a, b):
        """Return what the traces show by two axes: field, candidates, marks."""
        x, y, z = fields[a, b]
        return {
            'x': [x, actions[:, a], *marked[:, a, None]],
            'y': [y, actions[:, b], *marked[:, b, None]],
            'z': [z, *[None] * (1 + len(marked))],
        }

    def titles(a, b):
        return {'xaxis.title.text': axis_title(a), 'yaxis.title.text': axis_title(b)}

    first = data(*pairs[0])
    figure = Figure(layout={**LAYOUT, 'height': 600, 'legend': {'orientation': 'h'}})
    figure.update_layout(
        legend_y=1.08,
        legend_x=0.25,
        xaxis_title=axis_title(pairs[0][0]),
        yaxis_title=axis_title(pairs[0][1]),
    )
    figure.add_contour(
        x=first['x'][0],
        y=first['y'][0],
        z=first['z'][0],
        name='interpolated',
        opacity=0.6,
        contours_coloring='heatmap',
        line_width=0.5,
        colorscale=SCALE,
        showscale=False,
        zmin=colours['cmin'],
        zmax=colours['cmax'],
        hoverinfo='skip',
        showlegend=True,
    )
    outlined = {**colours, 'line': {'color': 'white', 'width': 0.4}}
    figure.add_scatter(
        x=first['x'][1], y=first['y'][1], mode='markers', name='candidates', marker=outlined
    )
    for x, y, mark in zip(first['x'][2:], first['y'][2:], _marks(plan, 15)):
        figure.add_scatter(x=x, y=y, **mark)
    if len(pairs) > 1:
        buttons = [
            {
                'label': f'{AXES[a]}, {AXES[b]}',
                'method': 'update',
                'args': [
                    {key: list(map(_packed, parts)) for key, parts in data(a, b).items()},
                    titles(a, b),
                ],
            }
            for a, b in pairs
        ]
        menu = {'x': 0.0, 'y': 1.13, 'xanchor': 'left', 'buttons': buttons}
        figure.update_layout(updatemenus=[menu])
    return figure


def field(places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Return x [N], y [N] and the mean energy [N, N] of the candidates near each cell of a grid.

    :param places: of the candidates [M, 2]; where none is near, the energy is NaN.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    half = (high - low) / (CELLS - 1) / 2.0  # the outermost cells have the outermost candidates
    edges = np.linspace(low - half, high + half, CELLS + 1, axis=1)
    distance = np.subtract.outer(np.arange(CELLS), np.arange(CELLS))
    reach = max(1.8, 0.8 * CELLS / len(places) ** 0.5)  # as far as candidates are apart
    near = np.exp(-0.5 * (distance / reach) ** 2)

    def blurred(weights):
        return near @ np.histogram2d(*places.T, bins=edges, weights=weights)[0] @ near

    count = blurred(None)
    mean = np.where(count > 0.1, blurred(values) / np.maximum(count, 0.1), np.nan)
    x, y = (edges[:, 1:] + edges[:, :-1]) / 2.0
    return x.astype(np.float32), y.astype(np.float32), mean.T.astype(np.float32)


def landscape_3d(plan: RecordedPlan, axes: Sequence[int]) -> Figure:
    """Plot candidates by three axes, or two and their energy, with their energy as colour."""
    actions, values = samples(plan)
    marked = marks(plan)
    marked_depth: Sequence[float]
    figure = Figure(layout={**LAYOUT, 'height': 620, 'showlegend': False})
    x, y = axes[:2]
    if len(axes) >= 3:
        z = axes[2]
        depth, marked_depth, title = actions[:, z], marked[:, z].tolist(), axis_title(z)
    else:
        depth, title = values, 'energy'
        marked_depth = [plan.record.start_energy, plan.record.energy][: len(marked)]
    figure.add_scatter3d(
        x=actions[:, x],
        y=actions[:, y],
        z=depth,
        mode='markers',
        marker={**_coloured(values, 3), 'opacity': 0.5},
        name='candidates',
    )
    notes = []
    for place, height, mark in zip(marked, marked_depth, _marks(plan, 8)):
        figure.add_scatter3d(x=[place[x]], y=[place[y]], z=[height], **mark)
        # Points may hide a mark, but not its label.
        label = {'text': mark['name'], 'bgcolor': 'rgba(255, 255, 255, 0.85)', 'ax': 60, 'ay': -60}
        notes.append({'x': place[x], 'y': place[y], 'z': height, **label})
    figure.update_scenes(
        xaxis_title=axis_title(x), yaxis_title=axis_title(y), zaxis_title=title, annotations=notes
    )
    return figure


def replay(plan: RecordedPlan, axes: Sequence[int]) -> Figure:
    """Plot the candidates of one iteration by pairs of axes; a slider chooses the iteration."""
    pairs = [axes[:2], axes[2:4] if len(axes) >= 4 else [axes[0], axes[-1]]]
    pairs = pairs[: 1 if len(axes) < 3 else 2]
    figure = make_subplots(rows=1, cols=len(pairs))
    values = samples(plan)[1]
    limits = float(values.min()), float(np.percentile(values, 95.0))
    frames = {
        str(step.iteration): _step_traces(plan, step, pairs, limits)
        for step in plan.iterations
        if step.iteration in plan.candidates
    }
    for trace, column in next(iter(frames.values())):
        figure.add_trace(trace, row=1, col=column)
    figure.frames = [
        Frame(name=name, data=[trace for trace, _ in traces]) for name, traces in frames.items()
    ]
    reach = np.abs(samples(plan)[0]).max(axis=0) * 1.05
    for column, (a, b) in enumerate(pairs, 1):
        cell = {'row': 1, 'col': column}
        # The marks come last and are in no frame: they stay, above all else.
        for place, mark in zip(marks(plan), _marks(plan, 13)):
            figure.add_scatter(x=place[[a]], y=place[[b]], **mark, showlegend=column == 1, **cell)
        figure.update_xaxes(title=axis_title(a), range=[-reach[a], reach[a]], **cell)
        figure.update_yaxes(title=axis_title(b), range=[-reach[b], reach[b]], **cell)
    figure.update_layout(**LAYOUT, height=560, legend={'orientation': 'h', 'y': 1.08})
    _add_player(figure, list(frames))
    return figure


def _add_player(figure, names):
    """Add a button that plays the frames, and a slider that chooses one."""
    still = {'mode': 'immediate', 'frame': {'duration': 0}, 'transition': {'duration': 0}}
    running = {**still, 'frame': {'duration': 700}, 'fromcurrent': True}
    play = {'label': 'Play', 'method': 'animate', 'args': [None, running]}
    steps = [{'label': name, 'method': 'animate', 'args': [[name], still]} for name in names]
    place = {'x': 0.1, 'len': 0.9, 'y': -0.08, 'currentvalue': {'prefix': 'iteration '}}
    figure.update_layout(
        updatemenus=[{'type': 'buttons', 'x': 0.0, 'y': -0.17, 'buttons': [play]}],
        sliders=[{**place, 'steps': steps}],
    )


def samples(plan: RecordedPlan) -> tuple[np.ndarray, np.ndarray]:
    """Return first actions [N, 7] and finite energies [N] of the candidates that are drawn."""
    parts = [_drawn(plan, found) for found in plan.candidates.values()]
    actions, values = (np.concatenate(part) for part in zip(*parts))
    return actions, values


def marks(plan: RecordedPlan) -> np.ndarray:
    """Return the actions [M, 7] that are marked: doing nothing, and the command."""
    command = [plan.record.command] if plan.record.outcome == 'succeeded' else []
    return np.array([np.zeros(len(AXES)), *command])


def _drawn(plan, found):
    """Return first actions and energies of the Candidates of an iteration, thinned."""
    most = min(POINTS, ALL_POINTS // len(plan.candidates))
    actions, values = found.actions[:, 0], found.energies
    chosen = np.arange(len(values))
    if len(values) > most:
        others = np.setdiff1d(chosen, found.elites)
        count = max(most - len(found.elites), 0)
        thinned = np.random.default_rng(0).choice(others, count, replace=False)
        chosen = np.concatenate([found.elites, thinned])
    chosen = chosen[np.isfinite(values[chosen])]
    return actions[chosen].astype(np.float32), values[chosen].astype(np.float32)


def _step_traces(plan, step, pairs, limits):
    """Return (trace, column) of an iteration: candidates, elites, distribution."""
    found = plan.candidates[step.iteration]
    actions, values = _drawn(plan, found)
    elites = found.actions[found.elites, 0].astype(np.float32)
    circle = np.linspace(0.0, 2.0 * np.pi, 60)
    traces = []
    for column, (a, b) in enumerate(pairs, 1):
        colours = {**_coloured(values, 6), 'cmin': limits[0], 'cmax': limits[1]}
        colours['showscale'] = column == len(pairs)
        ring = {'symbol': 'circle-open', 'size': 10, 'color': RED}
        ellipse = {
            'x': step.mean[a] + step.std[a] * np.cos(circle),
            'y': step.mean[b] + step.std[b] * np.sin(circle),
            'line': {'color': 'black'},
        }
        for name, mode, parts in (
            ('candidates', 'markers', {**_xy(actions, a, b), 'marker': colours}),
            ('elites', 'markers', {**_xy(elites, a, b), 'marker': ring}),
            ('distribution after it, 1 std', 'lines', ellipse),
        ):
            trace = Scatter(name=name, mode=mode, showlegend=column == 1, **parts)
            traces.append((trace, column))
    return traces


def _xy(actions, a, b):
    return {'x': actions[:, a], 'y': actions[:, b]}


def _coloured(values, size):
    # The highest energies would leave few colours for the rest.
    return {
        'color': values,
        'colorscale': SCALE,
        'size': size,
        'opacity': 0.8,
        'cmin': float(values.min()),
        'cmax': float(np.percentile(values, 95.0)),
        'colorbar': {'title': {'text': 'energy, the<br>highest 5 %<br>alike'}},
    }


def _marks(plan, size):
    """Return what the traces of marks have in common."""
    marker = {'symbol': 'diamond', 'size': size, 'line': {'color': 'white', 'width': 2}}
    return [
        {'name': name, 'mode': 'markers', 'marker': {**marker, 'color': colour}}
        for name, colour in (('doing nothing', ORANGE), ('command', RED))[: len(marks(plan))]
    ]


def _iterations(plan, ticks):
    """Return the layout of an axis of iterations with so many ticks at most."""
    count = plan.iterations[-1].iteration
    span = {'range': [0.5, count + 0.5], 'dtick': -(-count // ticks), 'tick0': 0}
    return {'title': {'text': 'iteration'}, **span}


def _packed(array):
    """Return an array as plotly packs those of traces: within a menu it leaves them as text."""
    if array is None:
        return None
    data = base64.b64encode(array.astype('<f4').tobytes()).decode()
    return {'dtype': 'f4', 'bdata': data, 'shape': ', '.join(map(str, array.shape))}


def _line(figure, x, y, colour, name, **place):
    line = {'color': colour}
    figure.add_trace(Scatter(x=x, y=y, name=name, mode='lines+markers', line=line), **place)


def _band(figure, x, low, high, colour, name, **place):
    band = Scatter(
        x=[*x, *x[::-1]],
        y=[*high, *low[::-1]],
        fill='toself',
        fillcolor=colour,
        mode='lines',
        line_width=0,
        name=name,
        hoverinfo='skip',
    )
    figure.add_trace(band, **place)
