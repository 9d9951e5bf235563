# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recorded plans and runs as CSV, JSON and PNG."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from .recorded import began, RecordedPlan
from .recorded_run import RecordedRun
from .topics import CURRENT_IMAGE, GOAL_IMAGE, IMAGINED, MODEL_INPUT
from ..messages.commands import command_of
from ..messages.runs import ending
from ..messages.times import seconds
from ..planning.actions import AXES

SCALARS = (
    'iteration',
    'energy_min',
    'energy_best',
    'energy_elite_mean',
    'energy_elite_std',
    'energy_mean',
    'energy_max',
    'elapsed',
)
STEP_SCALARS = ('sub_goal', 'step', 'energy', 'predicted_energy', 'confidence', 'energy_rise')


def write_csv(plan: RecordedPlan, path: str | Path) -> None:
    """Write every candidate: a row for each of its steps, in command convention."""
    with open(path, 'w', newline='') as file:
        rows = csv.writer(file)
        rows.writerow(['iteration', 'candidate', 'step', 'energy', 'elite', *AXES])
        for iteration, found in plan.candidates.items():
            elites = set(found.elites.tolist())
            for candidate, steps in enumerate(found.actions):
                rows.writerows(
                    [
                        iteration,
                        candidate,
                        step,
                        found.energies[candidate],
                        int(candidate in elites),
                        *action,
                    ]
                    for step, action in enumerate(steps)
                )


def write_json(plan: RecordedPlan, path: str | Path) -> None:
    """Write what was asked, how it ended, and what each iteration found."""
    Path(path).write_text(json.dumps(to_dict(plan), indent=2) + '\n')


def to_dict(plan: RecordedPlan) -> dict[str, Any]:
    """Return the same as plain Python; times in seconds."""
    record, result = plan.record, {}
    if record.outcome == 'succeeded':
        result = {
            'command': [float(value) for value in record.command],
            'plan': [command_of(step).tolist() for step in record.plan],
            'target_pose': _pose(record.target_pose.pose),
            **{
                name: getattr(record, name)
                for name in ('energy', 'start_energy', 'confidence', 'iterations')
            },
            **{
                name: seconds(getattr(record, name))
                for name in ('planning_time', 'encoding_time', 'optimization_time')
            },
        }
    return {
        'folder': plan.folder.name,
        'began': began(plan.folder).isoformat(),
        **{
            name: getattr(record, name)
            for name in (
                'outcome',
                'error_code',
                'error_msg',
                'model',
                'device',
                'dtype',
                'camera',
                'dropped',
            )
        },
        'base_frame': record.header.frame_id,
        'time_allowance': seconds(record.time_allowance),
        'states': [{**_pose(state.pose), 'gripper': state.gripper} for state in record.states],
        'settings': plan.settings,
        'result': result,
        'iterations': [
            {
                **{name: getattr(step, name) for name in SCALARS},
                'mean': [float(value) for value in step.mean],
                'std': [float(value) for value in step.std],
            }
            for step in plan.iterations
        ],
    }


def _pose(pose):
    place, turn = pose.position, pose.orientation
    return {
        'position': [place.x, place.y, place.z],
        'orientation_xyzw': [turn.x, turn.y, turn.z, turn.w],
    }


def write_png(plan: RecordedPlan, path: str | Path) -> None:
    """Draw start, what the model saw and expects, goal, and the energies over the iterations."""
    from matplotlib.figure import Figure  # slow to import, and only needed here
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.0, 6.5), layout='constrained')
    pictures = [(CURRENT_IMAGE, 'start'), (MODEL_INPUT, 'as the model saw it')]
    if IMAGINED in plan.images:
        pictures.append((IMAGINED, 'imagined after the command'))
    pictures.append((GOAL_IMAGE, 'goal'))
    grid = figure.add_gridspec(2, len(pictures))
    for column, (role, title) in enumerate(pictures):
        axes = figure.add_subplot(grid[0, column], title=title)
        axes.set_axis_off()
        if role in plan.images:
            axes.imshow(plan.images[role])
    axes = figure.add_subplot(grid[1, :], xlabel='iteration', ylabel='energy')
    numbers = [step.iteration for step in plan.iterations]
    for name, label in (
        ('energy_mean', 'all, mean'),
        ('energy_elite_mean', 'elites, mean'),
        ('energy_best', 'best so far'),
    ):
        axes.plot(numbers, [getattr(step, name) for step in plan.iterations], 'o-', label=label)
    if plan.record.outcome == 'succeeded':
        axes.axhline(plan.record.start_energy, color='grey', ls='--', label='doing nothing')
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, max(numbers, default=1) + 0.5)
    axes.legend()
    figure.savefig(path, dpi=110, format='png')


def write_run_csv(run: RecordedRun, path: str | Path) -> None:
    """Write a row for each step that was planned, in command convention."""
    with open(path, 'w', newline='') as file:
        limited = [f'limited_{axis}' for axis in AXES]
        rows = csv.DictWriter(file, [*STEP_SCALARS, *AXES, *limited, 'limits', 'planning_time'])
        rows.writeheader()
        for step in run.steps:
            rows.writerow(
                {
                    **{name: getattr(step, name) for name in STEP_SCALARS},
                    **dict(zip(AXES, step.command)),
                    **dict(zip(limited, step.limited_command)),
                    'limits': ' '.join(step.limits),
                    'planning_time': seconds(step.planning_time),
                }
            )


def write_run_json(run: RecordedRun, path: str | Path) -> None:
    """Write what was asked, how it ended, and each step that was planned; times in seconds."""
    record, (outcome, reason) = run.record, ending(run.record)
    content = {
        'folder': run.folder.name,
        'began': began(run.folder).isoformat(),
        'run_id': bytes(record.run_id.uuid).hex(),
        'outcome': outcome,
        'reason': reason,
        **{
            name: getattr(record, name)
            for name in (
                'error_code',
                'error_msg',
                'model',
                'camera',
                'sub_goals',
                'sub_goals_done',
                'dry_run',
            )
        },
        'base_frame': record.header.frame_id,
        'run_time': seconds(record.run_time),
        'settings': run.settings,
        'steps': [
            {
                **{name: getattr(step, name) for name in STEP_SCALARS},
                'command': [float(value) for value in step.command],
                'limited_command': [float(value) for value in step.limited_command],
                'limits': list(step.limits),
                'target_pose': _pose(step.target_pose.pose),
                'target_gripper': step.target_gripper,
                'planning_time': seconds(step.planning_time),
                'plan_id': bytes(step.plan_id.uuid).hex(),
            }
            for step in run.steps
        ],
    }
    Path(path).write_text(json.dumps(content, indent=2) + '\n')


WRITERS = {'.csv': write_csv, '.json': write_json, '.png': write_png}
RUN_WRITERS = {'.csv': write_run_csv, '.json': write_run_json}
