# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The energy landscape of a plan in two and three dimensions, with candidates of the search."""

from __future__ import annotations

from typing import Any

from nicegui import ui
import numpy as np

from ..components import failed, small_button
from ..history import list_plans, read_plan
from ..landscape_plots import LandscapePlots
from ..landscapes import goal_of, landscape
from ..layout import div, heading, Page, View
from ..link import NoAnswer
from ..searches import LiveSearch, of_recording, Search
from ...client import PlanFailed
from ...history.recorded import RecordedPlan
from ...messages.texts import one_line
from ...planning.actions import AXES
from ...planning.landscape import Landscape

LIVE = 'the newest plan'
RESOLUTIONS = {11: '11 x 11', 21: '21 x 21', 41: '41 x 41'}
FRAME_TIME = 0.8  # s of an iteration while playing


class LandscapePage:
    """The page of one browser."""

    def __init__(self, view: View, live: LiveSearch):
        self._console, self._live = view.console, live
        self._recorded: RecordedPlan | None = None
        self._search, self._last = Search(), 1
        self._found: Landscape | None = None
        with div('stack'):
            with div('card stack'):
                self._make_form()
            with div('card stack'):
                self._make_player()
                self._plots = LandscapePlots(view.dark)
                with ui.element('p').classes('muted small'):
                    ui.label(
                        'Points are candidates of the search. They lie on the surface only where '
                        'they agree with the command on the axes that are not shown.'
                    )
        ui.timer(0.4, self._follow)
        self._player = ui.timer(FRAME_TIME, self._next, active=False)

    def _make_form(self) -> None:
        with div('fields'):
            self._source = ui.select({'': LIVE}, value='', label='Plan')
            self._x = ui.select(list(AXES), value='x', label='First axis')
            self._y = ui.select(list(AXES), value='y', label='Second axis')
            self._resolution = ui.select(RESOLUTIONS, value=21, label='Points')
        for field in (self._source, self._x, self._y, self._resolution):
            field.props('outlined dense stack-label options-dense')
        self._source.on_value_change(self._choose)
        for field in (self._x, self._y):
            field.on_value_change(self._forget)
        with div('line'):
            self._start = ui.button('Measure', icon='terrain', on_click=self._measure)
            self._start.props('unelevated')
            self._state = ui.label().classes('muted small').props('role=status')

    def _make_player(self) -> None:
        with div('line').style('flex-wrap: nowrap'):
            heading('Candidates')
            self._play = small_button('Play', 'play_arrow', 'Iterations', self._toggle)
            self._slider = ui.slider(min=1, max=2, value=1, step=1, on_change=self._draw)
            self._slider.props('aria-label="Iteration of the search" markers snap').style(
                'margin: 0 10px'
            )
            self._iteration = ui.label('none yet').classes('muted small number')
            self._iteration.style('min-width: 130px')
        self._slider.set_enabled(False)
        self._play.set_enabled(False)

    async def refresh(self) -> None:
        """Ask the planner for its recordings, and offer them."""
        try:
            records = await list_plans(self._console.link, 50)
        except (LookupError, NoAnswer):
            records = []
        offers = {
            record.folder: f'{bytes(record.plan_id.uuid).hex()[:8]}, {one_line(record.model, 30)}'
            for record in records
            if record.outcome == 'succeeded'
        }
        self._source.set_options({'': LIVE, **offers}, value=self._source.value)

    async def _choose(self) -> None:
        self._forget()
        self._recorded = None
        if self._source.value:
            try:
                self._recorded = await read_plan(self._console.link, self._source.value)
            except (LookupError, NoAnswer) as error:
                failed(error.args[0])
                return
            self._show_search(of_recording(self._recorded))
        else:
            self._show_search(self._live.look())

    def _forget(self) -> None:
        self._found = None
        self._state.set_text('')
        self._draw()

    async def _measure(self) -> None:
        axes = (self._x.value, self._y.value)
        if axes[0] == axes[1]:
            failed('Second axis: choose another one than the first')
            return
        progress = {'share': 0.0}
        shower = ui.timer(0.2, lambda: self._state.set_text(f'measuring, {progress["share"]:.0%}'))
        self._start.set_enabled(False)
        try:
            goal = goal_of(axes, self._resolution.value, self._recorded)
            self._found = await landscape(
                self._console.link, goal, lambda said: progress.update(share=said.progress)
            )
            text = (
                f'{self._found.energies.size} points, lowest {self._found.minimum:.4f}, of doing '
                f'nothing {self._found.start_energy:.4f}'
            )
        except (PlanFailed, ValueError) as error:
            failed(error)
            text = ''
        finally:
            shower.cancel()
            self._start.set_enabled(True)
        self._state.set_text(text)
        self._draw()

    async def _follow(self) -> None:
        """Show what is new of the newest plan, and offer it once it is recorded."""
        search = self._live.look()
        if not self._source.value and search is not self._search:
            self._show_search(search)

    def _show_search(self, search: Search) -> None:
        if search.plan_id != self._search.plan_id:
            self._found = None
        self._search = search
        count = max(search.points, default=0)
        at_end = self._slider.value >= self._last
        self._last = max(count, 1)
        self._slider.props(f'max={max(count, 2)}')
        self._slider.set_enabled(count > 1)
        self._play.set_enabled(count > 1)
        if at_end or self._slider.value > count:
            self._slider.set_value(max(count, 1))
        self._draw()

    def _toggle(self) -> None:
        playing = not self._player.active
        if playing and self._slider.value >= self._last:
            self._slider.set_value(1)
        self._player.active = playing
        self._play.set_text('Pause' if playing else 'Play')

    def _next(self) -> None:
        if self._slider.value >= self._last:
            self._toggle()
        else:
            self._slider.set_value(self._slider.value + 1)

    def _draw(self) -> None:
        number = int(self._slider.value)
        points = self._search.points.get(number)
        text = f'iteration {number} of {max(self._search.points)}' if points else 'none yet'
        self._iteration.set_text(text)
        command = None
        if self._found is not None and self._found.command is not None:
            command = self._found.command
        elif self._recorded is not None and self._recorded.record.outcome == 'succeeded':
            command = np.array(self._recorded.record.command)
        self._plots.show((self._x.value, self._y.value), self._found, points, command)


def build(view: View) -> Any:
    """Make the page."""
    return LandscapePage(view, view.console.live_search).refresh()


PAGE = Page(
    '/landscape',
    'Landscape',
    'landscape',
    'What the world model predicts for every step along two axes: the energy that the '
    'search sees.',
    build,
)
