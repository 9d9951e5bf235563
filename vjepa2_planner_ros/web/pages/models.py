# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The planner's models: what they are, where they are, and what is being done with them."""

from __future__ import annotations

from typing import Any

from nicegui import ui

from ..components import failed, header_row, small_button
from ..layout import div, Page, scrolled, View
from ..link import NoAnswer
from ..model_loads import Busy
from ..schemas import LoadKind, Model

EVERY = 1.0  # s between looks
COLUMNS = ('Model', 'Plans', 'State', 'File', 'Memory', 'Licence', '')


class ModelsPage:
    """The page of one browser."""

    def __init__(self, view: View):
        self._console = view.console
        self._rows: dict[str, _Row] = {}
        with div('card'):
            self._empty = ui.label('The planner has not answered yet.').classes('empty')
            with scrolled('Models'):
                self._table = ui.element('table').classes('plain cards')
            with self._table:
                header_row(COLUMNS)
                self._body = ui.element('tbody')
        self._table.set_visibility(False)
        ui.timer(EVERY, self._refresh)

    async def _refresh(self) -> None:
        try:
            models = await self._console.models.list()
        except NoAnswer as error:
            self._empty.set_text(str(error))
            self._empty.set_visibility(True)
            return
        self._empty.set_visibility(False)
        self._table.set_visibility(True)
        for model in models:
            if model.name not in self._rows:
                with self._body:
                    self._rows[model.name] = _Row(self, model.name)
            self._rows[model.name].show(model)

    async def begin(self, name: str, kind: LoadKind) -> None:
        """Download or load a model."""
        try:
            await self._console.models.begin(name, kind)
        except (Busy, LookupError, NoAnswer) as error:
            failed(error)

    async def unload(self) -> None:
        """Free the memory of the loaded model."""
        try:
            self._console.news.add('positive', await self._console.models.unload())
        except (Busy, NoAnswer) as error:
            failed(error)

    def cancel(self) -> None:
        """Cancel what is under way."""
        self._console.models.cancel()


class _Row:
    """A line of the table; it is made once and keeps its height."""

    def __init__(self, page: ModelsPage, name: str):
        with ui.element('tr'):
            with ui.element('th').props('scope=row'):
                ui.label(name)
            self._plans, self._state = _cell(), _cell('min-width: 150px; height: 58px')
            self._file, self._memory, self._licence = _cell(), _cell(), _cell()
            with self._state:
                self._word = ui.label()
                self._bar = div('bar')
                with self._bar:
                    self._share = div()
                self._figures = ui.label().classes('muted small')
            with ui.element('td'), div('line').style('gap: 2px; flex-wrap: nowrap'):
                self._download = small_button(
                    'Download', 'download', name, lambda: page.begin(name, 'download')
                )
                self._load = small_button('Load', 'memory', name, lambda: page.begin(name, 'load'))
                self._unload = small_button('Unload', 'eject', name, page.unload)
                self._cancel = small_button('Cancel', 'close', name, page.cancel)
        self._labels = []
        for cell in (self._plans, self._file, self._memory, self._licence):
            with cell:
                self._labels.append(ui.label().classes('nowrap'))

    def show(self, model: Model) -> None:
        """Show what is known of the model."""
        for label, text in zip(self._labels, _facts(model)):
            label.set_text(text)
        operation = model.operation if model.operation and not model.operation.ended else None
        self._word.set_text((operation.phase or 'waiting') if operation else _word(model))
        self._word.classes(replace='good' if model.state == 'loaded' else '')
        self._bar.set_visibility(operation is not None)
        self._figures.set_visibility(operation is not None)
        if operation is not None:
            self._share.style(f'width: {100 * operation.progress:.0f}%')
            done = f'{size(operation.bytes_done)} of {size(operation.bytes_total)}'
            self._figures.set_text(
                f'{done}, {size(operation.rate)}/s' if operation.bytes_total else ''
            )
        idle = operation is None
        self._download.set_visibility(idle and not model.on_disk)
        self._load.set_visibility(idle and model.on_disk and model.state == 'unloaded')
        self._unload.set_visibility(idle and model.state == 'loaded')
        self._cancel.set_visibility(not idle)


def _word(model: Model) -> str:
    if model.state != 'unloaded':
        return model.state
    return 'on disk' if model.on_disk else 'not downloaded'


def _facts(model: Model) -> tuple[str, str, str, str]:
    """Return what it plans, its file, its memory and its licence."""
    plans = '7 axes' if model.action_dim == 7 else 'x y z, camera on hand'
    file = size(model.file_size) if model.on_disk else 'not here'
    memory = f'{size(2 * model.parameters)} in 16 bits'
    if model.memory:
        memory = f'{size(model.memory)} on {model.device}'
    return plans, file, memory, model.licence


def _cell(style: str = '') -> Any:
    return ui.element('td').style(style)


def size(count: float) -> str:
    """Return a number of bytes as text."""
    for unit, scale in (('GB', 1e9), ('MB', 1e6), ('kB', 1e3)):
        if count >= scale:
            return f'{count / scale:.1f} {unit}'
    return f'{count:.0f} B'


def _build(view: View) -> None:
    ModelsPage(view)


PAGE = Page(
    '/models',
    'Models',
    'layers',
    'The world models that the planner knows. It plans with the loaded one.',
    _build,
)
