# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
The plots of a report.

Of a plan over several steps they show the first action, which is the one to be executed.
"""

from itertools import combinations

import numpy as np
from plotly import graph_objects
from plotly.subplots import make_subplots

from ..plan_result import AXES

POINTS = 2000  # candidates drawn of an iteration at most; the elites are always among them
BLUE, ORANGE, GREEN, RED = '#1f5fb4', '#e07b1a', '#2a8c4a', '#c0272d'
PALE_BLUE, PALE_GREY = 'rgba(31, 95, 180, 0.22)', 'rgba(120, 120, 120, 0.18)'
SCALE = 'Viridis'
LAYOUT = {'template': 'plotly_white', 'margin': {'l': 70, 'r': 30, 't': 60, 'b': 50},
          'font': {'size': 13}}


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
    figure = graph_objects.Figure(layout={
        **LAYOUT, 'height': 420, 'xaxis': {'title': 'iteration', 'dtick': 1},
        'yaxis': {'title': 'energy (lower is better)'}})
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
        figure.add_hline(plan.record.start_energy, line={'color': ORANGE, 'dash': 'dash'},
                         annotation_text='doing nothing')
        figure.add_hline(plan.record.energy, line={'color': RED, 'dash': 'dot'},
                         annotation_text='the plan', annotation_position='bottom right')
    return figure


def narrowing(plan, axes):
    """Plot the search distribution, mean and standard deviation, axis by axis."""
    figure = make_subplots(cols=len(axes), rows=1, horizontal_spacing=0.07,
                           subplot_titles=[axis_title(axis) for axis in axes])
    figure.update_layout(**LAYOUT, height=330, showlegend=False)
    steps = [step.iteration for step in plan.iterations]
    for column, axis in enumerate(axes, 1):
        mean = np.array([step.mean[axis] for step in plan.iterations])
        std = np.array([step.std[axis] for step in plan.iterations])
        place = {'row': 1, 'col': column}
        _band(figure, steps, mean - std, mean + std, PALE_BLUE, '+- std', **place)
        _line(figure, steps, mean, BLUE, 'mean', **place)
        if plan.record.outcome == 'succeeded':
            figure.add_hline(plan.record.command[axis], line={'color': RED, 'dash': 'dot'},
                             **place)
        figure.update_xaxes(title='iteration', dtick=1, **place)
    return figure


def landscape_2d(plan, axes):
    """Plot every candidate by two axes, its energy as colour; a menu chooses the axes."""
    actions, values = samples(plan)
    pairs = list(combinations(axes, 2))
    first = pairs[0]
    figure = graph_objects.Figure(layout={
        **LAYOUT, 'height': 560, 'xaxis': {'title': axis_title(first[0])},
        'yaxis': {'title': axis_title(first[1])}})
    marked = np.array(marks(plan))
    figure.add_scatter(x=actions[:, first[0]], y=actions[:, first[1]], mode='markers',
                       marker=_coloured(values, 6), name='candidates', showlegend=False)
    figure.add_scatter(x=marked[:, first[0]], y=marked[:, first[1]], mode='markers+text',
                       marker=_marks(14), text=mark_names(plan), textposition='bottom right',
                       showlegend=False)
    if len(pairs) > 1:
        figure.update_layout(updatemenus=[{
            'x': 0.0, 'y': 1.12, 'xanchor': 'left', 'direction': 'right', 'type': 'buttons',
            'buttons': [{'label': f'{AXES[a][0]}, {AXES[b][0]}', 'method': 'update', 'args': [
                {'x': [actions[:, a], marked[:, a]], 'y': [actions[:, b], marked[:, b]]},
                {'xaxis.title.text': axis_title(a), 'yaxis.title.text': axis_title(b)}]}
                for a, b in pairs]}])
    return figure


def landscape_3d(plan, axes):
    """Plot every candidate by three axes, or two and its energy, with its energy as colour."""
    actions, values = samples(plan)
    marked = np.array(marks(plan))
    figure = graph_objects.Figure(layout={**LAYOUT, 'height': 620})
    if len(axes) >= 3:
        x, y, z = axes[:3]
        depth, marked_depth, title = actions[:, z], marked[:, z], axis_title(z)
    else:
        (x, y), depth, title = axes, values, 'energy'
        marked_depth = [plan.record.start_energy, plan.record.energy][:len(marked)]
    figure.add_scatter3d(x=actions[:, x], y=actions[:, y], z=depth, mode='markers',
                         marker=_coloured(values, 3), name='candidates', showlegend=False)
    figure.add_scatter3d(x=marked[:, x], y=marked[:, y], z=marked_depth, mode='markers+text',
                         marker=_marks(6), text=mark_names(plan), showlegend=False)
    figure.update_scenes(xaxis_title=axis_title(x), yaxis_title=axis_title(y), zaxis_title=title)
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
    figure.frames = [graph_objects.Frame(name=str(step.iteration), data=[
        trace for trace, _ in _step_traces(plan, step, pairs, limits)]) for step in steps]
    reach = np.abs(samples(plan)[0]).max(axis=0) * 1.05
    for column, (a, b) in enumerate(pairs, 1):
        figure.update_xaxes(title=axis_title(a), range=[-reach[a], reach[a]], row=1, col=column)
        figure.update_yaxes(title=axis_title(b), range=[-reach[b], reach[b]], row=1, col=column)
    still = {'mode': 'immediate', 'frame': {'duration': 0}, 'transition': {'duration': 0}}
    figure.update_layout(
        **LAYOUT, height=560, legend={'orientation': 'h', 'y': 1.08},
        updatemenus=[{'type': 'buttons', 'x': 0.0, 'y': -0.17, 'buttons': [
            {'label': 'Play', 'method': 'animate', 'args': [None, {
                **still, 'frame': {'duration': 700}, 'fromcurrent': True}]}]}],
        sliders=[{'currentvalue': {'prefix': 'iteration '}, 'x': 0.1, 'len': 0.9, 'y': -0.08,
                  'steps': [{'label': frame.name, 'method': 'animate',
                             'args': [[frame.name], still]} for frame in figure.frames]}])
    return figure


def samples(plan):
    """Return first actions [N, 7] and finite energies [N] of the candidates that are drawn."""
    parts = [_drawn(found) for found in plan.candidates.values()]
    return tuple(np.concatenate(part) for part in zip(*parts))


def marks(plan):
    """Return the actions [M, 7] that are marked: doing nothing, and the command."""
    command = [list(plan.record.command)] if plan.record.outcome == 'succeeded' else []
    return [[0.0] * len(AXES), *command]


def mark_names(plan):
    """Return what marks are."""
    return ['doing nothing', 'command'][:len(marks(plan))]


def _drawn(found):
    actions, values = found.actions[:, 0], found.energies
    chosen = np.arange(len(values))
    if len(values) > POINTS:
        others = np.setdiff1d(chosen, found.elites)
        some = np.random.default_rng(0).choice(others, max(POINTS - len(found.elites), 0),
                                               replace=False)
        chosen = np.concatenate([found.elites, some])
    chosen = chosen[np.isfinite(values[chosen])]
    return actions[chosen], values[chosen]


def _step_traces(plan, step, pairs, limits):
    """Return (trace, column) of an iteration: candidates, elites, distribution."""
    found = plan.candidates[step.iteration]
    actions, values = _drawn(found)
    elites = found.actions[found.elites, 0]
    angle = np.linspace(0.0, 2.0 * np.pi, 60)
    traces = []
    for column, (a, b) in enumerate(pairs, 1):
        colours = {**_coloured(values, 6), 'cmin': limits[0], 'cmax': limits[1],
                   'showscale': column == len(pairs)}
        shown = {'showlegend': column == 1}
        traces += [(trace, column) for trace in (
            graph_objects.Scatter(x=actions[:, a], y=actions[:, b], mode='markers',
                                  marker=colours, name='candidates', **shown),
            graph_objects.Scatter(x=elites[:, a], y=elites[:, b], mode='markers', name='elites',
                                  marker={'symbol': 'circle-open', 'size': 10, 'color': RED},
                                  **shown),
            graph_objects.Scatter(
                x=step.mean[a] + step.std[a] * np.cos(angle),
                y=step.mean[b] + step.std[b] * np.sin(angle), mode='lines',
                line={'color': 'black'}, name='distribution after it, 1 std', **shown))]
    return traces


def _coloured(values, size):
    return {'color': values, 'colorscale': SCALE, 'size': size, 'opacity': 0.8,
            'cmin': float(values.min()), 'cmax': float(np.percentile(values, 95.0)),
            'colorbar': {'title': {'text': 'energy'}}}


def _marks(size):
    return {'symbol': 'diamond', 'size': size, 'color': [ORANGE, RED],
            'line': {'color': 'white', 'width': 1}}


def _line(figure, x, y, colour, name, **place):
    figure.add_trace(graph_objects.Scatter(
        x=x, y=y, name=name, mode='lines+markers', line={'color': colour}), **place)


def _band(figure, x, low, high, colour, name, **place):
    figure.add_trace(graph_objects.Scatter(
        x=[*x, *x[::-1]], y=[*high, *low[::-1]], fill='toself', fillcolor=colour, mode='lines',
        line={'width': 0}, name=name, hoverinfo='skip'), **place)
