# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""List, show, delete, export, report and replay recorded plans; no planner has to run."""

import argparse
import os
from pathlib import Path

from . import bag
from .recorded import began, load, load_record, short_id
from .store import PlanNotFound, PlanStore, size_of
from .. import commands
from ..times import seconds


def main(args=None) -> int:
    """Run the command line; return 0 only if what it was asked for was possible."""
    options = _parser().parse_args(args)
    return commands.run(options.run, options, (PlanNotFound, bag.BagInUse, ImportError))


def list_plans(options) -> None:
    """Print a line for each recording, newest first."""
    print(f'{"began (UTC)":20}{"plan":10}{"outcome":10} {"model":15}{"search":>10}'
          f'{"energy":>20}{"confidence":>12}{"time":>9}{"size":>9}')
    for path in PlanStore(options.folder).plans()[::-1][:options.limit]:
        print(_line(path))


def show(options) -> None:
    """Print what a plan was asked, each iteration and how it ended."""
    from ..plan_command import command_lines, HEADING, iteration_line
    plan = load(_find(options))
    record = plan.record
    print(f'{plan.folder}\nbegan {began(plan.folder):%Y-%m-%d %H:%M:%S} UTC')
    if record is None:
        return
    print(f'model {record.model} on {record.device} in {record.dtype}, camera {record.camera}')
    for name, picture in plan.images.items():
        print(f'{name}: {picture.shape[1]} x {picture.shape[0]}')
    if plan.iterations:
        print(HEADING)
    for iteration in plan.iterations:
        print(iteration_line(iteration))
    print(_outcome(record))
    if record.outcome == 'succeeded':
        print('\n'.join(command_lines(record.command)))
    if options.settings:
        print('\n'.join(f'{name}: {value}' for name, value in plan.settings.items()))


def delete(options) -> None:
    """Delete recordings for good."""
    for plan in options.plans:
        print('deleted', PlanStore(options.folder).delete(plan))


def export(options) -> None:
    """Write a recording as the kind of file that the suffix names."""
    from .export import WRITERS
    suffix = Path(options.file).suffix.lower()
    if suffix not in WRITERS:
        raise ValueError(f"file = '{options.file}': allowed: a name that ends with "
                         f'{", ".join(WRITERS)}')
    WRITERS[suffix](load(_find(options)), options.file)


def report(options) -> None:
    """Write a recording as one HTML page."""
    from .report import page
    Path(options.output).write_text(page(load(_find(options))))


def replay_plan(options) -> None:
    """Publish a recording's iterations on the topics they were published on."""
    if not options.rate > 0.0:
        raise ValueError(f'rate = {options.rate}: allowed: above 0')
    from .publish import publish_plan
    publish_plan(_find(options), options.rate, options.step, options.wait)


def _find(options):
    if (Path(options.plan) / bag.MCAP).is_file():
        return Path(options.plan)
    return PlanStore(options.folder).find(options.plan)


def _line(path):
    record = load_record(path)
    text = f'{began(path):%Y-%m-%d %H:%M:%S} {short_id(path):10}'
    if record is None:
        return f'{text}nothing readable'
    settings = {item.key: item.value for item in record.settings}
    optimizer = settings['optimizer']
    text += (f'{record.outcome or "not ended":10} {record.model:15}'
             f'{settings[f"{optimizer}.samples"]:>6} x{settings[f"{optimizer}.iterations"]:>2}')
    if record.outcome != 'succeeded':
        return text + f'{"":41}{size_of(path) / 1e6:6.2f} MB  {record.error_msg}'
    return text + (
        f'{record.start_energy:10.4f} -> {record.energy:.4f}{record.confidence:12.2f}'
        f'{seconds(record.planning_time):7.2f} s{size_of(path) / 1e6:6.2f} MB')


def _outcome(record):
    if record.outcome == 'succeeded':
        return (f'energy {record.start_energy:.5f} -> {record.energy:.5f}, confidence '
                f'{record.confidence:.2f}, planned in {seconds(record.planning_time):.2f} s')
    return f'{record.outcome or "not ended"} {record.error_msg}'.strip()


def _parser():
    parser = argparse.ArgumentParser(prog='plans', description=__doc__)
    parser.add_argument('--folder', default=os.curdir, metavar='DIR',
                        help="the planner's history.folder (default: the current one)")
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    def add(name, run, plan=True):
        command = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        if plan:
            command.add_argument('plan', metavar='PLAN', help=(
                'id or its beginning, name or path of the folder, or latest'))
        return command

    add('list', list_plans, plan=False).add_argument(
        '--limit', type=int, metavar='N', help='the newest N only')
    add('show', show).add_argument('--settings', action='store_true', help='parameters too')
    add('delete', delete, plan=False).add_argument('plans', metavar='PLAN', nargs='+')
    add('export', export).add_argument('file', metavar='FILE', help='.csv (every candidate), '
                                       '.json (all but candidates and pictures) or .png')
    add('report', report).add_argument('-o', '--output', metavar='FILE', default='report.html')
    replay = add('replay', replay_plan)
    replay.add_argument('--rate', type=float, default=1.0, metavar='R',
                        help='times as fast as it was')
    replay.add_argument('--step', action='store_true', help='wait for Enter before each iteration')
    replay.add_argument('--wait', type=float, default=1.0, metavar='S',
                        help='time for subscribers to find the topics first [s]')
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
