# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Console client: ask the running planner for an energy landscape, and draw it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
import os
from pathlib import Path

from std_msgs.msg import Header
from tqdm import tqdm
from vjepa2_interfaces.action import ComputeEnergyLandscape

from . import common as commands
from .goal_picture import add_goal_options, goal_picture
from ..client import GoalClient, PlanFailed
from ..messages.images import to_image
from ..messages.landscapes import to_landscape
from ..messages.pictures import write_picture
from ..planning.actions import AXES
from ..planning.landscape import Landscape, MAX_POINTS
from ..planning.landscape_plot import draw

DATA, PICTURES = ('.json', '.npz'), ('.png', '.jpg', '.webp')


def main(args: Sequence[str] | None = None) -> int:
    """Compute one landscape; return 0 only if that was possible."""
    return commands.run_with_ros(_run, _parser(), args, (PlanFailed,))


def _run(options):
    goal = _goal(options)
    with (
        GoalClient(ComputeEnergyLandscape, options.action) as client,
        tqdm(total=100, unit='%', disable=None, leave=False) as bar,
    ):
        commands.wait_for('planner', client, options)
        result = client.ask(
            goal, on_feedback=lambda feedback: bar.update(100.0 * feedback.progress - bar.n)
        )
    landscape = to_landscape(result)
    print(table(landscape))
    for path in options.output:
        landscape.save(path) if path.suffix in DATA else write_picture(path, draw(landscape))


def table(landscape: Landscape) -> str:
    """Return where a Landscape is lowest, as a small table."""
    rows: list[tuple[str, float, Iterable[float]]] = [
        ('doing nothing', landscape.start_energy, [0.0] * len(AXES)),
        ('minimum', landscape.minimum, landscape.minimum_command),
    ]
    if landscape.command is not None:
        rows.append(('last command', landscape.command_energy, landscape.command))
    heading = ''.join(f'{axis:>9}' for axis in AXES)
    return '\n'.join(
        [
            f'{"":14}   energy{heading}',
            *(
                f'{name:14}{energy:9.5f}' + ''.join(f'{value:+9.4f}' for value in step)
                for name, energy, step in rows
            ),
        ]
    )


def _goal(options):
    goal = ComputeEnergyLandscape.Goal(
        use_last_plan=options.last,
        camera=options.camera,
        axes=options.axes,
        lowest=options.lowest,
        highest=options.highest,
        resolution=options.resolution,
        offset=options.offset,
    )
    if not options.last:
        goal.goal_image = to_image(goal_picture(options), Header())
    return goal


def _output(text):
    path = Path(text)
    if path.suffix not in (*DATA, *PICTURES):
        raise argparse.ArgumentTypeError(f'{text}: allowed: {", ".join(PICTURES + DATA)}')
    # Before anything is computed for it.
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(
            f'{text}: allowed: a file in a folder that exists and may be written to'
        )
    return path


def _points(text):
    """Return a number of points as an argument of the command."""
    most = MAX_POINTS // 2  # two on another axis
    if not (text.isdecimal() and 2 <= int(text) <= most):
        raise argparse.ArgumentTypeError(f'{text.strip()}: allowed: 2 to {most}')
    return int(text)


def _parser():
    parser = argparse.ArgumentParser(prog='landscape', description=__doc__)
    add_goal_options(parser).add_argument(
        '--last', action='store_true', help='look from where the last plan did, at its goal'
    )
    parser.add_argument(
        '--axes', nargs='+', default=[], choices=AXES, help='two or three axes (default: x y)'
    )
    for name, kind, metavar, text in (
        ('lowest', float, 'VALUE', 'first point on each axis [m, rad] (default: the bounds)'),
        ('highest', float, 'VALUE', 'last point on each axis'),
        ('resolution', _points, 'POINTS', 'points on each axis (default: 21 on two, 11 on three)'),
    ):
        parser.add_argument(
            f'--{name}', nargs='+', type=kind, default=[], metavar=metavar, help=text
        )
    parser.add_argument(
        '--offset',
        nargs=len(AXES),
        type=float,
        default=[0.0] * len(AXES),
        metavar='VALUE',
        help=f'step on the other axes: {" ".join(AXES)} '
        "(default: 0; with --last the last plan's command)",
    )
    parser.add_argument('--camera', default='', help='a configured camera (default: the first)')
    parser.add_argument(
        '-o',
        '--output',
        action='append',
        type=_output,
        default=[],
        metavar='FILE',
        help='write a picture, .json or .npz; may be repeated',
    )
    parser.add_argument(
        '--action',
        default='compute_energy_landscape',
        help="the planner's action (default: compute_energy_landscape)",
    )
    return parser


if __name__ == '__main__':
    raise SystemExit(main())
