# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reach pictures with the arm: sub-goals, arming, confirming, and the steps as they happen."""

from __future__ import annotations

from typing import Any

from nicegui import ui
from pydantic import ValidationError

from ..charts import LinesChart
from ..components import CommandTable, failed, header_row, LiveCamera, small_button
from ..frames import frame_rgb
from ..layout import div, heading, Page, scrolled, View
from ..link import NoAnswer
from ..runs import in_words, PHASES, Runs, SubGoal
from ..search_form import SEARCH, SearchForm
from ...messages.results import confidence_text

GRIPPERS = {-1.0: 'gripper as it is', 0.0: 'open the gripper', 1.0: 'close the gripper'}
MOST_GOALS = 12
SHOWN_STEPS = 12
COLUMNS = ('Step', 'Sub-goal', 'Energy', 'Predicted', 'Confidence', 'Surprise', 'Clipped by')
# Every 200 ms while the page is open and not hidden; an armed controller needs it.
ALIVE = "setInterval(() => { if (!document.hidden) emitEvent('alive'); }, 200)"


class ReachPage:
    """The page of one browser."""

    def __init__(self, view: View):
        self._console, self._runs = view.console, view.console.runs
        self._name = ui.context.client.id
        self._goals: list[SubGoal] = []
        self._shown = (-1, False)
        with div('grid wide-right'):
            with div('stack'):
                self._make_goals()
                self._make_settings(view)
            with div('stack'):
                self._make_switches()
                self._make_progress(view)
        ui.on('alive', lambda: self._runs.beat(self._name))
        ui.timer(0.25, self._follow)
        ui.run_javascript(ALIVE)

    async def refresh(self) -> None:
        """Ask the planner what the form offers."""
        self._show_goals()
        await self._form.refresh()

    def _make_goals(self) -> None:
        with div('card stack'):
            heading('Sub-goals')
            self._strip = div('strip').props('role=list aria-label="Sub-goals in order"')
            self._drop = div('drop').props('data-many=1').style('aspect-ratio: auto; height: 92px')
            self._drop.on('picture', self._on_picture, args=['detail'])
            with self._drop:
                ui.label('Drop or paste pictures here; the arm reaches them in order.').classes(
                    'hint'
                )
                self._input = ui.element('input').props(
                    'type=file multiple accept=image/png,image/jpeg,image/webp tabindex=-1 '
                    'aria-label="Pictures of sub-goals"'
                )
            with div('line').style('gap: 4px'):
                small_button('Choose', 'upload_file', 'Sub-goal', self._choose)
                small_button('Camera', 'photo_camera', 'Sub-goal', self._grab)

    def _make_settings(self, view: View) -> None:
        with div('card stack'):
            heading('Run')
            self._form = SearchForm(view)
            with div('fields'):
                self._most = ui.number('Most steps', min=0, max=1000, precision=0)
                self._time = ui.number('Longest time [s]', min=0, max=86400, precision=0)
            for field in (self._most, self._time):
                field.props('outlined dense stack-label placeholder="the controller\'s"')
            self._dry = ui.switch('Dry run: plan and check a step, move nothing', value=True)

    def _make_switches(self) -> None:
        with div('card stack'):
            with div('line').style('justify-content: space-between'):
                with div('chip'):
                    self._dot = div('dot')
                    self._state = ui.label().props('role=status')
                # Two buttons: one that changed its meaning would arm a browser that lags behind
                # and still shows "Disarm".
                with div('line'):
                    self._arm = ui.button('Arm', icon='lock_open', on_click=self._on_arm)
                    self._disarm = ui.button('Disarm', icon='lock', on_click=self._on_disarm)
                for button in (self._arm, self._disarm):
                    button.props('outline')
            with div('line'):
                self._start = ui.button('Start', icon='play_arrow', on_click=self._begin)
                self._start.props('unelevated')
                self._cancel = ui.button('Cancel', on_click=self._runs.cancel).props('outline')
                self._yes = ui.button('Confirm step', on_click=lambda: self._confirm(True))
                self._no = ui.button('Refuse', on_click=lambda: self._confirm(False))
                self._yes.props('outline')
                self._no.props('outline')
            LiveCamera(self._console)
            with ui.element('p').classes('muted small'):
                ui.label(
                    'STOP above, or the Esc key, makes the arm hold and disarms it. If this page '
                    'is closed, hidden or cut off, the arm holds too. This is no certified '
                    'emergency stop: keep the real one at hand.'
                )

    def _make_progress(self, view: View) -> None:
        with div('card stack'):
            with div('line').style('justify-content: space-between'):
                heading('Steps')
                self._phase = ui.label('no run yet').classes('muted small').props('role=status')
            self._chart = LinesChart(view.dark, 'step', 'Energy of the picture at each step')
            with scrolled('Steps of the run'), ui.element('table').classes('plain'):
                header_row(COLUMNS)
                self._rows = ui.element('tbody')
        with div('card stack'):
            heading('Command of the newest step, within the limits')
            self._command = CommandTable()

    def _show_goals(self) -> None:
        self._strip.clear()
        with self._strip:
            for index, goal in enumerate(self._goals):
                self._make_goal(index, goal)
        self._strip.set_visibility(bool(self._goals))

    def _make_goal(self, index: int, goal: SubGoal) -> None:
        name = f'Sub-goal {index + 1}'
        with div('stack').style('gap: 6px').props(f'role=listitem aria-label="{name}"'):
            with div('drop filled'):
                source = f'src=/api/pictures/{goal.picture.id}'
                ui.element('img').props(f'{source} alt="{name}"')
            choice = ui.select(GRIPPERS, value=-1.0 if goal.gripper is None else goal.gripper)
            choice.props(f'dense outlined options-dense aria-label="{name}: gripper at its end"')

            def set_gripper() -> None:
                goal.gripper = None if choice.value < 0.0 else choice.value

            choice.on_value_change(set_gripper)
            with div('line').style('gap: 0; justify-content: space-between; flex-wrap: nowrap'):
                ui.label(str(index + 1)).classes('muted small')
                small_button('', 'arrow_back', f'{name} earlier', lambda: self._move(index, -1))
                small_button('', 'arrow_forward', f'{name} later', lambda: self._move(index, 1))
                small_button('', 'delete', f'{name} delete', lambda: self._delete(index))

    def _move(self, index: int, by: int) -> None:
        if 0 <= index + by < len(self._goals):
            self._goals.insert(index + by, self._goals.pop(index))
            self._show_goals()

    def _delete(self, index: int) -> None:
        del self._goals[index]
        self._show_goals()

    def _choose(self) -> None:
        ui.run_javascript(f'getHtmlElement({self._input.id}).click()')

    async def _grab(self) -> None:
        try:
            rgb = await frame_rgb(self._console.link)
            self._add(await self._console.pictures.add_frame(rgb))
        except (OSError, ValueError) as error:
            failed(error)

    def _on_picture(self, event: Any) -> None:
        detail = event.args['detail']
        picture = self._console.pictures.get(str(detail.get('id', '')))
        if picture is None:
            failed(detail.get('text', 'the picture is not there any more'))
        else:
            self._add(picture)

    def _add(self, picture: Any) -> None:
        if len(self._goals) >= MOST_GOALS:
            failed(f'sub-goals: allowed: up to {MOST_GOALS}')
            return
        self._goals.append(SubGoal(picture))
        self._show_goals()

    async def _on_arm(self) -> None:
        try:
            await self._runs.arm(self._name)
        except (NoAnswer, RuntimeError) as error:
            failed(error)

    async def _on_disarm(self) -> None:
        try:
            await self._runs.disarm()
        except NoAnswer as error:
            failed(error)

    async def _confirm(self, yes: bool) -> None:
        try:
            await self._runs.confirm(yes)
        except (NoAnswer, RuntimeError) as error:
            failed(error)

    async def _begin(self) -> None:
        if not self._goals:
            failed('Sub-goals: drop, choose or take a picture first')
            return
        try:
            search = self._form.settings().model_dump(include={'model', *SEARCH})
            await self._runs.start(
                self._goals,
                max_steps=int(self._most.value or 0),
                time_allowance=float(self._time.value or 0.0),
                dry_run=self._dry.value,
                **search,
            )
        except (RuntimeError, ValidationError) as error:
            failed(error)

    def _follow(self) -> None:
        """Show what is new."""
        runs, here = self._runs, self._runs.is_there
        mine = runs.armed_by == self._name
        armed = bool(runs.armed_by) or runs.armed_elsewhere
        colour = 'bad' if mine else 'warn' if armed else ''
        self._dot.classes(replace=f'dot {colour}')
        self._state.set_text(_armed(runs, mine))
        self._arm.set_enabled(here and not armed)
        self._disarm.set_enabled(here)  # whatever is known of the controller
        self._start.set_enabled(here and not runs.running)
        self._cancel.set_enabled(runs.running)
        for button in (self._yes, self._no):
            button.set_enabled(runs.confirming)
        self._phase.set_text(self._words())
        if self._shown != (len(runs.steps), runs.running):
            self._shown = len(runs.steps), runs.running
            self._show_steps()

    def _words(self) -> str:
        runs = self._runs
        if runs.running:
            return PHASES.get(runs.phase, '')
        return in_words(runs.result) if runs.result else runs.failure or 'no run yet'

    def _show_steps(self) -> None:
        steps = self._runs.steps
        numbers = [step.step for step in steps]
        self._chart.show(
            {
                'energy': (numbers, [step.energy for step in steps]),
                'predicted after the step': (
                    [number + 1 for number in numbers],
                    [step.predicted_energy for step in steps],
                ),
            },
            'step',
        )
        self._command.show(steps[-1].limited_command if steps else None)
        self._rows.clear()
        with self._rows:
            for step in steps[-SHOWN_STEPS:][::-1]:
                cells = (
                    f'{step.step}',
                    f'{step.sub_goal}',
                    f'{step.energy:.4f}',
                    f'{step.predicted_energy:.4f}',
                    confidence_text(step),
                    f'{step.surprise:.2f}' if step.has_surprise else '',
                    ', '.join(step.limits),
                )
                with ui.element('tr'):
                    for cell in cells:
                        with ui.element('td'):
                            ui.label(cell)


def _armed(runs: Runs, mine: bool) -> str:
    if not runs.is_there:
        return 'no controller is heard'
    if mine:
        return 'armed: a run moves the arm'
    if runs.armed_elsewhere:
        return 'armed, but not by this console'
    return 'armed by another browser' if runs.armed_by else 'disarmed: nothing moves'


def _build(view: View) -> Any:
    return ReachPage(view).refresh()


PAGE = Page(
    '/reach',
    'Reach',
    'precision_manufacturing',
    'Step by step to one picture or several, in order. Nothing moves unless the controller '
    'is armed.',
    _build,
)
