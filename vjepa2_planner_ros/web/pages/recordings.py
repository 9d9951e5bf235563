# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Before the arm moves: what a recording tells about camera, arm and model."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from nicegui import ui

from ..checks import Check, CheckRequest, Kind
from ..components import failed
from ..layout import div, heading, Page, View
from ..link import NoAnswer

KINDS = {
    'check': 'Look at the recording',
    'validate': 'Validate a model on it',
    'calibrate': 'Calibrate the camera',
}


class RecordingsPage:
    """The page of one browser."""

    def __init__(self, view: View):
        self._checks = view.console.checks
        self._shown: Check | None = None
        with div('grid wide-right'):
            with div('card stack'):
                self._make_form()
            with div('card stack'):
                heading('Result')
                self._state = ui.label('Nothing was checked yet.').props('role=status')
                self._lines = ui.element('pre').classes('small')
                self._lines.style('white-space: pre-wrap; max-height: 60vh; overflow: auto')
                with self._lines:
                    self._text = ui.label().style('white-space: pre-wrap')
                with div('line'):
                    self._report = ui.button('Report', icon='description', on_click=self._open)
                    self._apply = ui.button('Apply', icon='tune', on_click=self._ask_to_apply)
                    for button in (self._report, self._apply):
                        button.props('unelevated').set_enabled(False)
        ui.timer(0.5, self._refresh)

    def _make_form(self) -> None:
        heading('A recording')
        with div('fields'):
            self._recording = ui.select([], label='Recording')
            self._kind = ui.select(KINDS, value='check', label='What to do')
            self._model = ui.input('Model', value='vit-giant-ac')
            self._windows = ui.number('Windows', value=200, min=1, max=10000, precision=0)
            for field in (self._recording, self._kind, self._model, self._windows):
                field.props('outlined dense stack-label')
            for field in (self._recording, self._kind):
                field.style('grid-column: 1 / -1')  # long names
        with div('line'):
            self._start = ui.button('Start', icon='play_arrow', on_click=self._begin)
            self._start.props('unelevated')
            self._stop = ui.button('Cancel', on_click=self._cancel).props('outline')
        heading("The planner's calibration")
        self._calibration = ui.label().classes('small').style('overflow-wrap: anywhere')
        with div('line'):
            self._remove = ui.button('Remove', on_click=lambda: self._set('')).props('outline')

    async def load(self) -> None:
        """Offer the recordings, and show the calibration in force."""
        try:
            names = await asyncio.to_thread(self._checks.recordings)
            self._recording.set_options(names, value=names[0] if names else None)
            problem = '' if names else f'There is no recording in {self._checks.folder}.'
        except LookupError as error:
            problem = str(error.args[0])
        if problem:
            self._state.set_text(problem)
            self._start.set_enabled(False)
        await self._show_calibration()

    async def _show_calibration(self) -> None:
        try:
            path = await self._checks.calibration()
        except NoAnswer as error:
            self._calibration.set_text(str(error))
            self._remove.set_enabled(False)
            return
        self._calibration.set_text(path or 'none')
        self._remove.set_enabled(bool(path))

    async def _begin(self) -> None:
        try:
            request = CheckRequest(
                kind=cast(Kind, self._kind.value),
                recording=self._recording.value or '',
                model=self._model.value or '',
                windows=int(self._windows.value or 0),
            )
            self._shown = await self._checks.begin(request)
        except (ValueError, LookupError, RuntimeError) as error:
            failed(error)

    def _cancel(self) -> None:
        if self._shown is not None:
            self._checks.cancel(self._shown)

    def _refresh(self) -> None:
        if self._shown is None and self._checks.all:
            self._shown = list(self._checks.all.values())[-1]
        check = self._shown
        if check is None:
            return
        self._state.set_text(
            f'{KINDS[check.kind]}: {check.recording}, {check.state} {check.progress}'
        )
        self._text.set_text('\n'.join(check.lines))
        running = check.state == 'running'
        self._start.set_enabled(not running)
        self._stop.set_enabled(running)
        self._report.set_enabled(check.report)
        self._apply.set_enabled(check.calibration)

    def _open(self) -> None:
        if self._shown is not None:
            ui.navigate.to(f'/api/checks/{self._shown.id}/report', new_tab=True)

    def _ask_to_apply(self) -> None:
        if self._shown is None:
            return
        try:
            path = str(self._checks.result(self._shown, 'calibration.yaml'))
        except LookupError as error:
            failed(error.args[0])
            return
        with ui.dialog(value=True) as dialog, ui.card():
            ui.label('Plans will turn states and commands by this calibration from now on:')
            ui.label('\n'.join(self._shown.lines)).style('white-space: pre-wrap').classes('small')

            async def apply() -> None:
                dialog.close()
                await self._set(path)

            with div('line'):
                ui.button('Apply it', on_click=apply).props('unelevated')
                ui.button('Not now', on_click=dialog.close).props('outline')

    async def _set(self, path: str) -> None:
        try:
            await self._checks.set_calibration(path)
        except (NoAnswer, ValueError) as error:
            failed(error)
        await self._show_calibration()


def _build(view: View) -> Any:
    return RecordingsPage(view).load()


PAGE = Page(
    '/recordings',
    'Recordings',
    'rule',
    'Whether a model works with this camera and arm, from a recording; nothing moves.',
    _build,
)
