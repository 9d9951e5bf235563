# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One recorded plan or run, or two beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nicegui import ui

from .charts import LinesChart
from .layout import div, scrolled, View
from ..history.recorded import began, RecordedPlan
from ..history.topics import CURRENT_IMAGE, GOAL_IMAGE, IMAGINED
from ..messages.commands import UNITS
from ..messages.results import confidence_text, imagined_text
from ..messages.texts import one_line
from ..messages.times import seconds


class Details:
    """One plan or run, or two beside each other."""

    def __init__(self, view: View):
        self._console = view.console
        with div('card stack') as self._card:
            self._title = ui.label().style('font-weight: 650')
            with div('grid wide-right'):
                self._chart = LinesChart(view.dark, 'iteration', 'Energies of what is compared')
                self._facts = scrolled('Figures of what is compared')
            self._pictures = div('stack')
        self._card.set_visibility(False)

    async def show_plans(self, plans: Sequence[RecordedPlan]) -> None:
        """Show one or two plans."""
        self._card.set_visibility(True)
        self._title.set_text(' and '.join(f'plan {plan.short_id}' for plan in plans))
        self._chart.show(
            {
                f'{plan.short_id}, best so far': (
                    [step.iteration for step in plan.iterations],
                    [step.energy_best for step in plan.iterations],
                )
                for plan in plans
            },
            'iteration',
        )
        self._table([plan.short_id for plan in plans], [_plan_facts(plan) for plan in plans])
        self._pictures.clear()
        for plan in plans:
            with self._pictures:
                row = div('pair')
            for role, text in (
                (CURRENT_IMAGE, 'planned from'),
                (GOAL_IMAGE, 'goal as seen'),
                (IMAGINED, imagined_text(plan.record)),
            ):
                if role in plan.images:
                    picture = await self._console.pictures.add_frame(plan.images[role])
                    with row, ui.element('figure').style('margin: 0'):
                        label = f'{plan.short_id}, {text}'
                        with div('drop filled').style('aspect-ratio: 1'):
                            source = f'src=/api/pictures/{picture.id}'
                            ui.element('img').props(f'{source} alt="{label}"')
                        with ui.element('figcaption').classes('muted small'):
                            ui.label(label)

    def show_runs(self, runs: Sequence[Sequence[Any]]) -> None:
        """Show one or two runs, each as the PlanRecords of its steps in order."""
        self._card.set_visibility(True)
        names = [bytes(steps[0].run_id.uuid).hex()[:8] for steps in runs]
        self._title.set_text(' and '.join(f'run {name}' for name in names))
        self._chart.show(
            {
                f'{name}, energy of the picture': (
                    list(range(1, len(steps) + 1)),
                    [step.start_energy for step in steps],
                )
                for name, steps in zip(names, runs)
            },
            'step',
        )
        self._table(names, [_run_facts(steps) for steps in runs])
        self._pictures.clear()

    def _table(self, names: Sequence[str], facts: Sequence[dict[str, str]]) -> None:
        self._facts.clear()
        with self._facts, ui.element('table').classes('plain'):
            with ui.element('thead'), ui.element('tr'):
                for name in ('', *names):
                    with ui.element('th').props('scope=col').classes('number' if name else ''):
                        ui.label(name or 'figure').classes('' if name else 'visually-hidden')
            with ui.element('tbody'):
                for key in facts[0]:
                    with ui.element('tr'):
                        with ui.element('th').props('scope=row'):
                            ui.label(key)
                        for each in facts:
                            with ui.element('td').classes('number'):
                                ui.label(each.get(key, '-'))


def began_at(folder: str) -> str:
    """Return when a plan was recorded (UTC), by its folder's name."""
    try:
        return f'{began(Path(folder)):%Y-%m-%d %H:%M:%S}'
    except (OSError, ValueError, StopIteration):
        return one_line(folder, 30)


def _plan_facts(plan: RecordedPlan) -> dict[str, str]:
    record = plan.record
    facts = {
        'began (UTC)': began_at(record.folder)[5:],
        'outcome': record.outcome or 'not ended',
        'model': one_line(record.model, 40),
        'device': one_line(record.device, 20),
    }
    if record.outcome == 'succeeded':
        facts |= {
            'start energy': f'{record.start_energy:.5f}',
            'plan energy': f'{record.energy:.5f}',
            'confidence': confidence_text(record),
            'planning time': f'{seconds(record.planning_time):.3f} s',
        }
        facts |= {
            axis: f'{value:+.4f} {unit if len(unit) < 4 else ""}'.strip()
            for (axis, unit), value in zip(UNITS.items(), record.command)
        }
    return facts


def _run_facts(steps: Sequence[Any]) -> dict[str, str]:
    return {
        'began (UTC)': began_at(steps[0].folder),
        'model': one_line(steps[0].model, 40),
        'plans': str(len(steps)),
        'first energy': f'{steps[0].start_energy:.5f}',
        'last energy': f'{steps[-1].start_energy:.5f}',
        'last confidence': confidence_text(steps[-1]),
        'planning time': f'{sum(seconds(step.planning_time) for step in steps):.2f} s',
    }
