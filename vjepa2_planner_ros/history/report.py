# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recorded plan as one page that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
import io

import numpy as np
from PIL import Image as Picture
from plotly.graph_objects import Figure
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from . import figures
from .recorded import began, outcome_of, RecordedPlan
from .topics import CURRENT_IMAGE, GOAL_IMAGE, IMAGINED, MODEL_INPUT
from ..messages.commands import UNITS
from ..messages.results import confidence_text, imagined_text
from ..messages.times import seconds

PICTURES = (
    (CURRENT_IMAGE, 'Start, as the camera saw it'),
    (MODEL_INPUT, 'Start, as the model saw it'),
    (GOAL_IMAGE, 'Goal, as the model saw it'),
    (IMAGINED, 'Imagined'),
)
# Whatever is in the page, the browser fetches nothing.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline' 'unsafe-eval'"
)
STYLE = """
body { font: 15px/1.5 sans-serif; color: #222; max-width: 1150px; margin: 2em auto;
       padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
figure { display: inline-block; margin: 0 1em 1em 0; } figure img { height: 256px; }
figcaption, .note { color: #666; font-size: 0.9em; }
table { border-collapse: collapse; } td, th { padding: 0.15em 1em 0.15em 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
details { margin-top: 2em; }
"""


def page(plan: RecordedPlan) -> str:
    """Return the report of a RecordedPlan as HTML."""
    title = f'Plan {plan.short_id}, {began(plan.folder):%Y-%m-%d %H:%M:%S} UTC'
    parts = (
        _summary(plan),
        _pictures(plan),
        *_plots(plan),
        settings_details(plan.settings, 'plan'),
    )
    return document(title, parts)


def document(title: str, parts: Iterable[str]) -> str:
    """Return a page of some HTML under a title; it fetches nothing."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<title>{title}</title><style>{STYLE}</style><script>{get_plotlyjs()}</script></head>'
        f'<body><h1>{title}</h1>{"".join(parts)}</body></html>\n'
    )


def _summary(plan):
    record = plan.record
    outcome = outcome_of(record, plan.damage)
    if outcome == 'not ended':
        outcome += ': the planner was killed, or is still at it'
    rows = [
        ('outcome', escape(f'{outcome} {record.error_msg}'.strip())),
        ('model', escape(f'{record.model} on {record.device} in {record.dtype}')),
        ('camera', escape(record.camera)),
    ]
    if record.outcome == 'succeeded':
        rows += [
            ('energy', f'{record.start_energy:.5f} (doing nothing) &rarr; {record.energy:.5f}'),
            ('confidence', confidence_text(record)),
            (
                'time',
                f'{seconds(record.planning_time):.3f} s, of which encoding '
                f'{seconds(record.encoding_time):.3f} s, search '
                f'{seconds(record.optimization_time):.3f} s',
            ),
        ]
    if record.dropped:
        rows.append(('missing', f'{record.dropped} messages, the disk was too slow'))
    rows += [('damaged', escape(f'{damage}; it is left out here')) for damage in plan.damage]
    return table(rows) + _command(record)


def _command(record):
    if record.outcome != 'succeeded':
        return ''
    rows = ''.join(
        f'<tr><td>{name}</td><td class="number">{value:+.4f}</td><td>{unit}</td></tr>'
        for (name, unit), value in zip(UNITS.items(), record.command)
    )
    note = f'Relative to {record.header.frame_id}.'
    if len(record.plan) > 1:
        note += (
            f' It is the first of {len(record.plan)} steps. Below, points and the '
            'distribution show the first step; energies are those of the whole plan.'
        )
    return f'<h2>Command</h2><table>{rows}</table><p class="note">{escape(note)}</p>'


def _pictures(plan):
    figures = ''.join(
        f'<figure><img alt="{caption}" src="{_data_url(plan.images[role])}">'
        f'<figcaption>{caption}</figcaption></figure>'
        for role, caption in PICTURES
        if role in plan.images
    )
    if plan.record.has_imagined:
        figures += f'<p class="note">Imagined: {imagined_text(plan.record)}.</p>'
    return figures


def _plots(plan):
    if not plan.iterations:
        return ['<p>No iteration was recorded.</p>']
    yield section('Energies', figures.energies(plan), 'energies', '')
    axes = figures.searched_axes(plan)
    if not axes:
        return
    yield section(
        'Narrowing distribution',
        figures.narrowing(plan, axes),
        'narrowing',
        ('Mean and standard deviation after each iteration; dotted: the command.'),
    )
    if len(axes) < 2:
        return
    count = sum(len(found.energies) for found in plan.candidates.values())
    drawn = len(figures.samples(plan)[1])
    honest = (
        f'{drawn} of the {count} candidates that the search evaluated, coloured by their '
        'energy. These are samples seen along the axes shown: other axes differ from point '
        'to point. The field between them is interpolated, the mean energy of the '
        'candidates nearby: nothing was measured there.'
    )
    yield section('Landscape', figures.landscape_2d(plan, axes), 'landscape2d', honest)
    yield section(
        'Landscape, to be turned',
        figures.landscape_3d(plan, axes),
        'landscape3d',
        'The same candidates by three axes. Drag to turn.'
        if len(axes) > 2
        else 'The same candidates, energy upwards. Drag to turn.',
    )
    yield section(
        'Replay',
        figures.replay(plan, axes),
        'replay',
        ('The candidates of one iteration, its elites, and the distribution fitted to them.'),
    )


def section(title: str, figure: Figure, name: str, note: str) -> str:
    """Return a plot with a title and a note; name is its id in the page."""
    html = to_html(
        figure,
        include_plotlyjs=False,
        full_html=False,
        div_id=name,
        auto_play=False,
        config={'displaylogo': False},
    )
    return f'<h2>{title}</h2><p class="note">{note}</p>{html}'


def settings_details(settings: dict[str, str], what: str) -> str:
    """Return the parameters of a plan or run, folded up."""
    rows = [(escape(name), escape(value)) for name, value in settings.items()]
    return f'<details><summary>Parameters of this {what}</summary>{table(rows)}</details>'


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Return rows of a name and a value, which are HTML."""
    return (
        '<table>'
        + ''.join(f'<tr><th>{name}</th><td>{value}</td></tr>' for name, value in rows)
        + '</table>'
    )


def _data_url(rgb: np.ndarray) -> str:
    png = io.BytesIO()
    Picture.fromarray(rgb).save(png, 'PNG')
    return f'data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}'
