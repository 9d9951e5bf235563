# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The plots of a run's report; all are over the steps as they were planned, counted from 1."""

from __future__ import annotations

import numpy as np
from plotly.graph_objects import Figure
from plotly.subplots import make_subplots

from .figures import axis_title, BLUE, GREEN, LAYOUT, ORANGE, RED
from .recorded_run import RecordedRun

PALE = '#b9cfe9'
Line = tuple[list[float | None], list[float | None]]  # x, y


def energies(run: RecordedRun) -> Figure:
    """Plot the energy before each step, and what its plan predicted for the next one."""
    figure = Figure(layout={**LAYOUT, 'height': 380, 'hovermode': 'x unified'})
    figure.update_layout(legend={'orientation': 'h', 'y': 1.12})
    _steps(figure, run, last=1.3 if run.done[-1] else 0.6)
    figure.update_yaxes(title='energy (lower is better)', rangemode='tozero')
    measured: Line = ([], [])
    predicted: Line = ([], [])
    for number, (step, done) in enumerate(zip(run.steps, run.done), 1):
        if number > 1 and step.sub_goal != run.steps[number - 2].sub_goal:
            figure.add_vline(
                number - 0.5,
                line={'color': '#999999', 'dash': 'dash', 'width': 1},
                annotation_text=f'sub-goal {step.sub_goal}',
                annotation_position='top right',
            )
            _add(measured, None, None)  # energies to different pictures are not one line
        _add(measured, number, step.energy)
        if done:
            _add(predicted, number, step.energy)
            _add(predicted, number + 1, step.predicted_energy)
            _add(predicted, None, None)
    figure.add_scatter(
        x=predicted[0],
        y=predicted[1],
        mode='lines+markers',
        cliponaxis=False,
        name='predicted by the plan',
        line={'color': ORANGE, 'dash': 'dot', 'width': 1.5},
        marker={'symbol': 'circle-open', 'size': [0, 8, 0] * len(run.steps)},
    )
    figure.add_scatter(
        x=measured[0],
        y=measured[1],
        mode='lines+markers',
        cliponaxis=False,
        name='seen',
        line={'color': BLUE, 'width': 2.5},
        marker={'size': 8},
    )
    near = max(step.near_energy for step in run.steps)
    if near and 'ending.reached_energy' in run.settings:
        figure.add_hline(
            near * float(run.settings['ending.reached_energy']),
            line={'color': GREEN, 'dash': 'dot', 'width': 1.5},
            annotation_text='ending.reached_energy',
            annotation_position='top left',
        )
    return figure


def judgements(run: RecordedRun) -> Figure:
    """Plot energy rise, surprise and confidence, with the limits that end a run."""
    figure = make_subplots(
        1, 3, horizontal_spacing=0.08, subplot_titles=('energy rise', 'surprise', 'confidence')
    )
    figure.update_layout(**LAYOUT, height=300, showlegend=False)
    numbers = [*range(1, len(run.steps) + 1)]
    figure.add_bar(
        x=numbers, y=[step.energy_rise for step in run.steps], marker_color=ORANGE, row=1, col=1
    )
    surprises = [step.surprise if step.has_surprise else None for step in run.steps]
    figure.add_bar(x=numbers, y=surprises, marker_color=ORANGE, row=1, col=2)
    figure.add_scatter(
        x=numbers,
        y=[step.confidence for step in run.steps],
        mode='lines+markers',
        line={'color': GREEN, 'width': 2.5},
        marker={'size': 8},
        row=1,
        col=3,
    )
    calibrated = any(step.confidence_calibrated for step in run.steps)
    least = 'ending.min_probability' if calibrated else 'ending.min_confidence'
    limits = ('ending.max_energy_rise', 'ending.max_surprise', least)
    for column, name in enumerate(limits, start=1):
        if name in run.settings:
            figure.add_hline(
                float(run.settings[name]),
                line={'color': RED, 'dash': 'dot', 'width': 1.5},
                annotation_text=name,
                annotation_position='top left',
                row=1,
                col=column,
            )
        _steps(figure, run, row=1, col=column)
    figure.update_yaxes(range=[0.0, 1.05], row=1, col=3)
    return figure


def commands(run: RecordedRun) -> Figure:
    """Plot the planned commands and what the limits left of them, axis by axis."""
    planned = np.array([step.command for step in run.steps])
    limited = np.array([step.limited_command for step in run.steps])
    axes = np.flatnonzero(np.abs(planned).max(axis=0) > 0.0).tolist() or [0]
    rows, titles = -(-len(axes) // 4), [axis_title(axis) for axis in axes]
    figure = make_subplots(rows, min(len(axes), 4), horizontal_spacing=0.07, subplot_titles=titles)
    figure.update_layout(**LAYOUT, height=280 * rows, barmode='group', bargap=0.25)
    figure.update_layout(legend={'orientation': 'h', 'y': 1.0 + 0.3 / rows})
    numbers = [*range(1, len(run.steps) + 1)]
    for number, axis in enumerate(axes):
        place = {'row': number // 4 + 1, 'col': number % 4 + 1}
        for name, values, colour in (
            ('planned', planned, PALE),
            ('within the limits', limited, BLUE),
        ):
            figure.add_bar(
                x=numbers,
                y=values[:, axis],
                name=name,
                legendgroup=name,
                showlegend=number == 0,
                marker_color=colour,
                **place,
            )
        _steps(figure, run, **place)
        alike = slice(0, 3) if axis < 3 else slice(3, 6) if axis < 6 else slice(6, 7)
        largest = 1.1 * np.abs(planned[:, alike]).max()
        figure.update_yaxes(range=[-largest, largest], **place)  # what has one unit has one scale
    return figure


def _add(line, x, y):
    """Add a point to a line, None to break it."""
    line[0].append(x)
    line[1].append(y)


def _steps(figure, run, last=0.6, **place):
    """Give an axis a number for each step, as many as there is room for."""
    count = len(run.steps)
    figure.update_xaxes(
        title='step',
        range=[0.4, count + last],
        dtick=max(1, -(-count // (8 if place else 20))),
        tick0=1,
        **place,
    )
