# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recorded run of the controller as one page that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape
import io

import numpy as np
from PIL import Image as Picture

from . import run_figures as figures
from .recorded import began, load_record
from .recorded_run import plans_of, RecordedRun
from .report import document, section, settings_details, table
from ..messages.results import confidence_text
from ..messages.times import seconds
from ..planning.actions import AXES

HIGHEST = 480  # pixels of a picture in the page
STYLE = """<style>
.strip { display: flex; flex-wrap: wrap; gap: 0.8em; align-items: flex-start; }
.strip figure { margin: 0; display: table; }
.strip figure img { height: 170px; display: block; }
.strip figcaption { display: table-caption; caption-side: bottom; padding-top: 0.3em; }
.strip .goal img { outline: 3px solid #2a8c4a; }
.steps { font-size: 0.85em; } .steps td, .steps th { padding: 0.15em 1em 0.15em 0; }
.steps .number { text-align: right; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
code { background: #f2f2f2; padding: 0.1em 0.3em; }
</style>"""


def page(run: RecordedRun) -> str:
    """Return the report of a run as HTML, with those of its plans that are recorded beside it."""
    title = f'Run {run.short_id}, {began(run.folder):%Y-%m-%d %H:%M:%S} UTC'
    parts = (
        STYLE,
        _summary(run),
        *_pictures(run),
        *_plots(run),
        _steps(run),
        _plans(run, [load_record(path)[0] for path in plans_of(run)]),
        settings_details(run.settings, 'run'),
    )
    return document(title, parts)


def _summary(run):
    record, ended = run.record, bool(run.record.outcome)
    outcome = run.outcome
    if outcome == 'not ended':
        outcome += ': the controller was killed, or is still at it'
    rows = [('outcome', escape(f'{outcome}{": " if record.error_msg else ""}{record.error_msg}'))]
    if record.dry_run:
        rows.append(('dry run', 'nothing was moved'))
    rows += [('model', escape(record.model or 'none: no plan was made'))]
    rows += [('camera', escape(record.camera))]
    if ended:
        rows.append(('sub-goals', f'{record.sub_goals_done} of {record.sub_goals} done'))
        rows.append(('steps', f'{sum(run.done)}, in {seconds(record.run_time):.1f} s'))
    if run.steps:
        first, last = run.steps[0].energy, run.steps[-1].energy
        rows.append(('energy', f'{first:.5f} &rarr; {last:.5f}'))
    rows += [('damaged', escape(f'{damage}; it is left out here')) for damage in run.damage]
    return table(rows)


def _pictures(run) -> Iterator[str]:
    """Yield for each sub-goal its picture and the frames of the steps toward it."""
    for number, goal in enumerate(run.sub_goals, 1):
        figures_ = [_figure(goal, 'goal', 'goal')]
        here = [
            (count, step, frame)
            for count, (step, frame) in enumerate(zip(run.steps, run.frames), 1)
            if step.sub_goal == number
        ]
        figures_ += [
            _figure(frame, f'{_name(count, run)}<br>energy {step.energy:.4f}')
            for count, step, frame in here
            if frame is not None
        ]
        current = run.steps[-1].sub_goal if run.steps else 1
        if run.last_frame is not None and number == current:
            figures_.append(_figure(run.last_frame, 'at the end'))
        title = 'Pictures' if len(run.sub_goals) == 1 else f'Sub-goal {number}'
        yield f'<h2>{title}</h2><div class="strip">{"".join(figures_)}</div>'


def _name(number, run):
    return f'before step {number}' if run.done[number - 1] else f'step {number}, not done'


def _figure(rgb: np.ndarray, caption: str, kind: str = '') -> str:
    picture, file = Picture.fromarray(rgb), io.BytesIO()
    picture.thumbnail((2 * HIGHEST, HIGHEST))
    picture.save(file, 'JPEG', quality=90)
    data = base64.b64encode(file.getvalue()).decode()
    return (
        f'<figure class="{kind}"><img alt="" src="data:image/jpeg;base64,{data}">'
        f'<figcaption>{caption}</figcaption></figure>'
    )


def _plots(run) -> Iterator[str]:
    if not run.steps:
        yield '<p>No step was planned.</p>'
        return
    limited = sum(bool(step.limits) and done for step, done in zip(run.steps, run.done))
    yield section(
        'Energy',
        figures.energies(run),
        'energies',
        'What the camera saw before each step, and what the plan of that step predicted for '
        'after it.',
    )
    yield section(
        'Rise, surprise and confidence',
        figures.judgements(run),
        'judgements',
        'Rise: how much higher the energy is than predicted, as a share of that at the start of '
        'the sub-goal, or of that near a goal if it is higher. Surprise: how far the picture is '
        'from the predicted one, in units of what is usual for the model. Dotted: the limits that '
        'end a run.',
    )
    yield section(
        'Commands',
        figures.commands(run),
        'commands',
        f'Relative to {escape(run.record.header.frame_id)}: as planned, and within the limits, '
        f'which changed {limited or "none"} of the {sum(run.done)} steps done.',
    )


def _steps(run):
    if not run.steps:
        return ''
    head = ('step', 'sub-goal', 'energy', 'predicted', 'energy rise', 'confidence', *AXES)
    rows = []
    for number, (step, done) in enumerate(zip(run.steps, run.done), 1):
        cells = [
            f'{number}',
            f'{step.sub_goal}',
            f'{step.energy:.5f}',
            f'{step.predicted_energy:.5f}',
            f'{step.energy_rise:+.2f}',
            confidence_text(step),
            *(f'{value:+.3f}' for value in step.limited_command),
        ]
        words = ', '.join(step.limits) if done else 'not done'
        rows.append(
            ''.join(f'<td class="number">{cell}</td>' for cell in cells)
            + f'<td>{escape(words)}</td><td><code>{_short(step.plan_id)}</code></td>'
        )
    heading = ''.join(f'<th class="number">{name}</th>' for name in head)
    heading += '<th>limited by</th><th>plan</th>'
    body = ''.join(f'<tr>{row}</tr>' for row in rows)
    return (
        '<h2>Steps</h2><p class="note">Commands within the limits, in m, rad and -1 (close) to +1 '
        f'(open).</p><div class="scroll"><table class="steps"><tr>{heading}</tr>{body}</table>'
        '</div>'
    )


def _plans(run, plans):
    rows = []
    for record in plans:
        energy = ''
        if record.outcome == 'succeeded':
            energy = f'{record.start_energy:.5f} &rarr; {record.energy:.5f}'
        cells = (
            f'<code>{_short(record.plan_id)}</code>',
            escape(f'{record.outcome or "not ended"} {record.error_msg}'.strip()),
            energy,
            f'{record.iterations}',
            f'{seconds(record.planning_time):.2f} s',
        )
        rows.append(f'<tr>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
    known = {bytes(record.plan_id.uuid) for record in plans}
    gone = sum(bytes(step.plan_id.uuid) not in known for step in run.steps)
    note = '<code>history report ID</code> makes the report of one of them.' if plans else ''
    if gone:
        note += f' {gone} of the plans {"is" if gone == 1 else "are"} not recorded here.'
    heading = (
        '<tr><th>plan</th><th>outcome</th><th>energy</th><th>iterations</th><th>time</th></tr>'
    )
    listed = f'<table class="steps"><tr>{heading}</tr>{"".join(rows)}</table>' if rows else ''
    return f'<h2>Plans</h2><p class="note">{note}</p>{listed}'


def _short(identity):
    return bytes(identity.uuid).hex()[:8]
