# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded runs of the controller in lines, for the command `history`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..history.recorded import began, short_id
from ..history.recorded_run import load_run, plans_of, RecordedRun
from ..history.store import size_of
from ..messages.times import seconds

HEADING = (
    f'{"began (UTC)":20}{"run":10}{"outcome":33}{"steps":>6}{"energy":>20}{"sub-goals":>11}'
    f'{"time":>9}{"size":>10}'
)


def run_line(path: Path) -> str:
    """Return a recorded run as a line under HEADING."""
    text = f'{began(path):%Y-%m-%d %H:%M:%S} {short_id(path):10}'
    try:
        run = load_run(path, pictures=False)
    except ValueError as error:
        return f'{text}{error}'
    record, energy = run.record, ''
    if run.steps:
        energy = f'{run.steps[0].energy:.4f} -> {run.steps[-1].energy:.4f}'
    return (
        f'{text}{run.outcome:33}{sum(run.done):6}{energy:>20}'
        f'{f"{record.sub_goals_done} of {record.sub_goals}":>11}'
        f'{seconds(record.run_time):7.1f} s{size_of(path) / 1e6:7.2f} MB  {record.error_msg}'
    ).rstrip()


def run_lines(run: RecordedRun, settings: bool) -> Iterator[str]:
    """Yield what a run was asked, each step and how it ended, and with settings the parameters."""
    from .reach import HEADING as STEPS, step_line  # it needs rclpy

    record = run.record
    yield str(run.folder)
    yield f'began {began(run.folder):%Y-%m-%d %H:%M:%S} UTC'
    dry = ', a dry run' if record.dry_run else ''
    yield f'model {record.model or "none"}, camera {record.camera}{dry}'
    for number, picture in enumerate(run.sub_goals, 1):
        yield f'sub-goal {number}: {picture.shape[1]} x {picture.shape[0]}'
    if run.steps:
        yield STEPS
    yield from map(step_line, run.steps, run.done)
    plans = [short_id(path) for path in plans_of(run)]
    yield f'plans recorded: {" ".join(plans) or "none"}'
    yield f'{run}{": " if record.error_msg else ""}{record.error_msg}'
    if settings:
        yield from (f'{name}: {value}' for name, value in run.settings.items())
