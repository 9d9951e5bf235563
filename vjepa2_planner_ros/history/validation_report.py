# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was found about a model as one page that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from plotly.graph_objects import Bar, Figure, Scatter
import torch

from .figures import BLUE, GREEN, LAYOUT, ORANGE, RED
from .report import document, section, table
from ..learning.confidence import probabilities
from ..learning.measures import Estimate, reliability
from ..learning.study import Inferred
from ..learning.trajectory import PinholeCamera
from ..learning.validate import Validation
from ..learning.verdicts import BAD, GOOD, UNKNOWN, WEAK
from ..learning.windows import Window
from ..planning.actions import AXES
from ..planning.confidence import Fit
from ..world_model.poses import euler_to_matrix

COLOURS = {GOOD: GREEN, WEAK: ORANGE, BAD: RED, UNKNOWN: '#777777'}
SHOWN = 8  # windows with pictures
HEIGHT = 200  # pixels of a picture
STYLE = """<style>
.verdicts td { vertical-align: top; padding: 0.3em 1em 0.3em 0; }
.grade { color: #fff; border-radius: 0.6em; padding: 0.1em 0.6em; font-size: 0.85em; }
.figures { font-size: 0.9em; } .figures td, .figures th { padding: 0.15em 1em 0.15em 0; }
.scroll { overflow-x: auto; }
.windows { display: flex; flex-wrap: wrap; gap: 1em; } .windows figure { margin: 0; }
</style>"""


def page(title: str, facts: Sequence[tuple[str, str]], found: Validation) -> str:
    """Return the report of a Validation as HTML; facts are rows of plain text for its head."""
    rows = [(escape(name), escape(value)) for name, value in facts]
    rows += [('left out', escape(note)) for note in found.notes]
    parts = [STYLE, table(rows), _verdicts(found), _numbers(found), *_plots(found)]
    inferred = found.study.inferred.get(1)
    if inferred is not None and inferred.windows:
        parts.append(_windows(inferred))
    return document(escape(title), parts)


def _verdicts(found: Validation) -> str:
    rows = ''.join(
        f'<tr><td><span class="grade" style="background:{COLOURS[verdict.grade]}">'
        f'{verdict.grade}</span></td><td><b>{escape(verdict.question)}</b><br>'
        f'{escape(verdict.answer)}. {escape(verdict.advice)}</td></tr>'
        for verdict in found.verdicts
    )
    return f'<h2>Answers</h2><table class="verdicts">{rows}</table>'


def numbers(found: Validation) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of the table of figures, one column a method."""
    methods = {found.study.model: found.figures, **found.baselines}
    rows = []
    for key, steps in ((f'steps_{steps}', steps) for steps in found.study.inferred):
        name = f'{steps} step{"s" if steps > 1 else ""}'
        rows.append([f'action score, {name} (0 to 80)', *_row(methods, key, 'action_score')])
        rows.append([f'error of position [cm], {name}', *_row(methods, key, 'error_cm')])
        rows.append([f'cosine of directions, {name}', *_row(methods, key, 'direction_cosine')])
    for axis in AXES:
        unit = 'cm' if axis in 'xyz' else 'closedness' if axis == 'gripper' else 'degrees'
        rows.append(
            [f'error of {axis} [{unit}], 1 step', *_row(methods, 'steps_1', 'error', axis)]
        )
    for key, text in (
        ('energy_rank', 'energy rank of the true action (0 = best)'),
        ('shuffle_ratio', 'error with shuffled actions / with the true ones'),
        ('copy_ratio', 'error / that of copying the picture'),
        ('landscape_spread', 'spread of the energy over actions'),
    ):
        rows.append([text, *_row(methods, 'prediction', key)])
    rows.append(['rank correlation of energy and distance', *_row(methods, 'drives')])
    rows.append(['share of first steps that lead nearer', *_row(methods, 'reach', 'nearer')])
    rows.append(['time of a plan [s], 1 step', *_row(methods, 'steps_1', 'seconds')])
    return ['', *methods], rows


def _row(methods: dict[str, dict[str, Any]], *keys: str) -> list[str]:
    cells = []
    for figures in methods.values():
        value: Any = figures
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        known = isinstance(value, Estimate) and np.isfinite(value.value)
        cells.append(str(value) if known else '')
    return cells


def _numbers(found: Validation) -> str:
    head, rows = numbers(found)
    titles = ''.join(f'<th>{escape(name)}</th>' for name in head)
    cells = ''.join(
        f'<tr>{"".join(f"<td>{escape(cell)}</td>" for cell in row)}</tr>' for row in rows
    )
    return (
        '<h2>Figures</h2><p class="note">With 95 % intervals, drawn over trajectories. Beside the '
        'model: what doing nothing, random actions and a network without training reach on the '
        'same data.</p><div class="scroll"><table class="figures">'
        f'<tr>{titles}</tr>{cells}</table></div>'
    )


def _plots(found: Validation) -> Iterator[str]:
    study = found.study
    if 1 in study.inferred and study.inferred[1].windows:
        yield section(
            'Inferred and true motion',
            _motions(study.inferred[1]),
            'motions',
            'One step. On the dotted line the model infers just what was done; a slope below it '
            'means that it underestimates.',
        )
    bins = found.figures.get('reach', {}).get('by_distance', [])
    if bins:
        yield section(
            'How far away may a goal be',
            _by_distance(bins),
            'distances',
            'Share of plans whose first step leads nearer to the goal.',
        )
    if study.drives:
        yield section(
            'Energy and distance',
            _drives(found),
            'drives',
            'Along each trajectory, to its last frame. Where the energy falls with the distance, '
            'a search can follow it.',
        )
    if found.fit is not None:
        yield section(
            'Reliability of the confidence',
            _reliability(found, found.fit),
            'reliability',
            'On stretches that were left out of the fit, expected calibration error '
            f'{found.fit.figures["calibration_error"]:.3f}.',
        )


def _motions(inferred: Inferred) -> Figure:
    figure = Figure(layout={**LAYOUT, 'height': 440})
    true, planned = 100.0 * inferred.true[:, :3], 100.0 * inferred.planned[:, :3]
    for i, colour in enumerate((BLUE, ORANGE, GREEN)):
        marker = {'color': colour, 'size': 5, 'opacity': 0.6}
        figure.add_trace(
            Scatter(x=true[:, i], y=planned[:, i], mode='markers', marker=marker, name=AXES[i])
        )
    reach = float(np.abs(true).max(initial=1.0))
    line = {'color': '#777777', 'dash': 'dot'}
    figure.add_trace(
        Scatter(x=[-reach, reach], y=[-reach, reach], mode='lines', line=line, name='=')
    )
    figure.update_xaxes(title='true [cm]')
    figure.update_yaxes(title='inferred [cm]')
    return figure


def _by_distance(bins: list[dict[str, Any]]) -> Figure:
    figure = Figure(layout={**LAYOUT, 'height': 360})
    shares = [row['nearer'] for row in bins]
    figure.add_trace(
        Bar(
            x=[f'{100 * row["from"]:.0f} to {100 * row["to"]:.0f} cm' for row in bins],
            y=[share.value for share in shares],
            error_y={
                'type': 'data',
                'symmetric': False,
                'array': [max(share.high - share.value, 0.0) for share in shares],
                'arrayminus': [max(share.value - share.low, 0.0) for share in shares],
            },
            text=[f'{row["count"]}' for row in bins],
            marker_color=BLUE,
        )
    )
    figure.update_yaxes(title='share', range=[0, 1.05])
    return figure


def _drives(found: Validation) -> Figure:
    figure = Figure(layout={**LAYOUT, 'height': 420, 'showlegend': False})
    for drive in found.study.drives:
        order = np.argsort(drive.distance)
        line = {'color': BLUE, 'width': 1}
        figure.add_trace(
            Scatter(x=100 * drive.distance[order], y=drive.energy[order], line=line, opacity=0.4)
        )
    figure.update_xaxes(title='distance to the last frame [cm]')
    figure.update_yaxes(title='energy')
    return figure


def _reliability(found: Validation, fit: Fit) -> Figure:
    figure = Figure(layout={**LAYOUT, 'height': 420})
    rows = np.array(fit.figures['reliability'])
    figure.add_trace(
        Scatter(x=rows[:, 0], y=rows[:, 1], mode='lines+markers', line_color=BLUE, name='left out')
    )
    reached = found.study.reached
    assert reached is not None
    same = reliability(probabilities(fit, reached, found.study.bounds), reached.nearer)
    line = {'color': '#999999', 'dash': 'dash'}
    figure.add_trace(Scatter(x=same[:, 0], y=same[:, 1], line=line, name='fitted on'))
    line = {'color': '#777777', 'dash': 'dot'}
    figure.add_trace(Scatter(x=[0, 1], y=[0, 1], mode='lines', line=line, name='as it should be'))
    figure.update_xaxes(title='confidence', range=[0, 1])
    figure.update_yaxes(title='share that led nearer', range=[0, 1.02])
    return figure


def _windows(inferred: Inferred) -> str:
    count = len(inferred.windows)
    chosen = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).astype(int))
    shown = ''.join(_window(inferred.windows[i], inferred.planned[i]) for i in chosen)
    return (
        '<h2>Windows</h2><p class="note">Start and goal, a step apart. Where the camera is known, '
        'green: the motion that was made, orange: the inferred one.</p>'
        f'<div class="windows">{shown}</div>'
    )


def _window(window: Window, planned: NDArray[np.float64]) -> str:
    start, goal = (
        Image.fromarray(np.asarray(window.trajectory.frames[index]))
        for index in (window.start, window.goal)
    )
    camera, true = window.trajectory.camera, window.true_action
    if camera is not None:
        for action, colour in ((true, '#2a8c4a'), (planned, '#e07b1a')):
            _arrow(start, camera, window.state[:3], window.state[:3] + action[:3], colour)
    made, found = (
        ' '.join(f'{100 * value:+.1f}' for value in action[:3]) for action in (true, planned)
    )
    text = f'{window.trajectory.source}, frame {window.trajectory.first + window.start}'
    return (
        f'<figure>{_picture(start)} {_picture(goal)}<figcaption>{escape(text)}<br>made {made} cm, '
        f'inferred {found} cm</figcaption></figure>'
    )


def _arrow(
    picture: Image.Image,
    camera: PinholeCamera,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    colour: str,
) -> None:
    points = [project(camera, place) for place in (start, end)]
    if all(point is not None for point in points):
        width = max(picture.height // 90, 1)
        ImageDraw.Draw(picture).line(points, fill=colour, width=width)  # type: ignore[arg-type]
        x, y = points[1]  # type: ignore[misc]
        size = 2 * width
        ImageDraw.Draw(picture).ellipse((x - size, y - size, x + size, y + size), fill=colour)


def project(camera: PinholeCamera, place: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the pixel x, y of a place [3] in the robot base frame; None behind the camera."""
    pose = torch.tensor(camera.pose, dtype=torch.float64)
    x, y, z = (euler_to_matrix(pose[3:]).mT @ (torch.as_tensor(place) - pose[:3])).tolist()
    if z <= 0.0:
        return None
    fx, fy, cx, cy = camera.intrinsics
    return fx * x / z + cx, fy * y / z + cy


def _picture(picture: Image.Image) -> str:
    file = io.BytesIO()
    small = picture.resize((round(picture.width * HEIGHT / picture.height), HEIGHT))
    small.save(file, 'JPEG', quality=85)
    code = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{code}">'
