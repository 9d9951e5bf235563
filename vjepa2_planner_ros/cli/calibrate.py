# Copyright 2026 The vjepa2_planner_ros authors
# SPDX-License-Identifier: Apache-2.0
"""
Find out from a recording how far the camera is turned against the one that a model believes in.

Motions that the model infers between frames are compared with those that the robot made. The file
that is written makes the planner turn states and commands: parameter calibration. Nothing is
written where turning cannot help, or where no turn is needed; the reason is said.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
import sys

from tqdm import tqdm

from . import common as commands
from .recordings import add_recording_options, open_for

STEPS = 200


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if a calibration was found or none is needed."""
    options = _parser().parse_args(args)
    from ..learning.calibrate import NotCalibrated  # torch takes seconds
    from ..world_model import WorldModelError

    return commands.run(calibrate, options, (LookupError, WorldModelError, NotCalibrated))


def calibrate(options: argparse.Namespace) -> None:
    """Print how the view is turned, and write the calibration if one is needed."""
    from ..learning.calibrate import (
        align,
        check_motion,
        check_view,
        figures,
        infer_motions,
        needs_turn,
        summary,
        to_calibration,
    )
    from ..world_model.calibration import write_calibration
    from ..world_model.catalogue import model_spec

    trajectories = open_for(options, model_spec(options.model)).trajectories
    model = commands.load(options.model, options)
    with tqdm(total=options.steps, desc='steps', disable=None) as bar:
        inferred, true, groups = infer_motions(
            model, trajectories, options.steps, seed=options.seed, advance=bar.update
        )
    check_motion(true, options.axes)
    found = align(inferred, true, groups, options.axes)
    print(*summary(found), sep='\n')
    check_view(found)
    if not needs_turn(found):
        print('no turn is needed, as far as the recording tells: not written')
        return
    calibration = to_calibration(
        found, trajectories, options.model, options.only_camera, str(options.data)
    )
    write_calibration(options.output, calibration, **figures(found))
    print(f'{options.output}: {calibration}; give the planner the parameter calibration')


def _parser() -> argparse.ArgumentParser:
    summary, _, more = (__doc__ or '').strip().partition('\n\n')
    parser = argparse.ArgumentParser(prog='calibrate', description=summary, epilog=more)
    add_recording_options(parser)
    commands.add_model_options(parser)
    parser.add_argument(
        '--axes',
        type=int,
        choices=(2, 3),
        default=2,
        help='2 = about the vertical alone, 3 = any rotation (default: %(default)s)',
    )
    parser.add_argument(
        '--steps', type=int, default=STEPS, metavar='N', help='steps used (default: %(default)s)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='which steps, and of the search (default: %(default)s)'
    )
    parser.add_argument(
        '--only-camera',
        default='',
        metavar='NAME',
        help='the planner refuses it for its other cameras (default: for none)',
    )
    parser.add_argument(
        '-o',
        '--output',
        type=Path,
        default=Path('calibration.yaml'),
        metavar='YAML',
        help='where to write it (default: %(default)s)',
    )
    return parser


if __name__ == '__main__':
    sys.exit(main())
