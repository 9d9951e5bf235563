# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded plans and runs: find, look at, compare, report, export and delete them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nicegui import ui

from ..components import failed, small_button
from ..history import list_plans, NEWEST, read_plan, UNDO_WITHIN
from ..layout import div, Page, View
from ..link import NoAnswer
from ..plan_details import began_at, Details
from ...messages.results import confidence_text
from ...messages.texts import one_line
from ...messages.times import seconds

PLANS = (  # name, label, whether it is a number
    ('began', 'Began (UTC)', False),
    ('id', 'Plan', False),
    ('outcome', 'Outcome', False),
    ('model', 'Model', False),
    ('search', 'Search', False),
    ('energy', 'Energy', True),
    ('confidence', 'Confidence', True),
    ('time', 'Time [s]', True),
    ('run', 'Run', False),
    ('note', 'Note', False),
)
RUNS = (
    ('began', 'Began (UTC)', False),
    ('id', 'Run', False),
    ('model', 'Model', False),
    ('steps', 'Plans', True),
    ('first', 'First energy', True),
    ('last', 'Last energy', True),
)
ZEROS = bytes(16)
CHECKBOX = '<q-checkbox v-model="props.selected" dense :aria-label="\'Select \' + {name}" />'


class HistoryPage:
    """The page of one browser."""

    def __init__(self, view: View):
        self._console = view.console
        self._records: list[Any] = []
        self._folders: Sequence[str] = ()  # that were deleted last
        with div('stack'):
            with div('card stack'):
                self._make_tools()
                self._empty = ui.label('').classes('empty')
                self._table = ui.table(columns=[], rows=[], row_key='folder', pagination=10)
                self._table.set_selection('multiple')
                self._table.props('flat dense aria-label="Recorded plans"')
                for slot, name in (('header', "'all'"), ('body', 'props.row.id')):
                    self._table.add_slot(f'{slot}-selection', CHECKBOX.format(name=name))
                self._table.bind_filter_from(self._search, 'value')
                self._table.on_select(lambda: self._enable())
            self._details = Details(view)
        self._enable()

    def _make_tools(self) -> None:
        with div('line'):
            self._search = ui.input('Search', placeholder='model, outcome, id, text')
            self._search.props('outlined dense clearable').style('flex: 1; min-width: 180px')
            self._what = ui.toggle({'plans': 'Plans', 'runs': 'Runs'}, value='plans')
            self._what.props('unelevated no-caps toggle-color=primary aria-label="What is listed"')
            self._what.on_value_change(self._fill)
            small_button('Refresh', 'refresh', 'History', self.refresh)
        with div('line').style('gap: 4px'):
            what = 'selected'
            self._show = small_button('Look at', 'visibility', what, self._look)
            self._report = small_button('Report', 'description', what, self._open_report)
            self._export = small_button('Export', 'download', what, lambda: None)
            with self._export, ui.menu():
                for kind, text in (
                    ('csv', 'Candidates, or steps of a run (csv)'),
                    ('json', 'Figures (json)'),
                ):
                    ui.menu_item(text, lambda kind=kind: self._download(kind))
                self._picture = ui.menu_item('Picture (png)', lambda: self._download('png'))
            self._delete = small_button('Delete', 'delete', what, self._begin_delete)
            self._hint = ui.label().classes('muted small').props('role=status')
            self._undo_button = small_button('Undo', 'undo', 'Deletion', self._undo)
            self._undo_button.set_visibility(False)

    async def refresh(self) -> None:
        """Ask the planner for its recordings."""
        try:
            self._records = await list_plans(self._console.link)
            self._empty.set_text('' if self._records else 'Nothing is recorded yet.')
        except (LookupError, NoAnswer) as error:
            self._records = []
            self._empty.set_text(str(error.args[0]))
        self._fill()

    def _fill(self) -> None:
        runs = self._what.value == 'runs'
        self._table.columns = [
            {'name': name, 'label': label, 'field': name, 'sortable': True}
            | {'align': 'right' if number else 'left'}
            for name, label, number in (RUNS if runs else PLANS)
        ]
        kept = [each for each in self._records if each.folder not in self._console.deletions]
        self._table.rows = _run_rows(kept) if runs else [_plan_row(record) for record in kept]
        self._table.selected = []
        self._table.update()
        self._empty.set_visibility(not self._table.rows)
        self._enable()

    def _enable(self) -> None:
        count, runs = len(self._table.selected), self._what.value == 'runs'
        self._show.set_enabled(count in (1, 2))
        word = 'Compare' if count == 2 else 'Look at'
        self._show.set_text(word)
        self._show.props(f'aria-label="selected: {word}"')
        for button in (self._report, self._export):
            button.set_enabled(count == 1)
        self._picture.set_visibility(not runs)
        self._delete.set_enabled(count > 0 and not runs)
        hint = 'Select one to look at it, two to compare them.'
        if len(self._records) >= NEWEST:
            hint += f' Only the newest {NEWEST} plans are listed.'
        self._hint.set_text('' if count else hint)

    async def _look(self) -> None:
        folders = [row['folder'] for row in self._table.selected][:2]
        try:
            if self._what.value == 'runs':
                self._details.show_runs([_steps(self._records, folder) for folder in folders])
                return
            plans = [await read_plan(self._console.link, folder) for folder in folders]
            await self._details.show_plans(plans)
        except (LookupError, NoAnswer, ValueError) as error:
            failed(error.args[0])

    def _open_report(self) -> None:
        ui.navigate.to(f'{self._address()}/report', new_tab=True)

    def _download(self, kind: str) -> None:
        ui.download(f'{self._address()}/export/{kind}')

    def _address(self) -> str:
        what = 'runs' if self._what.value == 'runs' else 'history'
        return f'/api/{what}/{self._table.selected[0]["folder"]}'

    def _begin_delete(self) -> None:
        folders = [row['folder'] for row in self._table.selected]
        for folder in folders:
            self._console.deletions.begin(folder)
        self._fill()
        self._undo_button.set_visibility(True)
        self._undo_button.set_enabled(True)
        self._folders = folders
        self._hint.set_text(f'{len(folders)} deleted.')
        ui.timer(UNDO_WITHIN, lambda: self._forget(folders), once=True)

    def _forget(self, folders: Sequence[str]) -> None:
        if self._folders is folders:
            self._undo_button.set_visibility(False)
            self._enable()

    def _undo(self) -> None:
        kept = [folder for folder in self._folders if self._console.deletions.undo(folder)]
        if len(kept) < len(self._folders):
            failed('too late: the recording is gone')
        self._undo_button.set_visibility(False)
        self._fill()


def _plan_row(record: Any) -> dict[str, Any]:
    settings = {item.key: item.value for item in record.settings}
    optimizer = settings.get('optimizer', '')
    samples, iterations = (
        settings.get(f'{optimizer}.{name}', '?') for name in ('samples', 'iterations')
    )
    planned = record.outcome == 'succeeded'
    run = bytes(record.run_id.uuid)
    return {
        'folder': record.folder,
        'began': began_at(record.folder),
        'id': bytes(record.plan_id.uuid).hex()[:8],
        'outcome': record.outcome or 'not ended',
        'model': one_line(record.model, 40),
        'search': f'{optimizer} {samples} x {iterations}' if optimizer else '',
        'energy': f'{record.start_energy:.4f} to {record.energy:.4f}' if planned else '',
        'confidence': confidence_text(record) if planned else '',
        'time': f'{seconds(record.planning_time):.2f}' if planned else '',
        'run': '' if run == ZEROS else run.hex()[:8],
        'note': one_line(record.error_msg, 80),
    }


def _steps(records: Sequence[Any], run: str) -> list[Any]:
    """Return the records of a run, oldest first."""
    return [each for each in records[::-1] if bytes(each.run_id.uuid).hex() == run]


def _run_rows(records: Sequence[Any]) -> list[dict[str, Any]]:
    runs = dict.fromkeys(bytes(each.run_id.uuid).hex() for each in records)
    rows = []
    for run in runs:
        steps = _steps(records, run)
        if run != ZEROS.hex():
            rows.append(
                {
                    'folder': run,
                    'began': began_at(steps[0].folder),
                    'id': run[:8],
                    'model': one_line(steps[0].model, 40),
                    'steps': len(steps),
                    'first': f'{steps[0].start_energy:.4f}',
                    'last': f'{steps[-1].start_energy:.4f}',
                }
            )
    return rows


def _build(view: View) -> Any:
    return HistoryPage(view).refresh()


PAGE = Page(
    '/history',
    'History',
    'history',
    'What was planned here and kept: the parameter history.folder says where.',
    _build,
)
