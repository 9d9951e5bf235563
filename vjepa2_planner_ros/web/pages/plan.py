# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Plan from two pictures, and follow the search live."""

from __future__ import annotations

from typing import Any

from nicegui import ui
import numpy as np
from pydantic import ValidationError

from ..charts import EnergyChart
from ..components import CommandTable, Facts, PictureInput
from ..frames import frame_rgb
from ..geometry import arrow
from ..layout import div, heading, Page, View
from ..schemas import Completed, Failed, ModelLoading, Running, StartState
from ..search_form import SearchForm
from ..tasks import CANCELLED, PlanTask, QueueFull
from ...messages.results import confidence_text, imagined_text

MEANINGS = (
    "Energy: how far the predicted picture is from the goal in the model's eyes; lower is nearer, "
    'and 0 is the same picture.',
    "Command: the next step of the end effector in the robot's base frame: metres along its axes, "
    'radians about them, and the gripper from -1 (close) to +1 (open).',
    'Confidence: the probability that the step leads nearer; or, not calibrated, the share of the '
    'energy that the plan removes, times how far the best candidates agree. Either falls near the '
    'goal, which means stop there.',
    'Nothing moves: a plan is a proposal; only the Reach page moves an arm, and only when it is '
    'armed.',
)
START = {  # axis: unit, and a number to begin with
    'x': ('m', 0.4),
    'y': ('m', 0.0),
    'z': ('m', 0.3),
    'roll': ('rad', 3.1416),
    'pitch': ('rad', 0.0),
    'yaw': ('rad', 0.0),
    'gripper': ('0 open .. 1 closed', 0.0),
}


def build(view: View) -> Any:
    """Make the page."""
    return PlanPage(view).refresh()


class PlanPage:
    """The page of one browser."""

    def __init__(self, view: View):
        self._view, self._shown = view, -1
        self._task: PlanTask | None = None
        self._result: Completed | None = None  # whose command is to be drawn
        with div('grid wide-right'):
            with div('stack'):
                self._inputs()
            with div('stack'):
                self._outputs(view)
        ui.timer(0.2, self._follow)

    async def refresh(self) -> None:
        """Ask the planner what the form offers."""
        await self._form.refresh()

    def _inputs(self) -> None:
        with div('card stack'):
            with div('pair'):
                self._current = PictureInput(
                    self._view,
                    'Current picture',
                    'Empty: the newest frame of the camera. Drop or paste one here.',
                )
                self._goal = PictureInput(
                    self._view,
                    'Goal picture',
                    'Drop or paste a picture of the goal, taken by the same camera.',
                )
            with ui.element('p').classes('muted small'):
                ui.label('The model looks at the square; what is dimmed it does not see.')
        with div('card stack'):
            heading('Search')
            self._form = SearchForm(self._view)
            with ui.expansion('Start from another pose than the live one').classes('small'):
                self._own_state = ui.switch("Use these numbers instead of the robot's state")
                with div('fields'):
                    self._state = {
                        name: ui.number(f'{name} [{unit}]', value=value, step=0.01).props(
                            'outlined dense'
                        )
                        for name, (unit, value) in START.items()
                    }
            with div('line'):
                self._start = ui.button('Plan', icon='play_arrow', on_click=self._plan).props(
                    'unelevated'
                )
                self._cancel = ui.button('Cancel', on_click=self._stop).props('outline')
                self._cancel.set_enabled(False)

    def _outputs(self, view: View) -> None:
        with div('card stack'):
            with div('line').style('justify-content: space-between'):
                heading('Energies')
                with div().props('role=status aria-live=polite').classes('muted small'):
                    self._phase = ui.label('no plan yet')
            with div('bar'):
                self._bar = div().style('width: 0%')
            self._chart = EnergyChart(view.dark)
        with div('card stack'):
            heading('Result')
            self._facts = Facts(
                ['confidence', 'energy', 'start energy', 'planning time', 'model', 'calibration']
            )
            self._table = CommandTable()
            with ui.element('figure').style('margin: 0') as self._imagined:
                self._picture = ui.element('img').style('width: 256px; max-width: 100%')
                with ui.element('figcaption').classes('muted small'):
                    self._caption = ui.label()
            self._imagined.set_visibility(False)
        with div('card'), ui.expansion('What does this mean?').classes('w-full'):
            with div('stack').style('gap: 8px'):
                for meaning in MEANINGS:
                    with ui.element('p').classes('small'):
                        ui.label(meaning)

    async def _plan(self) -> None:
        goal, current = self._goal.value, self._current.value
        if goal is None:
            ui.notify(
                'Goal picture: choose, drop or paste one first',
                type='warning',
                position='bottom-right',
            )
            return
        try:
            settings = self._form.settings(state=self._start_state())
            self._task = self._view.console.tasks.add(
                settings, goal.data, current.data if current else None
            )
        except ValidationError as error:
            fault = error.errors()[0]
            ui.notify(
                f'{fault["loc"][0]}: {fault["msg"]}', type='negative', position='bottom-right'
            )
            return
        except QueueFull as error:
            ui.notify(str(error), type='negative', position='bottom-right')
            return
        self._shown, self._result = -1, None
        await self._show_live()
        self._chart.show([])
        self._table.show(None)
        self._imagined.set_visibility(False)

    async def _show_live(self) -> None:
        """Show the camera's frame where the planner takes one itself."""
        self._current.draw()
        if self._current.value is None:
            try:
                rgb = await frame_rgb(self._view.console.link)
                picture = await self._view.console.pictures.add_frame(rgb)
            except (OSError, ValueError):
                return  # the plan will tell
            self._current.set(picture, live=True)

    def _start_state(self) -> StartState | None:
        if not self._own_state.value:
            return None
        return StartState(**{name: field.value or 0.0 for name, field in self._state.items()})

    def _stop(self) -> None:
        if self._task is not None:
            self._view.console.tasks.cancel(self._task)

    def _draw_arrow(self) -> None:
        """Draw the command into the current picture, once it is known how."""
        result, picture = self._result, self._current.shown
        if result is None or picture is None or result.target_position is None:
            return
        geometry = self._view.console.geometry
        geometry.look()
        target = np.array(result.target_position)
        points = np.stack([target - result.action[:3], target])
        size = picture.width, picture.height
        ends = geometry.project(points, result.frame_id, size)
        if ends is not None:
            self._current.draw(arrow(ends[0], ends[1], size))
            self._result = None

    def _follow(self) -> None:
        """Show what is new of the plan."""
        self._view.console.tasks.imagined.look()
        task = self._task
        self._draw_arrow()
        self._start.set_enabled(task is None or task.ended)
        self._cancel.set_enabled(task is not None and not task.ended)
        if task is None or len(task.events) == self._shown:
            return
        self._shown = len(task.events)
        rows = [event for event in task.events if isinstance(event, Running)]
        if rows:
            self._chart.show(rows)
        last = task.events[-1] if task.events else None
        share, text = _progress(last)
        self._phase.set_text(text)
        self._bar.style(f'width: {100 * share:.0f}%')
        if isinstance(last, Completed):
            self._show(last)

    def _show(self, result: Completed) -> None:
        axes = 3 if not any(result.action[3:]) and result.model.endswith('3dof') else 7
        self._table.show(result.action, axes)
        self._result = result
        self._imagined.set_visibility(result.imagined is not None)
        if result.imagined is not None:
            text = imagined_text(result)
            self._picture.props(f'src=/api/pictures/{result.imagined} alt="Imagined"')
            self._caption.set_text(f'Imagined: {text}.')
        self._facts.show(
            {
                'confidence': confidence_text(result),
                'energy': f'{result.energy:.4f}',
                'start energy': f'{result.start_energy:.4f}',
                'planning time': f'{result.planning_time:.2f} s',
                'model': result.model,
                'calibration': result.calibration or 'none',
            }
        )


def _progress(event: Any) -> tuple[float, str]:
    """Return the share that is done and what is being done."""
    if event is None:
        return 0.0, 'waiting'
    if isinstance(event, ModelLoading):
        return event.progress, f'loading the model, {event.progress:.0%}'
    if isinstance(event, Running):
        share = event.iteration / max(event.iterations, 1)
        return share, f'iteration {event.iteration} of {event.iterations}'
    if isinstance(event, Failed):
        return 0.0, 'cancelled' if event == CANCELLED else f'failed: {event.code}: {event.text}'
    return 1.0, 'planned'


PAGE = Page(
    '/',
    'Plan',
    'route',
    'From where the arm is to a picture of where it should be: the step that the world model '
    'proposes.',
    build,
)
