# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The plots of a report.

Of a plan over several steps they show the first action, which is the one to be executed.
"""

import base64
from itertools import combinations

import numpy as np
from plotly import graph_objects
from plotly.subplots import make_subplots

from ..messages.results import AXES

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


def axis_title(axis):
    """Return the name and unit of an axis of the command, 0 to 6."""
    name, unit = AXES[axis]
    return f'{name} [{unit}]' if axis < 6 else f'{name} (+1 = open)'


def searched_axes(plan):
    """Return which axes, 0 to 6, any candidate of a RecordedPlan moves along."""
    moved = [np.abs(found.actions).max(axis=(0, 1)) for found in plan.candidates.values()]
    return np.flatnonzero(np.max(moved, axis=0) > 0.0).tolist() if moved else []


def energies(plan):
    """Plot energies over the iterations: best, elites with their spread, all with theirs."""
    figure = graph_objects.Figure(
        layout={
            **LAYOUT,
            'height': 420,
            'xaxis': _iterations(plan, 20),
            'yaxis': {'title': 'energy (lower is better)'},
        }
    )
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
        figure.add_hline(
            plan.record.start_energy,
            line={'color': ORANGE, 'dash': 'dash'},
            annotation_text='doing nothing',
        )
        figure.add_hline(
            plan.record.energy,
            line={'color': RED, 'dash': 'dot'},
            annotation_text='the plan',
            annotation_position='bottom right',
        )
    return figure


def narrowing(plan, axes):
    """Plot the search distribution, mean and standard deviation, axis by axis."""
    rows = -(-len(axes) // 4)
    figure = make_subplots(
        cols=min(len(axes), 4),
        rows=rows,
        horizontal_spacing=0.07,
        subplot_titles=[axis_title(axis) for axis in axes],
    )
    figure.update_layout(**LAYOUT, height=330 * rows, showlegend=False)
    steps = [step.iteration for step in plan.iterations]
    for number, axis in enumerate(axes):
        mean = np.array([step.mean[axis] for step in plan.iterations])
        std = np.array([step.std[axis] for step in plan.iterations])
        place = {'row': number // 4 + 1, 'col': number % 4 + 1}
        _band(figure, steps, mean - std, mean + std, PALE_BLUE, '+- std', **place)
        _line(figure, steps, mean, BLUE, 'mean', **place)
        if plan.record.outcome == 'succeeded':
            figure.add_hline(
                plan.record.command[axis], line={'color': RED, 'dash': 'dot'}, **place
            )
        figure.update_xaxes(_iterations(plan, 6), **place)
    return figure


def landscape_2d(plan, axes):
    """Plot candidates by two axes, their energy as colour, over a field; a menu chooses axes."""
    actions, values = samples(plan)
    pairs = list(combinations(axes, 2))
    fields = {pair: field(actions[:, pair], values) for pair in pairs}
    colours = _coloured(values, 5)

    def data(a, b):
        x, y, z = fields[a, b]
        return {
            'x': [x, actions[:, a], *marks(plan)[:, a, None]],
            'y': [y, actions[:, b], *marks(plan)[:, b, None]],
            'z': [z, *[None] * (1 + len(marks(plan)))],
        }

    first = data(*pairs[0])
    figure = graph_objects.Figure(
        layout={
            **LAYOUT,
            'height': 600,
            'legend': {'orientation': 'h', 'y': 1.08, 'x': 0.25},
            'xaxis': {'title': axis_title(pairs[0][0])},
            'yaxis': {'title': axis_title(pairs[0][1])},
        }
    )
    figure.add_contour(
        x=first['x'][0],
        y=first['y'][0],
        z=first['z'][0],
        name='interpolated',
        opacity=0.6,
        contours={'coloring': 'heatmap'},
        line={'width': 0.5},
        colorscale=SCALE,
        showscale=False,
        zmin=colours['cmin'],
        zmax=colours['cmax'],
        hoverinfo='skip',
        showlegend=True,
    )
    figure.add_scatter(
        x=first['x'][1],
        y=first['y'][1],
        mode='markers',
        name='candidates',
        marker={**colours, 'line': {'color': 'white', 'width': 0.4}},
    )
    for x, y, mark in zip(first['x'][2:], first['y'][2:], _marks(plan, 15)):
        figure.add_scatter(x=x, y=y, **mark)
    if len(pairs) > 1:
        figure.update_layout(
            updatemenus=[
                {
                    'x': 0.0,
                    'y': 1.13,
                    'xanchor': 'left',
                    'buttons': [
                        {
                            'label': f'{AXES[a][0]}, {AXES[b][0]}',
                            'method': 'update',
                            'args': [
                                {
                                    key: list(map(_packed, parts))
                                    for key, parts in data(a, b).items()
                                },
                                {
                                    'xaxis.title.text': axis_title(a),
                                    'yaxis.title.text': axis_title(b),
                                },
                            ],
                        }
                        for a, b in pairs
                    ],
                }
            ]
        )
    return figure


def field(places, values):
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


def landscape_3d(plan, axes):
    """Plot candidates by three axes, or two and their energy, with their energy as colour."""
    actions, values = samples(plan)
    marked = marks(plan)
    figure = graph_objects.Figure(layout={**LAYOUT, 'height': 620, 'showlegend': False})
    if len(axes) >= 3:
        x, y, z = axes[:3]
        depth, marked_depth, title = actions[:, z], marked[:, z], axis_title(z)
    else:
        (x, y), depth, title = axes, values, 'energy'
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
        notes.append(
            {
                'x': place[x],
                'y': place[y],
                'z': height,
                'text': mark['name'],
                'bgcolor': 'rgba(255, 255, 255, 0.85)',
                'ax': 60,
                'ay': -60,
            }
        )
    figure.update_scenes(
        xaxis_title=axis_title(x), yaxis_title=axis_title(y), zaxis_title=title, annotations=notes
    )
    return figure


def replay(plan, axes):
    """Plot the candidates of one iteration by pairs of axes; a slider chooses the iteration."""
    pairs = [axes[:2], axes[2:4] if len(axes) >= 4 else [axes[0], axes[-1]]]
    pairs = pairs[:1] if len(axes) < 3 else pairs
    figure = make_subplots(rows=1, cols=len(pairs))
    values = samples(plan)[1]
    limits = float(values.min()), float(np.percentile(values, 95.0))
    steps = [step for step in plan.iterations if step.iteration in plan.candidates]
    for trace, column in _step_traces(plan, steps[0], pairs, limits):
        figure.add_trace(trace, row=1, col=column)
    figure.frames = [
        graph_objects.Frame(
            name=str(step.iteration),
            data=[trace for trace, _ in _step_traces(plan, step, pairs, limits)],
        )
        for step in steps
    ]
    for column, (a, b) in enumerate(pairs, 1):  # last, and in no frame: they stay, above all else
        for place, mark in zip(marks(plan), _marks(plan, 13)):
            figure.add_scatter(
                x=place[[a]], y=place[[b]], **mark, showlegend=column == 1, row=1, col=column
            )
    reach = np.abs(samples(plan)[0]).max(axis=0) * 1.05
    for column, (a, b) in enumerate(pairs, 1):
        figure.update_xaxes(title=axis_title(a), range=[-reach[a], reach[a]], row=1, col=column)
        figure.update_yaxes(title=axis_title(b), range=[-reach[b], reach[b]], row=1, col=column)
    still = {'mode': 'immediate', 'frame': {'duration': 0}, 'transition': {'duration': 0}}
    figure.update_layout(
        **LAYOUT,
        height=560,
        legend={'orientation': 'h', 'y': 1.08},
        updatemenus=[
            {
                'type': 'buttons',
                'x': 0.0,
                'y': -0.17,
                'buttons': [
                    {
                        'label': 'Play',
                        'method': 'animate',
                        'args': [None, {**still, 'frame': {'duration': 700}, 'fromcurrent': True}],
                    }
                ],
            }
        ],
        sliders=[
            {
                'currentvalue': {'prefix': 'iteration '},
                'x': 0.1,
                'len': 0.9,
                'y': -0.08,
                'steps': [
                    {'label': frame.name, 'method': 'animate', 'args': [[frame.name], still]}
                    for frame in figure.frames
                ],
            }
        ],
    )
    return figure


def samples(plan):
    """Return first actions [N, 7] and finite energies [N] of the candidates that are drawn."""
    parts = [_drawn(found, _share(plan)) for found in plan.candidates.values()]
    return tuple(np.concatenate(part) for part in zip(*parts))


def marks(plan):
    """Return the actions [M, 7] that are marked: doing nothing, and the command."""
    command = [plan.record.command] if plan.record.outcome == 'succeeded' else []
    return np.array([np.zeros(len(AXES)), *command])


def _share(plan):
    """Return how many candidates are drawn of an iteration at most."""
    return min(POINTS, ALL_POINTS // len(plan.candidates))


def _drawn(found, most):
    actions, values = found.actions[:, 0], found.energies
    chosen = np.arange(len(values))
    if len(values) > most:
        others = np.setdiff1d(chosen, found.elites)
        some = np.random.default_rng(0).choice(
            others, max(most - len(found.elites), 0), replace=False
        )
        chosen = np.concatenate([found.elites, some])
    chosen = chosen[np.isfinite(values[chosen])]
    return actions[chosen].astype(np.float32), values[chosen].astype(np.float32)


def _step_traces(plan, step, pairs, limits):
    """Return (trace, column) of an iteration: candidates, elites, distribution."""
    found = plan.candidates[step.iteration]
    actions, values = _drawn(found, _share(plan))
    elites = found.actions[found.elites, 0].astype(np.float32)
    angle = np.linspace(0.0, 2.0 * np.pi, 60)
    traces = []
    for column, (a, b) in enumerate(pairs, 1):
        colours = {
            **_coloured(values, 6),
            'cmin': limits[0],
            'cmax': limits[1],
            'showscale': column == len(pairs),
        }
        shown = {'showlegend': column == 1}
        traces += [
            (trace, column)
            for trace in (
                graph_objects.Scatter(
                    x=actions[:, a],
                    y=actions[:, b],
                    mode='markers',
                    marker=colours,
                    name='candidates',
                    **shown,
                ),
                graph_objects.Scatter(
                    x=elites[:, a],
                    y=elites[:, b],
                    mode='markers',
                    name='elites',
                    marker={'symbol': 'circle-open', 'size': 10, 'color': RED},
                    **shown,
                ),
                graph_objects.Scatter(
                    x=step.mean[a] + step.std[a] * np.cos(angle),
                    y=step.mean[b] + step.std[b] * np.sin(angle),
                    mode='lines',
                    line={'color': 'black'},
                    name='distribution after it, 1 std',
                    **shown,
                ),
            )
        ]
    return traces


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
    return [
        {
            'name': name,
            'mode': 'markers',
            'marker': {
                'symbol': 'diamond',
                'size': size,
                'color': colour,
                'line': {'color': 'white', 'width': 2},
            },
        }
        for name, colour in (('doing nothing', ORANGE), ('command', RED))[: len(marks(plan))]
    ]


def _iterations(plan, ticks):
    """Return the layout of an axis of iterations with so many ticks at most."""
    count = plan.iterations[-1].iteration
    return {
        'title': {'text': 'iteration'},
        'range': [0.5, count + 0.5],
        'dtick': -(-count // ticks),
        'tick0': 0,
    }


def _packed(array):
    """Return an array as plotly packs those of traces: within a menu it leaves them as text."""
    return (
        array
        if array is None
        else {
            'dtype': 'f4',
            'bdata': base64.b64encode(array.astype('<f4').tobytes()).decode(),
            'shape': ', '.join(map(str, array.shape)),
        }
    )


def _line(figure, x, y, colour, name, **place):
    figure.add_trace(
        graph_objects.Scatter(x=x, y=y, name=name, mode='lines+markers', line={'color': colour}),
        **place,
    )


def _band(figure, x, low, high, colour, name, **place):
    figure.add_trace(
        graph_objects.Scatter(
            x=[*x, *x[::-1]],
            y=[*high, *low[::-1]],
            fill='toself',
            fillcolor=colour,
            mode='lines',
            line={'width': 0},
            name=name,
            hoverinfo='skip',
        ),
        **place,
    )
