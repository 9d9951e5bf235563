# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""List, show, delete, export, report and replay recorded plans and runs; no node has to run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import math
import os
from pathlib import Path
import sys

from . import common as commands
from .history_runs import HEADING as RUNS, run_line, run_lines
from ..history import bag
from ..history.recorded import began, load, load_record, outcome_of, short_id
from ..history.recorded_run import by_run, is_run_folder, load_run, plans_of, RecordedRun
from ..history.store import History, id_of, PlanNotFound, PlanStore, RunStore, size_of
from ..messages.results import confidence_text
from ..messages.texts import one_line
from ..messages.times import seconds

PLANS = (
    f'{"began (UTC)":20}{"plan":10}{"outcome":10} {"model":15}{"search":>10}{"steps":>6}'
    f'{"energy":>20}{"confidence":>12}{"time":>9}{"size":>9}'
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 only if what it was asked for was possible."""
    options = _parser().parse_args(args)
    return commands.run(options.run, options, (PlanNotFound, bag.BagInUse, ImportError))


def list_recordings(options: argparse.Namespace) -> None:
    """Print a line for each run, and for each plan that is of none of them, newest first."""
    if options.limit < 0:
        raise ValueError(f'limit = {options.limit}: allowed: 0 or more')
    store, limit = PlanStore(options.folder), options.limit or None
    if not store.folder.is_dir():
        raise ValueError(f"folder = '{options.folder}': allowed: a folder that exists")
    runs, plans = RunStore(store.folder).recordings()[::-1], store.recordings()[::-1]
    if runs:
        of_run = by_run(plans)
        print(RUNS)
        for path in runs[:limit]:
            print(one_line(run_line(path)))
            for plan in of_run.get(id_of(path), [])[::-1] if options.plans else ():
                print(one_line(f'  {_line(plan)}'))
        ids = {id_of(path) for path in runs}
        plans = sorted((path for run in of_run.keys() - ids for path in of_run[run]), reverse=True)
        if not plans:
            return
        print()
    if not plans:
        print(f"no recordings in '{store.folder}'; --folder names another")
        return
    print(PLANS)
    for path in plans[:limit]:
        print(one_line(_line(path)))


def show(options: argparse.Namespace) -> None:
    """Print what a plan or run was asked, each iteration or step, and how it ended."""
    from .plan import command_lines, HEADING, iteration_line

    plan = _load(options)
    if isinstance(plan, RecordedRun):
        print('\n'.join(map(one_line, run_lines(plan, options.settings))))
        return
    record = plan.record
    print(one_line(str(plan.folder)))
    print(f'began {began(plan.folder):%Y-%m-%d %H:%M:%S} UTC')
    print(
        one_line(
            f'model {record.model} on {record.device} in {record.dtype}, camera {record.camera}'
        )
    )
    for name, picture in plan.images.items():
        print(f'{name}: {picture.shape[1]} x {picture.shape[0]}')
    if plan.iterations:
        print(HEADING)
    for iteration in plan.iterations:
        print(iteration_line(iteration))
    print(one_line(_ending(plan)))
    if record.outcome == 'succeeded':
        print('\n'.join(command_lines(record.command)))
    if options.settings:
        print('\n'.join(one_line(f'{name}: {value}') for name, value in plan.settings.items()))


def delete(options: argparse.Namespace) -> None:
    """Delete recordings of the folder for good; a run's plans stay."""
    store = History(options.folder)
    for plan in options.plans:
        print('deleted', store.delete(store.name_of(plan) if _is_bag(plan) else plan))


def export(options: argparse.Namespace) -> None:
    """Write a recording as the kind of file that the suffix names."""
    from ..history.export import RUN_WRITERS, WRITERS

    plan, suffix = _load(options), Path(options.file).suffix.lower()
    writers = RUN_WRITERS if isinstance(plan, RecordedRun) else WRITERS
    if suffix not in writers:
        raise ValueError(
            f"file = '{options.file}': allowed: a name that ends with {', '.join(writers)}"
        )
    writers[suffix](plan, options.file)


def report(options: argparse.Namespace) -> None:
    """Write a recording as one HTML page."""
    plan = _load(options)
    if isinstance(plan, RecordedRun):
        from ..history.run_report import page as run_page

        text = run_page(plan)
    else:
        from ..history.report import page

        text = page(plan)
    Path(options.output).write_text(text)


def replay_plan(options: argparse.Namespace) -> None:
    """Publish the iterations of a plan, or of a run's plans, on the topics they were live on."""
    if not options.rate > 0.0:
        raise ValueError(f'rate = {options.rate}: allowed: above 0')
    if not 0.0 <= options.wait < math.inf:
        raise ValueError(f'wait = {options.wait}: allowed: a finite number, 0 or more')
    from ..history.replay import replay_by_command

    plan = _load(options)
    folders = [plan.folder]
    if isinstance(plan, RecordedRun):
        folders = plans_of(plan)
    if not folders:
        raise ValueError(f"none of the run's plans is in '{plan.folder.parent}'")
    with commands.ros():
        replay_by_command(folders, options.rate, options.step, options.wait)


def _is_bag(path):
    return (Path(path) / bag.MCAP).is_file()


def _load(options):
    """Return the RecordedPlan or RecordedRun that is asked for; warn of damage."""
    path = Path(options.plan)
    if not _is_bag(path):
        path = History(options.folder).find(options.plan)
    plan = load_run(path) if is_run_folder(path) else load(path)
    for damage in plan.damage:
        print(one_line(f"'{plan.folder}' is damaged: {damage}"), file=sys.stderr)
    return plan


def _line(path):
    text = f'{began(path):%Y-%m-%d %H:%M:%S} {short_id(path):10}'
    try:
        record, damage = load_record(path)
    except ValueError as error:
        return f'{text}{error}'
    settings = {item.key: item.value for item in record.settings}
    samples, iterations = (
        settings.get(f'{settings.get("optimizer")}.{name}', '?')
        for name in ('samples', 'iterations')
    )
    text += (
        f'{outcome_of(record, damage):10} {record.model:15}{samples:>6} x{iterations:>2}'
        f'{settings.get("search.horizon", "?"):>6}'
    )
    if record.outcome != 'succeeded':
        return text + f'{"":41}{size_of(path) / 1e6:6.2f} MB  {record.error_msg}'
    return text + (
        f'{record.start_energy:10.4f} -> {record.energy:.4f}{record.confidence:12.2f}'
        f'{seconds(record.planning_time):7.2f} s{size_of(path) / 1e6:6.2f} MB'
    )


def _ending(plan):
    record = plan.record
    if record.outcome == 'succeeded':
        return (
            f'energy {record.start_energy:.5f} -> {record.energy:.5f}, confidence '
            f'{confidence_text(record)}, planned in {seconds(record.planning_time):.2f} s'
        )
    return f'{outcome_of(record, plan.damage)} {record.error_msg}'.strip()


def _parser():
    parser = argparse.ArgumentParser(prog='history', description=__doc__)
    parser.add_argument(
        '--folder',
        default=os.curdir,
        metavar='DIR',
        help='history.folder of planner and controller (default: the current one)',
    )
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    def add(name, run, plan=True):
        command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        if plan:
            command.add_argument(
                'plan',
                metavar='PLAN',
                help='id or its beginning, name or path of the folder, latest, or latest-run',
            )
        return command

    listing = add('list', list_recordings, plan=False)
    listing.add_argument(
        '--limit', type=int, default=0, metavar='N', help='the newest N only (0: all)'
    )
    listing.add_argument('--plans', action='store_true', help='those of each run too, under it')
    add('show', show).add_argument('--settings', action='store_true', help='parameters too')
    add('delete', delete, plan=False).add_argument('plans', metavar='PLAN', nargs='+')
    add('export', export).add_argument(
        'file',
        metavar='FILE',
        help='.csv (every candidate, or step of a run), .json (all but candidates and pictures) '
        'or .png (of a plan)',
    )
    add('report', report).add_argument('-o', '--output', metavar='FILE', default='report.html')
    replay = add('replay', replay_plan)
    replay.add_argument(
        '--rate', type=float, default=1.0, metavar='R', help='times as fast as it was'
    )
    replay.add_argument('--step', action='store_true', help='wait for Enter before each iteration')
    replay.add_argument(
        '--wait',
        type=float,
        default=1.0,
        metavar='S',
        help='time for subscribers to find the topics first [s]',
    )
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
