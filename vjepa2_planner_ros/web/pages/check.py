# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether the model sees what it should: the energy between pictures, and along a recording."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from nicegui import ui
import numpy as np
from numpy.typing import NDArray

from ..charts import LinesChart
from ..components import Facts, failed, PictureInput, small_button
from ..energies import energy, natural
from ..history import list_plans, read_plan
from ..layout import div, heading, Page, View
from ..link import NoAnswer
from ...client import PlanFailed
from ...history.topics import CURRENT_IMAGE

MOST_PICTURES = 300
DROPPED = 'pictures that are dropped'
HINT = 'Drop pictures here; their names are their order.'
ZEROS = bytes(16)
Named = tuple[str, NDArray[np.uint8]]


class CheckPage:
    """The page of one browser."""

    def __init__(self, view: View):
        self._console = view.console
        self._files: dict[str, str] = {}  # id by name
        self._running = False
        with div('grid wide-right'):
            with div('card stack'):
                with div('pair'):
                    self._goal = PictureInput(view, 'Goal picture', 'Drop or paste the goal here.')
                    self._picture = PictureInput(
                        view, 'Picture', 'Empty: the newest frame of the camera.'
                    )
                with div('line'):
                    compare = ui.button('Compare', icon='compare', on_click=self._compare)
                    compare.props('unelevated')
                self._facts = Facts(['energy', 'model'])
                with ui.element('p').classes('muted small'):
                    ui.label(
                        '0 is the same picture. What counts is that the energy falls on the way '
                        'to the goal: measure it along a recording.'
                    )
            with div('card stack'):
                self._make_recording(view)

    def _make_recording(self, view: View) -> None:
        heading('Along a recording')
        self._source = ui.select({'': DROPPED}, value='', label='Recording')
        self._source.props('outlined dense stack-label options-dense')
        self._drop = div('drop').props('data-many=1').style('aspect-ratio: auto; min-height: 84px')
        self._drop.on('picture', self._on_picture, args=['detail'])
        with self._drop:
            self._hint = ui.label(HINT).classes('hint')
            self._input = ui.element('input').props(
                'type=file multiple accept=image/png,image/jpeg,image/webp tabindex=-1 '
                'aria-label="Pictures of a recording"'
            )
        with div('line'):
            small_button('Choose', 'upload_file', 'Pictures of a recording', self._choose)
            small_button('', 'close', 'Pictures of a recording: Clear', self._clear)
            self._start = ui.button('Measure', icon='show_chart', on_click=self._measure)
            self._start.props('unelevated')
            self._stop = ui.button('Stop', on_click=self._end).props('outline')
            self._stop.set_enabled(False)
            self._state = ui.label().classes('muted small').props('role=status')
        self._chart = LinesChart(view.dark, 'picture', 'Energy along the recording')
        self._along = Facts(['first', 'lowest', 'last', 'share removed'])

    async def refresh(self) -> None:
        """Offer the runs of the planner's history."""
        try:
            records = await list_plans(self._console.link)
        except (LookupError, NoAnswer):
            return
        runs = dict.fromkeys(bytes(record.run_id.uuid) for record in records)
        offers = {run.hex(): f'run {run.hex()[:8]} of the history' for run in runs if run != ZEROS}
        self._source.set_options({'': DROPPED, **offers}, value='')

    async def _compare(self) -> None:
        if self._goal.value is None:
            failed('Goal picture: choose, drop or paste one first')
            return
        pictures, current = self._console.pictures, self._picture.value
        try:
            goal = await pictures.rgb(self._goal.value.data, 'Goal picture')
            picture = None if current is None else await pictures.rgb(current.data, 'Picture')
            found, model = await energy(self._console.link, goal, picture)
        except (NoAnswer, PlanFailed, ValueError) as error:
            failed(error)
            return
        self._facts.show({'energy': f'{found:.5f}', 'model': model})

    def _choose(self) -> None:
        ui.run_javascript(f'getHtmlElement({self._input.id}).click()')

    def _clear(self) -> None:
        self._files.clear()
        self._hint.set_text(HINT)

    def _on_picture(self, event: Any) -> None:
        detail = event.args['detail']
        if 'id' not in detail:
            failed(f'{detail.get("name", "picture")}: {detail.get("text", "cannot be used")}')
        elif len(self._files) >= MOST_PICTURES:
            failed(f'pictures: allowed: up to {MOST_PICTURES}')
        else:
            self._files[str(detail.get('name'))[:200]] = str(detail['id'])
            self._hint.set_text(f'{len(self._files)} pictures')

    async def _pictures(self) -> AsyncIterator[Named]:
        """Yield (name, uint8 RGB [H, W, 3]) of the recording."""
        if self._source.value:
            records = await list_plans(self._console.link)
            for record in records[::-1]:
                if bytes(record.run_id.uuid).hex() == self._source.value:
                    plan = await read_plan(self._console.link, record.folder)
                    if CURRENT_IMAGE in plan.images:
                        yield plan.short_id, plan.images[CURRENT_IMAGE]
            return
        for name in sorted(self._files, key=natural):
            kept = self._console.pictures.get(self._files[name])
            if kept is not None:
                yield name, await self._console.pictures.rgb(kept.data, name)

    async def _measure(self) -> None:
        if self._goal.value is None:
            failed('Goal picture: choose, drop or paste one first')
            return
        self._set_running(True)
        found: list[float] = []
        try:
            goal = await self._console.pictures.rgb(self._goal.value.data, 'Goal picture')
            async for name, picture in self._pictures():
                if not self._running:
                    break
                found.append((await energy(self._console.link, goal, picture))[0])
                self._show(found, name)
            if not found:
                failed('Recording: there is no picture in it')
        except (LookupError, NoAnswer, PlanFailed, ValueError) as error:
            failed(error)
        finally:
            self._set_running(False)

    def _set_running(self, running: bool) -> None:
        self._running = running
        self._start.set_enabled(not running)
        self._stop.set_enabled(running)

    def _end(self) -> None:
        self._running = False

    def _show(self, found: list[float], name: str) -> None:
        self._state.set_text(f'{len(found)} pictures, {name}')
        self._chart.show({'energy': (list(range(1, len(found) + 1)), found)}, 'picture')
        lowest = int(np.argmin(found))
        removed = 1.0 - found[lowest] / found[0] if found[0] > 0.0 else 0.0
        self._along.show(
            {
                'first': f'{found[0]:.4f}',
                'lowest': f'{found[lowest]:.4f} at {lowest + 1}',
                'last': f'{found[-1]:.4f}',
                'share removed': f'{removed:.0%}',
            }
        )


def _build(view: View) -> Any:
    return CheckPage(view).refresh()


PAGE = Page(
    '/check',
    'Check',
    'fact_check',
    "How far pictures are from a goal in the model's eyes; nothing moves and nothing is planned.",
    _build,
)
