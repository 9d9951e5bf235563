# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How planner and machine are doing, in figures and in words, and what the nodes log."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ..charts import chart, COLOURS, layout
from ..components import Facts
from ..layout import div, heading, Page, View
from ..schemas import System
from ..system import system

LEVELS = {10: 'debug', 20: 'info', 30: 'warn', 40: 'error', 50: 'fatal'}  # of Log
SHOWN = {20: 'everything', 30: 'warnings and errors', 40: 'errors'}
SHOWN_LINES = 200
FACTS = {  # field of Metrics: name, unit, factor, decimals
    'system_cpu': ('CPU of the machine', '%', 1.0, 0),
    'process_cpu': ('CPU of the planner, of a core', '%', 1.0, 0),
    'system_memory': ('memory of the machine', 'GB', 1e-3, 1),
    'process_memory': ('memory of the planner', 'GB', 1e-3, 2),
    'gpu_utilization': ('GPU', '%', 1.0, 0),
    'gpu_memory': ('GPU memory', 'GB', 1e-3, 1),
    'plan_rate': ('plans', '1/s', 1.0, 2),
    'plan_time': ('last plan', 's', 1.0, 2),
    'image_age': ('age of the frame', 's', 1.0, 2),
    'state_age': ('age of the pose', 's', 1.0, 2),
    'goals_succeeded': ('plans made', '', 1.0, 0),
    'goals_aborted': ('plans failed', '', 1.0, 0),
}


class SystemPage:
    """The page of one browser."""

    def __init__(self, view: View):
        self._link = view.console.link
        self._rows: dict[str, tuple[Any, Any]] = {}
        with div('stack'):
            with div('card stack'):
                heading('Figures')
                self._facts = Facts([name for name, *_ in FACTS.values()])
            with div('grid two'):
                with div('card stack'):
                    heading('The last five minutes')
                    self._load = _LoadChart(view.dark)
                with div('card stack'):
                    heading('Diagnostics')
                    self._quiet = ui.label('No node tells its state.').classes('empty')
                    self._list = div('stack').style('gap: 8px')
            with div('card stack'):
                with div('line').style('justify-content: space-between'):
                    heading('Log of the nodes')
                    self._level = ui.select(SHOWN, value=20, label='Show').style('width: 190px')
                    self._level.props('outlined dense options-dense')
                self._log = ui.log(max_lines=SHOWN_LINES).style('height: 320px')
                self._log.props('role=log aria-label="Log of the nodes" tabindex=0')
        self._lines = 0
        self._level.on_value_change(self._again)
        self._refresh()
        ui.timer(1.0, self._refresh)

    def _again(self) -> None:
        self._log.clear()
        self._lines = 0
        self._refresh()

    def _refresh(self) -> None:
        state = system(self._link.heard())
        self._facts.show({name: _figure(state, field) for field, (name, *_) in FACTS.items()})
        self._diagnose(state)
        self._load.show(self._link.load())
        self._lines, new = self._link.lines(self._lines)
        for line in [line for line in new if line.level >= self._level.value][-SHOWN_LINES:]:
            word = LEVELS.get(line.level, '')
            colour = {'warn': 'warn', 'error': 'bad', 'fatal': 'bad'}.get(word, '')
            self._log.push(f'{word:5} {line.name}: {line.msg}', classes=colour)

    def _diagnose(self, state: System) -> None:
        self._quiet.set_visibility(not state.diagnostics)
        for status in state.diagnostics:
            if status.name not in self._rows:
                with (
                    self._list,
                    div().classes('line').style('flex-wrap: nowrap; align-items: baseline'),
                ):
                    dot = div('dot')
                    with div():
                        ui.label(status.name).style('font-weight: 600')
                        self._rows[status.name] = dot, ui.label().classes('muted')
            dot, text = self._rows[status.name]
            colour = {'ok': 'good', 'warn': 'warn', 'error': 'bad'}.get(status.level, '')
            dot.classes(replace=f'dot {colour}')
            silent = 'silent: it has ended or hangs'
            text.set_text(silent if status.level == 'stale' else status.message)


class _LoadChart:
    """CPU and memory of the machine over time."""

    def __init__(self, dark: bool):
        colours = COLOURS[dark]
        self._traces: list[dict[str, Any]] = [
            {'x': [], 'y': [], 'name': name, 'mode': 'lines', 'line': {'color': colours[colour]}}
            for name, colour in (('CPU of the machine', 'mean'), ('CPU of the planner', 'best'))
        ]
        figure = {
            'data': self._traces,
            'layout': layout(
                dark,
                xaxis={'title': {'text': 'time [s]'}, 'range': [-300, 0]},
                yaxis={'title': {'text': '% of the machine'}, 'range': [0, 100]},
            ),
        }
        self._plot = chart(figure, 'CPU load over the last five minutes')

    def show(self, rows: list[tuple[float, float, float]]) -> None:
        """Show (age [s], CPU of the machine [%], of the planner [% of the machine])."""
        for trace, column in zip(self._traces, (1, 2)):
            trace['x'] = [round(-row[0], 1) for row in rows]
            trace['y'] = [round(row[column], 1) for row in rows]
        self._plot.update()


def _figure(state: System, field: str) -> str:
    _, unit, factor, decimals = FACTS[field]
    value = state.metrics.get(field)
    return '-' if value is None else f'{value * factor:.{decimals}f} {unit}'.strip()


def _build(view: View) -> None:
    SystemPage(view)


PAGE = Page(
    '/system',
    'System',
    'monitor_heart',
    'Load of the machine, ages of the streams, and what the nodes say of themselves.',
    _build,
)
